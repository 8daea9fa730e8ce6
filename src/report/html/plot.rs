//! A plot of a page: series over one axis, with marks.
//!
//! In: numbers. Out: a type that the page's script draws, and shows as a table too. A value that is not there is `None`, never 0. The numbers are
//! written short: five significant digits, two more than the histograms have.

use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use crate::record::Latencies;

use super::super::recovery::RecoveryCurve;

/// The largest share of the percentile axis: 99.9999 %.
const MOST_PERCENTILE_X: f64 = 1e6;
/// Points for each factor of ten of the percentile axis.
const POINTS_PER_DECADE: u32 = 24;
/// Points that all curves of a recovery plot share.
const RECOVERY_POINTS: usize = 1_200;

/// A plot.
#[derive(Debug, Clone, Serialize)]
pub struct Plot {
    /// Its anchor: letters, digits and dashes, unique in the page.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it shows and how to read it; may be empty.
    pub note: String,
    /// How it is drawn.
    pub kind: PlotKind,
    /// What its vertical axis shows.
    pub y_label: String,
    /// In which unit.
    pub unit: Unit,
    /// Whether that axis is logarithmic.
    pub log_y: bool,
    /// The least and the largest value of that axis; `None`: by the values. Plots to be compared have the same.
    pub y_range: Option<(f64, f64)>,
    /// The horizontal axis.
    pub x: Axis,
    /// What the places of that axis are called, where they are choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choices: Option<Choices>,
    /// The series, each with a value for each place of `x`.
    pub series: Vec<Series>,
    /// Lines across the plot.
    pub marks: Vec<Mark>,
}

/// How a plot is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlotKind {
    /// Lines over the run's time; `x` is in seconds. The time plots of a page share cursor and zoom.
    Time,
    /// Areas on each other over the run's time; `x` is in seconds. Cursor and zoom as [`Self::Time`].
    Stacked,
    /// Values by percentile on the logarithmic axis of HdrHistogram; `x` is `1 / (1 - quantile)`.
    Percentile,
    /// Steps over the time since a storm; `x` is in microseconds.
    Recovery,
    /// The same, but that the steps lead down.
    Blind,
    /// Values from release to release; `x` is a release's number, from 1.
    Releases,
    /// Values from choice to choice; `x` is a choice's index in [`Plot::choices`].
    Choices,
}

/// Choices of which a plot shows what becomes.
#[derive(Debug, Clone, Serialize)]
pub struct Choices {
    /// What is chosen.
    pub name: String,
    /// The choices.
    pub values: Vec<String>,
}

/// The unit of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds, shown as µs, ms, s or min.
    Us,
    /// A number.
    Count,
    /// A number in a second.
    PerSecond,
    /// A share 0..1, shown in per cent.
    Share,
    /// A number that need not be whole.
    Number,
    /// Bytes, shown as B, KiB, MiB.
    Bytes,
}

/// The places of a horizontal axis, ascending.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Axis {
    /// The same step between each.
    Even {
        /// The first.
        from: f64,
        /// The step.
        step: f64,
        /// How many.
        count: usize,
    },
    /// Wherever they are.
    At {
        /// The places.
        #[serde(serialize_with = "short_numbers")]
        at: Vec<Option<f64>>,
    },
}

/// A series.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Which colour of the palette; wraps around.
    pub colour: usize,
    /// How its line is drawn.
    pub line: Line,
    /// The values.
    #[serde(serialize_with = "short_numbers")]
    pub values: Vec<Option<f64>>,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Solid.
    Solid,
    /// Dashed.
    Dashed,
    /// Dotted.
    Dotted,
}

/// A line across a plot.
#[derive(Debug, Clone, Serialize)]
pub struct Mark {
    /// Whether it stands at a place of the horizontal axis, from top to bottom, or lies at a value.
    pub is_vertical: bool,
    /// Where, in the axis' unit.
    pub at: f64,
    /// What it is; may be empty.
    pub label: String,
}

