//! `session.binary`: how binary messages are written.
//!
//! In: the table. Out: [`Binary`]. With it, pointers look into binary messages, and texts that go as such are written so.

use crate::declare::{table, words};

words! {
    /// A binary format of values.
    pub enum BinaryFormat {
        /// MessagePack.
        MessagePack = "msgpack",
    }
}

words! {
    /// What stands before each message.
    pub enum LengthPrefix {
        /// Nothing: a binary message of the WebSocket is one.
        None = "none",
        /// Its length as a variable-length integer, seven bits a byte, the low ones first: several may stand in one, as SignalR sends them.
        VarInt = "varint",
    }
}

table! {
    /// How binary messages are written.
    #[derive(Copy, PartialEq, Eq)]
    pub struct Binary {
        /// The format of the values in them.
        format: BinaryFormat, needed "a format is needed, as { format = \"msgpack\" }";
        /// What stands before each.
        length: LengthPrefix = LengthPrefix::None;
    }
}
