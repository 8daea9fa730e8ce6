//! How a token is got: `grant` of `[groups.token]`, and the keys of each grant.
//!
//! In: the table. Out: [`Grant`].

use std::sync::Arc;

use secrecy::SecretString;

use crate::declare::{
    At, Hidden, Rows, Table, Template, field, list, of, one_of, secret, string, table, tagged, then,
    token_param,
};

use super::credentials::{ClientAuth, ClientCredentials, Needed, Shows, With};
use super::feeder::{Feeder, feeder};
use super::mint::MintRules;

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
    /// Another grant that a token endpoint gives for what is shown to it.
    Shown {
        /// What the client shows of itself.
        credentials: ClientCredentials,
        /// What it shows beside.
        shown: Box<Shown>,
    },
    /// `jwt`: a token that the client signs by itself.
    Jwt(Arc<JwtKeys>),
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
            Self::ClientCredentials(credentials)
            | Self::RefreshToken { credentials, .. }
            | Self::Shown { credentials, .. } => Some(credentials),
            Self::Command(_) | Self::Fixed(_) | Self::Jwt(_) => None,
        }
    }

    /// Whether the client signs its own tokens, and asks nobody.
    #[must_use]
    pub const fn is_minted(&self) -> bool {
        matches!(self, Self::Jwt(_))
    }

    /// Whether the client signs something to get a token.
    #[must_use]
    pub fn signs(&self) -> bool {
        let shows_signed = matches!(self, Self::Shown { shown, .. } if shown.minted().is_some());
        let is_signed = |auth| matches!(auth, ClientAuth::PrivateKeyJwt | ClientAuth::ClientSecretJwt);
        self.is_minted() || shows_signed || self.credentials().is_some_and(|keys| is_signed(keys.auth))
    }
}

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
        .below("client_credentials", "Client credentials (RFC 6749 §4.4).", (), |(), Needed(credentials)| {
            Grant::ClientCredentials(credentials)
        })
        .below(
            "refresh_token",
            "Refresh tokens (RFC 6749 §6); the first token by the credentials or by a given refresh token.",
            initial,
            |initial, Needed(credentials)| Grant::RefreshToken { credentials, initial },
        )
        .below(
            "password",
            "A user's name and password (RFC 6749 §4.3).",
            (),
            |(), With(keys, credentials)| Grant::Shown {
                credentials,
                shown: Box::new(Shown::Password(keys)),
            },
        )
        .below(
            "jwt_bearer",
            "A JWT that the client signs (RFC 7523 §2.1).",
            (),
            |(), With(keys, credentials)| Grant::Shown {
                credentials,
                shown: Box::new(Shown::JwtBearer(keys)),
            },
        )
        .below("token_exchange", "Another token (RFC 8693).", (), |(), With(keys, credentials)| {
            Grant::Shown { credentials, shown: Box::new(Shown::TokenExchange(keys)) }
        })
        .table("jwt", "A token that each client signs by itself; nobody is asked.", |keys: JwtKeys| {
            Grant::Jwt(Arc::new(keys))
        })
        .row(
            "command",
            "What a program writes to its stdout: a token, or a grant as JSON (RFC 6749 §5.1).",
            program,
            Grant::Command,
        )
        .row("fixed", "Always the same token.", token, Grant::Fixed)
}

tagged! { Grant => grants }

/// What a grant shows to a token endpoint beside the client's credentials.
#[derive(Debug, Clone)]
pub enum Shown {
    /// `password`.
    Password(PasswordKeys),
    /// `jwt_bearer`.
    JwtBearer(JwtBearerKeys),
    /// `token_exchange`.
    TokenExchange(TokenExchangeKeys),
}

impl Shown {
    /// `grant_type` of the request.
    #[must_use]
    pub const fn grant_type(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::JwtBearer(_) => JWT_BEARER,
            Self::TokenExchange(_) => TOKEN_EXCHANGE,
        }
    }

    /// The token that the client signs for it.
    #[must_use]
    pub const fn minted(&self) -> Option<&MintRules> {
        match self {
            Self::Password(_) => None,
            Self::JwtBearer(keys) => Some(&keys.assertion),
            Self::TokenExchange(keys) => keys.subject_jwt.as_ref(),
        }
    }
}

