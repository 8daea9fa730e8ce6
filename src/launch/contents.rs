//! What the machines of a run need of its scenario.
//!
//! In: the scenario's file, overrides. Out: the text to give to the coordinator, the variables that each worker reads, the files that the scenario names. No secret
//! is in it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::scenario::keys::{EventDoes, Scenario, Target};
use crate::scenario::{Overrides, load_for_traffic, load_text};

use super::error::LaunchError;

/// A scenario as other machines are to have it.
#[derive(Debug)]
pub struct Contents {
    /// What it says.
    pub scenario: Scenario,
    /// Its file.
    pub path: PathBuf,
    /// Its text: as the user wrote it; or, where secrets stand in that, the copy that refers to them, overrides applied.
    pub(super) text: String,
    /// What is still to be overridden in the text.
    pub(super) overrides: Overrides,
    /// Whether the text is the copy.
    pub(super) is_copy: bool,
    /// Whether an override may hold a secret.
    pub(super) is_secret_set: bool,
    /// The variables that each worker reads.
    pub(super) variables: BTreeSet<String>,
    /// Whether the coordinator needs them too: what they hold has a form that it checks, as an address has.
    pub(super) is_read_by_coordinator: bool,
    /// The files that anybody may see, as the scenario names them.
    pub(super) public_files: BTreeSet<String>,
    /// Those that may hold secrets.
    pub(super) secret_files: BTreeSet<String>,
    /// Those that belong to a machine.
    pub(super) local_files: BTreeSet<String>,
}

impl Contents {
    /// The text of a file that the scenario names.
    pub(super) fn read(&self, name: &str) -> Result<String, LaunchError> {
        read(&self.folder().join(name))
    }

    /// The stem of its file, by which a scenario is called that names itself nothing; of the letters that a key of a ConfigMap has.
    pub(super) fn stem(&self) -> String {
        let stem = self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let is_one = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.');
        let is_key = !stem.is_empty() && !stem.starts_with('.') && stem.chars().all(is_one);
        if is_key { stem } else { "scenario".to_owned() }
    }

    /// The folder from which the scenario names files.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

fn read(path: &Path) -> Result<String, LaunchError> {
    fs::read_to_string(path).map_err(|source| LaunchError::Unreadable { path: path.to_owned(), source })
}

/// What stands for a secret that is not known here; its coordinator does the same.
fn stand_in(name: &str) -> String {
    format!("of-the-worker-{name}")
}

/// Reads a scenario; secrets that it refers to may be known by `env`, and need not be.
///
/// # Errors
/// [`LaunchError`]: it cannot be used, or not be read again elsewhere.
pub fn read_contents(
    path: &Path,
    overrides: &Overrides,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Contents, LaunchError> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(LaunchError::NoFile { path: path.to_owned() });
    }
    let named = Named::default();
    let loaded = load_for_traffic(path, overrides, None, &|name| {
        named.tell(name, env(name).unwrap_or_else(|| stand_in(name)))
    })?;
    let is_read_by_coordinator =
        load_for_traffic(path, overrides, None, &|name| Some(stand_in(name))).is_err();
    let by_text = named.into_names();
    let by_copy = variables_of(&loaded.copy, &loaded.scenario.name);
    let is_copy = by_copy != by_text;
    let is_secret_set = is_copy && !overrides.is_empty() && {
        let unset = load_for_traffic(path, &Overrides::new(), None, &|name| Some(stand_in(name)));
        unset.map_or(true, |unset| variables_of(&unset.copy, &unset.scenario.name) != by_copy)
    };
    let (text, overrides) =
        if is_copy { (loaded.copy, Overrides::new()) } else { (read(path)?, overrides.clone()) };
    let folder = path.parent().unwrap_or(Path::new(""));
    let among = |files: &[&Path], name: &str| files.contains(&folder.join(name).as_path());
    let (public, local) = (public_files(&loaded.scenario), local_files(&loaded.scenario));
    let (public_files, others): (BTreeSet<_>, BTreeSet<_>) =
        loaded.files.into_iter().partition(|name| among(&public, name));
    let (local_files, secret_files) = others.into_iter().partition(|name| among(&local, name));
    Ok(Contents {
        scenario: loaded.scenario,
        path: path.to_owned(),
        text,
        overrides,
        is_copy,
        is_secret_set,
        variables: by_copy,
        is_read_by_coordinator,
        public_files,
        secret_files,
        local_files,
    })
}

/// The variables that were asked for.
#[derive(Debug, Default)]
struct Named(RefCell<BTreeSet<String>>);

impl Named {
    fn tell(&self, name: &str, value: String) -> Option<String> {
        self.0.borrow_mut().insert(name.to_owned());
        Some(value)
    }

    fn into_names(self) -> BTreeSet<String> {
        self.0.into_inner()
    }
}

