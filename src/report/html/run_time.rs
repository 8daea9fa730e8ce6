//! The sections of a run's page that show it over time, and its latencies by percentile.
//!
//! In: a run and its points. Out: sections of plots. Where there is nothing to show, a sentence says why.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::record::Latencies;
use crate::sample::{Cause, Counter, Metric, Outcome, Phase};
use crate::units::{format_count, format_duration, format_us, parse_duration};

use super::super::model::RunModel;
use super::buckets::{Bucket, Buckets, Spread};
use super::marks::time_marks;
use super::messages::message_tables;
use super::page::{BarRow, Bars, Block, Section};
use super::plot::{Line, Mark, Plot, PlotKind, Series, Unit};
use super::plotted::{MOST_GROUPS, left_out, plotted_groups};
use super::table::Table;
use super::tone::Tone;

/// The sections, in order.
pub(super) fn sections(model: &RunModel, buckets: &Buckets) -> Vec<Section> {
    let time = TimePlots { model, buckets, marks: time_marks(model) };
    vec![
        time.latency(),
        time.phases(),
        percentiles(model),
        time.outcomes(),
        time.forbidden(),
        time.stampede(),
        time.closes(),
        time.messages(),
    ]
}

/// What the time plots of a run have in common.
pub(super) struct TimePlots<'a> {
    pub(super) model: &'a RunModel,
    pub(super) buckets: &'a Buckets,
    pub(super) marks: Vec<Mark>,
}

impl<'a> TimePlots<'a> {
    /// Points, id and name of all groups together, and of each that has plots of its own where there are several.
    fn panels(&self) -> Vec<(&'a [Bucket], String, String)> {
        let groups = plotted_groups(self.model);
        let several = self.model.manifest.groups.len() > 1;
        let all = several.then(|| (self.buckets.all.as_slice(), "all".to_owned(), "All groups".to_owned()));
        let own = groups.into_iter().map(|(index, name)| {
            (self.buckets.groups[index].as_slice(), format!("g{index}"), name.to_owned())
        });
        all.into_iter().chain(own).collect()
    }

    pub(super) fn plot(&self, id: &str, title: &str, kind: PlotKind, y_label: &str, unit: Unit) -> Plot {
        Plot::new(id, title, kind, self.buckets.axis(), y_label, unit).marked(&self.marks)
    }

    /// The plots that show something; all groups together only where more than one group does.
    fn without_echo(&self, plots: Vec<Plot>) -> Vec<Plot> {
        let mut plots: Vec<Plot> = plots.into_iter().filter(|plot| !plot.is_empty()).collect();
        if plots.len() == 2 && (2..=MOST_GROUPS).contains(&self.model.manifest.groups.len()) {
            plots.remove(0);
        }
        plots
    }

    /// How long a point is, for a lead.
    fn each_point(&self) -> String {
        match self.buckets.width_s {
            1 => "Each point is a second.".to_owned(),
            width => format!(
                "Each point is {width} s: counts are added, percentiles are those of the merged histograms, a maximum is the largest."
            ),
        }
    }

    fn latency(&self) -> Section {
        let lead = format!(
            "From the disconnect (a storm's: when it was due) to the next ready session, at the time at which the session became ready. {}",
            self.each_point()
        );
        let mut section = Section::new("latency", "Reconnect latency over time", &lead);
        let spreads: Vec<Spread> = self.buckets.all.iter().filter_map(|bucket| bucket.reconnect).collect();
        let least = spreads.iter().map(|spread| spread.p50).min().unwrap_or(1).max(1);
        let most = spreads.iter().map(|spread| spread.max).max().unwrap_or(1);
        let lows = self.buckets.groups.iter().flatten().filter_map(|bucket| bucket.reconnect);
        let least = lows.map(|spread| spread.p50.max(1)).min().unwrap_or(least).min(least);
        let panels = self.panels().into_iter().map(|(points, id, name)| {
            let mut plot =
                self.plot(&format!("latency-{id}"), &name, PlotKind::Time, "reconnect latency", Unit::Us);
            (plot.log_y, plot.y_range) = (true, Some((least as f64, most as f64)));
            plot.series = spread_series(points, |bucket| bucket.reconnect);
            plot
        });
        section.plots_or(
            self.without_echo(panels.collect()),
            "No client came back from a disconnect: there is no reconnect latency.",
        );
        left_out(&mut section, self.model);
        section
    }

