//! Clients that come and go.
//!
//! In: `arrivals`, in place of `clients`. Out: [`Arrivals`].

use std::time::Duration;

use crate::declare::{Table, above_zero, int, meaning, of, one_of, pace, pace_or_zero, table, words};

use super::delay::Delay;

/// The most clients that one scenario may have.
pub(crate) const MAX_CLIENTS: u64 = 10_000_000;

/// At which rate clients come, and how long each stays.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrivals {
    /// The rate, part by part; behind the last part nobody comes.
    pub parts: Vec<RatePart>,
    /// How they are spread.
    pub process: Process,
    /// How long each stays, from when it comes; `None`: to the run's end.
    pub stay: Option<Delay>,
    /// Clients at once; whoever comes when so many are there is dropped. `None`: any number.
    pub at_most: Option<u32>,
    /// What comes of it in the run.
    pub counted: Counted,
}

/// What comes of a schedule of arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Clients that come and are let in.
    pub clients: u32,
    /// The most that are there at once.
    pub at_once: u32,
    /// Those that are dropped because too many are there.
    pub dropped: u32,
}

/// A part of the time in which the rate goes evenly from one to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatePart {
    /// Arrivals a second at its beginning.
    pub from: f64,
    /// At its end.
    pub to: f64,
    /// How long it takes; `None`: it has no end.
    pub over: Option<Duration>,
}

words! {
    /// How arrivals are spread.
    pub enum Process {
        /// As those of many who know nothing of each other: the times between them are exponential (a Poisson process).
        Poisson = "poisson",
        /// One after the other, at equal distances.
        Constant = "constant",
    }
}

table! {
    /// Clients that come and go, in place of a number of clients: each is a client of its own.
    pub struct ArrivalKeys {
        /// Arrivals at this rate, as long as the run lasts.
        rate: Option<f64> = None => pace("a rate is needed, as \"50/s\"");
        /// Arrivals at rates that change, one stage after the other; the first begins at none. Behind the last one nobody comes.
        stages: Option<Vec<ArrivalStage>> = None => of::<Vec<ArrivalStage>>();
        /// How they are spread.
        process: Process = Process::Poisson;
        /// How long each stays, from when it comes: a time, or a distribution. It leaves with 1000. Without it: to the run's end.
        stay: Option<Delay> = None => of::<Delay>();
        /// Clients at once: whoever comes when so many are there is dropped, and counted. Without it: any number.
        at_most: Option<u32> = None => int::<u32>(1..=MAX_CLIENTS);
    }
    needs: [one_of(
        &[&["rate"], &["stages"]],
        "say how many come: arrivals = { rate = \"50/s\", stay = \"2m\" } or { stages = [{ to = \"200/s\", over = \"2m\" }, { hold = \"10m\" }] }"
    )];
}

table! {
    /// A stage of arrivals: the rate changes evenly, or stays.
    #[derive(Copy, PartialEq)]
    pub struct ArrivalStage {
        /// The rate at its end.
        to: Option<f64> = None => pace_or_zero("a rate is needed, as \"200/s\" or \"0/s\"");
        /// Evenly over this time.
        over: Option<Duration> = None => above_zero();
        /// How long the rate stays as it is.
        hold: Option<Duration> = None => above_zero();
    }
    needs: [one_of(&[&["to", "over"], &["hold"]], "a stage is { to = \"200/s\", over = \"2m\" } or { hold = \"10m\" }")];
}

meaning! { Arrivals: ArrivalKeys => |keys: ArrivalKeys, table: &Table<'_>| {
    let ArrivalKeys { rate, stages, process, stay, at_most } = keys;
    let mut parts: Vec<RatePart> = rate.map(|rate| RatePart { from: rate, to: rate, over: None }).into_iter().collect();
    let mut from = 0.0;
    for stage in stages.unwrap_or_default() {
        let to = stage.to.unwrap_or(from);
        parts.push(RatePart { from, to, over: stage.over.or(stage.hold) });
        from = to;
    }
    if parts.is_empty() {
        return None;
    }
    if parts.iter().all(|part| part.from == 0.0 && part.to == 0.0) {
        table.between(None, format!("`{}` has nobody come", table.path), "a stage that leads to a rate is needed: { to = \"50/s\", over = \"1m\" }");
        return None;
    }
    if stay == Some(Delay::None) {
        table.between(Some("stay"), "`stay` is 0 s: nobody would stay", "say how long each stays, as stay = \"2m\"");
    }
    Some(Arrivals { parts, process, stay, at_most, counted: Counted::default() })
} }
