//! What the commands of a run over many machines have in common.
//!
//! In: arguments. Out: the way to the NATS server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::plan::MOST_SHARDS;
use crate::run::{ClusterError, ClusterLink, ClusterRequest, RunName};

use super::key_value::parse_time;

/// The variable with the NATS server's address.
pub(super) const ADDRESS: &str = "RESURGE_CLUSTER";

/// How a NATS server lets us in.
#[derive(Debug, Args)]
pub(super) struct LinkArgs {
    /// A credentials file for the NATS server, as `nsc` writes it
    #[arg(long, value_name = "FILE")]
    nats_creds: Option<PathBuf>,
    /// A file with the CA certificates (PEM) of the NATS server, in place of the system's
    #[arg(long, value_name = "FILE")]
    nats_ca: Option<PathBuf>,
    /// Accept a NATS server of another machine in plain text, or without a user: for a network of your own
    #[arg(long)]
    nats_insecure: bool,
}

impl LinkArgs {
    /// The way to the server at `address`.
    pub(super) fn link(&self, address: &str) -> ClusterLink {
        ClusterLink {
            address: address.to_owned(),
            creds: self.nats_creds.clone(),
            ca_file: self.nats_ca.clone(),
            insecure: self.nats_insecure,
        }
    }
}

/// How a run is led over many machines.
#[derive(Debug, Args)]
pub(super) struct LeadArgs {
    /// Lead workers on other machines (resurge worker) over this NATS server, as nats://127.0.0.1:4222 [default with --workers: RESURGE_CLUSTER]
    #[arg(long, value_name = "URL", requires = "workers")]
    cluster: Option<String>,
    /// The number of workers that share the clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    workers: Option<u32>,
    /// The run's name, by which workers find it; a name is used once [default: <scenario>-<4 hex>]
    #[arg(long = "run", value_name = "NAME", requires = "workers")]
    name: Option<RunName>,
    /// Begin with at least this many workers where not all are ready in time: a smaller run, and reported as such
    #[arg(long, value_name = "M", requires = "workers", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    min_workers: Option<u32>,
    /// Run even if another run over this NATS server has the same target
    #[arg(long, requires = "workers")]
    share_target: bool,
    /// How long to wait for the workers to become ready
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_time)]
    ready_within: Duration,
    #[command(flatten)]
    link: LinkArgs,
}

impl LeadArgs {
    /// The machines, where there are any; each runs its part in so many processes, `None`: in as many as it takes.
    ///
    /// # Errors
    /// There are workers, and no NATS server to lead them over; or fewer than the run shall begin with.
    pub(super) fn request(&self, processes: Option<u32>) -> Result<Option<ClusterRequest>, ClusterError> {
        let Some(workers) = self.workers else { return Ok(None) };
        if let Some(least) = self.min_workers.filter(|least| *least > workers) {
            return Err(ClusterError::Least { least, workers });
        }
        let address =
            self.cluster.clone().or_else(|| std::env::var(ADDRESS).ok().filter(|text| !text.is_empty()));
        let address = address.ok_or_else(|| ClusterError::Address {
            address: String::new(),
            why: format!("--workers needs it, or {ADDRESS}"),
        })?;
        Ok(Some(ClusterRequest {
            link: self.link.link(&address),
            run: self.name.clone(),
            workers,
            min_workers: self.min_workers,
            processes,
            ready_within: self.ready_within,
            share_target: self.share_target,
        }))
    }
}