    fn phases(&self) -> Section {
        let lead = "The phases of a reconnect follow each other without a gap: their mean times add up to the mean latency of the reconnects \
                    that ended at that time. Failed attempts on the way are in them.";
        let mut section = Section::new("phases", "Where the time goes", lead);
        let shown: Vec<(usize, Phase)> = Phase::ALL
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, phase)| {
                let histogram = self.model.all.histograms.get(&Metric::of_phase(*phase));
                histogram.is_some_and(|histogram| histogram.max_us() > 0)
            })
            .collect();
        if shown.is_empty() {
            section.absent("No client came back from a disconnect: no time was spent.");
            return section;
        }
        let mut bars =
            Bars { parts: Phase::ALL.iter().map(|p| p.name().to_owned()).collect(), rows: Vec::new() };
        for (name, tally) in self.model.groups().take(50) {
            let Some(latency) = tally.histograms.get(&Metric::ReconnectLatency) else { continue };
            let times = Phase::ALL.iter().map(|phase| tally.histograms.get(&Metric::of_phase(*phase)));
            let times: Vec<f64> = times.map(|time| time.map_or(0.0, Latencies::mean_us)).collect();
            let whole = format!(
                "mean {}, p99 {}",
                format_us(latency.mean_us().round() as u64),
                format_us(latency.percentile_us(99.0))
            );
            bars.rows.push(BarRow::new(name, whole, &times, |part, share| {
                let phase = Phase::ALL[part];
                let p99 = tally.histograms.get(&Metric::of_phase(phase)).map_or(0, |h| h.percentile_us(99.0));
                format!(
                    "{phase} {:.1}% (mean {}, p99 {})",
                    share * 100.0,
                    format_us(times[part].round() as u64),
                    format_us(p99)
                )
            }));
        }
        section.push(Block::Bars(bars));
        let panels = self.panels().into_iter().map(|(points, id, name)| {
            let mut plot = self.plot(
                &format!("phases-{id}"),
                &name,
                PlotKind::Stacked,
                "mean time in each phase",
                Unit::Us,
            );
            for (index, phase) in &shown {
                let values = points.iter().map(|bucket| bucket.phases.map(|means| means[*index]));
                plot.series.push(Series::new(phase.name(), *index, values.collect()));
            }
            plot
        });
        section.plots_or(self.without_echo(panels.collect()), "");
        section
    }

    fn outcomes(&self) -> Section {
        let lead =
            format!("Attempts by what ended them; each has exactly one outcome. {}", self.each_point());
        let mut section = Section::new("outcomes", "Outcomes over time", &lead);
        let panels = self.panels().into_iter().map(|(points, id, name)| {
            let mut plot =
                self.plot(&format!("outcomes-{id}"), &name, PlotKind::Stacked, "attempts", Unit::PerSecond);
            let present: BTreeSet<Outcome> =
                points.iter().flat_map(|bucket| bucket.outcomes.keys().copied()).collect();
            for outcome in present {
                let count = |bucket: &Bucket| bucket.outcomes.get(&outcome).copied().unwrap_or(0);
                plot.series.push(Series::new(
                    outcome.name(),
                    outcome_colour(outcome),
                    self.rates(points, count),
                ));
            }
            plot
        });
        let mut plots = self.without_echo(panels.collect());
        plots.push(self.connected());
        section.plots_or(plots, "No attempt was made.");
        section
    }

    fn connected(&self) -> Plot {
        let mut plot = self.plot("connected", "Connected", PlotKind::Time, "open sessions", Unit::Count);
        for (index, name) in plotted_groups(self.model) {
            let values = self.buckets.groups[index].iter().map(|bucket| Some(bucket.connected as f64));
            plot.series.push(Series::new(name, index, values.collect()));
        }
        plot
    }

    fn forbidden(&self) -> Section {
        let lead = "Why clients were refused, as far as the evidence goes: what the answers say, what the client knows of its token, and what its next attempt proves, which counts when it is known.";
        let mut section = Section::new("forbidden", "Refusals by cause", lead);
        let panels = self.panels().into_iter().filter_map(|(points, id, name)| {
            let present: BTreeSet<Option<Cause>> =
                points.iter().flat_map(|bucket| bucket.causes.keys().copied()).collect();
            if present.is_empty() {
                return None;
            }
            let mut plot =
                self.plot(&format!("forbidden-{id}"), &name, PlotKind::Stacked, "refusals", Unit::PerSecond);
            for cause in present {
                let count = |bucket: &Bucket| bucket.causes.get(&cause).copied().unwrap_or(0);
                let (name, colour) =
                    cause.map_or(("unknown", 7), |cause| (cause.name(), cause_colour(cause)));
                plot.series.push(Series::new(name, colour, self.rates(points, count)));
            }
            Some(plot)
        });
        section.plots_or(self.without_echo(panels.collect()), "Nobody was refused.");
        section
    }

    fn stampede(&self) -> Section {
        let lead = "What the reconnects do to the token endpoint: token requests in the worst second of each point. The first requests of a fleet that starts are left out.";
        let mut section = Section::new("stampede", "The stampede on the token endpoint", lead);
        if self.model.all.counter(Counter::TokensFetched) == 0 {
            section.absent("No token was fetched.");
            return section;
        }
        let mut plot = self.plot(
            "token-fetches",
            "Token requests after the start",
            PlotKind::Time,
            "requests in the worst second",
            Unit::Count,
        );
        let groups = plotted_groups(self.model);
        if self.model.manifest.groups.len() > 1 {
            let values = self.buckets.all.iter().map(|bucket| Some(bucket.peak_tokens as f64)).collect();
            plot.series.push(Series::new("all groups", 6, values).drawn(Line::Dashed));
        }
        for (index, name) in groups {
            let values = self.buckets.groups[index].iter().map(|bucket| Some(bucket.peak_tokens as f64));
            plot.series.push(Series::new(name, index, values.collect()));
        }
        let peak = self.model.token_requests_peak(None);
        plot.series.extend(self.failed_tokens());
        let limit = token_limit(&self.model.manifest.scenario_text);
        if let Some((count, per)) = limit {
            plot.marks.push(Mark::horizontal(count as f64 / per.as_secs_f64(), "limit of a client id"));
        }
        plot.note = format!("The worst second had {} token requests.", format_count(peak));
        section.plots_or(vec![plot], "");
        section.absent(&self.capacity_words(limit));
        section
    }

    /// The series of token requests that failed, where some did.
    fn failed_tokens(&self) -> Option<Series> {
        let failed = |bucket: &Bucket| bucket.counter(Counter::TokenFailures);
        let any = self.buckets.all.iter().any(|bucket| failed(bucket) > 0);
        any.then(|| {
            Series::new("failed requests, mean", 7, self.rates(&self.buckets.all, failed)).drawn(Line::Dotted)
        })
    }

    /// What the fetches are to be seen against.
    fn capacity_words(&self, limit: Option<(u64, Duration)>) -> String {
        match (self.model.manifest.target_kind.as_str(), limit) {
            ("embedded" | "simulated", Some((count, per))) => format!(
                "Capacity: the embedded target issues {} tokens in {} to a client id (token_limit).",
                format_count(count),
                format_duration(per)
            ),
            ("embedded" | "simulated", None) => "Capacity: the scenario sets no limit of tokens (token_limit): the target's token endpoint answers as fast as its token_capacity and token_delay let it.".to_owned(),
            _ => "Capacity: not known for a remote token endpoint; requests that failed are counted.".to_owned(),
        }
    }

    fn closes(&self) -> Section {
        let lead = "How sessions ended: who ended them, with which close code (RFC 6455 §7.4; 1006 where no close frame came, or none that may be sent). What each side said is what it put into its close frame; an answer that only repeats the other's code is left out.";
        let mut section = Section::new("closes", "Close codes", lead);
        if self.model.all.closes.is_empty() {
            section.absent("No session ended.");
            return section;
        }
        let codes: BTreeSet<u16> =
            self.buckets.all.iter().flat_map(|bucket| bucket.codes.keys().copied()).collect();
        let mut plot = self.plot(
            "closes-all",
            "Ends of sessions by code",
            PlotKind::Stacked,
            "sessions ended",
            Unit::PerSecond,
        );
        for (index, code) in codes.iter().enumerate() {
            let count = |bucket: &Bucket| bucket.codes.get(code).copied().unwrap_or(0);
            plot.series.push(Series::new(&code.to_string(), index, self.rates(&self.buckets.all, count)));
        }
        section.plots_or(vec![plot], "");
        let header =
            ["<group", "<ended by", "code", "<how", "<what each side said", "count", "share of group"];
        let mut table = Table::new("", &header);
        for (name, tally) in self.model.groups() {
            let total = tally.closes_total().max(1);
            for (key, count) in &tally.closes {
                table.row(vec![
                    name.to_owned(),
                    key.initiator.name().to_owned(),
                    key.code.to_string(),
                    key.abnormal.map_or_else(|| "close frame".to_owned(), |how| how.name().to_owned()),
                    key.said.to_string(),
                    format_count(*count),
                    crate::units::format_share(*count as f64 / total as f64),
                ]);
            }
        }
        section.push(Block::Table(table));
        section
    }

    fn messages(&self) -> Section {
        let lead = "Messages that the target sent while a client was away, by their sequence numbers: what an outage costs beside time.";
        let mut section = Section::new("messages", "Missed messages", lead);
        let all = &self.model.all;
        if all.counter(Counter::OutagesMeasured) == 0 {
            section.absent(
                "Not measured: no client had a message with a sequence number before an outage and another after it.",
            );
        } else {
            let mut plot =
                self.plot("missed", "Missed messages", PlotKind::Time, "messages missed", Unit::PerSecond);
            for (index, name) in plotted_groups(self.model) {
                let rates =
                    self.rates(&self.buckets.groups[index], |bucket| bucket.counter(Counter::MessagesMissed));
                plot.series.push(Series::new(name, index, rates));
            }
            plot.note =
                "At the time at which a client noticed: with the first message after its outage.".to_owned();
            let mut plots = vec![plot];
            plots.extend(self.message_latency());
            section.plots_or(plots, "");
            let mut table = Table::new("", &["<group", "missed", "outages measured", "missed per outage"]);
            for (name, tally) in self.model.groups() {
                let (missed, outages) =
                    (tally.counter(Counter::MessagesMissed), tally.counter(Counter::OutagesMeasured));
                let per = if outages > 0 {
                    format!("{:.2}", missed as f64 / outages as f64)
                } else {
                    "–".to_owned()
                };
                table.row(vec![name.to_owned(), format_count(missed), format_count(outages), per]);
            }
            section.push(Block::Table(table));
            section.blocks.extend(message_tables(self.model));
            return section;
        }
        section.blocks.extend(self.message_latency().map(|plot| Block::Plots { plots: vec![plot] }));
        section.blocks.extend(message_tables(self.model));
        section
    }

    fn message_latency(&self) -> Option<Plot> {
        let mut plot = self.plot(
            "message-latency",
            "Message latency, all groups",
            PlotKind::Time,
            "due to received",
            Unit::Us,
        );
        plot.log_y = true;
        plot.series = spread_series(&self.buckets.all, |bucket| bucket.message);
        (!plot.is_empty()).then_some(plot)
    }

    fn rates(&self, points: &[Bucket], count: impl Fn(&Bucket) -> u64) -> Vec<Option<f64>> {
        points.iter().map(|bucket| Some(self.buckets.per_second(count(bucket)))).collect()
    }
}