impl Mark {
    /// A line from top to bottom.
    #[must_use]
    pub fn vertical(at: f64, label: &str) -> Self {
        Self { is_vertical: true, at, label: label.to_owned() }
    }

    /// A line from left to right.
    #[must_use]
    pub fn horizontal(at: f64, label: &str) -> Self {
        Self { is_vertical: false, at, label: label.to_owned() }
    }
}

impl Series {
    /// A solid line.
    #[must_use]
    pub fn new(name: &str, colour: usize, values: Vec<Option<f64>>) -> Self {
        Self { name: name.to_owned(), colour, line: Line::Solid, values }
    }

    /// The same, drawn otherwise.
    #[must_use]
    pub const fn drawn(mut self, line: Line) -> Self {
        self.line = line;
        self
    }
}

impl Plot {
    /// A plot without series.
    #[must_use]
    pub fn new(id: &str, title: &str, kind: PlotKind, x: Axis, y_label: &str, unit: Unit) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            note: String::new(),
            kind,
            y_label: y_label.to_owned(),
            unit,
            log_y: false,
            y_range: None,
            x,
            choices: None,
            series: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// The same with a note.
    #[must_use]
    pub fn noted(mut self, note: &str) -> Self {
        note.clone_into(&mut self.note);
        self
    }

    /// The same with marks.
    #[must_use]
    pub fn marked(mut self, marks: &[Mark]) -> Self {
        self.marks.extend_from_slice(marks);
        self
    }

    /// Whether no series has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.values.iter().all(Option::is_none))
    }

    /// What becomes of each of `choices`, without series.
    #[must_use]
    pub fn of_choices(id: &str, title: &str, choices: Choices, y_label: &str, unit: Unit) -> Self {
        let x = Axis::Even { from: 0.0, step: 1.0, count: choices.values.len() };
        Self { choices: Some(choices), ..Self::new(id, title, PlotKind::Choices, x, y_label, unit) }
    }

    /// Values by percentile, a line for each of `curves`, on HdrHistogram's logarithmic axis. Each value is the histogram's own at that
    /// percentile; a curve ends at the percentile that its number of values can tell (1 - 1/count). Curves without values are left out.
    #[must_use]
    pub fn percentiles(id: &str, title: &str, curves: &[(&str, &Latencies)]) -> Self {
        let most = curves.iter().map(|(_, latencies)| latencies.count()).max().unwrap_or(0) as f64;
        let steps = f64::from(POINTS_PER_DECADE);
        let last = (most.clamp(1.0, MOST_PERCENTILE_X).log10() * steps).floor() as u32;
        let xs: Vec<f64> = (0..=last).map(|point| 10_f64.powf(f64::from(point) / steps)).collect();
        let x = Axis::At { at: xs.iter().copied().map(Some).collect() };
        let mut plot = Self::new(id, title, PlotKind::Percentile, x, "latency", Unit::Us);
        plot.log_y = true;
        for (index, (name, latencies)) in curves.iter().enumerate().filter(|(_, curve)| curve.1.count() > 0) {
            let value = |x: &f64| {
                let told = *x <= latencies.count() as f64;
                told.then(|| latencies.percentile_us(100.0 * (1.0 - 1.0 / x)).max(1) as f64)
            };
            plot.series.push(Series::new(name, index, xs.iter().map(value).collect()));
        }
        plot
    }

    /// Which share was back by when, a step curve for each of `curves`, exact at every place of the axis. Where there are too many steps
    /// to draw, some places are left out, never one at which a curve reaches 50, 95 or 100 %. Curves of which nobody was cut off are left out.
    #[must_use]
    pub fn recovery(id: &str, title: &str, curves: &[(&str, &RecoveryCurve)]) -> Self {
        let numbered: Vec<(&str, usize, &RecoveryCurve)> =
            curves.iter().enumerate().map(|(index, (name, curve))| (*name, index, *curve)).collect();
        let mut plot = Self::steps(id, title, "share of clients back", &numbered);
        plot.marks = [(0.5, ""), (0.95, "95 %"), (1.0, "")]
            .map(|(share, label)| Mark::horizontal(share, label))
            .to_vec();
        plot
    }

    /// Which share was not back yet by when, likewise; each of `curves` with the number of its colour.
    #[must_use]
    pub fn blind(id: &str, title: &str, curves: &[(&str, usize, &RecoveryCurve)]) -> Self {
        let mut plot = Self::steps(id, title, "share still blind", curves);
        plot.kind = PlotKind::Blind;
        for share in plot.series.iter_mut().flat_map(|series| series.values.iter_mut().flatten()) {
            *share = 1.0 - *share;
        }
        plot.marks = [(0.5, ""), (0.05, "5 %")].map(|(share, label)| Mark::horizontal(share, label)).to_vec();
        plot
    }

    fn steps(id: &str, title: &str, label: &str, curves: &[(&str, usize, &RecoveryCurve)]) -> Self {
        let shown = || curves.iter().filter(|(.., curve)| curve.disconnects > 0);
        let each = RECOVERY_POINTS / shown().count().max(1);
        let mut xs: Vec<u64> = shown().flat_map(|(.., curve)| places(curve, each.max(20))).collect();
        xs.push(0);
        xs.sort_unstable();
        xs.dedup();
        let x = Axis::At { at: xs.iter().map(|us| Some(*us as f64)).collect() };
        let mut plot = Self::new(id, title, PlotKind::Recovery, x, label, Unit::Share);
        plot.y_range = Some((0.0, 1.0));
        for (name, index, curve) in shown() {
            plot.series.push(Series::new(name, *index, shares_at(curve, &xs)));
        }
        plot
    }
}

