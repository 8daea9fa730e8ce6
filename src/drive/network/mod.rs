//! The network driver: real sockets, real time, one small task for each virtual client.
//!
//! In: a group's context and a client's number. Out: samples. What the target does wrong becomes a sample; this module
//! never decides what a client does next, that is the lifecycle's.

mod address;
mod asker;
mod client;
mod close_watch;
mod connect;
pub(in crate::drive) mod cookies;
mod deflated;
pub(in crate::drive) mod destination;
mod dial;
mod echo;
pub(in crate::drive) mod endpoint;
mod go_on;
mod group_sink;
mod http;
mod inquirer;
mod kept;
mod listen;
mod local;
mod meaning;
mod name_server;
pub(in crate::drive) mod on_session;
mod packets;
mod ports;
mod prepare;
mod probe;
mod probe_session;
mod proxy;
mod race;
pub(in crate::drive) mod react;
mod resolve;
mod resume;
mod retry_after;
mod saving;
mod session;
mod setup;
mod signer;
pub(in crate::drive) mod speak;
pub(in crate::drive) mod step;
#[doc(hidden)]
pub mod strangers;
mod tickets;
mod tls;
mod token;
pub(in crate::drive) mod trace;
mod traffic;
mod upgrade;
mod upgrade_answer;
pub(in crate::drive) mod upgrade_request;
pub(in crate::drive) mod variables;
mod variation;
mod violation;
mod wire;
pub(in crate::drive) mod word_book;

pub use address::{AddressPolicy, Forbidden, parse_host};
pub use asker::{Answered, Asker};
pub use client::drive_client;
pub(in crate::drive) use connect::{asks_for_nonce, both};
pub use inquirer::{Inquirer, without_credentials};
pub use probe::{NotConnected, Probe, ProbeShared, ProbeToken, TokenLook};
pub use probe_session::{Entry, ProbeEnd, ProbeEnding, ProbeSession};
pub(in crate::drive) use setup::header_lines;
pub use setup::{ContextError, GroupContext, GroupSetup, RunShared, TargetAddress};
pub(in crate::drive) use tls::alert_name;
pub use tls::{ClientFiles, TlsError, client_config};
pub use token::Refusal;
pub(in crate::drive) use token::{
    DpopBook, Places, Prover, ShownTo, Token, USE_NONCE, Unreadable, proved_uri, read_answer, tls_code,
};
pub use variation::Variation;
