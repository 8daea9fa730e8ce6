//! One virtual client on the network: carries out what its lifecycle asks for, one action at a time.
//!
//! In: the group's context, the client's number and when its start is due. Out: samples. It ends when the lifecycle does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use crate::clock::Moment;
use crate::conversation::SayKey;
use crate::declare::template::Template;
use crate::drive::{Driver, Timers};
use crate::lifecycle::{Action, Client, Ending, EndingHow, Event, Finish, Leave, Marks, Signs, StopPhase};
use crate::sample::{ClientNumber, Counter, Sample};

use super::cookies::Jar;
use super::kept::{Kept, beside, kept_end};
use super::on_session::{first_messages, leave};
use super::prepare::prepare;
use super::session::Session;
use super::setup::GroupContext;
use super::speak::message_of;
use super::token::{Acquired, Refusal, Token, Wish};
use super::trace::Trace;
use super::traffic::TrafficTally;
use super::variables::{Renderer, Variables};

/// A token request under way while a session lasts.
pub(super) type Refresh = Pin<Box<dyn Future<Output = Result<Acquired, Refusal>> + Send>>;

/// A virtual client and what it holds.
pub(super) struct Driven {
    pub(super) context: Arc<GroupContext>,
    pub(super) number: u32,
    pub(super) stop: watch::Receiver<StopPhase>,
    pub(super) token: Option<Token>,
    /// The refresh token that came with it.
    refresh_token: Option<Token>,
    pub(super) session: Option<Session>,
    /// The session before, where it is kept beside this one.
    pub(super) kept: Option<Box<Kept>>,
    pub(super) refresh: Option<Refresh>,
    pub(super) tally: TrafficTally,
    /// What steps and messages have brought; only where there are such.
    pub(super) variables: Option<Box<Variables>>,
    /// What a message told, beside what was told already.
    pub(super) untold: Vec<Event>,
}

/// Runs client `number`, whose start is due at `due`, to its end; it leaves at `leaves` at the latest.
pub async fn drive_client(context: Arc<GroupContext>, number: u32, due: Moment, leaves: Moment) {
    let mut machine = Client::new(context.rules.seed, number);
    let stop = context.run.stop();
    let mut driven = Driven {
        number,
        stop,
        token: None,
        refresh_token: None,
        session: None,
        kept: None,
        refresh: None,
        tally: TrafficTally::new(&context.rules, number),
        variables: first_variables(&context),
        untold: Vec::new(),
        context,
    };
    let mut samples = Vec::new();
    let mut event = Event::Begin { due, leaves };
    loop {
        if *driven.stop.borrow() >= StopPhase::Draining {
            machine.stop(driven.context.run.over());
        }
        let now = driven.now();
        let action = machine.step(&driven.context.rules, now, event, &mut samples);
        if let Some(talker) = driven.tally.talker.as_deref_mut() {
            talker.take_step(&samples);
        }
        driven.follow(&machine);
        driven.context.sink.send_all(now, Some(ClientNumber::of(number)), &mut samples).await;
        if let Action::Finish(why) = action {
            driven.drop_session(now).await;
            driven.drop_kept().await;
            driven.drop_refresh().await;
            if let Some(talker) = driven.tally.talker.as_deref_mut() {
                talker.finish(now, why == Finish::GaveUp);
                if let Some(news) = talker.report() {
                    Box::pin(driven.context.sink.send(now, Sample::Talk(news))).await;
                }
            }
            return;
        }
        let happened = driven.perform(action).await;
        if driven.kept.is_some()
            && let Some(told) = driven.take_kept_end(&happened).await
        {
            // It changes nothing of what the client does.
            machine.step(&driven.context.rules, driven.now(), told, &mut samples);
        }
        // Not before: what is borrowed across a wait has its room in the client's state through all of them.
        event = happened;
    }
}

impl Driver for GroupContext {
    fn timers(&self) -> &Arc<Timers> {
        self.run.timers()
    }

