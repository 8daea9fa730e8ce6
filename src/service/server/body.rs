//! Request bodies, bounded in size and time.
//!
//! In: a body. Out: its bytes, or why not.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Incoming;

use super::answer::Answer;
use super::shared::Shared;

/// The largest body that is taken.
const CAP: usize = 16 * 1024;
/// A larger body is read up to here before it is refused: a peer that is still writing when the connection closes would
/// lose the answer.
const DISCARD_CAP: usize = 256 * 1024;
/// How long a body may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// More than is taken.
    TooLarge,
    /// It took longer than 10 s.
    TooSlow,
    /// The connection broke, or it was not framed as HTTP says.
    Broken,
}

impl BodyFault {
    /// Its answer, counted.
    pub(super) fn answer(self, shared: &Shared) -> Answer {
        let (status, code, message) = match self {
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too.large", "the body is larger than is allowed here")
            }
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too.slow", "the body took longer than 10 s"),
            Self::Broken => (StatusCode::BAD_REQUEST, "bad.request", "the body broke off"),
        };
        shared.bad_request(status, code, message)
    }
}

/// Reads a body to its end.
pub(super) async fn read(body: Incoming) -> Result<Vec<u8>, BodyFault> {
    read_up_to(CAP, body).await
}

/// Reads a body that may hold long lists.
pub(super) async fn read_large(body: Incoming) -> Result<Vec<u8>, BodyFault> {
    read_up_to(DISCARD_CAP, body).await
}

async fn read_up_to(cap: usize, body: Incoming) -> Result<Vec<u8>, BodyFault> {
    tokio::time::timeout(TIMEOUT, read_all(cap, body)).await.unwrap_or(Err(BodyFault::TooSlow))
}

async fn read_all(cap: usize, mut body: Incoming) -> Result<Vec<u8>, BodyFault> {
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyFault::Broken)?.into_data() else { continue };
        length += data.len();
        if length <= cap {
            bytes.extend_from_slice(&data);
        }
        if length > DISCARD_CAP {
            break;
        }
    }
    if length > cap { Err(BodyFault::TooLarge) } else { Ok(bytes) }
}
