//! A k6 script as a draft.
//!
//! In: the script's text. Out: a draft of what its literals say: addresses, headers, the token request, users, stages, thresholds, first messages. What is
//! computed is told as left out.
//!
//! Source: k6's documentation of `k6/ws`, `k6/websockets`, `k6/http` and of its options.

use std::time::Duration;

use super::k6_messages::take_messages;
use super::script::Script;
use super::values::{Part, Value, shown};
use super::{
    Draft, DraftLoad, DraftRequest, DraftTarget, DraftThreshold, DraftToken, DraftTokenIn, DraftValue,
    take_header, take_subprotocol, take_url, variable,
};

/// k6's time of a handshake, and ours, which has the token request in it.
const HANDSHAKE: (&str, &str) = ("ws_connecting", "connect_latency");

/// Reads a script.
///
/// # Errors
/// There is no WebSocket in it: a sentence that says so.
pub fn from_k6(script: &str, name: &str) -> Result<Draft, String> {
    let script = Script::read(script);
    let mut draft = Draft::new(name);
    draft.origin_of_draft = Some(format!("Taken over from the k6 script {name}."));
    take_address(&mut draft, &script)?;
    take_token_request(&mut draft, &script);
    take_load(&mut draft, script.constant("options"));
    take_messages(&mut draft, &script);
    take_thresholds(&mut draft, script.constant("options"));
    let beside = [
        (
            "check(",
            "checks: say what must hold of replies with [[groups.session.say]] reply.check, of the rest with [thresholds]",
        ),
        ("new Counter(", "metrics of the script's own"),
        ("new Trend(", "metrics of the script's own"),
        ("new Rate(", "metrics of the script's own"),
        ("SharedArray", "data of a SharedArray: a CSV file can be the group's `feeder`"),
        ("setup(", "setup(): a request before each handshake is one of [[groups.prepare.steps]]"),
    ];
    for (sign, words) in beside {
        if script.has(sign) && !draft.left_out.iter().any(|known| known == words) {
            draft.left_out.push(words.to_owned());
        }
    }
    Ok(draft)
}

/// A text as a value; `None` where parts of it are computed.
fn known(value: &Value) -> Option<DraftValue> {
    match value {
        Value::Text(parts) => match parts.as_slice() {
            [Part::Env(name)] => Some(DraftValue::Env(name.clone())),
            _ => value.text().map(DraftValue::Plain),
        },
        Value::Number(number) => Some(DraftValue::Plain(number.to_string())),
        _ => None,
    }
}

fn take_address(draft: &mut Draft, script: &Script) -> Result<(), String> {
    let calls = ["ws.connect", "new WebSocket", "connect"].into_iter().flat_map(|name| script.calls(name));
    let call = calls.into_iter().find(|call| !call.arguments.is_empty());
    let Some(call) = call else {
        return Err("there is no ws.connect(…) and no new WebSocket(…) in it: no scenario can be made of it"
            .to_owned());
    };
    let address = with_token_in_query(draft, &call.arguments[0]);
    draft.target = DraftTarget::Remote(match known(&address) {
        Some(DraftValue::Plain(url)) if is_address(&url) => take_url(draft, &url),
        Some(DraftValue::Env(name)) => DraftValue::Env(name),
        _ => {
            let shown = shown(&address);
            draft
                .left_out
                .push(format!("the address is computed ({shown}): it is read from the variable RESURGE_URL"));
            DraftValue::Env("RESURGE_URL".to_owned())
        }
    });
    // ws.connect(url, { headers }, callback); new WebSocket(url, protocols, { headers }).
    for argument in &call.arguments[1..] {
        take_protocols(draft, argument);
        if let Some(Value::Table(headers)) = argument.get("headers") {
            for (name, held) in headers {
                take_known_header(draft, name, held);
            }
        }
    }
    Ok(())
}

