//! The table: what becomes of clients when something goes wrong at a stage. Data alone.
//!
//! A cell says the outcome of the attempts that are struck, the phase that the time is put down to, how sessions end that are struck (who,
//! close code, how), and by how much each strike makes the target's own numbers differ from the clients'.

use super::cell::What;

/// Cells that are none, and why.
const KERNEL: &str = "– the system opens TCP: no byte of ours is on its way";
const NAMED: &str = "– no name is asked for here";
const NOTHING: &str = "– the client sends nothing then";
const SAME: &str = "– as the token endpoint's restart";

/// A fault, in words, and what comes of it at each stage.
pub(crate) const TABLE: &[(What, &str, [&str; 8])] = &[
    (
        What::Latency,
        "latency",
        ["ok in token", "ok in tcp", "ok in tls", "ok in upgrade", "ok in ready", "ok", "ok", "ok"],
    ),
    (
        What::Jitter,
        "jitter",
        ["ok in token", KERNEL, "ok in tls", "ok in upgrade", "ok in ready", "ok", "ok", "ok"],
    ),
    (
        What::Rate,
        "a narrow line",
        ["ok in token", KERNEL, "ok in tls", "ok in upgrade", "ok in ready", "ok", "ok", "ok"],
    ),
    (
        What::Slices,
        "single bytes",
        ["ok in token", KERNEL, "ok in tls", "ok in upgrade", "ok in ready", "ok", "ok", "ok"],
    ),
    (
        What::Blackhole,
        "black hole, both ways",
        [
            "token_error in token",
            "timeout in tcp",
            "timeout in tls; target accepts -1",
            "timeout in upgrade; target accepts -1",
            "not_ready in ready; client 1000 timeout; target closes 1000 -1, closes 1006 +1; not ready in time",
            "ok; network 1006 timeout",
            "ok; network 1006 timeout",
            "ok; client 1000 timeout; target closes 1000 -1, closes 1006 +1",
        ],
    ),
    (
        What::Silence,
        "nothing from the target",
        [
            "token_error in token; target tokens issued +1",
            KERNEL,
            "timeout in tls; target accepts -1",
            "timeout in upgrade; target upgrades (101) +1, closes 1006 +1",
            "not_ready in ready; client 1000 timeout; not ready in time",
            "ok; network 1006 timeout",
            "ok; network 1006 timeout",
            "ok; client 1000 timeout",
        ],
    ),
    (
        What::Reset,
        "RST",
        [
            "token_error in token; target tokens issued +1",
            KERNEL,
            "tcp_reset in tls; target accepts -1",
            "tcp_reset in upgrade; target upgrades (101) +1, closes 1006 +1",
            "ended_early in ready; network 1006 rst",
            "ok; network 1006 rst",
            "ok; network 1006 rst",
            "ok; client 1000 rst",
        ],
    ),
    (
        What::End,
        "FIN",
        [
            "token_error in token; target tokens issued +1",
            KERNEL,
            "tcp_reset in tls; target accepts -1",
            "tcp_reset in upgrade; target upgrades (101) +1, closes 1006 +1",
            "ended_early in ready; network 1006 fin",
            "ok; network 1006 fin",
            "ok; network 1006 fin",
            "ok; client 1000 fin",
        ],
    ),
    (
        What::CutShort,
        "FIN in the middle of a piece",
        [
            "token_error in token; target tokens issued +1",
            KERNEL,
            "tcp_reset in tls; target accepts -1",
            "tcp_reset in upgrade; target upgrades (101) +1, closes 1006 +1",
            "ended_early in ready; network 1006 fin",
            "ok; network 1006 fin",
            "ok; network 1006 fin",
            "ok; client 1000 fin",
        ],
    ),
    (
        What::EndToClient,
        "FIN towards the client only",
        [
            "token_error in token; target tokens issued +1",
            KERNEL,
            "tcp_reset in tls; target accepts -1",
            "tcp_reset in upgrade; target upgrades (101) +1, closes 1006 +1",
            "ended_early in ready; network 1006 fin",
            "ok; network 1006 fin",
            "ok; network 1006 fin",
            "ok; client 1000 fin",
        ],
    ),
    (
        What::EndToTarget,
        "FIN towards the target only",
        [
            "token_error in token",
            KERNEL,
            "tcp_reset in tls; target accepts -1",
            "tcp_reset in upgrade; target accepts -1",
            "ok in ready; network 1006 fin",
            "ok; network 1006 fin",
            "ok; network 1006 fin",
            "ok; client 1000 fin; target closes 1000 -1, closes 1006 +1",
        ],
    ),
    (
        What::CorruptToClient,
        "a wrong byte towards the client",
        [
            "token_error in token; target tokens issued +1",
            KERNEL,
            "tls in tls; target accepts -1",
            "protocol in upgrade; target upgrades (101) +1, closes 1006 +1 (a mismatch)",
            "ended_early in ready; target 1006 reserved_bits",
            "ok; target 1006 reserved_bits",
            "ok; network 1006 protocol",
            "ok; client 1000 reserved_bits",
        ],
    ),
    (
        What::CorruptToTarget,
        "a wrong byte towards the target",
        [
            "token_error in token",
            KERNEL,
            "tls in tls; target accepts -1",
            "http_4xx in upgrade; target refused (other 4xx) -1",
            NOTHING,
            "ok; network 1006 fin",
            "ok; network 1006 protocol",
            "ok; client 1000 fin; target closes 1000 -1, closes 1006 +1",
        ],
    ),
    (
        What::Restart,
        "the target restarts",
        [
            SAME,
            "tcp_refused",
            "tcp_refused, tcp_reset in tls; target accepts -1",
            "tcp_refused, tcp_reset in upgrade; target upgrades (101) +1, closes 1006 +1",
            "tcp_refused, ended_early in ready; network 1006 rst",
            "tcp_refused; network 1006 rst",
            "tcp_refused; network 1006 rst",
            "tcp_refused; client 1000 rst",
        ],
    ),
    (
        What::TokenRestart,
        "the token endpoint restarts",
        ["token_error in token; target tokens issued +1", "ok", "ok", "ok", "ok", "ok", "ok", "token_error"],
    ),
    (
        What::NoName,
        "a name that does not resolve",
        ["token_error", "dns", NAMED, NAMED, NAMED, NAMED, NAMED, NAMED],
    ),
    (
        What::SlowName,
        "a name that does not resolve in time",
        ["token_error in token", "timeout in dns", NAMED, NAMED, NAMED, NAMED, NAMED, NAMED],
    ),
    (
        What::ClockForward,
        "the calendar jumps an hour ahead",
        ["ok in token", "ok", "ok in tls", "ok in upgrade", "ok in ready", "ok", "ok", "ok"],
    ),
    (
        What::ClockBack,
        "the calendar jumps an hour back",
        ["ok in token", "ok", "ok in tls", "ok in upgrade", "ok in ready", "ok", "ok", "ok"],
    ),
    (
        What::StopTarget,
        "the target stands still (SIGSTOP)",
        [
            "token_error in token; target tokens issued +1",
            "timeout in upgrade; target upgrades (101) +1, closes 1006 +1",
            "timeout in tls; target accepts -1",
            "timeout in upgrade; target upgrades (101) +1, closes 1006 +1",
            "not_ready in ready; not ready in time",
            "ok; network 1006 timeout",
            "ok; network 1006 timeout",
            // Whether the close frame is read before the reset is seen is the system's choice once the target goes on.
            "ok; client 1000 timeout or: ok; client 1000 timeout; target closes 1000 -1, closes 1006 +1",
        ],
    ),
    (What::StopSelf, "we stand still (SIGSTOP)", [OWN; 8]),
];

const OWN: &str = "its own doing, or `ok`: the run is not valid";
