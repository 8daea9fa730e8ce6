//! Standard input and output as files of one's own.
//!
//! In: nothing. Out: a second handle to each, without the lock of the usual one.

use std::fs::File;
use std::io;

#[cfg(unix)]
use std::os::fd::AsFd as Handle;
#[cfg(windows)]
use std::os::windows::io::AsHandle as Handle;

/// Standard input.
///
/// # Errors
/// The system has no handle to give.
pub(crate) fn standard_input() -> io::Result<File> {
    own(&io::stdin())
}

/// Standard output.
///
/// # Errors
/// The system has no handle to give.
pub(crate) fn standard_output() -> io::Result<File> {
    own(&io::stdout())
}

#[cfg(unix)]
fn own(stream: &impl Handle) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(windows)]
fn own(stream: &impl Handle) -> io::Result<File> {
    stream.as_handle().try_clone_to_owned().map(File::from)
}
