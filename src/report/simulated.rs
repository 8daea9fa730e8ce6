//! What is said of a run in virtual time.
//!
//! In: a manifest. Out: words: that it was simulated, by whose rules, and what was assumed.

use crate::record::Manifest;

/// That nothing of it is a measurement.
pub(super) const SIMULATED: &str =
    "simulated in virtual time: nothing was sent over a network, and no latency was measured";
/// What is said in place of the generator's health.
pub(super) const NO_GENERATOR: &str =
    "a run in virtual time has no generator that could be late: every moment is exactly when it was due";

/// What was connected to, as `embedded target ws://…`.
pub(super) fn target_words(manifest: &Manifest) -> String {
    match &manifest.simulated {
        None => format!("{} target {}", manifest.target_kind, manifest.target_url),
        Some(_) => format!("simulated, by {}", manifest.target_url),
    }
}

/// What was assumed, a sentence each; nothing for a run in real time.
pub(super) fn assumptions(manifest: &Manifest) -> &[String] {
    manifest.simulated.as_ref().map_or(&[], |simulated| simulated.assumptions.as_slice())
}
