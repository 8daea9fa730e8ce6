//! Connections that a fault cuts off in place of an answer.
//!
//! In: a connection that HTTP has let go of. Out: what the fault sends, and the connection's end.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::wire::HttpWire;

/// How long a fault's bytes may take to be taken, and a client to go when it has seen what is wrong.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A request has no answer: its connection is cut off.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a fault cuts the connection off")]
pub(super) struct CutOff;

/// How a connection is cut off.
#[derive(Debug)]
pub(super) enum Cut {
    /// These bytes, then a reset.
    Reset(&'static [u8]),
    /// These bytes, then whatever the client makes of them; it is given time to go first.
    Wrong(Vec<u8>),
}

impl Cut {
    pub(super) async fn carry_out(self, mut wire: HttpWire) {
        let (bytes, is_reset) = match &self {
            Self::Reset(bytes) => (*bytes, true),
            Self::Wrong(bytes) => (bytes.as_slice(), false),
        };
        let sent = tokio::time::timeout(TIMEOUT, async {
            wire.write_all(bytes).await?;
            wire.flush().await
        });
        if !matches!(sent.await, Ok(Ok(()))) {
            log::debug!("a client did not take what a fault has for it");
        }
        if is_reset {
            return wire.reset();
        }
        let gone = async {
            let mut rest = [0; 512];
            while wire.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        };
        if tokio::time::timeout(TIMEOUT, gone).await.is_err() {
            log::debug!("a client stays on a connection that is none");
        }
    }
}
