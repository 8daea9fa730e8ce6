//! Reading a TOML table key by key, gathering every fault on the way.
//!
//! In: a table of spanned values. Out: typed values, or nothing and a fault. Keys that nobody asked for are faults at the end, with
//! the likeliest of those that somebody did.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::units;

use super::fault::Fault;
use super::secrets::shown;

/// The largest file with a secret.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Reads a text file of at most `most` bytes, whatever kind of file it is.
pub(super) fn read_capped(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(text)
}

/// Where faults are gathered, and what values may refer to.
pub(super) struct Reading<'a> {
    pub(super) faults: RefCell<Vec<Fault>>,
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// Files that the scenario names are relative to this folder.
    pub(super) folder: PathBuf,
}

impl Reading<'_> {
    pub(super) fn fault(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.borrow_mut().push(Fault { span, message: message.into(), help: help.into() });
    }
}

/// A value and where it stands.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// A table under reading.
pub(super) struct Table<'t> {
    pub(super) reading: &'t Reading<'t>,
    table: &'t DeTable<'t>,
    pub(super) span: Range<usize>,
    /// Dotted path of the table, empty for the whole file.
    pub(super) path: String,
    known: RefCell<BTreeSet<String>>,
}

impl<'t> Table<'t> {
    pub(super) fn new(
        reading: &'t Reading<'t>,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        path: String,
    ) -> Self {
        Self { reading, table, span, path, known: RefCell::default() }
    }

    /// The dotted path of a key of this table.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn fault(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.reading.fault(span, message, help);
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<&'t Value<'t>> {
        self.known.borrow_mut().insert(key.to_owned());
        self.table.get(key)
    }

