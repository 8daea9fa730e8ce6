//! `resurge cluster`.
//!
//! In: a scenario, how many workers, where they run. Out: on stdout what starts them there; nothing is started.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::clock::{Clock, Moment};
use crate::drive::network::parse_host;
use crate::exit_code::ExitCode;
use crate::launch::{
    Contents, KubernetesLaunch, Launch, LaunchError, SlurmLaunch, kubernetes_manifests, read_contents,
    slurm_script,
};
use crate::plan::MOST_SHARDS;
use crate::run::RunName;
use crate::scenario::ScenarioError;

use super::key_value::{parse_override, parse_time};
use super::streams::wants_colour;

const KUBERNETES: &str = "\
Examples:
  resurge cluster kubernetes staging.toml --workers 8 --image registry.example.com/resurge:0.1.0 --nats-creds-secret nats > run.yaml
  kubectl apply -f run.yaml

The image holds `resurge`, built with the feature `cluster`. NATS is looked for where its Helm chart puts it: tls://nats:4222.";

const SLURM: &str = "\
Examples:
  resurge cluster slurm staging.toml --workers 8 --nats tls://nats.example.com:4222 --nats-creds nats.creds > run.sh
  sbatch run.sh
  sbatch --array=0-7 --ntasks=1 run.sh

Without --nats, the job takes the NATS server from RESURGE_CLUSTER as it is when sbatch is called.";

/// Arguments of `resurge cluster`.
#[derive(Debug, Args)]
pub(super) struct LaunchArgs {
    #[command(subcommand)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Place {
    /// Print manifests: a ConfigMap with the scenario, a Job of the coordinator, an Indexed Job of the workers
    Kubernetes(KubernetesArgs),
    /// Print a batch script: the coordinator in the batch step, a worker in each task
    Slurm(SlurmArgs),
}

/// What every place needs.
#[derive(Debug, Args)]
struct CommonArgs {
    /// The scenario file
    scenario: PathBuf,
    /// The number of workers that share the clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    workers: u32,
    /// The run's name; a name is used once [default: <scenario>-<4 hex>; of a Slurm job <scenario>-<job>]
    #[arg(long, value_name = "NAME")]
    run: Option<RunName>,
    /// Override a key of the scenario by its dotted path; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// How long to wait for the workers to become ready, and for the coordinator
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_time)]
    ready_within: Duration,
    /// Allow load on a host that is neither loopback nor private; its owner must have agreed; repeatable
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    authorize: Vec<String>,
    /// Let the scenario's events run commands and send signals where the workers run
    #[arg(long)]
    allow_commands: bool,
    /// Accept a NATS server in plain text, or without a user: for a network of your own
    #[arg(long)]
    nats_insecure: bool,
}

/// Arguments of `resurge cluster kubernetes`.
#[derive(Debug, Args)]
#[command(after_help = KUBERNETES)]
struct KubernetesArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The image with `resurge`
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// The namespace [default: that of kubectl]
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// The Secret with the scenario's variables: a key for each { env = "KEY" }
    #[arg(long, value_name = "NAME", default_value = "resurge-secrets")]
    secret: String,
    /// The Secret with the files that the scenario names and that may hold secrets
    #[arg(long, value_name = "NAME")]
    files_secret: Option<String>,
    /// The claim of the volume that keeps the run folder; without it the log keeps the summary
    #[arg(long, value_name = "NAME")]
    reports_claim: Option<String>,
    /// The NATS server, as the pods reach it [default: tls://nats:4222; with --nats-insecure nats://nats:4222]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// The Secret with a credentials file for the NATS server, under the key nats.creds
    #[arg(long, value_name = "NAME")]
    nats_creds_secret: Option<String>,
    /// The Secret with the CA certificate (PEM) of the NATS server, under the key ca.crt
    #[arg(long, value_name = "NAME")]
    nats_ca_secret: Option<String>,
}

/// Arguments of `resurge cluster slurm`.
#[derive(Debug, Args)]
#[command(after_help = SLURM)]
struct SlurmArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The path of `resurge` on the nodes
    #[arg(long, value_name = "PATH", default_value = "resurge")]
    program: String,
    /// The time limit, as sbatch reads it [default: what the run takes at most]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// A partition; repeatable
    #[arg(long = "partition", value_name = "NAME")]
    partitions: Vec<String>,
    /// The NATS server, as the nodes reach it [default: RESURGE_CLUSTER when the job is submitted]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// A credentials file for the NATS server, which the nodes see
    #[arg(long, value_name = "FILE")]
    nats_creds: Option<PathBuf>,
    /// A file with the CA certificates (PEM) of the NATS server, which the nodes see
    #[arg(long, value_name = "FILE")]
    nats_ca: Option<PathBuf>,
}

pub(super) fn run(args: &LaunchArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let text = match &args.place {
        Place::Kubernetes(args) => manifests(args),
        Place::Slurm(args) => script(args),
    };
    match text {
        Ok(text) => {
            out.write_all(text.as_bytes())?;
            Ok(ExitCode::Pass)
        }
        Err(error) => {
            match &error {
                LaunchError::Scenario(ScenarioError::Faults(faults)) => {
                    writeln!(err, "{}", faults.render(wants_colour(&io::stderr())))?;
                }
                other => writeln!(err, "error: {other}")?,
            }
            Ok(error.exit_code())
        }
    }
}

fn manifests(args: &KubernetesArgs) -> Result<String, LaunchError> {
    let unix_us = Clock::start().unix_us(Moment::ZERO);
    let mark = (unix_us ^ unix_us >> 16) as u16;
    let name = |contents: &Contents| RunName::of(&contents.scenario.name.to_ascii_lowercase(), mark);
    kubernetes_manifests(&KubernetesLaunch {
        launch: args.common.launch(args.nats.as_ref(), name)?,
        image: args.image.clone(),
        namespace: args.namespace.clone(),
        secret: args.secret.clone(),
        files_secret: args.files_secret.clone(),
        creds_secret: args.nats_creds_secret.clone(),
        ca_secret: args.nats_ca_secret.clone(),
        reports_claim: args.reports_claim.clone(),
    })
}

fn script(args: &SlurmArgs) -> Result<String, LaunchError> {
    slurm_script(&SlurmLaunch {
        launch: args.common.launch(args.nats.as_ref(), |contents| RunName::after(&contents.scenario.name))?,
        is_named: args.common.run.is_some(),
        program: args.program.clone(),
        time: args.time.clone(),
        partitions: args.partitions.clone(),
        creds: args.nats_creds.clone(),
        ca_file: args.nats_ca.clone(),
    })
}

impl CommonArgs {
    fn launch(
        &self,
        nats: Option<&String>,
        name: impl FnOnce(&Contents) -> RunName,
    ) -> Result<Launch, LaunchError> {
        let contents = read_contents(&self.scenario, &self.overrides, &|name| std::env::var(name).ok())?;
        Ok(Launch {
            run: self.run.clone().unwrap_or_else(|| name(&contents)),
            contents,
            workers: self.workers,
            ready_within: self.ready_within,
            authorised: self.authorize.clone(),
            allow_commands: self.allow_commands,
            nats: nats.cloned(),
            nats_insecure: self.nats_insecure,
        })
    }
}
