//! What clients do before a handshake.
//!
//! In: a client's steps, their answers. Out: requests, and what it is told when all are made or one has failed.

use crate::drive::network::cookies::Jar;
use crate::drive::network::variables::Variables;
use crate::drive::virtual_time::network::Fate;
use crate::drive::virtual_time::request::Stage;
use crate::drive::virtual_time::slab::Key;
use crate::drive::virtual_time::steps::{Next, Stepped, not_sent};
use crate::lifecycle::Event;
use crate::sample::{RequestEnd, Sample};
use crate::scenario::keys::TimeStage;

use super::World;

impl World {
    /// A client fills its variables anew, and makes its requests; `Some`: it is done at once.
    pub(super) fn prepare(&mut self, number: u32) -> Option<Event> {
        let Self { groups, clients, desk, holdings, transit, start_unix_us, .. } = self;
        let group = &groups[clients.group_of(number)];
        let (Some(rules), Some(writing)) = (&group.rules.prepare, &group.writing) else {
            return Some(Event::Prepared);
        };
        let jar = holdings.get(number).and_then(Variables::jar).cloned();
        let jar = jar.or_else(|| rules.cookies.then(Jar::default));
        if rules.cookies {
            // It has them whatever comes of this.
            holdings.change(number, |held| {
                held.get_or_insert_with(|| Box::new(Variables::with_jar(jar.clone())));
            });
        }
        let unix_us = start_unix_us.saturating_add(transit.now().as_us());
        let token = desk.text_of(number);
        let client = writing.client(number, token.as_ref(), unix_us);
        let mut variables = Variables::with_jar(jar);
        for (name, template) in &rules.variables {
            let value = client.with(&variables).render(template);
            variables.set(name, value);
        }
        self.clients.fetch(number);
        self.step_on(number, 0, variables)
    }

    /// Step `index` begins, or all are made; `Some`: the client is told that at once.
    fn step_on(&mut self, number: u32, index: usize, variables: Variables) -> Option<Event> {
        let Self { groups, clients, desk, transit, steps, start_unix_us, .. } = self;
        let group = &groups[clients.group_of(number)];
        let (Some(rules), Some(writing)) = (&group.rules.prepare, &group.writing) else {
            return Some(Event::Prepared);
        };
        let Some(step) = rules.steps.get(index) else {
            self.holdings.change(number, |held| {
                let way = held.as_deref().and_then(Variables::way).cloned();
                *held = Some(Box::new(variables.with_way(way)));
            });
            return Some(Event::Prepared);
        };
        let now = transit.now();
        let unix_us = start_unix_us.saturating_add(now.as_us());
        let token = desk.text_of(number);
        let client = writing.client(number, token.as_ref(), unix_us);
        let key = transit.requests.begin_step(number, now + step.timeout);
        let begun = steps.begin(key, (step, index), (writing.base(), client), variables, now);
        if let Err(stepped) = begun {
            transit.requests.remove(key);
            let failure = stepped.failure?;
            self.tell_step_end(number, not_sent(index));
            return Some(Event::PrepareFailed(failure));
        }
        self.clients.wait_for(number, key);
        self.send_step(key);
        None
    }

    /// A step's request leaves.
    fn send_step(&mut self, key: Key) {
        let transit = &mut self.transit;
        let trip = transit.network.round_trip(transit.queue.now(), TimeStage::Step);
        transit.requests.set_back(key, trip.back);
        match trip.fate {
            Fate::Arrives(at) => transit.requests.go_on_at(&mut transit.queue, key, Stage::Arriving, at),
            Fate::Swallowed => transit.requests.hang(&mut transit.queue, key),
            Fate::Reset(at) => {
                if transit.requests.get(key).is_some_and(|request| at < request.deadline()) {
                    self.steps.break_off(key);
                }
                transit.requests.fail_at(&mut transit.queue, key, at);
            }
        }
    }

    /// The answer to a step's request has come, or none came in time.
    pub(super) fn step_answered(&mut self, key: Key, number: u32) {
        let group = self.clients.group_of(number);
        let now = self.transit.now();
        let at = (now, self.start_unix_us.saturating_add(now.as_us()));
        let rules = self.groups[group].rules.prepare.as_deref();
        let Some(next) = rules.and_then(|rules| self.steps.take(key, (group, rules), at)) else { return };
        let (end, stepped) = match next {
            Next::Request => return self.send_step(key),
            Next::Ended(end, stepped) => (end, stepped),
        };
        self.transit.requests.remove(key);
        self.tell_step_end(number, end);
        let Stepped { index, variables, failure } = *stepped;
        let event = match failure {
            Some(failure) => Some(Event::PrepareFailed(failure)),
            None => self.step_on(number, index + 1, variables),
        };
        if let Some(event) = event {
            self.deliver(number, event);
        }
    }

    fn tell_step_end(&mut self, number: u32, end: RequestEnd) {
        let group = self.groups[self.clients.group_of(number)].id;
        self.log.tell(self.transit.now(), group, Sample::Request(Box::new(end)));
    }
}
