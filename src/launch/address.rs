//! The address of a NATS server, as it may stand in what is printed.
//!
//! In: what the user wrote. Out: nothing, or why not: it holds a password, or leads over a network where others could read along.

use std::net::IpAddr;

use url::Url;

use super::error::LaunchError;

/// How a NATS server is reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'w> {
    /// Its address.
    pub(super) address: &'w str,
    /// Whether there are credentials for it.
    pub(super) has_credentials: bool,
    /// Whether plain text, or no user, is fine.
    pub(super) is_insecure: bool,
    /// The option that names credentials.
    pub(super) credentials: &'static str,
    /// What to do in place of a password in the address.
    pub(super) instead: &'static str,
}

impl Way<'_> {
    /// Whether it may be printed, and gone.
    ///
    /// # Errors
    /// It is no address, holds a password, or is open to others.
    pub(super) fn check(self) -> Result<(), LaunchError> {
        let Self { address, credentials, .. } = self;
        if address.contains('@') {
            return Err(LaunchError::Password { instead: self.instead });
        }
        let wrong = |why| LaunchError::Address { address: address.to_owned(), why };
        let url = Url::parse(address).map_err(|_| wrong("it is no address"))?;
        let is_encrypted = match url.scheme() {
            "tls" => true,
            "nats" => false,
            _ => return Err(wrong("it begins with neither nats:// nor tls://")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("something stands behind the host"));
        }
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let (what, remedy) = match (is_encrypted, self.has_credentials) {
            _ if is_here || self.is_insecure => return Ok(()),
            (false, true) => ("plain text", "Use --nats tls://HOST:4222".to_owned()),
            (false, false) => ("plain text", format!("Use --nats tls://HOST:4222 and {credentials}")),
            (true, false) => ("open to anybody", format!("Give {credentials}")),
            (true, true) => return Ok(()),
        };
        Err(LaunchError::Insecure { address: self.address.to_owned(), what, remedy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;

    #[test]
    fn the_way_is_checked() {
        let check = |address, has_credentials, is_insecure| {
            let way = Way { address, has_credentials, is_insecure, credentials: "--creds", instead: "x" };
            way.check().map_err(|error| error.exit_code())
        };
        for address in ["nats://127.0.0.1:4222", "nats://localhost", "tls://[::1]:4222"] {
            assert_eq!(check(address, false, false), Ok(()), "{address}");
        }
        for address in ["nats", "http://h", "nats://", "nats://h/x", "tls://h?x=1", "nats://u:p@h", ""] {
            assert_eq!(check(address, true, true), Err(ExitCode::Usage), "{address}");
        }
        for (address, creds, insecure, expected) in [
            ("nats://nats:4222", true, false, Err(ExitCode::NotAuthorised)),
            ("nats://nats:4222", false, true, Ok(())),
            ("tls://nats:4222", false, false, Err(ExitCode::NotAuthorised)),
            ("tls://nats:4222", true, false, Ok(())),
        ] {
            assert_eq!(check(address, creds, insecure), expected, "{address}");
        }
    }
}
