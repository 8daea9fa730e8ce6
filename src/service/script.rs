//! What the target says in a session by its script, and the token that a message has to bring.
//!
//! In: moments, text messages. Out: which rule is due, or which close. No I/O, no clock.

use std::sync::Arc;

use serde_json::Value;

use crate::clock::Moment;
use crate::scenario::keys::ScriptAt;
use crate::scenario::keys::TargetRules;

/// A session's place in the script.
#[derive(Debug)]
pub(super) struct Script {
    rules: Arc<TargetRules>,
    /// When each rule is due next.
    dues: Vec<Moment>,
    /// How often each rule has said something, where one tells.
    counts: Vec<u64>,
    /// When a session without a token is closed.
    token_deadline: Moment,
    /// When a session is closed for its token's age.
    expiry: Moment,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScriptDue {
    /// The rule of that index.
    Rule(usize),
    /// A close with this code, for this reason.
    Close(u16, &'static str),
}

impl Script {
    /// The script of a session that is opened now; `None` where there is none.
    pub(super) fn begin(rules: &Arc<TargetRules>, now: Moment) -> Option<Box<Self>> {
        if rules.script.is_empty() && rules.message_token.is_none() {
            return None;
        }
        let due = |at: &ScriptAt| match at {
            ScriptAt::Open => now,
            ScriptAt::After(time) | ScriptAt::Every(time) => now + *time,
            ScriptAt::Authenticated | ScriptAt::Message(_) => Moment::NEVER,
        };
        Some(Box::new(Self {
            dues: rules.script.iter().map(|rule| due(&rule.at)).collect(),
            token_deadline: rules.message_token.as_ref().map_or(Moment::NEVER, |token| now + token.within),
            expiry: Moment::NEVER,
            counts: Vec::new(),
            rules: Arc::clone(rules),
        }))
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Moment {
        let rules = self.dues.iter().copied().min().unwrap_or(Moment::NEVER);
        rules.min(self.token_deadline).min(self.expiry)
    }

    /// Takes what is due first.
    pub(super) fn take(&mut self, now: Moment) -> Option<ScriptDue> {
        let first = self.next();
        if first > now {
            return None;
        }
        let token = self.rules.message_token.as_ref();
        if first == self.token_deadline {
            return token.map(|token| ScriptDue::Close(token.late_code, "No token in time"));
        }
        if first == self.expiry {
            return token
                .and_then(|token| token.expired_code)
                .map(|code| ScriptDue::Close(code, "Token expired"));
        }
        let index = self.dues.iter().position(|due| *due == first)?;
        self.dues[index] = match self.rules.script[index].at {
            // On the grid of the upgrade; what a late target missed is not made up for.
            ScriptAt::Every(every) => {
                let next = first + every;
                if next > now { next } else { now + every }
            }
            _ => Moment::NEVER,
        };
        Some(ScriptDue::Rule(index))
    }

    /// The rules that a text message calls for, by index.
    pub(super) fn hear(&self, text: &str) -> Vec<usize> {
        let calls = |at: &ScriptAt| matches!(at, ScriptAt::Message(message) if message.fits_text(text));
        self.rules.script.iter().enumerate().filter(|(_, rule)| calls(&rule.at)).map(|(n, _)| n).collect()
    }

    /// How often the rule of that index has said something, this time included.
    pub(super) fn count(&mut self, rule: usize) -> u64 {
        if self.counts.is_empty() {
            self.counts.resize(self.rules.script.len(), 0);
        }
        self.counts.get_mut(rule).map_or(0, |count| {
            *count += 1;
            *count
        })
    }

    /// A message brought a good token, which expires then.
    pub(super) fn authenticated(&mut self, now: Moment, expires: Moment) {
        let is_first = self.token_deadline != Moment::NEVER;
        self.token_deadline = Moment::NEVER;
        let expiring = self.rules.message_token.as_ref().filter(|token| token.expired_code.is_some());
        self.expiry = expiring.map_or(Moment::NEVER, |token| expires + token.grace);
        if !is_first {
            return;
        }
        for (index, rule) in self.rules.script.iter().enumerate() {
            if rule.at == ScriptAt::Authenticated {
                self.dues[index] = now;
            }
        }
    }
}

/// The JSON value of a message: the whole text, or what begins at its first bracket, as in Socket.IO's `42["event",{}]` and before SignalR's
/// U+001E.
pub(super) fn json_in(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| {
        let (at, _) = text.char_indices().find(|(_, letter)| matches!(letter, '{' | '['))?;
        serde_json::Deserializer::from_str(&text[at..]).into_iter().next()?.ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::template::Template;
    use crate::scenario::keys::{MessageRule, MessageToken, ScriptRule};
    use std::time::Duration;

    fn at(s: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(s)
    }

    fn rule(at: ScriptAt) -> ScriptRule {
        ScriptRule { at, send: Some(Template::parse("x")), close: None, save: Vec::new(), topics: None }
    }

    #[test]
    fn rules_are_due_when_they_say() {
        let script = vec![
            rule(ScriptAt::Every(Duration::from_secs(30))),
            rule(ScriptAt::Open),
            rule(ScriptAt::After(Duration::from_secs(45))),
            rule(ScriptAt::Message(MessageRule::containing("ping"))),
            rule(ScriptAt::Message(MessageRule::equal_to("2"))),
            rule(ScriptAt::Message(MessageRule::starting_with("42"))),
        ];
        let rules = Arc::new(TargetRules { script, ..TargetRules::default() });
        let mut script = Script::begin(&rules, at(100)).unwrap();
        assert_eq!(script.take(at(100)), Some(ScriptDue::Rule(1)));
        assert_eq!(script.take(at(100)), None);
        assert_eq!(script.next(), at(130));
        assert_eq!(script.take(at(130)), Some(ScriptDue::Rule(0)));
        assert_eq!(script.take(at(145)), Some(ScriptDue::Rule(2)));
        assert_eq!((script.hear("a ping"), script.hear("a pong")), (vec![3], vec![]));
        assert_eq!((script.hear("2"), script.hear("42[\"ping\"]")), (vec![4], vec![3, 5]));
        assert_eq!(script.take(at(146)), None);
        assert_eq!(script.take(at(300)), Some(ScriptDue::Rule(0)));
        assert_eq!(script.next(), at(330), "what was missed is not made up for");
        assert_eq!([3, 3, 0, 3, 6].map(|rule| script.count(rule)), [1, 2, 1, 3, 0]);
    }

    #[test]
    fn a_session_needs_its_token_in_time_and_a_new_one_before_it_expires() {
        let token = MessageToken {
            pointers: vec!["/token".into()],
            regex: None,
            refused_message: None,
            within: Duration::from_secs(5),
            late_code: 3008,
            refused_code: 3000,
            expired_code: Some(3005),
            grace: Duration::from_secs(25),
        };
        let script = vec![rule(ScriptAt::Authenticated)];
        let rules = Arc::new(TargetRules { message_token: Some(token), script, ..TargetRules::default() });
        let mut late = Script::begin(&rules, at(0)).unwrap();
        assert_eq!(late.take(at(5)), Some(ScriptDue::Close(3008, "No token in time")));
        let mut script = Script::begin(&rules, at(0)).unwrap();
        script.authenticated(at(1), at(61));
        assert_eq!(script.take(at(1)), Some(ScriptDue::Rule(0)));
        script.authenticated(at(50), at(110));
        assert_eq!(script.take(at(50)), None, "it was said already");
        assert_eq!(script.next(), at(135));
        assert_eq!(script.take(at(135)), Some(ScriptDue::Close(3005, "Token expired")));
    }

    #[test]
    fn json_is_found_behind_and_before_what_is_none() {
        let rows = [
            (r#"[null,"7","phoenix","heartbeat",{}]"#, "/1", Some("7")),
            (r#"42["event",{"token":"t"}]"#, "/1/token", Some("t")),
            (r#"40{"token":"t"}"#, "/token", Some("t")),
            ("{\"type\":1,\"target\":\"t\"}\u{1e}{\"type\":6}\u{1e}", "/target", Some("t")),
            ("2probe", "/0", None),
            ("{broken", "", None),
            ("ö[1", "/0", None),
            ("", "", None),
        ];
        for (text, pointer, expected) in rows {
            let json = json_in(text);
            assert_eq!(json.as_ref().and_then(|json| json.pointer(pointer)?.as_str()), expected, "{text}");
        }
    }
}
