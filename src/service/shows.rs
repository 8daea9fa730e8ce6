//! What a handshake shows, and what that is good for.
//!
//! In: `(now, token or ticket)`. Out: what the session will hold, or why there will be none.

use crate::clock::Moment;
use crate::sample::Cause;

use super::open::Holds;
use super::registry::{Standing, cause_of};
use super::rules::TargetState;
use super::shown::Shown;

impl TargetState {
    /// What a handshake shows: a ticket where there are such, a token, or nothing where the token comes in a message.
    pub(super) fn credential(&self, now: Moment, shown: Option<Shown<'_>>) -> Result<Holds, Cause> {
        if let Some(tickets) = self.rules.tickets {
            return match shown {
                None if tickets.optional => Ok(Holds::Nothing),
                // A ticket is a text; whatever else is shown is none.
                Some(Shown::Text(text)) => cause_of(Some(self.tickets.look_up(now, text))).map(Holds::Ticket),
                Some(Shown::Token(_) | Shown::Wrong(_)) => {
                    cause_of(Some(Standing::Unknown)).map(Holds::Ticket)
                }
                None => cause_of(None).map(Holds::Ticket),
            };
        }
        let standing = match shown {
            None if self.rules.message_token.is_some() => return Ok(Holds::Nothing),
            None => None,
            Some(Shown::Text(text)) => Some(self.standing(now, text)),
            Some(Shown::Token(id)) => Some(self.tokens.standing_of(now, id)),
            Some(Shown::Wrong(_)) => Some(Standing::Unknown),
        };
        cause_of(standing).map(Holds::Token)
    }
}
