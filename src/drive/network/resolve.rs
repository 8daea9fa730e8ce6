//! Names to addresses, with a memory.
//!
//! In: a host and a port, and how the group has names resolved. Out: addresses that the policy lets pass, in the order in which to try them.
//! Addresses are kept for the group's `dns_ttl`, or for as long as its name server says, where that is less. The policy is asked each time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};

use super::address::AddressPolicy;
use super::name_server;

/// The memory of resolved names, one for a worker.
#[derive(Debug)]
pub(super) struct Resolver {
    clock: Clock,
    policy: Arc<AddressPolicy>,
    /// By the name server that knows them; `None`: the system.
    known: Mutex<HashMap<Option<SocketAddr>, Names>>,
}

type Names = HashMap<String, Arc<Name>>;

/// How a group has names resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameRules {
    /// The name server that is asked; without one, the system is.
    pub(super) server: Option<SocketAddr>,
    /// For how long an answer is kept at most.
    pub(super) ttl: Duration,
}

/// A name, and what was last found out about it.
#[derive(Debug, Default)]
struct Name {
    last: Mutex<Option<Known>>,
    /// Held by the client that asks: others wait for its answer.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Known {
    since: Moment,
    until: Moment,
    addresses: Vec<IpAddr>,
}

impl Name {
    fn last(&self) -> MutexGuard<'_, Option<Known>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its addresses, where those are known for now, or have been asked for since `waiting`.
    fn recall(&self, now: Moment, waiting: Moment) -> Option<Vec<IpAddr>> {
        let last = self.last();
        let known = last.as_ref().filter(|known| known.until > now || known.since > waiting);
        known.map(|known| known.addresses.clone())
    }
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
    pub(super) async fn resolve(
        &self,
        host: &str,
        port: u16,
        rules: NameRules,
        turn: u32,
    ) -> Vec<SocketAddr> {
        if let Some(address) = literal(host) {
            let allowed = self.policy.check(host, address).is_ok();
            return if allowed { vec![SocketAddr::new(address, port)] } else { Vec::new() };
        }
        let addresses = self.lookup(host, port, rules).await;
        let allowed: Vec<IpAddr> =
            addresses.into_iter().filter(|address| self.policy.check(host, *address).is_ok()).collect();
        in_turn(allowed, turn).into_iter().map(|address| SocketAddr::new(address, port)).collect()
    }

    async fn lookup(&self, host: &str, port: u16, rules: NameRules) -> Vec<IpAddr> {
        // What it takes to ask is only there while somebody asks.
        if rules.ttl.is_zero() {
            return Box::pin(ask(host, port, rules))
                .await
                .map(|(addresses, _)| addresses)
                .unwrap_or_default();
        }
        let name = self.name(host, rules.server);
        let now = self.clock.now();
        match name.recall(now, now) {
            Some(known) => known,
            None => Box::pin(self.find_out(&name, now, host, port, rules)).await,
        }
    }

    /// The addresses of a name that is not known: a fleet that comes back at once asks once, and has that answer.
    async fn find_out(
        &self,
        name: &Name,
        since: Moment,
        host: &str,
        port: u16,
        rules: NameRules,
    ) -> Vec<IpAddr> {
        let _asking = name.asking.lock().await;
        if let Some(known) = name.recall(self.clock.now(), since) {
            return known;
        }
        let (addresses, ttl) = ask(host, port, rules).await.unwrap_or_default();
        let now = self.clock.now();
        *name.last() = Some(Known { since: now, until: now + ttl, addresses: addresses.clone() });
        addresses
    }

    fn name(&self, host: &str, server: Option<SocketAddr>) -> Arc<Name> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let names = known.entry(server).or_default();
        if let Some(name) = names.get(host) {
            return Arc::clone(name);
        }
        Arc::clone(names.entry(host.to_owned()).or_default())
    }
}

/// The addresses of `host`, and for how long they may be kept; `None` where it does not resolve.
async fn ask(host: &str, port: u16, rules: NameRules) -> Option<(Vec<IpAddr>, Duration)> {
    let Some(server) = rules.server else {
        let found = tokio::net::lookup_host((host, port)).await.ok()?;
        return Some((found.map(|address| address.ip()).collect(), rules.ttl));
    };
    let found = name_server::ask(server, host).await.ok()?;
    let kept = if found.addresses.is_empty() { Duration::ZERO } else { found.ttl.min(rules.ttl) };
    Some((found.addresses, kept))
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
    use std::sync::atomic::Ordering;

    use simple_dns::PacketFlag;
    use simple_dns::rdata::{A, RData};

    use super::super::name_server::served::{Records, four, serve};
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
        let rules = NameRules { server: None, ttl: Duration::from_secs(1) };
        let found = resolver.resolve("[::1]", 80, rules, 0).await;
        assert_eq!(found, ["[::1]:80".parse::<SocketAddr>().unwrap()]);
        assert!(resolver.resolve("203.0.113.5", 80, rules, 0).await.is_empty());
        assert!(resolver.policy().was_violated());
        let found = resolver.resolve("localhost", 80, rules, 0).await;
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
    }

    fn says(ttl: u32, last: u8) -> Option<(PacketFlag, Records)> {
        Some((PacketFlag::RESPONSE, vec![(ttl, four(last))]))
    }

    #[tokio::test]
    async fn a_fleet_asks_a_name_server_once_and_again_when_the_answer_is_too_old() {
        let (server, asked) = serve(vec![says(1, 2), says(3600, 3)]).await;
        let clock = Clock::start();
        let resolver = Resolver::new(clock, Arc::new(AddressPolicy::new(&[])));
        let rules = NameRules { server: Some(server), ttl: Duration::from_secs(60) };
        let fleet = || async {
            let all =
                futures::future::join_all((0..100).map(|n| resolver.resolve("service.test", 80, rules, n)));
            all.await.concat()
        };
        let old: Vec<SocketAddr> = vec!["127.0.0.2:80".parse().unwrap(); 100];
        let new: Vec<SocketAddr> = vec!["127.0.0.3:80".parse().unwrap(); 100];
        let asked_at = clock.now();
        assert_eq!((fleet().await, asked.load(Ordering::Relaxed)), (old, 1));
        // Not before the answer is too old, and then all at once.
        let first = loop {
            let found = fleet().await;
            if found == new {
                break clock.now();
            }
            assert_eq!(found[0].ip().to_string(), "127.0.0.2");
            tokio::task::yield_now().await;
        };
        assert!(first >= asked_at + Duration::from_secs(1), "{first:?}");
        assert_eq!((fleet().await, asked.load(Ordering::Relaxed)), (new, 2));
        assert!(!resolver.policy().was_violated());
    }

    #[tokio::test]
    async fn a_name_server_leads_nobody_to_strangers() {
        let stranger = RData::A(A { address: u32::from(std::net::Ipv4Addr::new(203, 0, 113, 5)) });
        let strange = Some((PacketFlag::RESPONSE, vec![(0, stranger)]));
        let (server, _) = serve(vec![says(0, 2), strange]).await;
        let resolver = Resolver::new(Clock::start(), Arc::new(AddressPolicy::new(&[])));
        let rules = NameRules { server: Some(server), ttl: Duration::from_secs(60) };
        assert_eq!(resolver.resolve("service.test", 80, rules, 0).await.len(), 1);
        assert!(!resolver.policy().was_violated());
        assert!(resolver.resolve("service.test", 80, rules, 0).await.is_empty());
        assert!(resolver.policy().was_violated());
    }
}
