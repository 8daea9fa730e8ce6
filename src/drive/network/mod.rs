//! The network driver: real sockets, real time, one small task for each virtual client.
//!
//! In: a group's context and a client's number. Out: samples. What the target does wrong becomes a sample; this module
//! never decides what a client does next, that is the lifecycle's.

mod address;
mod asker;
mod client;
mod close_watch;
mod connect;
mod cookies;
mod deflated;
mod dial;
mod echo;
mod endpoint;
mod group_sink;
mod http;
mod inquirer;
mod listen;
mod local;
mod meaning;
mod name_server;
mod on_session;
mod packets;
mod ports;
mod prepare;
mod probe;
mod probe_session;
mod proxy;
mod race;
mod react;
mod resolve;
mod retry_after;
mod saving;
mod session;
mod setup;
mod signer;
mod speak;
#[doc(hidden)]
pub mod strangers;
mod tickets;
mod tls;
mod token;
mod traffic;
mod upgrade;
mod upgrade_answer;
mod variables;
mod variation;
mod violation;
mod wire;
mod word_book;

pub use address::{AddressPolicy, Forbidden, parse_host};
pub use asker::Asker;
pub use client::drive_client;
pub use inquirer::{Inquirer, without_credentials};
pub use ports::local_port_range;
pub use probe::{NotConnected, Probe, ProbeShared, ProbeToken, TokenLook};
pub use probe_session::{Entry, ProbeEnd, ProbeEnding, ProbeSession};
pub use setup::{ContextError, GroupContext, GroupSetup, RunShared, TargetAddress};
pub use tls::{ClientFiles, TlsError, client_config};
pub use token::Refusal;
pub use variation::Variation;
