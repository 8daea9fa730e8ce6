//! Storms: which sessions are struck, and which storms cannot be.
//!
//! In: `(now, code, share)`. Out: the sessions that are closed. Draws only from the target's seed. No I/O, no clock.

use crate::clock::Moment;

use super::rules::TargetState;
use super::session::SessionId;

/// A storm that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum StormError {
    /// No server may send that code (RFC 6455 §7.4).
    #[error("close code {0} cannot be sent: use 1000 to 1003, 1007 to 1013, or 3000 to 4999")]
    Code(u16),
    /// Not a share.
    #[error("fraction {0} is not a share: use a number above 0 and up to 1")]
    Fraction(f64),
}

impl TargetState {
    /// Picks the sessions that a storm strikes: this share of those that are not closing yet, rounded, at random. They
    /// count as closing from here on.
    ///
    /// # Errors
    /// A code that cannot be sent, or a fraction outside (0, 1].
    pub fn storm(&mut self, now: Moment, code: u16, fraction: f64) -> Result<Vec<SessionId>, StormError> {
        if !is_sendable(code) {
            return Err(StormError::Code(code));
        }
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(StormError::Fraction(fraction));
        }
        let struck = self.pick(fraction);
        Ok(self.strike_sessions(now, &struck))
    }

    /// This share of the sessions that are not closing yet, rounded, at random.
    pub fn pick(&mut self, fraction: f64) -> Vec<SessionId> {
        let mut left = self.sessions.values().filter(|open| !open.is_closing()).count();
        // Exact for any count that fits into memory.
        let mut wanted = (left as f64 * fraction).round() as usize;
        let mut picked = Vec::with_capacity(wanted);
        // Selection sampling: each subset of the wanted size is as likely as any other (Knuth, TAOCP 2, algorithm 3.4.2 S).
        for (&id, _) in self.sessions.iter().filter(|(_, open)| !open.is_closing()) {
            if (self.storms.next_unit() * left as f64) < wanted as f64 {
                picked.push(id);
                wanted -= 1;
            }
            left -= 1;
        }
        picked
    }

    /// A storm strikes these sessions; answers with those that were open and not closing yet. They count as closing from here on.
    pub fn strike_sessions(&mut self, now: Moment, sessions: &[SessionId]) -> Vec<SessionId> {
        let mut struck = Vec::with_capacity(sessions.len());
        for id in sessions {
            let Some(open) = self.sessions.get_mut(id).filter(|open| !open.is_closing()) else { continue };
            open.begin_closing();
            let (holds, client) = (open.holds(), open.client());
            if let Some(number) = open.stream() {
                self.returns.left(number, now);
            }
            self.disconnect(now, *id, holds, client);
            struck.push(*id);
        }
        struck
    }
}

/// Whether a server may send `code` in a close frame: assigned by RFC 6455 §7.4.1 or its registry, or free for use, and
/// understood by clients of RFC 6455.
#[must_use]
pub const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999)
}
