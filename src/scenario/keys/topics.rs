//! `target.topics`: the embedded target's messages as several numbered streams, of which some numbers are lost, come twice or change places.
//!
//! In: the table. Out: [`TargetTopics`].

use crate::declare::{int, share, table};

table! {
    /// Messages of several topics: each has numbers of its own, `n` from 0, beside its name `topic`, which is `t1`, `t2`, … Which numbers are lost, repeated or
    /// moved depends on the seed, the topic and the number alone.
    #[derive(PartialEq, Copy)]
    default pub struct TargetTopics {
        /// How many topics there are. The messages are theirs in turn.
        count: u32 = 1 => int::<u32>(1..=1_000);
        /// The share of numbers that are never sent.
        drop: f64 = 0.0 => share();
        /// The share of numbers that are sent twice, one right after the other.
        repeat: f64 = 0.0 => share();
        /// The share of numbers that change places: 0 with 1, 2 with 3, and so on.
        reorder: f64 = 0.0 => share();
        /// What decides. Default: the run's seed, or that of `resurge serve`.
        seed: Option<u64> = None => int::<u64>(0..=u64::MAX / 2);
    }
}
