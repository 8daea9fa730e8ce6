//! The names and helps of the exposition: what is counted in a word, with its unit.
//!
//! In: the vocabulary. Out: names without prefix and suffix, sentences for people.

use crate::sample::{Counter, Metric};

use super::buckets::Bounds;
use super::families::FamilyUnit;

/// Name, unit and help of a counter. The format puts `_total` behind it.
pub(super) fn counter_family(counter: Counter) -> (&'static str, FamilyUnit, &'static str) {
    let bytes = FamilyUnit::Bytes;
    match counter {
        Counter::BytesIn => {
            ("received", bytes, "Bytes received on WebSocket connections, as carried by TCP or TLS")
        }
        Counter::BytesOut => ("sent", bytes, "Bytes sent on WebSocket connections, as carried by TCP or TLS"),
        named => (named.name(), FamilyUnit::None, counter_help(named)),
    }
}

fn counter_help(counter: Counter) -> &'static str {
    match counter {
        Counter::ClientsStarted => "Clients that began",
        Counter::Disconnects => {
            "Ends of sessions that the client did not ask for, or that a storm or the scenario forced"
        }
        Counter::Reconnects => "Reconnects that ended in a ready session",
        Counter::ReconnectsGivenUp => "Reconnects given up",
        Counter::ReconnectsNotWanted => "Disconnects after which the scenario wants no reconnect",
        Counter::ReconnectsUnfinished => "Reconnects under way when the run ended",
        Counter::FirstGivenUp => "Clients that gave up before their first ready session",
        Counter::TokensFetched => "Tokens that the token endpoint issued",
        Counter::TokenFailures => "Token requests that failed",
        Counter::ReadyTimeouts => "Sessions closed by the client because they did not become ready in time",
        Counter::MessagesIn => "Data messages received",
        Counter::MessagesOut => "Data messages sent",
        Counter::BytesIn => "Bytes received",
        Counter::BytesOut => "Bytes sent",
        Counter::MessagesMissed => {
            "Messages that the target sent while the client was away, by their sequence numbers"
        }
        Counter::OutagesMeasured => "Outages across which messages could be counted",
        Counter::TokenPoolWaits => "Token requests that waited for a connection of the generator's own pool",
        Counter::TcpConnections => "TCP connections opened towards the WebSocket endpoint",
        Counter::Upgrades => {
            "Handshakes that were answered with 101, whether the client was then let in or not"
        }
        Counter::Unsettled => "Attempts whose result at the target the client cannot know",
        Counter::TokensForReconnects => "Tokens fetched for reconnects",
        Counter::DeadTokenHandshakes => "Handshakes refused because their token was stale or expired",
        Counter::RefetchTurns => {
            "Handshakes refused though a token had been fetched because of the refusal before"
        }
        Counter::NonceRetries => "Handshakes made once more with the nonce that a 401 asked for",
        Counter::ArrivalsDropped => "Clients that came and were not let in, because too many were there",
        Counter::ResumesOverlapped => {
            "Next sessions that were ready while the session before was still being kept"
        }
        Counter::MintWaits => "Tokens that waited for a processor of the generator to be signed",
        Counter::ScopesWithheld => "Tokens that came with fewer scopes than were asked for",
        Counter::RefreshTokensRefused => "Refresh tokens that the token endpoint refused",
        Counter::CompressedSessions => "Sessions that agreed on permessage-deflate",
        Counter::PlainBytesIn => "Bytes of messages received in compressed sessions, inflated",
        Counter::PayloadBytesIn => "Bytes of payload that carried them",
        Counter::PlainBytesOut => "Bytes of messages sent in compressed sessions, before compression",
        Counter::PayloadBytesOut => "Bytes of payload that carried those",
        Counter::ConnectionsOvertaken => {
            "TCP connections given up because another address of the name had answered"
        }
        Counter::TokenRequestsAtStart => {
            "Token requests of clients that had not been in yet, without clients that arrive during the run"
        }
        Counter::CertificatesNotTrusted => "TLS handshakes broken off because of the server's certificate",
    }
}

/// Name, bounds and help of a metric's histogram; `None` for the phases, which share one.
pub(super) fn histogram_family(metric: Metric) -> Option<(&'static str, Bounds, &'static str)> {
    let (bounds, help) = match metric {
        Metric::ReconnectLatency => (Bounds::Latency, "From the disconnect to the next ready session"),
        Metric::ReconnectServiceTime => {
            (Bounds::Latency, "The same from when the client began, without its lag")
        }
        Metric::ConnectLatency => (Bounds::Latency, "From a client's due start to its first ready session"),
        Metric::RefusedLatency => (Bounds::Latency, "From an attempt's due start to its HTTP refusal"),
        Metric::SessionLength => (Bounds::Length, "From the upgrade to the session's end"),
        Metric::MessageLatency => (Bounds::Latency, "From when a message was due to when the client had it"),
        Metric::Lag => (Bounds::Latency, "How late the generator itself was"),
        Metric::TokenAge => (Bounds::Length, "Age of the token that a handshake carried"),
        Metric::CascadeDepth => (
            Bounds::Count,
            "Refusals in a row that may be the token's, before a client was let in or was done",
        ),
        Metric::ReconnectAway => (
            Bounds::Length,
            "How long the clients had been away whose reconnect was under way at the run's end",
        ),
        Metric::TlsFull => (Bounds::Latency, "A full TLS handshake, of clients that may resume"),
        Metric::TlsResumed => (Bounds::Latency, "A TLS handshake that resumed an earlier session"),
        Metric::PhaseDetect
        | Metric::PhaseBackoff
        | Metric::PhaseToken
        | Metric::PhaseDns
        | Metric::PhaseTcp
        | Metric::PhaseTls
        | Metric::PhaseUpgrade
        | Metric::PhaseReady
        | Metric::PhaseMint => return None,
    };
    Some((metric.name(), bounds, help))
}
