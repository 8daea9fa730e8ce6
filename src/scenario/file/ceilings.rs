//! Ceilings on a load that leaves this machine. A scenario raises them where it means to.
//!
//! In: a parsed scenario. Out: what is above a ceiling. Load on this machine's own target, or in virtual time, has none.

use std::time::Duration;

use url::{Host, Url};

use crate::declare::UrlText;
use crate::scenario::keys::{Group, Scenario, Start, StepPlace, StormBy, Target};
use crate::units::{format_count, format_duration};

use super::check::Conflict;

/// What is looked at as one moment.
const SECOND: Duration = Duration::from_secs(1);

/// What of a scenario is above its ceilings.
pub(crate) fn above_ceilings(scenario: &Scenario) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    if !leaves_this_machine(scenario) {
        return conflicts;
    }
    let mut say = |path: &str, message: String, raise: String| {
        let help = format!(
            "the load leaves this machine: if the service's owner agrees to so much, raise the ceiling: [limits] {raise}"
        );
        conflicts.push(Conflict { path: path.to_owned(), message, help });
    };
    let limits = scenario.limits;
    let clients = scenario.groups.iter().map(|group| u64::from(group.at_once())).sum::<u64>();
    if clients > limits.max_clients {
        let most = format_count(limits.max_clients);
        say(
            "groups",
            format!("{} clients are more than limits.max_clients ({most})", format_count(clients)),
            format!("max_clients = {clients}"),
        );
    }
    let rate = peak_rate(scenario);
    if rate > limits.max_rate {
        let path = if scenario.groups.len() == 1 && scenario.storms.is_empty() {
            "groups.0.start"
        } else {
            "groups"
        };
        say(
            path,
            format!(
                "{rate:.0} connects in a second are planned, more than limits.max_rate ({}/s)",
                limits.max_rate
            ),
            format!("max_rate = \"{:.0}/s\", or start slower: start = {{ rate = \"100/s\" }}", rate.ceil()),
        );
    }
    if scenario.duration > limits.max_duration {
        let (duration, most) = (format_duration(scenario.duration), format_duration(limits.max_duration));
        say(
            "duration",
            format!("the run is to last {duration}, longer than limits.max_duration ({most})"),
            format!("max_duration = \"{}s\"", scenario.duration.as_secs_f64().ceil()),
        );
    }
    conflicts
}

/// Whether any of a scenario's URLs leads away from this machine. What only a service's answer will say is where that service is.
fn leaves_this_machine(scenario: &Scenario) -> bool {
    let mut urls: Vec<Url> = Vec::new();
    if let Target::Remote(remote) = &scenario.target {
        urls.push((*remote.url).clone());
        urls.extend(remote.token_url.as_deref().cloned());
    }
    for group in &scenario.groups {
        urls.extend(urls_of(group));
    }
    urls.iter().any(|url| !is_of_this_machine(url))
}

/// The URLs of a group, as far as they are known before it runs.
fn urls_of(group: &Group) -> Vec<Url> {
    let steps = group.prepare.iter().flat_map(|prepare| &prepare.steps);
    let step_urls = steps.filter_map(|step| match &step.place {
        StepPlace::Url(template) => Some(template),
        StepPlace::Path(_) => None,
    });
    let templates = step_urls.chain(group.connect.url.as_ref().and_then(UrlText::template));
    let rendered =
        templates.filter_map(|template| Url::parse(&template.render(|_| Some("0".to_owned()))).ok());
    let token = group.token.as_ref().and_then(|token| token.url.as_deref());
    let fixed = group.connect.url.as_ref().and_then(UrlText::fixed);
    rendered.chain(fixed.into_iter().chain(token).cloned()).collect()
}

fn is_of_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
        None => true,
    }
}

/// The most connects that are planned within a second: starts at one moment, starts at a rate, clients that a storm of theirs throws off.
fn peak_rate(scenario: &Scenario) -> f64 {
    let mut bursts: Vec<(Duration, f64)> = Vec::new();
    let mut changes: Vec<(Duration, f64)> = Vec::new();
    for group in &scenario.groups {
        let mut spread = |begins: Duration, clients: f64, over: Duration| {
            if over <= SECOND {
                bursts.push((begins, clients));
            } else {
                let rate = clients / over.as_secs_f64();
                changes.extend([(begins, rate), (begins.saturating_add(over), -rate)]);
            }
        };
        let clients = f64::from(group.clients);
        if let Some(arrivals) = &group.arrivals {
            let mut begins = Duration::ZERO;
            for part in &arrivals.parts {
                let ends = part.over.map_or(scenario.duration, |over| begins.saturating_add(over));
                let rate = part.from.max(part.to);
                changes.extend([(begins, rate), (ends, -rate)]);
                begins = ends;
            }
            continue;
        }
        match &group.start {
            Start::AtOnce => spread(Duration::ZERO, clients, Duration::ZERO),
            Start::Over(over) => spread(Duration::ZERO, clients, *over),
            Start::Rate(rate) => {
                let over = Duration::try_from_secs_f64(clients / rate).unwrap_or(Duration::MAX);
                spread(Duration::ZERO, clients, over);
            }
            Start::Stages(stages) => {
                let mut begins = Duration::ZERO;
                for stage in stages {
                    spread(begins, f64::from(stage.clients), stage.over);
                    begins = begins.saturating_add(stage.over);
                }
            }
        }
    }
    for storm in &scenario.storms {
        let StormBy::Client { groups, .. } = &storm.by else { continue };
        let struck = scenario.groups.iter().enumerate();
        let struck = struck.filter(|(index, _)| groups.as_ref().is_none_or(|groups| groups.contains(index)));
        let clients: f64 = struck.map(|(_, group)| f64::from(group.at_once())).sum();
        bursts.push((storm.at, clients * storm.fraction));
    }
    peak(bursts, changes)
}