/// The address without `?token=${token}`: the name of that parameter is where clients show their token.
fn with_token_in_query(draft: &mut Draft, address: &Value) -> Value {
    let Value::Text(parts) = address else { return address.clone() };
    let [Part::Plain(before), Part::Unread(computed), rest @ ..] = parts.as_slice() else {
        return address.clone();
    };
    let rest = match rest {
        [] => "",
        [Part::Plain(rest)] => rest,
        _ => return address.clone(),
    };
    let name = before.strip_suffix('=').and_then(|before| before.rsplit_once(['?', '&']));
    let Some((path, name)) = name.filter(|_| computed.to_ascii_lowercase().contains("token")) else {
        return address.clone();
    };
    draft.token_in = Some(DraftTokenIn::Query(name.to_owned()));
    let mark = if before.contains(&format!("?{name}=")) { "?" } else { "&" };
    let rest = rest.strip_prefix('&').map_or(rest.to_owned(), |rest| format!("{mark}{rest}"));
    Value::plain(&format!("{path}{rest}"))
}

fn is_address(url: &str) -> bool {
    url.starts_with("ws://") || url.starts_with("wss://")
}

fn take_protocols(draft: &mut Draft, argument: &Value) {
    match argument {
        Value::List(protocols) => {
            protocols.iter().filter_map(Value::text).for_each(|one| take_subprotocol(draft, &one));
        }
        Value::Text(_) => argument.text().iter().for_each(|one| take_subprotocol(draft, one)),
        _ => {}
    }
}

fn take_known_header(draft: &mut Draft, name: &str, held: &Value) {
    let is_token = name.eq_ignore_ascii_case("authorization");
    match (known(held), held) {
        (Some(value), _) => take_header(draft, name, value),
        // `Bearer ${__ENV.TOKEN}`, `Bearer ${token}`.
        (None, Value::Text(parts)) if is_token => match parts.as_slice() {
            [Part::Plain(word), Part::Env(name)] if word.trim().eq_ignore_ascii_case("bearer") => {
                draft.token = DraftToken::Env(name.clone());
            }
            // What a token request brings, which is looked for next.
            _ => {}
        },
        (None, _) => {
            let (variable, shown) = (variable(name), shown(held));
            draft.left_out.push(format!(
                "the header {name} is computed ({shown}): it is read from the variable {variable}"
            ));
            draft.headers.push((name.to_owned(), DraftValue::Env(variable)));
        }
    }
}

/// The first POST whose body has a `grant_type`, or whose address says that it is for tokens.
fn take_token_request(draft: &mut Draft, script: &Script) {
    for call in script.calls("http.post") {
        let Some(url) = call.arguments.first() else { continue };
        let body = call.arguments.get(1);
        let (fields, is_json) = body.map_or((Vec::new(), false), fields_of);
        let says_so = fields.iter().any(|(name, _)| name == "grant_type");
        if !says_so && !["token", "oauth"].iter().any(|part| shown(url).contains(part)) {
            draft.left_out.push(format!(
                "a POST to {}: a request before each handshake is one of [[groups.prepare.steps]]",
                shown(url)
            ));
            continue;
        }
        let url = known(url).unwrap_or_else(|| DraftValue::Env("RESURGE_TOKEN_URL".to_owned()));
        let headers = call.arguments.get(2).and_then(|params| params.get("headers"));
        let is_basic = headers.is_some_and(|headers| match headers {
            Value::Table(entries) => entries.iter().any(|(name, held)| {
                name.eq_ignore_ascii_case("authorization") && shown(held).starts_with("Basic")
            }),
            _ => false,
        });
        let mut asked = request(draft, url, fields, (is_json, is_basic));
        // k6 calls it once, and gives what it brings to every user.
        asked.is_shared = script.is_within("function setup", call.range.start);
        draft.token = DraftToken::Request(Box::new(asked));
        return;
    }
    let others = ["http.get", "http.put"].iter().map(|name| script.calls(name).len()).sum::<usize>();
    if others > 0 {
        draft.left_out.push(format!(
            "{others} other HTTP requests: one before each handshake is one of [[groups.prepare.steps]]"
        ));
    }
}

