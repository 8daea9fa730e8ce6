//! What the embedded target's token endpoint takes and answers: keys of `[target]`.
//!
//! In: the tables. Out: their types.

use secrecy::{ExposeSecret as _, SecretString};

use crate::declare::{secret, string, table, words};

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
