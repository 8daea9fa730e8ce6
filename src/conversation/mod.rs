//! What is said and heard on a session: which messages are meant, and what stands in them. No I/O, no clock.
//!
//! In: the group's rules, compiled once; a message. Out: whether a rule means it, and the values at its JSON Pointers (RFC 6901). A message is
//! parsed once at most, for all rules together, and only where one of them gets as far as asking.

mod binary;
mod condition;
mod exchange;
mod line;
mod look;
mod looks;
mod rules;
mod sought;
mod stream;
mod talker;
mod value;
mod words;

pub use binary::write_binary;
pub use condition::Condition;
pub use exchange::{By, Ended, ExchangeEnd, Exchanges};
pub use line::{Line, PingDue};
pub use look::{Look, Payload};
pub use looks::Looks;
pub use rules::TalkRules;
pub use sought::{Found, Slot, Sought};
pub use stream::{Streams, Told, key_of};
pub use talker::{Ack, Saying, Talker};
pub use value::Value;
pub use words::{SayKey, Words};
