//! The scenarios that are shipped with the program, so that a first run needs no file.
//!
//! In: a name. Out: the scenario's text. Those of `scenarios/falls` are not among them: they need a rig beside them.

use std::path::Path;

/// What stands before the name of a shipped scenario where a file's path could stand.
const PREFIX: &str = "example:";
/// How like the names of two scenarios are where one may be meant by the other (Jaro and Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// A scenario that is shipped with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShippedScenario {
    /// Its name: its path below `scenarios`, without the ending.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The scenarios of these names.
macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(ShippedScenario {
            name: $name,
            text: include_str!(concat!("../../../scenarios/", $name, ".toml")),
        }),+]
    };
}

/// Every shipped scenario: what the embedded target shows first, then services, then what virtual time is for.
pub const SHIPPED: &[ShippedScenario] = shipped![
    "smoke",
    "idle-reconnect",
    "deploy-storm",
    "token-expiry",
    "missing-scope",
    "refetch-loop",
    "refresh-race",
    "probe-cascade",
    "eviction-cascade",
    "bad-day",
    "browser-fleet",
    "arrivals",
    "hundred-thousand",
    "million",
    "services/ably",
    "services/auth0",
    "services/aws-api-gateway",
    "services/aws-api-gateway-iam",
    "services/aws-iot",
    "services/centrifugo",
    "services/cognito",
    "services/cookie-session",
    "services/discord",
    "services/entra",
    "services/genesys-channels",
    "services/graphql-ws",
    "services/json-rpc",
    "services/keycloak",
    "services/livekit",
    "services/okta",
    "services/own-jwt",
    "services/phoenix",
    "services/pusher",
    "services/signalr-negotiate",
    "services/slack-socket-mode",
    "services/socket-io",
    "services/stomp",
    "services/twitch-eventsub",
    "simulate/million-deploy",
    "simulate/stale-cascade",
    "simulate/token-day",
];

impl ShippedScenario {
    /// What it shows, in a sentence; empty where it does not say.
    #[must_use]
    pub fn description(&self) -> String {
        let table = self.text.parse::<toml::Table>().unwrap_or_default();
        table.get("description").and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    }

    /// Its last part: `auth0` of `services/auth0`.
    fn stem(&self) -> &'static str {
        self.name.rsplit('/').next().unwrap_or(self.name)
    }
}

/// The shipped scenario of that name, or of that last part of its name.
///
/// # Errors
/// There is none: a sentence that says so, with the name that may be meant.
pub fn shipped_scenario(name: &str) -> Result<&'static ShippedScenario, String> {
    let bare = name.strip_suffix(".toml").unwrap_or(name);
    let found = SHIPPED.iter().find(|known| known.name == bare || known.stem() == bare);
    found.ok_or_else(|| {
        let likeness = |known: &&ShippedScenario| {
            strsim::jaro_winkler(known.name, bare).max(strsim::jaro_winkler(known.stem(), bare))
        };
        let nearest = SHIPPED.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let hint = match nearest.filter(|known| likeness(known) > ALIKE) {
            Some(known) => format!("; is {} meant?", known.name),
            None => "; `resurge examples` lists them".to_owned(),
        };
        format!("there is no shipped scenario {name}{hint}")
    })
}

/// What stands for a shipped scenario where a scenario file is named: `example:deploy-storm`.
#[must_use]
pub fn shipped_path(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The name of the shipped scenario that a path stands for; `None`: it is a file's.
pub(super) fn named_by(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(PREFIX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_scenario_of_the_folder_is_shipped_and_says_what_it_shows() {
        let mut names = Vec::new();
        for folder in ["", "services", "simulate"] {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(folder);
            for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
                if let Some(stem) = entry.to_str().unwrap().strip_suffix(".toml") {
                    let stem = stem.rsplit('/').next().unwrap();
                    names.push(if folder.is_empty() { stem.to_owned() } else { format!("{folder}/{stem}") });
                }
            }
        }
        let mut shipped: Vec<String> = SHIPPED.iter().map(|known| known.name.to_owned()).collect();
        names.sort();
        shipped.sort();
        assert_eq!(shipped, names);
        let silent: Vec<&str> =
            SHIPPED.iter().filter(|known| known.description().is_empty()).map(|known| known.name).collect();
        assert_eq!(silent, Vec::<&str>::new());
    }

    #[test]
    fn a_name_or_its_last_part_finds_it_and_a_slip_is_told() {
        let name = |wanted| shipped_scenario(wanted).map(|known| known.name);
        assert_eq!(name("services/auth0"), Ok("services/auth0"));
        assert_eq!(name("auth0"), Ok("services/auth0"));
        assert_eq!(name("deploy-storm.toml"), Ok("deploy-storm"));
        let told = "there is no shipped scenario deploy-strom; is deploy-storm meant?";
        assert_eq!(name("deploy-strom"), Err(told.to_owned()));
        let told = "there is no shipped scenario zzz; `resurge examples` lists them";
        assert_eq!(name("zzz"), Err(told.to_owned()));
    }
}
