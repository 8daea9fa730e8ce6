//! Connections that wait for the next request.
//!
//! In: connections that are free. Out: the same, to whoever has a request to the same server. None is kept for long, so that a storm's
//! descriptors come back.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};

use super::link::Link;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(5);

/// A server, as connections to it are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    is_secure: bool,
    host: Box<str>,
    port: u16,
}

impl Origin {
    pub(super) fn new(is_secure: bool, host: &str, port: u16) -> Self {
        Self { is_secure, host: host.into(), port }
    }
}

/// The unused connections of a group on one worker.
#[derive(Debug)]
pub(super) struct Pool {
    clock: Clock,
    idle: Arc<Idle>,
}

/// Those of a server: the one used last at the back, each with when that was.
type Links = VecDeque<(Moment, Link)>;

#[derive(Debug, Default)]
struct Idle {
    links: Mutex<HashMap<Origin, Links>>,
    /// A task looks after them.
    is_tended: AtomicBool,
}

impl Pool {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, idle: Arc::default() }
    }

    /// A connection to `origin` that is still good.
    pub(super) fn take(&self, origin: &Origin) -> Option<Link> {
        let mut all = self.idle.links();
        let links = all.get_mut(origin)?;
        let_go(links, self.clock.now());
        while let Some((_, mut link)) = links.pop_back() {
            if link.is_free() {
                return Some(link);
            }
        }
        None
    }

    /// Keeps a connection to `origin` for the next request.
    pub(super) fn keep(&self, origin: &Origin, link: Link) {
        let mut all = self.idle.links();
        let now = self.clock.now();
        match all.get_mut(origin) {
            Some(links) => links.push_back((now, link)),
            None => {
                all.insert(origin.clone(), VecDeque::from([(now, link)]));
            }
        }
        if !self.idle.is_tended.swap(true, Ordering::Relaxed) {
            tokio::spawn(tend(Arc::clone(&self.idle), self.clock));
        }
    }
}

impl Idle {
    fn links(&self) -> MutexGuard<'_, HashMap<Origin, Links>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of those unused for too long.
fn let_go(links: &mut Links, now: Moment) {
    while links.front().is_some_and(|(since, _)| now.since(*since) > IDLE) {
        links.pop_front();
    }
}

/// Lets go of unused connections in time, until there are none.
async fn tend(idle: Arc<Idle>, clock: Clock) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        let now = clock.now();
        let mut all = idle.links();
        all.retain(|_, links| {
            let_go(links, now);
            !links.is_empty()
        });
        if all.is_empty() {
            // While nobody can add one.
            idle.is_tended.store(false, Ordering::Relaxed);
            return;
        }
    }
}
