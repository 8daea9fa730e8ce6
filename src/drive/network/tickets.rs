//! TLS sessions that a client may resume, as a browser keeps them.
//!
//! In: what servers give a client in its TLS handshakes. Out: the same, at its next handshake with the same server; a ticket of TLS 1.3 once
//! (RFC 8446 appendix C.4). Each client has its own, in memory only, and no client has one before its first handshake.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// The most tickets of one server that are kept: a browser does not keep more of them.
const MOST_TICKETS: usize = 2;
/// The most servers of which something is kept.
const MOST_SERVERS: usize = 4;

/// The tickets of a group's clients on one worker.
#[derive(Debug, Default)]
pub(super) struct TicketBook(Mutex<HashMap<u32, Arc<Tickets>>>);

/// A client's own.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<Vec<Kept>>);

/// What is kept of a server.
struct Kept {
    server: ServerName<'static>,
    group: Option<NamedGroup>,
    session: Option<Box<Tls12ClientSessionValue>>,
    /// The newest last.
    tickets: Vec<Tls13ClientSessionValue>,
}

impl TicketBook {
    /// Those of client `number`.
    pub(super) fn of(&self, number: u32) -> Arc<Tickets> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(book.entry(number).or_default())
    }
}

/// Keys are not to be seen.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tickets", self.tickets.len())
    }
}

impl Tickets {
    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to what is kept of a server; of the oldest server nothing is kept where they become too many.
    fn with(&self, server: ServerName<'static>, change: impl FnOnce(&mut Kept)) {
        let mut all = self.kept();
        let at = all.iter().position(|kept| kept.server == server).unwrap_or_else(|| {
            if all.len() == MOST_SERVERS {
                all.remove(0);
            }
            all.push(Kept { server, group: None, session: None, tickets: Vec::new() });
            all.len() - 1
        });
        change(&mut all[at]);
    }

    fn find<T>(&self, server: &ServerName<'_>, what: impl FnOnce(&mut Kept) -> Option<T>) -> Option<T> {
        self.kept().iter_mut().find(|kept| kept.server == *server).and_then(what)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.with(server, |kept| kept.group = Some(group));
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.find(server, |kept| kept.group)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.with(server, |kept| kept.session = Some(Box::new(value)));
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.find(server, |kept| kept.session.as_deref().cloned())
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        let _ = self.find(server, |kept| kept.session.take());
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.with(server, |kept| {
            if kept.tickets.len() == MOST_TICKETS {
                kept.tickets.remove(0);
            }
            kept.tickets.push(value);
        });
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.find(server, |kept| kept.tickets.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_and_of_few_servers() {
        let book = TicketBook::default();
        let server = |n: usize| ServerName::try_from(format!("s{n}.test")).unwrap();
        let hint = |client, n| book.of(client).kx_hint(&server(n));
        for n in 0..=MOST_SERVERS {
            book.of(7).set_kx_hint(server(n), NamedGroup::X25519);
        }
        assert_eq!(hint(7, 0), None, "the oldest has gone");
        assert!((1..=MOST_SERVERS).all(|n| hint(7, n) == Some(NamedGroup::X25519)));
        assert_eq!(hint(8, 1), None);
        assert!(book.of(8).take_tls13_ticket(&server(1)).is_none());
        assert!(book.of(8).tls12_session(&server(1)).is_none());
    }
}
