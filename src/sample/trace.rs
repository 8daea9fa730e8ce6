//! Traces of the service's: by what an attempt is known there (W3C Trace Context, <https://www.w3.org/TR/trace-context/>).
//!
//! In: random bits. Out: [`TraceId`], [`Traced`]. Plain data.

use std::fmt;
use std::num::NonZeroU128;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::attempt::{Cause, Outcome};

/// A trace's id: 16 bytes that are not all zero, written as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceId(NonZeroU128);

/// A text that is no [`TraceId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace id has 32 lower-case hex digits, not all of them 0")]
pub struct NoTraceId;

impl TraceId {
    /// Of these bits; should all be zero, of 1.
    #[must_use]
    pub const fn of(bits: u128) -> Self {
        match NonZeroU128::new(bits) {
            Some(bits) => Self(bits),
            None => Self(NonZeroU128::MIN),
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.to_string()
    }
}

impl FromStr for TraceId {
    type Err = NoTraceId;

    fn from_str(text: &str) -> Result<Self, NoTraceId> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| is_hex).and_then(NonZeroU128::new);
        bits.map(Self).ok_or(NoTraceId)
    }
}

impl TryFrom<String> for TraceId {
    type Error = NoTraceId;

    fn try_from(text: String) -> Result<Self, NoTraceId> {
        text.parse()
    }
}

/// An attempt that ended, and the trace in which the service has its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// The trace.
    pub id: TraceId,
    /// What ended the attempt.
    pub outcome: Outcome,
    /// Why, for refusals.
    pub cause: Option<Cause>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_the_specification_has_it_and_reads_back() {
        let id = TraceId::of(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(TraceId::of(0).to_string(), format!("{:032x}", 1));
        for text in [
            "",
            "0",
            "00000000000000000000000000000000",
            "0AF7651916CD43DD8448EB211C80319C",
            "+af7651916cd43dd8448eb211c80319c",
        ] {
            assert_eq!(text.parse::<TraceId>(), Err(NoTraceId), "{text}");
        }
    }
}
