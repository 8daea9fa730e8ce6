//! The parts of a run in virtual time, and which of them hears of what.
//!
//! In: the events of the queue, one after the other. Out: calls of the parts, and what one part answers handed to the next. What anything
//! means is decided in the parts; each alone writes what it keeps. What clients do is in `acting`, what they do before a handshake in `preparing`,
//! what their requests come to in `requests`.

mod acting;
mod preparing;
mod requests;
mod resuming;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::clock::Moment;
use crate::lifecycle::{Event, StopPhase};
use crate::plan::Share;
use crate::sample::{Counter, Sample};
use crate::scenario::keys::{Scenario, TargetRules};
use crate::service::capacity::Endpoint;
use crate::service::counters::TargetCounters;
use crate::service::minted::MintedReader;

use super::audit::{Audit, Everything};
use super::clients::{Clients, Doing};
use super::end::Lost;
use super::frame::{ToClient, ToTarget};
use super::group::Group;
use super::handshakes::Handshakes;
use super::holdings::Holdings;
use super::kept::KeptSessions;
use super::minted_book::MintedBook;
use super::network::Network;
use super::queue::{Happening, Kind};
use super::samples::SampleLog;
use super::service_side::{ServiceSide, endpoint_index};
use super::signing::StandIns;
use super::steps::Steps;
use super::taker::SampleTaker;
use super::talking::Talkers;
use super::time_model::TimeModel;
use super::token_desk::TokenDesk;
use super::transit::Transit;
use super::written::authority;

/// The parts of a run.
pub(super) struct World {
    transit: Transit,
    service: ServiceSide,
    groups: Arc<[Group]>,
    clients: Clients,
    handshakes: Handshakes,
    desk: TokenDesk,
    holdings: Holdings,
    /// What clients say and measure by their groups' conversations.
    talkers: Talkers,
    kept: KeptSessions,
    steps: Steps,
    log: SampleLog,
    lost: Lost,
    /// Calendar time of the moment zero, in microseconds since 1970.
    start_unix_us: u64,
    audit: Option<Box<Audit>>,
}

/// What a world is made of.
pub(super) struct Parts<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) share: Share,
    pub(super) rules: TargetRules,
    pub(super) times: TimeModel,
    pub(super) start_unix_us: u64,
    pub(super) certified_at_unix_us: u64,
    pub(super) audit: Option<Box<Audit>>,
}

impl World {
    /// The parts, before anything has happened.
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let Parts { scenario, share, mut rules, times, start_unix_us, certified_at_unix_us, audit } = parts;
        let certified_at = UnixTime::since_unix_epoch(Duration::from_micros(certified_at_unix_us));
        let keys = StandIns::of(scenario, &mut rules);
        let groups: Arc<[Group]> = (0..scenario.groups.len())
            .map(|index| Group::of((scenario, index), &rules, &keys, certified_at))
            .collect();
        let reader = MintedReader::of(&rules, start_unix_us);
        let keeps_lag = scenario.thresholds.iter().any(|threshold| threshold.source.starts_with("lag"));
        Self {
            transit: Transit::new(Network::new(times)),
            service: ServiceSide::new(rules, scenario.seed, (authority(&scenario.target), start_unix_us)),
            clients: Clients::new(scenario, share),
            handshakes: Handshakes::default(),
            desk: TokenDesk::new(scenario, Arc::clone(&groups), MintedBook::new(reader, start_unix_us)),
            holdings: Holdings::default(),
            talkers: Talkers::default(),
            kept: KeptSessions::default(),
            steps: Steps::new(groups.len()),
            log: SampleLog::new(groups.len(), keeps_lag),
            groups,
            lost: Lost::default(),
            start_unix_us,
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
        let now = self.transit.queue.now();
        self.log.flush_traffic(now);
        let Self { talkers, groups, clients, log, .. } = self;
        talkers.tell_news(|number, news| {
            log.tell(now, groups[clients.group_of(number)].id, Sample::Talk(news));
        });
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
            Kind::Say => self.say(happening.index, at),
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
            Kind::Start
            | Kind::Storm
            | Kind::TargetStorm
            | Kind::TargetWarning
            | Kind::Probe
            | Kind::End
            | Kind::CutOff => {}
        }
    }

    /// A storm strikes this share of the sessions.
    pub(super) fn storm(&mut self, code: u16, fraction: f64) {
        self.service.storm(&mut self.transit, code, fraction);
    }

    /// The target warns of a storm of its own schedule.
    pub(super) fn warn(&mut self, storm: usize) {
        self.service.warn(&mut self.transit, storm);
    }

    /// Such a storm strikes those who were warned.
    pub(super) fn strike_warned(&mut self, storm: usize) {
        self.service.strike_warned(&mut self.transit, storm);
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
}
