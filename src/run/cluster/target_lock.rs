//! One run a target: two at a time would measure each other.
//!
//! In: a target's host, until when a run may last. Out: a lock on the server that holds for that long, or whoever has it. The server forgets it by itself where its
//! run died.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, Moment};

use super::error::ClusterError;
use super::names::RunName;
use super::remote::kept_config;
use super::spec::here;

/// The key of a lock in its bucket.
const KEY: &str = "lock";

/// Who has a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// The run.
    run: String,
    /// Who began it.
    by: String,
    /// Until when it may last, in microseconds since 1970.
    until_unix_us: u64,
}

/// A target that no other run may have.
pub(super) struct TargetLock {
    bucket: String,
}

impl TargetLock {
    /// Takes the lock of a host for so long.
    ///
    /// # Errors
    /// [`ClusterError::TargetInUse`], or the server does not do it.
    pub(super) async fn take(
        context: &Context,
        host: &str,
        run: &RunName,
        lasts: Duration,
    ) -> Result<Self, ClusterError> {
        let failed = |error: String| ClusterError::Failed { what: "the lock of the target", why: error };
        let digest = Sha256::digest(host.as_bytes());
        let mark: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let bucket = format!("resurge_target_{mark}");
        let config = Config { max_age: lasts, ..kept_config(&bucket) };
        // One that a dead run has left has another age: it is there, and nothing is in it once its time is over.
        let is_new = context.create_stream(config.clone()).await.is_ok();
        let store = context.get_key_value(&bucket).await.map_err(|error| failed(error.to_string()))?;
        let until_unix_us = Clock::start().unix_us(Moment::ZERO + lasts);
        let holder = Holder { run: run.to_string(), by: here(), until_unix_us };
        let value = serde_json::to_vec(&holder).unwrap_or_default();
        if let Err(error) = store.create(KEY, value.into()).await {
            let found = store.get(KEY).await.ok().flatten();
            let Some(holder) = found.and_then(|found| serde_json::from_slice::<Holder>(&found).ok()) else {
                return Err(failed(error.to_string()));
            };
            let until = i64::try_from(holder.until_unix_us).unwrap_or(i64::MAX);
            let until = jiff::Timestamp::from_microsecond(until).map(|time| format!("{time:.0}"));
            return Err(ClusterError::TargetInUse {
                target: host.to_owned(),
                run: holder.run,
                by: holder.by,
                until: until.unwrap_or_default(),
            });
        }
        if !is_new {
            context.update_stream(config).await.map_err(|error| failed(error.to_string()))?;
        }
        Ok(Self { bucket })
    }

    /// Gives it back.
    pub(super) async fn give_back(self, context: &Context) {
        if let Err(error) = context.delete_stream(format!("KV_{}", self.bucket)).await {
            log::warn!("the lock of the target is left on the NATS server until its time is over: {error}");
        }
    }
}
