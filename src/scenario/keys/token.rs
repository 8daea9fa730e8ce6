//! `[groups.token]`: a group's token lifecycle.
//!
//! In: the table. Out: [`TokenRules`], or none.

use std::time::Duration;

use crate::declare::words::AlsoAllowed;
use crate::declare::{
    At, Hidden, Keys as _, Kind, Shape, Table, Word, above_zero, codes_or_any, http_url, int, number, of,
    read_table, table, words,
};

use super::bound::{ClientCertificate, Dpop, switch};
use super::fault::Skew;
use super::grant::Grant;
use super::on_reconnect::OnReconnect;
use super::policy::policy_of;

table! {
    /// A group's token lifecycle.
    pub struct TokenRules {
        /// What happens to the token at a reconnect. Default: as the group's policy has it, else `"reuse"`.
        on_reconnect: OnReconnect = OnReconnect::Reuse, over (|table: &Table<'_>| policy_of(table.reading).on_reconnect);
        /// With `on_reconnect = "fetch"`: the close codes after which a token is fetched (1005 and 1006 are codes here, too), or `"any"`. Default: as the group's policy has it, else any.
        fetch_on_codes: Option<Vec<u16>> = None, over (|table: &Table<'_>| policy_of(table.reading).fetch_on_codes) => codes_or_any();
        /// Fetch a new token this long before the old one expires, also while a session lasts. Without it: not before it has.
        refresh_before_expiry: Option<Duration> = None => above_zero();
        /// The refresh comes earlier by up to this share of that time, drawn for each token.
        refresh_jitter: f64 = 0.0 => number(0.0..=1.0);
        /// How far off the client's clock is: `"+30s"` takes `expires_in` for 30 s more than it says. Without it: it is right.
        clock_skew: Option<Skew> = None => of::<Skew>();
        /// Whose token it is.
        sharing: Sharing = Sharing::Own;
        /// Connections to the token endpoint.
        connection: TokenConnection = TokenConnection::Pooled;
        /// With `connection = "pooled"`: at most this many connections at once.
        max_connections: u32 = 256 => int::<u32>(1..=100_000);
        /// Longest wait for an answer.
        timeout: Duration = Duration::from_secs(10) => above_zero();
        /// Token endpoint of this group, instead of the target's.
        url: Option<Hidden<url::Url>> = None => http_url();
        /// Proofs that the client holds the key to which its token is bound (DPoP, RFC 9449): `true`, or a table.
        dpop: Option<Dpop> = None => switch("true, false or a table is needed, as { clock_skew = \"-5m\" }");
        /// With which certificate clients show who they are at the token endpoint. Without it: as at the target.
        certificate: Option<ClientCertificate> = None => of::<ClientCertificate>();
        ..
        /// How a token is got.
        grant: Grant;
    }
    check: check_bound;
}

fn check_bound(rules: TokenRules, table: &Table<'_>) -> Option<TokenRules> {
    if rules.dpop.as_ref().is_some_and(|dpop| dpop.key.is_none()) && rules.grant.credentials().is_none() {
        let message =
            format!("`{}` is for tokens that a token endpoint binds to a key", table.path_of("dpop"));
        let help = "name the key to which the token is bound: dpop = { key = { file = \"key.pem\" } }";
        table.between(Some("dpop"), message, help);
    }
    if rules.certificate.is_some() && rules.grant.credentials().is_none() {
        let message =
            format!("`{}` is for a token endpoint, and none is asked", table.path_of("certificate"));
        table.between(Some("certificate"), message, "take it away, or give it to [groups.connect]");
    }
    Some(rules)
}

const NONE: Word = Word { name: "none", about: "No token." };

/// The table of a group's tokens: their rules, or `grant = "none"` and nothing else.
pub(crate) struct Tokens;

impl Kind for Tokens {
    type Out = Option<TokenRules>;

    fn shape(&self) -> Shape {
        Shape::Table(TokenRules::table().or_nothing_but(NONE))
    }

    fn read(&self, at: &At<'_>) -> Option<Option<TokenRules>> {
        let table = at.table();
        if let Some(table) =
            table.filter(|table| table.peek("grant").and_then(|at| at.text()) == Some(NONE.name))
        {
            table.get("grant");
            table.finish();
            return Some(None);
        }
        let path = format!("{}.grant", at.path);
        at.reading.tell(AlsoAllowed { path, word: NONE.name });
        let rules = read_table(at, None);
        at.reading.forget::<AlsoAllowed>();
        rules.map(Some)
    }
}

words! {
    /// Whose token it is.
    pub enum Sharing {
        /// Each client has its own.
        Own = "own",
        /// One for the group; one request at a time fetches it, the others wait for its answer.
        Group = "group",
        /// One for the group, and every client that finds it unfit fetches it: nobody waits for another's request. The last to come is the group's.
        GroupStampede = "group-stampede",
    }
}

words! {
    /// Connections to the token endpoint.
    pub enum TokenConnection {
        /// Kept and shared.
        Pooled = "pooled",
        /// A new one for each request.
        Fresh = "fresh",
    }
}
