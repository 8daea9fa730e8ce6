//! A scenario's events in words, for `resurge check`.
//!
//! In: events. Out: lines, no secret in them.

use crate::scenario::keys::{Event, EventWait};
use crate::units::format_duration;

/// What an event does and when, and what it needs.
pub(crate) fn describe_event(event: &Event) -> String {
    let every =
        event.every.map_or_else(String::new, |every| format!(", and every {}", format_duration(every)));
    let words = event.in_words();
    let name = if event.name == words { String::new() } else { format!(" ({})", event.name) };
    let counted = match event.wait {
        EventWait::Started => "it began",
        EventWait::Exited => "it is over",
    };
    let mut line = format!(
        "event at {}{every}{name}: {words}, within {}; outages up to {} after {counted} are named after it",
        format_duration(event.at),
        format_duration(event.timeout),
        format_duration(event.window),
    );
    if !event.environment.is_empty() {
        let names: Vec<&str> = event.environment.iter().map(|(name, _)| name.as_str()).collect();
        line.push_str(&format!("; with {}", names.join(", ")));
    }
    if event.required {
        line.push_str("; the run is not valid where it fails");
    }
    if event.needs_consent() {
        line.push_str("; needs --allow-commands");
    }
    line
}