/// The times of at most `most` steps of a curve, and of those that matter.
fn places(curve: &RecoveryCurve, most: usize) -> Vec<u64> {
    let steps: Vec<u64> = curve.steps().iter().map(|step| step.time_us).collect();
    let every = steps.len().div_ceil(most).max(1);
    let mut kept: Vec<u64> = steps.iter().copied().step_by(every).collect();
    kept.extend([0.5, 0.95, 1.0].iter().filter_map(|share| curve.time_to_us(*share)?.seen_us()));
    kept.extend(steps.last());
    kept
}

/// The share that was back at each of `xs`, which ascend.
fn shares_at(curve: &RecoveryCurve, xs: &[u64]) -> Vec<Option<f64>> {
    let mut steps = curve.steps().into_iter().peekable();
    let mut share = 0.0;
    let share = |us: &u64| {
        while let Some(step) = steps.next_if(|step| step.time_us <= *us) {
            share = step.share;
        }
        Some(share)
    };
    xs.iter().map(share).collect()
}

/// Writes numbers as one short text: separated by commas, nothing where there is none, `2*7` for seven twos in a row.
fn short_numbers<S: Serializer>(values: &[Option<f64>], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::new();
    let mut rest = values;
    while let Some(first) = rest.first() {
        // A value that is no number equals nothing, itself included.
        let run = rest.iter().take_while(|value| *value == first).count().max(1);
        if !text.is_empty() || rest.len() < values.len() {
            text.push(',');
        }
        write_short(&mut text, *first);
        if run > 1 {
            // Writing to a String does not fail.
            let _ = write!(text, "*{run}");
        }
        rest = &rest[run..];
    }
    serializer.serialize_str(&text)
}

