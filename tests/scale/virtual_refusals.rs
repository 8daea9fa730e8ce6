//! What virtual time refuses: exactly what stands in its table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use resurge::drive::virtual_time::UNSUPPORTED;
use resurge::run::simulation_of;
use resurge::scenario::load;

/// Why a scenario is refused; empty: it is not.
fn refused(path: &Path) -> String {
    let loaded =
        load(path, &Vec::new(), None, &|_| Some("x".to_owned())).unwrap_or_else(|why| panic!("{why}"));
    simulation_of(loaded, None).err().map(|why| why.to_string()).unwrap_or_default()
}

#[test]
fn each_row_of_the_table_has_a_scenario_that_meets_it() {
    let folder = tempfile::tempdir().unwrap();
    let group = "[[groups]]\nname = \"g\"\nclients = 1\n";
    let token = "token = { client_id = \"c\", client_secret = \"s\" }\n";
    let scenarios = BTreeMap::from([
        ("token.command", format!("{group}[groups.token]\ngrant = \"command\"\ncommand = [\"true\"]\n")),
        (
            "prepare.steps",
            format!(
                "{group}{token}[[groups.prepare.steps]]\nmethod = \"POST\"\npath = \"/oauth/token?x=1\"\n"
            ),
        ),
        (
            "session.mqtt",
            format!(
                "kind = \"remote\"\nurl = \"ws://127.0.0.1:1/mqtt\"\n[simulate]\nservice = \"forum\"\n\
                 {group}token = {{ grant = \"none\" }}\n[groups.session.mqtt]\n"
            ),
        ),
        (
            "target.faults",
            format!("[[target.faults]]\nkind = \"malformed_frame\"\nflaw = \"deflate\"\n{group}{token}"),
        ),
    ]);
    assert_eq!(UNSUPPORTED.len(), scenarios.len(), "a row without a scenario, or a scenario without a row");
    for row in &UNSUPPORTED {
        let path = folder.path().join("scenario.toml");
        std::fs::write(&path, format!("duration = \"1s\"\n[target]\n{}", scenarios[row.key])).unwrap();
        let why = refused(&path);
        assert!(why.contains(row.why) && why.contains(row.key), "{}: {why}", row.key);
        let others = UNSUPPORTED.iter().filter(|other| other.key != row.key);
        assert!(others.clone().all(|other| !why.contains(other.why)), "{}: {why}", row.key);
    }
}

/// All shipped scenarios in a folder.
pub(crate) fn shipped(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "toml")).collect();
    files.sort();
    files
}

#[test]
fn no_shipped_scenario_is_refused_but_those_of_a_remote_target() {
    for path in ["", "services", "simulate"].into_iter().flat_map(shipped) {
        assert_eq!(refused(&path), "", "{}", path.display());
    }
    for path in shipped("falls") {
        let why = refused(&path);
        assert!(why.contains("the target is remote"), "{}: {why}", path.display());
    }
}
