//! The blind curve: which share of those who were cut off knew nothing new yet, by the time since, stream by stream and storm by storm.
//!
//! In: a run. Out: rows with their curves. Each key that a client follows counts by itself; who gave up, and those to whom nothing new had come when the run
//! ended, count as in the recovery curve.

use crate::record::BlindTally;
use crate::sample::StormId;

use super::model::RunModel;
use super::recovery::RecoveryCurve;
use super::talk::streams;

/// What became of the clients of a stream after a storm, or after disconnects that no storm forced.
#[derive(Debug, Clone)]
pub(super) struct BlindRow<'m> {
    /// The group, and the stream's place and name in it.
    pub(super) group: &'m str,
    pub(super) index: usize,
    pub(super) stream: String,
    pub(super) own: BlindTally,
    /// *Back* is who heard something new.
    pub(super) curve: RecoveryCurve,
}

/// After this storm, or (`None`) after what no storm forced: the streams of which clients were cut off.
pub(super) fn after(model: &RunModel, storm: Option<usize>) -> Vec<BlindRow<'_>> {
    let mut rows = Vec::new();
    for (index, row) in streams(model).into_iter().enumerate() {
        let Some(own) = row.own.blind_after.get(&storm.map(StormId::of)) else { continue };
        let curve = RecoveryCurve {
            group: Some(row.place),
            storm,
            disconnects: own.cut_off(),
            back: own.seen.clone(),
            away: own.open.clone(),
        };
        rows.push(BlindRow { group: row.group, index, stream: row.name, own: own.clone(), curve });
    }
    rows
}

/// The storms of a run, and `None` for what none of them forced.
pub(super) fn storms(model: &RunModel) -> impl Iterator<Item = Option<usize>> {
    (0..model.manifest.storms.len()).map(Some).chain([None])
}
