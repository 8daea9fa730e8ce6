//! Signing tokens on behalf of clients.
//!
//! In: what is to be signed, by which key. Out: a token. What takes a processor more than a moment is done on threads of its own, not on the
//! loop that the clients run on; who waits for one of them is counted, for that is this machine's doing.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::clock::{Clock, Moment};
use crate::drive::network::group_sink::GroupSink;
use crate::jose::{SigningKey, signing_input, with_signature};
use crate::sample::Counter;
use crate::scenario::keys::{ClientAuth, ClientCredentials, MintRules, TokenFill};

use super::form::Who;
use super::pool::PoolWaits;

/// The signatures that are made at once, in all groups: as many as the machine has processors.
static SLOTS: OnceLock<Semaphore> = OnceLock::new();

fn slots() -> &'static Semaphore {
    SLOTS.get_or_init(|| {
        Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    })
}

/// Signs for the clients of a group.
#[derive(Debug)]
pub(super) struct Mint {
    clock: Clock,
    sink: GroupSink,
    waits: Arc<PoolWaits>,
}

impl Mint {
    pub(super) const fn new(clock: Clock, sink: GroupSink, waits: Arc<PoolWaits>) -> Self {
        Self { clock, sink, waits }
    }

    /// A token by the group's rules, and how long it lives; `None` where what fills its claims makes no JSON of them.
    pub(super) async fn token(
        &self,
        rules: &MintRules,
        fill: &TokenFill<'_>,
    ) -> Option<(SecretString, Duration)> {
        let (header, claims) = rules.compose(fill)?;
        let life = MintRules::life_of(&claims, fill.unix_us);
        let token = self.sign(Arc::clone(&rules.key), signing_input(&header, &claims)).await?;
        Some((token, life))
    }

    /// The JWT by which a client says who it is; `None` where it says so otherwise.
    pub(super) fn client_assertion<'a>(
        &'a self,
        credentials: &'a ClientCredentials,
        who: Who<'a>,
        url: &str,
        fill: &TokenFill<'_>,
    ) -> Option<impl Future<Output = Option<SecretString>> + 'a> {
        if !matches!(credentials.auth, ClientAuth::PrivateKeyJwt | ClientAuth::ClientSecretJwt) {
            return None;
        }
        let rules = credentials.client_assertion.clone().unwrap_or_default();
        let (header, claims) = rules.compose(who.id, url, fill);
        let input = signing_input(&header, &claims);
        Some(async move {
            let key = match rules.key {
                Some(key) => key,
                None => Arc::new(SigningKey::read(rules.algorithm, who.secret.expose_secret()).ok()?),
            };
            self.sign(key, input).await
        })
    }

    async fn sign(&self, key: Arc<SigningKey>, input: String) -> Option<SecretString> {
        // A hash of a few hundred bytes takes less time than another thread does to wake up.
        let is_quick = key.algorithm().is_shared();
        let sign = move || {
            let signature = key.sign(input.as_bytes())?;
            Some(SecretString::from(with_signature(&input, &signature)))
        };
        if is_quick {
            return sign();
        }
        let slot = self.slot().await?;
        let signed = tokio::task::spawn_blocking(sign).await;
        drop(slot);
        signed.ok()?
    }

    async fn slot(&self) -> Option<tokio::sync::SemaphorePermit<'static>> {
        if let Ok(slot) = slots().try_acquire() {
            return Some(slot);
        }
        self.sink.count(Counter::MintWaits).await;
        let _waiting = Waiting { mint: self, since: self.clock.now() };
        slots().acquire().await.ok()
    }
}

/// A wait for a processor; it is told when it ends, also where nobody waits for the token any more.
struct Waiting<'a> {
    mint: &'a Mint,
    since: Moment,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.mint.waits.note_mint(self.mint.clock.now().since(self.since));
    }
}
