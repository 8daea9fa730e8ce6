//! What `run.json` says of the shards of a run: whose numbers are here, whose are missing, and who ran them.
//!
//! In: a run. Out: its part of the file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::{AbsentShard, Worker};

use super::lost::clients_of;
use super::model::RunModel;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ShardsJson<'m> {
    count: u32,
    /// Those whose numbers are here, from 1: all of them, unless this is one shard's own folder, or a merge that lacks some.
    held: Vec<u32>,
    /// Shards whose numbers are missing, from some second on or all of them.
    lost: Vec<LostJson<'m>>,
    /// Shards that took no part, as `--min-workers` allowed: no number is of their clients.
    absent: &'m [AbsentShard],
    /// The workers of a run over many machines.
    workers: Vec<WorkerJson<'m>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WorkerJson<'m> {
    #[serde(flatten)]
    worker: &'m Worker,
    /// By how much its first client began after it was due, by its own clock, in microseconds; `null`: none began, or it is not known.
    first_start_late_us: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LostJson<'m> {
    /// Which, from 1.
    shard: u32,
    /// The first second whose numbers are missing; 0: there are none of it.
    from_s: u64,
    /// Why, as far as it is known.
    why: &'m str,
    /// Its clients, by group; groups without any are not there.
    clients: BTreeMap<&'m str, u64>,
}

/// The shards of a run.
pub(super) fn shards(model: &RunModel) -> ShardsJson<'_> {
    let manifest = &model.manifest;
    let lost = manifest.lost.iter().map(|lost| LostJson {
        shard: lost.shard,
        from_s: lost.from_s,
        why: &lost.why,
        clients: clients_of(manifest, lost.shard).into_iter().collect(),
    });
    let late_of = |shard: u32| {
        let start = model.end.as_ref()?.first_starts.iter().find(|start| start.shard == shard)?;
        Some(start.began_us.saturating_sub(start.due_us))
    };
    let workers = manifest
        .workers
        .iter()
        .map(|worker| WorkerJson { worker, first_start_late_us: late_of(worker.shard) });
    ShardsJson {
        count: manifest.shards,
        held: manifest.held_shards(),
        lost: lost.collect(),
        absent: &manifest.absent,
        workers: workers.collect(),
    }
}
