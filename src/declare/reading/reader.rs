//! Reading a TOML document value by value, gathering every fault on the way.
//!
//! In: spanned values. Out: tables and places, and faults. Keys that nobody asked for are faults at the end, with the likeliest of those that
//! somebody did.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Rule};
use super::secrets::shown;
use crate::declare::redact::Redactor;

/// Reads a text file of at most `most` bytes, whatever kind of file it is.
pub(crate) fn read_capped(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(text)
}

/// Where faults are gathered, and what values may refer to.
pub(crate) struct Reading<'a> {
    faults: RefCell<Vec<Fault>>,
    /// The environment.
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Files that the scenario names are relative to this folder.
    folder: PathBuf,
    /// What keys that were read before mean for those that follow, one value of a type.
    told: RefCell<BTreeMap<TypeId, Box<dyn Any>>>,
    /// The secrets that the document holds or refers to.
    secrets: RefCell<Vec<SecretString>>,
    /// The files that the document names, as it writes them.
    files: RefCell<BTreeSet<String>>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(env: &'a dyn Fn(&str) -> Option<String>, folder: PathBuf) -> Self {
        Self {
            faults: RefCell::default(),
            env,
            folder,
            told: RefCell::default(),
            secrets: RefCell::default(),
            files: RefCell::default(),
        }
    }

    /// A secret was read.
    pub(crate) fn keep_secret(&self, secret: &SecretString) {
        self.secrets.borrow_mut().push(secret.clone());
    }

    /// One who knows the secrets that were read.
    pub(crate) fn redactor(&self) -> Redactor {
        Redactor::new(&self.secrets.borrow())
    }

    /// Tells the keys that follow of a value, in place of the last of its type.
    pub(crate) fn tell<T: Any>(&self, value: T) {
        self.told.borrow_mut().insert(TypeId::of::<T>(), Box::new(value));
    }

    /// What the keys before told of this type.
    pub(crate) fn told<T: Any + Clone>(&self) -> Option<T> {
        self.told.borrow().get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }

    /// Nothing is told of this type any more.
    pub(crate) fn forget<T: Any>(&self) {
        self.told.borrow_mut().remove(&TypeId::of::<T>());
    }

    pub(crate) fn fault(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.add(Rule::Value, span, message, help);
    }

    fn add(&self, rule: Rule, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.borrow_mut().push(Fault { span, rule, message: message.into(), help: help.into() });
    }

    /// What was wrong.
    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    /// A variable of the environment; `None` where it is not set, or empty.
    pub(crate) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|text| !text.is_empty())
    }

    /// A file that the scenario names.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.borrow_mut().insert(name.to_owned());
        self.folder.join(name)
    }

    /// The files that were named, as they were.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        self.files.borrow().clone()
    }

    /// Parses a text; `None`, and a fault for each, where it is no TOML.
    pub(crate) fn parse<'t>(&self, text: &'t str) -> Option<Spanned<DeTable<'t>>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            self.fault(span, "this is not TOML", error.message().to_owned());
        }
        errors.is_empty().then_some(root)
    }
}

/// A value and where it stands.
pub(crate) type Spot<'t> = Spanned<DeValue<'t>>;

/// A value under reading.
pub(crate) struct At<'t> {
    pub(crate) reading: &'t Reading<'t>,
    value: &'t Spot<'t>,
    /// Its dotted path.
    pub(crate) path: String,
}

impl<'t> At<'t> {
    pub(crate) fn value(&self) -> &'t DeValue<'t> {
        self.value.get_ref()
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(crate) fn text(&self) -> Option<&'t str> {
        self.value().as_str()
    }

    /// Its integer, if it is one.
    pub(crate) fn integer(&self) -> Option<i128> {
        let integer = self.value().as_integer()?;
        i128::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// Its number, if it is one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self.value() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(_) => self.integer().map(|integer| integer as f64),
            _ => None,
        }
    }

    /// Its elements, if it is a list.
    pub(crate) fn elements(&self) -> Option<impl Iterator<Item = At<'t>> + use<'t>> {
        let array = self.value().as_array()?;
        let (reading, path) = (self.reading, self.path.clone());
        Some(array.iter().enumerate().map(move |(index, value)| At {
            reading,
            value,
            path: format!("{path}.{index}"),
        }))
    }

    /// It as a table, if it is one.
    pub(crate) fn table(&self) -> Option<Table<'t>> {
        let table = self.value().as_table()?;
        Some(Table::new(self.reading, table, self.span(), self.path.clone()))
    }

    /// A fault about it.
    pub(crate) fn fault(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reading.fault(self.span(), message, help);
    }

    /// A fault between it and others.
    pub(crate) fn between(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reading.add(Rule::Between, self.span(), message, help);
    }

    /// A fault of what it refers to.
    pub(crate) fn elsewhere(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reading.add(Rule::Elsewhere, self.span(), message, help);
    }

    /// A fault: it is not what is allowed.
    pub(crate) fn wrong(&self, allowed: impl Into<String>) {
        self.fault(self.as_it_is(), allowed);
    }

    /// A fault: it is of the right form, and there is no such thing.
    pub(crate) fn unknown(&self, allowed: impl Into<String>) {
        self.elsewhere(self.as_it_is(), allowed);
    }

    fn as_it_is(&self) -> String {
        format!("`{}` is {}", self.path, describe(&self.path, self.value()))
    }
}

