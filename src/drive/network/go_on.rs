//! What is rarely done of a frame that a client has heard.
//!
//! In: what is left of taking a frame in, and what its messages mean. Out: what was heard, or what the lifecycle has to know. It is a future of its own, so that
//! a client that listens needs no room for it.

use crate::clock::Moment;
use crate::lifecycle::Event;

use super::meaning::Meaning;
use super::session::{Heard, Left, Session};
use super::speak::Speaker;
use super::traffic::TrafficTally;

/// A frame of which something is left to do.
pub(super) struct Rare {
    /// What was heard, or what is left of taking it in.
    pub(super) taken_in: Result<Heard, Left>,
    /// What its messages mean.
    pub(super) meaning: Option<Box<Meaning>>,
    /// When the session had been heard of before.
    pub(super) before: Moment,
}

impl Speaker<'_> {
    /// Does what a frame is rarely followed by: what is left of taking it in, and what its messages mean, with when the session had been heard of before.
    ///
    /// # Errors
    /// What the lifecycle has to know of the messages: a refusal, or that the session is over.
    pub(super) async fn go_on(
        self,
        session: &mut Session,
        tally: &mut TrafficTally,
        frame: Rare,
        untold: &mut Vec<Event>,
    ) -> Result<Heard, Event> {
        let Rare { taken_in, meaning, before } = frame;
        let heard = match taken_in {
            Ok(heard) => heard,
            Err(left) => session.do_left(&self.context.session, tally, left).await,
        };
        let Some(meaning) = meaning else { return Ok(heard) };
        let Meaning { refused, reaction } = *meaning;
        if let Some(evidence) = refused {
            untold.clear();
            return Err(Event::Refused { evidence, heard: before });
        }
        match self.follow(session, tally, reaction, untold).await {
            Some(ending) => Err(Event::Ended(ending)),
            None => Ok(heard),
        }
    }
}
