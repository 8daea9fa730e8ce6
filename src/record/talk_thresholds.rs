//! Thresholds on exchanges and streams, which have names of their own in each group.
//!
//! In: a threshold, the tallies and names of the groups that it looks at. Out: what was measured, and whether it holds.

use crate::sample::Counter;
use crate::scenario::keys::{Aggregate, ExchangeOf, StreamOf, Subject, Threshold};
use crate::units::format_count;

use super::histogram::Latencies;
use super::talk::{ExchangeTally, StreamTally};
use super::talk_names::TalkNames;
use super::tally::Tally;
use super::thresholds::{Found, ThresholdResult, of_histogram, ratio, result};

/// A group that a threshold looks at: what was counted and measured there, and what its exchanges and streams are called.
pub type NamedTally<'t> = (&'t Tally, &'t TalkNames);

/// Evaluates a threshold on exchanges or streams after so many seconds. One on anything else has nothing to look at here.
#[must_use]
pub fn evaluate_talk(threshold: &Threshold, groups: &[NamedTally<'_>], elapsed_s: f64) -> ThresholdResult {
    let began = groups.iter().any(|(tally, _)| tally.counter(Counter::ClientsStarted) > 0);
    let measured = match threshold.subject {
        Subject::Exchange(of) => exchange(of, threshold, groups),
        Subject::Stream(of) => match stream(of, threshold, groups) {
            Ok(measured) => measured,
            Err(why) => {
                let without = ThresholdResult::without_samples(threshold.source.clone(), why);
                return ThresholdResult { limit: threshold.limit, ..without };
            }
        },
        _ => Measured::Share(None),
    };
    let value = match measured {
        Measured::Count(count) => {
            let is_rate = threshold.aggregate == Aggregate::Rate;
            let rate = (elapsed_s > 0.0).then(|| count as f64 / elapsed_s);
            if is_rate { rate.filter(|_| began) } else { began.then_some(count as f64) }
        }
        Measured::Times(times) if times.count() > 0 => Some(of_histogram(&times, threshold.aggregate)),
        Measured::Times(_) => (began && threshold.aggregate == Aggregate::Count).then_some(0.0),
        Measured::Share(share) => share,
    };
    result(threshold, &value.map_or(Found::Nothing, Found::Value))
}

/// What there is of exchanges or streams, before a number of it is taken.
enum Measured {
    Count(u64),
    Times(Latencies),
    Share(Option<f64>),
}

fn exchange(of: ExchangeOf, threshold: &Threshold, groups: &[NamedTally<'_>]) -> Measured {
    let mut all = ExchangeTally::default();
    for (tally, names) in groups {
        for (index, own) in tally.talk.iter().flat_map(|talk| &talk.exchanges) {
            if threshold.part.as_ref().is_none_or(|wanted| *wanted == names.exchange(*index)) {
                all.counts.add(&own.counts);
                all.latencies.merge(&own.latencies);
            }
        }
    }
    let counts = all.counts;
    Measured::Count(match of {
        ExchangeOf::Latency => return Measured::Times(all.latencies),
        ExchangeOf::FailureRate => {
            return Measured::Share(ratio((counts.failed(), counts.answered_or_late())));
        }
        ExchangeOf::Sent => counts.sent,
        ExchangeOf::Ok => counts.ok,
        ExchangeOf::FailedChecks => counts.failed_checks,
        ExchangeOf::Timeouts => counts.timeouts,
        ExchangeOf::CutOff => counts.cut_off,
        ExchangeOf::Unexpected => counts.unexpected,
    })
}

/// `Err`: the latencies are none, and why.
fn stream(of: StreamOf, threshold: &Threshold, groups: &[NamedTally<'_>]) -> Result<Measured, String> {
    let mut wanted: Vec<(&StreamTally, bool)> = Vec::new();
    for (tally, names) in groups {
        let own = tally.talk.iter().flat_map(|talk| &talk.streams);
        let own = own.filter(|(index, _)| {
            threshold.part.as_ref().is_none_or(|wanted| *wanted == names.stream(**index))
        });
        wanted.extend(own.map(|(index, stream)| (stream, names.is_relative(*index))));
    }
    let sum = |count: fn(&StreamTally) -> u64| {
        Measured::Count(wanted.iter().fold(0, |sum, (stream, _)| sum.saturating_add(count(stream))))
    };
    Ok(match of {
        StreamOf::Latency => {
            let mut all = Latencies::new();
            for (stream, is_relative) in &wanted {
                let latencies = stream.latencies(*is_relative).ok_or_else(|| {
                    let below = format_count(stream.differences.below_zero);
                    format!(
                        "{below} are below zero, for the sender's clock is ahead of ours: set relative = true"
                    )
                })?;
                all.merge(&latencies);
            }
            Measured::Times(all)
        }
        StreamOf::BlindTime => {
            let mut all = Latencies::new();
            wanted.iter().for_each(|(stream, _)| all.merge(&stream.blind));
            Measured::Times(all)
        }
        StreamOf::Missed => sum(|stream| stream.counts.missed()),
        StreamOf::MissedAway => sum(|stream| stream.counts.missed_away()),
        StreamOf::Late => sum(|stream| stream.counts.late),
        StreamOf::Duplicates => sum(|stream| stream.counts.duplicates),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ThresholdStatus::{self, Failed, NoSamples, Passed};
    use crate::record::talk_names::StreamName;
    use crate::sample::{Blind, BlindEnd, ExchangeNews, Sample, StreamNews, Talk};
    use crate::scenario::parse_threshold;

    fn exchange(index: u16, ok: u64, latency_us: u64) -> (u16, ExchangeNews) {
        let latencies_us = vec![latency_us; ok as usize];
        let news = ExchangeNews {
            sent: ok + 4,
            ok,
            failed_checks: 1,
            timeouts: 2,
            cut_off: 1,
            latencies_us,
            failed_latencies_us: vec![latency_us],
            ..ExchangeNews::default()
        };
        (index, news)
    }

    fn stream(index: u16, latencies_us: Vec<i64>) -> (u16, StreamNews) {
        let news = StreamNews {
            messages: 10,
            skipped: 5,
            filled: 2,
            skipped_away: 7,
            late: 4,
            duplicates: 6,
            latencies_us,
            blind: vec![Blind { storm: None, us: 2_000_000, end: BlindEnd::Seen }],
            ..StreamNews::default()
        };
        (index, news)
    }

    fn group() -> (Tally, TalkNames) {
        let mut tally = Tally::default();
        tally.apply(&Sample::Count(Counter::ClientsStarted, 1));
        let talk = Talk {
            exchanges: vec![exchange(0, 7, 15_000), exchange(2, 17, 1_000)],
            streams: vec![stream(0, vec![5_000, 7_000]), stream(1, vec![-900, 100])],
            kinds: Vec::new(),
        };
        tally.apply(&Sample::Talk(Box::new(talk)));
        let stream = |name: &str, relative| StreamName { name: name.into(), relative };
        let names = TalkNames {
            exchanges: vec![(0, "subscribe".into()), (2, "ping".into())],
            streams: vec![stream("ticks", false), stream("news", false)],
            kinds_at_most: None,
        };
        (tally, names)
    }

    fn status(source: &str, groups: &[(Tally, TalkNames)]) -> (ThresholdStatus, String) {
        let groups: Vec<NamedTally<'_>> = groups.iter().map(|(tally, names)| (tally, names)).collect();
        let result = evaluate_talk(&parse_threshold(source).unwrap(), &groups, 10.0);
        (result.status, result.measured_text)
    }

    #[test]
    fn each_subject_is_measured_by_its_name_or_over_all() {
        let groups = [group(), group()];
        for (source, wanted, text) in [
            ("exchange_latency{exchange:subscribe}: p(99) < 16ms", Passed, "15.0 ms"),
            ("exchange_latency{exchange:ping}: max < 1ms", Failed, "1.00 ms"),
            ("exchange_latency: count == 48", Passed, "48"),
            ("exchange_sent: count == 64", Passed, "64"),
            ("exchange_sent{exchange:ping}: rate > 4/s", Passed, "4.2/s"),
            ("exchange_ok{exchange:ping}: count == 34", Passed, "34"),
            ("exchange_timeouts: count == 0", Failed, "8"),
            ("exchange_failed_checks{exchange:ping}: count < 3", Passed, "2"),
            ("exchange_cut_off: count == 4", Passed, "4"),
            ("exchange_unexpected: count == 0", Passed, "0"),
            ("exchange_failure_rate{exchange:subscribe}: rate < 31%", Passed, "30.0%"),
            ("stream_missed{stream:ticks}: count == 6", Passed, "6"),
            ("stream_missed_away: count == 28", Passed, "28"),
            ("stream_late: count == 16", Passed, "16"),
            ("stream_duplicates{stream:news}: count == 12", Passed, "12"),
            ("stream_latency{stream:ticks}: max < 7.1ms", Passed, "7.00 ms"),
            ("blind_time: med <= 2.1s", Passed, "2.00 s"),
        ] {
            assert_eq!(status(source, &groups), (wanted, text.to_owned()), "{source}");
        }
    }

    #[test]
    fn latencies_below_zero_are_none_unless_they_are_relative() {
        let (tally, mut names) = group();
        let groups = [(tally.clone(), names.clone())];
        let (found, words) = status("stream_latency{stream:news}: max < 1s", &groups);
        assert!(found == NoSamples && words.contains("relative = true"), "{words}");
        names.streams[1].relative = true;
        let relative = status("stream_latency{stream:news}: max < 1s", &[(tally, names)]);
        assert_eq!(relative, (Passed, "1.00 ms".to_owned()));
    }

    #[test]
    fn nothing_is_no_sample_and_no_number_of_times() {
        let mut tally = Tally::default();
        let none = |tally: &Tally, source| status(source, &[(tally.clone(), TalkNames::default())]).0;
        assert_eq!(none(&tally, "exchange_timeouts: count == 0"), NoSamples);
        tally.apply(&Sample::Count(Counter::ClientsStarted, 1));
        assert_eq!(none(&tally, "exchange_timeouts: count == 0"), Passed);
        assert_eq!(none(&tally, "exchange_latency: max < 1s"), NoSamples);
        assert_eq!(none(&tally, "exchange_latency: count == 0"), Passed);
        assert_eq!(none(&tally, "exchange_failure_rate: rate < 1%"), NoSamples);
    }
}
