//! Faults that lie between keys: each is fine alone, together they make no sense.
//!
//! In: a parsed scenario. Out: messages with their help; the place is the dotted path of the key.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::declare::template::UrlText;
use crate::scenario::keys::arrivals::MAX_CLIENTS;
use crate::scenario::keys::{
    Arrivals, ClientDisconnect, Delay, DisconnectHow, Group, Scenario, Start, Storm, StormBy, Target,
    TlsResumption, TokenIn,
};

use crate::units::format_duration;

use super::check_events::{check_event_storm, check_events};

/// A fault between keys.
pub(crate) struct Conflict {
    /// Dotted path of the key to point at.
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) help: String,
}

pub(crate) fn check_scenario(scenario: &Scenario) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let mut say = |path: String, message: String, help: &str| {
        conflicts.push(Conflict { path, message, help: help.to_owned() });
    };
    let total: u64 = scenario.groups.iter().map(|group| u64::from(group.clients)).sum();
    if total > MAX_CLIENTS {
        say(
            "groups".into(),
            format!("the groups have {total} clients in all"),
            "at most 10,000,000 are possible",
        );
    }
    for (index, group) in scenario.groups.iter().enumerate() {
        let path = format!("groups.{index}");
        if scenario.groups[..index].iter().any(|other| other.name == group.name) {
            say(
                format!("{path}.name"),
                format!("two groups are named \"{}\"", group.name),
                "give each a name of its own",
            );
        }
        check_group(scenario, group, &path, &mut say);
    }
    if let Target::Embedded(rules) = &scenario.target {
        for (index, fault) in
            rules.faults.iter().enumerate().filter(|(_, fault)| fault.from >= scenario.duration)
        {
            let message = format!("{} would strike after the run's end", fault.kind.name());
            say(format!("target.faults.{index}.from"), message, "make it earlier than `duration`");
        }
    }
    check_events(scenario, &mut say);
    for (index, storm) in scenario.storms.iter().enumerate() {
        check_storm(scenario, storm, &format!("storms.{index}"), &mut say);
    }
    check_observed(scenario, &mut say);
    conflicts
}

/// A series stands in reports by its name alone.
fn check_observed(scenario: &Scenario, say: &mut impl FnMut(String, String, &str)) {
    let mut names = BTreeSet::new();
    for (source, observe) in scenario.observe.iter().enumerate() {
        for (index, series) in observe.series.iter().enumerate() {
            if !names.insert(&series.name) {
                let message = format!("two observed series are named \"{}\"", series.name);
                say(format!("observe.{source}.series.{index}.name"), message, "give each a name of its own");
            }
        }
    }
}

fn check_group(scenario: &Scenario, group: &Group, path: &str, say: &mut impl FnMut(String, String, &str)) {
    if let (Target::Remote(remote), Some(token)) = (&scenario.target, &group.token)
        && token.grant.credentials().is_some()
        && remote.token_url.is_none()
        && token.url.is_none()
    {
        let message = format!("group \"{}\" fetches tokens, but from where is not said", group.name);
        say(format!("{path}.token"), message, "add token_url to [target], or url to the group's token");
    }
    check_holder(scenario, group, path, say);
    let start = match &group.start {
        _ if group.arrivals.is_some() => Duration::ZERO,
        Start::AtOnce => Duration::ZERO,
        Start::Over(over) => *over,
        Start::Rate(rate) => {
            Duration::try_from_secs_f64(f64::from(group.clients) / rate).unwrap_or(Duration::MAX)
        }
        Start::Stages(stages) => stages.iter().map(|stage| stage.over).sum(),
    };
    if let Some(arrivals) = &group.arrivals {
        check_arrivals(scenario, group, arrivals, path, say);
    }
    if let Some(leave) = group.leave.filter(|leave| start.saturating_add(leave.over) > scenario.duration) {
        let message = format!(
            "group \"{}\" would leave over {} before all of it has started",
            group.name,
            format_duration(leave.over)
        );
        say(format!("{path}.leave"), message, "leave faster, start faster, or make `duration` longer");
    }
    if start > scenario.duration {
        let message = format!("group \"{}\" is still starting when the run ends", group.name);
        say(format!("{path}.start"), message, "start faster, or make `duration` longer");
    }
    let notices = group.session.looks_for_life();
    let half_open = |disconnect: &ClientDisconnect| disconnect.how == DisconnectHow::HalfOpen;
    if group.disconnects.iter().any(half_open) && !notices {
        let message = format!("group \"{}\" goes half-open and would never notice", group.name);
        say(
            format!("{path}.disconnects"),
            message,
            "give [groups.session] a keep_alive or a silence_timeout",
        );
    }
}