/// Five significant digits, without a point where none is needed.
fn write_short(text: &mut String, value: Option<f64>) {
    let Some(value) = value.filter(|value| value.is_finite()) else { return };
    if value == value.trunc() && value.abs() < 1e9 {
        let _ = write!(text, "{}", value as i64);
        return;
    }
    let digits = (4 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let long = format!("{value:.digits$}");
    let short = if digits > 0 { long.trim_end_matches('0').trim_end_matches('.') } else { &long };
    text.push_str(short);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        values.into_iter().for_each(|us| latencies.record_us(us));
        latencies
    }

    fn curve(disconnects: u64, back: Latencies) -> RecoveryCurve {
        RecoveryCurve { group: None, storm: Some(0), disconnects, back, away: Latencies::new() }
    }

    fn places_of(plot: &Plot) -> Vec<f64> {
        match &plot.x {
            Axis::At { at } => at.iter().flatten().copied().collect(),
            Axis::Even { .. } => panic!("{plot:?}"),
        }
    }

    #[test]
    fn numbers_are_written_short_and_read_back() {
        // (values, written)
        let rows: [(&[Option<f64>], &str); 7] = [
            (&[], ""),
            (&[None, None, Some(1.0)], "*2,1"),
            (&[Some(0.0), Some(0.0), Some(0.0), Some(12.5)], "0*3,12.5"),
            (&[Some(0.333_333_3), Some(1_234_567.0), Some(-2.0)], "0.33333,1234567,-2"),
            (&[Some(123_456.789), None], "123457,"),
            (&[Some(f64::NAN), Some(1e-7)], ",0.0000001"),
            (&[Some(99.999_99)], "100"),
        ];
        for (values, written) in rows {
            let series = Series::new("s", 0, values.to_vec());
            let json = serde_json::to_value(&series).unwrap();
            assert_eq!(json["values"], written, "{values:?}");
        }
    }

    #[test]
    fn a_percentile_curve_is_the_histograms_and_ends_where_its_values_do() {
        let (many, few) = (of(1..=1_000), of(1..=10));
        let plot =
            Plot::percentiles("p", "t", &[("many", &many), ("none", &Latencies::new()), ("few", &few)]);
        let xs = places_of(&plot);
        assert_eq!((xs[0], xs[xs.len() - 1].round()), (1.0, 1_000.0));
        let names: Vec<(&str, usize)> = plot.series.iter().map(|s| (s.name.as_str(), s.colour)).collect();
        assert_eq!(names, [("many", 0), ("few", 2)]);
        for (x, value) in xs.iter().zip(&plot.series[0].values) {
            assert_eq!(*value, Some(many.percentile_us(100.0 * (1.0 - 1.0 / x)).max(1) as f64), "{x}");
        }
        let told = plot.series[1].values.iter().flatten().count();
        assert!(xs[told - 1] <= 10.0 && xs[told] > 10.0, "{told}");
    }

    #[test]
    fn a_recovery_curve_keeps_what_matters_however_many_steps_it_has() {
        let slow = curve(20_000, of((0..20_000).map(|n| 1_000 * n)));
        let half = curve(4, of([10, 20]));
        let plot = Plot::recovery("r", "t", &[("slow", &slow), ("half", &half), ("none", &curve(0, of([])))]);
        let xs = places_of(&plot);
        assert!(xs.len() < 1_300, "{}", xs.len());
        assert_eq!(plot.series.len(), 2);
        for share in [0.5, 0.95, 1.0] {
            let at = slow.time_to_us(share).unwrap().least_us() as f64;
            let place = xs.iter().position(|x| *x == at).unwrap();
            assert!(plot.series[0].values[place].unwrap() >= share);
            assert!(plot.series[0].values[place - 1].unwrap() < share, "not a step earlier");
        }
        assert_eq!(
            *plot.series[1].values.last().unwrap(),
            Some(0.5),
            "those who never came back are missing"
        );
        assert_eq!(plot.series[1].values[0], Some(0.0));
    }

    #[test]
    fn a_blind_curve_falls_from_all_to_those_who_heard_nothing() {
        let (half, all) = (curve(4, of([10, 20])), curve(2, of([10, 10])));
        let plot =
            Plot::blind("b", "t", &[("half", 3, &half), ("all", 0, &all), ("none", 1, &curve(0, of([])))]);
        assert_eq!((plot.kind, plot.series[0].colour), (PlotKind::Blind, 3));
        assert_eq!(places_of(&plot), [0.0, 10.0, 20.0]);
        let values: Vec<_> = plot.series.iter().map(|series| series.values.clone()).collect();
        assert_eq!(values, [[1.0, 0.75, 0.5], [1.0, 0.0, 0.0]].map(|row| row.map(Some).to_vec()));
    }
}
