//! The parts of a run in virtual time, and which of them hears of what.
//!
//! In: the events of the queue, one after the other. Out: calls of the parts, and what one part answers handed to the next. What anything
//! means is decided in the parts; each alone writes what it keeps.

use std::sync::Arc;

use crate::clock::Moment;
use crate::lifecycle::{Action, Event, StopPhase};
use crate::plan::Share;
use crate::sample::{Counter, Sample};
use crate::scenario::keys::{Scenario, TargetRules};
use crate::service::capacity::Endpoint;
use crate::service::counters::TargetCounters;
use crate::service::minted::MintedReader;

use super::at_client::AtClient;
use super::at_service::AtService;
use super::audit::{Audit, Everything};
use super::clients::{Clients, Doing};
use super::end::Lost;
use super::frame::{ToClient, ToTarget};
use super::group::Group;
use super::handshakes::{HandshakeEnd, Handshakes};
use super::minted_book::MintedBook;
use super::network::{Link, Network};
use super::queue::{Happening, Kind};
use super::request::{Request, Stage};
use super::samples::SampleLog;
use super::service_side::{ServiceSide, endpoint_index};
use super::signing::StandIns;
use super::slab::Key;
use super::taker::SampleTaker;
use super::time_model::TimeModel;
use super::token_answer::{Fetch, HandedOver, Need, Settled};
use super::token_desk::TokenDesk;
use super::transit::Transit;

/// The parts of a run.
pub(super) struct World {
    transit: Transit,
    service: ServiceSide,
    groups: Arc<[Group]>,
    clients: Clients,
    handshakes: Handshakes,
    desk: TokenDesk,
    log: SampleLog,
    lost: Lost,
    audit: Option<Box<Audit>>,
}

/// What a world is made of.
pub(super) struct Parts<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) share: Share,
    pub(super) rules: TargetRules,
    pub(super) times: TimeModel,
    pub(super) start_unix_us: u64,
    pub(super) audit: Option<Box<Audit>>,
}

