//! Refusals in messages.
//!
//! In: the rules that say which messages refuse a client, a message. Out: what it says, as evidence. No I/O.

use serde_json::Value;

use crate::conversation::{Look, Looks};
use crate::scenario::keys::{RefusedOn, ValueAt};

use super::cause::Evidence;

/// What a message says that refuses the client, by the first of the `rules` that it fits, which `looks` has compiled; `None`: it does not.
#[must_use]
pub fn refusal_by_message(looks: &Looks, rules: &[RefusedOn], look: &Look<'_, '_>) -> Option<Evidence> {
    let rule = rules.get(looks.refuses(look)?)?;
    let words = rule.words.as_ref().and_then(|at| match at {
        ValueAt::Pointer(pointer) => words_at(look.json()?, pointer),
        ValueAt::Regex(pattern) => pattern.find(look.payload().text()?).map(str::to_owned),
    });
    Some(Evidence::of_message(words))
}

/// The text, number or truth value at a JSON Pointer (RFC 6901).
fn words_at(json: &str, pointer: &str) -> Option<String> {
    let json: Value = serde_json::Deserializer::from_str(json).into_iter().next()?.ok()?;
    match json.pointer(pointer)? {
        Value::String(words) => Some(words.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Payload;
    use crate::scenario::keys::{MessageRule, Pattern, SessionRules};

    #[test]
    fn a_rule_says_which_messages_refuse_and_where_their_words_stand() {
        let at = |pointer: &str| ValueAt::Pointer(pointer.to_owned());
        let rule = |message, words: Option<ValueAt>| RefusedOn { message, words };
        let refused_on = vec![
            rule(MessageRule::starting_with("44"), Some(at("/message"))),
            rule(MessageRule::equal_to("{\"user\":null}"), None),
            rule(MessageRule::containing("phx_error"), Some(at("/4/code"))),
            rule(
                MessageRule::starting_with("ERROR\n"),
                Some(ValueAt::Regex(Pattern::new("\\nmessage:(.*)").unwrap())),
            ),
        ];
        let rules = SessionRules { refused_on, ..SessionRules::default() };
        let looks = Looks::new(&rules);
        // (message, whether it refuses, its words)
        let rows = [
            ("44{\"message\":\"Invalid token\"}", true, Some("Invalid token")),
            ("44/chat,{\"message\":5}", true, Some("5")),
            ("44nonsense", true, None),
            ("42[\"news\",44]", false, None),
            ("ERROR\nversion:1.2\nmessage:Access refused\n\nmessage:no\0", true, Some("Access refused")),
            ("ERROR\n\nwhat happened: {\"message\":1}\0", true, None),
            ("{\"user\":null}", true, None),
            ("{\"user\":null }", false, None),
            ("[null,\"1\",\"t\",\"phx_error\",{\"code\":true}]", true, Some("true")),
        ];
        for (text, refuses, words) in rows {
            let look = looks.messages(Payload::Text(text)).next().unwrap();
            let found = refusal_by_message(&looks, &rules.refused_on, &look);
            assert_eq!(found.is_some(), refuses, "{text}");
            assert_eq!(found.and_then(|evidence| evidence.body_code).as_deref(), words, "{text}");
        }
    }
}
