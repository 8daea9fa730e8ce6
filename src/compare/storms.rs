//! What comparisons know of a run's storms, and of what its clients did to the token endpoint.
//!
//! In: a run as reports see it. Out: for each group, and for all together where there are several, the busiest second of the token endpoint, and how those came
//! back who were cut off by storms, as the report has both. A baseline holds such.

use serde::{Deserialize, Serialize};

use crate::record::Latencies;
use crate::report::RunModel;

use super::buckets::{Buckets, FULL_PRECISION};

/// The storms of a run. `B` is how times are held: as [`Buckets`], or packed in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunStorms<B = Buckets> {
    /// Each group, in the scenario's order; then all together, where there are several.
    pub groups: Vec<GroupStorms<B>>,
}

/// The storms of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupStorms<B = Buckets> {
    /// The most token requests in a second.
    pub token_requests_peak: u64,
    /// Who was back, by the time since its storm.
    pub back: B,
    /// Who was still away when the run ended, by the same.
    pub away: B,
    /// How many that a storm cut off came back never.
    pub gave_up: u64,
}

impl RunStorms {
    /// Those of a run.
    #[must_use]
    pub fn of(model: &RunModel) -> Self {
        let groups = model.totals.len();
        let all = (groups > 1).then_some(None);
        Self { groups: (0..groups).map(Some).chain(all).map(|group| of_group(model, group)).collect() }
    }

    /// The same with fewer binary digits.
    #[must_use]
    pub fn coarsened(&self, precision: u8) -> Self {
        self.clone().map(&|buckets| Some(buckets.coarsened(precision))).unwrap_or_default()
    }

    /// Everything that was counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = u64> + '_ {
        self.groups.iter().flat_map(|group| {
            let cells = group.back.cells().iter().chain(group.away.cells());
            cells.map(|(_, count)| *count).chain([group.token_requests_peak, group.gave_up])
        })
    }

    /// Whether a run of so many groups can have had them: what a file says is not trusted.
    pub(super) const fn can_be(&self, groups: usize) -> bool {
        self.groups.len() == groups + (groups > 1) as usize
    }
}

impl<B> RunStorms<B> {
    /// The same with times held otherwise; `None` where one cannot be.
    pub(super) fn map<C>(self, hold: &impl Fn(B) -> Option<C>) -> Option<RunStorms<C>> {
        let group = |own: GroupStorms<B>| {
            let GroupStorms { token_requests_peak, back, away, gave_up } = own;
            Some(GroupStorms { token_requests_peak, back: hold(back)?, away: hold(away)?, gave_up })
        };
        let groups: Option<Vec<GroupStorms<C>>> = self.groups.into_iter().map(group).collect();
        Some(RunStorms { groups: groups? })
    }
}

fn of_group(model: &RunModel, group: Option<usize>) -> GroupStorms {
    let (mut back, mut away) = (Latencies::new(), Latencies::new());
    let mut cut_off = 0;
    let curves = model.recovery_curves();
    for curve in curves.iter().filter(|curve| curve.group == group && curve.storm.is_some()) {
        back.merge(&curve.back);
        away.merge(&curve.away);
        cut_off += curve.disconnects;
    }
    GroupStorms {
        token_requests_peak: model.token_requests_peak(group),
        gave_up: cut_off.saturating_sub(back.count() + away.count()),
        back: buckets(&back),
        away: buckets(&away),
    }
}

fn buckets(latencies: &Latencies) -> Buckets {
    let mut before = 0;
    let counts = latencies.steps().map(|(us, up_to)| {
        let own = up_to - before;
        before = up_to;
        (us, own)
    });
    Buckets::new(counts).coarsened(FULL_PRECISION)
}
