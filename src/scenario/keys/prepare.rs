//! `[groups.prepare]`: HTTP requests before a handshake, and what is kept of their answers.
//!
//! In: the table. Out: [`PrepareRules`].

use std::time::Duration;

use regex_lite::Regex;

use crate::declare::{
    At, Choices, HEADER_NAME, NOT_EMPTY, POINTER, Shape, Table, Template, TextRule, TextShape, VARIABLE,
    Value, above_zero, code_ranges, flat, header_template, int, list, map, of, one_of, refusing_statuses,
    ruled, statuses, string, table, template, variable, words,
};

use super::told::is_embedded;

/// Most redirects that a step follows.
const MOST_REDIRECTS: u64 = 20;
/// The name of a form's field.
const FIELD: TextRule = TextRule { name: "field", ..NOT_EMPTY };
/// The name of a cookie (RFC 6265 §4.1.1).
const COOKIE_NAME: TextRule = TextRule {
    name: "cookie_name",
    patterns: &["^[-!#$%&'*+.^_`|~0-9A-Za-z]+$"],
    except: None,
    allowed: "the name of a cookie has no spaces and none of ()<>@,;:\\\"/[]?={} (RFC 6265)",
    examples: &["_xsrf", "sessionid"],
};
/// Most steps before a handshake.
const MOST_STEPS: usize = 32;

table! {
    /// HTTP requests before a handshake, and what is kept of their answers.
    default pub struct PrepareRules {
        /// Whether each client keeps the cookies that its requests, its token endpoint and its handshakes are answered with, and sends them (RFC 6265).
        cookies: bool = false;
        /// Variables and what they hold at first; texts name them as `{name}`.
        variables: Vec<(String, Template)> = Vec::new() => map(VARIABLE, variable());
        /// The requests, one after the other.
        steps: Vec<Step> = Vec::new() => list(of(), "a list of tables is needed: write [[groups.prepare.steps]]").most(MOST_STEPS);
        /// When they are made.
        when: PrepareWhen = PrepareWhen::EachAttempt;
        /// With `when = "once"`: after so many reuses they are made anew. Without it: never for that.
        renew_after: Option<u32> = None => int::<u32>(0..=1_000_000);
        /// Statuses of a handshake after which they are made anew.
        renew_on: Vec<u16> = Vec::new() => refusing_statuses();
        /// Close codes after which they are made anew; ranges as `"4000-4099"`.
        renew_on_codes: Vec<(u16, u16)> = Vec::new() => code_ranges();
    }
}

words! {
    /// When the requests are made.
    pub enum PrepareWhen {
        /// Before each attempt.
        EachAttempt = "each-attempt",
        /// Before the first handshake, and when something calls for it.
        Once = "once",
    }
}

words! {
    /// An HTTP method.
    pub enum Method {
        /// GET.
        Get = "GET",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// DELETE.
        Delete = "DELETE",
        /// HEAD.
        Head = "HEAD",
    }
}

table! {
    /// An HTTP request before a handshake.
    pub struct Step {
        /// Its name, for messages. Default: its number, as `step 1`.
        name: String = String::new(), over (number) => string();
        /// The method.
        method: Method = Method::Get;
        /// Headers, in order; values may hold variables.
        headers: Vec<(String, Template)> = Vec::new() => map(HEADER_NAME, header_template());
        /// The body. Without it: none.
        body: Option<Template> = None => template();
        /// Fields of a form, which is the body. One whose name tells of a secret holds one.
        form: Vec<(String, Template)> = Vec::new() => map(FIELD, variable());
        /// `Content-Type` of the body.
        content_type: String = "application/json".to_owned() => string();
        /// Variables to fill, and where in the answer their values stand: `{ uri = "/connectUri" }`, `{ csrf = { regex = "name=\"csrf\" value=\"([^\"]+)\"" } }`.
        save: Vec<(String, SaveFrom)> = Vec::new() => map(VARIABLE, of());
        /// How many redirects are followed, each only to where the run may connect; the answer at their end counts.
        redirects: u32 = 0 => int::<u32>(0..=MOST_REDIRECTS);
        /// Statuses that are no failure; empty: any 2xx.
        expect: Vec<u16> = Vec::new() => statuses();
        /// Longest wait for the answer.
        timeout: Duration = Duration::from_secs(10) => above_zero();
        ..
        /// Where it goes.
        place: StepPlace;
    }
    check: check_body;
}

