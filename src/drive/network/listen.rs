//! A client that has a session: listens to it, and says what it has to say.
//!
//! In: frames, the clock, the run's end. Out: what the lifecycle has to know.

use futures::FutureExt;

use crate::clock::Moment;
use crate::conversation::Talker;
use crate::lifecycle::{Event, StopPhase};
use crate::sample::Word;

use super::client::{Driven, Refresh, stopped_or_called};
use super::go_on::Rare;
use super::kept::kept_end;
use super::meaning::meaning_of;
use super::on_session::Secrets;
use super::session::{Heard, payload_of};
use super::setup::GroupContext;
use super::speak::Speaker;
use super::token::{Acquired, Refusal, Token};

/// How many frames a client takes before the others have their turn.
const FRAMES_AT_ONCE: usize = 256;

/// What listening to a session has told.
enum Told {
    /// Something that the lifecycle has to know.
    Event(Event),
    /// The refresh under way has ended.
    Refreshed(Result<Acquired, Refusal>),
}

impl Driven {
    /// Holds the session; from when it `is_ready` on, the client says what it has to say.
    pub(super) async fn hold(&mut self, until: Moment, is_ready: bool, is_entering: bool) -> Event {
        if is_ready
            && let Some((rules, talker)) =
                self.context.rules.looks.talk().zip(self.tally.talker.as_deref_mut())
        {
            talker.begin(rules, self.context.run.clock().now());
        }
        let event = match self.listen(until, is_entering).await {
            Told::Event(event) => event,
            Told::Refreshed(acquired) => return self.end_refresh(acquired),
        };
        if matches!(event, Event::Ended(_) | Event::Closed { .. }) {
            // Boxed, as all that is done once in a session: a client's state has to have room for it while it listens.
            return Box::pin(self.end(event)).await;
        }
        event
    }

    /// The session has ended, as `event` says: what its line gave as the reason belongs to that.
    async fn end(&mut self, mut event: Event) -> Event {
        let line = self.tally.talker.as_deref_mut().and_then(Talker::line);
        let reason = line.and_then(|line| line.last_reason());
        let at = match &mut event {
            Event::Ended(ending) | Event::Closed { ending, .. } => {
                if let Some(code) = reason {
                    ending.said.target = Word::Reason(code);
                }
                ending.at
            }
            _ => self.now(),
        };
        self.drop_session(at).await;
        event
    }

    /// Reads the session until there is something to tell. A client that `is_entering` goes on while the run drains.
    async fn listen(&mut self, until: Moment, is_entering: bool) -> Told {
        if !self.untold.is_empty() {
            return Told::Event(self.untold.remove(0));
        }
        let reads = self.context.rules.looks.is_read();
        let token = if reads || self.tally.talker.is_some() { self.token_in_hand() } else { None };
        let Self {
            context,
            session,
            kept,
            tally,
            refresh,
            stop,
            number,
            variables,
            untold,
            token: own_token,
            ..
        } = self;
        let Some(session) = session.as_mut() else { return Told::Event(Event::Abort) };
        let mut wake = context.run.sleep_until(until.min(tally.next_say()));
        let stopping = stopped_or_called(
            stop,
            if is_entering && *stop.borrow() >= StopPhase::Draining {
                StopPhase::Aborting
            } else {
                StopPhase::Draining
            },
        );
        tokio::pin!(stopping);
        loop {
            // The clock comes before the frames: a flood of them must not keep what is due from being done.
            let frame = tokio::select! {
                biased;
                told = &mut stopping => return Told::Event(told.unwrap_or(Event::Due(session.signs))),
                () = &mut wake => None,
                acquired = finished(refresh) => return Told::Refreshed(acquired),
                frame = session.next() => Some(frame),
                // Behind the frames: a service that welcomes the new session and closes the old one has let the client in first.
                told = kept_end(kept, context, tally), if kept.is_some() => return Told::Event(told),
            };
            let Some(mut frame) = frame else {
                if tally.talker.is_none() || until <= context.run.clock().now() {
                    return Told::Event(Event::Due(session.signs));
                }
                let variables = variables.as_deref();
                let speaker = Speaker { context, number: *number, token: token.as_ref(), variables };
                // Boxed, as below: most clients have nothing to say.
                if let Some(ending) = Box::pin(speaker.say_due(session, tally)).await {
                    return Told::Event(Event::Ended(ending));
                }
                wake = context.run.sleep_until(until.min(tally.next_say()));
                continue;
            };
            // Frames that are there already are taken at once, for waiting for all of the above costs more than a frame.
            let mut taken = 0;
            loop {
                let before = session.signs.heard;
                // What a frame is rarely followed by is a future of its own. It is made here, so that nothing of the frame is left while it is waited for.
                let heard = {
                    let (heard, rare) = {
                        let frame = frame;
                        let payload = frame
                            .as_ref()
                            .filter(|_| reads)
                            .and_then(|frame| payload_of(frame.as_ref().ok()?));
                        let meaning = payload.and_then(|payload| {
                            let talker = tally.talker.as_deref_mut();
                            meaning_of(context, payload, (*number, token.as_ref()), variables, talker)
                        });
                        match (session.take_in(&context.session, tally, frame), meaning) {
                            (Ok(heard), None) => (heard, None),
                            (taken_in, meaning) => {
                                let variables = variables.as_deref();
                                let speaker =
                                    Speaker { context, number: *number, token: token.as_ref(), variables };
                                let rare = Rare { taken_in, meaning, before };
                                let going_on = speaker.go_on(session, tally, rare, untold);
                                (Heard::Nothing, Some(Box::pin(going_on)))
                            }
                        }
                    };
                    match rare {
                        None => heard,
                        Some(rare) => match rare.await {
                            Ok(heard) => heard,
                            Err(event) => return Told::Event(event),
                        },
                    }
                };
                match heard {
                    Heard::Ready => return Told::Event(Event::BecameReady),
                    Heard::Ended(ending) => return Told::Event(Event::Ended(ending)),
                    Heard::Closed(ending, reason) => {
                        let token = token_of(context, own_token.as_ref());
                        let variables = variables.as_deref();
                        let texts = Some(&context.texts);
                        let secrets = Secrets { texts, number: *number, token, variables };
                        let reason = secrets.taken_out_of_reason(reason);
                        return Told::Event(Event::Closed { ending, reason, heard: before });
                    }
                    Heard::Nothing if !untold.is_empty() => return Told::Event(untold.remove(0)),
                    Heard::Nothing => {}
                }
                taken += 1;
                if taken == FRAMES_AT_ONCE || session.signs.heard >= until {
                    break;
                }
                match session.next().now_or_never() {
                    Some(next) => frame = next,
                    None => break,
                }
            }
            if taken == FRAMES_AT_ONCE {
                // The other clients' turn.
                tokio::task::yield_now().await;
            }
            if tally.next_say() < wake.due() {
                wake = context.run.sleep_until(tally.next_say());
            }
        }
    }
}

/// Waits for a refresh, if one is under way.
async fn finished(refresh: &mut Option<Refresh>) -> Result<Acquired, Refusal> {
    match refresh {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// The token that a client shows, where it has one.
fn token_of<'t>(context: &'t GroupContext, own: Option<&'t Token>) -> Option<&'t Token> {
    own.or_else(|| context.token.as_ref()?.fixed_token())
}