/// p50, p99 and the maximum over time.
pub(super) fn spread_series(points: &[Bucket], of: impl Fn(&Bucket) -> Option<Spread>) -> Vec<Series> {
    let values = |pick: fn(&Spread) -> u64| -> Vec<Option<f64>> {
        points.iter().map(|bucket| of(bucket).map(|spread| pick(&spread).max(1) as f64)).collect()
    };
    // The maximum first: it is drawn behind the others.
    vec![
        Series::new("max", 7, values(|spread| spread.max)).drawn(Line::Dotted),
        Series::new("p99", 1, values(|spread| spread.p99)),
        Series::new("p50", 0, values(|spread| spread.p50)),
    ]
}

fn percentiles(model: &RunModel) -> Section {
    let lead = "Every percentile, on HdrHistogram's logarithmic axis: each step to the right is ten times as rare. A line ends where its number of values does.";
    let mut section = Section::new("percentiles", "Latency by percentile", lead);
    let groups = plotted_groups(model);
    let of = |metric: Metric| -> Vec<(&str, &Latencies)> {
        // Groups keep their colours: one without values is an empty line.
        groups
            .iter()
            .filter_map(|(index, name)| Some((*name, model.totals[*index].histograms.get(&metric)?)))
            .collect()
    };
    let plots = [
        ("percentiles-reconnect", "Reconnect latency of those who came back", Metric::ReconnectLatency),
        ("percentiles-connect", "First connects", Metric::ConnectLatency),
        ("percentiles-refused", "Refused handshakes", Metric::RefusedLatency),
    ]
    .map(|(id, title, metric)| {
        let mut plot = Plot::percentiles(id, title, &of(metric));
        for series in &mut plot.series {
            let index = groups.iter().find(|(_, name)| *name == series.name);
            series.colour = index.map_or(series.colour, |(index, _)| *index);
        }
        plot
    });
    section.plots_or(plots.into(), "No client had a session, and none was refused.");
    if !model.all.histograms.contains_key(&Metric::ReconnectLatency) {
        section.push(Block::Note {
            tone: Tone::Plain,
            text: "No client came back from a disconnect.".to_owned(),
        });
    }
    section
}

