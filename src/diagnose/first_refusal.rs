//! The verdict where the very first handshake let nobody in.
//!
//! In: the case. Out: one finding. Pure, as all of the verdict. Where no token that is good was seen, and nothing told this one from another, there is no
//! cause to claim.

use crate::drive::network::TokenLook;
use crate::sample::{AnsweredBy, Cause};

use super::finding::{Case, Finding, Kind, cannot_tell, finding, locked, rate_limited, session_limit};
use super::observation::{Experiment, Seen};
use super::refused::{Manner, Refused};
use super::signed::signature_refused;

/// The experiments with another token, and with none.
const OTHER_TOKENS: [Experiment; 2] = [Experiment::NonsenseToken, Experiment::NoToken];

/// The very first handshake was refused.
pub(super) fn judge_first_refusal(case: &Case<'_>, first: &Refused) -> Finding {
    if let Some(limit) = case.rate_limit() {
        return rate_limited(limit);
    }
    if case.opened(Experiment::FreshAfterWait) {
        return locked(first, "two fresh tokens were refused at once, and one was admitted after a wait");
    }
    if case.opened(Experiment::AnotherFreshToken) {
        return cannot_tell(
            &format!("one fresh token got {}, the next one was let in", first.told_and_said()),
            "several runs of this, and the service's own log at the time of the refusal",
        );
    }
    if case.opened(Experiment::SameAgain) {
        return cannot_tell(
            &format!("a handshake got {}, the same was let in a moment later", first.told_and_said()),
            "several runs of this, and the service's own log at the time of the refusal",
        );
    }
    if let Some(otherwise) = let_in_otherwise(case, first) {
        return otherwise;
    }
    if first.step.is_some() {
        return step_refused(case, first);
    }
    if first.cause == Cause::Origin {
        return by_cause(case, first);
    }
    if first.manner == Manner::Status
        && let Some(by_status) = by_status(case, first)
    {
        return by_status;
    }
    if case.signs && case.look == TokenLook::Absent {
        return signature_refused(first);
    }
    if case.look != TokenLook::Plain && !case.may_show {
        return no_token_sent(case.look, first);
    }
    if first.is_by_edge() && case.refused(Experiment::NonsenseToken).is_some_and(is_by_service) {
        let sentence = format!(
            "Something in front of the service refuses this handshake ({}, its stock page), and lets one with a token that nobody knows through to the service: the service has not seen this one.",
            first.told()
        );
        return finding(
            Kind::Edge,
            sentence,
            "Look at the proxy, firewall or gateway and its log: what it judges by is something of this handshake, as its token's length or form.",
        )
        .of_unknown_need();
    }
    by_cause(case, first)
}

fn is_by_service(refused: &Refused) -> bool {
    refused.answered_by == AnsweredBy::Service
}

/// Another handshake let the client in.
fn let_in_otherwise(case: &Case<'_>, first: &Refused) -> Option<Finding> {
    let told = first.told_and_said();
    let by_origin = case.let_in_by_origin();
    match (case.opened(Experiment::NoToken), case.opened(Experiment::NonsenseToken)) {
        (true, _) if case.look == TokenLook::Absent => {
            let what = format!("a handshake without a token got {told}, the next one was let in");
            return Some(cannot_tell(&what, "several runs of this, and the service's own log"));
        }
        (true, false) if names_no_cause(first) => {
            let sentence = format!(
                "It is the token that is refused ({told}): a handshake without any is admitted, perhaps as nobody."
            );
            let change = "Look at the token: whether it is of this service and environment, whether it has expired, what it may do. The service's log says why.";
            return Some(finding(Kind::TokenRefused, sentence, change).of_unknown_need());
        }
        (true, false) => return None,
        (_, true) => {
            let what = format!("a token that nobody knows is let in, and {} gets {told}", case.token_words());
            return Some(cannot_tell(&what, "several runs of this, and the service's own log"));
        }
        (false, false) => {}
    }
    if let Some(origin) = by_origin {
        let with = |origin: Option<&str>| origin.map_or_else(|| "none".to_owned(), str::to_owned);
        let sentence = format!(
            "The service refuses by Origin, not by the token: with {} it gets {told}, with {} it is admitted.",
            with(case.origin),
            with(origin)
        );
        let change = match origin {
            Some(origin) => format!("Set connect.origin = \"{origin}\"."),
            None => "Leave connect.origin out: clients that are no browsers send none.".to_owned(),
        };
        return Some(finding(Kind::OriginRefused, sentence, change));
    }
    if let Some(varied) = let_in_by_variation(case, first) {
        return Some(varied);
    }
    let places = [
        (Experiment::InHeader, "the Authorization header (connect.token_in = \"header\")"),
        (Experiment::InQuery, "the query (connect.token_in = { query = \"access_token\" })"),
    ];
    let (_, place) = places.into_iter().find(|(experiment, _)| case.opened(*experiment))?;
    let sentence = format!(
        "The token is good, but in the wrong place of the handshake: there it gets {}, elsewhere 101.",
        first.told()
    );
    Some(finding(Kind::PlaceWrong, sentence, format!("Send it in {place}.")))
}

