//! Tokens that a client signs by itself: keys of `[groups.token]`.
//!
//! In: the tables. Out: [`MintRules`], [`ClientAssertion`], whose keys are keys and whose claims are JSON.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::declare::{
    SecretsElsewhere, Table, Template, above_zero, flat, meaning, of, one_of, secret, string, table,
    token_param,
};
use crate::jose::{Algorithm, KeySet, SigningKey, VerifyingKey};

use super::feeder::{Feeder, TokenFill, check_filled};

/// Rows of a feeder that are tried, where there are more.
const MOST_TRIED: u32 = 100_000;

table! {
    /// A token that a client signs by itself: a JWT (RFC 7519).
    pub struct MintKeys {
        /// What signs it.
        algorithm: Algorithm, needed "a token that is minted needs algorithm, key and claims";
        /// The key: a shared secret, or a private key in PEM, as `{ file = "key.pem" }`.
        key: SecretString, needed "a token that is minted needs algorithm, key and claims" => secret();
        /// `kid` of the header.
        key_id: Option<String> = None => string();
        /// Further members of the header, as a JSON object; with variables as in `claims`.
        header: Option<Template> = None => token_param();
        /// The claims, as a JSON object: `{"sub":"user-{client}","aud":"events"}`; `{client}`, `{now}` (seconds since 1970), `{unix_ms}` and the feeder's columns are filled in. `iat`,
        /// `exp` and `jti` are added where they are not there.
        claims: Template, needed "a token that is minted needs algorithm, key and claims" => token_param();
        /// How long it lives: `exp` is so long after `iat`.
        life: Duration = Duration::from_secs(3_600) => above_zero();
    }
}

/// How a client signs tokens.
#[derive(Debug, Clone)]
pub struct MintRules {
    /// The key.
    pub key: Arc<SigningKey>,
    /// `kid` of the header.
    pub key_id: Option<String>,
    /// Further members of the header.
    pub header: Option<Template>,
    /// The claims.
    pub claims: Template,
    /// How long a token lives.
    pub life: Duration,
}