/// A table under reading.
pub(crate) struct Table<'t> {
    pub(crate) reading: &'t Reading<'t>,
    table: &'t DeTable<'t>,
    pub(crate) span: Range<usize>,
    /// Dotted path of the table, empty for the whole file.
    pub(crate) path: String,
    known: RefCell<BTreeSet<String>>,
    /// Keys that there would be if another had another value, which key, and that value.
    known_beside: RefCell<BTreeMap<&'static str, (&'static str, &'static str)>>,
    /// Which keys there may be is not known, as what decides it is faulty.
    is_unsure: Cell<bool>,
}

impl<'t> Table<'t> {
    pub(crate) fn new(
        reading: &'t Reading<'t>,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        path: String,
    ) -> Self {
        Self {
            reading,
            table,
            span,
            path,
            known: RefCell::default(),
            known_beside: RefCell::default(),
            is_unsure: Cell::new(false),
        }
    }

    /// A whole document.
    pub(crate) fn root(reading: &'t Reading<'t>, root: &'t Spanned<DeTable<'t>>) -> Self {
        // What is missing from the whole is pointed out at its first character.
        let end = root.span().end.min(1);
        Self::new(reading, root.get_ref(), 0..end, String::new())
    }

    /// The dotted path of a key of this table.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn fault(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.reading.fault(span, message, help);
    }

    /// A fault between a key and others; without a key, of the table as a whole.
    pub(crate) fn between(&self, key: Option<&str>, message: impl Into<String>, help: impl Into<String>) {
        let span = key.map_or_else(|| self.span.clone(), |key| self.span_of(key));
        self.reading.add(Rule::Between, span, message, help);
    }

    /// The value of a key, if it is there. The key is known from now on.
    pub(crate) fn get(&self, key: &str) -> Option<At<'t>> {
        self.known.borrow_mut().insert(key.to_owned());
        self.peek(key)
    }

    /// The value of a key, if it is there, for somebody who only looks.
    pub(crate) fn peek(&self, key: &str) -> Option<At<'t>> {
        let value = self.table.get(key)?;
        Some(At { reading: self.reading, value, path: self.path_of(key) })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where a key's value stands; the table where it does not.
    pub(crate) fn span_of(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &'t Spanned<std::borrow::Cow<'t, str>>> + use<'t> {
        self.table.keys()
    }

    /// A fault for a key that must be there.
    pub(crate) fn missing(&self, key: &str, help: &str) {
        let place = if self.path.is_empty() { "the scenario".to_owned() } else { format!("[{}]", self.path) };
        self.fault(self.span.clone(), format!("{place} has no `{key}`"), help);
    }

    /// There would be `key` if `tag` were `value`.
    pub(crate) fn known_beside(&self, key: &'static str, tag: &'static str, value: &'static str) {
        self.known_beside.borrow_mut().entry(key).or_insert((tag, value));
    }

    /// Which keys there may be cannot be said.
    pub(crate) fn unsure(&self) {
        self.is_unsure.set(true);
    }

    /// Faults for keys that nobody has asked for.
    pub(crate) fn finish(&self) {
        if self.is_unsure.get() {
            return;
        }
        let known = self.known.borrow();
        for key in self.table.keys().filter(|key| !known.contains(key.get_ref().as_ref())) {
            let name = key.get_ref();
            let list = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let near = nearest(name, known.iter().map(String::as_str));
            let help = match (self.known_beside.borrow().get(name.as_ref()), near) {
                (Some((tag, value)), _) => format!("it goes with {tag} = \"{value}\". Known here: {list}"),
                (None, Some(near)) => format!("did you mean `{near}`? Known here: {list}"),
                (None, None) => format!("known here: {list}"),
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
pub(crate) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