/// A handshake that offered other subprotocols, or was written otherwise, let the client in.
fn let_in_by_variation(case: &Case<'_>, first: &Refused) -> Option<Finding> {
    let told = first.told_and_said();
    if case.opened(Experiment::WithoutSubprotocol) {
        let sentence = format!(
            "The service does not take the subprotocols that are offered, whatever the token: with them it gets {told}, without any it is admitted."
        );
        let change = "Leave connect.subprotocols out, or offer one that the service's documentation names.";
        return Some(finding(Kind::SubprotocolWrong, sentence, change));
    }
    if case.opened(Experiment::KnownSubprotocols) {
        let one = case.let_in_with(Experiment::OneSubprotocol).flatten();
        let with = one.map_or_else(|| "one of those that were offered".to_owned(), |one| format!("`{one}`"));
        let sentence = format!(
            "The service wants a subprotocol, whatever the token: without it the handshake gets {told}, with {with} it is admitted."
        );
        let change = match one {
            Some(one) => format!("Set connect.subprotocols = [\"{one}\"]."),
            None => "Set connect.subprotocols to what the service's documentation names.".to_owned(),
        };
        return Some(finding(Kind::SubprotocolWrong, sentence, change));
    }
    if let Some(Some(host)) = case.let_in_with(Experiment::OtherHost) {
        let sentence = format!(
            "The service does not answer by this Host, whatever the token: the handshake gets {told}, with Host {host} it is admitted."
        );
        let change = "Use that name in target.url, and have it lead to this address (connect.resolver, /etc/hosts); or let the service take the name that is used (Rails config.hosts, Django ALLOWED_HOSTS, a proxy's server_name).";
        return Some(finding(Kind::HostWrong, sentence, change));
    }
    case.opened(Experiment::OtherSlash).then(|| {
        let sentence = format!(
            "The endpoint is wrong by a slash: the path as it is written gets {told}, with its last slash the other way it is admitted."
        );
        let change = "Put a slash at the end of the path in target.url, or take it away where there is one: WebSocket clients follow no redirect that does so.";
        finding(Kind::EndpointWrong, sentence, change)
    })
}

/// What a handshake is taken for by whoever answers, where a plain GET and one of HTTP/1.0 tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakenFor {
    /// A plain request, or there is no WebSocket.
    PlainGet,
    /// A handshake by HTTP/1.0.
    OldHttp,
    /// What it is: both get other answers.
    AHandshake,
    /// Neither was tried.
    Unknown,
}

fn taken_for(case: &Case<'_>, first: &Refused) -> TakenFor {
    let is_like = |experiment| case.refused(experiment).is_some_and(|other| other.is_like(first));
    match (is_like(Experiment::PlainGet), is_like(Experiment::OldHttp)) {
        (true, _) => TakenFor::PlainGet,
        _ if case.refused(Experiment::PlainGet).is_none() => TakenFor::Unknown,
        (false, true) => TakenFor::OldHttp,
        (false, false) => TakenFor::AHandshake,
    }
}

/// Whether the refusal itself leaves open why.
fn names_no_cause(first: &Refused) -> bool {
    matches!(first.cause, Cause::Unknown | Cause::ForbiddenOther | Cause::NoToken)
}

/// Whether no token at all, and one that nobody knows, get this status too.
fn is_of_any_token(case: &Case<'_>, first: &Refused) -> bool {
    OTHER_TOKENS.iter().all(|experiment| {
        case.refused(*experiment)
            .is_none_or(|other| other.manner == first.manner && other.status == first.status)
    })
}

/// What to do where an upgrade is lost on the way.
const PASS_UPGRADE: &str = "Have the proxy pass the headers Upgrade and Connection on (nginx: proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade, proxy_set_header Connection \"upgrade\"), or correct the path in target.url.";

