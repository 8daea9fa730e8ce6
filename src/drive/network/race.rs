//! A race of a name's addresses (Happy Eyeballs, RFC 8305).
//!
//! In: addresses in the order of a client's preference, a way to connect to one. Out: the first connection, and how many were given up for it.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::timeout;

use crate::lifecycle::ConnectFailure;

/// The families by turns, the first one's first (RFC 8305 §4).
pub(super) fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else { return addresses };
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut order = Vec::with_capacity(preferred.len() + other.len());
    loop {
        let pair = [preferred.next(), other.next()];
        if pair.iter().all(Option::is_none) {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// Connects to the first address that answers. The next one is tried beside those that are silent when `delay` has passed, and at once where one
/// fails (RFC 8305 §5). Answers with how many were under way when the first answered: they are closed.
pub(super) async fn race<T, F: Future<Output = Result<T, ConnectFailure>>>(
    addresses: Vec<SocketAddr>,
    delay: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<(T, usize), ConnectFailure> {
    let mut waiting = by_turns(addresses).into_iter();
    let mut running = FuturesUnordered::new();
    let mut last = ConnectFailure::Refused;
    loop {
        if let Some(address) = waiting.next() {
            running.push(connect(address));
        }
        let ended =
            if waiting.len() > 0 { timeout(delay, running.next()).await } else { Ok(running.next().await) };
        match ended {
            Ok(Some(Ok(connected))) => return Ok((connected, running.len())),
            Ok(Some(Err(failure))) => last = failure,
            Ok(None) => return Err(last),
            // Silent for so long: the next is tried beside it.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let all = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"]);
        assert_eq!(by_turns(all), addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"]));
        assert!(by_turns(Vec::new()).is_empty());
    }

    /// What an address does, by its port: 1 answers, 2 fails, 3 is silent.
    async fn act(address: SocketAddr) -> Result<SocketAddr, ConnectFailure> {
        match address.port() {
            1 => Ok(address),
            2 => Err(ConnectFailure::Reset),
            _ => std::future::pending().await,
        }
    }

    #[tokio::test]
    async fn the_first_that_answers_is_taken_and_the_others_are_closed() {
        type Row<'a> = (&'a [&'a str], Option<(&'a str, usize)>);
        let rows: [Row<'_>; 7] = [
            (&["127.0.0.1:1"], Some(("127.0.0.1:1", 0))),
            // Nobody else is asked while the first is quick.
            (&["[::1]:1", "127.0.0.1:1"], Some(("[::1]:1", 0))),
            (&["[::1]:3", "127.0.0.1:1"], Some(("127.0.0.1:1", 1))),
            (&["[::1]:2", "127.0.0.1:1"], Some(("127.0.0.1:1", 0))),
            // Two of eight are dead.
            (
                &[
                    "[::1]:3",
                    "[::2]:1",
                    "[::3]:1",
                    "[::4]:1",
                    "127.0.0.1:3",
                    "127.0.0.2:1",
                    "127.0.0.3:1",
                    "127.0.0.4:1",
                ],
                Some(("[::2]:1", 2)),
            ),
            (&["[::1]:2", "127.0.0.1:2"], None),
            (&[], None),
        ];
        for (texts, expected) in rows {
            let first = race(addresses(texts), Duration::from_millis(1), act).await;
            let expected = expected.map(|(text, lost)| (text.parse().unwrap(), lost));
            assert_eq!(first.as_ref().ok(), expected.as_ref(), "{texts:?}");
            assert!(expected.is_some() || texts.is_empty() || matches!(first, Err(ConnectFailure::Reset)));
        }
    }
}