/// The most of bursts within a second and of rates at that time.
fn peak(mut bursts: Vec<(Duration, f64)>, mut changes: Vec<(Duration, f64)>) -> f64 {
    bursts.sort_by_key(|(at, _)| *at);
    changes.sort_by_key(|(at, _)| *at);
    let mut moments: Vec<Duration> = bursts.iter().chain(&changes).map(|(at, _)| *at).collect();
    moments.sort_unstable();
    moments.dedup();
    let (mut rate, mut most) = (0.0, 0.0_f64);
    let (mut next_change, mut first, mut behind, mut within) = (0, 0, 0, 0.0);
    for moment in moments {
        while let Some((_, change)) = changes.get(next_change).filter(|(at, _)| *at <= moment) {
            rate += change;
            next_change += 1;
        }
        while let Some((_, clients)) =
            bursts.get(behind).filter(|(at, _)| *at < moment.saturating_add(SECOND))
        {
            within += clients;
            behind += 1;
        }
        while let Some((_, clients)) = bursts.get(first).filter(|(at, _)| *at < moment) {
            within -= clients;
            first += 1;
        }
        most = most.max(rate + within);
    }
    // What sums of rates leave of a whole number.
    (most * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load_for_traffic;

    fn faults(target: &str, groups: &str, more: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        let text = format!("{more}\n[target]\n{target}\n{groups}");
        std::fs::write(&path, text).unwrap();
        match load_for_traffic(&path, &Vec::new(), None, &|_| None) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    fn group(clients: u32, start: &str) -> String {
        format!(
            "[[groups]]\nname = \"g{clients}\"\nclients = {clients}\nstart = {start}\ntoken = {{ grant = \"none\" }}\n"
        )
    }

    #[test]
    fn load_on_others_has_ceilings_and_each_can_be_raised() {
        let (far, near) = ("url = \"wss://api.example.com/\"", "url = \"ws://127.0.0.1:9/\"");
        let hour = "duration = \"1h\"";
        // (target, groups, more, part of the message; empty: none)
        let rows = [
            (far, group(1_000, "\"at-once\""), hour, ""),
            (
                far,
                group(1_001, "\"at-once\""),
                hour,
                "1001 connects in a second are planned, more than limits.max_rate (1000/s)",
            ),
            (near, group(1_001, "\"at-once\""), hour, ""),
            ("url = \"ws://localhost:9/\"", group(9_001, "\"at-once\""), hour, ""),
            ("url = \"ws://192.168.0.7/\"", group(1_001, "\"at-once\""), hour, "limits.max_rate"),
            (far, group(1_001, "\"at-once\""), "limits = { max_rate = \"1001/s\" }\nduration = \"1h\"", ""),
            (far, group(90_000, "{ over = \"90s\" }"), hour, ""),
            (far, group(90_000, "{ over = \"89s\" }"), hour, "1011 connects in a second"),
            (
                far,
                group(100_001, "{ rate = \"900/s\" }"),
                hour,
                "100,001 clients are more than limits.max_clients (100,000)",
            ),
            (
                far,
                group(100_001, "{ rate = \"900/s\" }"),
                "limits = { max_clients = 100001 }\nduration = \"1h\"",
                "",
            ),
            (
                far,
                group(60, "{ rate = \"1/s\" }"),
                "duration = \"25h\"",
                "25h, longer than limits.max_duration",
            ),
            (
                far,
                group(60, "{ rate = \"1/s\" }"),
                "limits = { max_duration = \"25h\" }\nduration = \"25h\"",
                "",
            ),
            ("", group(100_001, "\"at-once\""), "duration = \"25h\"", ""),
            (
                "",
                group(1_001, "\"at-once\"\nconnect = { url = \"ws://h.example/\" }"),
                hour,
                "limits.max_rate",
            ),
            (
                "",
                group(1_001, "\"at-once\"\nprepare = { steps = [{ url = \"https://h.example/{client}\" }] }"),
                hour,
                "limits.max_rate",
            ),
            (
                far,
                group(9, "\"at-once\""),
                "limits = { max_client = 5 }\nduration = \"1h\"",
                "did you mean `max_clients`",
            ),
        ];
        for (target, groups, more, part) in rows {
            let said = faults(target, &groups, more);
            assert!(
                said.contains(part) && said.is_empty() == part.is_empty(),
                "{target} {groups} {more}: {said}"
            );
        }
    }

    #[test]
    fn what_happens_within_a_second_adds_up() {
        let s = Duration::from_secs_f64;
        // (bursts, changes of the rate, peak)
        type Row = (&'static [(f64, f64)], &'static [(f64, f64)], f64);
        let rows: [Row; 5] = [
            (&[], &[], 0.0),
            (&[(0.0, 5.0), (0.9, 6.0), (1.8, 7.0)], &[], 13.0),
            (&[(5.0, 3.0)], &[(0.0, 2.0), (10.0, -2.0)], 5.0),
            (&[(10.0, 3.0)], &[(0.0, 2.0), (10.0, -2.0)], 3.0),
            (&[], &[(0.0, 2.0), (3.0, 4.0), (4.0, -2.0), (5.0, -4.0)], 6.0),
        ];
        for (bursts, changes, expected) in rows {
            let of = |list: &[(f64, f64)]| list.iter().map(|(at, n)| (s(*at), *n)).collect();
            assert_eq!(peak(of(bursts), of(changes)).to_bits(), expected.to_bits(), "{bursts:?} {changes:?}");
        }
    }
}
