//! The gate before an endpoint of a run: the live page, the metrics.
//!
//! In: a request's method-independent parts. Out: who asks, or why it is refused. On loopback everybody on this machine may ask; beyond it, who shows the
//! token: as `Authorization: Bearer` (RFC 6750 §2.1), or by the cookie that the page gets for a `?token=` (RFC 6265bis: HttpOnly, SameSite=Strict).

use std::net::SocketAddr;

use hyper::header::{AUTHORIZATION, COOKIE};
use hyper::{HeaderMap, Uri};
use url::form_urlencoded;

use super::same_site::{Reach, sign_of_another_site};
use super::token::{AccessToken, NoToken};

/// The parameter of an address that holds the token.
const PARAMETER: &str = "token";

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A page of another site asks, and this shows it: HTTP 403.
    AnotherSite(&'static str),
    /// The token is missing, or is another one: HTTP 401.
    NoToken,
}

/// How a request that may be answered came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is answered.
    In,
    /// Its address has the token: it is answered by this `Set-Cookie`, and by the same address without its query.
    WithCookie(String),
}

/// The gate of one endpoint.
#[derive(Debug, Clone)]
pub struct Gate {
    reach: Reach,
    keys: Option<Keys>,
}

#[derive(Debug, Clone)]
struct Keys {
    token: AccessToken,
    /// What the cookie holds: no token of somebody's choice lies in a browser's files.
    session: AccessToken,
    /// Cookies know no ports: two runs of a machine need two names.
    cookie: String,
}

impl Gate {
    /// The gate of what listens at `addr`; `token` is asked for where other machines can reach that.
    ///
    /// # Errors
    /// [`NoToken::NoRandomness`].
    pub fn new(addr: SocketAddr, token: Option<&AccessToken>) -> Result<Self, NoToken> {
        let reach = Reach::of(addr);
        let keys = token.filter(|_| reach == Reach::Network).map(|token| {
            let (session, cookie) = (AccessToken::random()?, format!("resurge_live_{}", addr.port()));
            Ok(Keys { token: token.clone(), session, cookie })
        });
        Ok(Self { reach, keys: keys.transpose()? })
    }

    /// Whether a request may be answered.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit(&self, headers: &HeaderMap, uri: &Uri) -> Result<Admitted, Refusal> {
        let another = || {
            sign_of_another_site(headers, self.reach).map_or(Ok(()), |sign| Err(Refusal::AnotherSite(sign)))
        };
        let Some(keys) = &self.keys else {
            return match self.reach {
                Reach::Loopback => another().map(|()| Admitted::In),
                // Without a token there is nobody who may.
                Reach::Network => Err(Refusal::NoToken),
            };
        };
        // Who shows the token itself is no page that came by chance.
        if bearer(headers).is_some_and(|shown| keys.token.is(shown)) {
            return Ok(Admitted::In);
        }
        if in_query(uri).is_some_and(|shown| keys.token.is(&shown)) {
            let Keys { session, cookie, .. } = keys;
            let secret = session.expose();
            return Ok(Admitted::WithCookie(format!("{cookie}={secret}; Path=/; HttpOnly; SameSite=Strict")));
        }
        if !in_cookies(headers, &keys.cookie).any(|shown| keys.session.is(shown)) {
            return Err(Refusal::NoToken);
        }
        // A browser adds the cookie by itself, also for a page of another port of this machine.
        another().map(|()| Admitted::In)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn in_query(uri: &Uri) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(name, _)| name == PARAMETER).map(|(_, value)| value.into_owned())
}

fn in_cookies<'h>(headers: &'h HeaderMap, wanted: &'h str) -> impl Iterator<Item = &'h str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn gate(addr: &str) -> Gate {
        Gate::new(addr.parse().unwrap(), Some(&AccessToken::new(Some(TOKEN)).unwrap())).unwrap()
    }

    fn asked(gate: &Gate, address: &str, fields: &[(&'static str, &str)]) -> Result<Admitted, Refusal> {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        gate.admit(&fields.collect(), &address.parse().unwrap())
    }

    #[test]
    fn on_loopback_no_token_is_asked_for_and_no_other_site_is_let_in() {
        let gate = gate("127.0.0.1:9464");
        let host = ("host", "127.0.0.1:9464");
        assert_eq!(asked(&gate, "/", &[host]), Ok(Admitted::In));
        assert_eq!(asked(&gate, "/", &[host, ("origin", "http://127.0.0.1:9464")]), Ok(Admitted::In));
        for foreign in
            [("host", "evil.example"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-site")]
        {
            let fields: &[_] = if foreign.0 == "host" { &[foreign] } else { &[host, foreign] };
            assert!(matches!(asked(&gate, "/", fields), Err(Refusal::AnotherSite(_))), "{foreign:?}");
        }
    }

    #[test]
    fn beyond_loopback_the_token_alone_lets_in() {
        let gate = gate("0.0.0.0:9464");
        let host = ("host", "bench-7.example:9464");
        let right = format!("Bearer {TOKEN}");
        assert_eq!(asked(&gate, "/metrics", &[host, ("authorization", &right)]), Ok(Admitted::In));
        for wrong in ["Bearer 0123456789abcdee", "Bearer", "Bearer ", "Basic 0123456789abcdef", TOKEN] {
            assert_eq!(
                asked(&gate, "/", &[host, ("authorization", wrong)]),
                Err(Refusal::NoToken),
                "{wrong}"
            );
        }
        for address in ["/", "/?token=", "/?token=wrong", "/?other=0123456789abcdef"] {
            assert_eq!(asked(&gate, address, &[host]), Err(Refusal::NoToken), "{address}");
        }
        let cookie = format!("resurge_live_9464={TOKEN}");
        assert_eq!(
            asked(&gate, "/", &[host, ("cookie", &cookie)]),
            Err(Refusal::NoToken),
            "no cookie of ours"
        );
    }

    #[test]
    fn a_token_in_the_address_is_exchanged_for_a_cookie_of_this_site_alone() {
        let gate = gate("[::]:9464");
        let host = ("host", "bench-7.example:9464");
        let Ok(Admitted::WithCookie(set)) = asked(&gate, "/?token=0123456789abcdef", &[host]) else {
            panic!("not exchanged")
        };
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
        assert!(pair.starts_with("resurge_live_9464=") && !set.contains(TOKEN), "{set}");
        let cookies = format!("a=b; {pair}");
        let cookie = ("cookie", cookies.as_str());
        // A name of the machine, for the rebinding of another one would bring no cookie.
        let own = ("origin", "http://bench-7.example:9464");
        assert_eq!(asked(&gate, "/storm", &[host, cookie, own]), Ok(Admitted::In));
        for foreign in [("origin", "http://bench-7.example:3000"), ("sec-fetch-site", "same-site")] {
            let refused = asked(&gate, "/storm", &[host, cookie, foreign]);
            assert!(matches!(refused, Err(Refusal::AnotherSite(_))), "{foreign:?}");
        }
    }

    #[test]
    fn without_a_token_nobody_beyond_loopback_is_let_in() {
        let gate = Gate::new("192.168.1.2:1".parse().unwrap(), None).unwrap();
        assert_eq!(asked(&gate, "/", &[("host", "192.168.1.2:1")]), Err(Refusal::NoToken));
    }
}
