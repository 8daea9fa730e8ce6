//! The parser and the JSON Schema of scenarios take and refuse the same: documents made from the schema, and documents with one rule broken.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "schema/broken.rs"]
mod broken;
#[path = "schema/instance.rs"]
mod instance;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use boon::{Compiler, SchemaIndex, Schemas};
use resurge::scenario::{Fault, Loaded, Rule, ScenarioError, describe, load};
use serde_json::Value;
use tempfile::TempDir;

use broken::break_one;
use instance::{Chance, HIDDEN, Maker, SECRET};

/// The two that must agree.
struct Judges {
    schemas: Schemas,
    schema: SchemaIndex,
    folder: TempDir,
}

/// What references refer to begins with this.
const REFERRED: &str = "rEfErReD-5a6b-";

/// What the parser says of a document.
enum Said {
    Taken(Box<Loaded>),
    Faults(Vec<Fault>),
}

impl Said {
    /// Whether no value is wrong: rules between keys, and what lies elsewhere, are not the schema's.
    fn fits(&self) -> bool {
        match self {
            Self::Taken(_) => true,
            Self::Faults(faults) => faults.iter().all(|fault| fault.rule != Rule::Value),
        }
    }

    fn messages(&self) -> String {
        match self {
            Self::Taken(_) => "taken".to_owned(),
            Self::Faults(faults) => {
                let lines = faults
                    .iter()
                    .map(|fault| format!("{:?}: {} ({})", fault.rule, fault.message, fault.help));
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl Judges {
    fn new(schema: Value) -> Self {
        let mut compiler = Compiler::new();
        compiler.add_resource("scenario.json", schema).unwrap();
        let mut schemas = Schemas::new();
        let schema = compiler.compile("scenario.json", &mut schemas).unwrap();
        Self { schemas, schema, folder: TempDir::new().unwrap() }
    }

    fn parser(&self, text: &str) -> Said {
        self.parser_in(&BTreeMap::new(), text)
    }

    /// The same, with some variables of the environment.
    fn parser_in(&self, env: &BTreeMap<String, String>, text: &str) -> Said {
        let path = self.folder.path().join("scenario.toml");
        fs::write(&path, text).unwrap();
        match load(&path, &Vec::new(), None, &|name| {
            Some(env.get(name).cloned().unwrap_or_else(|| format!("{REFERRED}{name}")))
        }) {
            Ok(loaded) => Said::Taken(Box::new(loaded)),
            Err(ScenarioError::Faults(faults)) => Said::Faults(faults.faults),
            Err(other) => panic!("{other}"),
        }
    }

    /// What the schema has against a document.
    fn schema(&self, document: &Value) -> Option<String> {
        self.schemas.validate(document, self.schema).err().map(|error| format!("{error:#}"))
    }

    /// Whether both take it; they must agree.
    fn both(&self, document: &Value, seed: u64) -> (Said, bool) {
        let text =
            toml::to_string(document).unwrap_or_else(|why| panic!("RESURGE_SEED={seed}: {why}: {document}"));
        let said = self.parser(&text);
        let against = self.schema(document);
        assert_eq!(
            said.fits(),
            against.is_none(),
            "RESURGE_SEED={seed}: the parser says: {}\nthe schema says: {}\n{text}",
            said.messages(),
            against.as_deref().unwrap_or("valid")
        );
        let fits = said.fits();
        (said, fits)
    }

    /// What is printed of a scenario that was taken shows no secret. Its copy is taken by both, and means the same.
    fn copy(&self, loaded: &Loaded, of: &Value, seed: u64) {
        let printed = format!("{:?}", loaded.scenario);
        let told = describe(loaded);
        for (text, what) in [(&printed, "printed"), (&told, "told"), (&loaded.copy, "copied")] {
            for secret in [SECRET, &format!("key={HIDDEN}"), REFERRED] {
                assert!(!text.contains(secret), "RESURGE_SEED={seed}: {secret} is {what}: {text}");
            }
        }
        assert!(!printed.contains(HIDDEN), "RESURGE_SEED={seed}: what may be secret is printed: {printed}");
        let document: Value = toml::from_str(&loaded.copy).unwrap();
        let mut env = BTreeMap::new();
        put_out(of, &document, &mut env);
        let against = self.schema(&document);
        assert_eq!(against, None, "RESURGE_SEED={seed}: the copy\n{}", loaded.copy);
        match self.parser_in(&env, &loaded.copy) {
            Said::Taken(again) => {
                assert_eq!(again.copy, loaded.copy, "RESURGE_SEED={seed}");
                assert_eq!(again.hash, loaded.hash, "RESURGE_SEED={seed}");
                assert_eq!(
                    format!("{:?}", again.scenario),
                    format!("{:?}", loaded.scenario),
                    "RESURGE_SEED={seed}: {}",
                    loaded.copy
                );
            }
            refused => panic!("RESURGE_SEED={seed}: {}\n{}", refused.messages(), loaded.copy),
        }
    }
}

/// How many documents, and which: `RESURGE_DOCUMENTS`, 8,000 unless told; `RESURGE_SEED` is one of them.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("RESURGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RESURGE_DOCUMENTS").unwrap_or(8_000),
    }
}

/// Deals every `step`th seed out to as many threads as there are cores, and adds up what they count.
fn dealt(step: u64, count: fn(&mut dyn Iterator<Item = u64>) -> Count) -> Count {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    thread::scope(|scope| {
        let counts: Vec<_> = (0..threads)
            .map(|thread| {
                let mut seeds = seeds()
                    .step_by(step as usize)
                    .enumerate()
                    .filter(move |(index, _)| *index as u64 % threads == thread)
                    .map(|(_, seed)| seed);
                scope.spawn(move || count(&mut seeds))
            })
            .collect();
        let mut all = Count::default();
        for count in counts {
            all.add(count.join().unwrap_or_else(|why| std::panic::resume_unwind(why)));
        }
        all
    })
}

/// What was seen.
#[derive(Default)]
struct Count {
    /// Documents that were made, or scenarios that grew.
    made: u64,
    /// Those that were scenarios in every respect, or the keys that were added.
    taken: u64,
    /// Broken ones that were refused.
    refused: u64,
    /// Scenarios with a secret, in their text or referred to, or with a text that may hold one.
    secret: u64,
    /// The names of the keys that were met.
    met: BTreeSet<String>,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.made += other.made;
        self.taken += other.taken;
        self.refused += other.refused;
        self.secret += other.secret;
        self.met.extend(other.met);
    }
}

/// The texts of a document that its copy refers to instead, by the variables' names.
fn put_out(document: &Value, copy: &Value, env: &mut BTreeMap<String, String>) {
    match (document, copy) {
        (Value::String(text), Value::Object(reference)) => {
            env.extend(reference["env"].as_str().map(|name| (name.to_owned(), text.clone())));
        }
        (Value::Object(table), Value::Object(copied)) => {
            for (key, value) in table {
                put_out(value, &copied[key], env);
            }
        }
        (Value::Array(list), Value::Array(copied)) => {
            for (value, copied) in list.iter().zip(copied) {
                put_out(value, copied, env);
            }
        }
        _ => {}
    }
}

/// The names of a document's keys.
fn names_in(document: &Value, names: &mut BTreeSet<String>) {
    match document {
        Value::Object(table) => {
            names.extend(table.keys().cloned());
            table.values().for_each(|below| names_in(below, names));
        }
        Value::Array(list) => list.iter().for_each(|below| names_in(below, names)),
        _ => {}
    }
}

/// The names of the keys that a schema knows.
fn names_known(node: &Value, names: &mut BTreeSet<String>) {
    if let Some(properties) = node["properties"].as_object() {
        names.extend(properties.keys().cloned());
    }
    match node {
        Value::Object(table) => table.values().for_each(|below| names_known(below, names)),
        Value::Array(list) => list.iter().for_each(|below| names_known(below, names)),
        _ => {}
    }
}

/// How full a document is: the chance, in a hundred, of each key that need not be there. Few are full, for a full one has thousands of keys.
const DENSITIES: [u64; 10] = [1, 1, 1, 1, 1, 2, 3, 3, 12, 25];

#[test]
fn the_parser_and_the_schema_take_and_refuse_the_same() {
    let Count { made, taken, refused, secret, met } = dealt(1, made_and_broken);
    let mut known = BTreeSet::new();
    names_known(&resurge::scenario::schema(), &mut known);
    let unmet: Vec<_> = known.difference(&met).collect();
    println!(
        "{made} documents: {taken} taken in every respect, {secret} with a secret; {refused} of as many broken ones refused; {} of {} names of keys met",
        known.len() - unmet.len(),
        known.len()
    );
    assert!(made < 8_000 || unmet.is_empty(), "in no document: {unmet:?}");
    if made > 1 {
        assert!(
            refused * 2 > made,
            "only {refused} of {made} broken documents were refused: nothing is shown"
        );
        assert!(
            taken * 30 > made,
            "only {taken} of {made} documents are scenarios: nothing is shown of copies"
        );
        assert!(
            secret * 4 > taken,
            "only {secret} of {taken} scenarios have a secret: nothing is shown of Debug"
        );
    }
}

fn made_and_broken(seeds: &mut dyn Iterator<Item = u64>) -> Count {
    let schema = resurge::scenario::schema();
    let (maker, judges) = (Maker::new(schema.clone()), Judges::new(schema.clone()));
    let mut count = Count::default();
    for seed in seeds {
        let mut chance = Chance::new(seed);
        let density = *chance.one(&DENSITIES);
        let document = maker.document(&mut chance, density);
        let (said, fits) = judges.both(&document, seed);
        assert!(fits, "RESURGE_SEED={seed}: a document made from the schema: {}", said.messages());
        names_in(&document, &mut count.met);
        if let Said::Taken(loaded) = &said {
            judges.copy(loaded, &document, seed);
            count.taken += 1;
            let text = document.to_string();
            let has_secret = [SECRET, HIDDEN, "\"env\""].iter().any(|secret| text.contains(secret));
            count.secret += u64::from(has_secret);
        }
        let (_, fits) = judges.both(&break_one(&document, &schema, &maker, &mut chance), seed);
        count.refused += u64::from(!fits);
        count.made += 1;
    }
    count
}

/// A shipped scenario, with what the schema knows added key by key as long as it remains one.
#[test]
fn scenarios_that_grow_key_by_key_have_copies_that_mean_the_same() {
    let Count { made, taken, .. } = dealt(100, grown);
    println!("{made} scenarios grew by {taken} keys");
    assert!(taken > made, "{taken} keys in {made} scenarios: nothing is shown");
}

fn grown(seeds: &mut dyn Iterator<Item = u64>) -> Count {
    let schema = resurge::scenario::schema();
    let (maker, judges) = (Maker::new(schema.clone()), Judges::new(schema.clone()));
    let files = scenarios();
    let mut count = Count::default();
    for seed in seeds {
        let mut chance = Chance::new(seed);
        let mut document: Value = toml::from_str(&fs::read_to_string(chance.one(&files)).unwrap()).unwrap();
        for _ in 0..25 {
            let larger = broken::grow(&document, &schema, &maker, &mut chance);
            let (said, _) = judges.both(&larger, seed);
            if let Said::Taken(loaded) = said {
                judges.copy(&loaded, &larger, seed);
                document = larger;
                count.taken += 1;
            }
        }
        count.made += 1;
    }
    count
}

/// The shipped scenarios.
fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    files.sort();
    files
}
