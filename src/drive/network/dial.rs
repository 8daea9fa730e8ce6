//! Opening TCP: a name, its addresses, a connection to one of them, through the group's proxy where it has one.
//!
//! In: a host and a port, a client's number. Out: a connected stream, or why there is none. It is the one place where addresses are
//! checked, source addresses taken by turns and proxies asked: sessions, tokens and steps all come through here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock::{Clock, Moment};
use crate::lifecycle::ConnectFailure;
use crate::sample::{Counter, Sample};
use crate::scenario::keys::ConnectRules;

use super::group_sink::GroupSink;
use super::local::classify_io;
use super::ports::LocalPorts;
use super::proxy::Proxy;
use super::race::race;
use super::resolve::{NameRules, Resolver};

/// Opens a group's connections on one worker.
#[derive(Debug)]
pub(super) struct Dialer {
    clock: Clock,
    names: Arc<Resolver>,
    ports: Arc<LocalPorts>,
    proxy: Option<Proxy>,
    spread: Option<Spread>,
    source_addresses: Vec<IpAddr>,
    dns_timeout: Duration,
    name_rules: NameRules,
    tcp_timeout: Duration,
    /// Where a name's addresses race.
    racing: Option<Box<Racing>>,
}

/// What a race goes by.
#[derive(Debug)]
struct Racing {
    delay: Duration,
    /// Where connections are counted that were given up for another.
    sink: GroupSink,
}

/// What a proxy is asked for, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A tunnel to the host.
    Tunnel,
    /// To pass requests on.
    Forward,
}

/// The addresses of one place, which clients take by turns.
#[derive(Debug)]
pub(super) struct Spread {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
}

impl Spread {
    /// The addresses of the place that is known as `host` and `port`; `None` where they are no choice.
    pub(super) fn over(host: &str, port: u16, addresses: &[SocketAddr]) -> Option<Self> {
        (addresses.len() > 1).then(|| Self { host: host.to_owned(), port, addresses: addresses.to_vec() })
    }

    /// The address whose turn it is; `None` for any other place.
    fn address(&self, host: &str, port: u16, turn: u32) -> Option<SocketAddr> {
        let is_it = self.port == port && self.host == host;
        is_it.then(|| self.addresses[turn as usize % self.addresses.len()])
    }
}

impl Dialer {
    /// A dialer by the group's rules. `spread` is of use only where there is no proxy.
    pub(super) fn new(
        clock: Clock,
        names: Arc<Resolver>,
        ports: Arc<LocalPorts>,
        rules: &ConnectRules,
        proxy: Option<Proxy>,
        spread: Option<Spread>,
    ) -> Self {
        Self {
            clock,
            names,
            ports,
            spread: spread.filter(|_| proxy.is_none()),
            proxy,
            source_addresses: rules.source_addresses.clone(),
            dns_timeout: rules.dns_timeout,
            name_rules: NameRules { server: rules.resolver, ttl: rules.dns_ttl },
            tcp_timeout: rules.tcp_timeout,
            racing: None,
        }
    }

    /// The same, but that a name's addresses race where that is wanted.
    pub(super) fn racing(mut self, delay: Option<Duration>, sink: &GroupSink) -> Self {
        self.racing = delay.map(|delay| Box::new(Racing { delay, sink: sink.clone() }));
        self
    }

    /// Whether requests go to a proxy; and its credentials for those that it passes on, where it wants such.
    pub(super) fn forwards(&self) -> Option<Option<&SecretString>> {
        self.proxy.as_ref().map(Proxy::authorization)
    }

    /// Opens TCP to the first address of `host` that answers, for client `number`. `resolved` is set to when the name was resolved.
    pub(super) async fn dial(
        &self,
        host: &str,
        port: u16,
        way: Way,
        number: u32,
        resolved: &mut Option<Moment>,
    ) -> Result<TcpStream, ConnectFailure> {
        let addresses = self.addresses(host, port, number).await?;
        if addresses.is_empty() {
            return Err(ConnectFailure::Dns);
        }
        *resolved = Some(self.clock.now());
        let opening = async {
            let mut stream = match &self.racing {
                Some(racing) if addresses.len() > 1 => Box::pin(self.race(racing, addresses, number)).await?,
                _ => self.open(addresses, number).await?,
            };
            if let Some(proxy) = self.proxy.as_ref().filter(|_| way == Way::Tunnel) {
                proxy.tunnel(&mut stream, host, port).await?;
            }
            Ok(stream)
        };
        let stream = timeout(self.tcp_timeout, opening).await.map_err(|_| ConnectFailure::Timeout)??;
        // A small frame must not wait for the answer to the one before it. A socket that refuses the option is closed already:
        // what is sent next will say so.
        let refused = stream.set_nodelay(true).is_err();
        if refused { Err(ConnectFailure::Reset) } else { Ok(stream) }
    }

