//! The service's own numbers over the whole run, for people.
//!
//! In: a run. Out: a table of least, mean and most, and a sentence for each series that had no answer or no value. Numbers of bytes and seconds are written with
//! their prefixes.

use crate::record::outages::RunOutage;
use crate::record::{ObservedSeries, ObservedSpread, Unanswered, around};
use crate::units::{format_count, format_us};

use super::model::RunModel;
use super::outages::{MOST_OUTAGES, title};
use super::tables::Table;

/// Each series, and what it was over the whole run.
pub(super) fn spreads(model: &RunModel) -> Vec<(&ObservedSeries, Option<ObservedSpread>)> {
    let spreads = around(&model.observed, 0, u64::MAX).into_iter().chain(std::iter::repeat(None));
    model.manifest.observed.iter().zip(spreads).collect()
}

/// The same around an outage: from its first loss until all were back, or the last was seen away.
pub(super) fn spreads_around<'m>(
    model: &'m RunModel,
    outage: &RunOutage,
) -> Vec<(&'m ObservedSeries, Option<ObservedSpread>)> {
    let spreads = around(&model.observed, outage.all.first_us, outage.all.over_us());
    model.manifest.observed.iter().zip(spreads.into_iter().chain(std::iter::repeat(None))).collect()
}

/// When a series is looked at, what it was then: over the whole run, and around each outage.
pub(super) fn spreads_by_time(model: &RunModel) -> Vec<(&ObservedSeries, String, Option<ObservedSpread>)> {
    let whole =
        spreads(model).into_iter().map(|(series, spread)| (series, "the whole run".to_owned(), spread));
    let mut rows: Vec<_> = whole.collect();
    for (index, outage) in model.outages.iter().enumerate().take(MOST_OUTAGES) {
        let name = title(model, index);
        rows.extend(
            spreads_around(model, outage).into_iter().map(|(series, spread)| (series, name.clone(), spread)),
        );
    }
    rows
}

/// Least, mean and most of each series; `None` where nothing was asked for.
pub(super) fn observed(model: &RunModel) -> Option<Table> {
    let header = ["series", "in", "least", "mean", "most", "seconds"].map(str::to_owned).to_vec();
    let rows = spreads_by_time(model).into_iter().map(|(series, when, spread)| {
        let numbers = spread.map(|spread| [spread.least, spread.mean, spread.most]);
        let mut row = vec![series.name.clone(), when];
        row.extend(match numbers {
            Some(numbers) => numbers.map(|number| with_unit(number, &series.unit)),
            None => [(); 3].map(|()| "-".to_owned()),
        });
        row.push(format_count(spread.map_or(0, |spread| spread.seconds)));
        row
    });
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let note = "over the whole run, and from each outage's first loss until all were back; seconds: how many have a value";
    (rows.len() > 1).then_some(Table { title: "The service's own numbers", note, rows })
}

/// A sentence for each series without a value, and for each that was asked for without an answer.
pub(super) fn faults(model: &RunModel) -> Vec<String> {
    let mut told: Vec<String> = model.unanswered.iter().map(|fault| unanswered(model, fault)).collect();
    let is_told = |index: usize| {
        model
            .unanswered
            .iter()
            .any(|of| of.failed == of.asked && (of.first..of.first + of.series).contains(&index))
    };
    for (index, (series, _)) in spreads(model).iter().enumerate().filter(|(_, (_, spread))| spread.is_none())
    {
        if !is_told(index) {
            let (name, source, of) = (&series.name, &series.source, &series.of);
            told.push(format!(
                "{name} of {source}: never a number, though there were answers: nothing there is {of}"
            ));
        }
    }
    told
}

fn unanswered(model: &RunModel, fault: &Unanswered) -> String {
    let Unanswered { first, series, asked, failed, why, at_end } = fault;
    let own: Vec<&ObservedSeries> = model.manifest.observed.iter().skip(*first).take(*series).collect();
    let names: Vec<&str> = own.iter().map(|series| series.name.as_str()).collect();
    let source = own.first().map_or("", |series| series.source.as_str());
    let mut parts = Vec::new();
    if *failed > 0 {
        let (failed, asked) = (format_count(*failed), format_count(*asked));
        parts.push(format!("{failed} of {asked} times without an answer: {why}"));
    }
    parts.extend(at_end.as_ref().filter(|at_end| *at_end != why || failed < asked).map(|why| {
        format!("at the run's end, for all of its time, without an answer: {why}; what was seen live stands")
    }));
    format!("{} of {source}: {}", names.join(", "), parts.join("; "))
}

