//! Standard output and error, as a program that must end with the right exit code sees them.
//!
//! In: bytes. Out: the same, as long as somebody reads them. Who stops reading, as `head` does or a terminal that was closed, changes nothing else.

use std::io::{self, IsTerminal, Write};

/// Data for a reader who may leave: what is written then is lost, and no error. Any other fault is one, as a full disk; it is told once.
pub(super) struct UntilClosed<W> {
    inner: W,
    is_over: bool,
}

impl<W: Write> UntilClosed<W> {
    /// To `inner`, until nobody reads it any more.
    pub(super) const fn new(inner: W) -> Self {
        Self { inner, is_over: false }
    }

    fn unless_over<T>(&mut self, nothing: T, act: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.is_over {
            return Ok(nothing);
        }
        let result = act(&mut self.inner);
        self.is_over = result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(nothing),
            other => other,
        }
    }
}

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_over(bytes.len(), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_over((), W::flush)
    }
}

/// Words for people: where they cannot be written, there is nobody to tell.
pub(super) struct Unheard<W>(pub(super) W);

impl<W: Write> Write for Unheard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.0.write(bytes).unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        // See above.
        let _ = self.0.flush();
        Ok(())
    }
}

/// Whether colours are wanted on this stream: it is a terminal, and `NO_COLOR` is not set (no-color.org).
pub(super) fn wants_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails as it is told.
    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_who_left_is_no_error_and_a_full_disk_is_one() {
        for (kind, is_error) in [(io::ErrorKind::BrokenPipe, false), (io::ErrorKind::StorageFull, true)] {
            let mut out = UntilClosed::new(Fails(kind));
            assert_eq!(out.write_all(b"x").is_err(), is_error, "{kind}");
            assert!(out.write_all(b"x").is_ok() && out.flush().is_ok(), "{kind}: told once");
            assert_eq!(UntilClosed::new(Fails(kind)).flush().is_err(), is_error, "{kind}");
            let mut err = Unheard(Fails(kind));
            assert!(err.write_all(b"x").is_ok() && err.flush().is_ok(), "{kind}");
        }
    }
}
