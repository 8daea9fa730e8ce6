//! The answer in words: what happened to each group, in at most two sentences, and what to do or look at next.
//!
//! In: the groups' numbers, and how the run was judged. Out: sentences, made by rules from the numbers alone. The first says who was in, who lost their
//! sessions and who came back; the second what stood in the way most, or else what ended the sessions.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::{Asks, Manifest, Quantile, Reconnects, Tally};
use crate::sample::{AttemptKey, AttemptKind, Cause, Counter, Ground, Outcome, RequestAnswer};
use crate::units::{format_count, format_us};

use super::ends_in_words::what_ended_sessions;
use super::requests::keeps_out;
use super::verdict::Status;

/// Groups that are told; of more, it is said how many.
const MOST_GROUPS: usize = 8;

/// What happened, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InWords {
    /// The scenario's own description.
    pub description: Option<String>,
    /// What happened to each group; those for which there was no room are left out.
    pub groups: Vec<GroupInWords>,
    /// Groups that were left out.
    pub left_out: usize,
    /// What to do or look at next.
    pub next: Vec<String>,
}

/// What happened to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GroupInWords {
    /// Its name.
    pub group: String,
    /// At most two sentences.
    pub said: String,
}

impl InWords {
    /// The answer of a run.
    #[must_use]
    pub fn of(manifest: &Manifest, totals: &[Tally], status: Status) -> Self {
        let named = || manifest.groups.iter().map(|group| group.name.as_str()).zip(totals).enumerate();
        let told = named().take(MOST_GROUPS).map(|(index, (name, tally))| {
            let others = named().filter(|(other, _)| *other != index).map(|(_, group)| group);
            let said = sentences(tally, manifest.asks_of(index), others);
            GroupInWords { group: name.to_owned(), said }
        });
        Self {
            description: description(&manifest.scenario_text),
            groups: told.collect(),
            left_out: totals.len().saturating_sub(MOST_GROUPS),
            next: next_steps(totals, status),
        }
    }

    /// Each group's sentences on a line, with its name.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let more = (self.left_out > 0).then(|| format!("{} more groups: see report.html", self.left_out));
        self.groups.iter().map(|told| format!("{}: {}", told.group, told.said)).chain(more)
    }
}

fn description(scenario: &str) -> Option<String> {
    let scenario: toml::Table = scenario.parse().ok()?;
    scenario.get("description")?.as_str().map(str::to_owned)
}

/// What happened to a group.
fn sentences<'a>(
    tally: &Tally,
    asks: Asks<'_>,
    others: impl Iterator<Item = (&'a str, &'a Tally)>,
) -> String {
    let mut said = capitalised(&what_happened(tally));
    if let Some(why) = what_stood_in_the_way(tally, asks, others).or_else(|| what_ended_sessions(tally)) {
        said.push(' ');
        said.push_str(&capitalised(&why));
    }
    said
}

/// With a full stop, and a capital letter where it begins with a word.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

fn of(part: u64, whole: u64, noun: &str) -> String {
    match part {
        _ if part == whole && whole == 1 => format!("the one {noun}"),
        _ if part == whole => format!("all {} {noun}s", format_count(whole)),
        0 => format!("none of the {} {noun}s", format_count(whole)),
        _ => format!("{} of {} {noun}s", format_count(part), format_count(whole)),
    }
}

/// Who was in, who lost their sessions, who came back.
fn what_happened(tally: &Tally) -> String {
    let clients = tally.counter(Counter::ClientsStarted);
    if clients == 0 {
        return "no client started".to_owned();
    }
    let were_in = clients - tally.never_in().min(clients);
    let verb = if clients == 1 || were_in == 0 { "was" } else { "were" };
    if were_in == 0 {
        return format!("{} {verb} ever let in", of(0, clients, "client"));
    }
    let reconnects = Reconnects::of(tally);
    let in_words = format!("{} {verb} let in", of(were_in, clients, "client"));
    let lost = tally.counter(Counter::Disconnects);
    if lost == 0 {
        return format!("{in_words}, and no session was lost before the run's end");
    }
    let cut_off = match lost {
        _ if lost == were_in && were_in == clients => {
            format!("{} {verb} cut off", of(clients, clients, "client"))
        }
        1 => format!("{in_words}; one session was lost"),
        _ => format!("{in_words}; sessions were lost {} times", format_count(lost)),
    };
    format!("{cut_off}, and {}", who_came_back(&reconnects, lost))
}