/// A bound token goes in the header, beside its proof; a certificate is shown over TLS.
fn check_holder(scenario: &Scenario, group: &Group, path: &str, say: &mut impl FnMut(String, String, &str)) {
    let proves = group.token.as_ref().is_some_and(|token| token.dpop.is_some());
    if proves && !matches!(group.connect.token_in, TokenIn::Header) {
        let message =
            format!("group \"{}\" has bound tokens, and does not show them in the header", group.name);
        let help = "take token_in away: a bound token goes as `Authorization: DPoP …`, beside its proof";
        say(format!("{path}.connect.token_in"), message, help);
    }
    if group.connect.tls_resumption == TlsResumption::PerClient && is_plain(scenario, group) {
        let message = format!("group \"{}\" would resume TLS sessions, and connects without TLS", group.name);
        let help = "write tls = true in [target], or a wss URL; or take tls_resumption away";
        say(format!("{path}.connect.tls_resumption"), message, help);
    }
    let Target::Embedded(rules) = &scenario.target else { return };
    let at_token = group.token.as_ref().is_some_and(|token| token.certificate.is_some());
    let shown =
        [("connect.certificate", group.connect.certificate.is_some()), ("token.certificate", at_token)];
    for (key, _) in shown.into_iter().filter(|(_, is_shown)| *is_shown && !rules.tls) {
        let message = format!("group \"{}\" shows a certificate to a target without TLS", group.name);
        say(format!("{path}.{key}"), message, "write tls = true in [target], or take the certificate away");
    }
}

/// Whether a group's handshakes are known to go without TLS.
fn is_plain(scenario: &Scenario, group: &Group) -> bool {
    match (&group.connect.url, &scenario.target) {
        (Some(UrlText::Fixed(url)), _) => url.scheme() == "ws",
        (Some(UrlText::Template(_)), _) => false,
        (None, Target::Embedded(rules)) => !rules.tls,
        (None, Target::Remote(remote)) => remote.url.scheme() == "ws",
    }
}

fn check_arrivals(
    scenario: &Scenario,
    group: &Group,
    arrivals: &Arrivals,
    path: &str,
    say: &mut impl FnMut(String, String, &str),
) {
    let name = &group.name;
    if arrivals.counted.clients == 0 {
        let message = format!("nobody comes to group \"{name}\" within the run");
        say(format!("{path}.arrivals"), message, "let more come, or make `duration` longer");
    }
    let stages: Duration = arrivals.parts.iter().filter_map(|part| part.over).sum();
    if stages > scenario.duration {
        let message =
            format!("the stages of group \"{name}\" last {}, longer than the run", format_duration(stages));
        say(format!("{path}.arrivals"), message, "make them shorter, or `duration` longer");
    }
    let least = match arrivals.stay {
        Some(Delay::Constant(stay)) => stay,
        Some(Delay::Uniform { low, .. }) => low,
        _ => Duration::ZERO,
    };
    if least >= scenario.duration {
        let message = format!("clients of group \"{name}\" would stay longer than the run lasts");
        say(format!("{path}.arrivals.stay"), message, "leave `stay` out: they then stay to the run's end");
    }
}

fn check_storm(scenario: &Scenario, storm: &Storm, path: &str, say: &mut impl FnMut(String, String, &str)) {
    if storm.at >= scenario.duration {
        say(
            format!("{path}.at"),
            "the storm would strike after the run's end".into(),
            "make it earlier than `duration`",
        );
    }
    match &storm.by {
        StormBy::Event { .. } => check_event_storm(scenario, storm, path, say),
        StormBy::Target { .. } if matches!(scenario.target, Target::Remote(_)) => {
            let help = "use by = \"client\", or raise it yourself: POST /_resurge/close at a `resurge serve`";
            say(path.to_owned(), "only the embedded target can be told to raise a storm".into(), help);
        }
        StormBy::Client { how: DisconnectHow::HalfOpen, groups } => {
            let struck = |index: &usize| groups.as_ref().is_none_or(|groups| groups.contains(index));
            let blind = scenario
                .groups
                .iter()
                .enumerate()
                .find(|(index, group)| struck(index) && !group.session.looks_for_life());
            if let Some((_, group)) = blind {
                let message = format!(
                    "the storm leaves group \"{}\" half-open, which it would never notice",
                    group.name
                );
                say(path.to_owned(), message, "give the group a keep_alive or a silence_timeout");
            }
        }
        _ => {}
    }
}
