//! What requests for tokens and steps before handshakes came to, as rows and in words.
//!
//! In: a group's totals, the names of its steps. Out: rows for every report, and sentences: what keeps a group from ever getting a session, what became of
//! refused refresh tokens. Pure.

use crate::record::{Asks, Latencies, Manifest, Tally};
use crate::sample::{Counter, ErrorWord, Outcome, Request, RequestAnswer};
use crate::units::format_count;

/// Answers that one cell or sentence names.
const MOST_NAMED: usize = 3;

/// Requests of one kind, with one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestRow<'m> {
    pub(super) request: Request,
    pub(super) answer: RequestAnswer,
    pub(super) status: Option<u16>,
    pub(super) error: Option<&'m ErrorWord>,
    pub(super) count: u64,
    /// Of all requests of that kind in the group: 0..1.
    pub(super) share: f64,
    /// How long all those took that had this kind of answer, whatever their status.
    pub(super) latencies: &'m Latencies,
}

impl RequestRow<'_> {
    /// As `401 invalid_client`; answers other than refusals by their kind first.
    pub(super) fn said(&self) -> String {
        let kind = if self.answer == RequestAnswer::Refused { "" } else { self.answer.name() };
        let status = self.status.map(|status| status.to_string()).unwrap_or_default();
        let word = self.error.map(ErrorWord::text).unwrap_or_default();
        let parts = [kind, &status, word];
        parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
    }
}

/// The rows of a group, by request and answer.
pub(super) fn rows(tally: &Tally) -> Vec<RequestRow<'_>> {
    let rows = tally.requests.iter().flat_map(|((request, answer), of_answer)| {
        let made = made(tally, *request).max(1) as f64;
        of_answer.said.iter().map(move |((status, error), count)| RequestRow {
            request: *request,
            answer: *answer,
            status: *status,
            error: error.as_ref(),
            count: *count,
            share: *count as f64 / made,
            latencies: &of_answer.latencies,
        })
    });
    rows.collect()
}

/// The name of a step of a group with steps of these names.
pub(super) fn step_name(steps: &[String], index: usize) -> String {
    steps.get(index).map_or_else(|| format!("step {}", index + 1), Clone::clone)
}

/// Requests of this kind that a group made.
pub(super) fn made(tally: &Tally, request: Request) -> u64 {
    let own = tally.requests.iter().filter(|((asked, _), _)| *asked == request);
    own.map(|(_, of_answer)| of_answer.count()).sum()
}

/// A group's kinds of requests.
pub(super) fn kinds(tally: &Tally) -> Vec<Request> {
    let mut kinds: Vec<Request> = tally.requests.keys().map(|(request, _)| *request).collect();
    kinds.dedup();
    kinds
}

/// The first of some rows in words, and that there are more.
pub(super) fn named(rows: &[RequestRow<'_>], words: impl Fn(&RequestRow<'_>) -> String) -> String {
    let mut list: Vec<String> = rows.iter().take(MOST_NAMED).map(words).collect();
    if rows.len() > MOST_NAMED {
        list.push(format!("{} more", rows.len() - MOST_NAMED));
    }
    list.join(", ")
}

/// The rows of some requests that were not answered as they should be, the most frequent first.
pub(super) fn not_ok(tally: &Tally, is_wanted: impl Fn(Request) -> bool) -> Vec<RequestRow<'_>> {
    let mut bad: Vec<RequestRow<'_>> = rows(tally)
        .into_iter()
        .filter(|row| row.answer != RequestAnswer::Ok && is_wanted(row.request))
        .collect();
    bad.sort_by_key(|row| std::cmp::Reverse(row.count));
    bad
}

/// What keeps each group, of which no handshake was ever answered, from getting that far: in words, where the token endpoint or a step does.
pub(super) fn what_keeps_out(manifest: &Manifest, totals: &[Tally]) -> Vec<Option<String>> {
    let found = totals.iter().enumerate().map(|(index, tally)| keeps_out(manifest.asks_of(index), tally));
    found.collect()
}

