//! Steps before a handshake and reactions to messages become typed data, or faults.
//!
//! In: a group's tables `[prepare]` and `[[session.on_message]]`. Out: [`PrepareRules`] and [`OnMessage`]s. A variable that nothing
//! fills is a fault.

use std::time::Duration;

use super::model::HeaderText;
use super::parse_reconnect::code_ranges;
use super::prepare_model::{OnMessage, PrepareRules, PrepareWhen, Step, StepHeader, StepPlace, Then};
use super::reader::Table;
use super::template::{BUILT_IN, Template, is_name};

/// Most steps before a handshake.
const MOST_STEPS: usize = 32;
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// The variables that a group's texts may name.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    names: Vec<String>,
}

impl Known {
    /// Those that the tables of a group fill.
    pub(super) fn of(group: &Table<'_>) -> Self {
        let mut names: Vec<String> = BUILT_IN.iter().map(|name| (*name).to_owned()).collect();
        let mut add = |table: Option<Table<'_>>| {
            let keys = table.iter().flat_map(Table::keys).map(|key| key.get_ref().as_ref().to_owned());
            names.extend(keys.collect::<Vec<_>>());
        };
        if let Some(prepare) = group.table("prepare") {
            add(prepare.table("variables"));
            prepare.tables("steps").iter().for_each(|step| add(step.table("save")));
        }
        if let Some(session) = group.table("session") {
            session.tables("on_message").iter().for_each(|rule| add(rule.table("save")));
        }
        Self { names }
    }

    /// The text at `key`, as a template of these variables.
    pub(super) fn template(&self, table: &Table<'_>, key: &str) -> Option<Template> {
        let text = table.text(key)?;
        Some(self.check(table, key, &text))
    }

    fn check(&self, table: &Table<'_>, key: &str, text: &str) -> Template {
        let template = Template::parse(text);
        for name in template.variables().filter(|name| !self.names.iter().any(|known| known == name)) {
            let message = format!("`{}` names {{{name}}}, which nothing fills", table.path_of(key));
            table.fault(table.span_of(key), message, format!("there are {}", self.names.join(", ")));
        }
        template
    }
}

pub(super) fn parse_prepare(table: &Table<'_>, known: &Known, is_embedded: bool) -> PrepareRules {
    let variables = table.table("variables").map(|variables| {
        let names = variables.keys().map(|key| key.get_ref().as_ref().to_owned()).collect::<Vec<_>>();
        let read = names.into_iter().filter_map(|name| {
            check_name(&variables, &name);
            known.template(&variables, &name).map(|template| (name, template))
        });
        read.collect()
    });
    let tables = table.tables("steps");
    if tables.len() > MOST_STEPS {
        let message = format!("there are {} steps", tables.len());
        table.fault(table.span_of("steps"), message, format!("at most {MOST_STEPS} are possible"));
    }
    let steps = tables
        .iter()
        .enumerate()
        .filter_map(|(index, step)| parse_step(step, known, index, is_embedded))
        .collect();
    let when = [("each-attempt", PrepareWhen::EachAttempt), ("once", PrepareWhen::Once)];
    let rules = PrepareRules {
        variables: variables.unwrap_or_default(),
        steps,
        when: table.one_of("when", &when).unwrap_or_default(),
        renew_after: table.integer("renew_after", 0..=1_000_000).map(|reuses| reuses as u32),
        renew_on: table.numbers("renew_on", 400..=599).unwrap_or_default(),
        renew_on_codes: code_ranges(table, "renew_on_codes").unwrap_or_default(),
    };
    table.finish();
    rules
}

fn check_name(table: &Table<'_>, name: &str) {
    let help = "lower-case letters, digits and _ are allowed, a letter first";
    if !is_name(name) {
        table.fault(table.span_of(name), format!("\"{name}\" is no name of a variable"), help);
    } else if BUILT_IN.contains(&name) {
        let message = format!("{{{name}}} is there already");
        table.fault(table.span_of(name), message, "give the variable another name");
    }
}

