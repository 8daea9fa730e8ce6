//! One virtual client on the network: carries out what its lifecycle asks for, one action at a time.
//!
//! In: the group's context, the client's number and when its start is due. Out: samples. It ends when the lifecycle does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use crate::clock::Moment;
use crate::lifecycle::{Action, Client, Ending, EndingHow, Event, Leave, Signs};
use crate::scenario::model::{KeepAliveKind, TokenIn};

use super::connect::connect;
use super::context::{GroupContext, StopPhase, Token};
use super::session::{Heard, Session};
use super::token::{Acquired, Refusal};
use super::traffic::TrafficTally;

/// A token request under way while a session lasts.
type Refresh = Pin<Box<dyn Future<Output = Result<Acquired, Refusal>> + Send>>;

/// What listening to a session has told.
enum Told {
    /// Something that the lifecycle has to know.
    Event(Event),
    /// The refresh under way has ended.
    Refreshed(Result<Acquired, Refusal>),
}

/// A virtual client and what it holds.
struct Driven {
    context: Arc<GroupContext>,
    number: u32,
    stop: watch::Receiver<StopPhase>,
    token: Option<Token>,
    session: Option<Session>,
    refresh: Option<Refresh>,
    tally: TrafficTally,
}

/// Runs client `number`, whose start is due at `due`, to its end.
pub async fn drive_client(context: Arc<GroupContext>, number: u32, due: Moment) {
    let mut machine = Client::new(context.rules.seed, number);
    let stop = context.run.stop();
    let mut driven = Driven {
        number,
        stop,
        token: None,
        session: None,
        refresh: None,
        tally: TrafficTally::default(),
        context,
    };
    let mut samples = Vec::new();
    let mut event = Event::Begin { due };
    loop {
        if *driven.stop.borrow() >= StopPhase::Draining {
            machine.stop();
        }
        let now = driven.context.now();
        let action = machine.step(&driven.context.rules, now, event, &mut samples);
        for sample in samples.drain(..) {
            driven.context.send(now, sample).await;
        }
        if let Action::Finish(_) = action {
            driven.drop_session().await;
            return;
        }
        event = driven.perform(action).await;
    }
}

impl Driven {
    async fn perform(&mut self, action: Action) -> Event {
        match action {
            Action::Sleep { until } => self.sleep(until).await,
            Action::FetchToken { not_before, valid_until } => {
                // Boxed, because a client waits in it only briefly.
                Box::pin(self.fetch_token(not_before, valid_until)).await
            }
            Action::Connect => Box::pin(self.connect()).await,
            Action::Hold { until, .. } => self.hold(until).await,
            Action::Ping => self.send_frame(Message::Ping(bytes::Bytes::new())).await,
            Action::SendKeepAlive => self.send_keep_alive().await,
            Action::SendMessage => self.send_message().await,
            Action::StartRefresh { not_before, valid_until } => self.start_refresh(not_before, valid_until),
            Action::Leave(how) => Box::pin(self.leave(how)).await,
            Action::Finish(_) => Event::Abort,
        }
    }

    async fn sleep(&mut self, until: Moment) -> Event {
        let wake = tokio::time::sleep_until(self.context.run.clock.instant(until).into());
        tokio::select! {
            () = wake => Event::Due(Signs::default()),
            event = stopped(&mut self.stop, StopPhase::Draining) => event,
        }
    }

    async fn fetch_token(&mut self, not_before: Moment, valid_until: Moment) -> Event {
        let Self { context, refresh, stop, .. } = self;
        let acquiring = async {
            // A refresh that was under way when the session ended is not asked for twice.
            match refresh.take() {
                Some(pending) => match pending.await {
                    Ok(acquired) => Ok(acquired),
                    Err(_) => acquire(context, not_before, valid_until).await,
                },
                None => acquire(context, not_before, valid_until).await,
            }
        };
        let acquired = tokio::select! {
            acquired = acquiring => acquired,
            event = stopped(stop, StopPhase::Aborting) => return event,
        };
        self.take_token(acquired)
    }

    fn take_token(&mut self, acquired: Result<Acquired, Refusal>) -> Event {
        match acquired {
            Ok(Acquired { token, facts, fetched }) => {
                self.token = Some(token);
                Event::TokenReady { facts, fetched }
            }
            Err(Refusal { failure, retry_after, .. }) => Event::TokenFailed { failure, retry_after },
        }
    }

    fn start_refresh(&mut self, not_before: Moment, valid_until: Moment) -> Event {
        let context = Arc::clone(&self.context);
        self.refresh = Some(Box::pin(async move { acquire(&context, not_before, valid_until).await }));
        Event::Sent
    }

    async fn connect(&mut self) -> Event {
        let token = self.token.clone().or_else(|| self.context.fixed_token());
        let connecting = connect(&self.context, self.number, token);
        let (marks, result) = tokio::select! {
            connected = connecting => connected,
            event = stopped(&mut self.stop, StopPhase::Aborting) => return event,
        };
        match result {
            Ok(socket) => {
                self.session = Some(Session::new(socket, marks.ended));
                self.tally.begin_session();
                if let Some(ending) = self.send_first_message().await {
                    return self.ended_before_its_time(ending, Event::Connected(marks));
                }
                Event::Connected(marks)
            }
            Err(failure) => Event::ConnectFailed { marks, failure },
        }
    }