fn who_came_back(reconnects: &Reconnects, lost: u64) -> String {
    let wanted = reconnects.wanted();
    if wanted == 0 {
        return "nobody was wanted back".to_owned();
    }
    let times = || {
        let time = |percentile| reconnects.percentile(percentile).map(Quantile::words);
        match (time(50.0), time(99.0)) {
            (Some(half), Some(most)) if reconnects.back > 1 => {
                format!(": half within {half}, 99 % within {most}")
            }
            (Some(half), _) => format!(" in {half}"),
            _ => String::new(),
        }
    };
    let mut not_back = Vec::new();
    if reconnects.given_up > 0 {
        not_back.push(format!("{} gave up", format_count(reconnects.given_up)));
    }
    if reconnects.away > 0 {
        let away = format_count(reconnects.away);
        not_back.push(match reconnects.longest_away_us {
            Some(0) => format!("{away} lost theirs as the run ended"),
            Some(us) => format!("{away} were away when the run ended, for up to {}", format_us(us)),
            None => format!("{away} were away when the run ended"),
        });
    }
    if lost > wanted {
        not_back.push(format!("{} were not wanted back", format_count(lost - wanted)));
    }
    match reconnects.back {
        0 => format!("none came back ({})", not_back.join("; ")),
        back if not_back.is_empty() && back == 1 => format!("the client came back{}", times()),
        _ if not_back.is_empty() => format!("all came back{}", times()),
        back => format!("{} came back{} ({})", format_count(back), times(), not_back.join("; ")),
    }
}

/// What stood in the way most: of the attempts that say something of the target, those that were not let in. `None` where that was few.
fn what_stood_in_the_way<'a>(
    tally: &Tally,
    asks: Asks<'_>,
    others: impl Iterator<Item = (&'a str, &'a Tally)>,
) -> Option<String> {
    if let Some(why) = keeps_out(asks, tally) {
        return Some(why);
    }
    let is_bad = |key: &AttemptKey| key.outcome != Outcome::Ok && key.outcome.is_about_target();
    let mut bad: Vec<(Obstacle, u64)> = Vec::new();
    for (key, n) in tally.attempts.iter().filter(|(key, _)| is_bad(key)) {
        let obstacle = Obstacle::of(key);
        match bad.iter_mut().find(|(other, _)| *other == obstacle) {
            Some((_, count)) => *count += n,
            None => bad.push((obstacle, *n)),
        }
    }
    let at = (0..bad.len()).max_by_key(|at| bad[*at].1)?;
    let (obstacle, count) = bad.swap_remove(at);
    let reconnecting =
        tally.attempts_where(|kind, outcome, _| kind == AttemptKind::Reconnect && outcome.is_about_target());
    let all = tally.attempts_where(|_, outcome, _| outcome.is_about_target());
    let is_every = count == all || (reconnecting == count && obstacle.of_reconnects);
    // Of all attempts, those of the other kind count that came to the same.
    let alike =
        |other: &Obstacle| Obstacle { of_reconnects: obstacle.of_reconnects, ..other.clone() } == obstacle;
    let others_alike: u64 = bad.iter().filter(|(other, _)| alike(other)).map(|(_, n)| n).sum();
    let count = if is_every { count } else { count + others_alike };
    let how_many = match (is_every, obstacle.of_reconnects && count == reconnecting) {
        (true, true) if count < all => format!("every attempt to come back ({})", format_count(count)),
        (true, _) => format!("every attempt ({})", format_count(count)),
        _ => format!("{} of {} attempts", format_count(count), format_count(all)),
    };
    let verb = if is_every || count == 1 { "was" } else { "were" };
    let what = match obstacle.outcome {
        Outcome::TokenRefused => return Some(token_words(tally, count)),
        outcome if outcome.is_refusal() => format!("{verb} refused {}", obstacle.words()),
        Outcome::EndedEarly => format!("{verb} ended before the client was in ({})", obstacle.said),
        Outcome::NotReady => "did not become ready in time".to_owned(),
        Outcome::StepRefused => {
            format!("{verb} refused at a request before the handshake ({})", obstacle.said)
        }
        outcome if obstacle.said.is_empty() => format!("failed ({outcome})"),
        outcome => format!("failed ({outcome}: answered with {})", obstacle.said),
    };
    Some(format!("{how_many} {what}{}", help(&obstacle, tally, others)))
}

