//! A session that is kept beside the next one: it is read until it ends, and nothing is said on it.
//!
//! In: a session, until when it is kept. Out: counts of its messages, how it ended. It is read while the client does whatever else it does.

use std::future::Future;

use crate::clock::Moment;
use crate::lifecycle::{Ending, EndingHow, Event};
use crate::sample::{Abnormal, NORMAL_CLOSURE, Said, Word};

use super::session::Session;
use super::setup::GroupContext;
use super::traffic::TrafficTally;

/// The kept session.
pub(super) struct Kept {
    pub(super) session: Session,
    /// The next one is ready.
    pub(super) is_released: bool,
    /// When the client closes it, or gives up waiting for the answer to its close frame.
    until: Moment,
    /// When the client began to close it.
    closing: Option<Moment>,
    ended: Option<Ending>,
}

impl Kept {
    pub(super) const fn new(session: Session, until: Moment) -> Self {
        Self { session, is_released: false, until, closing: None, ended: None }
    }

    /// How it ended, once it has.
    pub(super) fn told(&self) -> Option<Event> {
        let ending = self.ended?;
        Some(Event::KeptEnded { ending, closed: self.closing.is_some() })
    }

    /// The next one is ready: it has done its part.
    pub(super) fn release(&mut self, context: &GroupContext) {
        self.is_released = true;
        self.begin_close(context);
    }

    /// Begins to close it, where that is not done yet.
    pub(super) fn begin_close(&mut self, context: &GroupContext) {
        if self.closing.is_some() || self.ended.is_some() {
            return;
        }
        let now = context.run.clock().now();
        self.closing = Some(now);
        self.until = now + context.session.close_timeout;
        self.session.begin_close(NORMAL_CLOSURE);
    }

    /// Reads it until it has ended. Cancel safe.
    pub(super) async fn end(&mut self, context: &GroupContext, tally: &mut TrafficTally) {
        while self.ended.is_none() {
            let wake = context.run.sleep_until(self.until);
            let frame = tokio::select! {
                biased;
                () = wake => None,
                frame = self.session.next() => Some(frame),
            };
            match (frame, self.closing) {
                (None, None) => self.begin_close(context),
                (None, Some(at)) => {
                    let how = EndingHow::Abnormal(Abnormal::Timeout);
                    self.ended = Some(Ending { at, how, said: Said::by_client(Word::Code(NORMAL_CLOSURE)) });
                }
                (Some(frame), closing) => {
                    let ended = self.session.hear_beside(&context.session, tally, frame);
                    self.ended = ended.map(|ending| closing.map_or(ending, |at| after_close(ending, at)));
                }
            }
        }
    }
}

/// How a session ended on which the client had sent its close frame at `at`.
fn after_close(ending: Ending, at: Moment) -> Ending {
    let ours = Word::Code(NORMAL_CLOSURE);
    let heard = ending.said.target;
    match ending.how {
        // An answer repeats our code, or has none; another code was on its way before ours arrived.
        EndingHow::PeerClosed(_) if heard == ours || heard == Word::NoCode => {
            let target = if heard == ours { Word::Nothing } else { heard };
            Ending { at, how: EndingHow::Left, said: Said { target, client: ours } }
        }
        how => Ending { at, how, said: Said { target: heard, client: ours } },
    }
}

/// Does something, and reads the kept session, if there is one, beside it.
pub(super) async fn beside<T>(
    kept: &mut Option<Box<Kept>>,
    (context, tally): (&GroupContext, &mut TrafficTally),
    doing: impl Future<Output = T>,
) -> T {
    tokio::pin!(doing);
    if let Some(kept) = kept {
        tokio::select! {
            biased;
            done = &mut doing => return done,
            () = Box::pin(kept.end(context, tally)) => {}
        }
    }
    doing.await
}

/// Reads the kept session until it has ended; for ever, where there is none.
pub(super) async fn kept_end(
    kept: &mut Option<Box<Kept>>,
    context: &GroupContext,
    tally: &mut TrafficTally,
) -> Event {
    if let Some(kept) = kept {
        // Boxed: most clients keep none.
        Box::pin(kept.end(context, tally)).await;
        if let Some(told) = kept.told() {
            return told;
        }
    }
    std::future::pending().await
}
