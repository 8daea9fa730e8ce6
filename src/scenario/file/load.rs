//! From a file and what the command line adds to it, to a scenario that can be run.
//!
//! In: a path, overrides, a seed, the environment. Out: [`Loaded`], or every fault at once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_edit::DocumentMut;

#[cfg(feature = "cluster")]
use crate::declare::SecretsElsewhere;
use crate::declare::{Fault, Faults, Keys as _, Reading, Redactor, Rule, Table, read_capped, shown};
use crate::scenario::keys::scenario::Scenario;
use crate::scenario::keys::target::Embedded;
use crate::scenario::keys::target_rules::TargetRules;
use crate::scenario::keys::told::Stem;
use crate::scenario::profiles::profile_text;

use super::ceilings::above_ceilings;
use crate::scenario::derived::arrivals::count_arrivals;

use super::check::{Conflict, check_scenario};
use super::copy::{Demo, copy_as_run, is_secret_path, secret_spans};
use super::edit::{Overrides, apply_override, split_path};
use super::error::ScenarioError;
use super::source::{MAX_BYTES, Source, read_source};

/// Keys that do not make two scenarios different: repeats differ by seed.
const NOT_HASHED: [&str; 3] = ["name", "description", "seed"];

/// A scenario that can be run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// Its text as run: overrides applied, secrets as references only.
    pub copy: String,
    /// SHA-256 of what it means (16 hex digits): comments, layout, name and seed do not count, nor do secrets.
    pub hash: String,
    /// Takes the secrets that it holds or refers to out of texts.
    pub redactor: Redactor,
    /// The files that it names, as it writes them.
    pub files: BTreeSet<String>,
}