fn request(
    draft: &mut Draft,
    url: DraftValue,
    fields: Vec<(String, Value)>,
    (is_json, is_basic): (bool, bool),
) -> DraftRequest {
    let mut request = DraftRequest { is_json, is_basic, ..DraftRequest::new(Some(url)) };
    let mut computed = |name: &str, held: &Value| {
        draft.left_out.push(format!(
            "{name} of the token request is computed ({}): write it into the scenario",
            shown(held)
        ));
    };
    // A public client has none (RFC 6749 §2.1); client credentials need one.
    let has_field = |wanted: &str| fields.iter().any(|(name, _)| name == wanted);
    let has_secret = is_basic || has_field("client_secret");
    for (name, held) in fields {
        match (name.as_str(), held.text()) {
            ("client_secret" | "password" | "assertion" | "refresh_token", _) => {}
            ("grant_type", Some(grant)) if grant == "password" => {
                request.grant = grant;
                request.username.get_or_insert_with(|| "user".to_owned());
            }
            ("grant_type", _) => {}
            ("client_id", Some(id)) => request.client_id = id,
            ("username", Some(name)) => request.username = Some(name),
            ("scope", Some(scope)) => request.scopes = scope.split_whitespace().map(str::to_owned).collect(),
            (name, Some(text)) if !super::is_secret_name(name) => {
                request.params.push((name.to_owned(), text));
            }
            (name, _) => computed(name, &held),
        }
    }
    request.has_secret = has_secret || request.grant != "password";
    request
}

/// The fields of a body: of a table (a form), of what JSON.stringify made of one, or of a form's text.
fn fields_of(body: &Value) -> (Vec<(String, Value)>, bool) {
    match body {
        Value::Table(entries) => (entries.clone(), false),
        Value::Text(_) => {
            let text = shown(body);
            if text.trim_start().starts_with('{') {
                return (
                    Script::read(&format!("const body = {text}")).constant("body").map_or_else(
                        Vec::new,
                        |body| match body {
                            Value::Table(entries) => entries.clone(),
                            _ => Vec::new(),
                        },
                    ),
                    true,
                );
            }
            let pairs = url::form_urlencoded::parse(text.as_bytes());
            (pairs.map(|(name, held)| (name.into_owned(), text_or_computed(&held))).collect(), false)
        }
        _ => (Vec::new(), false),
    }
}

fn text_or_computed(text: &str) -> Value {
    if text.contains("${") {
        Value::Unread(text.to_owned())
    } else {
        Value::Text(vec![Part::Plain(text.to_owned())])
    }
}

/// Users, stages, scenarios.
fn take_load(draft: &mut Draft, options: Option<&Value>) {
    let Some(options) = options else { return };
    let mut source = options;
    if let Some(Value::Table(scenarios)) = options.get("scenarios") {
        if let Some((_, first)) = scenarios.first() {
            source = first;
        }
        for (name, _) in scenarios.iter().skip(1) {
            draft
                .left_out
                .push(format!("the scenario {name}: a group of its own, as [[groups]], is what it would be"));
        }
    }
    let time = |key: &str| source.get(key).and_then(Value::text).and_then(|text| k6_time(&text));
    let count = |key: &str| {
        source.get(key).and_then(Value::number).filter(|count| *count >= 1.0).map(|count| count as u32)
    };
    if let Some(duration) = time("duration") {
        draft.duration = duration;
    }
    let executor = source.get("executor").and_then(Value::text).unwrap_or_default();
    if let Some(Value::List(stages)) = source.get("stages") {
        take_stages(draft, stages, source.get("startVUs").and_then(Value::number).unwrap_or(0.0) as u32);
    } else if executor.ends_with("arrival-rate") {
        let unit = time("timeUnit").unwrap_or(Duration::from_secs(1));
        if let Some(rate) = source.get("rate").and_then(Value::number) {
            draft.load = DraftLoad::Arrivals { per_second: rate / unit.as_secs_f64(), stay: None };
        }
    } else if let Some(clients) = count("vus") {
        draft.load = DraftLoad::Clients { clients, over: Duration::ZERO, leave: Duration::ZERO };
    }
    if source.get("iterations").is_some() {
        draft.left_out.push("iterations: clients hold their sessions for the run's duration".to_owned());
    }
}

