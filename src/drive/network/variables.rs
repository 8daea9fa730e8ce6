//! A client's variables: what steps and messages have brought it.
//!
//! In: JSON answers and messages, JSON Pointers. Out: rendered texts. Values may be secrets (tickets, capability URLs), so they are
//! never printed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::clock::{Clock, Moment};
use crate::declare::template::{BUILT_IN, Template, time_variable};

use crate::lifecycle::Traces;
use crate::scenario::keys::Feeder;

use super::cookies::Jar;
use super::endpoint::Endpoint;
use super::token::Token;
use super::trace::{Beside, Trace};

/// The longest value that is kept.
pub(super) const LONGEST_VALUE: usize = 16 * 1024;

/// What a client's texts may name.
#[derive(Clone, Default)]
pub(in crate::drive) struct Variables {
    values: BTreeMap<String, String>,
    /// The client's cookies, where it keeps such.
    jar: Option<Jar>,
    /// Where its first handshake went, signed as it was, where it goes there again.
    way: Option<Box<Endpoint>>,
    /// The trace of the attempt under way, where requests carry such.
    trace: Option<Arc<Trace>>,
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Variables {
    /// None yet, beside these cookies.
    pub(in crate::drive) fn with_jar(jar: Option<Jar>) -> Self {
        Self { jar, ..Self::default() }
    }

    /// The same, beside that way.
    pub(in crate::drive) fn with_way(self, way: Option<Endpoint>) -> Self {
        Self { way: way.map(Box::new), ..self }
    }

    /// The same, beside that trace.
    pub(super) fn with_trace(self, trace: Option<Arc<Trace>>) -> Self {
        Self { trace, ..self }
    }

    /// Client `number`'s attempt under way began then.
    pub(super) fn follow(&mut self, traces: Traces, number: u32, began: Moment) {
        if self.trace.as_ref().is_none_or(|trace| trace.began() != began) {
            self.trace = Some(Arc::new(Trace::new(traces, number, began)));
        }
    }

    /// The trace of the attempt under way.
    pub(super) const fn trace(&self) -> Option<&Arc<Trace>> {
        self.trace.as_ref()
    }

    /// What the client's requests carry.
    pub(super) fn beside(&self) -> Beside<'_> {
        Beside { jar: self.jar.as_ref(), trace: self.trace.as_deref() }
    }

    /// Where the client's first handshake went.
    pub(in crate::drive) fn way(&self) -> Option<&Endpoint> {
        self.way.as_deref()
    }

    /// It goes there from now on.
    pub(super) fn keep_way(&mut self, way: Endpoint) {
        self.way = Some(Box::new(way));
    }

    /// The client's cookies.
    pub(in crate::drive) const fn jar(&self) -> Option<&Jar> {
        self.jar.as_ref()
    }

    /// All that is held.
    pub(in crate::drive) fn values(&self) -> impl Iterator<Item = &str> {
        self.values.values().map(String::as_str)
    }
}

/// What the texts of all clients of a group may name.
#[derive(Debug)]
pub(in crate::drive) struct GroupTexts {
    /// `None`: each text is told the time.
    clock: Option<Clock>,
    /// Host and port of the target.
    address: String,
    /// What each client's row has, and the group's first client.
    fed: Option<(Arc<Feeder>, u32)>,
}

impl GroupTexts {
    pub(super) fn new(clock: Clock, address: String, feeder: Option<&Arc<Feeder>>, first: u32) -> Self {
        Self { clock: Some(clock), ..Self::timeless(address, feeder, first) }
    }

    /// The same without a clock.
    pub(in crate::drive) fn timeless(address: String, feeder: Option<&Arc<Feeder>>, first: u32) -> Self {
        Self { clock: None, address, fed: feeder.map(|feeder| (Arc::clone(feeder), first)) }
    }

    /// What client `number` has in a column.
    fn fed(&self, number: u32, column: &str) -> Option<&SecretString> {
        let (feeder, first) = self.fed.as_ref()?;
        feeder.value(number.saturating_sub(*first), column)
    }

    /// All that client `number` has.
    pub(in crate::drive) fn row(&self, number: u32) -> impl Iterator<Item = &SecretString> {
        let columns = self.fed.iter().flat_map(|(feeder, _)| feeder.columns());
        columns.filter_map(move |column| self.fed(number, column))
    }
}

/// Who renders a text.
#[derive(Clone, Copy)]
pub(in crate::drive) struct Renderer<'a> {
    texts: &'a GroupTexts,
    number: u32,
    token: Option<&'a Token>,
    variables: Option<&'a Variables>,
    /// The time that its texts tell, in microseconds since 1970; `None`: that of each text.
    at: Option<u64>,
}