/// What a status says that speaks of something else than tokens.
fn by_status(case: &Case<'_>, first: &Refused) -> Option<Finding> {
    let told = first.told();
    let is_of_any_token = is_of_any_token(case, first);
    let taken_for = taken_for(case, first);
    match first.status {
        400 | 426 | 505 if is_of_any_token && taken_for == TakenFor::OldHttp => {
            let sentence = format!(
                "The handshake comes to the service as HTTP/1.0, which knows no upgrade: it gets {told}, what a handshake by HTTP/1.0 gets, and a plain GET gets another answer. A proxy on the way speaks HTTP/1.0 to the service."
            );
            let change = "Have the proxy speak HTTP/1.1 to the service (nginx: proxy_http_version 1.1).";
            Some(finding(Kind::UpgradeUnknown, sentence, change).of_unknown_need())
        }
        // RFC 9110 §15.5.22: the service misses an Upgrade that the handshake has.
        400 if is_of_any_token && taken_for == TakenFor::PlainGet => {
            let sentence = format!(
                "What answers does not take the handshake for an upgrade: it answers {told}, as to a plain GET of the same URL. A proxy on the way that does not pass Upgrade on does so, or a URL where no WebSocket is."
            );
            Some(finding(Kind::UpgradeUnknown, sentence, PASS_UPGRADE).of_unknown_need())
        }
        200..=299 | 426 if is_of_any_token => {
            let sentence = format!(
                "What answers does not take the handshake for an upgrade: it answers {told}, as to a plain request. A proxy on the way that does not pass Upgrade on does so, or a URL where no WebSocket is."
            );
            Some(finding(Kind::UpgradeUnknown, sentence, PASS_UPGRADE).of_unknown_need())
        }
        300..=399 if is_of_any_token => Some(cannot_tell(
            &format!(
                "the handshake is answered with a redirect ({told}), which WebSocket clients do not follow: a page to log in at, or another address of the service"
            ),
            "where it leads: curl -i with the same URL; then the URL itself, or a token known to be good",
        )),
        400 if is_of_any_token && taken_for == TakenFor::AHandshake => Some(cannot_tell(
            &format!(
                "the handshake gets {told} whatever its token, and a plain GET of the same URL another answer: what answers sees a handshake, and something of it is not as it wants it"
            ),
            "the service's own log; a subprotocol (--subprotocol), a Host (--host) or an Origin (--origin) that its documentation names",
        )),
        400 | 404 | 405 | 410 if is_of_any_token => {
            let sentence =
                format!("The endpoint is wrong: {told} is an answer to the URL, not to the token.");
            Some(finding(Kind::EndpointWrong, sentence, "Correct the path in target.url."))
        }
        500..=599 if is_of_any_token && first.is_by_edge() => {
            let sentence = format!(
                "The service is not reached: what stands in front of it answers with its stock page ({told}); the token has no part in it."
            );
            let change = "Look at whether the service runs, and where the gateway looks for it.";
            Some(finding(Kind::Unreachable, sentence, change))
        }
        500..=599 if is_of_any_token => {
            let sentence = format!("The service itself fails ({told}); the token has no part in it.");
            let change = "Look at the service and at what stands in front of it.";
            Some(finding(Kind::Unreachable, sentence, change))
        }
        _ => None,
    }
}

fn no_token_sent(look: TokenLook, first: &Refused) -> Finding {
    let what = match look {
        TokenLook::Absent => "no token was sent".to_owned(),
        TokenLook::Empty => "the token that was sent is empty".to_owned(),
        TokenLook::Placeholder(word) => format!("the token that was sent is the word `{word}`"),
        TokenLook::Plain => "a token was sent".to_owned(),
    };
    let sentence = format!("No token: {what}, and the service answers {}.", first.told());
    let change = "Look at where the token comes from: an answer's field read under another name, a variable not set, a request not awaited. In a scenario: [groups.token].";
    finding(Kind::NoTokenSent, sentence, change).of_unknown_need()
}

/// A request before the handshake is refused.
fn step_refused(case: &Case<'_>, first: &Refused) -> Finding {
    if !names_no_cause(first) {
        return by_cause(case, first);
    }
    let step = first.step.as_deref().unwrap_or_default();
    let said = Refused { step: None, ..first.clone() }.told_and_said();
    let beside = match case.refused(Experiment::NonsenseToken) {
        Some(nonsense) if nonsense.is_like(first) => " A token that nobody knows gets the same.".to_owned(),
        Some(nonsense) => format!(" A token that nobody knows gets {}.", nonsense.told_and_said()),
        None => String::new(),
    };
    let sentence =
        format!("The step `{step}` before the handshake is refused ({said}): no handshake was made.{beside}");
    let change = match first.status {
        401 | 403 => {
            "Look at what the step sends (groups.prepare.steps: its headers and body), and at whether its token is one that the service takes: a token known to be good tells the two apart."
        }
        500..=599 => "Look at the service that answers the step, and at what stands in front of it.",
        _ => "Compare the step (groups.prepare.steps: method, path, body) with the service's documentation.",
    };
    finding(Kind::StepRefused, sentence, change).of_unknown_need()
}

