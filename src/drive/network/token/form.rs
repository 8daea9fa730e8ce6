//! What a token request says: its headers and its body.
//!
//! In: the group's credentials and grant, what this client fills in, what was signed for it. Out: headers and bytes. No I/O.

use base64::Engine as _;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::drive::network::endpoint::PRODUCT;
use crate::scenario::keys::{ClientAuth, ClientCredentials, Grant, Shown, TokenBody, TokenFill};

use super::answer::Token;

/// `client_assertion_type` of RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Whose credentials a request shows.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a SecretString,
}

impl<'a> Who<'a> {
    /// Those of a client: its row has what the scenario does not.
    pub(super) fn of(credentials: &'a ClientCredentials, index: u32) -> Self {
        let fed = |column| credentials.feeder.as_ref().and_then(|feeder| feeder.value(index, column));
        Self {
            id: fed("client_id").map_or(&credentials.client_id, |id| id.expose_secret()),
            secret: fed("client_secret").unwrap_or(&credentials.client_secret),
        }
    }
}

/// What a request shows beside what the scenario says.
#[derive(Default)]
pub(super) struct Proofs {
    /// The refresh token.
    pub(super) refresh: Option<Token>,
    /// The JWT that says who the client is.
    pub(super) client: Option<SecretString>,
    /// The JWT of the grant.
    pub(super) grant: Option<SecretString>,
}

/// Whether all requests of a group say the same.
pub(super) fn is_common(credentials: &ClientCredentials, grant: &Grant) -> bool {
    let texts = credentials.params.iter().chain(&credentials.headers);
    let are_literal = texts.map(|(_, text)| text).all(|text| text.fixed().is_some());
    credentials.feeder.is_none()
        && are_literal
        && matches!(credentials.auth, ClientAuth::Body | ClientAuth::Basic | ClientAuth::TlsClientAuth)
        && !matches!(grant, Grant::Shown { .. })
}