/// The limit of a client id at the embedded target's token endpoint, where the scenario sets one: how many tokens, in which window.
fn token_limit(scenario: &str) -> Option<(u64, Duration)> {
    let scenario: toml::Table = scenario.parse().ok()?;
    let limit = scenario.get("target")?.get("token_limit")?;
    let count = u64::try_from(limit.get("count")?.as_integer()?).ok()?;
    let per = parse_duration(limit.get("per")?.as_str()?).ok().filter(|per| !per.is_zero())?;
    Some((count, per))
}

/// A colour for each outcome, so that it is the same in every plot.
pub(super) const fn outcome_colour(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Ok => 2,
        Outcome::Http403 | Outcome::RefusedClose | Outcome::RefusedMessage => 1,
        Outcome::Http401 => 5,
        Outcome::Http429 => 3,
        Outcome::Http5xx | Outcome::Http4xx => 0,
        Outcome::TokenRefused | Outcome::TokenError | Outcome::StepRefused | Outcome::StepError => 4,
        Outcome::Aborted | Outcome::LocalLimit => 7,
        _ => 6,
    }
}

/// A colour for each cause.
pub(super) const fn cause_colour(cause: Cause) -> usize {
    match cause {
        Cause::StaleToken => 1,
        Cause::ExpiredToken => 5,
        Cause::MissingScope => 0,
        Cause::RateLimited | Cause::Overloaded => 3,
        Cause::Displaced => 4,
        Cause::NoToken | Cause::UnknownToken => 2,
        Cause::Edge | Cause::ForbiddenOther | Cause::Origin => 6,
        Cause::Unknown => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_limit_is_the_scenarios() {
        let second = Duration::from_secs(1);
        for (text, limit) in [
            ("[target]\ntoken_limit = { count = 30, per = \"1s\" }", Some((30, second))),
            ("[target.token_limit]\ncount = 30\nper = \"0s\"", None),
            ("[target]\n", None),
            ("no scenario", None),
        ] {
            assert_eq!(token_limit(text), limit, "{text}");
        }
    }
}
