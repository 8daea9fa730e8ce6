//! What a run under way is watched by: the live page, the metrics, a receiver of OpenTelemetry.
//!
//! In: their addresses. Out: both started, and told of on the error stream; fed while the run goes on; ended with it.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::access::{AccessToken, Reach, TOKEN_VARIABLE};
use crate::report::{RunModel, Status};
use crate::run::{LiveCommands, LiveServer, MetricsServer, OnProgress, OtlpExporter, live_commands};

use super::otlp::tell_exports;

/// The endpoints of a run.
#[derive(Debug)]
pub(super) struct Endpoints {
    metrics: Option<MetricsServer>,
    live: Option<LiveServer>,
    otlp: Option<OtlpExporter>,
}

/// Starts those that have an address; answers also with what they ask of the run. Told on `err`: where they are, and which token they ask for, unless the
/// user has chosen it.
///
/// # Errors
/// A sentence for the user; or `err` cannot be written.
pub(super) fn start(
    metrics: Option<SocketAddr>,
    live: Option<SocketAddr>,
    err: &mut dyn Write,
) -> io::Result<Result<(Endpoints, Option<LiveCommands>), String>> {
    let token = match token_for([metrics, live]) {
        Ok(token) => token,
        Err(why) => return Ok(Err(why)),
    };
    let cannot = |flag: &str, addr: SocketAddr, error: &io::Error| {
        format!("{flag} {addr}: {error}. Name another address, or port 0 for a free one")
    };
    let mut endpoints = Endpoints { metrics: None, live: None, otlp: None };
    let mut commands = None;
    if let Some(addr) = live {
        let (control, given) = live_commands();
        match LiveServer::start(addr, token.as_ref(), control) {
            Err(error) => return Ok(Err(cannot("--live", addr, &error))),
            Ok(server) => {
                writeln!(err, "live page: http://{}/", server.addr())?;
                (endpoints.live, commands) = (Some(server), Some(given));
            }
        }
    }
    if let Some(addr) = metrics {
        match MetricsServer::start(addr, token.as_ref()) {
            Err(error) => return Ok(Err(cannot("--metrics", addr, &error))),
            Ok(server) => {
                writeln!(err, "metrics: http://{}/metrics", server.addr())?;
                endpoints.metrics = Some(server);
            }
        }
    }
    if let Some(token) = &token {
        endpoints.tell_token(token, err)?;
    }
    Ok(Ok((endpoints, commands)))
}

/// The token that is asked for where one of these addresses can be reached by other machines.
fn token_for(addresses: [Option<SocketAddr>; 2]) -> Result<Option<AccessToken>, String> {
    if !addresses.into_iter().flatten().any(|addr| Reach::of(addr) == Reach::Network) {
        return Ok(None);
    }
    chosen_token().map(Some)
}

/// The token that the environment holds; else a random one.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn chosen_token() -> Result<AccessToken, String> {
    let chosen = std::env::var(TOKEN_VARIABLE).ok();
    AccessToken::new(chosen.as_deref()).map_err(|why| format!("{TOKEN_VARIABLE}: {why}"))
}

