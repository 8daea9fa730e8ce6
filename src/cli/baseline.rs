//! `resurge baseline`.
//!
//! In: runs and a name. Out: a baseline, small enough for version control.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::compare::{
    BASELINE_ENDING, BASELINES, Remedy, Repeat, Validity, baseline_file, incomparable, pack_baseline,
    read_baseline, remedy,
};
use crate::exit_code::ExitCode;
use crate::report::{quoted_for_shell, write_file};
use crate::units::format_count;

use super::run_sets::{read_set, short_name};

const EXAMPLE: &str = "\
Examples:
  resurge baseline save reports/smoke-* --name v1.2      (five repeats make a good baseline)
  resurge compare v1.2 reports/new/ --gate";

/// Arguments of `resurge baseline`.
#[derive(Debug, Args)]
pub(super) struct BaselineArgs {
    #[command(subcommand)]
    command: BaselineCommand,
}

#[derive(Debug, Subcommand)]
enum BaselineCommand {
    /// Save runs as a baseline: a small file to keep in git
    Save(SaveArgs),
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
struct SaveArgs {
    /// The run folders: repeats of one scenario; or a folder of them
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// Its name: letters, digits, '.', '-' and '_', as v1.2
    #[arg(long, value_name = "NAME", value_parser = baseline_file)]
    name: String,
    /// The folder that it is saved in
    #[arg(long, value_name = "DIR", default_value = BASELINES)]
    folder: PathBuf,
    /// Replace a baseline of that name
    #[arg(long)]
    force: bool,
    /// Save runs all the same in which a threshold failed; repeatable
    #[arg(long, value_enum, value_name = "WHAT")]
    allow: Vec<Allowed>,
}

/// What a baseline may have all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Allowed {
    /// Runs in which a threshold failed.
    Thresholds,
}

pub(super) fn run(args: &BaselineArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let BaselineCommand::Save(args) = &args.command;
    save(args, out, err)
}

fn save(args: &SaveArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let mut set = match read_set(&args.runs) {
        Ok(set) => set,
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(ExitCode::Unreadable);
        }
    };
    let reasons = incomparable(&set.repeats, &set.repeats, &[], &[]);
    if !reasons.is_empty() {
        for reason in &reasons {
            writeln!(err, "error: no baseline can be made of these: {reason}")?;
        }
        let remedy = remedy(&set.repeats, &set.repeats, &[], &[]).filter(|remedy| remedy.allow.is_empty());
        if let Some(Remedy { leave_out, .. }) = remedy {
            let kept = set.repeats.iter().map(|run| &run.facts.source);
            let kept: Vec<String> = kept.filter(|source| !leave_out.contains(source)).cloned().collect();
            writeln!(err, "without {}:\n    {}", leave_out.join(", "), command(args, &kept))?;
        }
        let is_invalid = set.repeats.iter().any(|run| run.facts.validity == Validity::NotValid);
        return Ok(if is_invalid { ExitCode::NotValid } else { ExitCode::Unreadable });
    }
    // A valid run has reasons only where a threshold failed: what fails today is no measure for tomorrow.
    let failed: Vec<&Repeat> = set.repeats.iter().filter(|run| !run.facts.reasons.is_empty()).collect();
    if !failed.is_empty() && !args.allow.contains(&Allowed::Thresholds) {
        for run in &failed {
            let why = run.facts.reasons.join("; ");
            writeln!(err, "error: {} failed its thresholds ({why})", run.facts.source)?;
        }
        writeln!(err, "no baseline is made of a run that failed: --allow thresholds makes one all the same")?;
        return Ok(ExitCode::ThresholdFailed);
    }
    // Where they lay on this machine is nobody's business.
    for run in &mut set.repeats {
        run.facts.source = short_name(&run.facts.source).to_owned();
    }
    let path = args.folder.join(&args.name);
    if path.symlink_metadata().is_ok() && !args.force {
        writeln!(err, "error: {} is there already: --force replaces it", path.display())?;
        return Ok(ExitCode::Usage);
    }
    match write(&set.repeats, &path) {
        Ok((bytes, digits)) => {
            writeln!(
                out,
                "saved {}: {} runs, {} bytes, times to ±{:.2}%",
                path.display(),
                set.repeats.len(),
                format_count(bytes as u64),
                100.0 * 0.5_f64.powi(i32::from(digits) + 1)
            )?;
            Ok(ExitCode::Pass)
        }
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            Ok(ExitCode::Unexpected)
        }
    }
}

/// The same command with these runs.
fn command(args: &SaveArgs, runs: &[String]) -> String {
    let name = args.name.strip_suffix(BASELINE_ENDING).and_then(|name| name.strip_suffix('.'));
    let mut words = ["resurge", "baseline", "save"].map(str::to_owned).to_vec();
    words.extend_from_slice(runs);
    words.extend(["--name".to_owned(), name.unwrap_or(&args.name).to_owned()]);
    if args.folder != std::path::Path::new(BASELINES) {
        words.extend(["--folder".to_owned(), args.folder.display().to_string()]);
    }
    words.extend(args.force.then(|| "--force".to_owned()));
    words.iter().map(|word| quoted_for_shell(word)).collect::<Vec<_>>().join(" ")
}

/// Writes the file, whole or not at all. Answers with its size and the binary digits that it keeps.
fn write(repeats: &[Repeat], path: &std::path::Path) -> Result<(usize, u8), String> {
    let bytes = pack_baseline(repeats).map_err(|error| error.to_string())?;
    let name = path.display().to_string();
    let read = read_baseline(&bytes, &name).map_err(|error| error.to_string())?;
    let digits = read.first().map_or(0, |run| run.facts.precision);
    let fault = |error: io::Error| format!("cannot write {name}: {error}");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault)?;
    }
    write_file(path, &bytes).map_err(|fault| fault.to_string())?;
    Ok((bytes.len(), digits))
}
