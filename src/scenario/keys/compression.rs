//! permessage-deflate (RFC 7692): what clients offer, and what the embedded target answers.
//!
//! In: `true`, `false`, or a table. Out: a [`Compression`], or none.

use crate::declare::{At, Kind, Shape, Value, flag, int, table};
use crate::deflate::Offer;

table! {
    /// permessage-deflate. A client offers these parameters; the embedded target asks for them in its answer, beside those that the client
    /// asks for.
    #[derive(PartialEq, Eq, Copy)]
    default pub struct Compression {
        /// The client takes nothing over from one message to the next.
        client_no_context_takeover: bool = false;
        /// The server takes nothing over from one message to the next.
        server_no_context_takeover: bool = false;
        /// The client's largest window, as a power of two. 15 is offered without a value, as browsers do. Without it: the server must not
        /// choose one.
        client_max_window_bits: Option<u8> = None => int::<u8>(8..=15);
        /// The server's largest window, as a power of two. Without it: the server may choose one.
        server_max_window_bits: Option<u8> = None => int::<u8>(8..=15);
        /// A message of less than this many bytes is sent as it is.
        threshold: usize = 0 => int::<usize>(0..=1 << 30);
    }
}

impl Compression {
    /// As Chrome and its kin offer it.
    const BROWSER: Self = Self {
        client_no_context_takeover: Offer::BROWSER.client_no_context_takeover,
        server_no_context_takeover: Offer::BROWSER.server_no_context_takeover,
        client_max_window_bits: Offer::BROWSER.client_max_window_bits,
        server_max_window_bits: Offer::BROWSER.server_max_window_bits,
        threshold: 0,
    };

    /// What is offered, or asked for in the answer.
    #[must_use]
    pub const fn offer(&self) -> Offer {
        Offer {
            client_no_context_takeover: self.client_no_context_takeover,
            server_no_context_takeover: self.server_no_context_takeover,
            client_max_window_bits: self.client_max_window_bits,
            server_max_window_bits: self.server_max_window_bits,
        }
    }
}

/// `true`, `false`, or a table with parameters.
pub(crate) struct Compressions;

/// Compression, where it is wanted.
pub(crate) const fn compression() -> Compressions {
    Compressions
}

impl Kind for Compressions {
    type Out = Option<Compression>;

    fn shape(&self) -> Shape {
        Shape::Either(vec![Shape::Boolean, Compression::shape()])
    }

    fn read(&self, at: &At<'_>) -> Option<Option<Compression>> {
        if at.table().is_some() {
            return Compression::read(at).map(Some);
        }
        if at.value().as_bool().is_none() {
            at.wrong(
                "true, false or a table is needed, as { client_max_window_bits = 15, threshold = 1024 }",
            );
            return None;
        }
        flag().read(at).map(|is_on| is_on.then_some(Compression::BROWSER))
    }

    fn write(&self, out: &Option<Compression>) -> Option<String> {
        out.is_none().then(|| "false".to_owned())
    }
}
