//! Who comes when, and leaves when.
//!
//! In: the rules of arrivals, the run's seed, the group's index. Out: an iterator over the arrivals in order, the same however many shards a run has: each shard goes over the
//! whole of it and takes its own. Its memory is that of those who are there, where there may be only so many, and nothing otherwise.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::clock::Moment;
use crate::random::{Purpose, Random, Stream};
use crate::scenario::keys::arrivals::MAX_CLIENTS;
use crate::scenario::keys::{Arrivals, Counted, Delay, Process, RatePart, Scenario};

/// Somebody who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its place among the clients of the group, from 0; `None`: there were too many, and it was dropped.
    pub client: Option<u32>,
    /// When it comes.
    pub at: Moment,
    /// When it leaves; `NEVER`: it stays.
    pub leaves: Moment,
}

/// The arrivals of group `index` up to the moment `end`, in order.
///
/// A Poisson process with a rate that changes is one of rate 1 on a clock that runs as fast as the rate is high (Çinlar, *Introduction to Stochastic Processes*,
/// 1975, §4.7), and so are arrivals at equal distances.
#[must_use]
pub fn arrivals(rules: &Arrivals, seed: u64, index: u32, end: Moment) -> Schedule {
    Schedule {
        parts: rules.parts.clone(),
        begins: Moment::ZERO,
        passed: 0.0,
        due: 0.0,
        gaps: (rules.process == Process::Poisson).then(|| Stream::new(seed, Purpose::Arrivals, index)),
        stays: rules.stay.map(|stay| (stay, Stream::new(seed, Purpose::Stays, index))),
        at_most: rules.at_most.map(|most| (most as usize, BinaryHeap::new())),
        clients: 0,
        end,
        is_begun: false,
    }
}

/// The arrivals of a scenario's group `index` in its run; none, where it has a number of clients.
#[must_use]
pub fn arrivals_of(scenario: &Scenario, index: usize) -> Option<Schedule> {
    let rules = scenario.groups.get(index)?.arrivals.as_ref()?;
    let number = u32::try_from(index).unwrap_or(u32::MAX);
    Some(arrivals(rules, scenario.seed, number, Moment::ZERO + scenario.duration))
}

/// Takes into a scenario how many clients its arrivals bring.
pub(crate) fn count_arrivals(scenario: &mut Scenario) {
    for index in 0..scenario.groups.len() {
        let Some(schedule) = arrivals_of(scenario, index) else { continue };
        let expected =
            scenario.groups[index].arrivals.as_ref().map_or(0.0, |rules| expected(rules, scenario.duration));
        let counted = if expected > MAX_CLIENTS as f64 { too_many(expected) } else { count(schedule) };
        let group = &mut scenario.groups[index];
        group.clients = counted.clients;
        if let Some(arrivals) = &mut group.arrivals {
            arrivals.counted = counted;
        }
    }
}

/// How many are to be expected in a run.
fn expected(rules: &Arrivals, duration: Duration) -> f64 {
    let (mut left, mut sum) = (duration.as_secs_f64(), 0.0);
    for part in &rules.parts {
        let seconds = part.over.map_or(left, |over| over.as_secs_f64().min(left));
        sum += part.expected_within(seconds);
        left -= seconds;
    }
    sum
}

/// What comes of more than a scenario may have: nobody counts them one by one.
fn too_many(expected: f64) -> Counted {
    let clients = expected.min(f64::from(u32::MAX)) as u32;
    Counted { clients, at_once: clients, dropped: 0 }
}

/// What comes of a schedule; of more than the most that a scenario may have, one more.
fn count(schedule: Schedule) -> Counted {
    let mut counted = Counted::default();
    let mut there = BinaryHeap::new();
    for Arrival { client, at, leaves } in schedule.take(MAX_CLIENTS as usize + 1) {
        if client.is_none() {
            counted.dropped += 1;
            continue;
        }
        counted.clients += 1;
        while there.peek().is_some_and(|Reverse(left)| *left <= at) {
            there.pop();
        }
        there.push(Reverse(leaves));
        counted.at_once = counted.at_once.max(u32::try_from(there.len()).unwrap_or(u32::MAX));
    }
    counted
}

/// See [`arrivals`].
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The part under way, and those behind it.
    parts: Vec<RatePart>,
    /// When the part under way began.
    begins: Moment,
    /// Arrivals to be expected before it.
    passed: f64,
    /// Arrivals to be expected before the one that is next.
    due: f64,
    gaps: Option<Stream>,
    stays: Option<(Delay, Stream)>,
    /// How many may be there, and when those leave who are.
    at_most: Option<(usize, BinaryHeap<Reverse<Moment>>)>,
    clients: u32,
    end: Moment,
    is_begun: bool,
}

