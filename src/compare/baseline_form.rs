//! What a baseline's file holds of a run beside its facts and counts.
//!
//! In and out: the forms of the file, as they are written and read. Nothing is worked out here.

use serde::{Deserialize, Serialize};

use super::outages::RunOutages;
use super::storms::RunStorms;

/// From version 3 on: what is known of outages, their times packed. Before, there was nothing: no byte.
#[derive(Serialize, Deserialize)]
pub(super) struct FileOutages(pub(super) Option<RunOutages<Vec<u64>>>);

/// From version 5 on: the latencies of exchanges too, block by block and group by group, by name; and the storms.
#[derive(Serialize, Deserialize)]
pub(super) struct FileLater {
    outages: FileOutages,
    exchanges: NamedByBlock,
    storms: PackedStorms,
}

/// The latencies of a group's exchanges, packed.
pub(super) type NamedTimes = Vec<(String, Vec<u64>)>;

/// Block by block, and group by group.
pub(super) type NamedByBlock = Vec<Vec<NamedTimes>>;

/// The storms, their times packed; `None` where nothing is known of them.
pub(super) type PackedStorms = Option<RunStorms<Vec<u64>>>;

impl FileLater {
    pub(super) const fn new(outages: FileOutages, exchanges: NamedByBlock, storms: PackedStorms) -> Self {
        Self { outages, exchanges, storms }
    }

    /// Outages, exchanges, storms.
    pub(super) fn into_parts(self) -> (FileOutages, NamedByBlock, PackedStorms) {
        (self.outages, self.exchanges, self.storms)
    }
}
