//! Faults of events that lie between keys.
//!
//! In: a parsed scenario. Out: what is told of each.

use std::time::Duration;

use crate::scenario::keys::{Event, Scenario, Storm, Target};
use crate::units::{format_count, format_duration};

/// An event is done again at the earliest after so long.
const LEAST_EVERY: Duration = Duration::from_secs(1);
/// How often the events of a run are done, all together.
const MOST_TIMES: usize = 10_000;

/// Tells `say` what is wrong with the scenario's events: the key's path, a message, help.
pub(super) fn check_events(scenario: &Scenario, say: &mut impl FnMut(String, String, &str)) {
    for (index, event) in scenario.events.iter().enumerate() {
        check_event(scenario, event, &format!("events.{index}"), say);
    }
    let times: usize =
        scenario.events.iter().map(|event| event.times(scenario.duration).take(MOST_TIMES + 1).count()).sum();
    if times > MOST_TIMES {
        let most = format_count(MOST_TIMES as u64);
        say(
            "events".to_owned(),
            format!("the events would be done more than {most} times"),
            "do them less often",
        );
    }
}

fn check_event(scenario: &Scenario, event: &Event, path: &str, say: &mut impl FnMut(String, String, &str)) {
    if event.at >= scenario.duration {
        let (at, end) = (format_duration(event.at), format_duration(scenario.duration));
        let message = format!("the event {} would be done at {at}, and the run ends at {end}", event.name);
        say(format!("{path}.at"), message, "make it earlier than `duration`");
    }
    if event.every.is_some_and(|every| every < LEAST_EVERY) {
        let message = format!("the event {} would be done more often than once a second", event.name);
        say(format!("{path}.every"), message, "a second at least, as every = \"30s\"");
    }
}

/// Tells what is wrong with a storm by an event.
pub(super) fn check_event_storm(
    scenario: &Scenario,
    storm: &Storm,
    path: &str,
    say: &mut impl FnMut(String, String, &str),
) {
    if matches!(scenario.target, Target::Embedded(_)) {
        let message = "an event does not reach the embedded target".to_owned();
        say(path.to_owned(), message, "use by = \"target\": it closes its sessions when it is told to");
    }
    debug_assert!(storm.fraction >= 1.0, "{path}");
}