    fn drive(
        self: Arc<Self>,
        number: u32,
        due: Moment,
        leaves: Moment,
    ) -> impl Future<Output = ()> + Send + 'static {
        drive_client(self, number, due, leaves)
    }

    async fn drop_arrival(&self, at: Moment) {
        self.sink.send(at, Sample::Count(Counter::ArrivalsDropped, 1)).await;
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
            Action::Prepare => Box::pin(self.prepare()).await,
            Action::Connect => Box::pin(self.connect()).await,
            Action::Hold { until, awaiting_ready, entering } => {
                self.hold(until, !awaiting_ready, entering).await
            }
            Action::Ping => self.send_frame(Message::Ping(bytes::Bytes::new())).await,
            Action::Say(key) => self.say(key).await,
            Action::StartRefresh { not_before, valid_until } => self.start_refresh(not_before, valid_until),
            Action::Keep { until } => self.keep(until),
            Action::ReleaseKept => self.release_kept(),
            Action::GoOn => Event::Abort,
            Action::Leave(how) if self.session.is_none() => Box::pin(self.leave_kept(how)).await,
            Action::Leave(how) => Box::pin(self.leave(how)).await,
            Action::Finish(_) => Event::Abort,
        }
    }

    async fn sleep(&mut self, until: Moment) -> Event {
        let Self { context, stop, kept, tally, .. } = self;
        tokio::select! {
            told = kept_end(kept, context, tally), if kept.is_some() => told,
            () = context.run.sleep_until(until) => Event::Due(Signs::default()),
            event = stopped(stop, StopPhase::Draining) => event,
        }
    }

    async fn fetch_token(&mut self, not_before: Moment, valid_until: Moment) -> Event {
        let trace = self.variables.as_deref().and_then(Variables::trace).cloned();
        let wish = self.wish(not_before, valid_until).with_trace(trace);
        let Self { context, refresh, stop, kept, tally, .. } = self;
        let acquiring = async {
            // A refresh that was under way when the session ended is not asked for twice.
            match refresh.take() {
                Some(pending) => match pending.await {
                    Ok(acquired) => Ok(acquired),
                    Err(_) => acquire(context, &wish).await,
                },
                None => acquire(context, &wish).await,
            }
        };
        let acquired = tokio::select! {
            acquired = beside(kept, (context, tally), acquiring) => acquired,
            event = stopped(stop, StopPhase::Aborting) => return event,
        };
        self.take_token(acquired)
    }

    fn wish(&self, not_before: Moment, valid_until: Moment) -> Wish {
        let index = self.number.saturating_sub(self.context.rules.first);
        Wish::new(index, self.refresh_token.clone(), not_before, valid_until).with_jar(self.jar().cloned())
    }

    /// The refresh under way has ended.
    pub(super) fn end_refresh(&mut self, acquired: Result<Acquired, Refusal>) -> Event {
        self.refresh = None;
        self.take_token(acquired)
    }

    fn take_token(&mut self, acquired: Result<Acquired, Refusal>) -> Event {
        match acquired {
            Ok(Acquired { token, facts, refresh, fetched }) => {
                self.token = Some(token);
                if refresh.is_some() {
                    self.refresh_token = refresh;
                }
                Event::TokenReady { facts, fetched }
            }
            Err(Refusal { failure, retry_after, .. }) => Event::TokenFailed { failure, retry_after },
        }
    }

    fn start_refresh(&mut self, not_before: Moment, valid_until: Moment) -> Event {
        // It belongs to no attempt, and has a trace of its own.
        let trace = self.context.rules.traces.map(|own| Arc::new(Trace::new(own, self.number, self.now())));
        let (context, wish) =
            (Arc::clone(&self.context), self.wish(not_before, valid_until).with_trace(trace));
        self.refresh = Some(Box::pin(async move { acquire(&context, &wish).await }));
        Event::Sent
    }

    /// Lets go of a refresh that is under way. Whether it brought a token is not known here any more.
    async fn drop_refresh(&mut self) {
        if self.refresh.take().is_some() {
            self.context.sink.count(Counter::Unsettled).await;
        }
    }

    /// Makes the requests before a handshake.
    async fn prepare(&mut self) -> Event {
        let Some(rules) = &self.context.rules.prepare else { return Event::Prepared };
        let token = self.token_in_hand();
        let client = Renderer::new(&self.context.texts, self.number, token.as_ref(), None);
        let preparing = prepare(self.context.preparer.as_ref(), rules, client, self.kept_variables());
        let prepared = tokio::select! {
            prepared = beside(&mut self.kept, (&self.context, &mut self.tally), preparing) => prepared,
            event = stopped(&mut self.stop, StopPhase::Aborting) => return event,
        };
        match prepared {
            Ok(variables) => {
                let way = self.variables.as_deref().and_then(Variables::way).cloned();
                self.variables = Some(Box::new(variables.with_way(way)));
                Event::Prepared
            }
            Err(failure) => Event::PrepareFailed(failure),
        }
    }

    /// What a client's variables keep while they are filled anew.
    fn kept_variables(&self) -> Variables {
        let trace = self.variables.as_deref().and_then(Variables::trace).cloned();
        Variables::with_jar(self.jar().cloned()).with_trace(trace)
    }

    /// The requests that follow belong to the attempt under way.
    fn follow(&mut self, machine: &Client) {
        if let Some(traces) = self.context.rules.traces
            && let Some(began) = machine.attempt_began()
        {
            self.variables.get_or_insert_default().follow(traces, self.number, began);
        }
    }

    /// The client's cookies.
    fn jar(&self) -> Option<&Jar> {
        self.variables.as_deref().and_then(Variables::jar)
    }

    pub(super) fn token_in_hand(&self) -> Option<Token> {
        self.token.clone().or_else(|| self.context.token.as_ref()?.fixed_token().cloned())
    }

    /// This client, with `token` and its variables.
    fn renderer<'a>(&'a self, token: Option<&'a Token>) -> Renderer<'a> {
        Renderer::new(&self.context.texts, self.number, token, self.variables.as_deref())
    }

    pub(super) fn now(&self) -> Moment {
        self.context.run.clock().now()
    }

    /// A text with this client's variables.
    fn render(&self, template: &Template) -> String {
        if let Some(text) = template.fixed() {
            return text.to_owned();
        }
        let token = self.token_in_hand();
        self.renderer(token.as_ref()).render(template)
    }

    async fn connect(&mut self) -> Event {
        let token = self.token_in_hand();
        let client = Renderer::new(&self.context.texts, self.number, token.as_ref(), None);
        let elsewhere = match self.context.connector.way(client, &mut self.variables) {
            Ok(elsewhere) => elsewhere,
            Err(failure) => {
                let now = self.now();
                return Event::ConnectFailed {
                    marks: Marks { began: now, ended: now, ..Marks::default() },
                    failure,
                };
            }
        };
        let carries = self.variables.as_deref().map(Variables::beside).unwrap_or_default();
        let connecting = self.context.connector.connect(self.number, token, elsewhere, carries);
        let (marks, result) = tokio::select! {
            connected = beside(&mut self.kept, (&self.context, &mut self.tally), connecting) => connected,
            event = stopped(&mut self.stop, StopPhase::Aborting) => return event,
        };
        match result {
            Ok(socket) => {
                self.session = Some(Session::new(&self.context.session, socket, marks.ended));
                if self.kept.is_none() {
                    self.tally.begin_session();
                }
                if let Some(ending) = self.send_first_message().await {
                    return self.ended_before_its_time(ending, Event::Connected(marks));
                }
                Event::Connected(marks)
            }
            Err(failure) => Event::ConnectFailed { marks, failure },
        }
    }

    async fn send_first_message(&mut self) -> Option<Ending> {
        let token = self.token_in_hand();
        let messages = first_messages(&self.context, token.as_ref(), self.renderer(token.as_ref()));
        for message in messages.into_iter().flatten() {
            let said = self.session.as_mut()?.say(&self.context.session, &mut self.tally, message);
            if let Some(ending) = said.await {
                return Some(ending);
            }
        }
        None
    }

    /// The upgrade is reported first; the next read of the session then finds its end again.
    fn ended_before_its_time(&mut self, ending: Ending, connected: Event) -> Event {
        log::debug!("the first message could not be sent: {:?}", ending.how);
        connected
    }

    /// Says what a key says.
    async fn say(&mut self, key: SayKey) -> Event {
        let rules = &self.context.rules.session;
        let Some(words) = key.words(rules) else { return Event::Sent };
        let message = message_of(words, rules.binary, |text| self.render(text));
        self.tally.sent();
        self.send_frame(message).await
    }

    async fn send_frame(&mut self, message: Message) -> Event {
        let Some(session) = self.session.as_mut() else { return Event::Abort };
        let failed = tokio::select! {
            failed = session.send(&self.context.session, message) => failed,
            event = stopped(&mut self.stop, StopPhase::Aborting) => return event,
        };
        match failed {
            None => {
                session.report_if_due(&self.context.session, &mut self.tally).await;
                Event::Sent
            }
            Some(ending) => {
                self.drop_session(ending.at).await;
                Event::Ended(ending)
            }
        }
    }

    async fn leave(&mut self, how: Leave) -> Event {
        let Some(session) = self.session.as_mut() else { return Event::Abort };
        let at = self.context.run.clock().now();
        let left = Ending::new(at, EndingHow::Left);
        let ending = match how {
            Leave::Close { code } => tokio::select! {
                ending = Box::pin(leave(session, &self.context, &mut self.tally, code)) => ending,
                event = stopped(&mut self.stop, StopPhase::Aborting) => return event,
            },
            Leave::Reset => {
                session.reset();
                left
            }
            Leave::Abandon => left,
            Leave::FallSilent => {
                self.tally.end_session(
                    &self.context.rules.looks,
                    at,
                    *self.stop.borrow() >= StopPhase::Draining,
                );
                session.report(&self.context.session, &mut self.tally, at).await;
                if let Some(session) = self.session.take() {
                    self.context.run.keep_silent(session.into_wire());
                }
                return Event::Due(Signs::default());
            }
        };
        self.drop_session(ending.at).await;
        Event::Ended(ending)
    }

    /// Lets go of the session, which ended then, and reports what had gone over it.
    pub(super) async fn drop_session(&mut self, ended: Moment) {
        self.untold.clear();
        let now = self.now();
        let (looks, is_run_over) = (&self.context.rules.looks, *self.stop.borrow() >= StopPhase::Draining);
        if self.is_in_by_kept() {
            self.tally.hand_over(ended, is_run_over);
        } else {
            self.tally.end_session(looks, ended, is_run_over);
        }
        // By reference: a session that is moved into this has its room twice in each client's state.
        if let Some(session) = self.session.as_mut() {
            session.report(&self.context.session, &mut self.tally, now).await;
        }
        self.session = None;
    }
}

