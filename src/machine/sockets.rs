//! Options of sockets, and the ports that the system chooses from.
//!
//! In: a socket. Out: the same, with an option set where the system has it.

use std::io;
use std::ops::RangeInclusive;

use socket2::Socket;
use tokio::net::TcpSocket;

/// The range of local ports of this machine: what Linux says (`ip_local_port_range`, ip(7)); elsewhere the dynamic ports of RFC 6335, section 6, which macOS
/// and Windows choose from unless they were told otherwise.
#[must_use]
pub fn local_port_range() -> RangeInclusive<u16> {
    range()
}

/// Lets connect(2) choose only from a part of the local ports: the lowest in the lower 16 bits, the highest in the upper ones.
///
/// # Errors
/// The system has no such option.
pub(crate) fn narrow_ports(socket: &TcpSocket, part: u32) -> io::Result<()> {
    narrow(socket, part)
}

/// Leaves the port to connect(2), where one may serve again for another address of the target.
///
/// # Errors
/// The system has no such option: bind(2) takes a port for this socket alone.
pub(crate) fn bind_without_port(socket: &TcpSocket) -> io::Result<()> {
    without_port(socket)
}

/// Lets a server listen where connections of the one before linger in TIME_WAIT. On Windows they do not keep it from its port, and the option means another
/// thing: two servers at one port.
///
/// # Errors
/// Whatever the system says.
pub(crate) fn free_old_connections(socket: &Socket) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { socket.set_reuse_address(true) }
}

#[cfg(all(target_os = "linux", not(without_linux)))]
use of_linux::{narrow, range, without_port};
#[cfg(not(all(target_os = "linux", not(without_linux))))]
use of_others::{narrow, range, without_port};

#[cfg(all(target_os = "linux", not(without_linux)))]
mod of_linux {
    use std::fs;
    use std::io;
    use std::ops::RangeInclusive;

    use nix::libc;
    use nix::setsockopt_impl;
    use nix::sys::socket::sockopt::SetStruct;
    use nix::sys::socket::{setsockopt, sockopt};
    use tokio::net::TcpSocket;

    /// `IP_LOCAL_PORT_RANGE` of `linux/in.h`, since Linux 6.3.
    const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

    #[derive(Debug, Clone, Copy)]
    struct LocalPortRange;

    setsockopt_impl!(LocalPortRange, libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, u32, SetStruct<u32>);

    pub(super) fn range() -> RangeInclusive<u16> {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let mut bounds = text.split_whitespace().filter_map(|bound| bound.parse().ok());
        match (bounds.next(), bounds.next()) {
            (Some(low), Some(high)) if high >= low => low..=high,
            _ => 32_768..=60_999,
        }
    }

    pub(super) fn narrow(socket: &TcpSocket, part: u32) -> io::Result<()> {
        Ok(setsockopt(socket, LocalPortRange, &part)?)
    }

    pub(super) fn without_port(socket: &TcpSocket) -> io::Result<()> {
        Ok(setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?)
    }
}

#[cfg(any(test, not(all(target_os = "linux", not(without_linux)))))]
#[cfg_attr(
    test,
    allow(dead_code, unreachable_pub, reason = "compiled for its tests, also where another way is taken")
)]
mod of_others {
    use std::io;
    use std::ops::RangeInclusive;

    use tokio::net::TcpSocket;

    pub(super) const fn range() -> RangeInclusive<u16> {
        49_152..=65_535
    }

    pub(super) fn narrow(_socket: &TcpSocket, _part: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn without_port(_socket: &TcpSocket) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_the_options_says_so() {
        let socket = TcpSocket::new_v4().unwrap();
        for told in [of_others::narrow(&socket, 0), of_others::without_port(&socket)] {
            assert_eq!(told.unwrap_err().kind(), io::ErrorKind::Unsupported);
        }
        assert_eq!(of_others::range().len(), 16_384);
        assert!(local_port_range().len() > 1_000);
    }
}
