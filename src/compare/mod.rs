//! Comparing releases: two sets of runs become statistics, and one verdict.
//!
//! In: runs, condensed to [`Repeat`]s; or baselines that hold such. Out: for each group and measure the difference, its interval and a verdict;
//! overall improved, regressed, unchanged or inconclusive. Pure: no clock, and randomness only by a seed.
//!
//! # Method
//! A side's value is that of its repeats together: a percentile of their merged histograms, a share of summed counts. Percentiles are never averaged.
//! Differences of times and rates are taken on the logarithmic scale (so they are ratios), differences of shares as angles (told in points, in bounds that never lie beyond a
//! hundred), and of what may be none (outages and their cost) as they are.
//!
//! What varies is looked at on two levels. *From run to run* (whole runs drawn with replacement, histograms merged anew each time) and *within a run*
//! (blocks of consecutive seconds drawn with replacement, so that neighbouring seconds, which resemble each other, stay together: Carlstein 1986).
//! Repeats differ by both at once, so where each side has at least three, the variance over whole runs already holds what varies within them; drawing
//! blocks as well would count that twice (Davison and Hinkley 1997, §3.8). Where a side has fewer, it is taken to spread from run to run like the other side, but never less than
//! over its own blocks. Where neither has three, the spread from run to run is *assumed* (10 % unless told otherwise) and added to that over the blocks: a
//! single pair of runs can show only large differences, and says so.
//!
//! A share has no blocks: in which seconds attempts fail is the scenario's doing, and where all refusals follow one storm, most seconds have none. It varies at least as chance alone makes
//! so many ways in and back vary (binomial, on the scale of angles), and more where repeats say so.
//!
//! An outage happens once in a run, or does not: it has no blocks. Its numbers are of the runs that met it. How many outages a run has, and what they cost, is at
//! least as uncertain as chance events are (Poisson) where a side has fewer than three repeats.
//!
//! The difference over its standard error is judged by Student's t with Welch's degrees of freedom: the bootstrap's own percentile intervals are too short for
//! few repeats (it cannot see more than n−1 of n parts of the variance), which `benches/gate_error.rs` measures. The p-values of all measures that decide are adjusted
//! together (Holm 1979) to a chance of at most 2 % that any is called changed when nothing is, one for worse and one for better. A change must besides be as large as the least effect, relative *and*
//! absolute. *Unchanged* needs the whole interval within the least effect; what is neither is inconclusive, with the number of repeats that would decide it.
//!
//! # Sources
//! Efron and Tibshirani 1993, An Introduction to the Bootstrap, §5.3, §6.4; Davison and Hinkley 1997, Bootstrap Methods and their Application, §3.8; Carlstein 1986,
//! Ann. Statist. 14, 1171; Fisher and Hall 1991, J. Stat. Comput. Simul. 38, 1; Welch 1947, Biometrika 34, 28; Holm 1979, Scand. J. Statist. 6, 65; Tarone 1990,
//! Biometrics 46, 515; Anscombe 1948, Biometrika 35, 246; Newcombe 1998, Stat. Med. 17, 873; Zou and Donner 2008, Stat. Med. 27, 1693.

mod baseline;
mod baseline_form;
mod baseline_old;
mod buckets;
mod comparable;
mod comparison;
mod data;
mod estimate;
mod exchanges;
mod judge;
mod junit;
mod markdown;
mod measure;
mod not_judged;
mod outage_notes;
mod outages;
#[cfg(test)]
mod outages_tests;
mod packed_buckets;
mod page;
mod prediction;
mod remedy;
mod repeat;
mod resample;
mod shares;
#[cfg(test)]
mod shares_tests;
mod side;
mod storm_notes;
mod storms;
#[cfg(test)]
mod storms_tests;
mod student;
#[doc(hidden)]
pub mod synthetic;
mod text;
mod trend;
mod trend_forms;
mod words;

pub use baseline::{BASELINE_ENDING, BASELINES, BaselineError, baseline_file, pack_baseline, read_baseline};
pub use buckets::{Buckets, FULL_PRECISION, Stack};
pub use comparable::{incomparable, invalid_runs};
pub use comparison::{Comparison, Row, Settings, WHOLE_RUN, compare};
pub use data::{COMPARISON_SCHEMA_VERSION, comparison_csv, comparison_json};
pub use estimate::{Basis, Difference, SideEstimate, difference, estimate_side};
pub use exchanges::{EXCHANGE_LATENCY, exchange_measures};
pub use judge::{Finding, Judged, holm, judge, overall};
pub use junit::{comparison_junit, refusal_junit};
pub use markdown::{comparison_markdown, refusal_markdown};
pub use measure::{
    Measure, MinEffect, MinEffectChoice, OfAllOutages, OfOutage, Quantity, RunNumber, ShareKind, Unit,
    apply_min_effects, compared_metrics, decide_by, measures, parse_min_effect,
};
pub use not_judged::{NotJudged, values_needed};
pub use outages::{GroupOutage, GroupOutages, MOST_OUTAGES, OutageBegin, RunOutages};
pub use page::{Compared, comparison_html, trend_html};
pub use prediction::{PredictionRow, check_prediction, prediction_markdown, prediction_text};
pub use remedy::{Remedy, remedy};
pub use repeat::{Block, Counts, Facts, GroupBlock, MOST_BLOCKS, Repeat, RunSet, Validity};
pub use shares::SharePair;
pub use side::Side;
pub use storms::{GroupStorms, RunStorms};
pub use student::{two_sided_p, two_sided_t};
pub use text::{Rows, comparison_text};
pub use trend::{Trend, TrendRow, order_releases, trend};
pub use trend_forms::{trend_csv, trend_json, trend_markdown, trend_text};
