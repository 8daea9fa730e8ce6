//! A run under way, as it is collected: what of the scenario goes with its numbers.
//!
//! In: a scenario, the live view. Out: [`LiveRun`].

use crate::record::{LiveView, TalkNames, Tally, add_asked_storms, planned_storms};
use crate::scenario::keys::{Group, Scenario};

use super::expected::Expected;

/// A run under way, as it is collected.
#[derive(Debug, Clone)]
pub struct LiveRun {
    pub(super) scenario: String,
    pub(super) seed: u64,
    pub(super) duration_s: f64,
    /// Up to when its numbers go.
    pub(super) elapsed_s: f64,
    pub(super) groups: Vec<(String, u32)>,
    /// The names of each group's steps.
    pub(super) steps: Vec<Vec<String>>,
    /// What each group's exchanges and streams are called.
    pub(super) talks: Vec<TalkNames>,
    /// What the clients of each group can come to.
    pub(super) expected: Vec<Expected>,
    pub(super) storms_at_s: Vec<f64>,
    /// How it stands.
    pub(super) view: LiveView,
    /// The totals of each group.
    totals: Vec<Tally>,
    /// Whether these are its last numbers.
    pub(super) is_final: bool,
}

impl LiveRun {
    /// The run of `scenario`, as it stands; before its first second is over, everything is there with 0.
    #[must_use]
    pub fn new(scenario: &Scenario, view: LiveView) -> Self {
        let groups = scenario.groups.len();
        let has_begun = !view.totals.is_empty();
        let totals = if has_begun { view.totals.to_vec() } else { vec![Tally::default(); groups] };
        Self {
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            duration_s: scenario.duration.as_secs_f64(),
            elapsed_s: if has_begun { view.second as f64 + 1.0 } else { 0.0 },
            groups: scenario.groups.iter().map(|group| (group.name.clone(), group.clients)).collect(),
            steps: scenario.groups.iter().map(Group::step_names).collect(),
            talks: scenario.groups.iter().map(TalkNames::of).collect(),
            expected: (0..groups).map(|index| Expected::of(scenario, index)).collect(),
            storms_at_s: storm_times(scenario, &view),
            view,
            totals,
            is_final: false,
        }
    }

    /// The same run with nothing more to come.
    #[must_use]
    pub fn into_final(self) -> Self {
        Self { is_final: true, ..self }
    }

    /// Whether nothing more is to come.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.is_final
    }

    /// Name, totals and prospects of each group.
    pub(super) fn tallies(&self) -> impl Iterator<Item = (&str, &Tally, &Expected)> {
        let names = self.groups.iter().map(|(name, _)| name.as_str());
        names.zip(&self.totals).zip(&self.expected).map(|((name, tally), expected)| (name, tally, expected))
    }
}

/// When each storm is due, in seconds: the scenario's, and behind them those that were asked for.
fn storm_times(scenario: &Scenario, view: &LiveView) -> Vec<f64> {
    let mut storms = planned_storms(scenario);
    add_asked_storms(&mut storms, &view.marks);
    storms.iter().map(|storm| storm.at_s).collect()
}
