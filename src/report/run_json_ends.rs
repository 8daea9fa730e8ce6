//! Ends of sessions in `run.json`.
//!
//! In: counts by end. Out: typed structs that serialize to the file.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mqtt::words_of_code;
use crate::record::Tally;
use crate::sample::{Abnormal, CloseKey, Initiator, Word};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EndJson {
    /// Who ended them.
    initiator: Initiator,
    /// The close code: 1006 where no close frame came that may be sent.
    code: u16,
    /// How, where there was no closing handshake.
    how: Option<Abnormal>,
    /// The code of the target's close frame, whether it may be sent or not; null where it sent none with a code.
    target_said: Option<u16>,
    /// Why, where the target said so by a DISCONNECT of MQTT 5: the specification's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_reason: Option<&'static str>,
    /// The code of the client's close frame; null where it sent none with a code, or only repeated the target's.
    client_said: Option<u16>,
    /// How many.
    count: u64,
}

impl EndJson {
    pub(super) fn of(key: &CloseKey, count: u64) -> Self {
        Self {
            initiator: key.initiator,
            code: key.code,
            how: key.abnormal,
            target_said: key.said.target.code(),
            target_reason: match key.said.target {
                Word::Reason(code) => Some(words_of_code(code)),
                _ => None,
            },
            client_said: key.said.client.code(),
            count,
        }
    }
}

pub(super) fn ends(tally: &Tally) -> Vec<EndJson> {
    tally.closes.iter().map(|(key, count)| EndJson::of(key, *count)).collect()
}