/// What keeps a group with these requests out, as `the token endpoint refuses the client: 401 invalid_client (40 of 40)`.
pub(super) fn keeps_out(asks: Asks<'_>, tally: &Tally) -> Option<String> {
    if tally.attempts_where(|_, outcome, _| outcome.is_answered()) > 0 {
        return None;
    }
    let by_token = tally.outcome(Outcome::TokenRefused) + tally.outcome(Outcome::TokenError);
    let by_step = tally.outcome(Outcome::StepRefused) + tally.outcome(Outcome::StepError);
    if by_token + by_step == 0 {
        return None;
    }
    let is_token = by_token >= by_step;
    let first = not_ok(tally, |request| request.token_name().is_some() == is_token);
    let worst = *first.first()?;
    let bad = not_ok(tally, |request| request == worst.request);
    let made = format_count(made(tally, worst.request));
    let subject = match worst.request {
        Request::Credentials | Request::Refresh => "the token endpoint".to_owned(),
        Request::Command => "the token command".to_owned(),
        Request::Mint => "the client's own key".to_owned(),
        Request::Step(index) => format!("the step \"{}\"", step_name(asks.steps, usize::from(index))),
    };
    let list = named(&bad, |row| format!("{} ({} of {made})", row.said(), format_count(row.count)));
    let is_elsewhere = worst.answer == RequestAnswer::NoAccessToken && !asks.token_pointer.is_empty();
    let predicate = if is_elsewhere {
        format!("gives no token at {}", asks.token_pointer)
    } else {
        predicate(&worst).to_owned()
    };
    Some(format!("{subject} {predicate}: {list}"))
}

