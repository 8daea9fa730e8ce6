//! Where the text of a scenario is: in a file, in the program, or nowhere, because an address is all that was said.
//!
//! In: what was named in place of a file. Out: its text, what it is called in messages, and the folder that its own paths are looked for in.

use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::Value;

use crate::declare::read_capped;
use crate::scenario::shipped::{named_by, shipped_scenario};

use super::error::ScenarioError;

/// The largest scenario file.
pub(super) const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The longest part of an address's path that a name has.
const LONGEST_PART: usize = 16;
/// The longest name: what a scenario's may have.
const LONGEST_NAME: usize = 64;

/// A scenario's text.
#[derive(Debug)]
pub(super) struct Source {
    /// What it is called in messages.
    pub(super) origin: String,
    /// The text.
    pub(super) text: String,
    /// The name that the scenario has without another.
    pub(super) stem: String,
    /// Where files that it names are looked for.
    pub(super) folder: PathBuf,
}

/// Reads what a path stands for: a file, a shipped scenario (`example:NAME`), or the plain case of an address (`wss://…`).
pub(super) fn read_source(path: &Path) -> Result<Source, ScenarioError> {
    let origin = path.display().to_string();
    if let Some(name) = named_by(path) {
        let shipped = shipped_scenario(name).map_err(ScenarioError::NotShipped)?;
        let stem = shipped.name.rsplit('/').next().unwrap_or(shipped.name).to_owned();
        return Ok(Source { origin, text: shipped.text.to_owned(), stem, folder: PathBuf::new() });
    }
    if let Some(url) = address(path) {
        let stem = name_of(url);
        // The address may hold a secret.
        let origin = format!("the plain case of {stem}");
        return Ok(Source { text: plain_case(url), stem, folder: PathBuf::new(), origin });
    }
    if has_scheme(path, &["http://", "https://"]) {
        return Err(ScenarioError::NoSocket);
    }
    let text = read_capped(path, MAX_BYTES)
        .map_err(|source| ScenarioError::Unreadable { path: origin.clone(), source })?;
    let stem =
        path.file_stem().map_or_else(|| "scenario".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Source { origin, text, stem, folder })
}

/// Whether several processes can each read what a path stands for: no pipe can be.
#[must_use]
pub fn is_read_again(path: &Path) -> bool {
    named_by(path).is_some()
        || address(path).is_some()
        || fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// Whether a path is an address of a service.
#[must_use]
pub fn is_address(path: &Path) -> bool {
    address(path).is_some()
}

fn address(path: &Path) -> Option<&str> {
    has_scheme(path, &["ws://", "wss://"]).then(|| path.to_str())?
}

fn has_scheme(path: &Path, schemes: &[&str]) -> bool {
    let text = path.to_str().unwrap_or_default().to_ascii_lowercase();
    schemes.iter().any(|scheme| text.starts_with(scheme))
}

/// Its host, port and path, as a name may have them. A long part of the path may be an id or a secret, and is left out.
fn name_of(url: &str) -> String {
    let named = url.parse::<url::Url>().ok().and_then(|url| {
        let port = url.port().map(|port| format!("-{port}")).unwrap_or_default();
        let is_short = |part: &&str| (1..=LONGEST_PART).contains(&part.len());
        let parts = url.path_segments().into_iter().flatten().filter(is_short);
        let path: String = parts.map(|part| format!("-{part}")).collect();
        url.host_str().map(|host| format!("{host}{port}{path}"))
    });
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() || "-.".contains(letter) { letter } else { '-' };
    let named = named.unwrap_or_else(|| "service".to_owned());
    let named: String = named.trim_matches(['-', '.', '[']).chars().map(letter).take(LONGEST_NAME).collect();
    named.trim_matches(['-', '.']).to_owned()
}

/// The plain case: clients without a token who hold a session and come back when it ends.
fn plain_case(url: &str) -> String {
    let url = Value::from(url);
    format!(
        "description = \"Clients that hold a session and come back when it ends\"\nduration = \"1m\"\n\
         [target]\nkind = \"remote\"\nurl = {url}\n\
         [[groups]]\nname = \"clients\"\nclients = 10\nstart = {{ over = \"5s\" }}\ntoken = {{ grant = \"none\" }}\n\
         [thresholds]\nhandshake_403_rate = [\"rate < 0.1%\"]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_one_host_have_names_of_their_own() {
        let long = "x".repeat(70);
        let rows = [
            ("ws://127.0.0.1:8080/", "127.0.0.1-8080"),
            ("ws://127.0.0.1:8080/events?token=sesame", "127.0.0.1-8080-events"),
            ("wss://api.example.com/v2/chat/room", "api.example.com-v2-chat-room"),
            ("wss://h/feed/eyJhbGciOiJIUzI1NiJ9abc", "h-feed"),
            ("ws://[::1]:1/x", "1--1-x"),
        ];
        for (url, expected) in rows {
            assert_eq!(name_of(url), expected, "{url}");
        }
        assert_eq!(name_of(&format!("wss://{long}.com/a")).len(), LONGEST_NAME);
    }
}