/// Stages: users who come, one stage after the other, and leave in the last.
fn take_stages(draft: &mut Draft, stages: &[Value], from: u32) {
    let mut now = from;
    let (mut more, mut leave, mut held) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    let mut whole = Duration::ZERO;
    if from > 0 {
        more.push((from, Duration::from_millis(1)));
    }
    for stage in stages {
        let over = stage.get("duration").and_then(Value::text).and_then(|text| k6_time(&text));
        let (Some(over), Some(target)) = (over, stage.get("target").and_then(Value::number)) else {
            draft.left_out.push("a stage that is computed".to_owned());
            continue;
        };
        whole += over;
        let target = target as u32;
        if target > now {
            // Who waits between two rises is spread over both.
            more.push((target - now, over + std::mem::take(&mut held)));
            if !leave.is_zero() {
                draft
                    .left_out
                    .push("users who leave between two rises: who is there stays to the end".to_owned());
                leave = Duration::ZERO;
            }
        } else if target < now {
            leave = over;
        } else if !more.is_empty() {
            held = over;
        }
        now = now.max(target);
    }
    if more.len() > 1 && whole > more.iter().map(|(_, over)| *over).sum::<Duration>() + leave + held {
        draft
            .left_out
            .push("pauses between two rises: their time is given to the rise behind them".to_owned());
    }
    if !more.is_empty() {
        draft.load = DraftLoad::Stages { stages: more, leave };
        draft.duration = whole;
    }
}

/// `1m30s`, `500ms`, `2h`, also with fractions as `1.5s`; a number alone is milliseconds.
fn k6_time(text: &str) -> Option<Duration> {
    let mut whole = 0.0;
    let mut rest = text.trim();
    if let Ok(ms) = rest.parse::<f64>() {
        return Duration::try_from_secs_f64(ms / 1e3).ok();
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| letter.is_ascii_alphabetic())?;
        let number: f64 = rest[..digits].parse().ok()?;
        let behind = &rest[digits..];
        let letters = behind.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(behind.len());
        whole += number
            * match &behind[..letters] {
                "d" => 86_400.0,
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" => 1e-6,
                _ => return None,
            };
        rest = &behind[letters..];
    }
    Duration::try_from_secs_f64(whole).ok().filter(|time| !time.is_zero())
}

fn take_thresholds(draft: &mut Draft, options: Option<&Value>) {
    let Some(Value::Table(entries)) = options.and_then(|options| options.get("thresholds")) else { return };
    for (metric, conditions) in entries {
        let conditions: Vec<&Value> = match conditions {
            Value::List(list) => list.iter().collect(),
            one => vec![one],
        };
        let (theirs, ours) = HANDSHAKE;
        let ours = (metric.as_str() == theirs).then_some(ours);
        for condition in conditions {
            let aborts_after = aborts_after(condition);
            let expression = condition.text().or_else(|| condition.get("threshold").and_then(Value::text));
            let taken = ours.zip(expression.as_deref().and_then(our_condition));
            match taken {
                Some((subject, condition)) => {
                    let subject = subject.to_owned();
                    draft.thresholds.push(DraftThreshold { subject, condition, aborts_after });
                }
                None => {
                    let aborts =
                        if aborts_after.is_some() { ", and that it ends the run (abortOnFail)" } else { "" };
                    let expression = expression.unwrap_or_else(|| shown(condition));
                    draft.left_out.push(format!("the threshold {metric}: {expression}{aborts}"));
                }
            }
        }
    }
}

/// Whether a threshold ends the run, and from when on: `abortOnFail`, `delayAbortEval`.
fn aborts_after(condition: &Value) -> Option<Duration> {
    let aborts = matches!(condition.get("abortOnFail"), Some(Value::Truth(true)));
    let delay = condition.get("delayAbortEval").and_then(Value::text).and_then(|text| k6_time(&text));
    aborts.then(|| delay.unwrap_or_default())
}

/// `p(95)<500` in milliseconds becomes `p(95) < 500ms`.
fn our_condition(expression: &str) -> Option<String> {
    let at = expression.find(['<', '>'])?;
    let (aggregate, rest) = (expression[..at].trim(), &expression[at..]);
    let sign = if rest[1..].starts_with('=') { &rest[..2] } else { &rest[..1] };
    let limit: f64 = rest[sign.len()..].trim().parse().ok()?;
    let is_known = ["min", "avg", "med", "max"].contains(&aggregate)
        || (aggregate.starts_with("p(") && aggregate.ends_with(')'));
    is_known.then(|| format!("{aggregate} {sign} {limit}ms"))
}

#[cfg(test)]
#[path = "k6_tests.rs"]
mod tests;
