//! What `deny.toml` promises, as far as `Cargo.lock` alone tells: which crates are there twice, where all come from, which are banned.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn read(file: &str) -> toml::Table {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap().parse().unwrap()
}

fn text<'t>(table: &'t toml::Value, key: &str) -> Option<&'t str> {
    table.get(key).and_then(toml::Value::as_str)
}

/// All packages but this one: name, version, source.
fn packages(lock: &toml::Table) -> Vec<(String, String, Option<String>)> {
    let all = lock["package"].as_array().unwrap().iter();
    let named = all.map(|package| {
        let of = |key| text(package, key).map(str::to_owned);
        (of("name").unwrap(), of("version").unwrap(), of("source"))
    });
    named.filter(|(name, ..)| name != env!("CARGO_PKG_NAME")).collect()
}

/// The older versions of crates that are there more than once, as `name@version`.
fn doubles(lock: &toml::Table) -> BTreeSet<String> {
    let mut versions: BTreeMap<String, Vec<Vec<u64>>> = BTreeMap::new();
    for (name, version, _) in packages(lock) {
        let numbers = version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect();
        versions.entry(name).or_default().push(numbers);
    }
    let older = versions.iter_mut().flat_map(|(name, versions)| {
        versions.sort();
        versions.pop();
        let shown = |version: &Vec<u64>| version.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        versions.iter().map(|version| format!("{name}@{}", shown(version))).collect::<Vec<_>>()
    });
    older.collect()
}

#[test]
fn crates_that_are_there_twice_are_known_and_each_has_a_reason() {
    let deny = read("deny.toml");
    let skipped = deny["bans"]["skip"].as_array().unwrap();
    assert!(skipped.iter().all(|skip| text(skip, "reason").is_some_and(|reason| !reason.is_empty())));
    let known: BTreeSet<String> =
        skipped.iter().map(|skip| text(skip, "crate").unwrap().to_owned()).collect();
    assert_eq!(
        doubles(&read("Cargo.lock")),
        known,
        "Cargo.lock on the left, [bans] skip of deny.toml on the right: take away what is there twice, or say why it is"
    );
    let planted =
        "[[package]]\nname = \"a\"\nversion = \"1.10.0\"\n[[package]]\nname = \"a\"\nversion = \"1.9.1\"\n";
    assert_eq!(doubles(&planted.parse().unwrap()), BTreeSet::from(["a@1.9.1".to_owned()]));
}

#[test]
fn everything_comes_from_the_registry_with_a_checksum_and_nothing_is_banned() {
    let lock = read("Cargo.lock");
    let deny = read("deny.toml");
    let banned = deny["bans"]["deny"].as_array().unwrap();
    let banned: BTreeSet<&str> = banned.iter().map(|ban| text(ban, "crate").unwrap()).collect();
    assert!(banned.contains("openssl-sys"));
    for (name, version, source) in packages(&lock) {
        let source = source.unwrap_or_default();
        assert!(source.starts_with("registry+"), "{name} {version} comes from `{source}`");
        assert!(!banned.contains(name.as_str()), "{name} is banned");
    }
    let unchecked =
        lock["package"].as_array().unwrap().iter().filter(|package| package.get("checksum").is_none());
    let unchecked: Vec<_> = unchecked.map(|package| text(package, "name").unwrap()).collect();
    assert_eq!(unchecked, [env!("CARGO_PKG_NAME")], "these have no checksum");
    // Nor is anything taken from elsewhere than the registry by the manifest.
    let manifest = read("Cargo.toml");
    assert!(manifest.get("patch").is_none() && manifest.get("replace").is_none());
}

#[test]
fn no_line_of_this_program_is_unsafe() {
    let manifest = read("Cargo.toml");
    assert_eq!(text(&manifest["lints"]["rust"], "unsafe_code"), Some("forbid"));
}
