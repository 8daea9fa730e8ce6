//! The byte stream of a connection: plain, or TLS over the same TCP.
//!
//! In: an accepted connection. Out: its bytes, twice: as hyper wants them while the connection speaks HTTP ([`HttpWire`]), and as
//! tungstenite wants them while it is a session ([`SessionWire`]): without waiting, with `WouldBlock`.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::deflate::{Broken, Layer};
use crate::scenario::keys::fingerprint;

/// How much of a compressed session is read at once.
const AT_ONCE: usize = 4096;

/// A connection while it speaks HTTP.
#[derive(Debug)]
pub(super) enum HttpWire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection while it is a session.
#[derive(Debug)]
pub(super) struct SessionWire {
    tcp: TcpStream,
    above: Option<Box<Above>>,
}

/// What stands above TCP.
#[derive(Debug)]
struct Above {
    tls: Option<ServerConnection>,
    /// Where messages may be compressed.
    deflate: Option<Box<Layer>>,
}

/// Makes the close of a connection a reset (`SO_LINGER` 0).
fn reset_on_close(tcp: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO)) {
        log::debug!("a connection could not be reset: {error}");
    }
}

impl HttpWire {
    /// Ends the connection with a reset.
    pub(super) fn reset(self) {
        match &self {
            Self::Plain(tcp) => reset_on_close(tcp),
            Self::Tls(tls) => reset_on_close(tls.get_ref().0),
        }
    }

    /// The SHA-256 of the certificate that the peer showed.
    pub(super) fn certificate(&self) -> Option<[u8; 32]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.get_ref().1.peer_certificates()?.first().map(fingerprint),
        }
    }

    pub(super) fn into_session(self) -> SessionWire {
        match self {
            Self::Plain(tcp) => SessionWire { tcp, above: None },
            Self::Tls(tls) => {
                let (tcp, tls) = tls.into_inner();
                SessionWire { tcp, above: Some(Box::new(Above { tls: Some(tls), deflate: None })) }
            }
        }
    }
}

impl AsyncRead for HttpWire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for HttpWire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

impl SessionWire {
    /// The TCP connection, to wait for its readiness.
    pub(super) const fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Makes the end of this connection a reset.
    pub(super) fn reset_on_close(&self) {
        reset_on_close(&self.tcp);
    }

    /// Ends this side of TCP (FIN), and TLS not at all.
    pub(super) fn hang_up(&self) -> io::Result<()> {
        socket2::SockRef::from(&self.tcp).shutdown(std::net::Shutdown::Write)
    }

    /// From now on messages may be compressed.
    pub(super) fn deflate(mut self, layer: Layer) -> Self {
        let above = self.above.get_or_insert_with(|| Box::new(Above { tls: None, deflate: None }));
        above.deflate = Some(Box::new(layer));
        self
    }

    /// Writes frames as they are, past any compression.
    pub(super) fn write_frames(&mut self, frames: &[u8]) -> io::Result<usize> {
        match &mut self.above {
            None => self.tcp.try_write(frames),
            Some(above) => write_beneath(&mut above.tls, &self.tcp, frames),
        }
    }

    /// Says that TLS is over (RFC 8446 §6.1), as far as the socket takes it.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(tls) = self.above.as_mut().and_then(|above| above.tls.as_mut()) {
            tls.send_close_notify();
            if let Err(error) = send(tls, &self.tcp) {
                log::debug!("the end of TLS could not be told: {error}");
            }
        }
    }
}

/// TCP without waiting.
struct Tcp<'a>(&'a TcpStream);

impl Read for Tcp<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Tcp<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.try_write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the records that wait, until none does or the socket takes no more.
fn send(tls: &mut ServerConnection, tcp: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut Tcp(tcp))?;
    }
    Ok(())
}

/// Reads what is beneath any compression.
fn read_beneath(tls: &mut Option<ServerConnection>, tcp: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    let Some(tls) = tls else { return tcp.try_read(buf) };
    loop {
        match tls.reader().read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        // An end of TCP without the end of TLS is told by the reader, as `UnexpectedEof`.
        tls.read_tls(&mut Tcp(tcp))?;
        let taken = tls.process_new_packets();
        // What TLS itself has to answer, as an alert that says what is wrong with the peer's records. What the socket does not
        // take now goes with the next write; that it is gone, the next read says.
        let _ = send(tls, tcp);
        taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
}

/// Writes beneath any compression.
fn write_beneath(tls: &mut Option<ServerConnection>, tcp: &TcpStream, data: &[u8]) -> io::Result<usize> {
    let Some(tls) = tls else { return tcp.try_write(data) };
    if let Err(error) = send(tls, tcp)
        && error.kind() != io::ErrorKind::WouldBlock
    {
        return Err(error);
    }
    // No room for another record is not the end of the stream.
    match tls.writer().write(data)? {
        0 if !data.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
        taken => Ok(taken),
    }
}

impl Above {
    /// Writes what has been compressed.
    fn drain(&mut self, tcp: &TcpStream) -> io::Result<()> {
        let Some(layer) = &mut self.deflate else { return Ok(()) };
        while !layer.unsent().is_empty() {
            match write_beneath(&mut self.tls, tcp, layer.unsent())? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => layer.sent(count),
            }
        }
        Ok(())
    }
}

fn failure(broken: Broken) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, broken)
}

impl Read for SessionWire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(above) = &mut self.above else { return self.tcp.try_read(buf) };
        let Some(layer) = &mut above.deflate else { return read_beneath(&mut above.tls, &self.tcp, buf) };
        loop {
            match layer.give(buf).map_err(failure)? {
                0 => {}
                count => return Ok(count),
            }
            let mut raw = [0; AT_ONCE];
            match read_beneath(&mut above.tls, &self.tcp, &mut raw)? {
                0 => return Ok(0),
                count => layer.feed(&raw[..count]),
            }
        }
    }
}

impl Write for SessionWire {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let Some(above) = &mut self.above else { return self.tcp.try_write(data) };
        above.drain(&self.tcp)?;
        let Some(layer) = &mut above.deflate else { return write_beneath(&mut above.tls, &self.tcp, data) };
        layer.take(data).map_err(failure)?;
        match above.drain(&self.tcp) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            // What is left goes with the next flush.
            _ => Ok(data.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(above) = &mut self.above else { return Ok(()) };
        above.drain(&self.tcp)?;
        above.tls.as_mut().map_or(Ok(()), |tls| send(tls, &self.tcp))
    }
}