/// A number with its unit.
pub(super) fn with_unit(number: f64, unit: &str) -> String {
    match unit {
        "bytes" => bytes(number),
        "s" | "seconds" if (0.0..1e12).contains(&number) => format_us((number * 1e6).round() as u64),
        "" => plain(number),
        unit => format!("{} {unit}", plain(number)),
    }
}

fn bytes(number: f64) -> String {
    let (mut number, mut prefix) = (number, "");
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi"] {
        if number.abs() < 1024.0 {
            break;
        }
        (number, prefix) = (number / 1024.0, next);
    }
    format!("{} {prefix}B", plain(number))
}

/// Four significant digits, those before the point whole.
fn plain(number: f64) -> String {
    let size = number.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-6) {
        return format!("{number:.3e}");
    }
    if size >= 999.95 {
        let sign = if number < 0.0 { "-" } else { "" };
        return format!("{sign}{}", format_count(size.round() as u64));
    }
    let digits = if size > 0.0 { (3 - size.log10().floor() as i32).clamp(0, 9) as usize } else { 0 };
    let long = format!("{number:.digits$}");
    if digits > 0 { long.trim_end_matches('0').trim_end_matches('.').to_owned() } else { long }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Journal, Manifest, Note, Observed, manifest_of_a_test};

    #[test]
    fn numbers_are_written_for_people() {
        for (number, unit, expected) in [
            (0.0, "", "0"),
            (0.25, "cores", "0.25 cores"),
            (12.0, "", "12"),
            (1.23456, "", "1.235"),
            (999.96, "", "1,000"),
            (1_234_567.4, "connections", "1,234,567 connections"),
            (-1_500.0, "", "-1,500"),
            (0.000_000_1, "", "1.000e-7"),
            (1e300, "", "1.000e300"),
            (512.0, "bytes", "512 B"),
            (1_536.0, "bytes", "1.5 KiB"),
            (3.0 * 1024.0 * 1024.0, "bytes", "3 MiB"),
            (0.0015, "s", "1.50 ms"),
            (-1.0, "s", "-1 s"),
        ] {
            assert_eq!(with_unit(number, unit), expected, "{number} {unit}");
        }
    }

    fn series(name: &str, source: &str) -> ObservedSeries {
        let text = |text: &str| text.to_owned();
        ObservedSeries {
            name: text(name),
            unit: text(""),
            of: text("a_metric"),
            source: text(source),
            url: text("http://h/"),
            every_s: 1.0,
        }
    }

    #[test]
    fn what_had_no_answer_is_told_once() {
        let manifest = Manifest {
            observed: vec![
                series("cpu", "api"),
                series("mem", "api"),
                series("db", "db"),
                series("none", "db"),
            ],
            ..manifest_of_a_test()
        };
        let note = |second, first, values: &[Option<f64>], fault: Option<&str>| {
            Note::Observed(Observed {
                second,
                first,
                values: values.to_vec(),
                fault: fault.map(str::to_owned),
            })
        };
        let notes = vec![
            note(0, 0, &[None, None], Some("connection refused")),
            note(1, 0, &[Some(1.0), Some(2.0)], None),
            note(0, 2, &[Some(5.0), None], None),
            note(1, 2, &[], Some("HTTP 500")),
        ];
        let model =
            RunModel::new(Journal { manifest, intervals: Vec::new(), notes, end: None, torn_bytes: 0 });
        assert_eq!(
            faults(&model),
            [
                "cpu, mem of api: 1 of 2 times without an answer: connection refused",
                "db of db: at the run's end, for all of its time, without an answer: HTTP 500; what was seen live stands",
                "none of db: never a number, though there were answers: nothing there is a_metric",
            ]
        );
        let rows = observed(&model).unwrap().rows;
        assert_eq!(rows[3], ["db", "the whole run", "5", "5", "5", "1"]);
        assert_eq!(rows[4], ["none", "the whole run", "-", "-", "-", "0"]);
    }
}
