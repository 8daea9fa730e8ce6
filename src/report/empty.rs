//! A pass is never empty: groups of which no client ever had a session.
//!
//! In: the groups' numbers, the thresholds and how they came out. Out: a sentence for each group that was never in although no threshold asks for just that.
//!
//! A threshold asks for just that where it holds, looks at the group (alone, or among all), and could not hold had one of its clients been in:
//!
//! | threshold | in words |
//! |---|---|
//! | `handshake_403_rate` (401, 429, 5xx), `refusal_rate`, `attempt_failure_rate`: `rate == 100%`, `rate >= 100%` | every attempt is to fail |
//! | `admission_rate`: `rate == 0%`, `rate <= 0%` | nobody is to be let in |
//! | `first_given_up`: `count == N`, `>= N`, `> N - 1`, with N no less than the clients that began | every client is to give up before its first session |
//! | `connect_latency`: `count == 0`, `<= 0`, `< 1` | there is to be no first session |

use crate::record::{Tally, ThresholdResult, ThresholdStatus};
use crate::sample::{Counter, Metric, Outcome};
use crate::scenario::keys::{Aggregate, Comparison, ShareOf, Subject, Threshold};
use crate::scenario::parse_threshold;
use crate::units::format_count;

/// `30 of 60 clients never had a session`; `None` where each had one.
pub(super) fn never_in_words(tally: &Tally) -> Option<String> {
    let (never, began) = (tally.never_in(), tally.counter(Counter::ClientsStarted));
    (never > 0)
        .then(|| format!("{} of {} clients never had a session", format_count(never), format_count(began)))
}

/// What the attempts met: `http_403 60, timeout 2`.
pub(super) fn outcomes_met(tally: &Tally) -> String {
    let counts = Outcome::ALL.iter().map(|outcome| (outcome, tally.outcome(*outcome)));
    let told = counts.filter(|(_, count)| *count > 0);
    told.map(|(outcome, count)| format!("{outcome} {}", format_count(count))).collect::<Vec<_>>().join(", ")
}

/// The groups of which none was ever in, though no threshold asks for just that.
///
/// `kept_out` says for each what keeps it from ever getting to a handshake.
pub(super) fn empty_groups(
    groups: &[(&str, &Tally)],
    kept_out: &[Option<String>],
    thresholds: &[ThresholdResult],
) -> Vec<String> {
    let held = thresholds.iter().filter(|result| result.status == ThresholdStatus::Passed);
    let held: Vec<Threshold> = held.filter_map(|result| parse_threshold(&result.threshold).ok()).collect();
    let all_began = groups.iter().map(|(_, tally)| tally.counter(Counter::ClientsStarted)).sum();
    let is_empty = |((name, tally), _): &(&(&str, &Tally), &Option<String>)| {
        let began = tally.counter(Counter::ClientsStarted);
        let is_asked = held.iter().any(|threshold| match &threshold.group {
            None => asks_for_nobody(threshold, all_began),
            Some(group) => group == name && asks_for_nobody(threshold, began),
        });
        began > 0 && tally.never_in() == began && !is_asked
    };
    let told = groups.iter().zip(kept_out).filter(is_empty).map(|((name, tally), why)| {
        let began = tally.counter(Counter::ClientsStarted);
        format!(
            "the load was not achieved: none of the {} clients of group {name} ever had a session ({}){}",
            format_count(began),
            if tally.attempts_total() > 0 { outcomes_met(tally) } else { "no attempt ended".to_owned() },
            why.as_ref().map_or_else(String::new, |why| format!(": {why}")),
        )
    });
    told.collect()
}

