//! What else of a handshake may be the reason, beside its token and its Origin: the subprotocols, the `Host`, the path's slash, how it is asked.
//!
//! In: the scenario, the names that were given. Out: what to try, in this order. Pure.

use url::Url;

use crate::drive::network::{TargetAddress, Variation};
use crate::scenario::keys::Scenario;

use super::observation::Experiment;

/// Subprotocols that services are known to insist on: GraphQL, Rails, OCPP, MQTT, STOMP, WAMP, Kubernetes, Azure Web PubSub, Slack's and Centrifugo's kin.
const KNOWN: [&str; 12] = [
    "graphql-transport-ws",
    "graphql-ws",
    "actioncable-v1-json",
    "ocpp1.6",
    "ocpp2.0.1",
    "mqtt",
    "v12.stomp",
    "wamp.2.json",
    "json.webpubsub.azure.v1",
    "v4.channel.k8s.io",
    "centrifuge-json",
    "jsonrpc",
];
/// Most values of `Host` that are tried.
const MOST_HOSTS: usize = 6;

/// What to try where the first handshake is refused.
#[derive(Debug, Clone, Default)]
pub struct Tries {
    /// Values of `Origin`.
    pub origins: Vec<String>,
    /// Values of `Host`.
    pub hosts: Vec<String>,
    /// Subprotocols.
    pub subprotocols: Vec<String>,
}

/// A thing to change: what is offered, or what is asked otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These subprotocols are offered.
    Subprotocols(Vec<String>),
    /// The handshake is written otherwise.
    Written(Variation),
}

/// One experiment: its name, what stands in the place that it changes, the change.
pub(super) type Varied = (Experiment, Option<String>, Change);

/// Subprotocols to offer: none where some are offered; all that may be meant, and then, where that helps, each alone.
pub(super) fn subprotocols(
    scenario: &Scenario,
    index: usize,
    given: &[String],
) -> (Vec<Varied>, Vec<Varied>) {
    let offered = &scenario.groups[index].connect.subprotocols;
    let others = scenario.groups.iter().flat_map(|group| &group.connect.subprotocols);
    let mut names: Vec<String> = Vec::new();
    for name in given.iter().chain(others).map(String::as_str).chain(KNOWN) {
        if !names.iter().chain(offered).any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let mut first = Vec::new();
    if !offered.is_empty() {
        first.push((Experiment::WithoutSubprotocol, None, Change::Subprotocols(Vec::new())));
    }
    first.push((Experiment::KnownSubprotocols, None, Change::Subprotocols(names.clone())));
    let alone =
        |name: String| (Experiment::OneSubprotocol, Some(name.clone()), Change::Subprotocols(vec![name]));
    (first, names.into_iter().map(alone).collect())
}

/// How else the request could be written, beside what it offers.
pub(super) fn written(
    scenario: &Scenario,
    address: &TargetAddress,
    index: usize,
    given: &[String],
) -> Vec<Varied> {
    let group = &scenario.groups[index].connect;
    let own = match (group.url.as_ref(), address) {
        // What comes of variables is not known here.
        (Some(url), _) => url.fixed().cloned(),
        (None, TargetAddress::Remote { url, .. }) => Some(url.clone()),
        (None, TargetAddress::Embedded { address, .. }) => Url::parse(&format!("ws://{address}/")).ok(),
    };
    let Some(own) = own else { return Vec::new() };
    let token_urls = scenario.groups.iter().filter_map(|group| group.token.as_ref()?.url.as_deref().cloned());
    let mut named: Vec<Url> = token_urls.collect();
    if let TargetAddress::Remote { token_url, url } = address {
        named.extend(token_url.iter().chain([url]).cloned());
    }
    named.extend(scenario.groups.iter().filter_map(|group| group.connect.url.as_ref()?.fixed().cloned()));
    let mut varied: Vec<Varied> = hosts(&own, given, &named)
        .into_iter()
        .map(|host| (Experiment::OtherHost, Some(host.clone()), Change::Written(Variation::Host(host))))
        .collect();
    for (experiment, variation) in [
        (Experiment::OtherSlash, Variation::OtherSlash),
        (Experiment::PlainGet, Variation::PlainGet),
        (Experiment::OldHttp, Variation::OldHttp),
    ] {
        varied.push((experiment, None, Change::Written(variation)));
    }
    varied
}

/// What else `Host` could be: what was given; hosts that the scenario names elsewhere, with the port and without; this machine's name.
fn hosts(own: &Url, given: &[String], named: &[Url]) -> Vec<String> {
    let with_port = |host: &str| own.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let bare = own.host_str().unwrap_or_default();
    let mut found: Vec<String> = Vec::new();
    let mut add = |host: String| {
        if !host.is_empty() && host != with_port(bare) && !found.contains(&host) && found.len() < MOST_HOSTS {
            found.push(host);
        }
    };
    given.iter().for_each(|host| add(host.clone()));
    for host in named.iter().filter_map(Url::host_str) {
        add(with_port(host));
        add(host.to_owned());
    }
    add(bare.to_owned());
    match bare {
        "localhost" => add(with_port("127.0.0.1")),
        "127.0.0.1" | "[::1]" => {
            add(with_port("localhost"));
            add("localhost".to_owned());
        }
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_may_be_meant() {
        // (own, given, named, tried)
        type Row = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);
        let url = |text: &str| -> Url { text.parse().unwrap() };
        let rows: [Row; 4] = [
            (
                "ws://127.0.0.1:8080/x",
                &["api.example.com"],
                &["http://auth.example.com:9/t"],
                &[
                    "api.example.com",
                    "auth.example.com:8080",
                    "auth.example.com",
                    "127.0.0.1",
                    "localhost:8080",
                    "localhost",
                ],
            ),
            ("ws://localhost:8080/x", &[], &["ws://localhost:8080/x"], &["localhost", "127.0.0.1:8080"]),
            ("wss://api.example.com/x", &[], &["https://api.example.com/token"], &[]),
            ("wss://10.0.0.1/x", &[], &["https://api.example.com/token"], &["api.example.com"]),
        ];
        for (own, given, named, tried) in rows {
            let given: Vec<String> = given.iter().map(|host| (*host).to_owned()).collect();
            let named: Vec<Url> = named.iter().map(|text| url(text)).collect();
            assert_eq!(hosts(&url(own), &given, &named), tried, "{own}");
        }
    }
}
