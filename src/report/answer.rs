//! The answer in words: what happened to each group, in at most two sentences, and what to do or look at next.
//!
//! In: the groups' numbers, and how the run was judged. Out: sentences, made by rules from the numbers alone. The first says who was in, who lost their
//! sessions and who came back; the second what stood in the way most, or else what ended the sessions.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::{Asks, Manifest, Quantile, Reconnects, Tally};
use crate::sample::{
    AttemptKey, AttemptKind, Cause, Counter, ErrorWord, Ground, Metric, Outcome, Request, RequestAnswer,
};
use crate::units::{format_count, format_us};

use super::arrivals::come_and_go;
use super::ends_in_words::what_ended_sessions;
use super::next::{COMMAND, COMPARE, EXPLAINED};
use super::requests::{keeps_out, not_ok};
use super::token_hints::token_hint;
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
        let departs = come_and_go(manifest);
        let names: Vec<&str> = manifest.groups.iter().map(|group| group.name.as_str()).collect();
        let told = named().take(MOST_GROUPS).map(|(index, (name, tally))| {
            let others = named().filter(|(other, _)| *other != index).map(|(_, group)| group);
            let end = if departs.get(index) == Some(&true) { OWN_END } else { RUNS_END };
            let said = sentences(tally, manifest.asks_of(index), others, end);
            GroupInWords { group: name.to_owned(), said }
        });
        Self {
            description: description(&manifest.scenario_text),
            groups: told.collect(),
            left_out: totals.len().saturating_sub(MOST_GROUPS),
            next: next_steps(totals, status, &manifest.scenario_text, &names),
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

/// How the end of clients' time is told.
#[derive(Debug, Clone, Copy)]
struct End {
    as_it_came: &'static str,
    when: &'static str,
}

/// Of clients that stay to the run's end.
const RUNS_END: End = End { as_it_came: "as the run ended", when: "when the run ended" };
/// Of clients that leave at a time of their own.
const OWN_END: End = End { as_it_came: "as their time was over", when: "when their time was over" };

/// What happened to a group.
fn sentences<'a>(
    tally: &Tally,
    asks: Asks<'_>,
    others: impl Iterator<Item = (&'a str, &'a Tally)>,
    end: End,
) -> String {
    let mut said = capitalised(&what_happened(tally, end));
    if let Some(why) = what_stood_in_the_way(tally, asks, others).or_else(|| what_ended_sessions(tally)) {
        said.push(' ');
        said.push_str(&capitalised(&why));
    }
    said
}

