//! Which point is the best.
//!
//! In: for each point what it looked at and how its run came out. Out: an order: those that hold, by the goal; then those that do not hold, by the goal;
//! then those that tell nothing.

use std::cmp::Ordering;

use crate::exit_code::ExitCode;
use crate::report::{RunModel, Status};

use super::grid::Grid;
use super::measure::{Condition, Goal};
use super::measured::Measured;

/// How a point stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its run is valid, and conditions and thresholds hold.
    Holds,
    /// Its run is valid; a condition or a threshold does not hold, or the goal lies beyond what was seen.
    Breaks,
    /// Its run is not valid, or has no sample of the goal.
    Unknown,
}

impl Standing {
    /// The word that files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Breaks => "breaks",
            Self::Unknown => "unknown",
        }
    }
}

/// A point of the grid and what became of it.
#[derive(Debug, Clone)]
pub struct Point {
    /// The index of a value for each key.
    pub at: Vec<usize>,
    /// The goal's value; `None` without samples.
    pub value: Option<Measured>,
    /// The value of each condition's measure.
    pub measured: Vec<Option<Measured>>,
    /// How its run came out.
    pub status: Status,
    /// How it stands.
    pub standing: Standing,
    /// Why it does not stand higher, a sentence each.
    pub reasons: Vec<String>,
    /// How many values the goal rests on and how many it needs, where these are too few to tell points apart.
    pub too_few: Option<(u64, u64)>,
}

/// A sweep's outcome.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed, the same for each point.
    pub seed: u64,
    /// Whether the points were simulated.
    pub is_simulated: bool,
    /// Clients of all groups, unless a key of the grid changes them.
    pub clients: u32,
    /// The keys and their values.
    pub grid: Grid,
    /// What is sought.
    pub goal: Goal,
    /// What must hold.
    pub conditions: Vec<Condition>,
    /// The points, the best first.
    pub points: Vec<Point>,
}

impl Point {
    /// What a point's run says of the goal and the conditions.
    #[must_use]
    pub fn of_run(at: Vec<usize>, run: &RunModel, goal: &Goal, conditions: &[Condition]) -> Self {
        let value = goal.measure.value(run);
        let measured: Vec<Option<Measured>> =
            conditions.iter().map(|condition| condition.measure.value(run)).collect();
        let status = run.verdict.status;
        let mut reasons = Vec::new();
        for (condition, measured) in conditions.iter().zip(&measured) {
            match measured {
                Some(value) if condition.holds(*value) => {}
                Some(value) => reasons.push(format!(
                    "{} does not hold: it is {}",
                    condition.source,
                    condition.measure.words(*value)
                )),
                None => reasons.push(format!("{} cannot be told: there is no sample", condition.source)),
            }
        }
        match value {
            None => {
                reasons.push(format!("{} cannot be told: there is no sample", goal.measure.name));
            }
            Some(Measured::Beyond(_)) => {
                reasons.push(format!("{} lies beyond what was seen: too few came back", goal.measure.name));
            }
            Some(Measured::Value(_)) => {}
        }
        reasons.extend(run.verdict.reasons.iter().cloned());
        let tells = matches!(status, Status::Pass | Status::ThresholdFailed)
            && value.is_some()
            && measured.iter().all(Option::is_some);
        let standing = match (tells, reasons.is_empty() && status == Status::Pass) {
            (false, _) => Standing::Unknown,
            (true, true) => Standing::Holds,
            (true, false) => Standing::Breaks,
        };
        let too_few = goal.measure.too_few(run);
        Self { at, value, measured, status, standing, reasons, too_few }
    }
}

impl Sweep {
    /// Orders the points, the best first; equal ones stay as the grid has them.
    #[must_use]
    pub fn ranked(mut self) -> Self {
        let is_highest = self.goal.is_highest;
        self.points
            .sort_by(|a, b| a.standing.cmp(&b.standing).then_with(|| better(a.value, b.value, is_highest)));
        self
    }

    /// The best point that holds.
    #[must_use]
    pub fn best(&self) -> Option<&Point> {
        self.points.first().filter(|point| point.standing == Standing::Holds)
    }

    /// The exit code: a pass where a point holds, a failed threshold where all break something, not valid where none tells anything.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.points.first().map(|point| point.standing) {
            Some(Standing::Holds) => ExitCode::Pass,
            Some(Standing::Breaks) => ExitCode::ThresholdFailed,
            Some(Standing::Unknown) | None => ExitCode::NotValid,
        }
    }

    /// The names of a table's columns: rank, keys, goal, conditions, standing.
    pub(super) fn headings(&self) -> Vec<String> {
        let keys = self.grid.axes.iter().map(|axis| axis.key.clone());
        let conditions = self.conditions.iter().map(|condition| condition.measure.name.clone());
        ["rank".to_owned()]
            .into_iter()
            .chain(keys)
            .chain([self.goal.measure.name.clone()])
            .chain(conditions)
            .chain(["standing".to_owned()])
            .collect()
    }

    /// The cells of a point for people, as the headings have them.
    pub(super) fn cells(&self, rank: usize, point: &Point) -> Vec<String> {
        let words = |measure: &super::measure::Measure, value: Option<Measured>| {
            value.map_or_else(|| "-".to_owned(), |value| measure.words(value))
        };
        let values = self.grid.axes.iter().zip(&point.at).map(|(axis, index)| axis.values[*index].clone());
        let conditions = self.conditions.iter().zip(&point.measured);
        let standing = match point.standing {
            Standing::Holds => point.standing.name().to_owned(),
            Standing::Breaks | Standing::Unknown => {
                format!("{}: {}", point.standing.name(), point.reasons.first().map_or("", String::as_str))
            }
        };
        [rank.to_string()]
            .into_iter()
            .chain(values)
            .chain([words(&self.goal.measure, point.value)])
            .chain(conditions.map(|(condition, value)| words(&condition.measure, *value)))
            .chain([standing])
            .collect()
    }
}