impl Schedule {
    /// When the rates have let `due` come.
    fn moment(&mut self) -> Option<Moment> {
        loop {
            let part = *self.parts.first()?;
            let expected = self.due - self.passed;
            let after = part.time_of(expected);
            let is_within =
                part.over.is_none_or(|over| after.is_some_and(|after| after < over.as_secs_f64()));
            if is_within {
                let after = Duration::try_from_secs_f64(after?).ok()?;
                return Some(self.begins + after);
            }
            let over = part.over?;
            self.passed += part.expected_within(over.as_secs_f64());
            self.begins = self.begins + over;
            self.parts.remove(0);
        }
    }
}

impl RatePart {
    fn slope(self) -> f64 {
        self.over.map_or(0.0, |over| (self.to - self.from) / over.as_secs_f64())
    }

    /// Arrivals to be expected in its first `seconds`.
    fn expected_within(self, seconds: f64) -> f64 {
        self.from * seconds + self.slope() * seconds * seconds / 2.0
    }

    /// After how many seconds so many are to be expected; `None`: they never are.
    fn time_of(self, expected: f64) -> Option<f64> {
        let (from, slope) = (self.from, self.slope());
        if from == 0.0 && slope == 0.0 {
            return None;
        }
        let square = from * from + 2.0 * slope * expected;
        if expected <= 0.0 || square < 0.0 {
            return (square >= 0.0).then_some(0.0);
        }
        // Without loss of digits, whichever way the rate goes.
        Some(2.0 * expected / (from + square.sqrt())).filter(|seconds| seconds.is_finite())
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        match &mut self.gaps {
            Some(draws) => self.due -= (1.0 - draws.next_unit()).ln(),
            None if self.is_begun => self.due += 1.0,
            None => self.is_begun = true,
        }
        let at = self.moment().filter(|at| *at < self.end)?;
        let leaves = self.stays.as_mut().map_or(Moment::NEVER, |(stay, draws)| at + stay.draw(draws));
        if let Some((most, there)) = &mut self.at_most {
            while there.peek().is_some_and(|Reverse(leaves)| *leaves <= at) {
                there.pop();
            }
            if there.len() >= *most {
                return Some(Arrival { client: None, at, leaves });
            }
            there.push(Reverse(leaves));
        }
        let client = Some(self.clients);
        self.clients = self.clients.checked_add(1)?;
        Some(Arrival { client, at, leaves })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Moment = Moment::from_ns(3_600_000_000_000);

    fn rules(parts: Vec<RatePart>, process: Process) -> Arrivals {
        Arrivals { parts, process, stay: None, at_most: None, counted: Counted::default() }
    }

    fn steady(rate: f64) -> Vec<RatePart> {
        vec![RatePart { from: rate, to: rate, over: None }]
    }

    fn part(from: f64, to: f64, seconds: u64) -> RatePart {
        RatePart { from, to, over: Some(Duration::from_secs(seconds)) }
    }

    fn seconds(rules: &Arrivals, seed: u64, end: Moment) -> Vec<f64> {
        arrivals(rules, seed, 0, end).map(|arrival| arrival.at.as_ns() as f64 / 1e9).collect()
    }

    /// The statistic of Kolmogorov and Smirnov of values that should be uniform in [0, 1).
    fn distance(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        let each = values.iter().enumerate();
        each.map(|(index, value)| (value - index as f64 / n).max((index as f64 + 1.0) / n - value))
            .fold(0.0, f64::max)
    }

    #[test]
    fn the_times_between_arrivals_are_exponential_and_their_moments_uniform() {
        // At a level of 5 %, about 5 of 100 seeds exceed this bound (Stephens 1974); with 16 or more the process would be another one (p < 0.0001).
        let exceeds = |values: Vec<f64>| {
            let n = values.len() as f64;
            distance(values) * (n.sqrt() + 0.12 + 0.11 / n.sqrt()) > 1.358
        };
        let (mut gaps_exceed, mut moments_exceed, mut ramps_exceed) = (0, 0, 0);
        for seed in 0..100 {
            let times = seconds(&rules(steady(0.5), Process::Poisson), seed, HOUR);
            let gaps = times.windows(2).map(|pair| 1.0 - (-(pair[1] - pair[0]) * 0.5).exp()).collect();
            gaps_exceed += u32::from(exceeds(gaps));
            moments_exceed += u32::from(exceeds(times.iter().map(|s| s / 3_600.0).collect()));
            // From none to 1/s in an hour: the moments' squares are uniform.
            let ramp = seconds(&rules(vec![part(0.0, 1.0, 3_600)], Process::Poisson), seed, HOUR);
            ramps_exceed += u32::from(exceeds(ramp.iter().map(|s| (s / 3_600.0).powi(2)).collect()));
        }
        assert!(
            gaps_exceed < 16 && moments_exceed < 16 && ramps_exceed < 16,
            "{gaps_exceed} {moments_exceed} {ramps_exceed}"
        );
        let counts: Vec<f64> = (0..400)
            .map(|seed| seconds(&rules(steady(0.05), Process::Poisson), seed, HOUR).len() as f64)
            .collect();
        let mean = counts.iter().sum::<f64>() / 400.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 399.0;
        assert!((mean - 180.0).abs() < 3.0 && (0.75..1.3).contains(&(variance / mean)), "{mean} {variance}");
    }

    #[test]
    fn stages_lead_up_hold_and_lead_down() {
        let stages = vec![part(0.0, 10.0, 10), part(10.0, 10.0, 5), part(10.0, 0.0, 10)];
        let times = seconds(&rules(stages, Process::Constant), 1, HOUR);
        assert_eq!(times.len(), 150, "50 + 50 + 50, the first of them at once");
        let within = |from: f64, to: f64| times.iter().filter(|s| (from..to).contains(s)).count();
        assert_eq!((within(0.0, 10.0), within(10.0, 15.0), within(15.0, 25.0)), (50, 50, 50));
        assert!((times[49] - 9.899).abs() < 0.01, "{}", times[49]);
        let equal = seconds(&rules(steady(4.0), Process::Constant), 1, Moment::from_ns(1_000_000_000));
        assert_eq!(equal, [0.0, 0.25, 0.5, 0.75]);
        let silent = seconds(&rules(vec![part(0.0, 0.0, 3), part(0.0, 2.0, 4)], Process::Constant), 1, HOUR);
        assert!(silent.len() == 4 && silent.iter().all(|s| (3.0..7.0).contains(s)), "{silent:?}");
    }

    #[test]
    fn whoever_comes_when_too_many_are_there_is_dropped() {
        let stay = Some(Delay::Constant(Duration::from_secs(10)));
        let some = Arrivals { stay, at_most: Some(3), ..rules(steady(1.0), Process::Constant) };
        let all: Vec<_> = arrivals(&some, 1, 0, Moment::from_ns(24_000_000_000)).collect();
        let clients: Vec<Option<u32>> = all.iter().map(|arrival| arrival.client).collect();
        assert_eq!(
            clients[..13],
            [vec![Some(0), Some(1), Some(2)], vec![None; 7], vec![Some(3), Some(4), Some(5)]].concat()
        );
        assert!(all.iter().all(|arrival| arrival.leaves.since(arrival.at) == Duration::from_secs(10)));
        let spread = Arrivals {
            stay: Some(Delay::Exponential { mean: Duration::from_secs(30) }),
            at_most: Some(1_000),
            ..rules(steady(20.0), Process::Poisson)
        };
        // Erlang's loss formula for 600 erlangs offered to 550 servers loses 9.6 %; to 1,000, nothing.
        let lost = |at_most| {
            let rules = Arrivals { at_most: Some(at_most), ..spread.clone() };
            let all: Vec<_> = arrivals(&rules, 3, 0, HOUR).collect();
            all.iter().filter(|arrival| arrival.client.is_none()).count() as f64 / all.len() as f64
        };
        assert_eq!(lost(1_000), 0.0);
        assert!((lost(550) - 0.096).abs() < 0.012, "{}", lost(550));
        let largest = arrivals(&spread, 3, 0, HOUR).filter_map(|arrival| arrival.client).max();
        let none_dropped = arrivals(&Arrivals { at_most: None, ..spread }, 3, 0, HOUR).count();
        assert_eq!(largest.map(|client| client as usize + 1), Some(none_dropped));
    }

    #[test]
    fn more_than_a_scenario_may_have_are_not_counted_one_by_one() {
        let text = |rate: &str, duration: &str| {
            format!(
                "duration = \"{duration}\"\n[target]\n[[groups]]\nname = \"g\"\narrivals = {{ rate = \"{rate}\", process = \"constant\" }}\ntoken = {{ grant = \"none\" }}\n"
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        let load = |text: String| {
            std::fs::write(&file, text).unwrap();
            crate::scenario::load(&file, &Vec::new(), None, &|_| None)
        };
        let message = load(text("1000000/s", "240h")).unwrap_err().to_string();
        assert!(message.contains("clients in all") && message.contains("at most 10,000,000"), "{message}");
        assert_eq!(load(text("50/s", "2s")).unwrap().scenario.clients(), 100);
        assert!(load(text("1/h", "1s")).unwrap().scenario.clients() == 1);
        let stays =
            |stay: &str| load(text("5/s", "10s").replace("process", &format!("stay = {stay}, process")));
        for stay in ["\"10s\"", "{ uniform = [\"11s\", \"12s\"] }"] {
            let message = stays(stay).unwrap_err().to_string();
            assert!(message.contains("would stay longer than the run lasts"), "{message}");
        }
        assert!(stays("{ exponential = \"1h\" }").is_ok(), "some leave sooner");
        assert!(load(text("0/s", "1s")).unwrap_err().to_string().contains("rate"));
        assert!(
            load(text("1000000000/s", "1s")).unwrap_err().to_string().contains("1,000,000/s is possible")
        );
    }
}