/// Whether a threshold that holds says that none of so many clients was ever in.
fn asks_for_nobody(threshold: &Threshold, began: u64) -> bool {
    let Threshold { subject, aggregate, comparison, limit, .. } = threshold;
    let is_at_least = matches!(comparison, Comparison::AtLeast | Comparison::Equal);
    match subject {
        Subject::Share(
            ShareOf::Handshake403
            | ShareOf::Handshake401
            | ShareOf::Handshake429
            | ShareOf::Handshake5xx
            | ShareOf::AttemptFailure
            | ShareOf::Refusal,
        ) => is_at_least && *limit >= 1.0,
        Subject::Share(ShareOf::Admission) => match comparison {
            Comparison::Equal | Comparison::AtMost => *limit <= 0.0,
            _ => false,
        },
        Subject::Counter(Counter::FirstGivenUp) if *aggregate == Aggregate::Count => {
            let more = if *comparison == Comparison::Above { 1.0 } else { 0.0 };
            (is_at_least || more > 0.0) && limit + more >= began as f64
        }
        Subject::Metric(Metric::ConnectLatency) if *aggregate == Aggregate::Count => match comparison {
            Comparison::Equal | Comparison::AtMost => *limit <= 0.0,
            Comparison::Below => *limit <= 1.0,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::evaluate;
    use crate::sample::{AttemptEnd, AttemptKind, Phases, ReadySample, Sample};

    /// Clients that began, so many of them refused with 403 and given up, the others in.
    fn tally(clients: u64, refused: u64) -> Tally {
        let mut tally = Tally::default();
        let (kind, latency, phases) = (AttemptKind::First, Duration::from_millis(1), Phases::default());
        for client in 0..clients {
            let outcome = if client < refused { Outcome::Http403 } else { Outcome::Ok };
            tally.apply(&Sample::Count(Counter::ClientsStarted, 1));
            tally.apply(&Sample::Attempt(AttemptEnd {
                cause: None,
                ..AttemptEnd::plain(kind, outcome, latency)
            }));
            if outcome == Outcome::Ok {
                let ready = ReadySample { kind, storm: None, latency, service_time: latency, phases };
                tally.apply(&Sample::Ready(Box::new(ready)));
            } else {
                tally.apply(&Sample::Count(Counter::FirstGivenUp, 1));
            }
        }
        tally
    }

    #[test]
    fn only_a_threshold_that_nobody_in_could_hold_asks_for_nobody() {
        let (out, inside) = (tally(4, 4), tally(4, 1));
        let groups = [("out", &out), ("in", &inside)];
        // (threshold, whether group `out` may pass by it)
        for (source, asked) in [
            ("handshake_403_rate{group:out}: rate == 100%", true),
            ("handshake_403_rate{group:out}: rate >= 100%", true),
            ("attempt_failure_rate{group:out}: rate >= 100%", true),
            ("handshake_403_rate{group:out}: rate > 50%", false),
            ("handshake_403_rate{group:out}: rate <= 100%", false),
            ("handshake_401_rate{group:out}: rate == 0%", false),
            ("first_given_up{group:out}: count >= 4", true),
            ("first_given_up{group:out}: count == 4", true),
            ("first_given_up{group:out}: count > 3", true),
            ("first_given_up{group:out}: count >= 3", false),
            ("first_given_up: count >= 5", false),
            ("connect_latency{group:out}: count == 0", true),
            ("connect_latency{group:out}: count < 1", true),
            ("connect_latency{group:out}: count < 2", false),
            ("reconnects{group:out}: count == 0", false),
            ("disconnects: count == 0", false),
            ("handshake_403_rate{group:in}: rate < 100%", false),
            // It does not hold, so it asks for nothing.
            ("handshake_403_rate: rate == 100%", false),
        ] {
            let threshold = parse_threshold(source).unwrap();
            let own = groups.iter().filter(|(name, _)| threshold.group.as_deref().is_none_or(|g| g == *name));
            let own: Vec<&Tally> = own.map(|(_, tally)| *tally).collect();
            let told = empty_groups(&groups, &[None], &[evaluate(&threshold, &own, 1.0)]);
            assert_eq!(told.is_empty(), asked, "{source}: {told:?}");
        }
        assert_eq!(
            empty_groups(&groups, &[None], &[]),
            ["the load was not achieved: none of the 4 clients of group out ever had a session (http_403 4)"]
        );
        let (all, both) = (tally(2, 2), [("a", &out), ("b", &out)]);
        let threshold = parse_threshold("handshake_403_rate: rate == 100%").unwrap();
        assert!(
            empty_groups(&both, &[None, None], &[evaluate(&threshold, &[&out, &all], 1.0)]).is_empty(),
            "each of them"
        );
    }

    #[test]
    fn who_was_never_in_is_told() {
        assert_eq!(never_in_words(&tally(60, 30)).as_deref(), Some("30 of 60 clients never had a session"));
        assert_eq!(never_in_words(&tally(3, 0)), None);
        assert_eq!(empty_groups(&[("idle", &Tally::default())], &[None], &[]), [""; 0], "none began");
    }
}
