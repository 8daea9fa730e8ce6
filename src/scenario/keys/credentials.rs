//! What a client shows to a token endpoint, how it asks, and where the answer has the token: keys of `[groups.token]`.
//!
//! In: the table. Out: [`ClientCredentials`].

use std::sync::Arc;

use secrecy::SecretString;

use crate::declare::{
    HEADER_NAME, INNER_POINTER, Keys, Needs, Part, Table, TableShape, Template, TextRule, any_of,
    check_needs, list, map, of, ruled, secret, string, table, token_header, token_param, unfilled, words,
};

use super::feeder::{Feeder, check_filled, feeder};
use super::mint::{ClientAssertion, MintRules};

/// Where RFC 6749 §5.1 has the token.
pub const TOKEN_POINTER: &str = "/access_token";
/// Where it has the token's life.
pub const EXPIRES_POINTER: &str = "/expires_in";

/// The names of headers that a token request may have beside its own.
const REQUEST_HEADER: TextRule = TextRule {
    name: "token_request_header_name",
    except: Some(
        "^([hH][oO][sS][tT]|[cC][oO][nN][nN][eE][cC][tT][iI][oO][nN]|[cC][oO][nN][tT][eE][nN][tT]-.*|[tT][rR][aA][nN][sS][fF][eE][rR]-.*|[aA][uU][tT][hH][oO][rR][iI][zZ][aA][tT][iI][oO][nN])$",
    ),
    allowed: "letters, digits and `-` are allowed; the request itself sets Host, Connection, Content-*, Transfer-* and Authorization (auth = \"basic\")",
    ..HEADER_NAME
};

/// The names of parameters that a token request may have beside its own.
const PARAMETER: TextRule = TextRule {
    name: "token_parameter_name",
    patterns: &["^[!-~]{1,100}$"],
    except: Some(
        "^(grant_type|client_id|client_secret|client_assertion|client_assertion_type|scope|refresh_token)$",
    ),
    allowed: "visible ASCII characters are allowed; the request itself sets grant_type, client_id, client_secret, client_assertion, client_assertion_type, scope and refresh_token",
    examples: &["audience", "resource"],
};

table! {
    /// What a client shows to get a token.
    pub struct ClientCredentials {
        /// Client id.
        client_id: String = String::new() => unfilled(string(), "a feeder gives each client an id of its own: feeder = \"clients.csv\", with the columns client_id and client_secret");
        /// Client secret.
        client_secret: SecretString = SecretString::default() => secret();
        /// How they are shown.
        auth: ClientAuth = ClientAuth::Body;
        /// With `auth = "private_key_jwt"` or `"client_secret_jwt"`: how the client signs who it is.
        client_assertion: Option<ClientAssertion> = None => of::<ClientAssertion>();
        /// Further headers of the token request, as `{ X-Api-Key = { env = "KEY" } }`; the variables of `params` are filled in. A value may be a reference to a secret, which
        /// is taken as it is.
        headers: Vec<(String, Template)> = Vec::new() => map(REQUEST_HEADER, token_header());
        /// Further parameters of the token request, as `{ audience = "https://api.example.com" }`; `{client}`, `{now}` (seconds since 1970), `{unix_ms}` and the feeder's
        /// columns are filled in.
        params: Vec<(String, Template)> = Vec::new() => map(PARAMETER, token_param());
        /// How the request is written.
        body: TokenBody = TokenBody::Form;
        /// Where the answer has the token (JSON Pointer, RFC 6901). `refresh_token` and `scope` are looked for beside it.
        token_pointer: String = TOKEN_POINTER.to_owned() => ruled(INNER_POINTER);
        /// Where it says how long the token lives: seconds, as a number or a text; or when it ends: a date (ISO 8601), or a Unix time in seconds or milliseconds, which
        /// its size tells. Where nothing stands there: by the `exp` of a token that is a JWT.
        expires_pointer: String = EXPIRES_POINTER.to_owned() => ruled(INNER_POINTER);
        /// Scopes asked for; empty: no `scope` is sent.
        scopes: Vec<String> = Vec::new() => list(unfilled(string(), "all clients of a group ask for the same scopes; make a group for each, or take a grant whose claims are filled in"), "a list of strings is needed, as [\"a\", \"b\"]");
        /// CSV file with a row a client, and the columns `client_id` and `client_secret`, instead of the one id and secret. Where there are fewer rows than clients,
        /// they begin again.
        feeder: Option<Arc<Feeder>> = None => feeder();
    }
    check: check_credentials;
}

impl ClientCredentials {
    /// Those of a client with that id and secret, shown and answered as usual.
    #[must_use]
    pub fn new(client_id: &str, client_secret: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            client_secret: SecretString::from(client_secret),
            auth: ClientAuth::Body,
            client_assertion: None,
            headers: Vec::new(),
            params: Vec::new(),
            body: TokenBody::Form,
            token_pointer: TOKEN_POINTER.to_owned(),
            expires_pointer: EXPIRES_POINTER.to_owned(),
            scopes: Vec::new(),
            feeder: None,
        }
    }
}

/// Credentials without which no token is got.
pub(super) struct Needed(pub(super) ClientCredentials);

impl Part for Needed {
    fn describe(table: &mut TableShape) {
        table.take_in(TableShape { needs: vec![needs()], ..ClientCredentials::table() });
    }

