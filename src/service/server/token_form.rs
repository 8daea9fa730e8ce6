//! What a token request says, taken from its form and its `Authorization` header.
//!
//! In: bytes. Out: a request for the rules, or what is wrong with its shape. No I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use crate::service::holder::Holder;
use crate::service::token::{TokenError, TokenRefusal, TokenRequest};

/// A token request as sent. It carries a secret, so it cannot be printed.
#[derive(Default)]
pub(super) struct TokenForm {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    scope: Option<String>,
    refresh_token: Option<String>,
    /// The parameters that not every grant has.
    params: Vec<(String, String)>,
    used_basic: bool,
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// As a form.
    Form,
    /// As a JSON object of texts.
    Json,
}

/// The most parameters of a request that are looked at.
const MOST_PARAMS: usize = 32;

/// The longest client id that is taken: limits and newest tokens are kept by it.
const CLIENT_ID_CAP: usize = 255;

impl TokenForm {
    /// Reads a body, and the value of `Authorization` where there is one.
    pub(super) fn parse(
        authorization: Option<&[u8]>,
        body: &[u8],
        written: Written,
    ) -> Result<Self, TokenRefusal> {
        let used_basic = authorization.is_some();
        let refuse = |error, description| TokenRefusal { error, description, used_basic };
        let mut form = Self { used_basic, ..Self::default() };
        let pairs = match written {
            Written::Form => {
                form_urlencoded::parse(body).map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
            }
            Written::Json => json_pairs(body)
                .ok_or_else(|| refuse(TokenError::InvalidRequest, "the body is no JSON object of texts"))?,
        };
        for (name, value) in pairs {
            let field = match name.as_str() {
                "grant_type" => &mut form.grant_type,
                "client_id" => &mut form.client_id,
                "client_secret" => &mut form.client_secret,
                "scope" => &mut form.scope,
                "refresh_token" => &mut form.refresh_token,
                // RFC 6749 §3.2: what is not understood is ignored; a resource may be named twice (RFC 8707 §2).
                _ => {
                    if form.params.len() < MOST_PARAMS {
                        form.params.push((name, value));
                    }
                    continue;
                }
            };
            if field.replace(value).is_some() {
                return Err(refuse(TokenError::InvalidRequest, "a parameter occurs twice"));
            }
        }
        let is_long = |id: &Option<String>| id.as_ref().is_some_and(|id| id.len() > CLIENT_ID_CAP);
        let long = refuse(TokenError::InvalidRequest, "the client id is longer than 255 bytes");
        if is_long(&form.client_id) {
            return Err(long);
        }
        let Some(header) = authorization else { return Ok(form) };
        let (id, secret) = basic_credentials(header)
            .ok_or_else(|| refuse(TokenError::InvalidClient, "the Authorization header is not HTTP Basic"))?;
        // A client id in the body beside HTTP Basic is allowed where it is the same one (RFC 6749 §3.2.1).
        if form.client_secret.is_some() || form.client_id.is_some_and(|other| other != id) {
            return Err(refuse(TokenError::InvalidRequest, "credentials in the header and in the body"));
        }
        form.client_id = Some(id);
        if is_long(&form.client_id) {
            return Err(long);
        }
        form.client_secret = Some(secret);
        Ok(form)
    }

    /// As the rules want it.
    pub(super) fn request<'a>(&'a self, holder: Holder<'a>) -> TokenRequest<'a> {
        TokenRequest {
            grant_type: self.grant_type.as_deref(),
            client_id: self.client_id.as_deref(),
            client_secret: self.client_secret.as_deref(),
            used_basic: self.used_basic,
            scope: self.scope.as_deref(),
            refresh_token: self.refresh_token.as_deref(),
            params: &self.params,
            holder,
        }
    }
}

/// The members of a JSON object that are texts; `None` where it is none, or has others.
fn json_pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    object.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// Id and secret of HTTP Basic (RFC 7617), each form-encoded as RFC 6749 §2.3.1 has it.
fn basic_credentials(header: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(header).ok()?;
    let (scheme, encoded) = text.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = joined.split_once(':')?;
    Some((decode(id), decode(secret)))
}

/// Undoes form encoding. A text with `&` or `=` was not encoded, and stands for itself.
fn decode(text: &str) -> String {
    if text.contains(['&', '=']) {
        return text.to_owned();
    }
    let decoded = form_urlencoded::parse(text.as_bytes()).next();
    decoded.map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(authorization: Option<&str>, body: &str) -> String {
        match TokenForm::parse(authorization.map(str::as_bytes), body.as_bytes(), Written::Form) {
            Err(refusal) => format!("{} {}", refusal.status(), refusal.error.name()),
            Ok(TokenForm { grant_type, client_id, client_secret, scope, used_basic, .. }) => {
                let text = |field: Option<String>| field.unwrap_or_else(|| "-".to_owned());
                let fields = [grant_type, client_id, client_secret, scope].map(text).join("|");
                format!("{fields}|{used_basic}")
            }
        }
    }

    #[test]
    fn forms_and_headers() {
        let basic = |joined: &str| Some(format!("bAsIc {}", STANDARD.encode(joined)));
        let long_id = format!("client_id={}", "a".repeat(256));
        let table = [
            (None, "grant_type=g&client_id=a%20b&client_secret=c%26&scope=x+y&other=1", "g|a b|c&|x y|false"),
            (None, "", "-|-|-|-|false"),
            (None, "grant_type=g&grant_type=g", "400 invalid_request"),
            (None, long_id.as_str(), "400 invalid_request"),
            (basic(&format!("{}:c", "a".repeat(256))), "", "400 invalid_request"),
            (basic("a:b"), "grant_type=g", "g|a|b|-|true"),
            (basic("a+:%26s%3A"), "", "-|a |&s:|-|true"),
            (basic("a:b=c"), "", "-|a|b=c|-|true"),
            (basic("a:"), "", "-|a||-|true"),
            (basic("a:b"), "client_id=a", "-|a|b|-|true"),
            (basic("a:b"), "client_id=x", "400 invalid_request"),
            (basic("a:b"), "client_secret=b", "400 invalid_request"),
            (basic("no colon"), "", "401 invalid_client"),
            (Some("Basic ???".to_owned()), "", "401 invalid_client"),
            (Some("Bearer x".to_owned()), "", "401 invalid_client"),
            (Some(String::new()), "", "401 invalid_client"),
        ];
        for (header, body, expected) in table {
            assert_eq!(read(header.as_deref(), body), expected, "{header:?} {body:?}");
        }
    }

    proptest! {
        #[test]
        fn encoded_credentials_come_back(id in ".{1,20}", secret in ".{0,20}") {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let header = format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(&id), encode(&secret))));
            prop_assert_eq!(basic_credentials(header.as_bytes()), Some((id, secret)));
        }

        #[test]
        fn any_bytes_are_read_without_panic(header in prop::option::of(any::<Vec<u8>>()), body in any::<Vec<u8>>()) {
            let _ = TokenForm::parse(header.as_deref(), &body, Written::Form);
            let _ = TokenForm::parse(header.as_deref(), &body, Written::Json);
        }
    }
}
