//! Signatures of requests: digests, keyed digests, AWS Signature Version 4.
//!
//! In: texts, keys. Out: signatures, whether one is that of a key. No I/O, no clock; a key is never printed. The cryptography is ring's: the crate
//! `aws-sigv4` would bring fifteen more crates and a second one, and only signs, where the embedded target has to check as well.

mod canonical;
mod checking;
pub mod digests;
mod presenting;

pub use canonical::{Query, Request};
pub use checking::{Presented, SignatureFault, read_presented};
pub use presenting::{Credentials, LONGEST_LIFE_S, Purpose, date_of, sign_headers, sign_query};

#[cfg(test)]
mod vectors;