/// What the refusal itself says, and how others were refused beside it.
fn by_cause(case: &Case<'_>, first: &Refused) -> Finding {
    let told = first.told_and_said();
    let code = first.said().unwrap_or_default();
    match first.cause {
        Cause::MissingScope if code.contains("permission") => {
            permission_missing(&first.told(), &format!("it says {code}"))
        }
        Cause::MissingScope => {
            let sentence = format!(
                "The token lacks a scope ({told}); a fresh one lacks it too, so fetching again cannot help."
            );
            let change = if case.mints {
                "Give the token that the client signs the scope that the endpoint requires (scope in token.claims)."
            } else {
                "Register the client with the scope that the endpoint requires, and ask for it (token.scopes)."
            };
            finding(Kind::ScopeMissing, sentence, change)
        }
        Cause::ExpiredToken if case.look == TokenLook::Absent => {
            let sentence = format!("What the handshake shows in a token's place has expired ({told}).");
            let change = "Make a new one for each handshake: a step that fetches it (prepare.steps), or a signature (connect.sign).";
            finding(Kind::TokenExpired, sentence, change).of_unknown_need()
        }
        Cause::ExpiredToken if !case.fetches => {
            let sentence = format!("The fixed token has expired ({told}).");
            finding(Kind::TokenExpired, sentence, "Put a new one in its place, or let tokens be fetched.")
                .needing_fresh_tokens()
        }
        Cause::StaleToken if !case.fetches => {
            let sentence = format!("The fixed token was invalidated ({told}).");
            finding(Kind::StaleAfterDisconnect, sentence, "Let tokens be fetched, one for each session.")
                .needing_fresh_tokens()
        }
        Cause::UnknownToken | Cause::ExpiredToken | Cause::StaleToken => {
            let change = if case.mints {
                "Compare algorithm, key and key_id, and the claims `aud` and `iss`, with what the service trusts."
            } else if case.look == TokenLook::Absent {
                "Compare what the handshake shows in its place (URL, headers, cookies, first message) with what the service issued."
            } else if case.fetches {
                "The token endpoint and the service do not belong together: compare host, environment, region and audience of target.url and target.token_url."
            } else {
                "Put a token of this service and environment in its place, or let tokens be fetched."
            };
            let sentence = format!("The service does not take the token for one of its own ({told}).");
            finding(Kind::UnknownToken, sentence, change)
        }
        Cause::Origin => {
            let sentence = format!("The service refuses by Origin, not by the token: it says so ({told}).");
            let change = "Send the Origin of a page that the service lets in (connect.origin); --origin tries one that you name.";
            finding(Kind::OriginRefused, sentence, change)
        }
        Cause::Overloaded => {
            let sentence = format!("The service says that it has no room now ({told}).");
            let change = "Come back later and more slowly (reconnect.backoff), and look at the service's load and its caps.";
            finding(Kind::Unreachable, sentence, change).of_unknown_need()
        }
        Cause::ForbiddenOther if code == "client.locked" => locked(first, "it says so"),
        Cause::ForbiddenOther if code == "too.many.sessions" => session_limit(first),
        Cause::ForbiddenOther => cannot_tell(
            &format!(
                "the service names a reason of its own ({told}), and {}",
                if case.fetches {
                    "a fresh token does not change it"
                } else {
                    "there is no other token to try"
                }
            ),
            "what its documentation says of that code",
        ),
        _ => by_others(case, first),
    }
}

/// How handshakes with other tokens were refused beside it.
fn by_others(case: &Case<'_>, first: &Refused) -> Finding {
    let nonsense = case.refused(Experiment::NonsenseToken);
    if let Manner::NotReady { .. } = first.manner {
        return not_ready(first, nonsense);
    }
    if let Some(nonsense) = nonsense.filter(|nonsense| !nonsense.is_like(first)) {
        return told_apart(case, first, nonsense);
    }
    if let Manner::Closed { close_code } = first.manner
        && !speaks_of_clients(close_code)
    {
        let sentence =
            format!("The handshake is answered with 101, and the session closed at once with {close_code}.");
        let change = "Look up that close code in the service's documentation: a refusal after the upgrade usually speaks of the token or of a first message that was expected.";
        return finding(Kind::ClosedAfterUpgrade, sentence, change).of_unknown_need();
    }
    cannot_tell_token_from_rest(case, first)
}