/// With a full stop, and a capital letter where it begins with a word.
pub(super) fn capitalised(text: &str) -> String {
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
fn what_happened(tally: &Tally, end: End) -> String {
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
    let dropped = match tally.counter(Counter::ArrivalsDropped) {
        0 => String::new(),
        more => format!(" ({} more came and were dropped)", format_count(more)),
    };
    let beside = match tally.counter(Counter::ResumesOverlapped) {
        0 => String::new(),
        1 => "; once the next session was ready before the last one was closed".to_owned(),
        more => {
            format!(
                "; {} times the next session was ready before the last one was closed",
                format_count(more)
            )
        }
    };
    let in_words = format!("{} {verb} let in{dropped}{beside}", of(were_in, clients, "client"));
    let lost = tally.counter(Counter::Disconnects);
    if lost == 0 {
        return format!("{in_words}, and no session was lost before the run's end");
    }
    let cut_off = match lost {
        _ if lost == were_in && were_in == clients => {
            format!("{} {verb} disconnected{dropped}", of(clients, clients, "client"))
        }
        1 => format!("{in_words}; one session was lost"),
        _ => format!("{in_words}; sessions were lost {} times", format_count(lost)),
    };
    format!("{cut_off}, and {}", who_came_back(&reconnects, lost, end))
}

fn who_came_back(reconnects: &Reconnects, lost: u64, end: End) -> String {
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
    let (mut not_back, were) = (Vec::new(), |count| if count == 1 { "was" } else { "were" });
    if reconnects.given_up > 0 {
        not_back.push(format!("{} gave up", format_count(reconnects.given_up)));
    }
    if reconnects.away > 0 {
        let (away, verb) = (format_count(reconnects.away), were(reconnects.away));
        not_back.push(match reconnects.longest_away_us {
            Some(0) => format!("{away} lost theirs {}", end.as_it_came),
            Some(us) => format!("{away} {verb} away {}, for up to {}", end.when, format_us(us)),
            None => format!("{away} {verb} away {}", end.when),
        });
    }
    if lost > wanted {
        not_back.push(format!("{} {} not wanted back", format_count(lost - wanted), were(lost - wanted)));
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
    let said = &obstacle.said;
    let what = match obstacle.outcome {
        Outcome::TokenRefused => return Some(token_words(tally, count)),
        outcome if outcome.is_refusal() => {
            format!("{verb} refused {}", obstacle.words(shows_signature(tally)))
        }
        Outcome::EndedEarly => format!("{verb} ended before the client was in ({said})"),
        Outcome::NotReady => "did not become ready in time".to_owned(),
        Outcome::StepRefused => format!("{verb} refused at a request before the handshake ({said})"),
        outcome if said.is_empty() => format!("failed ({outcome})"),
        Outcome::Tls => format!("failed (tls: {said})"),
        outcome => format!("failed ({outcome}: answered with {said})"),
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
    fn words(&self, shows_signature: bool) -> String {
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
            Some(cause) if shows_signature => {
                format!("{how}{}", because(cause).replace(" token", " signature"))
            }
            Some(cause) => format!("{how}{}", because(cause)),
        }
    }
}

/// Whether what clients show is a signature (connect.sign): it has an age, and nobody was asked for it.
fn shows_signature(tally: &Tally) -> bool {
    let is_asked = |request: &Request| !matches!(request, Request::Step(_));
    tally.histograms.get(&Metric::TokenAge).is_some_and(|ages| ages.count() > 0)
        && tally.counter(Counter::TokensFetched) == 0
        && !tally.requests.keys().any(|(request, _)| is_asked(request))
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
        Cause::Origin => " because of its Origin",
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
    if was_proved(tally) {
        return "; a fresh one was let in".to_owned();
    }
    let fetches = |(_, other): &(&str, &Tally)| {
        let is_fresh = other.counter(Counter::TokensForReconnects) > 0
            || (shows_signature(tally) && shows_signature(other));
        is_fresh && other.counter(Counter::Reconnects) > 0
    };
    let found = others.find(fetches);
    found.map_or_else(String::new, |(name, _)| format!("; a fresh one is let in, as group {name} shows"))
}

/// Whether the same client was let in with a fresh token right after a refusal.
fn was_proved(tally: &Tally) -> bool {
    let is_proof =
        |key: &AttemptKey| key.answer.as_ref().is_some_and(|answer| answer.ground == Ground::Proved);
    tally.attempts.keys().any(is_proof)
}

/// What to change by what token endpoints answered most.
fn token_hints(totals: &[Tally]) -> Option<&'static str> {
    let rows = totals.iter().flat_map(|tally| not_ok(tally, Request::asks_for_token));
    let hinted = rows.filter_map(|row| {
        Some((row.count, token_hint(row.status, row.error.map(ErrorWord::text), row.answer)?))
    });
    hinted.max_by_key(|(count, _)| *count).map(|(_, hint)| hint)
}

/// Whether a scenario names files, which stand beside it and not beside its copy.
fn names_files(scenario: &str) -> bool {
    fn named(value: &toml::Value) -> bool {
        match value {
            toml::Value::Table(table) => table.iter().any(|(key, value)| {
                let is_file =
                    ["file", "feeder", "ca_file", "client_cert", "client_key"].contains(&key.as_str());
                (is_file && value.as_str().is_some_and(|path| !path.starts_with('/'))) || named(value)
            }),
            toml::Value::Array(values) => values.iter().any(named),
            _ => false,
        }
    }
    scenario.parse::<toml::Table>().is_ok_and(|table| named(&toml::Value::Table(table)))
}

/// What to do or look at next.
fn next_steps(totals: &[Tally], status: Status, scenario: &str, names: &[&str]) -> Vec<String> {
    let refused_of = |tally: &Tally, wanted: fn(Cause) -> bool| {
        tally.attempts_where(|_, outcome, cause| outcome.is_refusal() && cause.is_some_and(wanted))
    };
    let refused =
        |wanted: fn(Cause) -> bool| -> u64 { totals.iter().map(|tally| refused_of(tally, wanted)).sum() };
    let signed = totals.iter().filter(|tally| shows_signature(tally));
    let dead_signatures: u64 = signed.map(|tally| refused_of(tally, Cause::is_dead_token)).sum();
    let outcome = |wanted: Outcome| -> u64 { totals.iter().map(|tally| tally.outcome(wanted)).sum() };
    // Diagnose takes the first group where it is not told which.
    let unknown_of = |tally: &Tally| refused_of(tally, |cause| cause == Cause::Unknown);
    let worst =
        totals.iter().enumerate().max_by_key(|&(at, tally)| (unknown_of(tally), std::cmp::Reverse(at)));
    let diagnosed = match worst.map_or(0, |(at, _)| at) {
        0 => String::new(),
        at => names.get(at).map_or_else(String::new, |name| format!(" --group {name}")),
    };
    let mut next = Vec::new();
    let mut say = |holds: bool, text: &str| {
        if holds {
            next.push(text.to_owned());
        }
    };
    let (dead, unknown) = (refused(Cause::is_dead_token), refused(|cause| cause == Cause::Unknown));
    let crowded = refused(|cause| matches!(cause, Cause::RateLimited | Cause::Overloaded));
    let no_token = outcome(Outcome::TokenRefused) + outcome(Outcome::TokenError);
    let hint = token_hints(totals).filter(|_| no_token > 0);
    say(hint.is_some(), hint.unwrap_or_default());
    say(
        hint.is_none() && outcome(Outcome::TokenRefused) > 0,
        "tokens.csv has each answer of the token endpoint: check token.client_id, token.client_secret and its URL",
    );
    say(
        hint.is_none() && outcome(Outcome::TokenError) > 0,
        "tokens.csv tells what became of the token requests: check target.token_url, and whether the service is there",
    );
    say(
        outcome(Outcome::StepRefused) + outcome(Outcome::StepError) > 0,
        "steps.csv has each answer of the requests before a handshake",
    );
    say(
        unknown > dead + crowded,
        &if names_files(scenario) {
            format!(
                "to learn why handshakes are refused, run resurge diagnose{diagnosed} with the scenario that was run: its copy in the run folder does not find the files that it names"
            )
        } else {
            format!("to learn why handshakes are refused: {COMMAND}{diagnosed}{EXPLAINED}")
        },
    );
    say(
        dead_signatures > unknown,
        &format!(
            "let the clients sign each handshake anew (connect.sign, on_reconnect = \"sign\"), and compare the two runs: {COMPARE}"
        ),
    );
    let dead = dead - dead_signatures;
    // Who is let in with a fresh token after the refusal does fetch one then.
    let has_dead = |tally: &&Tally| refused_of(tally, Cause::is_dead_token) > 0;
    let fetch_late = totals.iter().filter(has_dead).all(was_proved);
    say(
        dead > unknown && dead > 0 && fetch_late,
        "let the clients fetch a token before they come back (token.on_reconnect = \"fetch\"), and not only once they were refused: each refusal costs an attempt",
    );
    say(
        dead > unknown && dead > 0 && !fetch_late,
        &format!(
            "let the clients fetch a token before they come back (token.on_reconnect = \"fetch\", or reconnect.refetch_on), and compare the two runs: {COMPARE}"
        ),
    );
    let lacks_scope = |tally: &&Tally| refused_of(tally, |cause| cause == Cause::MissingScope) > 0;
    let mints = |tally: &Tally| tally.requests.keys().any(|(request, _)| *request == Request::Mint);
    let (minted, granted): (Vec<&Tally>, Vec<&Tally>) =
        totals.iter().filter(lacks_scope).partition(|tally| mints(tally));
    say(!granted.is_empty(), "give the client the scope that the service wants (token.scopes)");
    say(
        !minted.is_empty(),
        "give the tokens that the clients sign the scope that the service wants (scope in token.claims)",
    );
    say(
        refused(|cause| cause == Cause::Origin) > 0,
        "send the Origin of a page that the service lets in (connect.origin): resurge diagnose tries some",
    );
    say(crowded > 0, "spread the way back over more time (reconnect.backoff): resurge sweep finds how far");
    if next.is_empty() && status != Status::Pass {
        next.push(format!(
            "report.html shows it over time; to try one client step by step: {COMMAND}{diagnosed}{EXPLAINED}"
        ));
    }
    next.truncate(2);
    next
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