fn parse_step(table: &Table<'_>, known: &Known, index: usize, is_embedded: bool) -> Option<Step> {
    let name = table.string("name").unwrap_or_else(|| format!("step {}", index + 1));
    let methods: Vec<(&str, &str)> = METHODS.iter().map(|method| (*method, *method)).collect();
    let method = table.one_of("method", &methods).unwrap_or("GET");
    let place = parse_place(table, known, is_embedded);
    let headers = table.table("headers").map(|headers| parse_headers(&headers, known)).unwrap_or_default();
    let step = Step {
        name,
        method: method.to_owned(),
        place: place?,
        headers,
        body: known.template(table, "body"),
        content_type: table.string("content_type").unwrap_or_else(|| "application/json".to_owned()),
        save: parse_save(table),
        expect: table.numbers("expect", 100..=599).unwrap_or_default(),
        timeout: table.positive_duration("timeout").unwrap_or(Duration::from_secs(10)),
    };
    table.finish();
    Some(step)
}

fn parse_place(table: &Table<'_>, known: &Known, is_embedded: bool) -> Option<StepPlace> {
    match (known.template(table, "url"), known.template(table, "path")) {
        (Some(url), None) => Some(StepPlace::Url(url)),
        (None, Some(path)) if is_embedded => Some(StepPlace::Path(path)),
        (None, Some(_)) => {
            let message = "`path` is for the embedded target";
            table.fault(table.span_of("path"), message, "give the step a whole url instead");
            None
        }
        (Some(_), Some(_)) => {
            table.fault(table.span_of("path"), "a step has a url or a path", "take one of them away");
            None
        }
        (None, None) => {
            if table.get("url").is_none() && table.get("path").is_none() {
                table.missing("url", "a step needs url = \"https://…\"");
            }
            None
        }
    }
}

fn parse_headers(table: &Table<'_>, known: &Known) -> Vec<(String, StepHeader)> {
    let mut headers = Vec::new();
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        if http::HeaderName::try_from(name).is_err() {
            let message = format!("\"{name}\" is no header name");
            table.fault(key.span(), message, "letters, digits and `-` are allowed");
            continue;
        }
        let is_plain = table.get(name).is_some_and(|value| value.get_ref().as_str().is_some());
        let value = if is_plain {
            known.template(table, name).map(StepHeader::Template)
        } else {
            table.secret(name).map(|secret| StepHeader::Secret(HeaderText::Secret(secret)))
        };
        headers.extend(value.map(|value| (name.to_owned(), value)));
    }
    headers
}

/// `{ uri = "/connectUri" }`: variables and JSON Pointers (RFC 6901).
fn parse_save(table: &Table<'_>) -> Vec<(String, String)> {
    let Some(save) = table.table("save") else { return Vec::new() };
    let mut pairs = Vec::new();
    for key in save.keys() {
        let name = key.get_ref().as_ref();
        check_name(&save, name);
        let Some(pointer) = save.string(name) else { continue };
        if !(pointer.is_empty() || pointer.starts_with('/')) {
            let message = format!("\"{pointer}\" is no JSON Pointer");
            save.fault(save.span_of(name), message, "it begins with `/`, as \"/data/url\" (RFC 6901)");
        }
        pairs.push((name.to_owned(), pointer));
    }
    pairs
}

pub(super) fn parse_on_message(table: &Table<'_>, known: &Known) -> Option<OnMessage> {
    let contains = table.string("contains");
    if table.get("contains").is_none() {
        table.missing("contains", "say which messages are meant, as contains = \"reconnect\"");
    }
    let then = [("reconnect", Then::Reconnect), ("renew", Then::Renew)];
    let rule = OnMessage {
        contains: contains.unwrap_or_default(),
        save: parse_save(table),
        reply: known.template(table, "reply"),
        heartbeat: table.table("heartbeat").and_then(|heartbeat| parse_heartbeat(&heartbeat, known)),
        then: table.one_of("then", &then).unwrap_or_default(),
    };
    table.finish();
    (!rule.contains.is_empty()).then_some(rule)
}

fn parse_heartbeat(table: &Table<'_>, known: &Known) -> Option<(String, Template)> {
    for key in ["every_ms", "text"] {
        if table.get(key).is_none() {
            table.missing(key, "a heartbeat is { every_ms = \"/d/heartbeat_interval\", text = \"…\" }");
        }
    }
    let (pointer, text) = (table.string("every_ms"), known.template(table, "text"));
    table.finish();
    pointer.zip(text)
}
