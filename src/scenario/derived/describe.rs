//! A scenario in words, for `resurge check`.
//!
//! In: a scenario, and its copy. Out: text.

use std::time::Duration;

use crate::declare::bare_url;
use crate::scenario::file::load::Loaded;
use crate::scenario::keys::{
    Arrivals, Counted, DisconnectHow, FaultKind, FaultStage, Grant, Group, Growth, Invalidation, Jitter,
    Observe, ObservePlace, OnReconnect, Ready, RefusalStatus, Sharing, Shown, Simulate, Skew, Start, StormBy,
    Target, TargetFault, TargetRules, TlsResumption, TokenRules,
};
use crate::units::{format_count, format_duration, format_share};

use super::admission::admission_of;
use super::describe_events::describe_event;
use super::describe_simulate::{describe_capacity, describe_delay, describe_simulate};
use super::settings::Settings;

/// The longest line of settings.
const WIDTH: usize = 118;

/// What a scenario does, a line for each thing, and below it the keys that it sets.
#[must_use]
pub fn describe(loaded: &Loaded) -> String {
    let scenario = &loaded.scenario;
    let settings = Settings::of(&loaded.copy);
    let mut lines = Vec::new();
    let clients = format_count(u64::from(scenario.clients()));
    let time = format_duration(scenario.duration);
    lines.push(format!("{}: {clients} clients for {time}, seed {}", scenario.name, scenario.seed));
    lines.push(format!("  target: {}", describe_target(&scenario.target)));
    lines.extend(told(&settings.table("target")));
    if let Target::Embedded(rules) = &scenario.target {
        for (endpoint, capacity) in [("token", rules.token_capacity), ("upgrade", rules.upgrade_capacity)] {
            lines.extend(
                capacity.map(|capacity| format!("  {endpoint} requests: {}", describe_capacity(&capacity))),
            );
        }
        lines.extend(rules.probe.map(|probe| {
            format!(
                "  probe: every {}; it fails where more than {} upgrade requests wait, and after {} failures in a row all sessions are closed with {}",
                format_duration(probe.every),
                format_count(u64::from(probe.waiting)),
                probe.failures,
                probe.code
            )
        }));
        lines.extend(rules.faults.iter().map(|fault| format!("  fault: {}", describe_fault(fault))));
    }
    for (index, group) in scenario.groups.iter().enumerate() {
        lines.push(format!("  {}", describe_group(group)));
        lines.push(format!("      in {}", describe_admission(loaded, index)));
        lines.extend(told(&settings.element("groups", index)));
    }
    lines.extend(
        scenario.events.iter().map(|event| format!("  {}", loaded.redactor.clean(&describe_event(event)))),
    );
    for storm in &scenario.storms {
        let how = match &storm.by {
            StormBy::Target { code } => format!("the target closes with {code}"),
            StormBy::Event { event } => {
                let name = scenario.events.get(*event).map_or("", |event| event.name.as_str());
                format!("whom the service loses by the event {name}")
            }
            StormBy::Client { how, groups: None } => format!("clients {}", describe_how(*how)),
            StormBy::Client { how, groups: Some(groups) } => {
                let names = groups
                    .iter()
                    .filter_map(|index| scenario.groups.get(*index))
                    .map(|group| group.name.as_str());
                format!("clients of {} {}", names.collect::<Vec<_>>().join(", "), describe_how(*how))
            }
        };
        let share = format_share(storm.fraction);
        lines.push(format!("  storm at {}: {how}, {share} of the sessions", format_duration(storm.at)));
    }
    lines.extend(scenario.observe.iter().flat_map(describe_observe));
    lines.extend(scenario.thresholds.iter().map(|threshold| format!("  must hold: {}", threshold.source)));
    if scenario.simulate != Simulate::default() {
        lines.extend(
            describe_simulate(&scenario.simulate, |stage| scenario.passes(stage))
                .iter()
                .map(|line| format!("  in virtual time: {line}")),
        );
    }
    for table in ["health", "limits"] {
        let set = settings.table(table);
        if !set.is_empty() {
            lines.push(format!("  {table}:"));
            lines.extend(told(&set));
        }
    }
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// Keys that are set, in lines.
fn told(settings: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for setting in settings {
        let is_one_of_several = is_element(setting);
        let fits = |line: &&mut String| {
            !is_one_of_several
                && !is_element(line.trim_start())
                && line.chars().count() + 2 + setting.chars().count() <= WIDTH
        };
        match lines.last_mut().filter(fits) {
            Some(line) => line.push_str(&format!(", {setting}")),
            None => lines.push(format!("      {setting}")),
        }
    }
    lines
}

/// Whether a setting is an element of a list of tables, as `session.say.1 = …`.
fn is_element(setting: &str) -> bool {
    let path = setting.split(" = ").next().unwrap_or(setting);
    path.rsplit('.').next().is_some_and(|last| last.parse::<usize>().is_ok())
}

fn describe_target(target: &Target) -> String {
    match target {
        Target::Remote(remote) => bare_url(&remote.url),
        Target::Embedded(rules) => {
            let how = if rules.tls { "embedded, with TLS" } else { "embedded" };
            format!("{how}; {}", describe_rules(rules))
        }
    }
}

fn describe_rules(rules: &TargetRules) -> String {
    let idle = rules.idle_timeout.map_or_else(
        || "sessions may idle".to_owned(),
        |idle| format!("closes with {} after {} idle", rules.idle_close_code, format_duration(idle)),
    );
    let dies = match rules.invalidation {
        Invalidation::Never => "until they expire",
        Invalidation::OnDisconnect => "until the disconnect",
        Invalidation::OnNewToken => "until the next is issued",
        Invalidation::OnUse => "for one use",
    };
    let life = format_duration(rules.token_life);
    let status = match rules.refusal_status {
        RefusalStatus::Always(status) => status.to_string(),
        RefusalStatus::Rfc6750 => "401 or 403 (RFC 6750)".to_owned(),
    };
    format!("{idle}; tokens live {life}, {dies}; refuses with {status}")
}

/// A fault: what, how often, when.
fn describe_fault(fault: &TargetFault) -> String {
    let more = match &fault.kind {
        FaultKind::TokenStatus(given) | FaultKind::UpgradeStatus(given) => format!(" {}", given.status),
        FaultKind::TokenClockSkew(Skew::Longer(by)) => format!(" +{}", format_duration(*by)),
        FaultKind::TokenClockSkew(Skew::Shorter(by)) => format!(" -{}", format_duration(*by)),
        kind => kind
            .after()
            .filter(|after| !after.is_zero())
            .map_or_else(String::new, |after| format!(" {} after the upgrade", format_duration(after))),
    };
    let whom = match fault.kind.stage() {
        FaultStage::Accept => "connections",
        FaultStage::Token => "token requests",
        FaultStage::Upgrade => "upgrades",
    };
    let share = format_share(fault.share);
    let from = format_duration(fault.from);
    let when = match fault.until {
        Some(until) => format!("from {from} to {}", format_duration(until)),
        None if fault.from.is_zero() => "all the time".to_owned(),
        None => format!("from {from}"),
    };
    format!("{}{more}, {share} of the {whom}, {when}", fault.kind.name())
}

fn describe_group(group: &Group) -> String {
    let start = match &group.start {
        Start::AtOnce => "at once".to_owned(),
        Start::Over(over) => format!("over {}", format_duration(*over)),
        Start::Rate(rate) => format!("{rate:.1} a second"),
        Start::Stages(stages) => match stages.len() {
            1 => "in one stage".to_owned(),
            several => format!("in {several} stages"),
        },
    };
    let token = group.token.as_ref().map_or_else(|| "no token".to_owned(), describe_token);
    let leaves: Vec<String> = group
        .disconnects
        .iter()
        .map(|disconnect| {
            format!("; {} after {}", describe_how(disconnect.how), format_duration(disconnect.after))
        })
        .collect();
    let clients = match &group.arrivals {
        Some(arrivals) => describe_arrivals(arrivals),
        None => format!("{} clients, started {start}", format_count(u64::from(group.clients))),
    };
    let left = group.leave.map(|leave| format!("; leave over {}", format_duration(leave.over)));
    let leaves: Vec<String> = left.into_iter().chain(leaves).collect();
    let back = describe_backoff(group);
    let tls = describe_tls(group);
    format!("{}: {clients}; {token}{tls}; comes back {back}{}", group.name, leaves.concat())
}

/// Who comes and goes.
fn describe_arrivals(arrivals: &Arrivals) -> String {
    let Counted { clients, at_once, dropped } = arrivals.counted;
    let most = arrivals.parts.iter().map(|part| part.from.max(part.to)).fold(0.0, f64::max);
    let dropped =
        if dropped == 0 { String::new() } else { format!(", {} dropped", format_count(u64::from(dropped))) };
    let stay = arrivals.stay.map_or_else(|| "to the end".to_owned(), describe_delay);
    format!(
        "{} clients come, at {most:.1} a second at most ({}), and stay {stay}; {} at once at most{dropped}",
        format_count(u64::from(clients)),
        arrivals.process.name(),
        format_count(u64::from(at_once)),
    )
}

/// When a client of a group is in.
fn describe_admission(loaded: &Loaded, index: usize) -> String {
    let scenario = &loaded.scenario;
    if scenario.groups[index].session.ready != Ready::Upgraded {
        return "once its session is ready".to_owned();
    }
    format!("once its session has lived {}", format_duration(admission_of(scenario, index).after))
}

fn describe_token(token: &TokenRules) -> String {
    let policy = match token.on_reconnect {
        OnReconnect::Reuse => "reuses its token".to_owned(),
        OnReconnect::FetchIfOlderThan(age) => {
            format!("fetches a token if it is older than {}", format_duration(age))
        }
        OnReconnect::Fetch => match &token.fetch_on_codes {
            None => "fetches a token on every reconnect".to_owned(),
            Some(codes) => {
                let list = codes.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
                format!("fetches a token after {list}")
            }
        },
    };
    let policy = match &token.grant {
        Grant::Fixed(_) => "has a fixed token".to_owned(),
        Grant::Command(command) => {
            format!("{policy} (by the command {})", command.first().map_or("", String::as_str))
        }
        Grant::Jwt(keys) => {
            let algorithm = keys.mint.key.algorithm().name();
            format!("{policy} (each client signs its own by {algorithm})")
        }
        Grant::Shown { shown, .. } => {
            let grant = match **shown {
                Shown::Password(_) => "a user's password",
                Shown::JwtBearer(_) => "a JWT that it signs",
                Shown::TokenExchange(_) => "the exchange of another",
            };
            format!("{policy} (by {grant})")
        }
        Grant::RefreshToken { .. } => format!("{policy} (by refresh tokens)"),
        Grant::ClientCredentials(_) => policy,
    };
    let rows = token
        .grant
        .credentials()
        .and_then(|credentials| credentials.feeder.as_ref())
        .map(|feeder| feeder.rows());
    let fed = rows.map_or_else(String::new, |rows| {
        format!(", credentials from {} rows in turn", format_count(rows as u64))
    });
    let refresh = token
        .refresh_before_expiry
        .map(|margin| format!(", and {} before it expires", format_duration(margin)));
    let shared = match token.sharing {
        Sharing::Own => "",
        Sharing::Group => ", one for the group",
        Sharing::GroupStampede => ", one for the group, fetched by all at once",
    };
    let proves = if token.dpop.is_some() { ", bound to a key that it proves to hold (DPoP)" } else { "" };
    format!("{policy}{}{shared}{fed}{proves}", refresh.unwrap_or_default())
}

/// Where a group shows a certificate, and whether it resumes its TLS sessions.
fn describe_tls(group: &Group) -> String {
    let at_token = group.token.as_ref().is_some_and(|token| token.certificate.is_some());
    let shows = match (group.connect.certificate.is_some(), at_token) {
        (true, true) => "; shows a certificate in each TLS handshake, another one to the token endpoint",
        (true, false) => "; shows a certificate in each TLS handshake",
        (false, true) => "; shows a certificate to the token endpoint",
        (false, false) => "",
    };
    let resumes = match group.connect.tls_resumption {
        TlsResumption::Never => "",
        TlsResumption::PerClient => "; resumes its TLS sessions",
    };
    format!("{shows}{resumes}")
}

fn describe_backoff(group: &Group) -> String {
    let backoff = &group.reconnect.backoff;
    // Full jitter draws from nothing up to the wait, equal jitter from half of it.
    let wait = |wait: Duration| {
        let whole = format_duration(wait);
        match backoff.jitter {
            Jitter::Full => format!("0 to {whole}"),
            Jitter::Equal => format!("{} to {whole}", format_duration(wait / 2)),
            _ => whole,
        }
    };
    let is_drawn = matches!(backoff.jitter, Jitter::Full | Jitter::Equal);
    let growth = match &backoff.growth {
        Growth::None => return "at once".to_owned(),
        Growth::Constant { base } => format!("after {}", wait(*base)),
        Growth::Exponential { base, max, .. } if is_drawn => {
            format!("after {} at first, up to {}", wait(*base), wait(*max))
        }
        Growth::Exponential { base, max, .. } => format!("after {} to {}", wait(*base), wait(*max)),
        Growth::Linear { base, max } => {
            format!("{} later after each failure, up to {}", wait(*base), wait(*max))
        }
        Growth::Steps(steps) => {
            let steps: Vec<String> = steps.iter().map(|step| wait(*step)).collect();
            format!("after {}", steps.join(", "))
        }
    };
    let jitter = match backoff.jitter {
        Jitter::None => "no jitter".to_owned(),
        Jitter::Full => "full jitter".to_owned(),
        Jitter::Equal => "equal jitter".to_owned(),
        Jitter::Decorrelated => "decorrelated jitter".to_owned(),
        Jitter::Share(share) => format!("± {}", format_share(share)),
        Jitter::Add { low, high } => {
            format!("and {} to {} more", format_duration(low), format_duration(high))
        }
        Jitter::ShareWithin(share) => format!("± {} before the cap", format_share(share)),
        Jitter::AboveBase => "the base and full jitter".to_owned(),
        Jitter::OwnBase { most } => {
            format!("a first wait of up to {} for each client", format_duration(most))
        }
    };
    format!("{growth}, {jitter}")
}

/// Who is asked, how often, for what.
fn describe_observe(observe: &Observe) -> Vec<String> {
    let (what, url) = match &observe.place {
        ObservePlace::Page(url) => ("the page", url),
        ObservePlace::Server(url) => ("the Prometheus server", url),
    };
    let every = format_duration(observe.every);
    let mut lines = vec![format!("  observes {}: asks {what} {} each {every}", observe.name, bare_url(url))];
    lines.extend(observe.series.iter().map(|series| format!("      {}: {}", series.name, series.in_words())));
    lines
}

fn describe_how(how: DisconnectHow) -> String {
    match how {
        DisconnectHow::Close { code } => format!("close with {code}"),
        DisconnectHow::Reset => "reset the connection".to_owned(),
        DisconnectHow::HalfOpen => "go half-open".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::file::load::load;

    #[test]
    fn each_saying_has_a_line_and_a_stage_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        let text = "duration = \"5s\"\n[target]\nkind = \"embedded\"\n[[groups]]\nname = \"g\"\nclients = 2\n\
                    start = { stages = [{ clients = 2, over = \"1s\" }] }\n\
                    token = { client_id = \"a\", client_secret = \"b\" }\n\
                    [[groups.session.say]]\ntext = \"one\"\n[[groups.session.say]]\ntext = \"two\"\n";
        std::fs::write(&file, text).unwrap();
        let told = describe(&load(&file, &Vec::new(), None, &|_| None).unwrap());
        for (at, word) in ["one", "two"].iter().enumerate() {
            let line = format!("\n      session.say.{at} = {{ text = \"{word}\" }}\n");
            assert!(told.contains(&line), "{line}{told}");
        }
        assert!(told.contains("2 clients, started in one stage;"), "{told}");
    }

    #[test]
    fn a_wait_is_told_as_what_is_drawn() {
        let rows = [
            (
                "kind = \"exponential\", base = \"5s\", max = \"30s\", jitter = \"full\"",
                "after 0 to 5s at first, up to 0 to 30s, full jitter",
            ),
            (
                "kind = \"exponential\", base = \"5s\", max = \"30s\", jitter = \"equal\"",
                "after 2s500ms to 5s at first, up to 15s to 30s, equal jitter",
            ),
            (
                "kind = \"exponential\", base = \"5s\", max = \"30s\", jitter = \"none\"",
                "after 5s to 30s, no jitter",
            ),
            ("kind = \"constant\", base = \"1s\", jitter = \"full\"", "after 0 to 1s, full jitter"),
        ];
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        for (backoff, expected) in rows {
            let text = format!(
                "duration = \"1s\"\n[target]\nkind = \"embedded\"\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = {{ client_id = \"a\", client_secret = \"b\" }}\nreconnect = {{ backoff = {{ {backoff} }} }}\n"
            );
            std::fs::write(&file, text).unwrap();
            let loaded = load(&file, &Vec::new(), None, &|_| None).unwrap_or_else(|error| panic!("{error}"));
            let told = describe(&loaded);
            assert!(told.contains(&format!("comes back {expected}")), "{expected}\n{told}");
        }
    }
}
