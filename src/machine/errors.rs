//! Errors that say that this machine has run out of something.
//!
//! In: an error of the system. Out: yes where descriptors, ports or memory ran out here.

use std::io;

/// Error numbers of that meaning: `ENOMEM`, `ENFILE`, `EMFILE`, `EADDRINUSE`, `EADDRNOTAVAIL`, `ENOBUFS` (errno(3)).
#[cfg(all(unix, not(without_unix)))]
pub(super) const LOCAL_LIMITS: &[i32] = {
    use nix::libc::{EADDRINUSE, EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    &[ENOMEM, ENFILE, EMFILE, EADDRINUSE, EADDRNOTAVAIL, ENOBUFS]
};

/// Error numbers of that meaning on Windows: `ERROR_TOO_MANY_OPEN_FILES`, `ERROR_NOT_ENOUGH_MEMORY`, `ERROR_OUTOFMEMORY`, `WSAEMFILE`, `WSAEADDRINUSE`,
/// `WSAEADDRNOTAVAIL`, `WSAENOBUFS` (System Error Codes; Windows Sockets Error Codes).
#[cfg(not(all(unix, not(without_unix))))]
pub(super) const LOCAL_LIMITS: &[i32] = &[4, 8, 14, 10024, 10048, 10049, 10055];

/// Whether this machine ran out of something.
pub(crate) fn is_local_limit(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| LOCAL_LIMITS.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_one_and_others_are_none() {
        for number in LOCAL_LIMITS {
            assert!(is_local_limit(&io::Error::from_raw_os_error(*number)), "{number}");
        }
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound] {
            assert!(!is_local_limit(&io::Error::from(kind)), "{kind}");
        }
    }
}
