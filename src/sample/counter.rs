//! What is counted.
//!
//! In: nothing. Out: [`Counter`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

named_enum! {
    /// What is counted, beside attempts by outcome and sessions' ends by close code.
    Counter {
        /// Clients that began.
        ClientsStarted = "clients_started",
        /// Ends of sessions that the client did not ask for, or that a storm or the scenario forced.
        Disconnects = "disconnects",
        /// Reconnects that ended in a ready session.
        Reconnects = "reconnects",
        /// Reconnects given up: attempts used up, or a refusal that the scenario calls final.
        ReconnectsGivenUp = "reconnects_given_up",
        /// Disconnects after which the scenario wants no reconnect.
        ReconnectsNotWanted = "reconnects_not_wanted",
        /// Reconnects under way when the run ended.
        ReconnectsUnfinished = "reconnects_unfinished",
        /// Clients that gave up before their first ready session.
        FirstGivenUp = "first_given_up",
        /// Tokens that the token endpoint issued to this group.
        TokensFetched = "tokens_fetched",
        /// Token requests that failed.
        TokenFailures = "token_failures",
        /// Sessions closed by the client because they did not become ready in time.
        ReadyTimeouts = "ready_timeouts",
        /// Data messages received.
        MessagesIn = "messages_in",
        /// Data messages sent.
        MessagesOut = "messages_out",
        /// Bytes received on WebSocket connections, as carried by TCP (or TLS).
        BytesIn = "bytes_in",
        /// Bytes sent on WebSocket connections, as carried by TCP (or TLS).
        BytesOut = "bytes_out",
        /// Messages that the target sent while the client was away, by their sequence numbers.
        MessagesMissed = "messages_missed",
        /// Outages across which messages could be counted (a sequence number before and one after).
        OutagesMeasured = "outages_measured",
        /// Token requests that had to wait for a connection of the generator's own pool.
        TokenPoolWaits = "token_pool_waits",
        /// TCP connections that clients opened towards the WebSocket endpoint.
        TcpConnections = "tcp_connections",
        /// Attempts whose result at the target the client cannot know: it gave up after its request was sent.
        Unsettled = "unsettled",
        /// Tokens fetched for reconnects: over completed reconnects, the stampede factor.
        TokensForReconnects = "tokens_for_reconnects",
        /// Refusals, wherever spoken, whose cause is a token that was stale or expired.
        DeadTokenHandshakes = "dead_token_handshakes",
        /// Turns of the refetch loop: handshakes refused with 401 or 403 though a token had been fetched because of the refusal before.
        RefetchTurns = "refetch_turns",
        /// Refresh tokens that the token endpoint refused: the clients then went back to their credentials.
        RefreshTokensRefused = "refresh_tokens_refused",
        /// TLS handshakes that clients broke off because the server's certificate is not trusted, is for another name, or is out of date.
        CertificatesNotTrusted = "certificates_not_trusted",
        /// Handshakes that were answered with 101: sessions that began, whether the client was then let in or not.
        Upgrades = "upgrades",
        /// Sessions that agreed on permessage-deflate.
        CompressedSessions = "compressed_sessions",
        /// Bytes of the messages that were received in such sessions, inflated.
        PlainBytesIn = "plain_bytes_in",
        /// Bytes of payload that carried them.
        PayloadBytesIn = "payload_bytes_in",
        /// Bytes of the messages that were sent in such sessions, before they were compressed.
        PlainBytesOut = "plain_bytes_out",
        /// Bytes of payload that carried them.
        PayloadBytesOut = "payload_bytes_out",
        /// TCP connections under way that clients gave up because another address of the same name had answered (`race_after`).
        ConnectionsOvertaken = "connections_overtaken",
        /// Tokens that came with fewer scopes than were asked for (RFC 6749 §5.1).
        ScopesWithheld = "scopes_withheld",
        /// Tokens that waited for a processor of this machine to be signed.
        MintWaits = "mint_waits",
        /// Handshakes that were made once more, with the nonce that the service's 401 asked for (RFC 9449 §9).
        NonceRetries = "nonce_retries",
        /// Clients that came and were not let in, because too many were there (`arrivals.at_most`).
        ArrivalsDropped = "arrivals_dropped",
        /// Next sessions that were ready while the session before was still being kept: the client was never away.
        ResumesOverlapped = "resumes_overlapped",
        /// Token requests of clients that had not been in yet; without clients that arrive during the run, whose first requests are the load.
        TokenRequestsAtStart = "token_requests_at_start",
    }
}
