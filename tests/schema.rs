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

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use resurge::scenario::{Fault, Loaded, Rule, ScenarioError, load};
use serde_json::Value;
use tempfile::TempDir;

use broken::break_one;
use instance::{Chance, Maker};

/// The two that must agree.
struct Judges {
    schemas: Schemas,
    schema: SchemaIndex,
    folder: TempDir,
}

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
        let path = self.folder.path().join("scenario.toml");
        fs::write(&path, text).unwrap();
        match load(&path, &Vec::new(), None, &|name| Some(format!("value-of-{name}"))) {
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

    /// The copy of a scenario that was taken is taken by both, and means the same.
    fn copy(&self, loaded: &Loaded, seed: u64) {
        let document: Value = toml::from_str(&loaded.copy).unwrap();
        let against = self.schema(&document);
        assert_eq!(against, None, "RESURGE_SEED={seed}: the copy\n{}", loaded.copy);
        match self.parser(&loaded.copy) {
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

/// How many documents, and which: `RESURGE_DOCUMENTS`, 20,000 unless told; `RESURGE_SEED` is one of them.
fn seeds() -> Box<dyn Iterator<Item = u64>> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("RESURGE_SEED") {
        Some(seed) => Box::new(std::iter::once(seed)),
        None => Box::new(0..number("RESURGE_DOCUMENTS").unwrap_or(20_000)),
    }
}

/// The keys of a document, by their pointers in it, without the numbers of elements.
fn keys_of(document: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match document {
        Value::Object(table) => {
            for (name, below) in table {
                let path = format!("{path}.{name}");
                keys_of(below, &path, keys);
                keys.insert(path);
            }
        }
        Value::Array(list) => list.iter().for_each(|below| keys_of(below, path, keys)),
        _ => {}
    }
}

#[test]
fn the_parser_and_the_schema_take_and_refuse_the_same() {
    let schema = resurge::scenario::schema();
    let (maker, judges) = (Maker::new(schema.clone()), Judges::new(schema.clone()));
    let (mut made, mut taken, mut refused, mut met) = (0_u64, 0_u64, 0_u64, BTreeSet::new());
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let density = *chance.one(&[1, 3, 10, 30, 70]);
        let document = maker.document(&mut chance, density);
        let (said, fits) = judges.both(&document, seed);
        assert!(fits, "RESURGE_SEED={seed}: a document made from the schema: {}", said.messages());
        keys_of(&document, "", &mut met);
        if let Said::Taken(loaded) = &said {
            judges.copy(loaded, seed);
            taken += 1;
        }
        let (_, fits) = judges.both(&break_one(&document, &schema, &maker, &mut chance), seed);
        refused += u64::from(!fits);
        made += 1;
    }
    println!(
        "{made} documents: {taken} taken in every respect; {refused} of as many broken ones refused; {} keys met",
        met.len()
    );
    if made > 1 {
        assert!(
            refused * 2 > made,
            "only {refused} of {made} broken documents were refused: nothing is shown"
        );
        assert!(
            taken * 20 > made,
            "only {taken} of {made} documents are scenarios: nothing is shown of copies"
        );
    }
}

/// A shipped scenario, with what the schema knows added key by key as long as it remains one.
#[test]
fn scenarios_that_grow_key_by_key_have_copies_that_mean_the_same() {
    let schema = resurge::scenario::schema();
    let (maker, judges) = (Maker::new(schema.clone()), Judges::new(schema.clone()));
    let files = scenarios();
    let (mut grown, mut added) = (0_u64, 0_u64);
    for seed in seeds().step_by(50) {
        let mut chance = Chance::new(seed);
        let mut document: Value = toml::from_str(&fs::read_to_string(chance.one(&files)).unwrap()).unwrap();
        for _ in 0..25 {
            let larger = broken::grow(&document, &schema, &maker, &mut chance);
            let (said, _) = judges.both(&larger, seed);
            if let Said::Taken(loaded) = said {
                judges.copy(&loaded, seed);
                document = larger;
                added += 1;
            }
        }
        grown += 1;
    }
    println!("{grown} scenarios grew by {added} keys");
    assert!(added > grown, "{added} keys in {grown} scenarios: nothing is shown");
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
