//! A liveness probe of the embedded target.
//!
//! In: a table. Out: a [`Probe`], which holds on the network and in virtual time alike.

use std::time::Duration;

use crate::declare::{above_zero, int, sent_code, table};

table! {
    /// A liveness probe, as an orchestrator has one: where too many upgrade requests wait before it, it fails, and the service is restarted.
    #[derive(Copy, PartialEq, Eq)]
    pub struct Probe {
        /// How often the service is probed.
        every: Duration = Duration::from_secs(1) => above_zero();
        /// It fails where more upgrade requests than these wait (`upgrade_capacity`).
        waiting: u32, needed "a probe is { waiting = 100 }: it fails where more upgrade requests than these wait" => int::<u32>(0..=100_000_000);
        /// After so many failures in a row all sessions are closed, as by a restart.
        failures: u32 = 3 => int::<u32>(1..=1_000);
        /// The code of those closes.
        code: u16 = 1012 => sent_code();
    }
}
