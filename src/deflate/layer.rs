//! What stands between a wire and a WebSocket library.
//!
//! In: what was read from the wire, what the library writes. Out: what the library reads, what is to be written to the wire. It keeps no
//! memory for bytes where none are under way.

use super::Volume;
use super::incoming::Incoming;
use super::message::Broken;
use super::outgoing::Outgoing;
use super::terms::Terms;

/// A session's own compression: both directions.
#[derive(Debug)]
pub(crate) struct Layer {
    incoming: Incoming,
    outgoing: Outgoing,
    /// Read, and not yet translated.
    raw: Bytes,
    /// Translated, and not yet given to the library.
    clear: Bytes,
    /// To be written.
    unsent: Bytes,
    /// What is wrong with what came behind `clear`.
    broken: Option<Broken>,
}

/// Bytes that go from the front.
#[derive(Debug, Default)]
struct Bytes {
    all: Vec<u8>,
    gone: usize,
}

impl Bytes {
    fn left(&self) -> &[u8] {
        &self.all[self.gone..]
    }

    /// So many have gone; with the last of them goes their memory.
    fn go(&mut self, count: usize) {
        self.gone += count;
        if self.gone >= self.all.len() {
            *self = Self::default();
        }
    }
}

impl Layer {
    /// By what was agreed on. No message of more than `most` bytes is inflated; one of less than `threshold` is sent as it is. `early` has
    /// been read already.
    pub(crate) fn new(terms: Terms, most: usize, threshold: usize, early: &[u8]) -> Self {
        Self {
            incoming: Incoming::new(terms.peer, most),
            outgoing: Outgoing::new(terms.own, threshold),
            raw: Bytes { all: early.to_vec(), gone: 0 },
            clear: Bytes::default(),
            unsent: Bytes::default(),
            broken: None,
        }
    }

    /// What has gone over the session since the last call.
    pub(crate) fn take_volume(&mut self) -> Volume {
        let (plain_in, wire_in) = self.incoming.take_volume();
        let (plain_out, wire_out) = self.outgoing.take_volume();
        Volume { plain_in, wire_in, plain_out, wire_out }
    }

    /// Takes in what was read from the wire.
    pub(crate) fn feed(&mut self, raw: &[u8]) {
        self.raw.all.extend_from_slice(raw);
    }

    /// Gives as much as there is room for; none: more must be read.
    ///
    /// # Errors
    /// What is wrong with what came.
    pub(crate) fn give(&mut self, room: &mut [u8]) -> Result<usize, Broken> {
        while self.clear.left().is_empty() {
            match self.broken {
                Some(broken) => return Err(broken),
                None if self.raw.left().is_empty() => return Ok(0),
                None => {}
            }
            match self.incoming.translate(self.raw.left(), &mut self.clear.all) {
                Ok(taken) => self.raw.go(taken),
                Err(broken) => self.broken = Some(broken),
            }
        }
        let count = self.clear.left().len().min(room.len());
        room[..count].copy_from_slice(&self.clear.left()[..count]);
        self.clear.go(count);
        Ok(count)
    }

    /// Takes in what the library writes.
    ///
    /// # Errors
    /// Where it cannot be compressed.
    pub(crate) fn take(&mut self, written: &[u8]) -> Result<(), Broken> {
        self.outgoing.translate(written, &mut self.unsent.all)
    }

    /// What is to be written to the wire.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.unsent.left()
    }

    /// So many bytes of it have been.
    pub(crate) fn sent(&mut self, count: usize) {
        self.unsent.go(count);
    }
}