fn token_words(tally: &Tally, count: u64) -> String {
    let refused = tally.requests.iter().filter(|((_, answer), _)| *answer == RequestAnswer::Refused);
    let requests: u64 = refused.map(|(_, requests)| requests.count()).sum();
    let of_requests =
        if requests > 0 { format!(" ({} requests)", format_count(requests)) } else { String::new() };
    format!("the token endpoint refused {} attempts{of_requests}: see tokens.csv", format_count(count))
}

/// What attempts met, without who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Obstacle {
    outcome: Outcome,
    cause: Option<Cause>,
    said: String,
    of_reconnects: bool,
}

impl Obstacle {
    fn of(key: &AttemptKey) -> Self {
        let said = match (key.answer.as_deref(), key.outcome) {
            (None, _) => String::new(),
            // The words of a status stand in its cause.
            (Some(answer), Outcome::Http401 | Outcome::Http403 | Outcome::Http429) => answer.code.to_string(),
            (Some(answer), Outcome::RefusedClose) => match &answer.words {
                Some(words) if key.cause == Some(Cause::Unknown) => format!("{} ({words})", answer.code),
                _ => answer.code.to_string(),
            },
            (Some(answer), _) => answer.said(),
        };
        let of_reconnects = key.kind == AttemptKind::Reconnect;
        Self { outcome: key.outcome, cause: key.cause, said, of_reconnects }
    }

    /// `with 403 because the token was stale`.
    fn words(&self) -> String {
        let how = match self.outcome {
            Outcome::Http403 => "with 403".to_owned(),
            Outcome::Http401 => "with 401".to_owned(),
            Outcome::Http429 => "with 429".to_owned(),
            Outcome::RefusedClose => format!("by close {}", self.said),
            Outcome::RefusedMessage if self.said.is_empty() => "by a message".to_owned(),
            Outcome::RefusedMessage => format!("by a message ({})", self.said),
            _ => format!("with {}", self.said),
        };
        match self.cause {
            None => how,
            Some(cause) => format!("{how}{}", because(cause)),
        }
    }
}

/// Why, as a part of a sentence.
const fn because(cause: Cause) -> &'static str {
    match cause {
        Cause::StaleToken => " because the token had been invalidated",
        Cause::ExpiredToken => " because the token had expired",
        Cause::MissingScope => " because the token lacks a scope",
        Cause::NoToken => " because no token was sent",
        Cause::UnknownToken => " because the service does not know the token",
        Cause::RateLimited => " for too many requests",
        Cause::Displaced => " because another session took the place",
        Cause::Edge => " by something in front of the service",
        Cause::ForbiddenOther => " for a reason that the service names",
        Cause::Overloaded => " for want of room",
        Cause::Unknown => ", and nothing tells why",
    }
}

/// What helped where a token was dead: a fresh one, of this group's or of another that fetches.
fn help<'a>(
    obstacle: &Obstacle,
    tally: &Tally,
    mut others: impl Iterator<Item = (&'a str, &'a Tally)>,
) -> String {
    if !obstacle.cause.is_some_and(Cause::is_dead_token) {
        return String::new();
    }
    let is_proof = |(key, _): &(&AttemptKey, &u64)| {
        key.answer.as_ref().is_some_and(|answer| answer.ground == Ground::Proved)
    };
    if tally.attempts.iter().any(|row| is_proof(&row)) {
        return "; a fresh one was let in".to_owned();
    }
    let fetches = |(_, other): &(&str, &Tally)| {
        other.counter(Counter::TokensForReconnects) > 0 && other.counter(Counter::Reconnects) > 0
    };
    let found = others.find(fetches);
    found.map_or_else(String::new, |(name, _)| format!("; a fresh one is let in, as group {name} shows"))
}