    /// The first message carries the token where the scenario puts it there.
    async fn send_first_message(&mut self) -> Option<Ending> {
        let TokenIn::FirstMessage(template) = &self.context.connect.token_in else { return None };
        let token = self.token.clone().or_else(|| self.context.fixed_token())?;
        let text = template.replace("{token}", token.expose_secret());
        self.tally.sent();
        self.session.as_mut()?.send(&self.context, Message::Text(text.into())).await
    }

    /// The upgrade is reported first; the next read of the session then finds its end again.
    fn ended_before_its_time(&mut self, ending: Ending, connected: Event) -> Event {
        log::debug!("the first message could not be sent: {:?}", ending.how);
        connected
    }

    async fn hold(&mut self, until: Moment) -> Event {
        match self.listen(until).await {
            Told::Event(Event::Ended(ending)) => {
                self.drop_session().await;
                Event::Ended(ending)
            }
            Told::Event(event) => event,
            Told::Refreshed(acquired) => {
                self.refresh = None;
                self.take_token(acquired)
            }
        }
    }

    /// Reads the session until there is something to tell.
    async fn listen(&mut self, until: Moment) -> Told {
        let Self { context, session, tally, refresh, stop, .. } = self;
        let Some(session) = session.as_mut() else { return Told::Event(Event::Abort) };
        let wake = tokio::time::sleep_until(context.run.clock.instant(until).into());
        tokio::pin!(wake);
        let stopping = stopped(stop, StopPhase::Draining);
        tokio::pin!(stopping);
        loop {
            // The clock comes before the frames: a flood of them must not keep what is due from being done.
            tokio::select! {
                biased;
                event = &mut stopping => return Told::Event(event),
                () = &mut wake => return Told::Event(Event::Due(session.signs)),
                acquired = finished(refresh) => return Told::Refreshed(acquired),
                frame = session.next() => match session.hear(context, tally, frame).await {
                    Heard::Nothing => {}
                    Heard::Ready => return Told::Event(Event::BecameReady),
                    Heard::Ended(ending) => return Told::Event(Event::Ended(ending)),
                },
            }
        }
    }

    async fn send_keep_alive(&mut self) -> Event {
        let text = match self.context.rules.session.keep_alive.as_ref().map(|keep| &keep.what) {
            Some(KeepAliveKind::Text(text)) => text.clone(),
            _ => String::new(),
        };
        self.tally.sent();
        self.send_frame(Message::Text(text.into())).await
    }

    async fn send_message(&mut self) -> Event {
        let text = self.context.rules.session.send.as_ref().map(|send| send.text.clone()).unwrap_or_default();
        self.tally.sent();
        self.send_frame(Message::Text(text.into())).await
    }

    async fn send_frame(&mut self, message: Message) -> Event {
        let Some(session) = self.session.as_mut() else { return Event::Abort };
        let failed = tokio::select! {
            failed = session.send(&self.context, message) => failed,
            event = stopped(&mut self.stop, StopPhase::Aborting) => return event,
        };
        match failed {
            None => {
                let now = self.context.now();
                if self.tally.is_due(now) {
                    session.report(&self.context, &mut self.tally, now).await;
                }
                Event::Sent
            }
            Some(ending) => {
                self.drop_session().await;
                Event::Ended(ending)
            }
        }
    }

    async fn leave(&mut self, how: Leave) -> Event {
        let Some(session) = self.session.as_mut() else { return Event::Abort };
        let at = self.context.now();
        let left = Ending { at, how: EndingHow::Left };
        let ending = match how {
            Leave::Close { code } => tokio::select! {
                ending = session.close(&self.context, &mut self.tally, code) => ending,
                event = stopped(&mut self.stop, StopPhase::Aborting) => return event,
            },
            Leave::Reset => {
                session.reset();
                left
            }
            Leave::Abandon => left,
            Leave::FallSilent => {
                session.report(&self.context, &mut self.tally, at).await;
                if let Some(session) = self.session.take() {
                    self.context.run.keep_silent(session.into_wire());
                }
                return Event::Due(Signs::default());
            }
        };
        self.drop_session().await;
        Event::Ended(ending)
    }

    /// Lets go of the session, and reports what had gone over it.
    async fn drop_session(&mut self) {
        if let Some(mut session) = self.session.take() {
            let now = self.context.now();
            session.report(&self.context, &mut self.tally, now).await;
        }
    }
}

async fn acquire(
    context: &GroupContext,
    not_before: Moment,
    valid_until: Moment,
) -> Result<Acquired, Refusal> {
    match &context.token {
        Some(source) => source.acquire(context, not_before, valid_until).await,
        None => Err(crate::lifecycle::TokenFailure::Error.into()),
    }
}

/// Waits for a refresh, if one is under way.
async fn finished(refresh: &mut Option<Refresh>) -> Result<Acquired, Refusal> {
    match refresh {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// Waits until the run's end has come to `phase`.
async fn stopped(stop: &mut watch::Receiver<StopPhase>, phase: StopPhase) -> Event {
    match stop.wait_for(|now| *now >= phase).await.map(|now| *now) {
        Ok(StopPhase::Aborting) | Err(_) => Event::Abort,
        Ok(_) => Event::Stop,
    }
}
