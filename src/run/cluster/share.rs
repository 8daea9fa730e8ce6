//! How a worker comes to a share.
//!
//! In: the run's store, perhaps which share. Out: a share that nobody else has, and the epoch in which it was taken. Before the start a worker that has died is replaced.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::kv::{Entry, Store};
use futures::StreamExt as _;

use crate::plan::Share;

use super::error::ClusterError;
use super::names::shard_of;
use super::request::WorkRequest;
use super::spec::{Claim, PROTOCOL, RUN_KEY, RunSpec, claim_key, here, order_key};

/// What this program is.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How often the run is looked for, while it is not there.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Who gives no sign of life for so long before the start is replaced.
const SILENT_AFTER: Duration = Duration::from_secs(4);

/// A share that was taken.
pub(super) struct Taken {
    pub(super) share: Share,
    pub(super) epoch: u64,
}

/// Finds the run, and takes a share.
pub(super) async fn join(
    request: &WorkRequest,
    client: &Client,
    context: &Context,
) -> Result<(RunSpec, Taken), ClusterError> {
    let (store, spec) = find(request, context).await?;
    let run = request.run.to_string();
    if spec.protocol != PROTOCOL || spec.tool_version != VERSION {
        let (theirs, ours) = (spec.tool_version, VERSION.to_owned());
        return Err(ClusterError::OtherVersion { run, theirs, ours });
    }
    let of = spec.shares();
    // A worker of several processes has its first share itself.
    let open = if request.is_part { of } else { spec.workers };
    let shares: Vec<Share> = match request.index {
        Some(shard) if shard > open => return Err(ClusterError::NoShare { run, shard, of: open }),
        Some(shard) => Share::new(shard, of).into_iter().collect(),
        None => (1..=open).filter_map(|shard| Share::new(shard, of)).collect(),
    };
    let claim = bytes::Bytes::from(serde_json::to_vec(&Claim { by: here() }).unwrap_or_default());
    for share in &shares {
        if let Ok(epoch) = store.create(claim_key(share.shard()), claim.clone()).await {
            return Ok((spec, Taken { share: *share, epoch }));
        }
    }
    // Who has it is asked before it is waited for: by then the run may be over.
    let named = shares.first().filter(|_| request.index.is_some());
    let holder = match named {
        Some(share) => store.get(claim_key(share.shard())).await.ok().flatten(),
        None => None,
    };
    if let Some(taken) = replace_silent(request, client, &store, &shares, claim).await {
        return Ok((spec, taken));
    }
    let Some(share) = named else { return Err(ClusterError::NoneLeft { run, of: open }) };
    let by = holder.and_then(|value| serde_json::from_slice::<Claim>(&value).ok());
    let by = by.map_or_else(|| "somebody".to_owned(), |claim| claim.by);
    Err(ClusterError::ShareTaken { run, shard: share.shard(), of, by })
}

/// Takes the share of a worker that gives no sign of life, where the run has not begun.
async fn replace_silent(
    request: &WorkRequest,
    client: &Client,
    store: &Store,
    shares: &[Share],
    claim: bytes::Bytes,
) -> Option<Taken> {
    let mut beats = client.subscribe(request.run.beats()).await.ok()?;
    let mut entries: Vec<(Share, Entry)> = Vec::new();
    for share in shares {
        if let Ok(Some(entry)) = store.entry(claim_key(share.shard())).await {
            entries.push((*share, entry));
        }
    }
    let mut alive = BTreeSet::new();
    let listen = async {
        while let Some(beat) = beats.next().await {
            let epoch = std::str::from_utf8(&beat.payload).ok().and_then(|text| text.parse::<u64>().ok());
            alive.extend(shard_of(&beat.subject).zip(epoch));
        }
    };
    let _ = tokio::time::timeout(SILENT_AFTER, listen).await;
    for (share, entry) in entries {
        if alive.contains(&(share.shard(), entry.revision)) {
            continue;
        }
        // The first order of all is the start.
        if !matches!(store.get(order_key(None, 1)).await, Ok(None)) {
            return None;
        }
        if let Ok(epoch) = store.update(claim_key(share.shard()), claim.clone(), entry.revision).await {
            log::warn!("share {share} was taken by somebody who gives no sign of life: it is taken over");
            return Some(Taken { share, epoch });
        }
    }
    None
}

/// The run, once its coordinator has published it.
async fn find(request: &WorkRequest, context: &Context) -> Result<(Store, RunSpec), ClusterError> {
    let look = async {
        loop {
            if let Ok(store) = context.get_key_value(request.run.bucket()).await
                && let Ok(Some(value)) = store.get(RUN_KEY).await
            {
                return (store, value);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let (store, value) = tokio::time::timeout(request.wait, look).await.map_err(|_| ClusterError::NoRun {
        run: request.run.to_string(),
        address: request.link.shown(),
        waited_s: request.wait.as_secs(),
    })?;
    let spec = serde_json::from_slice::<RunSpec>(&value).map_err(|_| ClusterError::OtherVersion {
        run: request.run.to_string(),
        theirs: "of another version".to_owned(),
        ours: VERSION.to_owned(),
    })?;
    Ok((store, spec))
}
