//! Refusals in messages.
//!
//! In: the rules that say which messages refuse a client, a message. Out: what it says, as evidence. No I/O.

use serde_json::Value;

use crate::conversation::{Look, Looks};
use crate::scenario::keys::RefusedOn;

use super::cause::Evidence;

/// What a message says that refuses the client, by the first of the `rules` that it fits, which `looks` has compiled; `None`: it does not.
#[must_use]
pub fn refusal_by_message(looks: &Looks, rules: &[RefusedOn], look: &Look<'_, '_>) -> Option<Evidence> {
    let rule = rules.get(looks.refuses(look)?)?;
    let words = rule.words.as_ref().and_then(|pointer| words_at(look.json()?, pointer));
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
    use crate::scenario::keys::{MessageRule, SessionRules};

    #[test]
    fn a_rule_says_which_messages_refuse_and_where_their_words_stand() {
        let rule = |message, words: Option<&str>| RefusedOn { message, words: words.map(str::to_owned) };
        let refused_on = vec![
            rule(MessageRule::starting_with("44"), Some("/message")),
            rule(MessageRule::equal_to("{\"user\":null}"), None),
            rule(MessageRule::containing("phx_error"), Some("/4/code")),
        ];
        let rules = SessionRules { refused_on, ..SessionRules::default() };
        let looks = Looks::new(&rules);
        // (message, whether it refuses, its words)
        let rows = [
            ("44{\"message\":\"Invalid token\"}", true, Some("Invalid token")),
            ("44/chat,{\"message\":5}", true, Some("5")),
            ("44nonsense", true, None),
            ("42[\"news\",44]", false, None),
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
