//! Where the token of an upgrade request stands, and which subprotocol is answered.
//!
//! In: headers and query of a request. Out: the token (RFC 6750 §2.1 and §2.3, or a subprotocol, as browsers need it) and
//! the subprotocol to choose. No I/O.

use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use hyper::{HeaderMap, Uri};
use url::form_urlencoded;

use crate::scenario::keys::TokenPlace;

/// The header of a proof (RFC 9449 §4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header of the nonce that the next proofs are to have (RFC 9449 §8).
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// A subprotocol that carries a token begins with this.
const TOKEN_PROTOCOL: &str = "bearer.";

/// The token of a request, from the first of `places` that has one.
pub(super) fn token(
    headers: &HeaderMap,
    uri: &Uri,
    places: &[TokenPlace],
    parameter: &str,
    cookie: &str,
) -> Option<String> {
    let found = places.iter().find_map(|place| match place {
        TokenPlace::Header => bearer(headers),
        TokenPlace::Query => in_query(uri, parameter),
        TokenPlace::Cookie => in_cookies(headers, cookie),
        TokenPlace::Path => uri.path().rsplit('/').next().map(str::to_owned),
        TokenPlace::Subprotocol => {
            offered(headers).find_map(|name| name.strip_prefix(TOKEN_PROTOCOL)).map(str::to_owned)
        }
    });
    found.filter(|token| !token.is_empty())
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    by_scheme(headers, "bearer")
}

fn by_scheme(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| token.trim().to_owned())
}

/// The token that is shown with a proof (RFC 9449 §7.1).
pub(super) fn proved_token(headers: &HeaderMap) -> Option<String> {
    by_scheme(headers, "dpop").filter(|token| !token.is_empty())
}

/// The proof of a request; an empty one where there are several, or it is no text.
pub(super) fn proof(headers: &HeaderMap) -> Option<&str> {
    let mut proofs = headers.get_all(DPOP).into_iter();
    let first = proofs.next()?;
    Some(first.to_str().ok().filter(|_| proofs.next().is_none()).unwrap_or_default())
}

/// The URI of a request, as its proof is to name it: without query and fragment (RFC 9449 §4.2).
pub(super) fn target_uri(headers: &HeaderMap, uri: &Uri, is_secure: bool) -> String {
    let scheme = if is_secure { "https" } else { "http" };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    format!("{scheme}://{host}{}", uri.path())
}

fn in_query(uri: &Uri, parameter: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(name, _)| name == parameter).map(|(_, value)| value.into_owned())
}

/// A cookie's value (RFC 6265 §4.2.1).
fn in_cookies(headers: &HeaderMap, name: &str) -> Option<String> {
    let lists = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// The subprotocols that the client offers, in its order.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// The subprotocol to answer with: the first that is not the token; the token's own where nothing else is offered, as a
/// browser takes no answer without one of its offers.
pub(super) fn chosen_protocol(headers: &HeaderMap) -> Option<&str> {
    let other = offered(headers).find(|name| !name.starts_with(TOKEN_PROTOCOL));
    other.or_else(|| offered(headers).next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    #[test]
    fn tokens_and_subprotocols() {
        const ALL: [TokenPlace; 4] =
            [TokenPlace::Header, TokenPlace::Query, TokenPlace::Subprotocol, TokenPlace::Cookie];
        const AUTH: &str = "authorization";
        const PROTOCOL: &str = "sec-websocket-protocol";
        type Row<'a> = (&'a [(&'static str, &'a str)], &'a str, Option<&'a str>, Option<&'a str>);
        let table: &[Row<'_>] = &[
            (&[], "/", None, None),
            (&[(AUTH, "Bearer abc")], "/", Some("abc"), None),
            (&[(AUTH, "bEARER   abc ")], "/", Some("abc"), None),
            (&[(AUTH, "Basic abc")], "/", None, None),
            (&[(AUTH, "Bearer ")], "/", None, None),
            (&[], "/?x=1&access_token=a%62c", Some("abc"), None),
            (&[], "/?access_token=", None, None),
            (&[(AUTH, "Bearer one")], "/?access_token=two", Some("one"), None),
            (&[(PROTOCOL, "bearer.abc")], "/", Some("abc"), Some("bearer.abc")),
            (&[(PROTOCOL, "bearer.abc, v2.events")], "/", Some("abc"), Some("v2.events")),
            (&[(PROTOCOL, "v1"), (PROTOCOL, "bearer.abc")], "/", Some("abc"), Some("v1")),
            (&[(PROTOCOL, "v1, v2")], "/", None, Some("v1")),
            (&[(PROTOCOL, " , ")], "/", None, None),
            (&[("cookie", "a=b; session=abc; session=no")], "/", Some("abc"), None),
            (&[("cookie", "xsession=abc; session=")], "/", None, None),
        ];
        for (fields, uri, expected_token, expected_protocol) in table {
            let mut headers = HeaderMap::new();
            for &(name, value) in *fields {
                headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(
                token(&headers, &uri.parse().unwrap(), &ALL, "access_token", "session").as_deref(),
                *expected_token,
                "{fields:?} {uri}"
            );
            assert_eq!(chosen_protocol(&headers), *expected_protocol, "{fields:?}");
        }
    }
}
