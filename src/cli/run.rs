//! `resurge run`.
//!
//! In: arguments. Out: the summary on stdout, progress on stderr, reports in files that were asked for.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::report::{Style, WriteFault, summary_text};
use crate::run::{RunError, RunRequest, run as run_scenario};
use crate::scenario::ScenarioError;

use super::ci::tell_ci;
use super::progress::{Progress, ProgressKind, progress};
use super::report::{Export, export, parse_export};
use super::{UNEXPECTED, parse_override, wants_colour};

const EXAMPLE: &str = "\
Examples:
  resurge run scenarios/idle-reconnect.toml
  resurge run scenarios/smoke.toml --set groups.0.clients=200 --set duration=10s --out reports/mine
  resurge run scenarios/smoke.toml --export junit=reports/junit.xml --export benchmark=reports/benchmark.json
  resurge run staging.toml --authorize api.staging.example.com --progress plain";

/// Arguments of `resurge run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct RunArgs {
    /// The scenario file
    scenario: PathBuf,
    /// The run folder; it must not exist yet [default: reports/<scenario>-<UTC>-<4 hex>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Override a key of the scenario by its dotted path; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// Override the seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How progress is shown, on stderr
    #[arg(long, value_enum, default_value = "auto")]
    progress: ProgressKind,
    /// Write a report to a file of its own as well, as junit=reports/junit.xml; repeatable
    #[arg(long = "export", value_name = "FORMAT=PATH", value_parser = parse_export)]
    exports: Vec<Export>,
    /// Allow load on a host that is neither loopback nor private; its owner must have agreed; repeatable
    #[arg(long, value_name = "HOST")]
    authorize: Vec<String>,
}

pub(super) fn run(args: &RunArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let Progress { show, finish } = progress(args.progress);
    let request = RunRequest {
        scenario: args.scenario.clone(),
        overrides: args.overrides.clone(),
        seed: args.seed,
        out: args.out.clone(),
        authorised: args.authorize.clone(),
        on_progress: show,
    };
    let done = run_scenario(request);
    finish();
    let done = match done {
        Ok(done) => done,
        Err(RunError::Scenario(ScenarioError::Faults(faults))) => {
            writeln!(err, "{}", faults.render(wants_colour(&io::stderr())))?;
            return Ok(104);
        }
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(error.exit_code());
        }
    };
    let style = Style { colour: wants_colour(&io::stdout()) };
    // A closed stdout must not change how the run came out.
    let printed = write!(out, "{}", summary_text(&done.model, style)).and_then(|()| out.flush());
    writeln!(err, "run folder: {}", done.folder.display())?;
    let exported = args.exports.iter().filter_map(|wanted| export(&done.model, wanted).err());
    let faults: Vec<WriteFault> = done.write_faults.into_iter().chain(exported).collect();
    for fault in &faults {
        writeln!(err, "error: {fault}")?;
    }
    tell_ci(&done.model, err)?;
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        _ => {}
    }
    let code = done.model.verdict.exit_code;
    Ok(if code == 0 && !faults.is_empty() { UNEXPECTED } else { code })
}
