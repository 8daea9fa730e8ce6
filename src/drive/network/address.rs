//! Which addresses may be hit.
//!
//! In: a resolved address and the host names that the user authorised. Out: yes or no. Loopback, private and
//! link-local ranges are free (RFC 1122, 1918, 3927, 4193, 4291), but for the metadata services of clouds, which lie there and hand out credentials; any other
//! address needs `--authorize HOST`, also one that carries a private IPv4 address inside (RFC 6052, 3056): a gateway somewhere makes of it what it will.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use url::Host;

/// The metadata services of clouds.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The addresses that this run may connect to. The check is made on every connection, after the name was resolved.
#[derive(Debug, Default)]
pub struct AddressPolicy {
    authorised: Vec<String>,
    violated: AtomicBool,
    told: Notify,
}

/// An address that the run may not connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} resolves to {address}, which is neither loopback nor private, or a metadata service: load on a service needs its owner's consent. \
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
        Self { authorised, ..Self::default() }
    }

    /// Whether `address`, to which `host` resolved, may be hit.
    ///
    /// # Errors
    /// [`Forbidden`] when it may not.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        if is_free(address) || self.authorised.contains(&canonical_host(host)) {
            return Ok(());
        }
        self.violate();
        Err(Forbidden { host: host.to_owned(), address })
    }

    /// Whether a proxy may be asked for `host`, whose address it alone comes to know: an address that is free, this machine's own name,
    /// or an authorised host.
    pub(super) fn allows_unresolved(&self, host: &str) -> bool {
        let bare = canonical_host(host);
        let free = bare.parse().map_or(bare == "localhost", is_free);
        if !free && !self.authorised.contains(&bare) {
            self.violate();
            return false;
        }
        true
    }

    fn violate(&self) {
        self.violated.store(true, Ordering::Release);
        self.told.notify_one();
    }

    /// Waits, alone, for the first check to fail.
    pub async fn violation(&self) {
        while !self.was_violated() {
            self.told.notified().await;
        }
    }

    /// Whether any check has failed so far.
    #[must_use]
    pub fn was_violated(&self) -> bool {
        self.violated.load(Ordering::Acquire)
    }
}

/// A host as `--authorize` takes it, in the one form in which it is compared.
///
/// # Errors
/// A sentence that says what is needed, where it is no host: a URL, a port, a pattern.
pub fn parse_host(text: &str) -> Result<String, String> {
    let needed = "write the host alone, as api.example.com, 203.0.113.7 or 2001:db8::1: no scheme, no port, no pattern";
    if text.is_empty() || text.contains('*') {
        return Err(needed.to_owned());
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Ok(address.to_string());
    }
    let host = Host::parse(text).map_err(|error| format!("{needed} ({error})"))?;
    let name = host.to_string();
    let bare = name.strip_suffix('.').unwrap_or(&name);
    if bare.is_empty() || bare.ends_with('.') || bare.contains('*') {
        Err(needed.to_owned())
    } else {
        Ok(bare.to_owned())
    }
}

/// Host names do not differ by case, a trailing dot, an IPv6 address's brackets, or how their letters or numbers are written (WHATWG URL, §3.5). What is no
/// host is no other one's either.
fn canonical_host(host: &str) -> String {
    parse_host(host).unwrap_or_else(|_| host.to_ascii_lowercase())
}

/// Whether an address is one of nobody else's: loopback, private, link-local. An IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is that address: the system
/// connects to it.
fn is_free(address: IpAddr) -> bool {
    let address = address.to_canonical();
    if METADATA.contains(&address) {
        return false;
    }
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || is_unique_local(v6) || v6.is_unicast_link_local(),
    }
}

fn is_unique_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xfe00 == 0xfc00
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
