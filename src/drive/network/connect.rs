//! One connection, in stages that can be seen: name, TCP, TLS, upgrade.
//!
//! In: the group's context, a client's number and token. Out: when each stage was passed, and a WebSocket or the reason
//! why there is none. Every stage has its timeout.

use std::net::{IpAddr, SocketAddr};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock::Moment;
use crate::lifecycle::{ConnectFailure, Marks};

use super::context::{Endpoint, GroupContext, Token};
use super::local::classify_io;
use super::tls::secure;
use super::upgrade::{Socket, UpgradeRequest, upgrade};
use super::wire::Wire;

/// Connects client `number` with `token`; to `elsewhere` instead of the group's endpoint, where it is given.
pub(super) async fn connect(
    context: &GroupContext,
    number: u32,
    token: Option<Token>,
    elsewhere: Option<Box<Endpoint>>,
) -> (Marks, Result<Socket, ConnectFailure>) {
    let mut marks = Marks { began: context.now(), ..Marks::default() };
    let result = connect_in_stages(context, number, token, elsewhere.as_deref(), &mut marks).await;
    if marks.ended == Default::default() {
        marks.ended = context.now();
    }
    (marks, result)
}

async fn connect_in_stages(
    context: &GroupContext,
    number: u32,
    token: Option<Token>,
    elsewhere: Option<&Endpoint>,
    marks: &mut Marks,
) -> Result<Socket, ConnectFailure> {
    let rules = &context.connect;
    let endpoint = elsewhere.unwrap_or(&context.endpoint);
    let tcp = open_tcp(context, &endpoint.host, endpoint.port, Way::Tunnel, number, &mut marks.dns).await?;
    marks.tcp = Some(context.now());
    let is_secure = endpoint.url.scheme() == "wss";
    let wire = match context.tls.as_ref().filter(|_| is_secure) {
        None if is_secure => return Err(ConnectFailure::Tls),
        Some(connector) => {
            let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| ConnectFailure::Tls)?;
            let securing = timeout(rules.tls_timeout, secure(context, connector, endpoint, name, tcp));
            Box::pin(securing).await.map_err(|_| ConnectFailure::Timeout)??
        }
        None => Wire::plain(tcp),
    };
    marks.tls = Some(if is_secure { context.now() } else { marks.tcp.unwrap_or_default() });
    let request = UpgradeRequest::new(context, endpoint, number, token.as_ref());
    let upgrade = Box::pin(upgrade(context, wire, request, marks));
    upgrade.await
}

/// What a proxy is asked for, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A tunnel to the host.
    Tunnel,
    /// To pass requests on.
    Forward,
}

/// Resolves the name, then opens TCP to the first of its addresses that answers; to the group's proxy where it has one. `resolved`
/// is set to when the name was resolved.
pub(super) async fn open_tcp(
    context: &GroupContext,
    host: &str,
    port: u16,
    way: Way,
    number: u32,
    resolved: &mut Option<Moment>,
) -> Result<TcpStream, ConnectFailure> {
    let rules = &context.connect;
    let (target_host, target_port) = (host, port);
    let (host, port) = match &context.proxy {
        // The target's own address is the proxy's to find out.
        Some(_) if !context.run.policy().allows_unresolved(host) => return Err(ConnectFailure::Dns),
        Some(proxy) => (proxy.host.as_str(), proxy.port),
        None => (host, port),
    };
    let is_own = context.is_embedded
        && context.proxy.is_none()
        && (host, port) == (context.endpoint.host.as_str(), context.endpoint.port);
    // Not in step with the sources: every source is to meet every address, or half of the ports would lie idle.
    let turn = number / u32::try_from(rules.source_addresses.len().max(1)).unwrap_or(u32::MAX);
    let addresses = match context.run.target_address(turn).filter(|_| is_own) {
        Some(address) => vec![address],
        None => {
            let resolving = context.run.resolve(host, port, rules.dns_ttl, turn);
            timeout(rules.dns_timeout, resolving).await.map_err(|_| ConnectFailure::Timeout)?
        }
    };
    if addresses.is_empty() {
        return Err(ConnectFailure::Dns);
    }
    *resolved = Some(context.now());
    let attempt = async {
        let mut last = ConnectFailure::Refused;
        for address in addresses {
            match context.run.open(source_address(&rules.source_addresses, number, address), address).await {
                Ok(mut stream) => {
                    if let Some(proxy) = context.proxy.as_ref().filter(|_| way == Way::Tunnel) {
                        proxy.tunnel(&mut stream, target_host, target_port).await?;
                    }
                    return Ok(stream);
                }
                Err(error) => last = classify_io(&error),
            }
        }
        Err(last)
    };
    let stream = timeout(rules.tcp_timeout, attempt).await.map_err(|_| ConnectFailure::Timeout)??;
    // A small frame must not wait for the answer to the one before it. A socket that refuses the option is closed already:
    // the upgrade will say so.
    let refused = stream.set_nodelay(true).is_err();
    if refused { Err(ConnectFailure::Reset) } else { Ok(stream) }
}

/// The address from which client `number` connects to `target`: the next of those of the same family.
fn source_address(sources: &[IpAddr], number: u32, target: SocketAddr) -> Option<IpAddr> {
    let fitting = || sources.iter().filter(|source| source.is_ipv4() == target.is_ipv4());
    let count = fitting().count();
    fitting().nth(number as usize % count.max(1)).copied()
}
