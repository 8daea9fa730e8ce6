//! The way to a NATS server.
//!
//! In: where it is, and by what it lets us in. Out: a connection that comes back by itself. Over anything but loopback it is encrypted, and has a user.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use serde::Deserialize;
use tokio::sync::watch;

use super::error::ClusterError;

/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest message that a server has to take, at the least.
const LEAST_PAYLOAD: usize = 64 * 1024;
/// How long until it is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How often the server is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Where a NATS server is, and by what it lets us in.
#[derive(Debug, Clone)]
pub struct ClusterLink {
    /// Its address, as the user wrote it; a user and a password may stand in it.
    pub address: String,
    /// A credentials file, as `nsc` writes it.
    pub creds: Option<PathBuf>,
    /// Authorities that vouch for it, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether plain text, or no user, is fine for another machine.
    pub insecure: bool,
}

impl ClusterLink {
    /// The address without a password.
    pub(super) fn shown(&self) -> String {
        match self.address.rsplit_once('@') {
            Some((before, host)) => {
                let scheme = before.split_once("://").map_or("nats", |(scheme, _)| scheme);
                format!("{scheme}://{host}")
            }
            None => self.address.clone(),
        }
    }

    fn server(&self) -> Result<ServerAddr, ClusterError> {
        let parsed = self.address.parse::<ServerAddr>();
        let server = parsed
            .map_err(|error| ClusterError::Address { address: self.shown(), why: error.to_string() })?;
        let host = server.host();
        let is_here = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_here && !self.insecure {
            let insecure = |what| ClusterError::Insecure { address: self.shown(), what };
            if !server.tls_required() {
                return Err(insecure("plain text"));
            }
            if self.creds.is_none() && !server.has_user_pass() {
                return Err(insecure("open to anybody"));
            }
        }
        Ok(server)
    }

    /// Connects; from then on the connection comes back by itself.
    ///
    /// # Errors
    /// The address is none, or not to be used so; nobody answers, or we are not let in.
    pub(super) async fn connect(&self, name: &str) -> Result<Client, ClusterError> {
        self.connect_telling(name, watch::Sender::new(0)).await
    }

    /// The same; `connections` counts how often there was a connection.
    pub(super) async fn connect_telling(
        &self,
        name: &str,
        connections: watch::Sender<u64>,
    ) -> Result<Client, ClusterError> {
        let server = self.server()?;
        let mut options = ConnectOptions::new()
            .event_callback(move |event| {
                if matches!(event, Event::Connected) {
                    connections.send_modify(|count| *count += 1);
                }
                std::future::ready(())
            })
            .name(name)
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Some(ANSWER_TIMEOUT))
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(|_| RETRY_AFTER)
            .ignore_discovered_servers();
        if let Some((user, password)) = server.username().zip(server.password()) {
            options = options.user_and_password(user.to_owned(), password.to_owned());
        }
        if let Some(file) = &self.creds {
            let refused = |why: String| ClusterError::Refused { address: self.shown(), why };
            let text = std::fs::read_to_string(file)
                .map_err(|error| refused(format!("{}: {error}", file.display())))?;
            // What is wrong with them is not told: an error might show what they hold.
            options = options
                .credentials(&text)
                .map_err(|_| refused(format!("{} holds no credentials", file.display())))?;
        }
        if let Some(file) = &self.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        Box::pin(options.connect(server)).await.map_err(|error| {
            let (address, why) = (self.shown(), error.to_string());
            match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    ClusterError::Refused { address, why: "it knows no such user".to_owned() }
                }
                _ => ClusterError::Away { address, why },
            }
        })
    }

    /// The server's JetStream.
    ///
    /// # Errors
    /// It has none, or none for us; or it takes small messages alone.
    pub(super) async fn jetstream(&self, client: &Client) -> Result<Context, ClusterError> {
        let most = client.server_info().max_payload;
        if most < LEAST_PAYLOAD {
            let why = format!(
                "it takes messages of {most} bytes at most, and {LEAST_PAYLOAD} are needed: raise its max_payload"
            );
            return Err(ClusterError::Failed { what: "the server", why });
        }
        let none = |why: String| ClusterError::NoJetStream { address: self.shown(), why };
        // Read as it comes: older servers leave out what a client's types expect.
        let answer =
            client.request("$JS.API.INFO", "".into()).await.map_err(|error| none(error.to_string()))?;
        let info: Info = serde_json::from_slice(&answer.payload).map_err(|error| none(error.to_string()))?;
        match info.error {
            None => Ok(jetstream::new(client.clone())),
            Some(fault) => Err(none(fault.description)),
        }
    }
}

/// What a server says of its JetStream, as far as it matters.
#[derive(Debug, Deserialize)]
struct Info {
    error: Option<InfoFault>,
}

#[derive(Debug, Deserialize)]
struct InfoFault {
    #[serde(default)]
    description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(address: &str) -> ClusterLink {
        ClusterLink { address: address.to_owned(), creds: None, ca_file: None, insecure: false }
    }

    #[test]
    fn another_machine_takes_encryption_and_a_user() {
        for (address, insecure, expected) in [
            ("nats://127.0.0.1:4222", false, ""),
            ("nats://[::1]:4222", false, ""),
            ("localhost", false, ""),
            ("nats://10.0.0.1:4222", false, "plain text"),
            ("nats://u:p@nats.example:4222", false, "plain text"),
            ("tls://nats.example:4222", false, "open to anybody"),
            ("tls://u:p@nats.example:4222", false, ""),
            ("nats://10.0.0.1:4222", true, ""),
            ("http://x", false, "Write it as"),
        ] {
            let found = ClusterLink { insecure, ..link(address) }.server();
            match found {
                Ok(_) => assert_eq!(expected, "", "{address}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!expected.is_empty() && text.contains(expected), "{address}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(link("tls://user:hunter2@nats.example:4222").shown(), "tls://nats.example:4222");
        assert_eq!(link("user:p@ss@host").shown(), "nats://host");
    }
}
