//! What the embedded target's token endpoint takes and answers: keys of `[target]`.
//!
//! In: the tables. Out: their types.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::declare::{SecretsElsewhere, Table, meaning, secret, string, table, words};
use crate::jose::{Algorithm, SigningKey};

use super::grant::{JWT_BEARER, TOKEN_EXCHANGE};

words! {
    /// How a token request is to be written.
    pub enum TokenRequestBody {
        /// As a form (RFC 6749).
        Form = "form",
        /// As a JSON object.
        Json = "json",
        /// As either.
        Either = "either",
    }
}

words! {
    /// What is done about scopes that a client is not registered with.
    pub enum ExcessScopes {
        /// The request is refused with `invalid_scope`.
        Refuse = "refuse",
        /// They are left out, and the answer says which are granted (RFC 6749 §5.1).
        Drop = "drop",
    }
}

words! {
    /// A grant of a token endpoint.
    pub enum GrantType {
        /// The client's credentials.
        ClientCredentials = "client_credentials",
        /// A refresh token, where such are issued.
        RefreshToken = "refresh_token",
        /// A user's name and password.
        Password = "password",
        /// A JWT of `trusted` (RFC 7523).
        JwtBearer = "jwt_bearer",
        /// A token of this target, or a JWT of `trusted` (RFC 8693).
        TokenExchange = "token_exchange",
    }
}

impl GrantType {
    /// `grant_type` of its requests.
    #[must_use]
    pub const fn on_the_wire(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
            Self::Password => "password",
            Self::JwtBearer => JWT_BEARER,
            Self::TokenExchange => TOKEN_EXCHANGE,
        }
    }
}

table! {
    /// A user that the embedded target knows.
    pub struct TargetUser {
        /// The name.
        name: String, needed "a user of the target has name and password" => string();
        /// The password.
        password: SecretString, needed "a user of the target has name and password" => secret();
    }
}

impl PartialEq for TargetUser {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.password.expose_secret() == other.password.expose_secret()
    }
}

table! {
    /// How the target signs its tokens, where it writes JWTs. Those of public keys are told at `/.well-known/jwks.json`.
    pub struct TokenSigningKeys {
        /// What signs them.
        algorithm: Algorithm, needed "the target needs the algorithm that its tokens are signed by";
        /// The key: a shared secret, or a private key in PEM, as `{ file = "key.pem" }`. Without it: one that is made at its start (ES256, ES384, EdDSA).
        key: Option<SecretString> = None => secret();
        /// `kid` of their header.
        key_id: String = "target-1".to_owned() => string();
        /// Their `aud`.
        audience: String = "resurge".to_owned() => string();
        /// Their `iss`. Without it: where the target listens, as `http://127.0.0.1:8080`.
        issuer: Option<String> = None => string();
    }
}

/// How the target signs its tokens.
#[derive(Debug, Clone)]
pub struct TokenSigning {
    /// The key.
    pub key: Arc<SigningKey>,
    /// `kid` of their header.
    pub key_id: String,
    /// Their `aud`.
    pub audience: String,
    /// Their `iss`; `None`: where the target listens.
    pub issuer: Option<String>,
}

impl PartialEq for TokenSigning {
    fn eq(&self, other: &Self) -> bool {
        let texts = |it: &Self| (it.key_id.clone(), it.audience.clone(), it.issuer.clone());
        Arc::ptr_eq(&self.key, &other.key) && texts(self) == texts(other)
    }
}

meaning! { TokenSigning: TokenSigningKeys => |keys: TokenSigningKeys, table: &Table<'_>| signing(keys, table) }

fn signing(keys: TokenSigningKeys, table: &Table<'_>) -> Option<TokenSigning> {
    let TokenSigningKeys { algorithm, key, key_id, audience, issuer } = keys;
    let key = match key.filter(|_| table.reading.told::<SecretsElsewhere>().is_none()) {
        Some(key) => match SigningKey::read(algorithm, key.expose_secret()) {
            Ok(key) => key,
            Err(why) => {
                let message = format!("`{}` cannot sign {}: {why}", table.path_of("key"), algorithm.name());
                if let Some(at) = table.peek("key") {
                    at.elsewhere(message, format!("{} is needed", algorithm.key_in_words()));
                }
                return None;
            }
        },
        None => {
            let made = SigningKey::generate(algorithm);
            // It signs nothing here.
            let made = made.or_else(|| {
                let elsewhere =
                    table.has("key").then(|| SigningKey::read(Algorithm::Hs256, "elsewhere").ok());
                elsewhere.flatten()
            });
            let Some(made) = made else {
                let message = format!("`{}` is {}", table.path_of("algorithm"), algorithm.name());
                let help = "no such key is made here: name one, as key = { file = \"key.pem\" }, or take ES256, ES384 or EdDSA";
                table.between(Some("algorithm"), message, help);
                return None;
            };
            made
        }
    };
    Some(TokenSigning { key: Arc::new(key), key_id, audience, issuer })
}
