//! `[groups.prepare]`: HTTP requests before a handshake, and what is kept of their answers.
//!
//! In: the table. Out: [`PrepareRules`].

use std::time::Duration;

use crate::declare::{
    HEADER_NAME, POINTER, Table, Template, VARIABLE, above_zero, code_ranges, flat, header_template, int,
    list, map, of, one_of, refusing_statuses, ruled, statuses, string, table, template, variable, words,
};

use super::told::is_embedded;

/// Most steps before a handshake.
const MOST_STEPS: usize = 32;

table! {
    /// HTTP requests before a handshake, and what is kept of their answers.
    default pub struct PrepareRules {
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
        /// `Content-Type` of the body.
        content_type: String = "application/json".to_owned() => string();
        /// Variables to fill, and where in the JSON answer their values stand (JSON Pointer, RFC 6901): `{ uri = "/connectUri" }`.
        save: Vec<(String, String)> = Vec::new() => map(VARIABLE, ruled(POINTER));
        /// Statuses that are no failure; empty: any 2xx.
        expect: Vec<u16> = Vec::new() => statuses();
        /// Longest wait for the answer.
        timeout: Duration = Duration::from_secs(10) => above_zero();
        ..
        /// Where it goes.
        place: StepPlace;
    }
}

/// The name of a step that has none.
fn number(table: &Table<'_>) -> String {
    let index = table.path.rsplit('.').next().and_then(|index| index.parse::<usize>().ok());
    format!("step {}", index.unwrap_or_default() + 1)
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
