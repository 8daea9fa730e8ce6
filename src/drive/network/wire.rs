//! The byte stream under a WebSocket: plain or TLS, counted.
//!
//! In: a connected stream. Out: the same bytes, and their number. A WebSocket reads with a small buffer, for thousands of them wait
//! idle; while more comes than fits in it, the wire reads ahead into a large one.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::deflate::{Layer, Volume};
use crate::sample::Word;

use super::close_watch::CloseWatch;
use super::deflated;

/// How much is read ahead at most.
const AHEAD: usize = 16 * 1024;

/// A counted stream.
#[derive(Debug)]
pub(super) struct Wire {
    io: Io,
    bytes_in: u64,
    bytes_out: u64,
    /// The last read filled what it was given: more waits.
    is_flowing: bool,
    /// What was read ahead; empty, and without memory, while nothing flows.
    ahead: BytesMut,
    /// Looks for the peer's close frame once frames come.
    watch: CloseWatch,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Over one of the two, from the upgrade on.
    Deflated(Box<Deflated>),
}

/// A stream, and what stands above it.
#[derive(Debug)]
struct Deflated {
    io: Io,
    layer: Layer,
}

impl Io {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
            Self::Deflated(deflated) => deflated.io.tcp(),
        }
    }
}

impl Wire {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self::new(Io::Plain(stream))
    }

    pub(super) fn tls(stream: Box<TlsStream<TcpStream>>) -> Self {
        Self::new(Io::Tls(stream))
    }

    fn new(io: Io) -> Self {
        let watch = CloseWatch::new();
        Self { io, bytes_in: 0, bytes_out: 0, is_flowing: false, ahead: BytesMut::new(), watch }
    }

    /// Bytes received and sent since the last call.
    pub(super) fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.bytes_in), std::mem::take(&mut self.bytes_out))
    }

    /// From now on frames come, of which these have been read already.
    pub(super) fn watch_frames(&mut self, early: &[u8]) {
        self.watch.begin();
        self.watch.read(early);
    }

    /// From now on messages may be compressed; what stands above the stream has got what was read already.
    pub(super) fn deflate(self, layer: Layer) -> Self {
        Self { io: Io::Deflated(Box::new(Deflated { io: self.io, layer })), ..self }
    }

    /// What has gone over a session whose messages may be compressed since the last call.
    pub(super) fn take_deflated(&mut self) -> Volume {
        match &mut self.io {
            Io::Deflated(deflated) => deflated.layer.take_volume(),
            Io::Plain(_) | Io::Tls(_) => Volume::default(),
        }
    }

    /// What the peer's close frame held on the wire, where one has come.
    pub(super) fn close_frame(&self) -> Option<Word> {
        self.watch.said()
    }

    /// Makes the close of this connection a reset (`SO_LINGER` 0).
    pub(super) fn set_reset_on_close(&self) -> io::Result<()> {
        socket2::SockRef::from(self.io.tcp()).set_linger(Some(std::time::Duration::ZERO))
    }
}

/// Reads up to [`AHEAD`] bytes at once and fills `buf` with the first of them; the rest is `ahead`. Answers with how many
/// were read.
fn poll_ahead(
    tcp: &mut TcpStream,
    ahead: &mut BytesMut,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<usize>> {
    let mut read = BytesMut::with_capacity(AHEAD);
    // The future keeps nothing between polls.
    let count = ready!(pin!(tcp.read_buf(&mut read)).poll(cx))?;
    *ahead = read;
    give(ahead, buf);
    Poll::Ready(Ok(count))
}

/// Gives out of what was read ahead; with the last of it goes its memory.
fn give(ahead: &mut BytesMut, buf: &mut ReadBuf<'_>) {
    let count = ahead.len().min(buf.remaining());
    buf.put_slice(&ahead[..count]);
    ahead.advance(count);
    if ahead.is_empty() {
        *ahead = BytesMut::new();
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match &mut this.io {
            _ if !this.ahead.is_empty() => give(&mut this.ahead, buf),
            Io::Plain(tcp) if this.is_flowing => {
                let small = buf.remaining();
                let count = ready!(poll_ahead(tcp, &mut this.ahead, cx, buf))?;
                this.bytes_in += count as u64;
                this.is_flowing = count > small;
            }
            Io::Plain(tcp) => {
                ready!(Pin::new(tcp).poll_read(cx, buf))?;
                this.bytes_in += (buf.filled().len() - before) as u64;
                this.is_flowing = buf.remaining() == 0;
            }
            // TLS reads whole records, and keeps what is left of them.
            Io::Tls(tls) => {
                ready!(Pin::new(tls).poll_read(cx, buf))?;
                this.bytes_in += (buf.filled().len() - before) as u64;
            }
            Io::Deflated(deflated) => {
                let Deflated { io, layer } = &mut **deflated;
                ready!(deflated::poll_read(layer, io, cx, buf, &mut this.bytes_in))?;
            }
        }
        this.watch.read(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Io::Deflated(deflated) = &mut this.io {
            let Deflated { io, layer } = &mut **deflated;
            return deflated::poll_write(layer, io, cx, data, &mut this.bytes_out);
        }
        let polled = Pin::new(&mut this.io).poll_write(cx, data);
        if let Poll::Ready(Ok(written)) = polled {
            this.bytes_out += written as u64;
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl Wire {
    /// Writes what stands above the stream has still to write.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Deflated(deflated) => {
                let Deflated { io, layer } = &mut **deflated;
                deflated::poll_drain(layer, io, cx, &mut self.bytes_out)
            }
            Io::Plain(_) | Io::Tls(_) => Poll::Ready(Ok(())),
        }
    }
}

/// The stream itself; of one with something above it, the one beneath.
impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
            Self::Deflated(deflated) => Pin::new(&mut deflated.io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, data),
            Self::Deflated(deflated) => Pin::new(&mut deflated.io).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Self::Deflated(deflated) => Pin::new(&mut deflated.io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Deflated(deflated) => Pin::new(&mut deflated.io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn what_is_read_ahead_comes_whole_and_in_order_and_leaves_no_memory_behind() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent: Vec<u8> = (0..5 * AHEAD + 77).map(|n| (n % 251) as u8).collect();
        let (small, all) = (vec![7; 100], sent.clone());
        let writer = tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.write_all(&all).await.unwrap();
            peer
        });
        let mut wire = Wire::plain(TcpStream::connect(address).await.unwrap());
        let mut chunk = [0; 512];
        let mut got = Vec::new();
        let mut most_ahead = 0;
        while got.len() < sent.len() {
            let n = wire.read(&mut chunk).await.unwrap();
            got.extend_from_slice(&chunk[..n]);
            most_ahead = most_ahead.max(wire.ahead.len());
        }
        assert!(got == sent, "every byte, in order");
        assert!(most_ahead > chunk.len() && most_ahead < AHEAD, "{most_ahead}");
        assert_eq!(wire.ahead.capacity(), 0, "nothing is kept for an idle client");
        let mut peer = writer.await.unwrap();
        peer.write_all(&small).await.unwrap();
        drop(peer);
        let mut rest = Vec::new();
        wire.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, small, "and the end is seen");
        assert_eq!(wire.take_counts().0, (sent.len() + small.len()) as u64);
    }
}
