//! Scenarios whose target loses, repeats and moves numbered messages, and what of their reports must be the truth.

use resurge::record::{Agreement, StreamCounts};
use resurge::report::RunModel;
use resurge::service::counters::TopicCounts;

/// A run of 3.4 s: the target closes all clients once. Nothing is due in the first 290 ms, nor within 100 ms of another begin or end of a session.
pub(crate) fn scene(seed: u64, topics: &str) -> String {
    format!(
        r#"
seed = {seed}
duration = "3440ms"
drain = "5s"
[target]
idle_timeout = "never"
invalidation = "never"
messages_every = "419ms"
topics = {topics}
[[groups]]
name = "g"
clients = 3
token = {{ client_id = "c", client_secret = "s" }}
reconnect = {{ backoff = {{ kind = "constant", base = "400ms" }} }}
[[groups.session.streams]]
pointer = "/topic"
stream = "/topic"
sequence = "/n"
[[storms]]
at = "1350ms"
by = "target"
code = 1012
"#
    )
}

/// What the clients counted and what the target did, where the two sides agree exactly.
pub(crate) fn exact(model: &RunModel) -> Result<(StreamCounts, TopicCounts), String> {
    let reconciliation = model.reconciliation.as_ref().ok_or("nothing to compare with")?;
    let wrong = reconciliation.rows.iter().filter(|row| row.agreement != Agreement::Exact);
    let wrong: Vec<_> = wrong.collect();
    let counters = model.end.as_ref().and_then(|end| end.target_counters.as_ref());
    let counters = counters.ok_or("no counters")?;
    let topics = counters.topics.ok_or("no topics")?;
    let truth = topics.truth.ok_or("no truth")?;
    let heard = model.all.talk.as_ref().and_then(|talk| talk.streams.get(&0));
    let heard = heard.map(|stream| stream.counts).unwrap_or_default();
    let told = (heard.missed(), heard.missed_away(), heard.late, heard.duplicates);
    let true_ones = (truth.missed, truth.missed_away, truth.late, truth.duplicates);
    let in_rows = |what| reconciliation.rows.iter().any(|row| row.what == what);
    let is_whole = wrong.is_empty()
        && told == true_ones
        && heard.messages == counters.messages_sent
        && (heard.restarts, heard.unnumbered, heard.beyond) == (0, 0, 0)
        && ["missed", "missed while away", "late", "duplicates"].into_iter().all(in_rows);
    if is_whole {
        Ok((heard, topics))
    } else {
        Err(format!("{told:?} {true_ones:?} {heard:?} {counters:?} {wrong:?}"))
    }
}
