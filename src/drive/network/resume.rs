//! A client that keeps its session until the next one is ready.
//!
//! In: what the lifecycle asks for. Out: the session kept beside the next, closed, and what had gone over it.

use crate::clock::Moment;
use crate::lifecycle::{Ending, EndingHow, Event, Leave, StopPhase};
use crate::scenario::keys::Ready;

use super::client::{Driven, stopped};
use super::kept::Kept;

impl Driven {
    /// Keeps the session, until then at the latest.
    pub(super) fn keep(&mut self, until: Moment) -> Event {
        let Some(session) = self.session.take() else { return Event::Abort };
        self.untold.clear();
        let is_run_over = *self.stop.borrow() >= StopPhase::Draining;
        self.tally.hand_over(self.now(), is_run_over);
        self.kept = Some(Box::new(Kept::new(session, until)));
        Event::Sent
    }

    /// The next session is ready: the kept one is closed. It is read until that is answered.
    pub(super) fn release_kept(&mut self) -> Event {
        if let Some(kept) = &mut self.kept {
            kept.release(&self.context);
        }
        Event::Sent
    }

    /// The kept session is the only one, and the client leaves it.
    pub(super) async fn leave_kept(&mut self, how: Leave) -> Event {
        let Self { context, kept, tally, stop, .. } = self;
        let Some(kept) = kept.as_mut().filter(|_| matches!(how, Leave::Close { .. })) else {
            return Event::Abort;
        };
        kept.begin_close(context);
        tokio::select! {
            () = kept.end(context, tally) => {}
            event = stopped(stop, StopPhase::Aborting) => return event,
        }
        match self.end_of_kept().await {
            Some(Event::KeptEnded { ending, .. }) => Event::Ended(ending),
            _ => Event::Ended(Ending::new(self.now(), EndingHow::Left)),
        }
    }

    /// What the lifecycle is to know of the kept session's end, if it has ended, unless `event` tells it.
    pub(super) async fn take_kept_end(&mut self, event: &Event) -> Option<Event> {
        let told = Box::pin(self.end_of_kept()).await?;
        (!matches!(event, Event::KeptEnded { .. })).then_some(told)
    }

    /// The end of the kept session, if it has ended: then what had gone over it is reported, and nothing kept of it.
    async fn end_of_kept(&mut self) -> Option<Event> {
        let told = self.kept.as_ref()?.told()?;
        let mut kept = self.kept.take()?;
        let is_upgraded = self.context.rules.session.ready == Ready::Upgraded && self.session.is_some();
        if let Event::KeptEnded { ending, .. } = &told
            && !(kept.is_released || is_upgraded)
        {
            self.tally.lose(&self.context.rules.looks, ending.at);
        }
        let now = self.now();
        kept.session.report(&self.context.session, &mut self.tally, now).await;
        Some(told)
    }

    /// Lets go of the kept session as it is.
    pub(super) async fn drop_kept(&mut self) {
        let Some(mut kept) = self.kept.take() else { return };
        let now = self.now();
        Box::pin(kept.session.report(&self.context.session, &mut self.tally, now)).await;
    }

    /// Whether the client is in by the session that it keeps.
    pub(super) fn is_in_by_kept(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| !kept.is_released)
    }
}
