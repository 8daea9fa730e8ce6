//! A group's `policy`: how a known client treats its tokens and comes back.
//!
//! In: the text of a shipped policy, in the vocabulary of `[groups.token]` and `[groups.reconnect]`. Out: a `Policy`, whose keys hold where
//! the group's own are absent.

use crate::declare::{Keys as _, Reading, Table, codes_or_any, table};

use super::on_reconnect::OnReconnect;
use super::reconnect::ReconnectRules;

/// What a group's policy says of its tokens and reconnects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    pub(crate) on_reconnect: OnReconnect,
    pub(crate) fetch_on_codes: Option<Vec<u16>>,
    pub(crate) reconnect: ReconnectRules,
}

table! {
    /// A policy's file.
    default pub struct PolicyKeys {
        /// What it says of tokens.
        token: PolicyToken = PolicyToken::default();
        /// What it says of reconnects.
        reconnect: ReconnectRules = ReconnectRules::default();
    }
}

table! {
    /// What a policy says of tokens.
    default pub struct PolicyToken {
        /// What happens to the token at a reconnect.
        on_reconnect: OnReconnect = OnReconnect::Reuse;
        /// The close codes after which a token is fetched.
        fetch_on_codes: Option<Vec<u16>> = None => codes_or_any();
    }
}

/// The text of the policy that the group names.
#[derive(Clone, Copy)]
pub(crate) struct PolicyText(pub(crate) Option<&'static str>);

/// The policy that the group names, else one that says nothing.
pub(crate) fn policy_of(reading: &Reading<'_>) -> Policy {
    reading.told().and_then(|PolicyText(text)| text).map_or_else(Policy::default, shipped)
}

/// A shipped policy; a test holds that each of them reads without a fault.
fn shipped(text: &'static str) -> Policy {
    let reading = Reading::new(&|_| None, std::path::PathBuf::new());
    let read = reading.parse(text).and_then(|root| read(&Table::root(&reading, &root)));
    let PolicyKeys { token, reconnect } = read.unwrap_or_default();
    Policy { on_reconnect: token.on_reconnect, fetch_on_codes: token.fetch_on_codes, reconnect }
}

fn read(table: &Table<'_>) -> Option<PolicyKeys> {
    let read = PolicyKeys::of_table(table, None);
    table.finish();
    read
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::keys::RefusalName;
    use crate::scenario::keys::reconnect::{Growth, Jitter};
    use crate::scenario::policies::POLICIES;

    #[test]
    fn every_shipped_policy_reads_without_a_fault() {
        for (name, text) in POLICIES {
            let reading = Reading::new(&|_| None, std::path::PathBuf::new());
            let root = reading.parse(text).unwrap();
            assert!(read(&Table::root(&reading, &root)).is_some(), "{name}");
            let faults = reading.into_faults();
            assert!(faults.is_empty(), "{name}: {faults:?}");
        }
    }

    #[test]
    fn shipped_policies_say_what_is_known_of_those_clients() {
        let of = |name: &str| {
            let text = POLICIES.iter().find(|(known, _)| *known == name).unwrap().1;
            shipped(text)
        };
        let thread = of("thread");
        assert_eq!(thread.on_reconnect, OnReconnect::Fetch);
        assert_eq!(thread.fetch_on_codes, Some(vec![1001, 1006]));
        assert!(thread.reconnect.failure_is_close);
        assert_eq!(thread.reconnect.backoff.growth, Growth::None);
        assert_eq!(of("phoenix").reconnect.terminal_codes, []);
        assert_eq!(of("socket-io").reconnect.backoff.jitter, Jitter::ShareWithin(0.5));
        assert_eq!(of("centrifuge").reconnect.backoff.jitter, Jitter::AboveBase);
        let own = Jitter::OwnBase { most: Duration::from_secs(5) };
        assert_eq!(of("reconnecting-websocket").reconnect.backoff.jitter, own);
        assert_eq!(of("signalr").reconnect.max_attempts, Some(4));
        assert_eq!(of("genesys-streaming").reconnect.give_up_on, [401, 403].map(RefusalName::Code));
        assert_eq!(of("genesys-messenger").reconnect.give_up_after, Some(Duration::from_secs(300)));
        assert_eq!(of("graphql-ws").reconnect.max_attempts, Some(5));
        assert_eq!(of("rfc6455").reconnect.refetch_on, [401].map(RefusalName::Code));
    }
}
