//! `resurge compare`.
//!
//! In: runs or baselines. Out: what differs between them, and as a gate an exit code.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::compare::{
    Compared, Comparison, EXCHANGE_LATENCY, Finding, Measure, MinEffectChoice, Rows, RunSet, Settings,
    apply_min_effects, compare, comparison_csv, comparison_html, comparison_json, comparison_junit,
    comparison_markdown, comparison_text, decide_by, exchange_measures, incomparable, invalid_runs,
    order_releases, parse_min_effect, refusal_junit, refusal_markdown, remedy, trend, trend_csv, trend_html,
    trend_json, trend_markdown, trend_text,
};
use crate::exit_code::ExitCode;
use crate::report::{Style, write_named};
use crate::units::parse_share;

use super::compare_command::{Named, command, command_that_allows, typed};
use super::run_sets::read_set;
use super::runs::{LAST, last_two};
use super::streams::wants_colour;

const EXAMPLE: &str = "\
A side is a run folder, a folder of run folders (repeats), a baseline's file, or the name of a baseline in reports/baselines.
Several candidates are each compared with the baseline; five repeats on each side find a change of ten percent.

Examples:
  resurge compare last                   (the last run in reports/, with the one before it of the same scenario)
  resurge compare last --allow groups    (the same, where a setting of a group was changed between)
  resurge compare v1.2 reports/smoke-20260101T120000Z-1a2b
  resurge compare --baseline v1.2 --candidate reports/r1 reports/r2 reports/r3 --gate
  resurge compare v1.2 new/ --gate --strict --min-effect reconnect_latency.p99=10%,2ms --format markdown
  resurge compare old/ new/ --allow target.url --allow host
  resurge compare v1.2 new/ --gate --decide-by availability --decide-by outage_cost
  resurge compare --trend reports/baselines/*.baseline";

/// The forms of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns.
    Text,
    /// For a pull request.
    Markdown,
    /// Every number.
    Json,
    /// A row for each measure.
    Csv,
    /// A page with both sides' curves over each other.
    Html,
    /// For a CI server: a regression is a failure.
    Junit,
}

/// A comparison to write beside what is printed: `FORMAT=PATH`.
#[derive(Debug, Clone)]
struct Export {
    format: Format,
    path: PathBuf,
}

fn parse_export(text: &str) -> Result<Export, String> {
    let (name, path) = text.split_once('=').unwrap_or((text, ""));
    match Format::from_str(name, false) {
        Ok(format) if !path.is_empty() => Ok(Export { format, path: PathBuf::from(path) }),
        Ok(_) => Err(format!("write it with a file, as {name}=compare.{name}")),
        Err(_) => {
            Err("write it as FORMAT=PATH, with one of text, markdown, json, csv, html, junit".to_owned())
        }
    }
}

/// Arguments of `resurge compare`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct CompareArgs {
    /// The baseline, then the candidates; or `last`
    #[arg(value_name = "RUN", required_unless_present_any = ["baseline", "trend"], num_args = 1..)]
    runs: Vec<String>,
    /// The baseline's repeats
    #[arg(long, value_name = "RUN", num_args = 1.., requires = "candidate", conflicts_with = "runs")]
    baseline: Vec<String>,
    /// The candidate's repeats
    #[arg(long, value_name = "RUN", num_args = 1.., requires = "baseline")]
    candidate: Vec<String>,
    /// Show each measure over these releases, oldest first: baselines by version, runs by start
    #[arg(long, value_name = "RUN", num_args = 2.., conflicts_with_all = ["runs", "baseline", "candidate", "gate"])]
    trend: Vec<String>,
    /// The form of the comparison, on stdout
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Also write it to a file, as junit=compare.xml; Markdown and JUnit say why, where the runs cannot be compared; repeatable
    #[arg(long = "export", value_name = "FORMAT=PATH", value_parser = parse_export, conflicts_with = "trend")]
    exports: Vec<Export>,
    /// Exit with 112 when the candidate regressed, with 110 when it is not valid
    #[arg(long)]
    gate: bool,
    /// With --gate: exit with 112 too when a deciding measure is inconclusive, or has too few values to be judged
    #[arg(long, requires = "gate")]
    strict: bool,
    /// Compare runs that are not comparable; the reasons become notes
    #[arg(long)]
    force: bool,
    /// A key of the scenario that may differ, with all below it; or `host`, for another machine; repeatable
    #[arg(long, value_name = "KEY")]
    allow: Vec<String>,
    /// The least difference that matters [default: 5%,1ms for times, 5% for rates, 0.5% (points) for shares, 0.1% of the availability]; repeatable
    #[arg(long, value_name = "MEASURE=RELATIVE[,ABSOLUTE]", value_parser = parse_min_effect)]
    min_effect: Vec<MinEffectChoice>,
    /// Only these measures decide, as reconnect_latency.p99, token_requests.peak, recovery.p95, availability or outage_cost; with --gate, one that cannot be judged exits with 112; repeatable
    #[arg(long, value_name = "MEASURE")]
    decide_by: Vec<String>,
    /// The chance of a false alarm: that any measure is called changed when none is; half of it for worse
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = parse_alpha)]
    alpha: f64,
    /// The run-to-run noise that is assumed where no side has three repeats
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = parse_spread)]
    assumed_spread: f64,
    /// The seed of the resamples
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Show every measure, also those that did not change
    #[arg(long)]
    details: bool,
}

fn parse_alpha(text: &str) -> Result<f64, String> {
    match parse_share(text) {
        Ok(share) if (1e-6..=0.5).contains(&share) => Ok(share),
        _ => Err("a share from 0.0001% to 50% is needed, as 2%".to_owned()),
    }
}

fn parse_spread(text: &str) -> Result<f64, String> {
    parse_share(text).map_err(|_| "a share is needed, as 10%".to_owned())
}

pub(super) fn run(args: &CompareArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    if args.exports.is_empty() {
        return decide(args, out, err);
    }
    // What was written before is no answer of today.
    let old = args.exports.iter().map(|export| &export.path).filter(|path| path.is_file());
    old.for_each(|path| drop(std::fs::remove_file(path)));
    let mut told = Vec::new();
    let code = decide(args, out, &mut told);
    err.write_all(&told)?;
    let code = code?;
    let why = String::from_utf8_lossy(&told);
    for export in args.exports.iter().filter(|export| !export.path.exists()) {
        let text = match export.format {
            Format::Junit => refusal_junit(&why).map_err(io::Error::other)?,
            Format::Markdown => refusal_markdown(&why),
            Format::Text | Format::Json | Format::Csv | Format::Html => continue,
        };
        if let Err(fault) = write_named(&export.path, text.into_bytes()) {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Unexpected);
        }
    }
    Ok(code)
}

/// Compares, and tells what came of it.
fn decide(args: &CompareArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    // Before anything is read: what is wrong whatever the runs are.
    if settings(args, None, err)?.is_none() {
        return Ok(ExitCode::Usage);
    }
    if !args.trend.is_empty() {
        return run_trend(args, out, err);
    }
    let runs = match sides(args) {
        Ok(runs) => runs,
        Err((code, fault)) => {
            writeln!(err, "error: {fault}")?;
            return Ok(code);
        }
    };
    let inputs: Vec<&[String]> = if args.baseline.is_empty() {
        runs.chunks(1).collect()
    } else {
        vec![&args.baseline, &args.candidate]
    };
    let Some((baseline, candidates)) = read_sides(&inputs, err)? else {
        return Ok(ExitCode::Unreadable);
    };
    let pairs = Pairs { inputs: &inputs, baseline: &baseline, candidates: &candidates };
    let exchanges = exchange_measures([&baseline].into_iter().chain(&candidates));
    let Some(settings) = settings(args, Some(exchanges), err)? else { return Ok(ExitCode::Usage) };
    if args.gate {
        let invalid: Vec<String> = candidates.iter().flat_map(|set| invalid_runs(&set.repeats)).collect();
        for fault in &invalid {
            writeln!(err, "error: the candidate {fault}")?;
        }
        if !invalid.is_empty() {
            tell_remedy(args, pairs, &settings.measures, err)?;
            return Ok(ExitCode::NotValid);
        }
    }
    let mut reasons = Vec::new();
    let mut comparisons = Vec::new();
    for candidate in &candidates {
        let own = incomparable(&baseline.repeats, &candidate.repeats, &args.allow, &settings.measures);
        let mut comparison = compare(&baseline, candidate, &settings);
        comparison
            .notes
            .splice(0..0, own.iter().map(|reason| format!("not comparable, but forced: {reason}")));
        comparisons.push(comparison);
        reasons.extend(own);
    }
    if !args.force && tell(&reasons, err)? {
        tell_remedy(args, pairs, &settings.measures, err)?;
        tell_force(err)?;
        return Ok(ExitCode::Unreadable);
    }
    let made =
        Made { comparisons: &comparisons, baseline: &baseline, candidates: &candidates, settings: &settings };
    for export in &args.exports {
        let text = made.written(args, export.format, Style { colour: false })?;
        if let Err(fault) = write_named(&export.path, text.into_bytes()) {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Unexpected);
        }
    }
    let style = Style { colour: wants_colour(&io::stdout()) };
    out.write_all(made.written(args, args.format, style)?.as_bytes())?;
    out.flush()?;
    if !args.gate {
        return Ok(ExitCode::Pass);
    }
    let is_open = comparisons.iter().any(|comparison| comparison.is_left_open(args.strict));
    for missed in comparisons.iter().filter(|_| is_open).flat_map(Comparison::missed) {
        writeln!(err, "error: not judged: {missed}")?;
    }
    if comparisons.iter().any(|comparison| comparison.deciding().count() == 0) {
        writeln!(
            err,
            "error: not comparable: no measure that decides has enough values on both sides, so there is nothing to gate by"
        )?;
        return Ok(ExitCode::Unreadable);
    }
    Ok(gate_code(&comparisons, args.strict))
}

/// What is compared with what, and how the user named it.
#[derive(Clone, Copy)]
struct Pairs<'a> {
    inputs: &'a [&'a [String]],
    baseline: &'a RunSet,
    candidates: &'a [RunSet],
}

/// The command that would compare them all the same, without the runs that cannot be used; nothing where there is none.
fn tell_remedy(
    args: &CompareArgs,
    pairs: Pairs<'_>,
    measures: &[Measure],
    err: &mut dyn Write,
) -> io::Result<()> {
    let Some((of_baseline, of_candidates)) = pairs.inputs.split_first() else { return Ok(()) };
    let found = pairs
        .candidates
        .iter()
        .map(|candidate| remedy(&pairs.baseline.repeats, &candidate.repeats, &args.allow, measures));
    let Some(remedies) = found.collect::<Option<Vec<_>>>() else { return Ok(()) };
    let mut out: Vec<&str> =
        remedies.iter().flat_map(|remedy| &remedy.leave_out).map(String::as_str).collect();
    out.dedup();
    let mut allow: Vec<String> = remedies.iter().flat_map(|remedy| remedy.allow.clone()).collect();
    allow.sort();
    allow.dedup();
    if out.is_empty() && allow.is_empty() {
        return Ok(());
    }
    match out.as_slice() {
        [] => writeln!(err, "with what differs allowed:")?,
        out => writeln!(err, "without {}:", out.join(", "))?,
    }
    // Several candidates are told one by one where runs of one are to be listed.
    if out.is_empty() && pairs.candidates.len() > 1 {
        return writeln!(err, "    {}", command_that_allows(&typed(), &allow));
    }
    let is_last = args.runs.len() == 1;
    let named = if is_last { args.runs.clone() } else { pairs.inputs.concat() };
    let baseline = Named { inputs: of_baseline, set: pairs.baseline };
    for ((inputs, candidate), remedy) in of_candidates.iter().zip(pairs.candidates).zip(&remedies) {
        let sides = [baseline, Named { inputs, set: candidate }];
        writeln!(err, "    {}", command(&typed(), &named, sides, remedy))?;
    }
    Ok(())
}

/// What was asked for; `exchanges`: once the runs have said which there are. `None` once what is wrong was told.
fn settings(
    args: &CompareArgs,
    exchanges: Option<Vec<Measure>>,
    err: &mut dyn Write,
) -> io::Result<Option<Settings>> {
    let mut settings = Settings {
        alpha: args.alpha,
        assumed_spread: args.assumed_spread,
        seed: args.seed,
        named: args.decide_by.clone(),
        ..Settings::default()
    };
    let are_known = exchanges.is_some();
    settings.measures.extend(exchanges.unwrap_or_default());
    apply_min_effects(&mut settings.measures, &args.min_effect);
    let is_told_later = |name: &String| !are_known && name.starts_with(EXCHANGE_LATENCY);
    let names: Vec<String> = args.decide_by.iter().filter(|name| !is_told_later(name)).cloned().collect();
    if !names.is_empty()
        && let Err(fault) = decide_by(&mut settings.measures, &names)
    {
        writeln!(err, "error: {fault}")?;
        return Ok(None);
    }
    Ok(Some(settings))
}

/// What was named, with the runs that `last` stands for.
fn sides(args: &CompareArgs) -> Result<Vec<String>, (ExitCode, String)> {
    match args.runs.as_slice() {
        [last] if last == LAST => {
            let both = last_two(!args.allow.is_empty() || args.force)
                .map_err(|fault| (ExitCode::Unreadable, fault))?;
            Ok(both.iter().map(|folder| folder.display().to_string()).collect())
        }
        [alone] => {
            let fault = format!("{alone} is to be compared with another run: name both, the baseline first");
            Err((ExitCode::Usage, fault))
        }
        runs => Ok(runs.to_vec()),
    }
}

/// The baseline and the candidates; `None` once what cannot be read was told.
fn read_sides(inputs: &[&[String]], err: &mut dyn Write) -> io::Result<Option<(RunSet, Vec<RunSet>)>> {
    let Some(mut sets) = read_all(inputs, err)? else { return Ok(None) };
    let candidates = sets.split_off(sets.len().min(1));
    Ok(sets.pop().map(|baseline| (baseline, candidates)))
}

/// Every set; `None` once what cannot be read was told.
fn read_all(inputs: &[&[String]], err: &mut dyn Write) -> io::Result<Option<Vec<RunSet>>> {
    let mut sets = Vec::new();
    let mut is_whole = true;
    for input in inputs {
        match read_set(input) {
            Ok(set) => sets.push(set),
            Err(error) => {
                writeln!(err, "error: {error}")?;
                is_whole = false;
            }
        }
    }
    Ok(is_whole.then_some(sets))
}

/// What else there is.
fn tell_force(err: &mut dyn Write) -> io::Result<()> {
    writeln!(err, "--force compares them all the same, --allow KEY lets a key of the scenario differ")
}

/// Tells why what is not comparable is not. Answers with whether anything was told.
fn tell(reasons: &[String], err: &mut dyn Write) -> io::Result<bool> {
    for reason in reasons {
        writeln!(err, "error: not comparable: {reason}")?;
    }
    Ok(!reasons.is_empty())
}

fn run_trend(args: &CompareArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let inputs: Vec<&[String]> = args.trend.chunks(1).collect();
    let Some(mut sets) = read_all(&inputs, err)? else { return Ok(ExitCode::Unreadable) };
    order_releases(&mut sets);
    let Some(settings) = settings(args, Some(exchange_measures(&sets)), err)? else {
        return Ok(ExitCode::Usage);
    };
    let settings = &settings;
    let reasons: Vec<String> = sets
        .windows(2)
        .flat_map(|pair| incomparable(&pair[0].repeats, &pair[1].repeats, &args.allow, &settings.measures))
        .collect();
    if !args.force && tell(&reasons, err)? {
        let remedies: Option<Vec<_>> = sets
            .windows(2)
            .map(|pair| remedy(&pair[0].repeats, &pair[1].repeats, &args.allow, &settings.measures))
            .collect();
        let remedies = remedies.filter(|all| all.iter().all(|remedy| remedy.leave_out.is_empty()));
        let mut allow: Vec<String> = remedies.into_iter().flatten().flat_map(|remedy| remedy.allow).collect();
        allow.sort();
        allow.dedup();
        if !allow.is_empty() {
            writeln!(err, "with what differs allowed:\n    {}", command_that_allows(&typed(), &allow))?;
        }
        tell_force(err)?;
        return Ok(ExitCode::Unreadable);
    }
    let trend = trend(&sets, settings);
    let text = match args.format {
        Format::Text => trend_text(&trend, args.details, Style { colour: wants_colour(&io::stdout()) }),
        Format::Markdown => trend_markdown(&trend),
        Format::Json => serde_json::to_string_pretty(&trend_json(&trend))? + "\n",
        Format::Csv => trend_csv(&trend).map_err(io::Error::from)?,
        Format::Html => trend_html(&trend).map_err(io::Error::other)?,
        Format::Junit => {
            writeln!(err, "error: a trend has no JUnit: nothing in it passes or fails")?;
            return Ok(ExitCode::Usage);
        }
    };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::Pass)
}

/// The worst news of all candidates.
fn worst(comparisons: &[Comparison]) -> Finding {
    comparisons.iter().map(|comparison| comparison.finding).min().unwrap_or(Finding::Inconclusive)
}

/// Comparisons, and what they were made of.
struct Made<'a> {
    comparisons: &'a [Comparison],
    baseline: &'a RunSet,
    candidates: &'a [RunSet],
    settings: &'a Settings,
}

impl Made<'_> {
    fn written(&self, args: &CompareArgs, format: Format, style: Style) -> io::Result<String> {
        let rows = if args.details { Rows::All } else { Rows::Telling };
        let Self { comparisons, baseline, .. } = *self;
        Ok(match format {
            Format::Text => comparison_text(comparisons, rows, style),
            Format::Markdown => comparison_markdown(comparisons),
            Format::Json => {
                let json = comparison_json(comparisons, worst(comparisons), self.settings);
                serde_json::to_string_pretty(&json)? + "\n"
            }
            Format::Csv => comparison_csv(comparisons).map_err(io::Error::from)?,
            Format::Html => {
                let pairs = self.candidates.iter().zip(comparisons);
                let all: Vec<Compared<'_>> = pairs
                    .map(|(candidate, comparison)| Compared { baseline, candidate, comparison })
                    .collect();
                comparison_html(&all).map_err(io::Error::other)?
            }
            Format::Junit => comparison_junit(comparisons).map_err(io::Error::other)?,
        })
    }
}

fn gate_code(comparisons: &[Comparison], strict: bool) -> ExitCode {
    let fails =
        |comparison: &Comparison| comparison.finding == Finding::Regressed || comparison.is_left_open(strict);
    if comparisons.iter().any(fails) { ExitCode::Regression } else { ExitCode::Pass }
}