    fn read(table: &Table<'_>) -> Option<Self> {
        let credentials = ClientCredentials::of_table(table, None);
        check_needs(table, &[needs()])?;
        let credentials = credentials?;
        let needs_no_secret =
            matches!(credentials.auth, ClientAuth::PrivateKeyJwt | ClientAuth::TlsClientAuth);
        let columns: &[&str] = if needs_no_secret { &["client_id"] } else { &["client_id", "client_secret"] };
        check_columns(&credentials, columns, table)?;
        Some(Self(credentials))
    }
}

/// What a grant shows beside the client's credentials.
pub(super) trait Shows: Keys {
    /// Texts with variables, by their keys.
    fn texts(&self) -> Vec<(&'static str, &Template)>;

    /// Tokens that the client signs, by their keys.
    fn minted(&self) -> Vec<(&'static str, &MintRules)>;
}

/// What a grant shows, and the client's credentials where it has such.
pub(super) struct With<K>(pub(super) K, pub(super) ClientCredentials);

impl<K: Shows> Part for With<K> {
    fn describe(table: &mut TableShape) {
        table.take_in(K::table());
        table.take_in(ClientCredentials::table());
    }

    fn read(table: &Table<'_>) -> Option<Self> {
        let (shows, credentials) = (K::of_table(table, None), ClientCredentials::of_table(table, None));
        let (shows, credentials) = (shows?, credentials?);
        let feeder = credentials.feeder.as_deref();
        for (key, text) in shows.texts() {
            check_filled(text, &table.path_of(key), key, feeder, table);
        }
        for (key, minted) in shows.minted() {
            if let Some(below) = table.peek(key).and_then(|at| at.table()) {
                minted.check(feeder, &below);
            }
        }
        Some(Self(shows, credentials))
    }
}

const fn needs() -> Needs {
    any_of(
        &[
            &["client_id", "client_secret"],
            &["client_id", "client_assertion"],
            &["client_id", "certificate"],
            &["feeder"],
        ],
        "client_credentials needs client_id and client_secret; the secret may be { env = \"NAME\" }",
    )
}

words! {
    /// How a client shows who it is (RFC 6749 §2.3.1, RFC 7523 §2.2, RFC 8705 §2).
    pub enum ClientAuth {
        /// Id and secret in the body.
        Body = "body",
        /// Id and secret by HTTP Basic.
        Basic = "basic",
        /// A JWT that its private key signs.
        PrivateKeyJwt = "private_key_jwt",
        /// A JWT that its secret signs.
        ClientSecretJwt = "client_secret_jwt",
        /// Its certificate, in the TLS handshake (RFC 8705 §2): of an authority, or signed by itself.
        TlsClientAuth = "tls_client_auth",
    }
}

words! {
    /// How a token request is written.
    pub enum TokenBody {
        /// As a form (RFC 6749 §4.4.2).
        Form = "form",
        /// As a JSON object of texts.
        Json = "json",
    }
}

fn check_credentials(credentials: ClientCredentials, table: &Table<'_>) -> Option<ClientCredentials> {
    if let Some(feeder) = &credentials.feeder {
        for key in ["client_id", "client_secret"].into_iter().filter(|key| table.has(key)) {
            if feeder.columns().any(|column| column == key) {
                let message = format!("`{}` stands beside a feeder", table.path_of(key));
                table.between(Some(key), message, "the feeder's rows have it: take one of them away");
            }
        }
    }
    let has_key = credentials.client_assertion.as_ref().is_some_and(|assertion| assertion.key.is_some());
    let wrong = match credentials.auth {
        ClientAuth::PrivateKeyJwt if !has_key => {
            Some("needs client_assertion = { key = { file = \"key.pem\" } }")
        }
        ClientAuth::ClientSecretJwt if has_key => {
            Some("signs with the client secret: take client_assertion.key away")
        }
        ClientAuth::TlsClientAuth if !table.has("certificate") => {
            Some("needs certificate = { chain = { file = \"client.pem\" }, key = { file = \"client.key\" } }")
        }
        ClientAuth::Body | ClientAuth::Basic | ClientAuth::TlsClientAuth if table.has("client_assertion") => {
            Some("signs nothing: take client_assertion away, or write auth = \"private_key_jwt\"")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        let auth = credentials.auth.name();
        let message =
            format!("`{}` is \"{auth}\", and that does not go with the rest", table.path_of("auth"));
        table.between(
            Some("auth").filter(|key| table.has(key)),
            message,
            format!("auth = \"{auth}\" {wrong}"),
        );
    }
    for (key, texts) in [("params", &credentials.params), ("headers", &credentials.headers)] {
        for (name, template) in texts {
            let path = format!("{}.{name}", table.path_of(key));
            check_filled(template, &path, key, credentials.feeder.as_deref(), table);
        }
    }
    Some(credentials)
}

/// Whether a feeder has these columns, with something in the first of them in each row.
fn check_columns(credentials: &ClientCredentials, columns: &[&str], table: &Table<'_>) -> Option<()> {
    let Some(feeder) = &credentials.feeder else { return Some(()) };
    let given = |name: &str| table.has(name) || feeder.columns().any(|column| column == name);
    let missing = columns.iter().find(|name| !given(name));
    let empty = columns.first().and_then(|column| feeder.first_empty(column));
    let why = match (missing, empty) {
        (Some(name), _) => format!("it has no column {name}"),
        (None, Some(line)) => format!("line {line} has no client_id"),
        (None, None) => return Some(()),
    };
    let at = table.peek("feeder")?;
    let file = at.text().unwrap_or_default();
    let help = "a CSV file with the columns client_id and client_secret, and a row at least, is needed";
    at.elsewhere(format!("{file} cannot be used: {why}"), help);
    None
}