impl<'a> Renderer<'a> {
    /// Client `number` with what it has.
    pub(in crate::drive) const fn new(
        texts: &'a GroupTexts,
        number: u32,
        token: Option<&'a Token>,
        variables: Option<&'a Variables>,
    ) -> Self {
        Self { texts, number, token, variables, at: None }
    }

    /// The same client with other variables.
    pub(in crate::drive) const fn with(self, variables: &'a Variables) -> Self {
        Self { variables: Some(variables), ..self }
    }

    /// The same; all its texts tell the same time, which is now.
    pub(super) fn at_once(self) -> Self {
        Self { at: Some(self.now()), ..self }
    }

    /// The same; all its texts tell that time, in microseconds since 1970.
    pub(in crate::drive) const fn at(self, unix_us: u64) -> Self {
        Self { at: Some(unix_us), ..self }
    }

    fn now(&self) -> u64 {
        self.at.or_else(|| Some(self.texts.clock?.unix_us_now())).unwrap_or_default()
    }

    /// The time that its texts tell, in microseconds since 1970.
    pub(in crate::drive) fn unix_us(&self) -> u64 {
        self.now()
    }

    /// The client's number.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The text of `template`. However often it tells the time, that is the same.
    pub(in crate::drive) fn render(&self, template: &Template) -> String {
        self.render_with(template, |_| None)
    }

    /// The same, where what is `own` comes before the client's.
    pub(super) fn render_with(&self, template: &Template, own: impl Fn(&str) -> Option<String>) -> String {
        let now = Cell::new(self.at);
        template.render(|name| {
            own(name).or_else(|| {
                self.value_at(name, || {
                    let at = now.get().unwrap_or_else(|| self.now());
                    now.set(Some(at));
                    at
                })
            })
        })
    }

    /// The value of a variable.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.value_at(name, || self.now())
    }

    fn value_at(&self, name: &str, now: impl FnOnce() -> u64) -> Option<String> {
        match name {
            "token" => self.token.map(|token| token.expose_secret().to_owned()),
            "client" => Some(self.number.to_string()),
            "unix_ms" | "now_ms" => time_variable(name, now()),
            "address" => Some(self.texts.address.clone()),
            other => {
                let own = self.variables.and_then(|variables| variables.get(other)).map(str::to_owned);
                let own = own.or_else(|| {
                    let fed = self.texts.fed(self.number, other)?;
                    Some(fed.expose_secret().to_owned())
                });
                own.or_else(|| if BUILT_IN.contains(&other) { time_variable(other, now()) } else { None })
            }
        }
    }
}

impl Variables {
    pub(in crate::drive) fn set(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    /// What a variable holds.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Fills variables from a JSON text. `false`: one of them is not there.
    pub(super) fn save(&mut self, wanted: &[(String, String)], text: &[u8]) -> bool {
        if wanted.is_empty() {
            return true;
        }
        let Some(Ok(json)) = serde_json::Deserializer::from_slice(text).into_iter::<Value>().next() else {
            return false;
        };
        let mut all = true;
        for (name, pointer) in wanted {
            match value_at(&json, pointer) {
                Some(value) => self.set(name, value),
                None => all = false,
            }
        }
        all
    }
}

/// The value at a JSON Pointer (RFC 6901), as text: strings without their quotes, numbers and truth values as written.
pub(super) fn value_at(json: &Value, pointer: &str) -> Option<String> {
    let value = json.pointer(pointer)?;
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (text.len() <= LONGEST_VALUE).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_saved_by_pointer_and_never_printed() {
        let mut variables = Variables::default();
        let wanted = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, pointer)| ((*name).to_owned(), (*pointer).to_owned()))
                .collect::<Vec<_>>()
        };
        let answer =
            br#"{"d":{"url":"wss://x/?ticket=s3cret","n":41250,"list":[{"a~/b":true}],"none":null}}"#;
        let all = wanted(&[("url", "/d/url"), ("n", "/d/n"), ("deep", "/d/list/0/a~0~1b")]);
        assert!(variables.save(&all, answer));
        assert_eq!(variables.values["url"], "wss://x/?ticket=s3cret");
        assert_eq!(variables.values["n"], "41250");
        assert_eq!(variables.values["deep"], "true");
        assert!(!format!("{variables:?}").contains("s3cret"));
        assert!(!variables.save(&wanted(&[("x", "/d/none")]), answer));
        assert!(!variables.save(&wanted(&[("x", "/nowhere")]), answer));
        assert!(!variables.save(&wanted(&[("x", "/d")]), b"<html>"));
        assert!(variables.save(&[], b"<html>"), "nothing is wanted of it");
    }
}
