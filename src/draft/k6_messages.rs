//! What a k6 script's users send.
//!
//! In: the script. Out: messages with their times; those that are computed, or answer an event, are told as left out.

use std::time::Duration;

use super::script::Script;
use super::values::{Part, Value, shown};
use super::{Draft, DraftSay, DraftToken, DraftWhen};

/// What is sent: at once, or where a timer's callback sends it.
pub(super) fn take_messages(draft: &mut Draft, script: &Script) {
    let timers: Vec<_> = [("setInterval", true), ("setTimeout", false)]
        .into_iter()
        .flat_map(|(name, again)| {
            script
                .calls(name)
                .into_iter()
                .chain(script.calls(&format!(".{name}")))
                .map(move |call| (call, again))
        })
        .collect();
    let timer_of = |at: usize| {
        let around = timers
            .iter()
            .filter(|(call, _)| call.range.contains(&at))
            .max_by_key(|(call, _)| call.range.start);
        around.map(|(call, again)| {
            let ms = call.arguments.iter().find_map(Value::number).unwrap_or(0.0);
            (Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default(), *again)
        })
    };
    for call in script.calls(".send") {
        if let Some(event) = script.event_around(call.range.start).filter(|event| event != "open") {
            let said = call.arguments.first().map(shown).unwrap_or_default();
            draft.left_out.push(format!(
                "a message that is sent on the event {event} ({said}): an answer is a say with when = {{ on = {{ … }} }}"
            ));
            continue;
        }
        let Some(said) = call.arguments.first() else { continue };
        let Some(text) = with_token(draft, said) else {
            draft.left_out.push(format!(
                "a message that is computed ({}): variables that texts may have are in the manual, Conversations",
                shown(said)
            ));
            continue;
        };
        let when = match timer_of(call.range.start) {
            None => DraftWhen::Ready,
            Some((time, _)) if time.is_zero() => DraftWhen::Ready,
            Some((time, true)) => DraftWhen::Every(time),
            Some((time, false)) => DraftWhen::After(time),
        };
        draft.says.push(DraftSay { text, when });
    }
    for call in script.calls(".ping") {
        if let Some((every, true)) = timer_of(call.range.start).filter(|(every, _)| !every.is_zero()) {
            draft.ping_every = Some(every);
        }
    }
    let closes = script.calls(".close").into_iter().filter_map(|call| timer_of(call.range.start));
    if let Some((time, false)) = closes.filter(|(_, again)| !again).max() {
        let seconds = time.as_secs_f64();
        draft.left_out.push(format!(
            "a close after {seconds} s, after which a k6 user begins anew: here clients hold their sessions; [[groups.disconnects]] or arrivals with `stay` have them leave"
        ));
    }
}

/// The variable that is what k6 scripts compute so.
fn our_variable(computed: &str) -> Option<String> {
    let bare: String = computed.chars().filter(|letter| !letter.is_whitespace()).collect();
    Some(match bare.as_str() {
        "__VU" => "{client}".to_owned(),
        "__ITER" => "{counter}".to_owned(),
        "uuidv4()" | "crypto.randomUUID()" => "{uuid}".to_owned(),
        "Date.now()" => "{now_ms}".to_owned(),
        "newDate().toISOString()" => "{now_iso}".to_owned(),
        _ => {
            let (low, high) = bare.strip_prefix("randomIntBetween(")?.strip_suffix(')')?.split_once(',')?;
            let (low, high): (u64, u64) = (low.parse().ok()?, high.parse().ok()?);
            format!("{{random:{low}-{high}}}")
        }
    })
}

/// A message's text; where each client has its token, `{token}` in the place of what is computed and named so.
fn with_token(draft: &Draft, said: &Value) -> Option<String> {
    let Value::Text(parts) = said else { return None };
    let of_part = |part: &Part| match part {
        Part::Plain(text) => Some(text.clone()),
        Part::Unread(text) if our_variable(text).is_some() => our_variable(text),
        Part::Unread(text)
            if draft.token != DraftToken::None && text.to_ascii_lowercase().contains("token") =>
        {
            Some("{token}".to_owned())
        }
        Part::Env(_) | Part::Unread(_) => None,
    };
    let text: String = parts.iter().map(of_part).collect::<Option<_>>()?;
    // What JSON.stringify makes of a text has quotes.
    let quoted = |text: String, name: &str| text.replace(&format!(":{name}"), &format!(":\"{name}\""));
    Some(quoted(quoted(text, "{token}"), "{uuid}"))
}
