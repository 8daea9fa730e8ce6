//! The vocabulary of MQTT 3.1.1 and 5, as a client speaks it over a WebSocket (§6 of both specifications). No I/O, no clock.
//!
//! In: bytes of messages, in whatever pieces; what is to be said. Out: packets in their order, or that the peer broke the protocol; bytes. The packets' forms
//! are the codec's of `symqtt-codec`; here stands what a client makes of them, the same for both versions.

mod packet;
mod reader;
mod reason;
mod write;

pub use packet::{Fault, Packet, Version};
pub use reader::Reader;
pub use reason::words_of_code;
pub use write::{Connect, acknowledge, connect, disconnect, ping, publish, subscribe};