fn check_body(step: Step, table: &Table<'_>) -> Option<Step> {
    if step.body.is_some() && !step.form.is_empty() {
        let message = format!("`{}` is a body as well", table.path_of("form"));
        table.between(Some("form"), message, "write body or form, not both");
    }
    Some(step)
}

/// Where in an answer a value stands.
#[derive(Debug, Clone, PartialEq)]
pub enum SaveFrom {
    /// `"/connectUri"`: in its JSON (JSON Pointer, RFC 6901).
    Pointer(String),
    /// `{ header = "X-Csrf-Token" }`: in a header.
    Header(String),
    /// `{ cookie = "_xsrf" }`: in a cookie that it or a redirect before it set, or that the client has.
    Cookie(String),
    /// `{ regex = "value=\"([^\"]+)\"" }`: in its text, what the first group of a regular expression finds.
    Regex(Pattern),
    /// `"status"`: its status.
    Status,
}

fn places() -> Choices<SaveFrom> {
    Choices::new(
        "a JSON Pointer as \"/data/url\", { header = \"X-Csrf-Token\" }, { cookie = \"_xsrf\" }, { regex = 'value=\"([^\"]+)\"' } or \"status\" is needed",
    )
    .plain(ruled(POINTER), SaveFrom::Pointer)
    .key("header", "In a header.", ruled(HEADER_NAME), SaveFrom::Header)
    .key("cookie", "In a cookie that it, or a redirect before it, has set, or that the client has.", ruled(COOKIE_NAME), SaveFrom::Cookie)
    .key("regex", "In its text: what the first group of a regular expression finds.", of::<Pattern>(), SaveFrom::Regex)
    .word("status", "Its status.", SaveFrom::Status)
}

impl Value for SaveFrom {
    fn shape() -> Shape {
        places().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        places().read(at)
    }

    fn write(&self) -> Option<String> {
        places().write(self)
    }
}

/// A regular expression with a group that says what is wanted of its find.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// Why it is none, or that it has no group.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = Regex::new(text).map_err(|error| format!("it is no regular expression ({error})"))?;
        if regex.captures_len() < 2 {
            return Err("it has no group: put what is wanted in ( and )".to_owned());
        }
        Ok(Self(regex))
    }

    /// What the first group that took part in the first find holds.
    #[must_use]
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        let found = self.0.captures(text)?;
        (1..found.len()).find_map(|group| found.get(group)).map(|group| group.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Value for Pattern {
    fn shape() -> Shape {
        Shape::Text(TextShape {
            patterns: vec!["\\(".into()],
            examples: &["name=\"csrf\" value=\"([^\"]+)\""],
            ..TextShape::plain("regular_expression")
        })
    }

    fn read(at: &At<'_>) -> Option<Self> {
        const NEEDED: &str = "a regular expression with a group is needed, as 'value=\"([^\"]+)\"'";
        let Some(text) = at.text().filter(|text| text.contains('(')) else {
            at.wrong(NEEDED);
            return None;
        };
        let pattern = Self::new(text);
        pattern.map_err(|why| at.elsewhere(format!("`{}` cannot be used: {why}", at.path), NEEDED)).ok()
    }

    fn write(&self) -> Option<String> {
        None
    }
}

/// The name of a step that has none.
fn number(table: &Table<'_>) -> String {
    format!("step {}", number_in_list(table))
}

/// The how manieth of its list a table is, from 1.
pub(super) fn number_in_list(table: &Table<'_>) -> usize {
    let index = table.path.rsplit('.').next().and_then(|index| index.parse::<usize>().ok());
    index.unwrap_or_default() + 1
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepPlace {
    /// A whole URL.
    Url(Template),
    /// A path on the embedded target.
    Path(Template),
}

table! {
    /// Where a request goes.
    pub struct PlaceKeys {
        /// A whole URL; may hold variables.
        url: Option<Template> = None => template();
        /// A path on the embedded target; may hold variables.
        path: Option<Template> = None => template();
    }
    needs: [one_of(&[&["url"], &["path"]], "a step needs url = \"https://…\", or on the embedded target path = \"/…\"")];
}

flat! { StepPlace: PlaceKeys => |keys: PlaceKeys, table: &Table<'_>| {
    if keys.path.is_some() && !is_embedded(table.reading) {
        table.between(Some("path"), "`path` is for the embedded target", "give the step a whole url instead");
    }
    keys.url.map(StepPlace::Url).or(keys.path.map(StepPlace::Path))
} }
