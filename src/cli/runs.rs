//! `resurge runs`, and what `last` stands for.
//!
//! In: the folder that runs go to. Out: its runs, a line each; or the folder of the last.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;

use crate::clock::Clock;
use crate::exit_code::ExitCode;
use crate::run::{ListedRun, REPORTS, Told, list_runs};
use crate::units::{format_count, format_share, format_us};

/// What stands for the last run where a run is named.
pub(super) const LAST: &str = "last";

const EXAMPLE: &str = "\
Examples:
  resurge runs
  resurge runs nightly/ --most 100
  resurge open last          (its page, in the browser)
  resurge report last        (its summary)
  resurge compare last       (with the run before it of the same scenario)";

/// Arguments of `resurge runs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct RunsArgs {
    /// The folder that holds the run folders
    #[arg(default_value = REPORTS)]
    folder: PathBuf,
    /// The number of runs to list, the latest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    most: usize,
}

pub(super) fn run(args: &RunsArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let runs = match list_runs(&args.folder) {
        Ok(runs) if !runs.is_empty() => runs,
        found => {
            let why = found.err().map(|error| format!(": {error}")).unwrap_or_default();
            writeln!(err, "error: there is no run folder in {}{why}", args.folder.display())?;
            return Ok(ExitCode::Unreadable);
        }
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(Clock::start().unix_us_now());
    let shown = &runs[..runs.len().min(args.most)];
    out.write_all(table(shown, now).as_bytes())?;
    if shown.len() < runs.len() {
        let (left, folder) = (runs.len() - shown.len(), args.folder.display());
        writeln!(err, "{left} older ones in {folder}: --most {} shows them too", runs.len())?;
    }
    Ok(ExitCode::Pass)
}

/// The runs, a line each; the folder stands last, for it may be long.
fn table(runs: &[ListedRun], now: SystemTime) -> String {
    let mut rows =
        vec![["ended", "verdict", "clients", "attempts", "p99", "403 rate", "run"].map(str::to_owned)];
    for run in runs {
        let age = age(now.duration_since(run.written).unwrap_or_default());
        let folder = run.folder.display().to_string();
        let cells = match &run.told {
            None => [
                age,
                "no report yet".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                folder,
            ],
            Some(told) => {
                let verdict = told.status.title().to_lowercase();
                let verdict = if told.is_simulated { format!("{verdict} (virtual)") } else { verdict };
                let p99 = told.reconnect_p99_us.map_or_else(|| "-".to_owned(), format_us);
                [
                    age,
                    verdict,
                    format_count(told.clients),
                    format_count(told.attempts),
                    p99,
                    rate(told),
                    folder,
                ]
            }
        };
        rows.push(cells);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Words to the left, numbers to the right.
            line.push_str(&if column == 1 {
                format!("  {cell:<width$}")
            } else {
                format!("  {cell:>width$}")
            });
        }
        text.push_str(&format!("{line}  {}\n", row[6]));
    }
    text
}

fn rate(told: &Told) -> String {
    let (refused, answered) = told.refused_403;
    if answered == 0 { "-".to_owned() } else { format_share(refused as f64 / answered as f64) }
}

