//! The command line: what was typed, and nothing more. A file for each subcommand.
//!
//! In: arguments. Out: text on stdout (data) and stderr (progress, faults), and an exit code.

mod baseline;
mod check;
mod ci;
#[cfg(feature = "cluster")]
mod cluster;
mod compare;
mod compare_command;
mod completions;
mod counters_text;
mod diagnose;
mod ended;
mod endpoints;
mod examples;
mod init;
mod key_value;
#[cfg(feature = "cluster")]
mod launch;
mod logging;
mod man;
mod mark;
mod merge;
mod open;
mod otlp;
mod plain;
mod progress;
mod report;
mod run;
mod run_sets;
mod runs;
mod schema;
mod serve;
mod simulate;
mod streams;
mod sweep;
#[cfg(feature = "cluster")]
mod worker;

use std::io::{self, Write};

use clap::{CommandFactory, Parser, Subcommand};

use crate::exit_code::{ExitCode, exit_codes_help};
use crate::machine::survive_file_size_limit;
use crate::run::guard_commands;

use streams::{Unheard, UntilClosed};

/// A load-simulation harness for token-authenticated WebSocket services.
#[derive(Debug, Parser)]
#[command(name = "resurge", version, about, long_about = None, after_help = exit_codes_help())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario, write a run folder, print the summary; the exit code gives the verdict
    Run(run::RunArgs),
    /// Take a share of a run that a coordinator leads over a NATS server
    #[cfg(feature = "cluster")]
    Worker(worker::WorkerArgs),
    /// Print what starts a run on many machines: manifests for Kubernetes, a batch script for Slurm
    #[cfg(feature = "cluster")]
    Cluster(launch::LaunchArgs),
    /// Run a scenario in virtual time, without sockets: any number of clients, a day in seconds, reproducible by the seed
    Simulate(simulate::SimulateArgs),
    /// Run the embedded target on its own, for any client
    Serve(serve::ServeArgs),
    /// Write a first scenario: from three answers, a k6 script or a browser's recording
    Init(init::InitArgs),
    /// List the shipped scenarios, or print one
    Examples(examples::ExamplesArgs),
    /// Check scenarios, report all faults at once, and describe the plan
    Check(check::CheckArgs),
    /// Run controlled experiments with one client, and say why its reconnect is refused
    Diagnose(diagnose::DiagnoseArgs),
    /// Print any report of a run folder, also after a crash
    Report(report::ReportArgs),
    /// List the runs of a folder: age, verdict, p99 of the reconnect latency, rate of 403
    Runs(runs::RunsArgs),
    /// Open a run's page in the browser
    Open(open::OpenArgs),
    /// Merge the run folders of shards into one, without loss
    Merge(merge::MergeArgs),
    /// Mark this moment in a running run, as from the CI step that deploys
    Mark(mark::MarkArgs),
    /// Compare runs or baselines: improved, regressed or inconclusive; --gate sets the exit code
    Compare(compare::CompareArgs),
    /// Run a scenario with every combination of some keys' values, and rank them
    Sweep(sweep::SweepArgs),
    /// Save runs as a baseline to keep in git
    Baseline(baseline::BaselineArgs),
    /// Print the JSON Schema of the scenario file, or of run.json
    Schema(schema::SchemaArgs),
    /// Print shell completions
    Completions(completions::CompletionsArgs),
    /// Write the manual pages to a folder; packages are made with it
    #[command(hide = true)]
    Man(man::ManArgs),
    /// End the commands of a run's events where the run was killed; a run starts it for itself
    #[command(hide = true)]
    EventGuard,
}

/// Parses the arguments, does what they say, and answers with the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // RESURGE_LOG=debug shows what the program does; TRACE is compiled out, for some libraries log tokens there.
    logging::start();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where nobody reads it, there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Pass };
        }
    };
    if let Err(error) = survive_file_size_limit() {
        log::debug!("a limit of file sizes would end this process: {error}");
    }
    let (mut out, mut err) = (UntilClosed::new(io::stdout().lock()), Unheard(io::stderr()));
    let code = match &arguments.command {
        Command::Run(args) => run::run(args, &mut out, &mut err),
        #[cfg(feature = "cluster")]
        Command::Worker(args) => worker::run(args, &mut err),
        #[cfg(feature = "cluster")]
        Command::Cluster(args) => launch::run(args, &mut out, &mut err),
        Command::Simulate(args) => simulate::run(args, &mut out, &mut err),
        Command::Serve(args) => serve::run(args, &mut out, &mut err),
        Command::Init(args) => init::run(args, &mut out, &mut err),
        Command::Examples(args) => examples::run(args, &mut out, &mut err),
        Command::Check(args) => check::run(args, &mut out, &mut err),
        Command::Diagnose(args) => diagnose::run(args, &mut out, &mut err),
        Command::Report(args) => report::run(args, &mut out, &mut err),
        Command::Runs(args) => runs::run(args, &mut out, &mut err),
        Command::Open(args) => open::run(args, &mut out, &mut err),
        Command::Merge(args) => merge::run(args, &mut out, &mut err),
        Command::Mark(args) => mark::run(args, &mut out, &mut err),
        Command::EventGuard => {
            guard_commands(io::stdin().lock());
            Ok(ExitCode::Pass)
        }
        Command::Compare(args) => compare::run(args, &mut out, &mut err),
        Command::Sweep(args) => sweep::run(args, &mut out, &mut err),
        Command::Baseline(args) => baseline::run(args, &mut out, &mut err),
        Command::Schema(args) => schema::run(args, &mut out, &mut err),
        Command::Completions(args) => completions::run(args, &mut Arguments::command(), &mut out),
        Command::Man(args) => man::run(args, Arguments::command(), &mut err),
    };
    let (code, fault) = match (code, out.flush()) {
        (Ok(code), Ok(())) => return code,
        (Ok(code), Err(error)) => (code, error),
        (Err(error), _) => (ExitCode::Unexpected, error),
    };
    let _ = writeln!(err, "error: {fault}");
    code.if_written(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
