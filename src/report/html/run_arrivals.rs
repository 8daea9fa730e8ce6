//! Clients that come and go, over time.
//!
//! In: a run and its points. Out: a section: how many clients are there at once, how many come, and how many are dropped. `None` where all clients are there from their start
//! to the run's end.

use crate::sample::Counter;

use super::super::arrivals::come_and_go;
use super::super::model::RunModel;
use super::buckets::{Bucket, Buckets};
use super::marks::time_marks;
use super::page::Section;
use super::plot::{Plot, PlotKind, Series, Unit};
use super::plotted::{left_out, plotted_groups};
use super::run_time::TimePlots;

/// The section, where clients come and go.
pub(super) fn section(model: &RunModel, buckets: &Buckets) -> Option<Section> {
    if !come_and_go(&model.manifest).contains(&true) {
        return None;
    }
    let time = &TimePlots { model, buckets, marks: time_marks(model) };
    let lead = "Clients come by the scenario's schedule, whatever the service does, and leave when their time is over. Whoever came when as many were there as may be \
                (arrivals.at_most) was dropped.";
    let mut section = Section::new("arrivals", "Who comes and goes", lead);
    let there = |bucket: &Bucket| bucket.clients as f64;
    let rate = |counter: Counter| move |bucket: &Bucket| time.buckets.per_second(bucket.counter(counter));
    let mut plots = vec![
        plot(time, ("clients-at-once", "Clients at once"), "clients that are there", Unit::Count, there),
        plot(
            time,
            ("arrivals", "Arrivals"),
            "clients that come",
            Unit::PerSecond,
            rate(Counter::ClientsStarted),
        ),
    ];
    if time.model.all.counter(Counter::ArrivalsDropped) > 0 {
        let dropped = rate(Counter::ArrivalsDropped);
        let named = ("arrivals-dropped", "Dropped");
        plots.push(plot(time, named, "clients that are dropped", Unit::PerSecond, dropped));
    }
    section.plots_or(plots, "Nobody came.");
    left_out(&mut section, time.model);
    Some(section)
}

fn plot(
    time: &TimePlots<'_>,
    (id, title): (&str, &str),
    label: &str,
    unit: Unit,
    value: impl Fn(&Bucket) -> f64,
) -> Plot {
    let mut plot = time.plot(id, title, PlotKind::Time, label, unit);
    for (index, name) in plotted_groups(time.model) {
        let values = time.buckets.groups[index].iter().map(|bucket| Some(value(bucket)));
        plot.series.push(Series::new(name, index, values.collect()));
    }
    plot
}