/// Loads a scenario file.
///
/// # Errors
/// [`ScenarioError`] with every fault of the file and of the overrides.
pub fn load(
    path: &Path,
    overrides: &Overrides,
    seed: Option<u64>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ScenarioError> {
    load_checked(path, overrides, seed, env, |_| Vec::new())
}

/// The same for a run with real traffic: what is above a ceiling is a fault too.
///
/// # Errors
/// As [`load`].
pub fn load_for_traffic(
    path: &Path,
    overrides: &Overrides,
    seed: Option<u64>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ScenarioError> {
    load_checked(path, overrides, seed, env, above_ceilings)
}

/// Loads a scenario to lead workers on other machines: they have its secrets, and here a name stands for each.
///
/// # Errors
/// As [`load`].
#[cfg(feature = "cluster")]
pub fn load_to_lead(path: &Path, overrides: &Overrides, seed: Option<u64>) -> Result<Loaded, ScenarioError> {
    let (edit, stem, folder) = edit_file(path, overrides, seed)?;
    let env = |name: &str| std::env::var(name).ok();
    let reading = Reading::new(&env, folder);
    reading.tell(SecretsElsewhere);
    load_edited(edit, stem, reading, above_ceilings)
}

/// Loads the copy of a scenario that another machine has made ([`Loaded::copy`]), for a run with real traffic; files that it names are looked for from the
/// current folder on.
///
/// # Errors
/// As [`load`].
#[cfg(feature = "cluster")]
pub fn load_text(
    text: &str,
    name: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ScenarioError> {
    let edit = Edit::new("the scenario of the run", text.to_owned(), &Overrides::new())?;
    load_edited(edit, name.to_owned(), Reading::new(env, PathBuf::new()), above_ceilings)
}

fn load_checked(
    path: &Path,
    overrides: &Overrides,
    seed: Option<u64>,
    env: &dyn Fn(&str) -> Option<String>,
    also: fn(&Scenario) -> Vec<Conflict>,
) -> Result<Loaded, ScenarioError> {
    let (edit, stem, folder) = edit_file(path, overrides, seed)?;
    load_edited(edit, stem, Reading::new(env, folder), also)
}

/// A scenario's text with its overrides, the name that it has without another, and its folder.
fn edit_file(
    path: &Path,
    overrides: &Overrides,
    seed: Option<u64>,
) -> Result<(Edit, String, PathBuf), ScenarioError> {
    let Source { origin, text, stem, folder } = read_source(path)?;
    let mut overrides = overrides.clone();
    overrides.extend(seed.map(|seed| ("seed".to_owned(), seed.to_string())));
    Ok((Edit::new(&origin, text, &overrides)?, stem, folder))
}

fn load_edited(
    edit: Edit,
    stem: String,
    reading: Reading<'_>,
    also: fn(&Scenario) -> Vec<Conflict>,
) -> Result<Loaded, ScenarioError> {
    reading.tell(Stem(stem));
    let mut scenario =
        reading.parse(&edit.text).and_then(|root| read_scenario(&Table::root(&reading, &root)));
    let (redactor, files) = (reading.redactor(), reading.files());
    let mut faults = reading.into_faults();
    scenario.iter_mut().filter(|_| faults.is_empty()).for_each(count_arrivals);
    if let Some(scenario) = scenario.as_ref().filter(|_| faults.is_empty()) {
        faults.extend(check_scenario(scenario).into_iter().chain(also(scenario)).map(|conflict| Fault {
            span: span_at(&edit.text, &conflict.path).unwrap_or(0..0),
            rule: Rule::Between,
            message: conflict.message,
            help: conflict.help,
        }));
    }
    match scenario {
        Some(scenario) if faults.is_empty() => {
            let mut document = edit.document;
            let mut copied = |demo| copy_as_run(&mut document, &scenario.name, scenario.seed, demo);
            let copy = copied(Demo::Stays);
            // Hashes of before were made without it.
            let hash = hash(&copied(Demo::Hidden));
            Ok(Loaded { scenario, copy, hash, redactor, files })
        }
        _ => Err(edit.faults(faults)),
    }
}

/// Loads the rules of `resurge serve [PROFILE]`: a shipped profile's, or those of a file with the keys of `[target]`, in such a
/// table or at the top.
///
/// # Errors
/// [`ScenarioError`] with every fault.
pub fn load_target_rules(
    profile: &str,
    overrides: &[(String, String)],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<TargetRules, ScenarioError> {
    let path = Path::new(profile);
    let text = match profile_text(profile) {
        Some(text) => text.to_owned(),
        None => read_capped(path, MAX_BYTES)
            .map_err(|source| ScenarioError::NoProfile { name: profile.to_owned(), source })?,
    };
    let nested = text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("target"));
    let overrides: Overrides = overrides
        .iter()
        .map(|(key, value)| {
            let bare = key.strip_prefix("target.").unwrap_or(key);
            let key = if nested { format!("target.{bare}") } else { bare.to_owned() };
            (key, value.clone())
        })
        .collect();
    let edit = Edit::new(profile, text, &overrides)?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let reading = Reading::new(env, folder);
    let rules = reading.parse(&edit.text).and_then(|root| {
        let table = Table::root(&reading, &root);
        let target = if nested { table.get("target").and_then(|at| at.table()) } else { None };
        let place = target.as_ref().unwrap_or(&table);
        place.get("kind");
        let rules = Embedded::of_table(place, None);
        place.finish();
        rules
    });
    let faults = reading.into_faults();
    if faults.is_empty() {
        Ok(rules.map(|Embedded(rules)| rules).unwrap_or_default())
    } else {
        Err(edit.faults(faults))
    }
}

/// The embedded target's rules in a scenario's copy, as far as they can be read: secrets that it refers to may be out of reach, and what it is
/// short of is the usual. `None` where there is no such target.
#[must_use]
pub fn target_rules_of(copy: &str) -> Option<TargetRules> {
    let reading = Reading::new(&|_| None, PathBuf::new());
    let root = reading.parse(copy)?;
    let target = Table::root(&reading, &root).get("target")?.table()?;
    Embedded::of_table(&target, None).map(|Embedded(rules)| rules)
}

fn read_scenario(root: &Table<'_>) -> Option<Scenario> {
    let scenario = Scenario::of_table(root, None);
    root.finish();
    scenario
}

/// A text with its overrides applied.
struct Edit {
    origin: String,
    document: DocumentMut,
    text: String,
    overridden: Vec<(Range<usize>, String)>,
}

impl Edit {
    fn new(origin: &str, text: String, overrides: &Overrides) -> Result<Self, ScenarioError> {
        let faults_of = |text: String, faults: Vec<Fault>| {
            let hidden = spans_to_hide(&text);
            ScenarioError::Faults(Faults {
                origin: origin.to_owned(),
                text,
                faults,
                overridden: Vec::new(),
                hidden,
            })
        };
        let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            let span = error.span().unwrap_or(0..0);
            let (message, help) = ("this is not TOML".to_owned(), error.message().to_owned());
            let fault = Fault { span, rule: Rule::Value, message, help };
            faults_of(text.clone(), vec![fault])
        })?;
        for (path, value) in overrides {
            apply_override(&mut document, path, value).map_err(|fault| {
                let message = format!("--set {path}={}: {}", shown_at(path, value), fault.message);
                faults_of(
                    text.clone(),
                    vec![Fault { span: 0..0, rule: Rule::Value, message, help: fault.help }],
                )
            })?;
        }
        let text = if overrides.is_empty() { text } else { document.to_string() };
        let overridden = overrides
            .iter()
            .filter_map(|(path, value)| {
                Some((span_at(&text, path)?, format!("{path}={}", shown_at(path, value))))
            })
            .collect();
        Ok(Self { origin: origin.to_owned(), document, text, overridden })
    }

    fn faults(self, mut faults: Vec<Fault>) -> ScenarioError {
        faults.sort_by_key(|fault| fault.span.start);
        faults.dedup();
        let Self { origin, text, overridden, .. } = self;
        let hidden = spans_to_hide(&text);
        ScenarioError::Faults(Faults { origin, text, faults, overridden, hidden })
    }
}

/// What an override sets, as a message may show it.
fn shown_at(path: &str, value: &str) -> String {
    let is_secret = split_path(path).is_ok_and(|keys| is_secret_path(&keys));
    if is_secret { "…".to_owned() } else { shown(path, value) }
}

/// Where a text has secrets.
fn spans_to_hide(text: &str) -> Vec<Range<usize>> {
    secret_spans(DeTable::parse_recoverable(text).0.get_ref())
}

/// Where the value at a dotted path stands, key included.
fn span_at(text: &str, path: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let keys = split_path(path).ok()?;
    let (last, parents) = keys.split_last()?;
    let mut table = root.get_ref();
    let mut list: Option<&toml::de::DeArray<'_>> = None;
    for key in parents {
        let value = enter(table, list.take(), key)?;
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::Array(array) => list = Some(array),
            _ => return None,
        }
    }
    let value = enter(table, list, last)?;
    let key_start = table.keys().find(|key| key.get_ref() == last).map(Spanned::span).map(|span| span.start);
    let span = value.span();
    Some(key_start.filter(|_| list.is_none()).unwrap_or(span.start).min(span.start)..span.end)
}

fn enter<'d>(
    table: &'d DeTable<'d>,
    list: Option<&'d toml::de::DeArray<'d>>,
    key: &str,
) -> Option<&'d Spanned<DeValue<'d>>> {
    match list {
        Some(list) => list.get(key.parse::<usize>().ok()?),
        None => table.get(key),
    }
}

/// The hash of what a scenario's copy means.
fn hash(copy: &str) -> String {
    let mut table: toml::Table = copy.parse().unwrap_or_default();
    for key in NOT_HASHED {
        table.remove(key);
    }
    let canonical = serde_json::to_string(&table).unwrap_or_default();
    let digest = Sha256::digest(canonical.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
