//! `resurge worker`.
//!
//! In: a NATS server, the name of a run. Out: a share of the run, and its journal in a folder.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::drive::network::parse_host;
use crate::exit_code::ExitCode;
use crate::plan::MOST_SHARDS;
use crate::run::{RunName, WorkRequest, work};

use super::cluster::{ADDRESS, LinkArgs};
use super::ended::tell_refusal;
use super::key_value::parse_time;

const EXAMPLE: &str = "\
Examples:
  resurge run staging.toml --cluster nats://127.0.0.1:4222 --workers 2 --run nightly
  resurge worker --cluster nats://127.0.0.1:4222 --run nightly    (twice, on any machine)

Without --index, the number is taken from JOB_COMPLETION_INDEX (from 0), SLURM_ARRAY_TASK_ID (from 0) or SLURM_PROCID
(from 0), and without any of them a free share is taken.";

/// The variables that schedulers set, which count from 0. In each task of an array SLURM_PROCID is 0.
const INDEXES: [&str; 3] = ["JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID", "SLURM_PROCID"];

/// Arguments of `resurge worker`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct WorkerArgs {
    /// The NATS server, as nats://127.0.0.1:4222
    #[arg(long, value_name = "URL", env = ADDRESS, hide_env_values = true)]
    cluster: String,
    /// The run's name
    #[arg(long, value_name = "NAME", env = "RESURGE_RUN")]
    run: RunName,
    /// The share to take, from 1
    #[arg(long, value_name = "I", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    index: Option<u32>,
    /// The folder of the share's journal; it must not exist yet [default: reports/<scenario>-<share>-<UTC>-<4 hex>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Allow load on a host that is neither loopback nor private; its owner must have agreed; repeatable
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    authorize: Vec<String>,
    /// Let the scenario's events run commands and send signals on this machine, with your rights
    #[arg(long)]
    allow_commands: bool,
    /// How long to wait for the run, and for a connection to NATS that is fast enough for the common start
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_time)]
    wait: Duration,
    /// Stop when the coordinator was silent for this long [default: go on to the planned end]
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    orphan_grace: Option<Duration>,
    /// How long the coordinator may take for the rest of the journal after the share has ended
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_time)]
    upload_within: Duration,
    /// Be one of the further processes of a worker
    #[arg(long, hide = true, requires = "index")]
    part: bool,
    #[command(flatten)]
    link: LinkArgs,
}

pub(super) fn run(args: &WorkerArgs, err: &mut dyn Write) -> io::Result<ExitCode> {
    let request = WorkRequest {
        link: args.link.link(&args.cluster),
        run: args.run.clone(),
        index: match args.index.map(Ok).or_else(|| index_of(&|name| std::env::var(name).ok())).transpose() {
            Ok(index) => index,
            Err(fault) => {
                writeln!(err, "error: {fault}")?;
                return Ok(ExitCode::Usage);
            }
        },
        out: args.out.clone(),
        authorised: args.authorize.clone(),
        allow_commands: args.allow_commands,
        wait: args.wait,
        is_part: args.part,
        orphan_grace: args.orphan_grace,
        upload_within: args.upload_within,
    };
    let mut told = |text: &str| drop(writeln!(err, "{text}"));
    match work(&request, &mut told) {
        Ok(code) => Ok(code),
        Err(error) => tell_refusal(&error, err),
    }
}

/// The share by the scheduler that started this.
fn index_of(env: &dyn Fn(&str) -> Option<String>) -> Option<Result<u32, String>> {
    let (name, text) = INDEXES.iter().find_map(|name| env(name).map(|text| (name, text)))?;
    let index = text.trim().parse::<u32>().ok().and_then(|index| index.checked_add(1));
    Some(index.ok_or_else(|| format!("{name} is {text:?}, which is no index: name the share with --index")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_count_from_zero() {
        let with = |name: &'static str, value: &'static str| {
            index_of(&move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(with("JOB_COMPLETION_INDEX", "0"), Some(Ok(1)));
        assert_eq!(with("SLURM_ARRAY_TASK_ID", "7"), Some(Ok(8)));
        assert!(with("SLURM_PROCID", "-1").unwrap().is_err());
        assert_eq!(with("OTHER", "3"), None);
    }
}