meaning! { MintRules: MintKeys => |keys: MintKeys, table: &Table<'_>| mint(keys, table) }
flat! { MintRules: MintKeys => |keys: MintKeys, table: &Table<'_>| mint(keys, table) }

fn mint(keys: MintKeys, table: &Table<'_>) -> Option<MintRules> {
    let MintKeys { algorithm, key, key_id, header, claims, life } = keys;
    let key = read_key(algorithm, &key, "key", table)?;
    Some(MintRules { key, key_id, header, claims, life })
}

/// The key in a text, or a fault where it stands.
fn read_key(
    algorithm: Algorithm,
    text: &SecretString,
    name: &str,
    table: &Table<'_>,
) -> Option<Arc<SigningKey>> {
    let read = if are_secrets_elsewhere(table) {
        // It signs nothing here.
        SigningKey::read(Algorithm::Hs256, "elsewhere")
    } else {
        SigningKey::read(algorithm, text.expose_secret())
    };
    match read {
        Ok(key) => Some(Arc::new(key)),
        Err(why) => {
            let message = format!("`{}` cannot sign {}: {why}", table.path_of(name), algorithm.name());
            if let Some(at) = table.peek(name) {
                at.elsewhere(message, format!("{} is needed", algorithm.key_in_words()));
            }
            None
        }
    }
}

/// Whether this process is not the one that uses the secrets.
fn are_secrets_elsewhere(table: &Table<'_>) -> bool {
    table.reading.told::<SecretsElsewhere>().is_some()
}

impl MintRules {
    /// Header and claims of a token; `None` where what fills the variables makes no JSON of them.
    #[must_use]
    pub fn compose(&self, fill: &TokenFill<'_>) -> Option<(Map<String, Value>, Map<String, Value>)> {
        let mut header = match &self.header {
            Some(header) => object(header, fill).ok()?,
            None => Map::new(),
        };
        header.insert("alg".into(), self.key.algorithm().name().into());
        header.entry("typ").or_insert_with(|| "JWT".into());
        if let Some(id) = &self.key_id {
            header.insert("kid".into(), id.as_str().into());
        }
        let mut claims = object(&self.claims, fill).ok()?;
        add_times(&mut claims, fill, self.life);
        Some((header, claims))
    }

    /// How long a token of these claims lives, from that time on.
    #[must_use]
    pub fn life_of(claims: &Map<String, Value>, unix_us: u64) -> Duration {
        let expires = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        Duration::try_from_secs_f64(expires - unix_us as f64 / 1e6).unwrap_or_default()
    }

    fn wrong_algorithm(&self, header: &Map<String, Value>) -> Option<String> {
        let named = header.get("alg")?;
        (named != self.key.algorithm().name()).then(|| "names another alg than `algorithm`".to_owned())
    }

    /// Whether header and claims are JSON whatever fills them, and all of it is filled; else faults in `table`.
    pub(super) fn check(&self, feeder: Option<&Feeder>, table: &Table<'_>) {
        let texts = [("claims", Some(&self.claims)), ("header", self.header.as_ref())];
        for (name, template) in texts.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            check_filled(template, &table.path_of(name), name, feeder, table);
            let rows =
                feeder.map_or(1, |feeder| u32::try_from(feeder.rows()).unwrap_or(u32::MAX)).min(MOST_TRIED);
            let fill = |index| TokenFill { client: index, index, unix_us: 1_700_000_000_000_000, feeder };
            let objects = (0..rows).map(|row| (row, object(template, &fill(row))));
            let wrong = objects.into_iter().find_map(|(row, read)| match read {
                Err(why) => Some((row, format!("is no JSON object: {why}"), EXAMPLE)),
                Ok(object) if name == "claims" => Some((row, wrong_time(&object)?, TIMES)),
                Ok(object) => Some((row, self.wrong_algorithm(&object)?, ALGORITHM)),
            });
            if let Some((row, wrong, help)) = wrong {
                let with = feeder.map_or_else(String::new, |_| format!(", filled from row {}", row + 1));
                table.between(Some(name), format!("`{}`{with} {wrong}", table.path_of(name)), help);
            }
        }
    }
}

const EXAMPLE: &str = "write it as '{\"sub\":\"user-{client}\"}'";
const TIMES: &str = "times are seconds since 1970 (RFC 7519 §2), as {now} without quotes; without exp, a token lives for `life`";
const ALGORITHM: &str = "`algorithm` says it: take alg out of the header";

/// Which of its times is no number.
fn wrong_time(claims: &Map<String, Value>) -> Option<String> {
    let is_no_number = |name: &&&str| claims.get(**name).is_some_and(|value| !value.is_number());
    let name = ["exp", "nbf", "iat"].iter().find(is_no_number)?;
    Some(format!("has {name}, which is no number"))
}

/// The JSON object that a text is when it is filled; what fills it is escaped, as within quotes.
fn object(template: &Template, fill: &TokenFill<'_>) -> Result<Map<String, Value>, String> {
    let escaped = |text: String| {
        // A text is always writable.
        let quoted = serde_json::to_string(&text).unwrap_or_default();
        quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
    };
    let at = |error: &serde_json::Error| {
        // What it says of the text may hold some of it.
        let what = match error.classify() {
            serde_json::error::Category::Data => "it is another kind of value",
            serde_json::error::Category::Eof => "it ends too early",
            _ => "what stands there is no JSON",
        };
        format!("line {}, column {}: {what}", error.line(), error.column())
    };
    serde_json::from_str(&template.render_as(&|name| fill.value(name), escaped)).map_err(|error| at(&error))
}

fn add_times(claims: &mut Map<String, Value>, fill: &TokenFill<'_>, life: Duration) {
    let now = fill.unix_us / 1_000_000;
    let issued = claims.entry("iat").or_insert_with(|| now.into()).as_u64().unwrap_or(now);
    claims.entry("exp").or_insert_with(|| issued.saturating_add(life.as_secs().max(1)).into());
    claims.entry("jti").or_insert_with(|| format!("{}-{}", fill.client, fill.unix_us).into());
}

table! {
    /// How a client signs who it is (RFC 7523 §2.2), with `auth = "private_key_jwt"` or `"client_secret_jwt"`.
    pub struct ClientAssertionKeys {
        /// What signs it. Default: RS256 with a key, HS256 with the client secret.
        algorithm: Option<Algorithm> = None => of::<Algorithm>();
        /// The private key in PEM, as `{ file = "key.pem" }`. Without it: the client secret signs.
        key: Option<SecretString> = None => secret();
        /// `kid` of the header.
        key_id: Option<String> = None => string();
        /// Whom it is for. Without it: the token endpoint's URL.
        audience: Option<String> = None => string();
        /// How long it lives.
        life: Duration = Duration::from_secs(60) => above_zero();
    }
}

/// How a client signs who it is.
#[derive(Debug, Clone)]
pub struct ClientAssertion {
    /// What signs it.
    pub algorithm: Algorithm,
    /// The key; `None`: the client secret.
    pub key: Option<Arc<SigningKey>>,
    /// `kid` of the header.
    pub key_id: Option<String>,
    /// Whom it is for; `None`: the token endpoint's URL.
    pub audience: Option<String>,
    /// How long it lives.
    pub life: Duration,
}

meaning! { ClientAssertion: ClientAssertionKeys => |keys: ClientAssertionKeys, table: &Table<'_>| assertion(keys, table) }

fn assertion(keys: ClientAssertionKeys, table: &Table<'_>) -> Option<ClientAssertion> {
    let ClientAssertionKeys { algorithm, key, key_id, audience, life } = keys;
    let default = if key.is_some() { Algorithm::Rs256 } else { Algorithm::Hs256 };
    let algorithm = algorithm.unwrap_or(default);
    if algorithm.is_shared() == key.is_some() {
        let message = format!("`{}` is {}", table.path_of("algorithm"), algorithm.name());
        let help = "HS256, HS384 and HS512 sign with the client secret, all others with a key";
        table.between(Some("algorithm"), message, help);
    }
    let key = match key {
        Some(key) => Some(read_key(algorithm, &key, "key", table)?),
        None => None,
    };
    Some(ClientAssertion { algorithm, key, key_id, audience, life })
}

impl Default for ClientAssertion {
    fn default() -> Self {
        let (algorithm, life) = (Algorithm::Hs256, Duration::from_secs(60));
        Self { algorithm, key: None, key_id: None, audience: None, life }
    }
}

impl ClientAssertion {
    /// Header and claims of an assertion of client `id` for the endpoint at `url`.
    #[must_use]
    pub fn compose(
        &self,
        id: &str,
        url: &str,
        fill: &TokenFill<'_>,
    ) -> (Map<String, Value>, Map<String, Value>) {
        let mut header = Map::new();
        header.insert("alg".into(), self.algorithm.name().into());
        header.insert("typ".into(), "JWT".into());
        if let Some(id) = &self.key_id {
            header.insert("kid".into(), id.as_str().into());
        }
        let mut claims = Map::new();
        claims.insert("iss".into(), id.into());
        claims.insert("sub".into(), id.into());
        claims.insert("aud".into(), self.audience.as_deref().unwrap_or(url).into());
        add_times(&mut claims, fill, self.life);
        (header, claims)
    }
}

table! {
    /// JWTs that others signed, and that the embedded target takes.
    pub struct TrustedKeys {
        /// What signed them, with `key`.
        algorithm: Option<Algorithm> = None => of::<Algorithm>();
        /// The key: the shared secret, or a public (or private) key in PEM, as `{ file = "key.pem" }`.
        key: Option<SecretString> = None => secret();
        /// Instead of both: a JWK Set (RFC 7517), as `{ file = "jwks.json" }`. The key is the one that a token's `kid` names.
        jwks: Option<SecretString> = None => secret();
        /// What must be their `aud`, or among it. Without it: anything.
        audience: Option<String> = None => string();
        /// What must be their `iss`. Without it: anything.
        issuer: Option<String> = None => string();
    }
    needs: [one_of(&[&["algorithm", "key"], &["jwks"]], "the target needs algorithm and key of the JWTs that it takes, or jwks")];
}

/// JWTs that others signed.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// The keys that check them.
    pub keys: Arc<KeySet>,
    /// What must be their `aud`, or among it.
    pub audience: Option<String>,
    /// What must be their `iss`.
    pub issuer: Option<String>,
}

impl PartialEq for Trusted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys) && self.audience == other.audience && self.issuer == other.issuer
    }
}