impl World {
    /// The parts, before anything has happened.
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let Parts { scenario, share, mut rules, times, start_unix_us, audit } = parts;
        let keys = StandIns::of(scenario, &mut rules);
        let groups: Arc<[Group]> =
            (0..scenario.groups.len()).map(|index| Group::of(scenario, index, &rules, &keys)).collect();
        let reader = MintedReader::of(&rules, start_unix_us);
        let keeps_lag = scenario.thresholds.iter().any(|threshold| threshold.source.starts_with("lag"));
        Self {
            transit: Transit::new(Network::new(times)),
            service: ServiceSide::new(rules, scenario.seed, start_unix_us),
            clients: Clients::new(scenario, share),
            handshakes: Handshakes::default(),
            desk: TokenDesk::new(scenario, Arc::clone(&groups), MintedBook::new(reader, start_unix_us)),
            log: SampleLog::new(groups.len(), keeps_lag),
            groups,
            lost: Lost::default(),
            audit,
        }
    }

    /// When the next event is due.
    pub(super) fn next(&self) -> Option<Moment> {
        self.transit.queue.next()
    }

    pub(super) const fn now(&self) -> Moment {
        self.transit.queue.now()
    }

    /// It is `moment` now, if it was earlier.
    pub(super) fn advance_to(&mut self, moment: Moment) {
        self.transit.queue.advance_to(moment);
    }

    /// Something of the run's own happens at `at`.
    pub(super) fn put(&mut self, at: Moment, kind: Kind, index: u32) {
        self.transit.queue.put(at, kind, index);
    }

    /// Takes the next event. It is its moment then.
    pub(super) fn take_event(&mut self) -> Option<Happening> {
        let happening = self.transit.queue.pop()?;
        if let Some(audit) = &mut self.audit {
            audit.moment(self.transit.queue.now(), happening.at);
        }
        self.transit.queue.advance_to(happening.at);
        Some(happening)
    }

    /// Clients that are not done.
    pub(super) const fn alive(&self) -> u32 {
        self.clients.alive()
    }

    pub(super) const fn lost(&self) -> Lost {
        self.lost
    }

    pub(super) fn counters(&self) -> TargetCounters {
        self.service.counters()
    }

    pub(super) fn rules(&self) -> &Arc<TargetRules> {
        self.service.rules()
    }

    /// Hands over what was told, once it is enough.
    pub(super) fn hand_over_batch(&mut self, taker: &mut impl SampleTaker) {
        self.log.hand_over_batch(taker);
    }

    /// Hands over all that was told, and what went over the sessions.
    pub(super) fn hand_over(&mut self, taker: &mut impl SampleTaker) {
        self.log.flush_traffic(self.transit.queue.now());
        self.log.hand_over(taker);
    }

    /// Looks at everything, if so many events were worked off.
    pub(super) fn audit_after(&mut self, events: u64) {
        let Self { audit, transit, clients, .. } = self;
        if let Some(audit) = audit.as_mut().filter(|audit| audit.is_due(events)) {
            audit.look_at(&Everything { transit, clients });
        }
    }

    /// What the audit has found.
    pub(super) fn finish_audit(&mut self) -> Vec<String> {
        let Some(mut audit) = self.audit.take() else { return Vec::new() };
        let Self { transit, clients, .. } = self;
        audit.in_flight(self.desk.too_many_in_flight());
        audit.finish(&Everything { transit, clients })
    }

    /// An event of a client, a request or a session has come. Those of the run are its own affair.
    pub(super) fn happen(&mut self, happening: &Happening) {
        let (key, at) = (happening.key(), happening.at);
        match happening.kind {
            Kind::Wake => self.wake(happening.index, at),
            Kind::Stage => self.request_goes_on(key),
            Kind::Timeout => self.request_times_out(key),
            Kind::ServerDone if happening.index == endpoint_index(Endpoint::Token) => {
                self.server_done(Endpoint::Token);
            }
            Kind::ServerDone => self.server_done(Endpoint::Upgrade),
            Kind::SessionWake => self.service.wake_session(&mut self.transit, key, at),
            Kind::ToClient => self.reaches_client(key, ToClient::of(happening.extra)),
            Kind::ToTarget => {
                let frame = ToTarget::of(happening.extra);
                self.service.receive(&mut self.transit, key, frame);
            }
            Kind::Known => self.end_is_known(key),
            Kind::Start | Kind::Storm | Kind::TargetStorm | Kind::Probe | Kind::End | Kind::CutOff => {}
        }
    }

    /// A storm strikes this share of the sessions.
    pub(super) fn storm(&mut self, code: u16, fraction: f64) {
        self.service.storm(&mut self.transit, code, fraction);
    }

    /// Somebody came to the group, and is not let in.
    pub(super) fn drop_arrival(&mut self, group: usize) {
        let id = self.groups[group].id;
        self.log.tell(self.transit.now(), id, Sample::Count(Counter::ArrivalsDropped, 1));
    }

    /// The target is probed; `true`: it restarts.
    pub(super) fn probe(&mut self) -> bool {
        self.service.probe()
    }

    /// The run drains: who waits is told so.
    pub(super) fn drain(&mut self) {
        self.clients.stop(StopPhase::Draining, self.now());
        for number in self.clients.numbers() {
            match self.clients.slot(number).doing() {
                Doing::Outside => self.clients.never_starts(number),
                Doing::Sleeping | Doing::Holding => self.deliver(number, Event::Stop),
                _ => {}
            }
        }
    }

    /// The run is cut off.
    pub(super) fn cut_off(&mut self) {
        self.clients.stop(StopPhase::Aborting, self.now());
        for number in self.clients.numbers() {
            let slot = self.clients.slot(number);
            let (doing, request, link) = (slot.doing(), slot.request(), slot.link());
            match doing {
                Doing::Outside => self.clients.never_starts(number),
                Doing::Done => {}
                // It knows how its session ended.
                Doing::Ending(_) => self.end_is_known(link),
                _ => {
                    self.cancel(request);
                    self.deliver(number, Event::Abort);
                }
            }
        }
    }

    /// The clients are done: connections that they kept in silence end.
    pub(super) fn drop_silent_links(&mut self) {
        self.transit.network.drop_silent_links(&mut self.transit.queue);
    }

    /// Tells a client what happened, and does what it asks for until it waits for something.
    pub(super) fn deliver(&mut self, number: u32, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            let action = self.step(number, event);
            next = self.perform(number, action);
        }
    }

    fn step(&mut self, number: u32, event: Event) -> Action {
        let Self { clients, groups, log, audit, desk, transit, .. } = self;
        let group = &groups[clients.group_of(number)];
        if let Some(audit) = audit {
            audit.event(number, clients.slot(number).doing(), desk.token_of(number), &event);
        }
        let action = clients.step(number, transit.now(), event, group, log.step());
        if let Some(audit) = audit {
            audit.step(number, desk.token_of(number), group, log.step(), &action);
        }
        log.stamp_step(transit.now(), number, group.id);
        action
    }

    /// Does what a client asks for; `Some`: it is done at once.
    fn perform(&mut self, number: u32, action: Action) -> Option<Event> {
        match action {
            Action::Sleep { until } => {
                let stop = self.clients.stop_event();
                if stop.is_none() {
                    self.clients.sleep(&mut self.transit.queue, number, until);
                }
                stop
            }
            Action::FetchToken { not_before, valid_until } => {
                self.clients.fetch(number);
                let fetch = self.desk.fetch(&mut self.transit, number, Need { not_before, valid_until });
                self.wait_or_tell(number, fetch)
            }
            // A scenario with steps is not simulated; one without has nothing to do here.
            Action::Prepare => Some(Event::Prepared),
            Action::Connect => {
                self.clients.connect(number);
                let group = &self.groups[self.clients.group_of(number)];
                let request = self.handshakes.begin(&mut self.transit, group, number, &mut self.log);
                self.clients.wait_for(number, request);
                None
            }
            Action::Hold { until, awaiting_ready, entering } => {
                self.hold(number, until, awaiting_ready, entering)
            }
            Action::Ping => {
                self.in_session(number).send(ToTarget::Ping);
                Some(Event::Sent)
            }
            Action::SendKeepAlive | Action::SendHeartbeat | Action::SendRefreshed | Action::SendMessage => {
                self.in_session(number).send_message();
                Some(Event::Sent)
            }
            Action::StartRefresh { not_before, valid_until } => {
                let old = self.desk.take_refresh_key(number);
                self.cancel(old);
                self.desk.begin_refresh(&mut self.transit, number, Need { not_before, valid_until });
                Some(Event::Sent)
            }
            Action::Leave(how) => self.in_session(number).leave(how),
            Action::Finish(_) => {
                self.finish(number);
                None
            }
        }
    }

    fn wait_or_tell(&mut self, number: u32, fetch: Fetch) -> Option<Event> {
        match fetch {
            Fetch::Told(event) => Some(event),
            Fetch::Waits(request) => {
                self.clients.wait_for(number, request);
                None
            }
        }
    }

    /// A client that is `entering` goes on while the run drains.
    fn hold(&mut self, number: u32, until: Moment, awaits_ready: bool, entering: bool) -> Option<Event> {
        let stop = self.clients.stop_event();
        if stop.is_some() && !(entering && stop == Some(Event::Stop)) {
            return stop;
        }
        self.clients.hold(number, until, awaits_ready);
        let refreshed = self.desk.take_refresh(&mut self.transit, number);
        if refreshed.is_none() {
            self.clients.rest(&mut self.transit.queue, number);
        }
        refreshed
    }

    fn tell(&mut self, number: u32, counter: Counter, count: u64) {
        let group = self.groups[self.clients.group_of(number)].id;
        self.log.tell(self.transit.now(), group, Sample::Count(counter, count));
    }

    /// A token request of client `number` has ended.
    fn tell_request_end(&mut self, key: Key, number: u32) {
        if let Some(end) = self.desk.end_of(&self.transit, key) {
            let group = self.groups[self.clients.group_of(number)].id;
            self.log.tell(self.transit.now(), group, Sample::Request(Box::new(end)));
        }
    }

    fn wake(&mut self, number: u32, at: Moment) {
        if let Some(signs) = self.clients.wake(&mut self.transit.queue, number, at) {
            self.deliver(number, Event::Due(signs));
        }
    }

    fn finish(&mut self, number: u32) {
        self.in_session(number).finish();
        let refresh = self.desk.close(number);
        if self.transit.requests.get(refresh).is_some() {
            self.cancel(refresh);
            self.tell(number, Counter::Unsettled, 1);
        }
    }

    // Sessions, as their clients have them.

    fn at_client(&mut self, number: u32, link: Key) -> AtClient<'_> {
        let Self { groups, clients, transit, service, log, .. } = self;
        let group = &groups[clients.group_of(number)];
        AtClient { number, link, group, transit, clients, service, log }
    }

    /// A client with the session that it has.
    fn in_session(&mut self, number: u32) -> AtClient<'_> {
        self.at_client(number, self.clients.slot(number).link())
    }

    /// A frame, or the connection's end, has come to a client.
    fn reaches_client(&mut self, link: Key, frame: ToClient) {
        let Some(number) = self.transit.network.reader(link) else { return };
        if let Some(event) = self.at_client(number, link).receive(frame) {
            self.deliver(number, event);
        }
    }

    /// A client acts on its session's end.
    fn end_is_known(&mut self, link: Key) {
        let Some(number) = self.transit.network.link(link).map(Link::client) else { return };
        if let Some(event) = self.at_client(number, link).wait_is_over() {
            self.deliver(number, event);
        }
    }

    // Requests, and what they come to.

    fn request_goes_on(&mut self, key: Key) {
        let Some(request) = self.transit.requests.get(key) else { return };
        let unheard = match request.stage() {
            Stage::Arriving => self.at_service(key, request).connection_opens(),
            Stage::Unread => self.at_service(key, request).is_read_late(),
            Stage::InService => self.at_service(key, request).was_worked_off(),
            Stage::HeldBack => self.at_service(key, request).decide(),
            Stage::Returning => return self.answer_is_here(key, request),
            Stage::Failing => return self.came_to_nothing(key, request),
            Stage::InPool | Stage::Shared | Stage::Queued | Stage::Here => None,
        };
        self.lost.count_unheard(unheard);
    }

    fn at_service(&mut self, key: Key, request: Request) -> AtService<'_> {
        let Self { groups, clients, transit, service, handshakes, desk, .. } = self;
        let group = &groups[clients.group_of(request.client())];
        AtService { key, request, group, transit, service, handshakes, desk }
    }

    /// A request has waited for a server until its client gave up.
    fn request_times_out(&mut self, key: Key) {
        let Some(request) = self.transit.requests.at_stage(key, Stage::Queued) else { return };
        self.transit.requests.wait_at(key, Stage::Failing);
        self.service.leave_queue(key, request.endpoint());
        self.came_to_nothing(key, request);
    }

    /// A server of `endpoint` is done, and takes the next.
    fn server_done(&mut self, endpoint: Endpoint) {
        let Transit { queue, requests, .. } = &mut self.transit;
        if let Some((key, done)) = self.service.server_done(queue, endpoint) {
            requests.go_on_at(queue, key, Stage::InService, done);
        }
    }

    fn answer_is_here(&mut self, key: Key, request: Request) {
        if request.endpoint() == Endpoint::Upgrade {
            return self.finish_handshake(key);
        }
        self.tell_request_end(key, request.client());
        if self.desk.asks_without_refresh(&mut self.transit, key, request.client()) {
            return self.tell(request.client(), Counter::RefreshTokensRefused, 1);
        }
        self.settle(key, request.client());
    }

    fn came_to_nothing(&mut self, key: Key, request: Request) {
        if request.endpoint() == Endpoint::Token {
            self.tell_request_end(key, request.client());
            return self.settle(key, request.client());
        }
        self.lost.count_request(self.handshakes.is_connected(key), self.service.has_seen(key));
        self.finish_handshake(key);
    }

    fn finish_handshake(&mut self, key: Key) {
        let Some((number, end)) = self.handshakes.finish(&mut self.transit, key) else { return };
        let (link, marks) = match end {
            HandshakeEnd::Open(link, marks) => (link, marks),
            HandshakeEnd::Failed(failure, marks) => {
                return self.deliver(number, Event::ConnectFailed { marks, failure });
            }
        };
        self.at_client(number, link).open();
        self.deliver(number, Event::Connected(marks));
    }

    /// A token request of client `number` has ended: others may go on, and so does the client.
    fn settle(&mut self, key: Key, number: u32) {
        let settled = self.desk.settle(&mut self.transit, key, number);
        self.tell_others(number, settled);
        let handed = self.desk.hand_over(&mut self.transit, key, number);
        self.give(handed);
    }

    /// Those who waited for what client `number` had, or asked for, go on.
    fn tell_others(&mut self, number: u32, settled: Settled) {
        if settled.hands_on {
            self.tell(number, Counter::TokenPoolWaits, 1);
        }
        for waiting in settled.waiting {
            let handed = self.desk.answer_waiting(&mut self.transit, waiting, settled.failure);
            self.give(handed);
        }
    }

    fn give(&mut self, handed: Option<HandedOver>) {
        match handed {
            Some(HandedOver::Told(number, event)) => self.deliver(number, event),
            Some(HandedOver::Waits(number, request)) => self.clients.wait_for(number, request),
            Some(HandedOver::Refreshed(number)) if self.clients.is_holding(number) => {
                if let Some(event) = self.desk.take_refresh(&mut self.transit, number) {
                    self.deliver(number, event);
                }
            }
            Some(HandedOver::Refreshed(_)) | None => {}
        }
    }

    /// Cuts a request off: its client has gone.
    fn cancel(&mut self, key: Key) {
        let Some(request) = self.transit.requests.get(key) else { return };
        self.service.leave_queue(key, request.endpoint());
        if request.endpoint() == Endpoint::Token {
            let (settled, unheard) = self.desk.cancel(&mut self.transit, key, request.client());
            self.lost.count_unheard(unheard);
            return self.tell_others(request.client(), settled);
        }
        // A client that is cut off counts no connection.
        self.lost.count_cut_off(self.service.has_seen(key));
        let unheard = self.handshakes.cancel(&mut self.transit, key);
        self.lost.count_unheard(unheard);
    }
}
