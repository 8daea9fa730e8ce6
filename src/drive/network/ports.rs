//! Local ports, so that a connection costs the same however many there are.
//!
//! In: the range of ports from which connect(2) chooses. Out: for each connection a narrow part of it, one after the other. Left to
//! itself, connect(2) looks at every second port of the whole range before it looks at the others: with 15,000 connections to one address it met 14,000
//! taken ports each time, a third of all CPU (measured with a profiler). `IP_LOCAL_PORT_RANGE` (ip(7), Linux 6.3) narrows its choice.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::{TcpSocket, TcpStream};

use crate::machine::{bind_without_port, local_port_range, narrow_ports};

/// Ports of a part. Half of them are looked at before the other half.
const WIDTH: u16 = 16;
/// How many parts are tried before the whole range.
const TRIES: u32 = 8;

/// Which part of the range is next.
#[derive(Debug)]
pub(super) struct LocalPorts {
    range: RangeInclusive<u16>,
    next: AtomicU32,
}

impl LocalPorts {
    /// The ports of this machine.
    pub(super) fn of_machine() -> Self {
        Self { range: local_port_range(), next: AtomicU32::new(0) }
    }

    /// Connects to `target`, from `source` where one is given.
    pub(super) async fn connect(
        &self,
        source: Option<IpAddr>,
        target: SocketAddr,
    ) -> std::io::Result<TcpStream> {
        for _ in 0..TRIES {
            let socket = socket_for(source, target)?;
            if let Err(error) = narrow_ports(&socket, self.next_part()) {
                log::debug!("the choice of ports is not narrowed: {error}");
                return socket.connect(target).await;
            }
            match socket.connect(target).await {
                // The part is full, or the machine has no port left: the whole range will tell.
                Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {}
                connected => return connected,
            }
        }
        socket_for(source, target)?.connect(target).await
    }

    /// The next part, as the option has it. The last one of the range reaches back rather than be narrower.
    fn next_part(&self) -> u32 {
        let (low, high) = (*self.range.start(), *self.range.end());
        let parts = u32::from(high - low) / u32::from(WIDTH) + 1;
        let part = self.next.fetch_add(1, Ordering::Relaxed) % parts;
        let first = (u32::from(low) + part * u32::from(WIDTH))
            .min(u32::from(high.saturating_sub(WIDTH - 1).max(low)));
        let last = (first + u32::from(WIDTH) - 1).min(u32::from(high));
        last << 16 | first
    }
}

/// A socket that will connect to `target`, from `source` where one is given.
///
/// The port is chosen by connect(2), where one may serve again for another address of the target (`IP_BIND_ADDRESS_NO_PORT`, ip(7)).
fn socket_for(source: Option<IpAddr>, target: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        if let Err(error) = bind_without_port(&socket) {
            // A kernel without it takes a port for this socket alone.
            log::debug!("the port is not left to connect(2): {error}");
        }
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(ports: &LocalPorts) -> (u32, u32) {
        let both = ports.next_part();
        (both & 0xffff, both >> 16)
    }

    proptest! {
        #[test]
        fn parts_cover_the_range_and_nothing_else(low in 1_u16.., width in 0_u16..2_000) {
            let high = low.saturating_add(width);
            let ports = LocalPorts { range: low..=high, next: AtomicU32::new(0) };
            let mut seen = vec![false; usize::from(high - low) + 1];
            for _ in 0..=(high - low) / WIDTH {
                let (first, last) = part(&ports);
                prop_assert!(u32::from(low) <= first && first <= last && last <= u32::from(high));
                prop_assert!(last - first < u32::from(WIDTH));
                seen[(first - u32::from(low)) as usize..=(last - u32::from(low)) as usize].fill(true);
            }
            prop_assert!(seen.iter().all(|seen| *seen));
        }
    }

    #[tokio::test]
    async fn a_connection_comes_from_its_part_and_from_elsewhere_where_that_is_full() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let whole = local_port_range();
        let narrow = *whole.start()..=*whole.start() + 3;
        let ports = LocalPorts { range: narrow.clone(), next: AtomicU32::new(0) };
        let mut held = Vec::new();
        for _ in 0..12 {
            held.push(ports.connect(None, target).await.unwrap());
        }
        let inside =
            held.iter().filter(|stream| narrow.contains(&stream.local_addr().unwrap().port())).count();
        assert!((1..=4).contains(&inside), "{inside} of the 4 ports, which other programs may hold");
    }
}