/// The variables that a worker asks for which reads this copy.
fn variables_of(copy: &str, name: &str) -> BTreeSet<String> {
    let named = Named::default();
    // What else is wrong with it here, as files that lie elsewhere, does not matter: every value is read.
    let _ = load_text(copy, name, &|name| named.tell(name, stand_in(name)));
    named.into_names()
}

/// The files that anybody may see.
fn public_files(scenario: &Scenario) -> Vec<&Path> {
    match &scenario.target {
        Target::Remote(remote) => remote.ca_file.as_deref().into_iter().collect(),
        Target::Embedded(_) => Vec::new(),
    }
}

/// The files that belong to a machine.
fn local_files(scenario: &Scenario) -> Vec<&Path> {
    let events = scenario.events.iter();
    events
        .filter_map(|event| match &event.does {
            EventDoes::Signal(to) => Some(to.pid_file.as_path()),
            EventDoes::Command(_) | EventDoes::Http(_) => None,
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The contents of a scenario with `more` in it.
    pub(in super::super) fn contents(more: &str, overrides: &[(&str, &str)]) -> Contents {
        let target = if more.contains("[target]") { "" } else { "[target]\nkind = \"embedded\"" };
        let text = format!(
            "name = \"n\"\nduration = \"60s\"\n{more}\n{target}\n[[groups]]\nname = \"g\"\nclients = 1000\ntoken = {{ client_id = \"a\", client_secret = {{ env = \"SECRET\" }} }}\n"
        );
        read_text(&text, overrides)
    }

    fn read_text(text: &str, overrides: &[(&str, &str)]) -> Contents {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Night ly.toml");
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join("rows.csv"), "client_id,client_secret\na,b\n").unwrap();
        let overrides =
            overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        read_contents(&path, &overrides, &|_| None).unwrap()
    }

    const REMOTE: &str =
        "[target]\nurl = \"wss://127.0.0.1/\"\ntoken_url = \"https://127.0.0.1/\"\nca_file = \"ca.pem\"\n";

    #[test]
    fn what_workers_read_is_found() {
        let found = contents(REMOTE, &[]);
        assert_eq!(Vec::from_iter(&found.variables), ["SECRET"]);
        assert_eq!(Vec::from_iter(&found.public_files), ["ca.pem"]);
        assert!(!found.is_copy && !found.is_read_by_coordinator && found.text.starts_with("name"));
        assert!(found.secret_files.is_empty() && found.local_files.is_empty());
    }

    #[test]
    fn a_secret_in_the_text_becomes_a_reference() {
        let text = format!(
            "name = \"n\"\nduration = \"1s\"\n{REMOTE}[[groups]]\nname = \"g\"\nclients = 2\ntoken = {{ client_id = \"a\", client_secret = \"hush\" }}"
        );
        let found = read_text(&text, &[("duration", "\"2s\"")]);
        assert!(found.is_copy && !found.is_secret_set && found.overrides.is_empty());
        assert!(!found.text.contains("hush") && found.text.contains("2s"), "{}", found.text);
        assert_eq!(Vec::from_iter(&found.variables), ["RESURGE_G_CLIENT_SECRET"]);
        let set = text.replace("\"hush\"", "{ env = \"SECRET\" }");
        assert!(read_text(&set, &[("groups.0.token.client_secret", "\"hush\"")]).is_secret_set);
        assert!(!read_text(&set, &[("duration", "\"2s\"")]).is_secret_set);
    }

    #[test]
    fn files_of_secrets_are_told_apart() {
        let text = format!(
            "name = \"n\"\nduration = \"1s\"\n{REMOTE}[[groups]]\nname = \"g\"\nclients = 2\ntoken = {{ feeder = \"rows.csv\" }}"
        );
        let found = read_text(&text, &[]);
        assert_eq!(Vec::from_iter(&found.secret_files), ["rows.csv"]);
        assert_eq!(Vec::from_iter(&found.public_files), ["ca.pem"]);
    }

    #[test]
    fn an_address_in_a_variable_is_read_by_the_coordinator_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        let text = "name = \"n\"\nduration = \"1s\"\n[target]\nurl = { env = \"URL\" }\n[[groups]]\nname = \"g\"\nclients = 2\ntoken = { grant = \"none\" }\n";
        fs::write(&path, text).unwrap();
        let env = |name: &str| (name == "URL").then(|| "ws://127.0.0.1/".to_owned());
        let found = read_contents(&path, &Overrides::new(), &env).unwrap();
        assert!(found.is_read_by_coordinator);
        let refused = read_contents(&path, &Overrides::new(), &|_| None);
        assert!(matches!(refused, Err(LaunchError::Scenario(_))));
        assert!(matches!(
            read_contents(folder.path(), &Overrides::new(), &env),
            Err(LaunchError::NoFile { .. })
        ));
    }
}
