//! `[groups.token]`: a group's token lifecycle.
//!
//! In: the table. Out: [`TokenRules`], or none.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::declare::{
    At, HEADER_NAME, Hidden, Keys as _, Kind, Rows, Shape, Table, TextRule, Word, above_zero, codes_or_any,
    field, flat, header, http_url, int, list, map, number, of, one_of, read_table, secret, string, strings,
    table, tagged, then, words,
};
use crate::scenario::file::feeder::read_feeder;

use super::fault::Skew;
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
        ..
        /// How a token is got.
        grant: Grant;
    }
}

/// How a token is got.
#[derive(Debug, Clone)]
pub enum Grant {
    /// `client_credentials` (RFC 6749 §4.4).
    ClientCredentials(ClientCredentials),
    /// `refresh_token` (RFC 6749 §6): the first token by the credentials or a given refresh token; each further one by the last refresh token.
    RefreshToken {
        /// What the client shows.
        credentials: ClientCredentials,
        /// The first refresh token; `None`: the first token is got by the credentials.
        initial: Option<SecretString>,
    },
    /// `command`: what a program writes to its stdout: a token, or a grant as JSON (RFC 6749 §5.1).
    Command(Hidden<Vec<String>>),
    /// `fixed`: always the same token.
    Fixed(SecretString),
}

impl Grant {
    /// The credentials that go to a token endpoint; `None` where none is asked.
    #[must_use]
    pub const fn credentials(&self) -> Option<&ClientCredentials> {
        match self {
            Self::ClientCredentials(credentials) | Self::RefreshToken { credentials, .. } => {
                Some(credentials)
            }
            Self::Command(_) | Self::Fixed(_) => None,
        }
    }
}

const NONE: Word = Word { name: "none", about: "No token." };
const COMMAND: &str =
    "a program and its arguments are needed, as command = [\"vault\", \"read\", \"-field=token\", \"x\"]";

fn grants() -> Rows<Grant> {
    let initial = field(
        "refresh_token",
        "The first refresh token. Without it, the first token is got by the credentials.",
        secret(),
    );
    let program = then(list(string(), COMMAND).least(1), |command: Vec<String>, at: &At<'_>| {
        if command.first().is_none_or(String::is_empty) {
            at.between("`command` names no program", COMMAND);
            return None;
        }
        Some(command.into())
    });
    let program =
        field("command", "A program and its arguments, which no shell reads.", program).needed(COMMAND);
    let token = field("token", "The token.", secret()).needed("a fixed token is token = { env = \"NAME\" }");
    Rows::or("grant", "client_credentials", "How a token is got.")
        .table("client_credentials", "Client credentials (RFC 6749 §4.4).", Grant::ClientCredentials)
        .below(
            "refresh_token",
            "Refresh tokens (RFC 6749 §6); the first token by the credentials or by a given refresh token.",
            initial,
            |initial, credentials| Grant::RefreshToken { credentials, initial },
        )
        .row(
            "command",
            "What a program writes to its stdout: a token, or a grant as JSON (RFC 6749 §5.1).",
            program,
            Grant::Command,
        )
        .row("fixed", "Always the same token.", token, Grant::Fixed)
}

tagged! { Grant => grants }

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
        read_table(at, None).map(Some)
    }
}

/// The names of headers that a token request may have beside its own.
const REQUEST_HEADER: TextRule = TextRule {
    name: "token_request_header_name",
    except: Some(
        "^([hH][oO][sS][tT]|[cC][oO][nN][nN][eE][cC][tT][iI][oO][nN]|[cC][oO][nN][tT][eE][nN][tT]-.*|[tT][rR][aA][nN][sS][fF][eE][rR]-.*|[aA][uU][tT][hH][oO][rR][iI][zZ][aA][tT][iI][oO][nN])$",
    ),
    allowed: "letters, digits and `-` are allowed; the request itself sets Host, Connection, Content-*, Transfer-* and Authorization (auth = \"basic\")",
    ..HEADER_NAME
};

table! {
    /// What a client shows to get a token.
    pub struct ClientCredentials {
        /// Client id.
        client_id: String = String::new() => string();
        /// Client secret.
        client_secret: SecretString = SecretString::default() => secret();
        /// Where they go.
        auth: ClientAuth = ClientAuth::Body;
        /// Further headers of the token request, as `{ X-Api-Key = { env = "KEY" } }`.
        headers: Vec<(String, Hidden<String>)> = Vec::new() => map(REQUEST_HEADER, header());
        /// Scopes asked for; empty: no `scope` is sent.
        scopes: Vec<String> = Vec::new() => strings();
        /// CSV file with the columns `client_id` and `client_secret`, a row a client, instead of the one id and secret. Where there are fewer rows than clients,
        /// they begin again.
        feeder: Option<Arc<Feeder>> = None => then(string(), feed);
    }
    needs: [one_of(
        &[&["client_id", "client_secret"], &["feeder"]],
        "client_credentials needs client_id and client_secret; the secret may be { env = \"NAME\" }"
    )];
    check: check_feeder;
}

flat! { ClientCredentials: ClientCredentials => |credentials, _: &_| Some(credentials) }

words! {
    /// Where the client's credentials go (RFC 6749 §2.3.1).
    pub enum ClientAuth {
        /// In the form body.
        Body = "body",
        /// HTTP Basic.
        Basic = "basic",
    }
}

/// Credentials from a CSV file, one row a client: the group's first client takes the first row. Where there are fewer rows than
/// clients, they begin again.
#[derive(Debug)]
pub struct Feeder {
    /// Id and secret of each row; never empty.
    pub rows: Vec<(String, SecretString)>,
}

impl Feeder {
    /// The row of the group's client `index`.
    #[must_use]
    pub fn row(&self, index: u32) -> Option<&(String, SecretString)> {
        self.rows.get(index as usize % self.rows.len().max(1))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what a declaration's `then` calls takes what was read")]
fn feed(file: String, at: &At<'_>) -> Option<Arc<Feeder>> {
    match read_feeder(&at.reading.file(&file)) {
        Ok(rows) => Some(Arc::new(Feeder { rows })),
        Err(why) => {
            let help =
                "a CSV file with the columns client_id and client_secret, and a row at least, is needed";
            at.elsewhere(format!("{file} cannot be used: {why}"), help);
            None
        }
    }
}

fn check_feeder(credentials: ClientCredentials, table: &Table<'_>) -> Option<ClientCredentials> {
    if table.has("feeder") {
        for key in ["client_id", "client_secret"].into_iter().filter(|key| table.has(key)) {
            let message = format!("`{}` stands beside a feeder", table.path_of(key));
            table.between(Some(key), message, "the feeder's rows have it: take one of them away");
        }
    }
    Some(credentials)
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
