//! `resurge check`.
//!
//! In: scenario files. Out: each one's plan in words, or all its faults.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::exit_code::ExitCode;
use crate::plan::{Share, check_budget, check_split, needs, own_limits, shards_needed};
use crate::run::machine_of;
use crate::scenario::keys::Scenario;
use crate::scenario::{ScenarioError, describe, load_for_traffic};
use crate::units::format_count;

use super::key_value::parse_override;
use super::streams::wants_colour;

const EXAMPLE: &str = "\
Examples:
  resurge check scenarios/*.toml
  resurge check scenarios/smoke.toml --set groups.0.clients=200";

/// Arguments of `resurge check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct CheckArgs {
    /// The scenario files
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    /// Override a key of the scenarios by its dotted path; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
}

pub(super) fn run(args: &CheckArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let mut code = ExitCode::Pass;
    for path in &args.scenarios {
        match load_for_traffic(path, &args.overrides, None, &|name| std::env::var(name).ok()) {
            Ok(loaded) => {
                write!(out, "{}", describe(&loaded))?;
                write_budget(&loaded.scenario, out)?;
            }
            Err(ScenarioError::Faults(faults)) => {
                writeln!(err, "{}", faults.render(wants_colour(&io::stderr())))?;
                code = ExitCode::ScenarioInvalid;
            }
            Err(error) => {
                writeln!(err, "error: {error}")?;
                code = ExitCode::ScenarioInvalid;
            }
        }
    }
    Ok(code)
}

/// What a scenario needs of this machine, and what to do where one process does not hold it.
fn write_budget(scenario: &Scenario, out: &mut dyn Write) -> io::Result<()> {
    let machine = machine_of(scenario);
    let needs = needs(scenario, Share::WHOLE, machine.target_addresses);
    let (descriptors, ports) = (format_count(needs.descriptors), format_count(needs.ports));
    writeln!(
        out,
        "  needs at most {descriptors} file descriptors, and {ports} local ports towards one address"
    )?;
    let shards = shards_needed(scenario, &machine);
    if let Err(whole) = check_budget(scenario, &machine, Share::WHOLE) {
        let text = match check_split(scenario, &machine, shards) {
            Ok(each) if shards > 1 => format!(
                "needs --shards {shards} on this machine: {} file descriptors in each, a process may open {}",
                format_count(each.descriptors),
                format_count(machine.descriptors)
            ),
            Ok(_) => format!("does not fit this machine: {whole}"),
            // What still does not fit when it is split.
            Err(split) => format!("does not fit this machine: {split}"),
        };
        writeln!(out, "  {text}")?;
    }
    let own = own_limits(scenario);
    if !own.is_empty() {
        writeln!(
            out,
            "  in shards, each has a target of its own: {} would hold for each, not for all together",
            own.join(", ")
        )?;
    }
    Ok(())
}
