//! What is said on the command line about the plain case: the address of a service in place of a scenario.
//!
//! In: options. Out: overrides of the scenario that stands for the address.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use toml_edit::{InlineTable, Value};

use crate::scenario::is_address;
use crate::units::{format_duration, parse_duration};

/// The variable that holds the client's secret.
const SECRET: &str = "RESURGE_CLIENT_SECRET";

/// Over which time clients come where the run is long enough.
const USUAL_START: Duration = Duration::from_secs(5);

/// Options of the plain case.
#[derive(Debug, Args)]
#[command(next_help_heading = "With a URL")]
pub(super) struct PlainArgs {
    /// The number of clients [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    clients: Option<u32>,
    /// The duration of the run [default: 1m]
    #[arg(long, value_name = "DURATION")]
    duration: Option<String>,
    /// The token endpoint, for client credentials; the environment variable RESURGE_CLIENT_SECRET holds the secret
    #[arg(long, value_name = "URL", conflicts_with = "token_env")]
    token_url: Option<String>,
    /// The client id for the token endpoint [default: load-test]
    #[arg(long, value_name = "ID", requires = "token_url")]
    client_id: Option<String>,
    /// The environment variable that holds a token, which all clients send
    #[arg(long, value_name = "VARIABLE")]
    token_env: Option<String>,
}

impl PlainArgs {
    /// What they override.
    ///
    /// # Errors
    /// Something was said, and `scenario` is no address.
    pub(super) fn overrides(&self, scenario: &Path) -> Result<Vec<(String, String)>, String> {
        let quoted = |text: &String| Value::from(text.as_str()).to_string();
        let said = [
            self.clients.map(|clients| ("groups.0.clients", clients.to_string())),
            self.duration.as_ref().map(|duration| ("duration", quoted(duration))),
            self.start().map(|over| ("groups.0.start.over", quoted(&over))),
            self.token_url.as_ref().map(|url| ("target.token_url", quoted(url))),
            self.token().map(|token| ("groups.0.token", token)),
        ];
        let said: Vec<(String, String)> =
            said.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)).collect();
        if said.is_empty() || is_address(scenario) {
            return Ok(said);
        }
        let keys: Vec<String> = said
            .iter()
            .filter(|(key, _)| !key.ends_with("start.over"))
            .map(|(key, value)| format!("--set {key}={value}"))
            .collect();
        Err(format!(
            "--clients, --duration, --token-url, --client-id and --token-env go with the address of a service in place of a scenario. Here, say {}",
            keys.join(" ")
        ))
    }

    /// Over which time they come where the run is short: a quarter of it.
    fn start(&self) -> Option<String> {
        let duration = parse_duration(self.duration.as_deref()?).ok()?;
        (duration < USUAL_START * 4).then(|| format_duration(duration / 4))
    }

    fn token(&self) -> Option<String> {
        let from = |variable: &str| Value::InlineTable(InlineTable::from_iter([("env", variable)]));
        let id = self.client_id.as_deref().unwrap_or("load-test");
        let token = match (&self.token_url, &self.token_env) {
            (Some(_), _) => [
                ("client_id", Value::from(id)),
                ("client_secret", from(SECRET)),
                ("on_reconnect", "fetch".into()),
            ]
            .into_iter()
            .collect(),
            (None, Some(variable)) => {
                [("grant", Value::from("fixed")), ("token", from(variable))].into_iter().collect()
            }
            (None, None) => return None,
        };
        Some(Value::InlineTable(token).to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn overrides(arguments: &[&str], scenario: &str) -> Result<Vec<(String, String)>, String> {
        let command = PlainArgs::augment_args(clap::Command::new("run").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        PlainArgs::from_arg_matches(&matches).unwrap().overrides(Path::new(scenario))
    }

    #[test]
    fn options_become_keys_and_go_with_an_address_alone() {
        let said = overrides(&["--clients", "50", "--duration", "3s"], "ws://h/").unwrap();
        let keys: Vec<String> = said.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(keys, ["groups.0.clients=50", "duration=\"3s\"", "groups.0.start.over=\"750ms\""]);
        let said = overrides(&["--token-url", "http://h/t", "--client-id", "me"], "ws://h/").unwrap();
        assert_eq!(
            said[1].1,
            "{ client_id = \"me\", client_secret = { env = \"RESURGE_CLIENT_SECRET\" }, on_reconnect = \"fetch\" }"
        );
        let said = overrides(&["--token-env", "T"], "wss://h/").unwrap();
        assert_eq!(said[0].1, "{ grant = \"fixed\", token = { env = \"T\" } }");
        let fault = overrides(&["--duration", "3s"], "smoke.toml").unwrap_err();
        assert!(fault.ends_with("Here, say --set duration=\"3s\""), "{fault}");
        assert!(overrides(&["--token-url", "http://h/t"], "ws://h/").unwrap()[1].1.contains("load-test"));
        assert!(overrides(&["--client-id", "me"], "ws://h/").is_err(), "shown where?");
        assert_eq!(overrides(&[], "smoke.toml"), Ok(Vec::new()));
    }
}
