//! `resurge merge`.
//!
//! In: run folders of shards, from anywhere. Out: one run folder, and its summary.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit_code::ExitCode;
use crate::record::{ATTEMPTS_FILE, Machines, MergeError, MergeInput, join_attempts, plan_merge};
use crate::report::{
    JOURNAL_FILE, Printed, RunModel, SHARDS_FOLDER, Style, WriteFault, printed_summary, write_all,
};
use crate::run::{FolderError, make_folder, shards_in};

use super::streams::wants_colour;

/// Starts that lie further apart than this are worth a word.
const APART_US: u64 = 1_000_000;

const EXAMPLE: &str = "\
Examples:
  resurge merge shard-1 shard-2 shard-3 shard-4 --out whole
  resurge merge run/shards/* --out again          (what `resurge run --shards` merges by itself)
Each second of the shards counts from its own start. A shard that is missing makes the exit code 111; merge again when it is there.";

/// Arguments of `resurge merge`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct MergeArgs {
    /// The run folders of the shards, in any order
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The merged run folder; it must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print all tables of the summary
    #[arg(long)]
    details: bool,
}

pub(super) fn run(args: &MergeArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    for run in &args.runs {
        if let Some(why) = no_shard(run) {
            writeln!(err, "error: {why}")?;
            return Ok(ExitCode::Unreadable);
        }
    }
    let inputs: Vec<MergeInput> =
        args.runs.iter().map(|run| MergeInput::in_folder(run, JOURNAL_FILE)).collect();
    let plan = match plan_merge(&inputs, Machines::Several, &BTreeMap::new()) {
        Ok(plan) => plan,
        Err(error) => return refuse(&error, err),
    };
    let apart_us = plan.starts_apart_us();
    if apart_us > APART_US {
        let apart_s = apart_us as f64 / 1e6;
        writeln!(
            err,
            "note: the shards began up to {apart_s:.1} s apart; each second counts from its shard's own start"
        )?;
    }
    let manifest = plan.manifest();
    let folder = match make_folder(Some(&args.out), &manifest.scenario, manifest.started_unix_us) {
        Ok(folder) => folder,
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(if matches!(error, FolderError::Exists { .. }) {
                ExitCode::Usage
            } else {
                ExitCode::Unexpected
            });
        }
    };
    let path = folder.join(JOURNAL_FILE);
    let (journal, unwritten) = match plan.write_or_keep(&path) {
        Ok(merged) => merged,
        Err(error) => return refuse(&error, err),
    };
    let model = RunModel::new(journal);
    let fault = unwritten.map(|source| WriteFault { path, source });
    let joined = join_attempts(&args.runs, &folder).err();
    let joined = joined.map(|source| WriteFault { path: folder.join(ATTEMPTS_FILE), source });
    let faults: Vec<WriteFault> = fault.into_iter().chain(joined).chain(write_all(&model, &folder)).collect();
    let style = Style { colour: wants_colour(&io::stdout()) };
    writeln!(err, "run folder: {}", folder.display())?;
    let printed = Printed { style, details: args.details, folder: Some(&folder) };
    write!(out, "{}", printed_summary(&model, printed))?;
    out.flush()?;
    for fault in &faults {
        writeln!(err, "error: {fault}")?;
    }
    Ok(model.verdict.exit_code.if_written(faults.is_empty()))
}

/// Why `run` cannot be merged: it has no journal.
fn no_shard(run: &Path) -> Option<String> {
    let name = run.display();
    match (run.join(JOURNAL_FILE).symlink_metadata(), shards_in(run)) {
        (Ok(_), _) => None,
        _ if !run.is_dir() => Some(format!("{name} is no run folder: there is no such folder")),
        (Err(_), shards) if shards.is_empty() => {
            Some(format!("{name} is no run folder: there is no {JOURNAL_FILE} in it"))
        }
        _ => Some(format!(
            "{name} has no {JOURNAL_FILE} of its own, but shards: name {name}/{SHARDS_FOLDER}/*, or look at it with `resurge report`"
        )),
    }
}

fn refuse(error: &MergeError, err: &mut dyn Write) -> io::Result<ExitCode> {
    writeln!(err, "error: {error}")?;
    Ok(if matches!(error, MergeError::Write { .. }) { ExitCode::Unexpected } else { ExitCode::Unreadable })
}