meaning! { Trusted: TrustedKeys => |keys: TrustedKeys, table: &Table<'_>| trusted(keys, table) }

fn trusted(keys: TrustedKeys, table: &Table<'_>) -> Option<Trusted> {
    let TrustedKeys { algorithm, key, jwks, audience, issuer } = keys;
    let tell = |name: &str, wrong: String, help: String| {
        if let Some(at) = table.peek(name) {
            at.elsewhere(format!("`{}` {wrong}", table.path_of(name)), help);
        }
    };
    if jwks.is_some() && (algorithm.is_some() || key.is_some()) {
        let message = format!("`{}` stands beside a key", table.path_of("jwks"));
        table.between(Some("jwks"), message, "give either algorithm and key, or jwks");
    }
    let keys = match (algorithm, key, jwks) {
        _ if are_secrets_elsewhere(table) => {
            KeySet::from(VerifyingKey::read(Algorithm::Hs256, "elsewhere").ok()?)
        }
        (_, _, Some(set)) => {
            let told = |why| {
                tell(
                    "jwks",
                    format!("is no JWK Set: {why}"),
                    "name a file with one, as { file = \"jwks.json\" }".into(),
                );
            };
            KeySet::read(set.expose_secret()).map_err(told).ok()?
        }
        (Some(algorithm), Some(key), None) => {
            let told = |why| {
                let help = format!("{}, or its public half, is needed", algorithm.key_in_words());
                tell("key", format!("cannot check {}: {why}", algorithm.name()), help);
            };
            KeySet::from(VerifyingKey::read(algorithm, key.expose_secret()).map_err(told).ok()?)
        }
        _ => return None,
    };
    Some(Trusted { keys: Arc::new(keys), audience, issuer })
}
