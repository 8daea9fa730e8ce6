//! What comparisons know of a run's outages and of its availability.
//!
//! In: a run as reports see it. Out: for each group, and for all together where there are several, the client-seconds wanted and in, how many outages there
//! were and what they cost; of the first [`MOST_OUTAGES`] each by its order in the run, as the report numbers them. A baseline holds such.

use serde::{Deserialize, Serialize};

use crate::record::outages::OutageIn;
use crate::report::{RunModel, outage_name};

use super::buckets::{Buckets, FULL_PRECISION};

/// So many outages of a run are looked at one by one.
pub const MOST_OUTAGES: usize = 8;
/// Letters of an outage's name that are kept.
const MOST_LETTERS: usize = 80;

/// The outages of a run, and its availability. `B` is how times are held: as [`Buckets`], or packed in a file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunOutages<B = Buckets> {
    /// When each began, and its name, in order.
    pub begins: Vec<OutageBegin>,
    /// Each group, in the scenario's order; then all together, where there are several.
    pub groups: Vec<GroupOutages<B>>,
}

/// Where in a run an outage began.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutageBegin {
    /// The name of the mark that it follows; empty where there is none.
    pub name: String,
    /// When the first client was lost, in microseconds since the run's start.
    pub at_us: u64,
}

/// The outages of a group, and its availability.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GroupOutages<B = Buckets> {
    /// Client-seconds that clients were wanted in.
    pub wanted_s: f64,
    /// Client-seconds that they were in.
    pub in_s: f64,
    /// In how many outages it lost clients, however many there were.
    pub number: u64,
    /// Client-seconds that all of them cost.
    pub cost_s: f64,
    /// The outages one by one, by their order in the run; `None` where this group lost nobody.
    pub each: Vec<Option<GroupOutage<B>>>,
}

/// What an outage came to in a group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GroupOutage<B = Buckets> {
    /// How many were lost.
    pub lost: u64,
    /// What it cost, in client-seconds.
    pub cost_s: f64,
    /// Who was back, by the time since the first loss.
    pub back: B,
    /// Who was still away when the run ended, by the same.
    pub away: B,
    /// How many gave up.
    pub gave_up: u64,
}

impl RunOutages {
    /// Those of a run; `None` where nothing of it was recorded, as in runs of before.
    #[must_use]
    pub fn of(model: &RunModel) -> Option<Self> {
        model.availability.last()?.all.share()?;
        let begins = model.outages.iter().enumerate().take(MOST_OUTAGES).map(|(index, outage)| {
            OutageBegin::new(outage_name(model, index).unwrap_or_default(), outage.all.first_us)
        });
        let groups = model.totals.len();
        let all = (groups > 1).then_some(None);
        let columns = (0..groups).map(Some).chain(all);
        Some(Self { begins: begins.collect(), groups: columns.map(|group| of_group(model, group)).collect() })
    }

    /// How many there were.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.groups.last().map_or(0, |all| all.number)
    }

    /// The same with fewer binary digits.
    #[must_use]
    pub fn coarsened(&self, precision: u8) -> Self {
        self.clone().map(&|buckets| Some(buckets.coarsened(precision))).unwrap_or_default()
    }

    /// Everything that was counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = u64> + '_ {
        self.groups.iter().flat_map(|group| {
            let each = group.each.iter().flatten().flat_map(|outage| {
                let cells = outage.back.cells().iter().chain(outage.away.cells());
                cells.map(|(_, count)| *count).chain([outage.lost, outage.gave_up])
            });
            each.chain([group.number])
        })
    }

    /// Whether a run of so many groups can have had them: what a file says is not trusted.
    pub(super) fn can_be(&self, groups: usize) -> bool {
        let columns = groups + usize::from(groups > 1);
        let is_time = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
        self.groups.len() == columns
            && self.begins.len() <= MOST_OUTAGES
            && self.groups.iter().all(|group| {
                group.each.len() <= MOST_OUTAGES
                    && [group.wanted_s, group.in_s, group.cost_s].into_iter().all(is_time)
                    && group.in_s <= group.wanted_s
                    && group.each.iter().flatten().all(|outage| is_time(outage.cost_s))
            })
    }
}

impl<B> RunOutages<B> {
    /// The same with times held otherwise; `None` where one cannot be.
    pub(super) fn map<C>(self, hold: &impl Fn(B) -> Option<C>) -> Option<RunOutages<C>> {
        let outage = |own: GroupOutage<B>| {
            let GroupOutage { lost, cost_s, back, away, gave_up } = own;
            Some(GroupOutage { lost, cost_s, back: hold(back)?, away: hold(away)?, gave_up })
        };
        let groups: Option<Vec<GroupOutages<C>>> = self
            .groups
            .into_iter()
            .map(|group| {
                let GroupOutages { wanted_s, in_s, number, cost_s, each } = group;
                let each: Option<Vec<_>> = each
                    .into_iter()
                    .map(|own| match own {
                        Some(own) => outage(own).map(Some),
                        None => Some(None),
                    })
                    .collect();
                Some(GroupOutages { wanted_s, in_s, number, cost_s, each: each? })
            })
            .collect();
        Some(RunOutages { begins: self.begins, groups: groups? })
    }
}

impl OutageBegin {
    /// A name is one line of a bounded length.
    fn new(name: &str, at_us: u64) -> Self {
        Self { name: name.chars().filter(|c| !c.is_control()).take(MOST_LETTERS).collect(), at_us }
    }

    /// The same as [`Self::new`] would have made it.
    pub(super) fn tidied(&self) -> Self {
        Self::new(&self.name, self.at_us)
    }
}

fn of_group(model: &RunModel, group: Option<usize>) -> GroupOutages {
    let availability = model.availability.get(group.unwrap_or(model.totals.len()));
    let presence = availability.map(|own| own.all).unwrap_or_default();
    let own = || model.outages.iter().map(|outage| outage.of(group));
    GroupOutages {
        wanted_s: presence.wanted_ns as f64 / 1e9,
        in_s: presence.in_ns as f64 / 1e9,
        number: own().flatten().count() as u64,
        cost_s: own().flatten().map(|outage| u128::from(outage.cost_ns)).sum::<u128>() as f64 / 1e9,
        each: own().take(MOST_OUTAGES).map(|outage| outage.map(of_outage)).collect(),
    }
}

fn of_outage(outage: &OutageIn) -> GroupOutage {
    let buckets = |times: &[(u64, u64)]| Buckets::new(times.iter().copied()).coarsened(FULL_PRECISION);
    GroupOutage {
        lost: outage.lost,
        cost_s: outage.cost_s(),
        back: buckets(&outage.back),
        away: buckets(&outage.away),
        gave_up: outage.gave_up,
    }
}
