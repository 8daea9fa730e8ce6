//! Names to addresses, with a memory.
//!
//! In: a host and a port. Out: addresses that the policy lets pass, in the order in which to try them. Addresses are
//! kept for the group's `dns_ttl`; the policy is asked each time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};

use super::address::AddressPolicy;

/// The memory of resolved names, one for a worker.
#[derive(Debug)]
pub(super) struct Resolver {
    clock: Clock,
    policy: Arc<AddressPolicy>,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    until: Moment,
    addresses: Vec<IpAddr>,
}

impl Resolver {
    /// A resolver that knows nothing yet.
    pub(super) fn new(clock: Clock, policy: Arc<AddressPolicy>) -> Self {
        Self { clock, policy, known: Mutex::default() }
    }

    /// What may be hit.
    pub(super) fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// The addresses of `host` that may be hit; empty when it does not resolve, or to none that may be hit. `turn` turns the
    /// order, so that clients spread over a name's addresses as they would with resolvers of their own.
    pub(super) async fn resolve(&self, host: &str, port: u16, ttl: Duration, turn: u32) -> Vec<SocketAddr> {
        if let Some(address) = literal(host) {
            let allowed = self.policy.check(host, address).is_ok();
            return if allowed { vec![SocketAddr::new(address, port)] } else { Vec::new() };
        }
        let addresses = self.lookup(host, port, ttl).await;
        let allowed: Vec<IpAddr> =
            addresses.into_iter().filter(|address| self.policy.check(host, *address).is_ok()).collect();
        in_turn(allowed, turn).into_iter().map(|address| SocketAddr::new(address, port)).collect()
    }

    async fn lookup(&self, host: &str, port: u16, ttl: Duration) -> Vec<IpAddr> {
        if let Some(known) = self.recall(host, self.clock.now()) {
            return known;
        }
        let Ok(found) = tokio::net::lookup_host((host, port)).await else { return Vec::new() };
        let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        if !ttl.is_zero() {
            let known = Known { until: self.clock.now() + ttl, addresses: addresses.clone() };
            self.lock().insert(host.to_owned(), known);
        }
        addresses
    }

    fn recall(&self, host: &str, now: Moment) -> Option<Vec<IpAddr>> {
        self.lock().get(host).filter(|known| known.until > now).map(|known| known.addresses.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address that a URL's host spells out, if it does.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The addresses with each family turned by `turn`, the first one's family first (RFC 6724 chose it).
fn in_turn(addresses: Vec<IpAddr>, turn: u32) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let first_is_v4 = first.is_ipv4();
    let (mut preferred, mut other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    for family in [&mut preferred, &mut other] {
        // A resolver may turn them itself: which one a client takes must be a matter of its number alone.
        family.sort_unstable();
        if !family.is_empty() {
            let by = turn as usize % family.len();
            family.rotate_left(by);
        }
    }
    preferred.append(&mut other);
    preferred
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_turns_within_a_family() {
        let all: Vec<IpAddr> = ["::1", "127.0.0.1", "::2", "127.0.0.2"].map(|a| a.parse().unwrap()).to_vec();
        let texts = |turn| in_turn(all.clone(), turn).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(0), ["::1", "::2", "127.0.0.1", "127.0.0.2"]);
        assert_eq!(texts(1), ["::2", "::1", "127.0.0.2", "127.0.0.1"]);
        assert_eq!(texts(2), texts(0));
        assert!(in_turn(Vec::new(), 3).is_empty());
    }

    #[tokio::test]
    async fn literals_need_no_lookup_and_strangers_are_left_out() {
        let resolver = Resolver::new(Clock::start(), Arc::new(AddressPolicy::new(&[])));
        let ttl = Duration::from_secs(1);
        let found = resolver.resolve("[::1]", 80, ttl, 0).await;
        assert_eq!(found, ["[::1]:80".parse::<SocketAddr>().unwrap()]);
        assert!(resolver.resolve("203.0.113.5", 80, ttl, 0).await.is_empty());
        assert!(resolver.policy().was_violated());
        let found = resolver.resolve("localhost", 80, ttl, 0).await;
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
    }
}
