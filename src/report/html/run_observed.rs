//! The service's own numbers under the clients' curves.
//!
//! In: a run and its points. Out: a section: how many clients are connected, and below it a plot for each series over the same time; a table of least, mean and
//! most. Nothing for a run that asked for none.

use crate::record::{Observed, ObservedSeries};

use super::super::model::RunModel;
use super::super::observed::{faults, spreads_by_time, with_unit};
use super::buckets::Buckets;
use super::marks::time_marks;
use super::page::{Block, Section};
use super::plot::{Axis, Plot, PlotKind, Series, Unit};
use super::run_time::TimePlots;
use super::table::Table;
use super::tone::Tone;

/// Series that have plots.
const MOST_PLOTS: usize = 24;

pub(super) fn section(model: &RunModel, buckets: &Buckets) -> Option<Section> {
    if model.manifest.observed.is_empty() {
        return None;
    }
    let lead = "What the service, or who watches it, says of itself, asked for while the run went on: at the same times as the clients' curves, and marked as they are. \
                Where a point is more than a second, it is the mean.";
    let mut section = Section::new("observed", "The service's own numbers", lead);
    let time = TimePlots { model, buckets, marks: time_marks(model) };
    let mut plots = vec![connected(&time)];
    for (index, series) in model.manifest.observed.iter().enumerate().take(MOST_PLOTS) {
        plots.push(plot(&time, index, series));
    }
    section.plots_or(plots, "");
    if model.manifest.observed.len() > MOST_PLOTS {
        section.absent(&format!(
            "The first {MOST_PLOTS} series are plotted. The table and observed.csv have all."
        ));
    }
    let mut table = Table::new(
        "",
        &["<series", "<in", "least", "mean", "most", "seconds with a value", "<of", "<asked of"],
    );
    for (series, when, spread) in spreads_by_time(model) {
        let number =
            |of: Option<f64>| of.map_or_else(|| "–".to_owned(), |value| with_unit(value, &series.unit));
        table.row(vec![
            series.name.clone(),
            when,
            number(spread.map(|spread| spread.least)),
            number(spread.map(|spread| spread.mean)),
            number(spread.map(|spread| spread.most)),
            spread.map_or(0, |spread| spread.seconds).to_string(),
            series.of.clone(),
            format!("{}: {}", series.source, series.url),
        ]);
    }
    section.push(Block::Table(table));
    for text in faults(model) {
        section.push(Block::Note { tone: Tone::Warning, text: format!("Not observed: {text}") });
    }
    Some(section)
}

fn connected(time: &TimePlots<'_>) -> Plot {
    let mut plot =
        time.plot("observed-connected", "Connected clients", PlotKind::Time, "open sessions", Unit::Count);
    let values = time.buckets.all.iter().map(|bucket| Some(bucket.connected as f64)).collect();
    plot.series.push(Series::new("all groups", 6, values));
    plot
}

fn plot(time: &TimePlots<'_>, index: usize, series: &ObservedSeries) -> Plot {
    let (unit, scale, label) = match series.unit.as_str() {
        "bytes" => (Unit::Bytes, 1.0, "bytes"),
        "s" | "seconds" => (Unit::Us, 1e6, "time"),
        "" => (Unit::Number, 1.0, "value"),
        other => (Unit::Number, 1.0, other),
    };
    let mut plot = time.plot(&format!("observed-{index}"), &series.name, PlotKind::Time, label, unit);
    plot.note = format!("{} ({})", series.of, series.source);
    let points = match &plot.x {
        Axis::Even { count, .. } => *count,
        Axis::At { at } => at.len(),
    };
    let values = means(&time.model.observed, index, series.every_s, time.buckets.width_s, points);
    let values = values.into_iter().map(|value| value.map(|value| value * scale)).collect();
    plot.series.push(Series::new(&series.name, index, values));
    plot
}

/// The mean of a series in each of `points` of `width_s` seconds; a point in which nothing was asked for has the value before it.
fn means(rows: &[Observed], index: usize, every_s: f64, width_s: u64, points: usize) -> Vec<Option<f64>> {
    let mut sums: Vec<(f64, u64)> = vec![(0.0, 0); points];
    // Points in which a row stands, whether it has a value of this series or not.
    for row in rows {
        let point = usize::try_from(row.second / width_s).unwrap_or(usize::MAX);
        if let (Some((sum, count)), Some(Some(value))) = (sums.get_mut(point), row.values.get(index)) {
            *sum += value;
            *count += 1;
        }
    }
    let mut last: Option<(usize, f64)> = None;
    let holds = (every_s / width_s as f64).ceil() as usize;
    let mut means = Vec::with_capacity(points);
    for (point, (sum, count)) in sums.into_iter().enumerate() {
        if count > 0 {
            last = Some((point, sum / count as f64));
        }
        means.push(last.filter(|(since, _)| point - since < holds.max(1)).map(|(_, mean)| mean));
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_the_mean_of_its_seconds_and_lasts_until_the_next_question() {
        let rows: Vec<Observed> =
            [(0, Some(1.0)), (1, Some(3.0)), (2, None), (5, Some(7.0)), (u64::MAX, Some(9.0))]
                .map(|(second, value)| Observed { second, values: vec![value], ..Observed::default() })
                .to_vec();
        assert_eq!(means(&rows, 0, 1.0, 1, 6), [Some(1.0), Some(3.0), None, None, None, Some(7.0)]);
        assert_eq!(means(&rows, 0, 1.0, 2, 3), [Some(2.0), None, Some(7.0)]);
        assert_eq!(means(&rows, 0, 3.0, 1, 6), [Some(1.0), Some(3.0), Some(3.0), Some(3.0), None, Some(7.0)]);
        assert_eq!(means(&rows, 1, 1.0, 1, 2), [None, None], "no such series");
    }
}