/// How long ago, in one unit.
fn age(since: Duration) -> String {
    let seconds = since.as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// The folder of a run that is named: the last one of those that runs go to, where that is what was said.
///
/// # Errors
/// There is none: a sentence that says so.
pub(super) fn run_named(name: &Path) -> Result<PathBuf, String> {
    if name != Path::new(LAST) {
        return Ok(name.to_owned());
    }
    let runs = list_runs(Path::new(REPORTS)).unwrap_or_default();
    runs.into_iter().find(|run| !run.is_sample()).map(|run| run.folder).ok_or_else(none)
}

/// The last run, and before it the last of the same scenario; where there is none such, or keys may differ, the last of a scenario of that name. Runs that
/// were made here, and not the shipped sample.
///
/// # Errors
/// There are no two: a sentence that says so.
pub(super) fn last_two(may_differ: bool) -> Result<[PathBuf; 2], String> {
    let runs = list_runs(Path::new(REPORTS)).unwrap_or_default();
    two_of(runs.into_iter().filter(|run| !run.is_sample()), may_differ)
}

/// Two of these runs, the last of which comes first.
fn two_of(runs: impl Iterator<Item = ListedRun>, may_differ: bool) -> Result<[PathBuf; 2], String> {
    let mut runs = runs.filter_map(|run| Some((run.folder, run.told?)));
    let (last, what) = runs.next().ok_or_else(none)?;
    let before: Vec<(PathBuf, Told)> = runs
        .filter(|(_, other)| other.name == what.name && other.is_simulated == what.is_simulated)
        .collect();
    let same = before.iter().find(|(_, other)| other.hash == what.hash).filter(|_| !may_differ);
    match same.or_else(|| before.first()) {
        Some((before, _)) => Ok([before.clone(), last]),
        None => Err(format!(
            "there is no earlier run in {REPORTS} of the scenario of {} ({})",
            last.display(),
            what.name
        )),
    }
}

fn none() -> String {
    format!("there is no run folder in {REPORTS}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    #[test]
    fn the_last_is_compared_with_the_one_before_it_of_its_scenario() {
        let told = |name: &str, hash: &str, is_simulated| Told {
            hash: hash.to_owned(),
            name: name.to_owned(),
            status: Status::Pass,
            clients: 1,
            attempts: 1,
            reconnect_p99_us: None,
            refused_403: (0, 1),
            is_simulated,
            started_unix_us: 1,
        };
        let of = |runs: &[(&str, &str, &str, bool)], may_differ| {
            let listed = runs.iter().map(|(folder, name, hash, is_simulated)| ListedRun {
                folder: PathBuf::from(folder),
                written: SystemTime::UNIX_EPOCH,
                told: Some(told(name, hash, *is_simulated)),
            });
            two_of(listed, may_differ).map(|two| two.map(|folder| folder.display().to_string()))
        };
        let runs = [
            ("d", "storm", "1", false),
            ("c", "storm", "2", false),
            ("e", "storm", "1", true),
            ("b", "other", "1", false),
            ("a", "storm", "1", false),
        ];
        let two = |before: &str, last: &str| Ok([before.to_owned(), last.to_owned()]);
        assert_eq!(of(&runs, false), two("a", "d"), "the same keys, whatever was run between");
        assert_eq!(of(&runs, true), two("c", "d"), "keys may differ");
        assert_eq!(of(&runs[..2], false), two("c", "d"), "what differs is told by the comparison");
        let alone = of(&[runs[0], runs[2], runs[3]], false).unwrap_err();
        assert_eq!(alone, "there is no earlier run in reports of the scenario of d (storm)");
    }

    #[test]
    fn each_run_has_a_line() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let told = Told {
            hash: "1".to_owned(),
            name: "a".to_owned(),
            status: Status::ThresholdFailed,
            clients: 5_000,
            attempts: 36_992,
            reconnect_p99_us: Some(3_540),
            refused_403: (4_000, 36_992),
            is_simulated: false,
            started_unix_us: 1,
        };
        let quiet = Told {
            reconnect_p99_us: None,
            refused_403: (0, 0),
            is_simulated: true,
            status: Status::Pass,
            ..told.clone()
        };
        let run = |name: &str, seconds: u64, told| ListedRun {
            folder: Path::new("reports").join(name),
            written: now - Duration::from_secs(seconds),
            told,
        };
        let runs = [run("a", 59, Some(told)), run("b", 7_300, Some(quiet)), run("c", 900_000, None)];
        insta::assert_snapshot!(table(&runs, now), @r"
             ended  verdict           clients  attempts      p99  403 rate  run
          59 s ago  threshold failed    5,000    36,992  3.54 ms     10.8%  reports/a
           2 h ago  pass (virtual)      5,000    36,992        -         -  reports/b
          10 d ago  no report yet           -         -        -         -  reports/c
        ");
    }
}
