//! What clients do, and what they are told.
//!
//! In: events for a client's machine, its actions. Out: requests, frames, what comes at once of an action.

use crate::clock::Moment;
use crate::drive::virtual_time::at_client::AtClient;
use crate::drive::virtual_time::frame::{ToClient, ToTarget};
use crate::drive::virtual_time::handshakes::Connecting;
use crate::drive::virtual_time::network::Link;
use crate::drive::virtual_time::slab::Key;
use crate::drive::virtual_time::token_answer::{Fetch, Need};
use crate::lifecycle::{Action, Event, Finish, Marks};
use crate::sample::{Counter, Sample};

use super::World;

impl World {
    /// Tells a client what happened, and does what it asks for until it waits for something.
    pub(in crate::drive::virtual_time) fn deliver(&mut self, number: u32, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            let action = self.step(number, event);
            next = self.perform(number, action);
        }
    }

    pub(super) fn step(&mut self, number: u32, event: Event) -> Action {
        let Self { clients, groups, log, audit, desk, transit, talkers, .. } = self;
        let group = &groups[clients.group_of(number)];
        if let Some(audit) = audit {
            audit.event(number, clients.slot(number).doing(), desk.token_of(number), &event);
        }
        let action = clients.step(number, transit.now(), event, group, log.step());
        if let Some(audit) = audit {
            audit.step(number, desk.token_of(number), group, log.step(), &action);
        }
        if group.rules.looks.talk().is_some() {
            talkers.take_step(number, log.step());
        }
        log.stamp_step(transit.now(), number, group.id);
        action
    }

    /// Does what a client asks for; `Some`: it is done at once.
    pub(super) fn perform(&mut self, number: u32, action: Action) -> Option<Event> {
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
            Action::Prepare => self.prepare(number),
            Action::Connect => {
                self.clients.connect(number);
                self.connect(number, None)
            }
            Action::Hold { until, awaiting_ready, entering } => {
                self.hold(number, until, awaiting_ready, entering)
            }
            Action::Ping => {
                self.in_session(number).send(ToTarget::Ping);
                Some(Event::Sent)
            }
            Action::Say(key) => {
                self.in_session(number).say(key);
                Some(Event::Sent)
            }
            Action::StartRefresh { not_before, valid_until } => {
                let old = self.desk.take_refresh_key(number);
                self.cancel(old);
                self.desk.begin_refresh(&mut self.transit, number, Need { not_before, valid_until });
                Some(Event::Sent)
            }
            Action::Keep { until } => Some(self.keep(number, until)),
            Action::ReleaseKept => {
                self.release_kept(number);
                Some(Event::Sent)
            }
            Action::GoOn => None,
            Action::Leave(_) if self.keeps_alone(number) => {
                self.leave_kept(number);
                None
            }
            Action::Leave(how) => self.in_session(number).leave(how),
            Action::Finish(why) => {
                self.finish(number, why);
                None
            }
        }
    }

    /// A client connects; `Some`: it comes to nothing at once.
    pub(super) fn connect(&mut self, number: u32, earlier: Option<Box<Marks>>) -> Option<Event> {
        let Self { groups, clients, transit, log, desk, handshakes, holdings, start_unix_us, .. } = self;
        let group = &groups[clients.group_of(number)];
        let now = transit.now();
        let written = group.writing.as_ref().map(|writing| {
            let token = desk.text_of(number);
            let at = (now, start_unix_us.saturating_add(now.as_us()));
            let request = |held: &mut _| writing.write((number, token.as_ref()), held, at);
            holdings.change(number, request).map(Box::new)
        });
        let written = match written.transpose() {
            Ok(written) => written,
            Err(failure) => {
                let marks = Marks { began: now, ended: now, ..Marks::default() };
                return Some(Event::ConnectFailed { marks, failure });
            }
        };
        let request = handshakes.begin(transit, Connecting { number, group, written, earlier }, log);
        clients.wait_for(number, request);
        None
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
        if !awaits_ready && self.groups[self.clients.group_of(number)].rules.looks.talk().is_some() {
            self.in_session(number).begin_talk();
        }
        let refreshed = self.desk.take_refresh(&mut self.transit, number);
        if refreshed.is_none() {
            self.clients.rest(&mut self.transit.queue, number);
        }
        refreshed
    }

    pub(super) fn tell(&mut self, number: u32, counter: Counter, count: u64) {
        let group = self.groups[self.clients.group_of(number)].id;
        self.log.tell(self.transit.now(), group, Sample::Count(counter, count));
    }

    pub(super) fn wake(&mut self, number: u32, at: Moment) {
        if let Some(signs) = self.clients.wake(&mut self.transit.queue, number, at) {
            self.deliver(number, Event::Due(signs));
        }
    }

    /// A client has something to say, or gives up a reply.
    pub(super) fn say(&mut self, number: u32, at: Moment) {
        if self.talkers.is_due(number, at) && self.clients.is_holding(number) {
            self.in_session(number).say_due();
        }
    }

    fn finish(&mut self, number: u32, why: Finish) {
        self.in_session(number).finish();
        self.kept.finish(&mut self.transit, number);
        if let Some(news) = self.talkers.close(number, self.transit.now(), why == Finish::GaveUp) {
            let group = self.groups[self.clients.group_of(number)].id;
            self.log.tell(self.transit.now(), group, Sample::Talk(news));
        }
        let refresh = self.desk.close(number);
        if self.transit.requests.get(refresh).is_some() {
            self.cancel(refresh);
            self.tell(number, Counter::Unsettled, 1);
        }
    }

    // Sessions, as their clients have them.

    pub(super) fn at_client(&mut self, number: u32, link: Key) -> AtClient<'_> {
        let Self {
            groups, clients, transit, service, log, holdings, talkers, kept, desk, start_unix_us, ..
        } = self;
        let (start_unix_us, kept) = (*start_unix_us, &*kept);
        let group = &groups[clients.group_of(number)];
        AtClient {
            number,
            link,
            group,
            transit,
            clients,
            service,
            log,
            holdings,
            talkers,
            kept,
            desk,
            start_unix_us,
        }
    }

    /// A client with the session that it has.
    fn in_session(&mut self, number: u32) -> AtClient<'_> {
        self.at_client(number, self.clients.slot(number).link())
    }

    /// A frame, or the connection's end, has come to a client.
    pub(super) fn reaches_client(&mut self, link: Key, frame: ToClient) {
        let Some(number) = self.transit.network.reader(link) else { return };
        if self.kept.is(number, link) {
            return self.reaches_kept(number, link, frame);
        }
        for (index, event) in self.at_client(number, link).receive(frame).into_iter().enumerate() {
            // One may end the session; what came with it is nothing to the next.
            if index > 0 && !(self.clients.is_holding(number) && self.clients.slot(number).link() == link) {
                return;
            }
            self.deliver(number, event);
        }
    }

    /// A client acts on its session's end.
    pub(super) fn end_is_known(&mut self, link: Key) {
        let Some(number) = self.transit.network.link(link).map(Link::client) else { return };
        if self.kept.is(number, link) {
            return self.wake_kept(number);
        }
        if let Some(event) = self.at_client(number, link).wait_is_over() {
            self.deliver(number, event);
        }
    }
}
