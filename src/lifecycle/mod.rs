//! One virtual client without I/O: when it fetches a token, when it connects, what a close code means to it, how
//! long it backs off, when it gives up.
//!
//! In: a moment and an [`Event`]. Out: the next [`Action`] and the samples of what has just been decided. It opens
//! no socket, reads no clock and draws no randomness but from the stream that it was given. The network driver and
//! the virtual-time driver run this same machine.

mod admission;
mod asked;
mod backoff;
mod carried;
mod cause;
mod departure;
mod edge_page;
mod ending;
mod event;
mod history;
mod in_session;
mod kept;
mod machine;
mod overlap;
mod recovery;
mod refused_on;
mod requests;
mod rules;
mod session;
mod shared_tokens;
mod stop;
mod storm;
mod token;
mod token_steps;
mod trace;

pub use asked::AskedStorms;
pub use backoff::next_wait;
pub use cause::{Attributed, Evidence, TokenKnowledge, attribute, is_attributed};
pub use event::{
    Action, ConnectFailure, Ending, EndingHow, Event, Finish, Leave, Marks, Signs, TokenFacts, TokenFailure,
};
pub use machine::Client;
pub use refused_on::refusal_by_message;
pub use requests::oauth_code;
pub use rules::GroupRules;
pub use shared_tokens::{SharedTokens, TokenVerdict};
pub use stop::StopPhase;
pub use storm::StormRule;
pub use token::believed_expiry;
pub use trace::Traces;