/// What is wrong with what a row says.
fn predicate(row: &RequestRow<'_>) -> &'static str {
    match row.answer {
        RequestAnswer::Ok => "answers",
        RequestAnswer::Refused => match row.status {
            Some(429) => "limits the clients",
            Some(500..) => "fails",
            _ if row.request.step().is_some() => "is refused",
            _ => "refuses the client",
        },
        RequestAnswer::UnexpectedStatus => "has a status that is none to go on with",
        RequestAnswer::NotJson => "has an answer that is no JSON",
        RequestAnswer::NoAccessToken => "gives no access_token",
        RequestAnswer::UnreadableField => "has an answer with a field that cannot be read, as expires_in",
        RequestAnswer::NoValue => "has an answer without what is to be saved",
        RequestAnswer::TooLarge => "has an answer that is too large",
        RequestAnswer::Timeout => "does not answer in time",
        RequestAnswer::Dns => "has a name that does not resolve",
        RequestAnswer::TcpRefused | RequestAnswer::TcpReset => "takes no connection",
        RequestAnswer::Tls => "cannot be reached over TLS",
        RequestAnswer::ConnectionBroken => "breaks the connection off",
        RequestAnswer::ProxyRefused => "cannot be reached through the proxy",
        RequestAnswer::NotSent => "makes no request of what the variables hold",
        RequestAnswer::CommandFailed => "fails",
        RequestAnswer::NotBound => "gives a token that is bound to no key (its token_type is not DPoP)",
        RequestAnswer::LocalLimit => "could not be asked by this machine",
    }
}

/// That tokens came with fewer scopes than were asked for. `None` where none did.
pub(super) fn scope_words(tally: &Tally) -> Option<String> {
    let count = tally.counter(Counter::ScopesWithheld);
    let (tokens, were) = if count == 1 { ("token", "was") } else { ("tokens", "were") };
    (count > 0)
        .then(|| format!("{} {tokens} {were} granted fewer scopes than were asked for", format_count(count)))
}

/// That requests were made again because a nonce was asked for. `None` where none were.
pub(super) fn nonce_words(tally: &Tally) -> Option<String> {
    let count = tally.counter(Counter::NonceRetries);
    let (requests, were) = if count == 1 { ("request", "was") } else { ("requests", "were") };
    (count > 0).then(|| {
        let count = format_count(count);
        format!("{count} {requests} {were} made again with the nonce that the first answer asked for (nonce_retries)")
    })
}

/// What became of refused refresh tokens. `None` where none was refused.
pub(super) fn refresh_words(tally: &Tally) -> Option<String> {
    let refused = tally.requests.get(&(Request::Refresh, RequestAnswer::Refused))?;
    let is_grant =
        |word: &Option<ErrorWord>| word.as_ref().is_some_and(|word| word.text() == "invalid_grant");
    let count: u64 = refused.said.iter().filter(|((_, word), _)| is_grant(word)).map(|(_, n)| n).sum();
    let (tokens, were) = if count == 1 { ("token", "was") } else { ("tokens", "were") };
    (count > 0).then(|| {
        format!(
            "{} refresh {tokens} {were} refused (invalid_grant); the clients went back to their credentials",
            format_count(count)
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::{AttemptEnd, AttemptKind, RequestEnd, Sample};

    fn tally(outcome: Outcome, ends: &[(Request, RequestAnswer, u16, &str, u64)]) -> Tally {
        let mut tally = Tally::default();
        let latency = Duration::from_millis(1);
        let kind = AttemptKind::First;
        tally.apply(&Sample::Attempt(AttemptEnd::plain(kind, outcome, latency)));
        for (request, answer, status, word, count) in ends {
            let end = RequestEnd {
                request: *request,
                answer: *answer,
                status: (*status > 0).then_some(*status),
                error: ErrorWord::new(word),
                latency,
            };
            (0..*count).for_each(|_| tally.apply(&Sample::Request(Box::new(end.clone()))));
        }
        tally
    }

    #[test]
    fn what_keeps_a_group_out_is_named() {
        use Request::{Credentials, Refresh, Step};
        use RequestAnswer::{NoValue, NotJson, Ok, Refused, Timeout};
        let steps = ["negotiate".to_owned()];
        for (outcome, ends, words) in [
            (
                Outcome::TokenRefused,
                &[(Credentials, Refused, 401, "invalid_client", 40)][..],
                Some("the token endpoint refuses the client: 401 invalid_client (40 of 40)"),
            ),
            (
                Outcome::TokenError,
                &[(Credentials, Refused, 503, "", 30), (Credentials, Timeout, 0, "", 10)],
                Some("the token endpoint fails: 503 (30 of 40), timeout (10 of 40)"),
            ),
            (
                Outcome::TokenError,
                &[(Refresh, Refused, 400, "invalid_grant", 2), (Credentials, NotJson, 200, "", 3)],
                Some("the token endpoint has an answer that is no JSON: not_json 200 (3 of 3)"),
            ),
            (
                Outcome::StepRefused,
                &[(Credentials, Ok, 200, "", 15), (Step(0), Refused, 401, "token_expired", 15)],
                Some("the step \"negotiate\" is refused: 401 token_expired (15 of 15)"),
            ),
            (
                Outcome::StepError,
                &[(Step(1), NoValue, 200, "", 4)],
                Some("the step \"step 2\" has an answer without what is to be saved: no_value 200 (4 of 4)"),
            ),
            (Outcome::Ok, &[(Credentials, Refused, 401, "invalid_client", 40)], None),
            (Outcome::Http403, &[(Credentials, Refused, 401, "invalid_client", 40)], None),
            (Outcome::TcpRefused, &[], None),
        ] {
            assert_eq!(
                keeps_out(Asks { steps: &steps, token_pointer: "" }, &tally(outcome, ends)).as_deref(),
                words,
                "{ends:?}"
            );
        }
    }

    #[test]
    fn refused_refresh_tokens_are_told() {
        let of = |count| {
            tally(Outcome::Ok, &[(Request::Refresh, RequestAnswer::Refused, 400, "invalid_grant", count)])
        };
        assert_eq!(refresh_words(&of(0)), None);
        assert_eq!(
            refresh_words(&of(1)).as_deref(),
            Some("1 refresh token was refused (invalid_grant); the clients went back to their credentials")
        );
        let other =
            tally(Outcome::Ok, &[(Request::Refresh, RequestAnswer::Refused, 401, "invalid_client", 3)]);
        assert_eq!(refresh_words(&other), None);
    }
}