/// A time beyond what was seen is worse than any that was: which of two such is worse, nobody knows.
fn better(a: Option<Measured>, b: Option<Measured>, is_highest: bool) -> Ordering {
    let known = |measured: Option<Measured>| (measured.is_some(), measured.and_then(Measured::seen));
    match (known(a), known(b)) {
        ((_, Some(a)), (_, Some(b))) if is_highest => b.total_cmp(&a),
        ((_, Some(a)), (_, Some(b))) => a.total_cmp(&b),
        ((is_a, a), (is_b, b)) => (is_b, b.is_some()).cmp(&(is_a, a.is_some())),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{parse_axis, parse_condition, parse_goal};
    use super::*;

    /// A sweep over two keys whose points have these goals, measures and standings.
    pub(in super::super) fn sweep(goal: &str, points: &[(Option<f64>, f64, Standing)]) -> Sweep {
        let axes = ["groups.0.a=1s,5s,30s", "groups.0.b=none,full"].map(|text| parse_axis(text).unwrap());
        let grid = Grid::new(axes.to_vec()).unwrap();
        let points = grid.points().zip(points).map(|(at, (value, measured, standing))| Point {
            at,
            value: value.map(Measured::Value),
            measured: vec![Some(Measured::Value(*measured))],
            status: if *standing == Standing::Unknown { Status::NotValid } else { Status::Pass },
            standing: *standing,
            reasons: if *standing == Standing::Holds { vec![] } else { vec!["why | not".into()] },
            too_few: None,
        });
        Sweep {
            scenario: "deploy".into(),
            seed: 7,
            is_simulated: true,
            clients: 2_000,
            points: points.collect(),
            goal: parse_goal(goal).unwrap(),
            conditions: vec![parse_condition("token_requests.peak < 2000/s").unwrap()],
            grid,
        }
        .ranked()
    }

    pub(in super::super) const POINTS: [(Option<f64>, f64, Standing); 6] = [
        (Some(3e6), 900.0, Standing::Holds),
        (Some(1e6), 5_000.0, Standing::Breaks),
        (Some(2e6), 1_500.0, Standing::Holds),
        (None, 0.0, Standing::Unknown),
        (Some(2e6), 1_400.0, Standing::Holds),
        (Some(9e6), 100.0, Standing::Holds),
    ];

    fn values(sweep: &Sweep) -> Vec<Option<f64>> {
        sweep.points.iter().map(|point| point.value?.seen()).collect()
    }

    #[test]
    fn what_holds_comes_first_then_by_the_goal_and_equal_points_stay_in_the_grids_order() {
        let lowest = sweep("recovery.p99", &POINTS);
        assert_eq!(values(&lowest), [Some(2e6), Some(2e6), Some(3e6), Some(9e6), Some(1e6), None]);
        assert_eq!((lowest.points[0].at.clone(), lowest.points[1].at.clone()), (vec![1, 0], vec![2, 0]));
        let highest = sweep("highest recovery.p99", &POINTS);
        assert_eq!(values(&highest)[..2], [Some(9e6), Some(3e6)]);
        assert_eq!((lowest.exit_code().number(), lowest.best().is_some()), (0, true));
    }

    #[test]
    fn a_time_beyond_what_was_seen_is_worse_than_any_that_was_and_better_than_none() {
        let mut values =
            [None, Some(Measured::Beyond(5e6)), Some(Measured::Value(9e6)), Some(Measured::Beyond(1e6))];
        for is_highest in [false, true] {
            values.sort_by(|a, b| better(*a, *b, is_highest));
            let told: Vec<bool> =
                values.iter().map(|value| value.is_some_and(|value| value.seen().is_some())).collect();
            assert_eq!((told, values[3]), (vec![true, false, false, false], None));
        }
    }

    #[test]
    fn the_exit_code_says_whether_any_point_will_do() {
        for (standing, code) in [(Standing::Breaks, 99), (Standing::Unknown, 110)] {
            let sweep = sweep("recovery.p99", &[(Some(1.0), 1.0, standing)]);
            assert_eq!((sweep.exit_code().number(), sweep.best().is_none()), (code, true));
        }
    }
}