/// What to do or look at next.
fn next_steps(totals: &[Tally], status: Status) -> Vec<String> {
    let refused = |wanted: fn(Cause) -> bool| -> u64 {
        totals
            .iter()
            .map(|tally| {
                tally.attempts_where(|_, outcome, cause| outcome.is_refusal() && cause.is_some_and(wanted))
            })
            .sum()
    };
    let outcome = |wanted: Outcome| -> u64 { totals.iter().map(|tally| tally.outcome(wanted)).sum() };
    let mut next = Vec::new();
    let mut say = |holds: bool, text: &str| {
        if holds {
            next.push(text.to_owned());
        }
    };
    let (dead, unknown) = (refused(Cause::is_dead_token), refused(|cause| cause == Cause::Unknown));
    let crowded = refused(|cause| matches!(cause, Cause::RateLimited | Cause::Overloaded));
    say(
        outcome(Outcome::TokenRefused) > 0,
        "tokens.csv has each answer of the token endpoint: check token.client_id, token.client_secret and its URL",
    );
    say(
        outcome(Outcome::TokenError) > 0,
        "tokens.csv tells what became of the token requests: check target.token_url, and whether the service is there",
    );
    say(
        outcome(Outcome::StepRefused) + outcome(Outcome::StepError) > 0,
        "steps.csv has each answer of the requests before a handshake",
    );
    say(
        unknown > dead + crowded,
        "resurge diagnose scenario.toml, the copy in the run folder: its experiments tell why handshakes are refused",
    );
    say(
        dead > unknown && dead > 0,
        "let the clients fetch a token before they come back (token.on_reconnect = \"fetch\", or reconnect.refetch_on), and compare the two runs",
    );
    say(
        refused(|cause| cause == Cause::MissingScope) > 0,
        "give the client the scope that the service wants (token.scopes)",
    );
    say(crowded > 0, "spread the way back over more time (reconnect.backoff): resurge sweep finds how far");
    if next.is_empty() && status != Status::Pass {
        next.push(
            "report.html shows it over time; resurge diagnose scenario.toml tries one client step by step"
                .to_owned(),
        );
    }
    next.truncate(2);
    next
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::{
        Abnormal, Answer, AnsweredBy, AttemptEnd, AwaySample, CloseKey, Initiator, Phases, ReadySample,
        Sample, SessionEnd, Spoken,
    };

    /// A group of so many clients, made up of samples.
    fn group(clients: u64, samples: &[(u64, Sample)]) -> Tally {
        let mut tally = Tally::default();
        tally.apply(&Sample::Count(Counter::ClientsStarted, clients));
        for (times, sample) in samples {
            (0..*times).for_each(|_| tally.apply(sample));
        }
        tally
    }

    fn end(kind: AttemptKind, outcome: Outcome) -> Sample {
        Sample::Attempt(AttemptEnd::plain(kind, outcome, Duration::ZERO))
    }

    fn refused(outcome: Outcome, code: u16, words: Option<&str>, cause: Cause, ground: Ground) -> Sample {
        let spoken = if outcome == Outcome::RefusedClose { Spoken::Close } else { Spoken::Http };
        let answer = Answer { spoken, code, words: words.map(Box::from), by: AnsweredBy::Service, ground };
        let plain = AttemptEnd::plain(AttemptKind::Reconnect, outcome, Duration::ZERO);
        Sample::Attempt(AttemptEnd { cause: Some(cause), answer: Some(Box::new(answer)), ..plain })
    }

    fn ready(kind: AttemptKind, ms: u64) -> Sample {
        let latency = Duration::from_millis(ms);
        let phases = Phases::default();
        Sample::Ready(Box::new(ReadySample { kind, storm: None, latency, service_time: latency, phases }))
    }

    const FIRST: AttemptKind = AttemptKind::First;
    const BACK: AttemptKind = AttemptKind::Reconnect;

    fn counted(counter: Counter) -> Sample {
        Sample::Count(counter, 1)
    }

    fn away() -> [Sample; 2] {
        let away = AwaySample { storm: None, away: Duration::from_secs(40) };
        [counted(Counter::ReconnectsUnfinished), Sample::Away(away)]
    }

    fn said(tally: &Tally, others: &[(&str, &Tally)]) -> String {
        sentences(tally, Asks::default(), others.iter().copied())
    }

    #[test]
    fn each_world_has_its_sentences() {
        let in_first = |n| [(n, end(FIRST, Outcome::Ok)), (n, ready(FIRST, 1))];
        let lost = |n| (n, counted(Counter::Disconnects));
        let [unfinished, still_away] = away();
        let stale = refused(Outcome::Http403, 403, None, Cause::StaleToken, Ground::Said);
        let stale_token = group(
            1_000,
            &[
                in_first(1_000).as_slice(),
                &[lost(1_000), (3_000, stale), (1_000, unfinished), (1_000, still_away)],
            ]
            .concat(),
        );
        let fresh = group(
            100,
            &[
                in_first(100).as_slice(),
                &[lost(100), (100, end(BACK, Outcome::Ok)), (100, ready(BACK, 1_200))],
                &[(1, counted(Counter::TokensForReconnects))],
                &[(
                    100,
                    Sample::SessionEnd(SessionEnd {
                        key: CloseKey::unsaid(Initiator::Target, 1001, None),
                        length: Duration::ZERO,
                    }),
                )],
            ]
            .concat(),
        );
        insta::assert_snapshot!(said(&stale_token, &[("fresh", &fresh)]), @"All 1,000 clients were cut off, and none came back (1,000 were away when the run ended, for up to 40.0 s). Every attempt to come back (3,000) was refused with 403 because the token had been invalidated; a fresh one is let in, as group fresh shows.");
        insta::assert_snapshot!(said(&fresh, &[]), @"All 100 clients were cut off, and all came back: half within 1.20 s, 99 % within 1.20 s. All sessions that were lost ended by target 1001 (100).");
        let idle = group(3, &in_first(3));
        insta::assert_snapshot!(said(&idle, &[]), @"All 3 clients were let in, and no session was lost before the run's end.");
        let close =
            refused(Outcome::RefusedClose, 4401, Some("token expired"), Cause::ExpiredToken, Ground::Proved);
        let by_close = group(
            20,
            &[
                in_first(20).as_slice(),
                &[lost(40), (40, close), (40, end(BACK, Outcome::Ok)), (40, ready(BACK, 900))],
            ]
            .concat(),
        );
        insta::assert_snapshot!(said(&by_close, &[]), @"All 20 clients were let in; sessions were lost 40 times, and all came back: half within 900 ms, 99 % within 900 ms. 40 of 100 attempts were refused by close 4401 because the token had expired; a fresh one was let in.");
        let bare = refused(Outcome::Http403, 403, None, Cause::Unknown, Ground::Unknown);
        let never = group(10, &[(30, bare), (10, counted(Counter::FirstGivenUp))]);
        insta::assert_snapshot!(said(&never, &[]), @"None of the 10 clients was ever let in. Every attempt (30) was refused with 403, and nothing tells why.");
        let unreachable = group(5, &[(15, end(FIRST, Outcome::TcpRefused))]);
        insta::assert_snapshot!(said(&unreachable, &[]), @"None of the 5 clients was ever let in. Every attempt (15) failed (tcp_refused).");
        let cut = CloseKey::unsaid(Initiator::Network, 1006, Some(Abnormal::Rst));
        let partly = group(
            4,
            &[
                in_first(3).as_slice(),
                &[
                    lost(2),
                    (1, end(BACK, Outcome::Ok)),
                    (1, ready(BACK, 10)),
                    (1, counted(Counter::ReconnectsGivenUp)),
                ],
                &[(2, Sample::SessionEnd(SessionEnd { key: cut, length: Duration::ZERO }))],
            ]
            .concat(),
        );
        insta::assert_snapshot!(said(&partly, &[]), @"3 of 4 clients were let in; sessions were lost 2 times, and 1 came back in 10.0 ms (1 gave up). All sessions that were lost ended by network 1006 (rst) (2).");
        let [unfinished, _] = away();
        let at_the_end = Sample::Away(AwaySample { storm: None, away: Duration::ZERO });
        let crossed =
            group(2, &[in_first(2).as_slice(), &[lost(1), (1, unfinished), (1, at_the_end)]].concat());
        insta::assert_snapshot!(said(&crossed, &[]), @"All 2 clients were let in; one session was lost, and none came back (1 lost theirs as the run ended).");
        assert_eq!(said(&Tally::default(), &[]), "No client started.");
    }

    #[test]
    fn what_to_do_next_follows_from_what_was_met() {
        let next = |sample: Sample, status| next_steps(&[group(1, &[(1, sample)])], status);
        let dead = refused(Outcome::Http403, 403, None, Cause::StaleToken, Ground::Said);
        assert!(next(dead, Status::ThresholdFailed)[0].contains("on_reconnect"));
        let unknown = refused(Outcome::Http403, 403, None, Cause::Unknown, Ground::Unknown);
        assert!(next(unknown, Status::ThresholdFailed)[0].contains("diagnose"));
        let full = refused(Outcome::RefusedClose, 1013, None, Cause::Overloaded, Ground::Said);
        assert!(next(full, Status::Pass)[0].contains("sweep"));
        assert!(next(end(FIRST, Outcome::TokenRefused), Status::ThresholdFailed)[0].contains("tokens.csv"));
        assert!(next(end(FIRST, Outcome::Ok), Status::Pass).is_empty());
        assert!(next(end(FIRST, Outcome::Ok), Status::ThresholdFailed)[0].contains("report.html"));
    }
}
