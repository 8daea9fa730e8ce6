//! The byte stream under a WebSocket: plain or TLS, counted.
//!
//! In: a connected stream. Out: the same bytes, their number, and during the upgrade a boundary: reads end with the
//! header's last byte, what follows is held back. So the upgrade's buffers can be dropped afterwards without losing
//! a message that came with the answer, and a refusal's body can still be read. A WebSocket reads with a small buffer, for
//! thousands of them wait idle; while more comes than fits in it, the wire reads ahead into a large one.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The end of an HTTP header.
const HEADER_END: &[u8; 4] = b"\r\n\r\n";
/// How much is read ahead at most.
const AHEAD: usize = 16 * 1024;

/// A counted stream.
#[derive(Debug)]
pub(super) struct Wire {
    io: Io,
    bytes_in: u64,
    bytes_out: u64,
    header: Header,
    held: Vec<u8>,
    /// The last read filled what it was given: more waits.
    is_flowing: bool,
    /// What was read ahead; empty, and without memory, while nothing flows.
    ahead: BytesMut,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How far the HTTP header has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    /// This many bytes of [`HEADER_END`] have just been seen.
    Reading(usize),
    /// Its end has been seen.
    Read,
}

impl Wire {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self::new(Io::Plain(stream))
    }

    pub(super) fn tls(stream: Box<TlsStream<TcpStream>>) -> Self {
        Self::new(Io::Tls(stream))
    }

    fn new(io: Io) -> Self {
        Self {
            io,
            bytes_in: 0,
            bytes_out: 0,
            header: Header::Reading(0),
            held: Vec::new(),
            is_flowing: false,
            ahead: BytesMut::new(),
        }
    }

    /// What came after the header with it. Reads go on behind it.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        self.header = Header::Read;
        std::mem::take(&mut self.held)
    }

    /// Bytes received and sent since the last call.
    pub(super) fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.bytes_in), std::mem::take(&mut self.bytes_out))
    }

    /// Makes the close of this connection a reset (`SO_LINGER` 0).
    pub(super) fn set_reset_on_close(&self) -> io::Result<()> {
        let tcp = match &self.io {
            Io::Plain(tcp) => tcp,
            Io::Tls(tls) => tls.get_ref().0,
        };
        socket2::SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO))
    }

    /// Cuts what was just read at the end of the header; the rest is held back.
    fn keep_to_header(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let Header::Reading(mut matched) = self.header else { return };
        let fresh = &buf.filled()[before..];
        for (at, &byte) in fresh.iter().enumerate() {
            matched = match byte {
                _ if byte == HEADER_END[matched] => matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if matched == HEADER_END.len() {
                self.held = fresh[at + 1..].to_vec();
                self.header = Header::Read;
                return buf.set_filled(before + at + 1);
            }
        }
        self.header = Header::Reading(matched);
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
                this.is_flowing = this.header == Header::Read && buf.remaining() == 0;
            }
            // TLS reads whole records, and keeps what is left of them.
            Io::Tls(tls) => {
                ready!(Pin::new(tls).poll_read(cx, buf))?;
                this.bytes_in += (buf.filled().len() - before) as u64;
            }
        }
        this.keep_to_header(buf, before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = match &mut this.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Io::Tls(tls) => Pin::new(tls).poll_write(cx, data),
        };
        if let Poll::Ready(Ok(written)) = polled {
            this.bytes_out += written as u64;
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Io::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Reads what `pieces` bring, up to the header's end; answers with it and what was held back.
    async fn read_header(pieces: Vec<Vec<u8>>) -> (Vec<u8>, Vec<u8>, u64) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let writer = tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.set_nodelay(true).unwrap();
            for piece in pieces {
                peer.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let mut wire = Wire::plain(TcpStream::connect(address).await.unwrap());
        let mut header = Vec::new();
        let mut chunk = [0; 64];
        while !header.ends_with(HEADER_END) {
            let n = wire.read(&mut chunk).await.unwrap();
            assert!(n > 0, "the header never ended: {header:?}");
            header.extend_from_slice(&chunk[..n]);
        }
        let mut after = wire.take_held();
        writer.await.unwrap();
        wire.read_to_end(&mut after).await.unwrap();
        let count = wire.take_counts().0;
        (header, after, count)
    }

    #[tokio::test]
    async fn what_is_read_ahead_comes_whole_and_in_order_and_leaves_no_memory_behind() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent: Vec<u8> = (0..5 * AHEAD + 77).map(|n| (n % 251) as u8).collect();
        let (small, all) = (vec![7; 100], sent.clone());
        let writer = tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.write_all(b"x\r\n\r\n").await.unwrap();
            peer.write_all(&all).await.unwrap();
            peer
        });
        let mut wire = Wire::plain(TcpStream::connect(address).await.unwrap());
        let mut chunk = [0; 512];
        assert_eq!(wire.read(&mut chunk).await.unwrap(), 5);
        let mut got = wire.take_held();
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
        assert_eq!(wire.take_counts().0, (5 + sent.len() + small.len()) as u64);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn a_header_ends_where_it_ends_however_it_is_sliced(
            body in "[a\r\n]{0,40}",
            after in prop::collection::vec(any::<u8>(), 0..100),
            cuts in prop::collection::vec(1_usize..9, 1..40),
        ) {
            let mut header = body.replace("\r\n\r\n", "").into_bytes();
            while let Some(at) = header.windows(4).position(|four| four == HEADER_END) {
                header.drain(at..at + 4);
            }
            header.extend_from_slice(b"x\r\n\r\n");
            let mut bytes = header.clone();
            bytes.extend_from_slice(&after);
            let mut pieces = Vec::new();
            let mut rest = bytes.as_slice();
            for &cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = left;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (read, behind, count) = runtime.block_on(read_header(pieces));
            prop_assert_eq!(read, header);
            prop_assert_eq!(behind, after);
            prop_assert_eq!(count, bytes.len() as u64);
        }
    }
}