impl Endpoints {
    fn tell_token(&self, token: &AccessToken, err: &mut dyn Write) -> io::Result<()> {
        if token.is_chosen() {
            return writeln!(
                err,
                "other machines show the token of {TOKEN_VARIABLE}, as Authorization: Bearer"
            );
        }
        let token = token.expose();
        writeln!(err, "token for other machines: {token}, as Authorization: Bearer")?;
        match self.live.as_ref().map(LiveServer::addr) {
            Some(addr) if Reach::of(addr) == Reach::Network => {
                let host = match addr.ip() {
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED) => "HOST".to_owned(),
                    IpAddr::V6(address) if address.is_unspecified() => "HOST".to_owned(),
                    IpAddr::V6(address) => format!("[{address}]"),
                    IpAddr::V4(address) => address.to_string(),
                };
                writeln!(err, "in a browser: http://{host}:{}/?token={token}", addr.port())
            }
            _ => Ok(()),
        }
    }

    /// Sends the numbers there as well, where that is wanted.
    pub(super) fn sending(self, otlp: Option<OtlpExporter>) -> Self {
        Self { otlp, ..self }
    }

    /// Shows the progress and feeds the endpoints, where any of them is wanted.
    pub(super) fn with(&self, mut show: Option<OnProgress>) -> Option<OnProgress> {
        let metrics = self.metrics.as_ref().map(MetricsServer::feed);
        let live = self.live.as_ref().map(LiveServer::feed);
        let otlp = self.otlp.as_ref().map(OtlpExporter::feed);
        if show.is_none() && metrics.is_none() && live.is_none() && otlp.is_none() {
            return None;
        }
        Some(Box::new(move |scenario, view| {
            if let Some(feed) = &metrics {
                feed.publish(scenario, view);
            }
            if let Some(feed) = &live {
                feed.publish(scenario, view);
            }
            if let Some(feed) = &otlp {
                feed.publish(scenario, view);
            }
            // Of nothing there is nothing to show.
            if let Some(show) = show.as_mut().filter(|_| !view.totals.is_empty()) {
                show(scenario, view);
            }
        }))
    }

    /// Sends the last numbers, tells the pages that are open how the run ended, and keeps the metrics up until the last of them were scraped; not for a user who
    /// has interrupted the run.
    pub(super) fn finish(self, model: &RunModel, err: &mut dyn Write) -> io::Result<()> {
        let is_interrupted = model.verdict.status == Status::Interrupted;
        if let Some(exporter) = self.otlp {
            tell_exports(&exporter.finish(!is_interrupted), err)?;
        }
        if let Some(server) = &self.live {
            server.finish(model)?;
        }
        let Some(server) = &self.metrics else { return Ok(()) };
        let longest = server.finish();
        if longest.is_zero() || is_interrupted {
            return Ok(());
        }
        let seconds = longest.as_secs();
        server.wait_for_reader(longest, || {
            writeln!(err, "waiting for the last scrape of the metrics, at most {seconds} s (Ctrl-C ends it)")
        })
    }
}

/// An address to listen at; a port alone, with or without a colon, is on loopback.
pub(super) fn parse_addr(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    match port {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text.parse().map_err(|_| "write it as 127.0.0.1:9464, [::1]:9464 or 9464".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_on_loopback_unless_told() {
        for (text, expected) in [
            ("9464", Some("127.0.0.1:9464")),
            (":0", Some("127.0.0.1:0")),
            ("0.0.0.0:9464", Some("0.0.0.0:9464")),
            ("[::1]:1", Some("[::1]:1")),
            ("", None),
            ("localhost", None),
            ("65536", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(parse_addr(text).ok().map(|addr| addr.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_token_is_told_where_others_can_ask_and_only_there() {
        let any = |text: &str| Some(text.parse().unwrap());
        let told = |metrics, live| {
            let mut err = Vec::new();
            let (_, commands) = start(metrics, live, &mut err).unwrap().unwrap();
            (String::from_utf8(err).unwrap(), commands.is_some())
        };
        let (err, has_commands) = told(any("127.0.0.1:0"), any("[::1]:0"));
        assert!(!err.contains("token") && has_commands, "{err}");
        let (err, has_commands) = told(any("0.0.0.0:0"), None);
        assert!(
            err.contains("token for other machines: ") && !err.contains("?token=") && !has_commands,
            "{err}"
        );
        let (err, _) = told(None, any("0.0.0.0:0"));
        let token = err.split("machines: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        assert_eq!(token.len(), 32, "{err}");
        assert!(err.contains(&format!("/?token={token}\n")) && err.contains("http://HOST:"), "{err}");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let why = start(None, taken.local_addr().ok(), &mut Vec::new()).unwrap().unwrap_err();
        assert!(why.starts_with("--live 127.0.0.1:") && why.contains("port 0 for a free one"), "{why}");
    }
}
