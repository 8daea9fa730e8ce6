//! What the target says in a session beside its messages: its script, warnings, ends of tokens and tickets, refusals.
//!
//! In: what is due, or what the client said. Out: frames on the session's socket. Decides nothing.

use std::sync::Arc;

use tokio_tungstenite::tungstenite::Message;

use crate::clock::Moment;
use crate::scenario::keys::RefusalManner;
use crate::service::refusal::HandshakeRefusal;
use crate::service::route_text::Whereabouts;
use crate::service::rules::TargetState;
use crate::service::saying::{Word, Words};
use crate::service::session::{EndHow, Session};

use super::session::Live;
use super::upgrade::render_refusal;

impl Live {
    /// Says what a rule of the script says, and closes where it closes; `Some`: the session is over.
    pub(super) fn say(&mut self, rule: usize) -> Option<EndHow> {
        self.speak(self.shared.clock.now(), |state, session, at| state.say(session, at, rule))
    }

    /// A text message: it may bring a token, or call for something of the script.
    pub(super) fn take_text(&mut self, now: Moment, text: &str) -> Option<EndHow> {
        if self.shared.rules.script.is_empty() && self.shared.rules.message_token.is_none() {
            return None;
        }
        self.speak(now, |state, session, at| state.hear(session, at, text))
    }

    /// What the session was opened with may have come to its end by itself.
    pub(super) fn end_hold(&mut self) -> Option<EndHow> {
        self.speak(self.shared.clock.now(), TargetState::end_hold)
    }

    /// Tells the client that its token or ticket has ended.
    pub(super) fn tell_hold_end(&mut self) -> Option<EndHow> {
        self.speak(self.shared.clock.now(), TargetState::tell_hold_end)
    }

    /// Warns the client of a storm to come.
    pub(super) fn warn(&mut self, storm: usize) -> Option<EndHow> {
        self.speak(self.shared.clock.now(), |state, session, at| state.warning(session, at, storm))
    }

    /// Does what the rules have the target do; `Some`: the session is over.
    fn speak(
        &mut self,
        now: Moment,
        words: impl FnOnce(&mut TargetState, &mut Session, Whereabouts<'_>) -> Words,
    ) -> Option<EndHow> {
        let shared = Arc::clone(&self.shared);
        let origin_us = shared.clock.unix_us(Moment::ZERO);
        let at = Whereabouts { ws: shared.ws_scheme, address: &shared.address, now, origin_us };
        let words = shared.change(|state, _| words(state, &mut self.session, at));
        words.into_iter().find_map(|word| match word {
            Word::Send(text) => self.send_message(text),
            Word::Close(order) => self.begin_close(order),
        })
    }

    fn send_message(&mut self, text: String) -> Option<EndHow> {
        let over = self.write(|socket| socket.write(Message::text(text)), |_| {});
        if over.is_none() {
            self.shared.state().count_message_sent();
        }
        over
    }

    /// Tells the client that its handshake is refused, on the socket that was opened for it.
    pub(super) fn refuse(&mut self, refusal: HandshakeRefusal) -> Option<EndHow> {
        let rules = Arc::clone(&self.shared.rules);
        let RefusalManner::Socket { message, close } = &rules.refusal_manner else { return None };
        if let Some(message) = message {
            let text = render_refusal(&self.shared, message, refusal);
            if let Some(over) = self.send_message(text) {
                return Some(over);
            }
        }
        let order = self.session.close_for(self.shared.clock.now(), (*close)?, "Refused")?;
        self.begin_close(order)
    }
}
