//! What clients say by their group's conversation, and the news of it.
//!
//! In: sessions, the clock. Out: each client's [`Talker`], its next moment in the queue, its news once a second. Who has no conversation takes no room.

use std::collections::HashMap;

use crate::clock::Moment;
use crate::conversation::{TalkRules, Talker};
use crate::sample::{Sample, Talk};

use super::queue::{EventQueue, Kind};

/// A client's part in its conversations.
#[derive(Debug)]
struct Talking {
    talker: Talker,
    /// The moment for which it stands in the queue.
    armed: Moment,
    /// It may have news.
    is_listed: bool,
}

/// All who talk.
#[derive(Debug, Default)]
pub(super) struct Talkers {
    of: HashMap<u32, Talking>,
    /// Those who may have news, in the order in which it came.
    listed: Vec<u32>,
}

impl Talkers {
    /// Client `number` of a run with this seed has a session.
    pub(super) fn open(&mut self, rules: &TalkRules, seed: u64, number: u32) {
        let new =
            || Talking { talker: Talker::new(rules, seed, number), armed: Moment::NEVER, is_listed: false };
        self.of.entry(number).or_insert_with(new);
    }

    /// A client's part, in which something happens.
    pub(super) fn get(&mut self, number: u32) -> Option<&mut Talker> {
        let talking = self.of.get_mut(&number)?;
        if !std::mem::replace(&mut talking.is_listed, true) {
            self.listed.push(number);
        }
        Some(&mut talking.talker)
    }

    /// Sees to it that the client's next moment stands in the queue.
    pub(super) fn arm(&mut self, queue: &mut EventQueue, number: u32) {
        let Some(talking) = self.of.get_mut(&number) else { return };
        let next = talking.talker.next_due();
        if next < talking.armed {
            talking.armed = next;
            queue.put(next, Kind::Say, number);
        }
    }

    /// A client's moment has come; `false`: it stood there for another one.
    pub(super) fn is_due(&mut self, number: u32, at: Moment) -> bool {
        let Some(talking) = self.of.get_mut(&number).filter(|talking| talking.armed == at) else {
            return false;
        };
        talking.armed = Moment::NEVER;
        true
    }

    /// Tells the news of all, client by client.
    pub(super) fn tell_news(&mut self, mut tell: impl FnMut(u32, Box<Talk>)) {
        for number in self.listed.drain(..) {
            let Some(talking) = self.of.get_mut(&number) else { continue };
            talking.is_listed = false;
            if let Some(news) = talking.talker.report() {
                tell(number, news);
            }
        }
    }

    /// A step of a client has told these.
    pub(super) fn take_step(&mut self, number: u32, samples: &[Sample]) {
        if let Some(talking) = self.of.get_mut(&number) {
            talking.talker.take_step(samples);
        }
    }

    /// A client is done at `at`: its news, where it has some.
    pub(super) fn close(&mut self, number: u32, at: Moment, has_given_up: bool) -> Option<Box<Talk>> {
        let mut talker = self.of.remove(&number)?.talker;
        talker.finish(at, has_given_up);
        talker.report()
    }
}
