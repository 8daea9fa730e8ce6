//! A connection whose messages may be compressed.
//!
//! In: a stream, and what stands above it. Out: the bytes of a session without compression; how many bytes went over the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::deflate::{Broken, Layer};

/// How much is read at once.
const AT_ONCE: usize = 4096;

fn failure(broken: Broken) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, broken)
}

/// Reads what the WebSocket library is to see.
pub(super) fn poll_read<S: AsyncRead + Unpin>(
    layer: &mut Layer,
    stream: &mut S,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    bytes_in: &mut u64,
) -> Poll<io::Result<()>> {
    loop {
        let given = layer.give(buf.initialize_unfilled()).map_err(failure)?;
        if given > 0 {
            buf.advance(given);
            return Poll::Ready(Ok(()));
        }
        let mut raw = [0; AT_ONCE];
        let mut read = ReadBuf::new(&mut raw);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        *bytes_in += read.filled().len() as u64;
        layer.feed(read.filled());
    }
}

/// Takes in what the library writes, and writes as much as the stream takes.
pub(super) fn poll_write<S: AsyncWrite + Unpin>(
    layer: &mut Layer,
    stream: &mut S,
    cx: &mut Context<'_>,
    data: &[u8],
    bytes_out: &mut u64,
) -> Poll<io::Result<usize>> {
    ready!(poll_drain(layer, stream, cx, bytes_out))?;
    layer.take(data).map_err(failure)?;
    match poll_drain(layer, stream, cx, bytes_out) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        // What is left goes when the library flushes.
        _ => Poll::Ready(Ok(data.len())),
    }
}

/// Writes what is to be written.
pub(super) fn poll_drain<S: AsyncWrite + Unpin>(
    layer: &mut Layer,
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes_out: &mut u64,
) -> Poll<io::Result<()>> {
    while !layer.unsent().is_empty() {
        let count = ready!(Pin::new(&mut *stream).poll_write(cx, layer.unsent()))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *bytes_out += count as u64;
        layer.sent(count);
    }
    Poll::Ready(Ok(()))
}