/// `grant_type` of RFC 7523 §2.1.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// `grant_type` of RFC 8693 §2.1.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

table! {
    /// A user's name and password (RFC 6749 §4.3).
    pub struct PasswordKeys {
        /// The user's name; with variables as in `params`, as `user-{client}`.
        username: Template, needed "the grant \"password\" needs username and password" => token_param();
        /// The password; with variables as in `params`, as `{password}` of a feeder.
        password: Template, needed "the grant \"password\" needs username and password" => token_param();
    }
}

impl Shows for PasswordKeys {
    fn texts(&self) -> Vec<(&'static str, &Template)> {
        vec![("username", &self.username), ("password", &self.password)]
    }

    fn minted(&self) -> Vec<(&'static str, &MintRules)> {
        Vec::new()
    }
}

table! {
    /// A JWT that the client signs (RFC 7523 §2.1).
    pub struct JwtBearerKeys {
        /// The JWT.
        assertion: MintRules, needed "the grant \"jwt_bearer\" needs assertion = { algorithm = \"RS256\", key = …, claims = … }";
    }
}

impl Shows for JwtBearerKeys {
    fn texts(&self) -> Vec<(&'static str, &Template)> {
        Vec::new()
    }

    fn minted(&self) -> Vec<(&'static str, &MintRules)> {
        vec![("assertion", &self.assertion)]
    }
}

table! {
    /// Another token, for which one is given (RFC 8693).
    pub struct TokenExchangeKeys {
        /// The other token; with variables as in `params`.
        subject_token: Option<Template> = None => token_param();
        /// The other token, where the client signs it by itself.
        subject_jwt: Option<MintRules> = None => of::<MintRules>();
        /// What the other token is. Default: an access token, or a JWT where the client signs it.
        subject_token_type: Option<String> = None => string();
        /// The token of whoever acts for the subject; with variables as in `params`.
        actor_token: Option<Template> = None => token_param();
        /// What the actor's token is.
        actor_token_type: String = "urn:ietf:params:oauth:token-type:access_token".to_owned() => string();
        /// What is asked for.
        requested_token_type: Option<String> = None => string();
    }
    needs: [one_of(
        &[&["subject_token"], &["subject_jwt"]],
        "the grant \"token_exchange\" needs subject_token, or subject_jwt = { algorithm = \"RS256\", key = …, claims = … }"
    )];
}

impl TokenExchangeKeys {
    /// What the other token is.
    #[must_use]
    pub fn subject_type(&self) -> &str {
        let default = if self.subject_jwt.is_some() {
            "urn:ietf:params:oauth:token-type:jwt"
        } else {
            "urn:ietf:params:oauth:token-type:access_token"
        };
        self.subject_token_type.as_deref().unwrap_or(default)
    }
}

impl Shows for TokenExchangeKeys {
    fn texts(&self) -> Vec<(&'static str, &Template)> {
        let texts =
            [("subject_token", self.subject_token.as_ref()), ("actor_token", self.actor_token.as_ref())];
        texts.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
    }

    fn minted(&self) -> Vec<(&'static str, &MintRules)> {
        self.subject_jwt.iter().map(|minted| ("subject_jwt", minted)).collect()
    }
}

table! {
    /// A token that each client signs by itself.
    pub struct JwtKeys {
        /// CSV file with a row a client, whose columns fill the claims. Where there are fewer rows than clients, they begin again.
        feeder: Option<Arc<Feeder>> = None => feeder();
        ..
        /// The token.
        mint: MintRules;
    }
    check: check_jwt;
}

fn check_jwt(keys: JwtKeys, table: &Table<'_>) -> Option<JwtKeys> {
    keys.mint.check(keys.feeder.as_deref(), table);
    Some(keys)
}
