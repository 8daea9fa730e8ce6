//! Whether a failure was this machine's own.
//!
//! In: an `io::Error`, or an error that was caused by one. Out: yes where descriptors, ports or memory ran out here.

use std::error::Error;
use std::io;

use crate::lifecycle::ConnectFailure;
use crate::machine::is_local_limit;

/// Whether an error was caused by one that says so.
pub(super) fn is_caused_by_local_limit(error: &(dyn Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(current) = source {
        let io_error = current.downcast_ref::<io::Error>();
        if io_error.is_some_and(is_local_limit) {
            return true;
        }
        // An I/O error that wraps another is not that one's caller but its place.
        let wrapped = io_error.and_then(io::Error::get_ref).map(|inner| inner as &(dyn Error + 'static));
        source = wrapped.or_else(|| current.source());
    }
    false
}

/// What a failure to connect or to go on means.
pub(super) fn classify_io(error: &io::Error) -> ConnectFailure {
    if is_local_limit(error) {
        return ConnectFailure::LocalLimit;
    }
    match error.kind() {
        io::ErrorKind::TimedOut => ConnectFailure::Timeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => ConnectFailure::Reset,
        _ => ConnectFailure::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_here_is_never_the_targets_fault() {
        // EMFILE is the same number on every Unix, and ERROR_OUTOFMEMORY on Windows.
        let lacking = || io::Error::from_raw_os_error(if cfg!(windows) { 14 } else { 24 });
        let rows = [
            (lacking(), ConnectFailure::LocalLimit),
            (io::ErrorKind::ConnectionRefused.into(), ConnectFailure::Refused),
            (io::ErrorKind::ConnectionReset.into(), ConnectFailure::Reset),
            (io::ErrorKind::TimedOut.into(), ConnectFailure::Timeout),
            (io::ErrorKind::HostUnreachable.into(), ConnectFailure::Refused),
        ];
        for (error, failure) in rows {
            assert_eq!(classify_io(&error), failure, "{error}");
        }
        let wrapped = io::Error::other(lacking());
        assert!(is_caused_by_local_limit(&wrapped));
        assert!(!is_caused_by_local_limit(&io::Error::other("closed")));
    }
}
