//! Which addresses may be hit.
//!
//! In: a resolved address and the host names that the user authorised. Out: yes or no. Loopback, private and
//! link-local ranges are free (RFC 1122, 1918, 3927, 4193, 4291); any other address needs `--authorize HOST`.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

/// The addresses that this run may connect to. The check is made on every connection, after the name was resolved.
#[derive(Debug, Default)]
pub struct AddressPolicy {
    authorised: Vec<String>,
    violated: AtomicBool,
}

/// An address that the run may not connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} resolves to {address}, which is neither loopback nor private: load on a service needs its owner's consent. \
     If you have it, add --authorize {host}"
)]
pub struct Forbidden {
    /// The host as the URL names it.
    pub host: String,
    /// What it resolved to.
    pub address: IpAddr,
}

impl AddressPolicy {
    /// A policy under which these hosts (names or addresses, as in the URLs) may be hit wherever they are.
    #[must_use]
    pub fn new(authorised: &[String]) -> Self {
        let authorised = authorised.iter().map(|host| canonical_host(host)).collect();
        Self { authorised, violated: AtomicBool::new(false) }
    }

    /// Whether `address`, to which `host` resolved, may be hit.
    ///
    /// # Errors
    /// [`Forbidden`] when it may not.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        if is_free(address) || self.authorised.contains(&canonical_host(host)) {
            return Ok(());
        }
        self.violated.store(true, Ordering::Relaxed);
        Err(Forbidden { host: host.to_owned(), address })
    }

    /// Whether a proxy may be asked for `host`, whose address it alone comes to know: an address that is free, this machine's own name,
    /// or an authorised host.
    pub(super) fn allows_unresolved(&self, host: &str) -> bool {
        let bare = canonical_host(host);
        let free = bare.parse().map_or(bare == "localhost", is_free);
        if !free && !self.authorised.contains(&bare) {
            self.violated.store(true, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Whether any check has failed so far.
    #[must_use]
    pub fn was_violated(&self) -> bool {
        self.violated.load(Ordering::Relaxed)
    }
}

/// Host names do not differ by case, a trailing dot or an IPv6 address's brackets.
fn canonical_host(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Whether an address is one of nobody else's: loopback, private, link-local.
fn is_free(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || is_unique_local(v6) || v6.is_unicast_link_local(),
    }
}

fn is_unique_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xfe00 == 0xfc00
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_ground_is_free() {
        let rows = [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("0.0.0.0", false),
            ("8.8.8.8", false),
            ("100.64.0.1", false),
            ("255.255.255.255", false),
            ("::1", true),
            ("::", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
            ("::ffff:127.0.0.1", true),
            ("::ffff:8.8.8.8", false),
        ];
        let policy = AddressPolicy::new(&[]);
        for (address, free) in rows {
            let answer = policy.check("h", address.parse().unwrap());
            assert_eq!(answer.is_ok(), free, "{address}");
        }
        assert!(policy.was_violated());
    }

    #[test]
    fn a_host_is_authorised_by_the_name_that_the_url_has() {
        let policy = AddressPolicy::new(&["API.Example.com.".to_owned(), "[2001:db8::1]".to_owned()]);
        let public = "203.0.113.7".parse().unwrap();
        assert!(policy.check("api.example.com", public).is_ok());
        assert!(policy.check("2001:db8::1", "2001:db8::1".parse().unwrap()).is_ok());
        assert!(!policy.was_violated());
        assert!(policy.check("login.example.com", public).is_err());
    }
}