fn not_ready(first: &Refused, nonsense: Option<&Refused>) -> Finding {
    let beside = match nonsense {
        Some(nonsense) if nonsense.is_like(first) => " A token that nobody knows gets the same.".to_owned(),
        Some(nonsense) => format!(" A token that nobody knows gets {}.", nonsense.told_and_said()),
        None => String::new(),
    };
    let sentence =
        format!("Nothing comes of what the scenario waits for (session.ready): {}.{beside}", first.told());
    let change = "Compare session.first_message and session.ready with what the service says on a session. Where it refuses by a message, name that one in session.refused_on.";
    finding(Kind::NotReady, sentence, change).of_unknown_need()
}

/// A token that nobody knows is refused in another way than the scenario's.
fn told_apart(case: &Case<'_>, first: &Refused, nonsense: &Refused) -> Finding {
    let how = format!("a token that nobody knows gets {}, so this one is known", nonsense.told_and_said());
    match (first.manner, nonsense.manner) {
        (Manner::Status, Manner::Status)
            if matches!(first.status, 401 | 403) && nonsense.status != first.status =>
        {
            permission_missing(&first.told(), &how)
        }
        (Manner::Closed { close_code }, Manner::Closed { close_code: other })
            if close_code != other && speaks_of_clients(close_code) && speaks_of_clients(other) =>
        {
            permission_missing(&first.told(), &how)
        }
        (Manner::Closed { .. } | Manner::Message, Manner::Status) => {
            let sentence = format!(
                "The token is taken at the handshake ({how}), and the session then ended: {}.",
                first.told_and_said()
            );
            let change = "Look up what the service says there: a refusal after the upgrade may speak of a first message that was expected, or of what the token may do.";
            finding(Kind::ClosedAfterUpgrade, sentence, change).of_unknown_need()
        }
        _ => cannot_tell(
            &format!(
                "{} gets {}, and a token that nobody knows {}",
                case.token_words(),
                first.told_and_said(),
                nonsense.told_and_said()
            ),
            "the service's own log; a token that is known to be good, as token = { env = \"…\" }",
        ),
    }
}

/// Close codes by which a service speaks of the client, and not of the connection or of itself.
const fn speaks_of_clients(code: u16) -> bool {
    matches!(code, 1008 | 1013 | 3000..=4999)
}

/// No token was let in, and none was refused in another way.
fn cannot_tell_token_from_rest(case: &Case<'_>, first: &Refused) -> Finding {
    let same_as = |experiment| case.refused(experiment).is_some_and(|other| other.is_like(first));
    let alike = match (same_as(Experiment::NonsenseToken), same_as(Experiment::NoToken)) {
        (true, true) => "no token at all and a token that nobody knows get the same",
        (true, false) => "a token that nobody knows gets the same",
        _ => "nothing else got another answer",
    };
    let tried_origins = case.observations.iter().any(|one| {
        matches!(one.experiment, Experiment::OwnOrigin | Experiment::GivenOrigin | Experiment::NullOrigin)
            && is_refused(&one.seen)
    });
    let origins = if tried_origins { "; another Origin does not change it" } else { "" };
    let origin = if first.manner == Manner::Status && first.status == 403 {
        "; the Origin of a page that it lets in (--origin)"
    } else {
        ""
    };
    let (told, token) = (first.told_and_said(), case.token_words());
    if first.is_by_edge() {
        let why = format!(
            "what answers is the stock page of something in front of the service ({told}), for {token} as for any: {alike}{origins}. A gateway that asks about tokens answers so, and one that refuses this client whatever it sends"
        );
        let would_tell = format!(
            "a token that is known to be good, as token = {{ env = \"…\" }}; the log of the service, which says whether the handshake came there; asking the service without the gateway{origin}"
        );
        return cannot_tell(&why, &would_tell);
    }
    let reason = match (first.said(), first.html) {
        (Some(_), _) => "",
        (None, true) => " with an HTML page, which services write as well as what stands in front of them",
        (None, false) => " without a reason",
    };
    cannot_tell(
        &format!("{token} gets {told}{reason}, and {alike}{origins}"),
        &format!(
            "the service's own log; a token that is known to be good, as token = {{ env = \"…\" }}; or a client with every scope and permission{origin}"
        ),
    )
}

const fn is_refused(seen: &Seen) -> bool {
    matches!(seen, Seen::Refused(_))
}

fn permission_missing(told: &str, how: &str) -> Finding {
    let sentence = format!("A permission is missing ({told}): {how}; refreshing the token cannot help.");
    finding(
        Kind::PermissionMissing,
        sentence,
        "Give the client, or the role that it has, the permission or scope that the endpoint requires. Treat this refusal as final: a client that fetches and tries again only spins.",
    )
}
