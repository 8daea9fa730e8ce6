//! Refusals in messages.
//!
//! In: the rules that say which messages refuse a client, a message. Out: what it says, as evidence. No I/O.

use serde_json::Value;

use crate::scenario::keys::RefusedOn;

use super::cause::Evidence;

/// What a message says that refuses the client, by the first of the `rules` that it fits; `None`: it does not.
#[must_use]
pub fn refusal_by_message(rules: &[RefusedOn], text: &str) -> Option<Evidence> {
    let rule = rules.iter().find(|rule| rule.message.fits(text))?;
    let words = rule.words.as_ref().and_then(|pointer| words_at(text, pointer));
    Some(Evidence::of_message(words))
}

/// The text, number or truth value at a JSON Pointer (RFC 6901) of the JSON that begins at the first bracket: packets have a number before it.
fn words_at(text: &str, pointer: &str) -> Option<String> {
    let json: Value = serde_json::from_str(&text[text.find(['{', '['])?..]).ok()?;
    match json.pointer(pointer)? {
        Value::String(words) => Some(words.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::keys::MessageRule;

    #[test]
    fn a_rule_says_which_messages_refuse_and_where_their_words_stand() {
        let rule = |message, words: Option<&str>| RefusedOn { message, words: words.map(str::to_owned) };
        let rules = [
            rule(MessageRule::StartsWith("44".into()), Some("/message")),
            rule(MessageRule::Equals("{\"user\":null}".into()), None),
            rule(MessageRule::Contains("phx_error".into()), Some("/4/code")),
        ];
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
            let found = refusal_by_message(&rules, text);
            assert_eq!(found.is_some(), refuses, "{text}");
            assert_eq!(found.and_then(|evidence| evidence.body_code).as_deref(), words, "{text}");
        }
    }
}