/// What a client has before its first steps: a jar, where it keeps cookies.
fn first_variables(context: &GroupContext) -> Option<Box<Variables>> {
    let keeps = context.rules.prepare.as_ref().is_some_and(|rules| rules.cookies);
    keeps.then(|| Box::new(Variables::with_jar(Some(Jar::default()))))
}

async fn acquire(context: &GroupContext, wish: &Wish) -> Result<Acquired, Refusal> {
    match &context.token {
        Some(source) => source.acquire(wish).await,
        None => Err(crate::lifecycle::TokenFailure::Error.into()),
    }
}

/// Waits until the run's end has come to `phase`; `None`: something else was told to all clients, as that a storm was asked for.
pub(super) async fn stopped_or_called(
    stop: &mut watch::Receiver<StopPhase>,
    phase: StopPhase,
) -> Option<Event> {
    let is_known = *stop.borrow() >= phase;
    let is_open = is_known || stop.changed().await.is_ok();
    match *stop.borrow_and_update() {
        StopPhase::Aborting => Some(Event::Abort),
        now if now >= phase => Some(Event::Stop),
        _ => (!is_open).then_some(Event::Abort),
    }
}

/// Waits until the run's end has come to `phase`.
pub(super) async fn stopped(stop: &mut watch::Receiver<StopPhase>, phase: StopPhase) -> Event {
    match stop.wait_for(|now| *now >= phase).await.map(|now| *now) {
        Ok(StopPhase::Aborting) | Err(_) => Event::Abort,
        Ok(_) => Event::Stop,
    }
}
