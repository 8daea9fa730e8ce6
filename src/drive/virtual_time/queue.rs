//! The queue of what is to happen, and what time it is.
//!
//! In: events with the moment at which they are due. Out: the same, the earliest first; of those due at one moment, the one that was put in
//! first. A heap with four children a node: half as deep as one with two, and the four lie side by side.

use crate::clock::Moment;

use super::slab::Key;

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The next clients of a group start.
    Start,
    /// A client's own moment has come.
    Wake,
    /// A client has something to say.
    Say,
    /// A request goes on to its next stage.
    Stage,
    /// A request that waits in a queue has waited long enough.
    Timeout,
    /// A server of an endpoint is done.
    ServerDone,
    /// A session's next moment at the target has come.
    SessionWake,
    /// A frame reaches a client.
    ToClient,
    /// A frame reaches the target.
    ToTarget,
    /// A client has come to know of its session's end.
    Known,
    /// A storm of the scenario strikes at the target.
    Storm,
    /// A storm of the target's own schedule strikes.
    TargetStorm,
    /// The target warns of one.
    TargetWarning,
    /// The target is probed.
    Probe,
    /// The run's time is over.
    End,
    /// The time to drain is over.
    CutOff,
}

const KINDS: [Kind; 16] = [
    Kind::Start,
    Kind::Wake,
    Kind::Say,
    Kind::Stage,
    Kind::Timeout,
    Kind::ServerDone,
    Kind::SessionWake,
    Kind::ToClient,
    Kind::ToTarget,
    Kind::Known,
    Kind::Storm,
    Kind::TargetStorm,
    Kind::TargetWarning,
    Kind::Probe,
    Kind::End,
    Kind::CutOff,
];
/// Bits of an entry's order that hold its kind.
const KIND_BITS: u32 = 8;

/// An event, whom it is about, and what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) at: Moment,
    pub(super) kind: Kind,
    /// Whom: a client, a request, a session, an endpoint, a storm.
    pub(super) index: u32,
    /// Which use of that index, where it is used again and again.
    pub(super) generation: u32,
    pub(super) extra: u64,
}

/// An entry as it lies in the heap: 32 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Moment,
    /// How many were put in before, and the kind.
    order: u64,
    extra: u64,
    index: u32,
    generation: u32,
}

impl Happening {
    /// Whom it is about, where that is a place that is used again and again.
    pub(super) const fn key(&self) -> Key {
        Key { index: self.index, generation: self.generation }
    }
}

impl Entry {
    const fn is_before(&self, other: &Self) -> bool {
        let (at, others) = (self.at.as_ns(), other.at.as_ns());
        at < others || (at == others && self.order < other.order)
    }

    const fn happening(&self) -> Happening {
        let Self { at, order, extra, index, generation } = *self;
        let kind = KINDS[(order & ((1 << KIND_BITS) - 1)) as usize];
        Happening { at, kind, index, generation, extra }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    now: Moment,
    heap: Vec<Entry>,
    put_in: u64,
}

/// Children of a node.
const CHILDREN: usize = 4;

impl EventQueue {
    /// What time it is.
    pub(super) const fn now(&self) -> Moment {
        self.now
    }

    /// It is `moment` now, if it was earlier: time does not go back.
    pub(super) fn advance_to(&mut self, moment: Moment) {
        self.now = self.now.max(moment);
    }

    /// Something happens at `at` to `index`, a name that is never used again.
    pub(super) fn put(&mut self, at: Moment, kind: Kind, index: u32) {
        self.push(Happening { at, kind, index, generation: 0, extra: 0 });
    }

    /// Something happens at `at` to what `key` names, with `extra` going with it.
    pub(super) fn put_for(&mut self, at: Moment, kind: Kind, key: Key, extra: u64) {
        let Key { index, generation } = key;
        self.push(Happening { at, kind, index, generation, extra });
    }

    /// Puts an event in. One that is due at [`Moment::NEVER`] is left out.
    fn push(&mut self, happening: Happening) {
        let Happening { at, kind, index, generation, extra } = happening;
        if at == Moment::NEVER {
            return;
        }
        let order = self.put_in << KIND_BITS | kind as u64;
        self.put_in += 1;
        self.heap.push(Entry { at, order, extra, index, generation });
        self.rise(self.heap.len() - 1);
    }

    /// When the next event is due.
    pub(super) fn next(&self) -> Option<Moment> {
        self.heap.first().map(|entry| entry.at)
    }

    /// Takes the next event.
    pub(super) fn pop(&mut self) -> Option<Happening> {
        let last = self.heap.pop()?;
        let Some(first) = self.heap.first_mut() else { return Some(last.happening()) };
        let taken = std::mem::replace(first, last);
        self.sink();
        Some(taken.happening())
    }

    /// What is in it, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Happening> + '_ {
        self.heap.iter().map(Entry::happening)
    }

    fn rise(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / CHILDREN;
            if !entry.is_before(&self.heap[parent]) {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = entry;
    }

    fn sink(&mut self) {
        let (mut at, entry, length) = (0, self.heap[0], self.heap.len());
        loop {
            let first = at * CHILDREN + 1;
            if first >= length {
                break;
            }
            let mut least = first;
            for child in first + 1..(first + CHILDREN).min(length) {
                if self.heap[child].is_before(&self.heap[least]) {
                    least = child;
                }
            }
            if !self.heap[least].is_before(&entry) {
                break;
            }
            self.heap[at] = self.heap[least];
            at = least;
        }
        self.heap[at] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(at: u64, index: u32) -> Happening {
        Happening {
            at: Moment::from_ns(at),
            kind: KINDS[index as usize % 13],
            index,
            generation: 7,
            extra: 9,
        }
    }

    #[test]
    fn never_is_left_out_and_kinds_come_back() {
        let mut queue = EventQueue::default();
        queue.push(Happening { at: Moment::NEVER, ..event(0, 1) });
        assert_eq!((queue.pop(), queue.next()), (None, None));
        for index in 0..13 {
            queue.push(event(1, index));
        }
        let taken: Vec<Happening> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(taken, (0..13).map(|index| event(1, index)).collect::<Vec<_>>());
    }

    proptest! {
        /// Whatever is put in and taken out in between: the earliest comes first, and of two at one moment the one put in first.
        #[test]
        fn it_is_in_order(steps in prop::collection::vec(prop::option::of(0_u64..50), 0..400)) {
            let mut queue = EventQueue::default();
            let mut expected: Vec<(u64, u32)> = Vec::new();
            for (index, step) in steps.into_iter().enumerate() {
                match step {
                    Some(at) => {
                        queue.push(event(at, index as u32));
                        expected.push((at, index as u32));
                    }
                    None => {
                        expected.sort_unstable();
                        let first = (!expected.is_empty()).then(|| expected.remove(0));
                        prop_assert_eq!(queue.next(), first.map(|(at, _)| Moment::from_ns(at)));
                        prop_assert_eq!(queue.pop(), first.map(|(at, index)| event(at, index)));
                    }
                }
            }
        }
    }
}
