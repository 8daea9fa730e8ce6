//! What stands between who leads a run and those that run its shares.
//!
//! In: orders at one end, reports at the other. Out: the same, at the other end each. Neither knows whether the other is a process of this machine.

use std::collections::BTreeSet;

use crate::plan::Share;
use crate::record::PackedTally;

use super::protocol::{Order, Report};
use super::roll::Patience;

/// What was heard of a share.
#[derive(Debug)]
pub(in super::super) enum Heard {
    /// What it said.
    Report(Report),
    /// A second's numbers, of each group.
    Second(Vec<PackedTally>),
    /// Somebody else runs it from now on.
    #[cfg_attr(not(any(feature = "cluster", test)), expect(dead_code, reason = "a child is never replaced"))]
    Replaced,
    /// A sign of life.
    #[cfg_attr(
        not(any(feature = "cluster", test)),
        expect(dead_code, reason = "a child is heard by what it tells")
    )]
    Beat,
    /// Bytes of its journal are missing here, from this one on.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(dead_code, reason = "a child's journal is a file of this machine")
    )]
    Missing(u64),
    /// It is gone, in this way.
    Gone(String),
}

/// The way to all that run a share, and back.
pub(in super::super) trait Channel {
    /// Gives one an order, whether or not it still hears.
    async fn tell(&mut self, share: Share, order: &Order);

    /// Gives all an order.
    async fn tell_all(&mut self, order: &Order);

    /// What is heard next; `None` when all are gone and heard.
    async fn hear(&mut self) -> Option<(Share, Heard)>;

    /// How long one may say nothing.
    fn patience(&self) -> Patience;

    /// Whether nobody can be heard now, because of this end.
    fn is_deaf(&self) -> bool {
        false
    }

    /// So many are ready, and those are not.
    fn note_ready(&mut self, _ready: u32, _missing: &BTreeSet<u32>) {}

    /// Ends those that still run, at once.
    fn kill(&self);

    /// Ends those that still run, and waits until all are gone.
    async fn end(self);
}

/// Where who runs a share speaks.
pub(in super::super) trait Voice: Clone + Send + Sync + 'static {
    /// Whoever does not listen any more is told nothing.
    fn say(&self, report: &Report);
}

/// Where who runs a share hears.
pub(in super::super) trait Orders: Send + 'static {
    /// Waits for the next order; `None` where none will come.
    fn next(&mut self) -> Option<Order>;
}