    /// Where to connect for `host`: its own addresses, or the proxy's, to whom the host's are left to find out.
    async fn addresses(&self, host: &str, port: u16, number: u32) -> Result<Vec<SocketAddr>, ConnectFailure> {
        // Not in step with the sources: every source is to meet every address, or half of the ports would lie idle.
        let turn = number / u32::try_from(self.source_addresses.len().max(1)).unwrap_or(u32::MAX);
        if let Some(address) = self.spread.as_ref().and_then(|spread| spread.address(host, port, turn)) {
            return Ok(vec![address]);
        }
        let (host, port) = match &self.proxy {
            Some(_) if !self.names.policy().allows_unresolved(host) => return Err(ConnectFailure::Dns),
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (host, port),
        };
        let resolving = self.names.resolve(host, port, self.name_rules, turn);
        timeout(self.dns_timeout, resolving).await.map_err(|_| ConnectFailure::Timeout)
    }

    async fn race(
        &self,
        racing: &Racing,
        addresses: Vec<SocketAddr>,
        number: u32,
    ) -> Result<TcpStream, ConnectFailure> {
        let connect = |address| async move {
            let source = source_address(&self.source_addresses, number, address);
            self.ports.connect(source, address).await.map_err(|error| classify_io(&error))
        };
        let (stream, overtaken) = race(addresses, racing.delay, connect).await?;
        if overtaken > 0 {
            let now = self.clock.now();
            racing.sink.send(now, Sample::Count(Counter::ConnectionsOvertaken, overtaken as u64)).await;
        }
        Ok(stream)
    }

    async fn open(&self, addresses: Vec<SocketAddr>, number: u32) -> Result<TcpStream, ConnectFailure> {
        let mut last = ConnectFailure::Refused;
        for address in addresses {
            let source = source_address(&self.source_addresses, number, address);
            match self.ports.connect(source, address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = classify_io(&error),
            }
        }
        Err(last)
    }
}

/// The address from which client `number` connects to `target`: the next of those of the same family.
fn source_address(sources: &[IpAddr], number: u32, target: SocketAddr) -> Option<IpAddr> {
    let fitting = || sources.iter().filter(|source| source.is_ipv4() == target.is_ipv4());
    let count = fitting().count();
    fitting().nth(number as usize % count.max(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_the_targets_addresses_in_turn_by_their_number() {
        let spread = |addresses: &[&str]| {
            let addresses: Vec<SocketAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            Spread::over("127.0.0.1", 9, &addresses)
        };
        let three = spread(&["127.0.0.1:9", "127.0.0.2:9", "127.0.0.3:9"]).unwrap();
        let taken: Vec<String> = (4..8)
            .filter_map(|turn| three.address("127.0.0.1", 9, turn))
            .map(|address| address.to_string())
            .collect();
        assert_eq!(taken, ["127.0.0.2:9", "127.0.0.3:9", "127.0.0.1:9", "127.0.0.2:9"]);
        assert_eq!(three.address("127.0.0.1", 8, 1), None, "another place");
        assert_eq!(three.address("localhost", 9, 1), None, "another place");
        assert!(spread(&["127.0.0.1:9"]).is_none(), "one is no choice");
    }

    #[test]
    fn sources_are_taken_in_turn_within_the_targets_family() {
        let sources: Vec<IpAddr> =
            ["127.0.0.2", "::1", "127.0.0.3"].map(|text| text.parse().unwrap()).to_vec();
        let of = |number, target: &str| {
            source_address(&sources, number, target.parse().unwrap()).map(|source| source.to_string())
        };
        assert_eq!(of(0, "127.0.0.1:9").as_deref(), Some("127.0.0.2"));
        assert_eq!(of(1, "127.0.0.1:9").as_deref(), Some("127.0.0.3"));
        assert_eq!(of(5, "[::1]:9").as_deref(), Some("::1"));
        assert_eq!(source_address(&[], 5, "[::1]:9".parse().unwrap()), None);
    }
}