/// The headers of a request.
pub(super) fn headers(
    to: &HeaderMap,
    credentials: &ClientCredentials,
    who: Who<'_>,
    is_pooled: bool,
    fill: &TokenFill<'_>,
) -> HeaderMap {
    let mut headers = to.clone();
    let kind = match credentials.body {
        TokenBody::Form => "application/x-www-form-urlencoded",
        TokenBody::Json => "application/json",
    };
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if !is_pooled {
        // The endpoint then closes first, and its side keeps TIME_WAIT: ports here stay free.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, text) in &credentials.headers {
        let value = text.render(|name| fill.value(name));
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    if credentials.auth == ClientAuth::Basic {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        // RFC 6749 §2.3.1: both are form-encoded before they are joined.
        let (id, secret) = (encode(who.id), encode(who.secret.expose_secret()));
        let joined = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        if let Ok(mut value) = HeaderValue::try_from(format!("Basic {joined}")) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    headers
}

/// Writes parameters in one of the two ways.
enum Body {
    Form(url::form_urlencoded::Serializer<'static, String>),
    Json(Map<String, Value>),
}

impl Body {
    fn add(&mut self, name: &str, value: &str) {
        match self {
            Self::Form(form) => {
                form.append_pair(name, value);
            }
            Self::Json(object) => {
                object.insert(name.to_owned(), value.into());
            }
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::Form(mut form) => Bytes::from(form.finish()),
            // Texts are always writable.
            Self::Json(object) => Bytes::from(serde_json::to_vec(&object).unwrap_or_default()),
        }
    }
}

/// The parameters of a request (RFC 6749 §4.4.2; §6 with a refresh token).
pub(super) fn body(
    credentials: &ClientCredentials,
    grant: &Grant,
    who: Who<'_>,
    proofs: &Proofs,
    fill: &TokenFill<'_>,
) -> Bytes {
    let mut body = match credentials.body {
        TokenBody::Form => Body::Form(url::form_urlencoded::Serializer::new(String::new())),
        TokenBody::Json => Body::Json(Map::new()),
    };
    match (&proofs.refresh, grant) {
        (Some(token), _) => {
            body.add("grant_type", "refresh_token");
            body.add("refresh_token", token.expose_secret());
        }
        (None, Grant::Shown { shown, .. }) => {
            body.add("grant_type", shown.grant_type());
            add_shown(&mut body, shown, proofs, fill);
        }
        (None, _) => body.add("grant_type", "client_credentials"),
    }
    add_client(&mut body, credentials, who, proofs);
    if !credentials.scopes.is_empty() {
        body.add("scope", &credentials.scopes.join(" "));
    }
    for (name, text) in &credentials.params {
        body.add(name, &text.render(|name| fill.value(name)));
    }
    body.finish()
}

fn add_client(body: &mut Body, credentials: &ClientCredentials, who: Who<'_>, proofs: &Proofs) {
    match credentials.auth {
        ClientAuth::Body => {
            // A grant whose proof says who asks needs neither.
            if !who.id.is_empty() {
                body.add("client_id", who.id);
            }
            if !who.secret.expose_secret().is_empty() {
                body.add("client_secret", who.secret.expose_secret());
            }
        }
        ClientAuth::Basic => {}
        ClientAuth::TlsClientAuth => body.add("client_id", who.id),
        ClientAuth::PrivateKeyJwt | ClientAuth::ClientSecretJwt => {
            body.add("client_id", who.id);
            body.add("client_assertion_type", ASSERTION_TYPE);
            if let Some(assertion) = &proofs.client {
                body.add("client_assertion", assertion.expose_secret());
            }
        }
    }
}

fn add_shown(body: &mut Body, shown: &Shown, proofs: &Proofs, fill: &TokenFill<'_>) {
    let value = |name: &str| fill.value(name);
    let signed = proofs.grant.as_ref().map(|signed| signed.expose_secret());
    match shown {
        Shown::Password(keys) => {
            body.add("username", &keys.username.render(value));
            body.add("password", &keys.password.render(value));
        }
        Shown::JwtBearer(_) => body.add("assertion", signed.unwrap_or_default()),
        Shown::TokenExchange(keys) => {
            let given = keys.subject_token.as_ref().map(|token| token.render(value));
            body.add("subject_token", given.as_deref().or(signed).unwrap_or_default());
            body.add("subject_token_type", keys.subject_type());
            if let Some(actor) = &keys.actor_token {
                body.add("actor_token", &actor.render(value));
                body.add("actor_token_type", &keys.actor_token_type);
            }
            if let Some(requested) = &keys.requested_token_type {
                body.add("requested_token_type", requested);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::declare::Template;

    fn credentials() -> ClientCredentials {
        ClientCredentials {
            headers: vec![
                ("X-Api-Key".into(), Template::literal("k3y")),
                ("X-Client".into(), Template::parse("c-{client}")),
            ],
            scopes: vec!["x:read".into(), "y".into()],
            ..ClientCredentials::new("a b", "p&ss:word")
        }
    }

    #[test]
    fn credentials_go_where_the_scenario_puts_them() {
        let mut credentials = credentials();
        let who = credentials.clone();
        let who = Who::of(&who, 0);
        let fill = TokenFill { client: 7, index: 0, unix_us: 5_000_000, feeder: None };
        let grant = Grant::Fixed(SecretString::default());
        let write = |credentials: &ClientCredentials, proofs: &Proofs| {
            String::from_utf8(body(credentials, &grant, who, proofs, &fill).to_vec()).unwrap()
        };
        let none = Proofs::default();
        assert_eq!(
            write(&credentials, &none),
            "grant_type=client_credentials&client_id=a+b&client_secret=p%26ss%3Aword&scope=x%3Aread+y"
        );
        assert!(headers(&HeaderMap::new(), &credentials, who, true, &fill).get(AUTHORIZATION).is_none());
        credentials.auth = ClientAuth::Basic;
        credentials.scopes.clear();
        assert_eq!(write(&credentials, &none), "grant_type=client_credentials");
        let refresh = Some(Arc::new(SecretString::from("r+1")));
        let refresh = Proofs { refresh, ..Proofs::default() };
        assert_eq!(write(&credentials, &refresh), "grant_type=refresh_token&refresh_token=r%2B1");
        let sent = headers(&HeaderMap::new(), &credentials, who, false, &fill);
        assert_eq!(sent[AUTHORIZATION], "Basic YStiOnAlMjZzcyUzQXdvcmQ=");
        assert!(sent[AUTHORIZATION].is_sensitive());
        assert_eq!(sent[CONNECTION], "close");
        assert_eq!(
            (&sent["x-api-key"], &sent["x-client"]),
            (&HeaderValue::from_static("k3y"), &HeaderValue::from_static("c-7"))
        );
        assert!(!is_common(&credentials, &grant), "a header is filled in");
        assert!(sent["x-api-key"].is_sensitive());
        credentials.body = TokenBody::Json;
        credentials.params = vec![("audience".into(), Template::parse("https://a/{client}"))];
        assert_eq!(
            write(&credentials, &none),
            r#"{"audience":"https://a/7","grant_type":"client_credentials"}"#
        );
        assert_eq!(
            headers(&HeaderMap::new(), &credentials, who, true, &fill)[CONTENT_TYPE],
            "application/json"
        );
    }
}