    /// Where a key's value stands; the table where it does not.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'t Spanned<std::borrow::Cow<'t, str>>> + use<'t> {
        self.table.keys()
    }

    /// A fault for a key that must be there.
    pub(super) fn missing(&self, key: &str, help: &str) {
        let place = if self.path.is_empty() { "the scenario".to_owned() } else { format!("[{}]", self.path) };
        self.fault(self.span.clone(), format!("{place} has no `{key}`"), help);
    }

    /// A fault for a value that is not what it should be.
    pub(super) fn wrong(&self, key: &str, value: &Value<'t>, allowed: &str) {
        let path = self.path_of(key);
        let got = describe(&path, value.get_ref());
        self.fault(value.span(), format!("`{path}` is {got}"), allowed);
    }

    /// Reads a string with `parse`; what that refuses is a fault with `allowed`.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong(key, value, allowed);
            return None;
        };
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                let path = self.path_of(key);
                let text = shown(&path, text);
                self.fault(value.span(), format!("`{path}` is \"{text}\""), why);
                None
            }
        }
    }

    pub(super) fn string(&self, key: &str) -> Option<String> {
        self.parsed(key, "a string is needed", |text| Ok(text.to_owned()))
    }

    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        let help = "a duration is a string with a unit, as \"5s\"";
        self.parsed(key, help, |text| units::parse_duration(text).map_err(|error| error.to_string()))
    }

    /// A duration above zero.
    pub(super) fn positive_duration(&self, key: &str) -> Option<Duration> {
        let duration = self.duration(key)?;
        if duration.is_zero() {
            self.fault(
                self.span_of(key),
                format!("`{}` is zero", self.path_of(key)),
                "it must be longer than zero",
            );
            return None;
        }
        Some(duration)
    }

    /// `"never"`, or a duration above zero: the outer `None` is an absent key.
    pub(super) fn duration_or_never(&self, key: &str) -> Option<Option<Duration>> {
        if self.get(key)?.get_ref().as_str() == Some("never") {
            return Some(None);
        }
        self.positive_duration(key).map(Some)
    }

    pub(super) fn integer(&self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let value = self.get(key)?;
        let help = format!("a whole number from {} to {} is needed", range.start(), range.end());
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|integer| i128::from_str_radix(integer.as_str(), integer.radix()).ok());
        match number.and_then(|number| u64::try_from(number).ok()).filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                self.wrong(key, value, &help);
                None
            }
        }
    }

    pub(super) fn float(&self, key: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            DeValue::Integer(integer) => integer.as_str().parse::<f64>().ok(),
            _ => None,
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                self.wrong(
                    key,
                    value,
                    &format!("a number from {} to {} is needed", range.start(), range.end()),
                );
                None
            }
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(key, value, "true or false is needed");
        }
        flag
    }

    /// One of some names.
    pub(super) fn one_of<T: Copy>(&self, key: &str, names: &[(&str, T)]) -> Option<T> {
        let list = names.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        self.parsed(key, &format!("one of {list} is needed"), |text| {
            let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
            found.ok_or_else(|| {
                let near = nearest(text, names.iter().map(|(name, _)| *name));
                near.map_or_else(
                    || format!("one of {list} is needed"),
                    |name| format!("did you mean \"{name}\"? Allowed: {list}"),
                )
            })
        })
    }

    /// A sub-table.
    pub(super) fn table(&self, key: &str) -> Option<Table<'t>> {
        let value = self.get(key)?;
        let sub = self.as_table(key, value);
        if sub.is_none() {
            self.wrong(key, value, "a table is needed");
        }
        sub
    }

    /// The value of `key` as a table, if it is one.
    pub(super) fn as_table(&self, key: &str, value: &'t Value<'t>) -> Option<Table<'t>> {
        let table = value.get_ref().as_table()?;
        Some(Table::new(self.reading, table, value.span(), self.path_of(key)))
    }

    /// The elements of a list.
    pub(super) fn list(&self, key: &str, allowed: &str) -> Option<Vec<&'t Value<'t>>> {
        let value = self.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(key, value, allowed);
            return None;
        };
        Some(array.iter().collect())
    }

    /// The tables of a list of tables.
    pub(super) fn tables(&self, key: &str) -> Vec<Table<'t>> {
        let allowed = format!("a list of tables is needed: write [[{}]]", self.path_of(key));
        let elements = self.list(key, &allowed).unwrap_or_default();
        let mut tables = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            match element.get_ref().as_table() {
                Some(table) => {
                    let path = format!("{}.{index}", self.path_of(key));
                    tables.push(Table::new(self.reading, table, element.span(), path));
                }
                None => self.wrong(key, element, &allowed),
            }
        }
        tables
    }

    pub(super) fn strings(&self, key: &str) -> Option<Vec<String>> {
        let allowed = "a list of strings is needed, as [\"a\", \"b\"]";
        let mut strings = Vec::new();
        for element in self.list(key, allowed)? {
            match element.get_ref().as_str() {
                Some(text) => strings.push(text.to_owned()),
                None => self.wrong(key, element, allowed),
            }
        }
        Some(strings)
    }

    /// A list of numbers in a range, as close codes or statuses.
    pub(super) fn numbers(&self, key: &str, range: std::ops::RangeInclusive<u16>) -> Option<Vec<u16>> {
        let allowed = format!("a list of numbers from {} to {} is needed", range.start(), range.end());
        let mut numbers = Vec::new();
        for element in self.list(key, &allowed)? {
            let number =
                element.get_ref().as_integer().and_then(|integer| integer.as_str().parse::<u16>().ok());
            match number.filter(|number| range.contains(number)) {
                Some(number) => numbers.push(number),
                None => self.wrong(key, element, &allowed),
            }
        }
        Some(numbers)
    }

    pub(super) fn url(&self, key: &str, schemes: &[&str]) -> Option<url::Url> {
        let list = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
        let allowed = format!("a URL with {list} is needed");
        self.parsed_text(key, &allowed, |text| {
            let url = url::Url::parse(text).map_err(|error| format!("{allowed}: {error}"))?;
            if !schemes.contains(&url.scheme()) || url.host_str().is_none() {
                return Err(allowed.clone());
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err("user and password of a URL are not sent: give them as a header, headers = { Authorization = { env = \"NAME\" } }".to_owned());
            }
            Ok(url)
        })
    }

    /// Reads a text that may hold a secret: a string, or a reference as in [`Self::secret`], whose value is never told.
    fn parsed_text<T>(
        &self,
        key: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(key)?;
        if value.get_ref().as_table().is_none() {
            return self.parsed(key, allowed, parse);
        }
        let secret = self.secret(key)?;
        let parsed = parse(secret.expose_secret());
        parsed
            .map_err(|why| {
                self.fault(
                    value.span(),
                    format!("what `{}` refers to cannot be used", self.path_of(key)),
                    why,
                );
            })
            .ok()
    }

    /// A text that may hold a secret.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.parsed_text(key, "a string, { env = \"NAME\" } or { file = \"path\" } is needed", |text| {
            Ok(text.to_owned())
        })
    }

    /// A secret: a string, `{ env = "NAME" }` or `{ file = "path" }`.
    pub(super) fn secret(&self, key: &str) -> Option<SecretString> {
        let allowed = "a string, { env = \"NAME\" } or { file = \"path\" } is needed";
        let value = self.get(key)?;
        if let Some(text) = value.get_ref().as_str() {
            return Some(SecretString::from(text));
        }
        let Some(reference) = self.as_table(key, value) else {
            // The value is not shown: it was meant to be a secret.
            self.fault(value.span(), format!("`{}` is not a string", self.path_of(key)), allowed);
            return None;
        };
        let secret = match (reference.string("env"), reference.string("file")) {
            (Some(name), None) => reference.secret_of_env(&name),
            (None, Some(file)) => reference.secret_of_file(&file),
            _ => {
                self.fault(value.span(), format!("`{}` names no single source", self.path_of(key)), allowed);
                None
            }
        };
        reference.finish();
        secret
    }

    fn secret_of_env(&self, name: &str) -> Option<SecretString> {
        match (self.reading.env)(name).filter(|text| !text.is_empty()) {
            Some(text) => Some(SecretString::from(text)),
            None => {
                let message = format!("the environment variable {name} is not set, or empty");
                self.fault(self.span_of("env"), message, format!("set it: export {name}=…"));
                None
            }
        }
    }

    fn secret_of_file(&self, file: &str) -> Option<SecretString> {
        let path = self.reading.folder.join(Path::new(file));
        match read_capped(&path, MAX_SECRET_BYTES) {
            Ok(text) => Some(SecretString::from(text.trim())),
            Err(error) => {
                let message = format!("cannot read the secret file {}: {error}", path.display());
                self.fault(
                    self.span_of("file"),
                    message,
                    "name a readable file, relative to the scenario's folder",
                );
                None
            }
        }
    }

    /// Faults for keys that nobody has asked for.
    pub(super) fn finish(&self) {
        let known = self.known.borrow();
        for key in self.table.keys().filter(|key| !known.contains(key.get_ref().as_ref())) {
            let name = key.get_ref();
            let list = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let help = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`? Known here: {list}"),
                None => format!("known here: {list}"),
            };
            self.fault(key.span(), format!("unknown key `{}`", self.path_of(name)), help);
        }
    }
}

/// A value for a message.
fn describe(path: &str, value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", shown(path, text)),
        DeValue::Integer(integer) => integer.as_str().to_owned(),
        DeValue::Float(float) => float.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The name that was likely meant.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
