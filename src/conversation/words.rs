//! What the messages that clients say are made of, whichever key of the scenario says them.
//!
//! In: a group's rules. Out: [`Words`], of which a driver makes a message. When a message is said is not decided here: what [`SessionRules::say`] says, the
//! [`Talker`](super::Talker) knows; all else, the lifecycle, for it goes by the session and keeps no count.

use crate::declare::template::Template;
use crate::scenario::keys::{KeepAliveKind, Said, SessionRules};

/// The key of the scenario that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SayKey {
    /// `session.first_message`: once, right after the upgrade.
    FirstMessage,
    /// `session.send`: at a rate, from the upgrade on.
    Send,
    /// `session.keep_alive` with a text: as often, and something must come back.
    KeepAlive,
    /// `heartbeat` of `session.on_message`: as often as a message asks for.
    Heartbeat,
    /// `session.refresh_message`: whenever a token was refreshed.
    RefreshMessage,
    /// `session.say`, the one of this index.
    Say(usize),
}

/// What a message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words<'r> {
    /// A text.
    Text(&'r Template),
    /// A text that goes as a binary message.
    Binary(&'r Template),
    /// Bytes.
    Bytes(&'r [u8]),
}

impl SayKey {
    /// What the key says by these rules; `None`: it is not in them.
    #[must_use]
    pub fn words(self, rules: &SessionRules) -> Option<Words<'_>> {
        let text = match self {
            Self::FirstMessage => rules.first_message.as_ref(),
            Self::Send => rules.send.as_ref().map(|send| &send.text),
            Self::KeepAlive => rules.keep_alive.as_ref().and_then(|keep| match &keep.what {
                KeepAliveKind::Text(text) => Some(text),
                KeepAliveKind::Ping => None,
            }),
            Self::Heartbeat => {
                let heartbeat = rules.on_message.iter().find_map(|rule| rule.heartbeat.as_ref());
                heartbeat.map(|heartbeat| &heartbeat.text)
            }
            Self::RefreshMessage => rules.refresh_message.as_ref(),
            Self::Say(index) => {
                let say = rules.say.get(index)?;
                return Some(match (&say.what, say.binary) {
                    (Said::Text(text), false) => Words::Text(text),
                    (Said::Text(text), true) => Words::Binary(text),
                    (Said::Bytes(bytes), _) => Words::Bytes(bytes),
                });
            }
        };
        text.map(Words::Text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::keys::{Heartbeat, KeepAlive, MessageRule, OnMessage, Say, Send, Then, When};

    #[test]
    fn each_key_says_its_own() {
        let [first, send, keep, beat, refresh, spoken] =
            ["1", "2", "3", "4", "5", "6"].map(Template::literal);
        let keep_alive =
            |what| Some(KeepAlive { every: Duration::from_secs(1), what, timeout: Duration::from_secs(1) });
        let silent = OnMessage {
            save: Vec::new(),
            reply: None,
            heartbeat: None,
            then: Then::GoOn,
            overlap: None,
            message: MessageRule::default(),
        };
        let heartbeat = Heartbeat { every_ms: "/ms".into(), text: beat.clone() };
        let say = |what, binary| Say { name: "s".into(), when: When::Ready, binary, reply: None, what };
        let rules = SessionRules {
            first_message: Some(first.clone()),
            send: Some(Send { rate: 1.0, text: send.clone() }),
            keep_alive: keep_alive(KeepAliveKind::Text(keep.clone())),
            on_message: vec![silent.clone(), OnMessage { heartbeat: Some(heartbeat), ..silent }],
            refresh_message: Some(refresh.clone()),
            say: vec![
                say(Said::Text(spoken.clone()), false),
                say(Said::Text(spoken.clone()), true),
                say(Said::Bytes(vec![7]), false),
            ],
            ..SessionRules::default()
        };
        let rows = [
            (SayKey::FirstMessage, Words::Text(&first)),
            (SayKey::Send, Words::Text(&send)),
            (SayKey::KeepAlive, Words::Text(&keep)),
            (SayKey::Heartbeat, Words::Text(&beat)),
            (SayKey::RefreshMessage, Words::Text(&refresh)),
            (SayKey::Say(0), Words::Text(&spoken)),
            (SayKey::Say(1), Words::Binary(&spoken)),
            (SayKey::Say(2), Words::Bytes(&[7])),
        ];
        for (key, wanted) in rows {
            assert_eq!(key.words(&rules), Some(wanted), "{key:?}");
            let none =
                SessionRules { keep_alive: keep_alive(KeepAliveKind::Ping), ..SessionRules::default() };
            assert_eq!(key.words(&none), None, "{key:?} of rules without it");
        }
        assert_eq!(SayKey::Say(3).words(&rules), None);
    }
}
