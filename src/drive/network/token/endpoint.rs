//! Asking a token endpoint over HTTP.
//!
//! In: credentials, a refresh token where there is one. Out: a grant, or why there is none. The group's connections serve all its clients;
//! a token is never logged, and a refusal's text is not kept.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{COOKIE, HeaderMap, HeaderValue, RETRY_AFTER};
use url::Url;

use crate::clock::{Clock, Moment};
use crate::drive::network::cookies::Jar;
use crate::drive::network::group_sink::GroupSink;
use crate::drive::network::http::{HttpClient, HttpFailure, HttpRequest, HttpTarget};
use crate::drive::network::retry_after::parse_retry_after;
use crate::drive::network::saving::cookie_lines;
use crate::drive::network::trace::Beside;
use crate::lifecycle::{ConnectFailure, TokenFailure, oauth_code};
use crate::sample::{Counter, Request, RequestAnswer};
use crate::scenario::keys::{ClientCredentials, Grant, TokenConnection, TokenFill, TokenRules};

use super::answer::{Refusal, Token};
use super::dpop::{DPOP, DPOP_NONCE, DpopBook, Prover, ShownTo, USE_NONCE, header_of};
use super::form::{Proofs, Who, body, headers, is_common};
use super::grant::{Places, TokenGrant, Unreadable, read_answer};
use super::mint::Mint;
use super::pool::PoolWaits;
use super::watched::watched;

/// The most that is read of a token endpoint's answer.
const ANSWER_CAP: usize = 64 * 1024;

/// A token endpoint, and how it is asked.
pub(in crate::drive::network) struct TokenEndpoint {
    clock: Clock,
    sink: GroupSink,
    http: Arc<HttpClient>,
    target: HttpTarget,
    /// Number of the group's first client.
    first: u32,
    credentials: ClientCredentials,
    grant: Grant,
    /// Its URL, for assertions that are for it.
    url: String,
    mint: Mint,
    is_pooled: bool,
    /// Headers and form of every request, where all clients show the same credentials.
    common: Option<(HeaderMap, Bytes)>,
    refreshes: bool,
    /// The refresh token that is given, as the first.
    initial: Option<Token>,
    /// The keys to which tokens are bound.
    dpop: Option<Arc<DpopBook>>,
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and forms hold credentials.
        f.debug_struct("TokenEndpoint").field("target", &self.target).finish_non_exhaustive()
    }
}

impl TokenEndpoint {
    /// The endpoint at `url`, asked over `http` for a group whose first client has the number `first`; `None` where nobody can be asked
    /// there.
    pub(in crate::drive::network) fn new(
        (clock, sink, waits): (Clock, GroupSink, Arc<PoolWaits>),
        http: Arc<HttpClient>,
        url: &Url,
        first: u32,
        credentials: &ClientCredentials,
        rules: &TokenRules,
        dpop: Option<Arc<DpopBook>>,
    ) -> Option<Self> {
        let is_pooled = rules.connection == TokenConnection::Pooled;
        let initial = match &rules.grant {
            Grant::RefreshToken { initial, .. } => initial.clone().map(Arc::new),
            _ => None,
        };
        let is_reachable = url.scheme() != "https" || http.has_tls();
        let target = http.target(url.clone()).filter(|_| is_reachable)?;
        let common = is_common(credentials, &rules.grant).then(|| {
            let who = Who::of(credentials, 0);
            let fill = TokenFill { client: first, index: 0, unix_us: 0, feeder: None };
            let body = body(credentials, &rules.grant, who, &Proofs::default(), &fill);
            (headers(target.headers(), credentials, who, is_pooled, &fill), body)
        });
        let mint = Mint::new(clock, sink.clone(), waits);
        Some(Self {
            clock,
            sink,
            http,
            target,
            first,
            credentials: credentials.clone(),
            grant: rules.grant.clone(),
            url: url.as_str().to_owned(),
            mint,
            is_pooled,
            common,
            refreshes: matches!(rules.grant, Grant::RefreshToken { .. }),
            initial,
            dpop,
        })
    }

    /// Asks for a token for the group's client `index`, which holds this refresh token, and gives up at `deadline`. A refresh token that is
    /// refused is given up for the credentials.
    pub(super) async fn ask(
        &self,
        index: u32,
        held: Option<&Token>,
        beside: Beside<'_>,
        deadline: Moment,
    ) -> Result<TokenGrant, Refusal> {
        let refresh = held.or(self.initial.as_ref()).filter(|_| self.refreshes);
        if let Some(refresh) = refresh {
            match Box::pin(self.watch(Request::Refresh, index, Some(refresh), beside, deadline)).await {
                Err(Refusal { code: Some("invalid_grant"), .. }) => {
                    self.sink.count(Counter::RefreshTokensRefused).await;
                }
                answered => return answered,
            }
        }
        Box::pin(self.watch(Request::Credentials, index, None, beside, deadline)).await
    }

    /// Makes a request; once again where the endpoint wants its nonce in the proof (RFC 9449 §8).
    async fn watch(
        &self,
        request: Request,
        index: u32,
        refresh: Option<&Token>,
        beside: Beside<'_>,
        deadline: Moment,
    ) -> Result<TokenGrant, Refusal> {
        let asking = Box::pin(self.post(index, refresh, beside));
        match watched(&self.sink, request, deadline, asking).await {
            Err(Refusal { code: Some(USE_NONCE), .. }) if self.dpop.is_some() => {
                watched(&self.sink, request, deadline, Box::pin(self.post(index, refresh, beside))).await
            }
            answered => answered,
        }
    }

    async fn post(
        &self,
        index: u32,
        refresh: Option<&Token>,
        beside: Beside<'_>,
    ) -> Result<TokenGrant, Refusal> {
        let own;
        let (headers, body) = match &self.common {
            Some(common) if refresh.is_none() => common,
            _ => {
                own = Box::pin(self.compose(index, refresh)).await?;
                &own
            }
        };
        let with_cookies = beside.jar.and_then(|jar| self.with_cookies(headers, jar));
        let headers = with_cookies.as_ref().unwrap_or(headers);
        let prover = self.dpop.as_ref().and_then(|dpop| dpop.prover(self.first.saturating_add(index)));
        let with_proof = prover.as_ref().and_then(|prover| self.with_proof(headers, index, prover));
        let headers = with_proof.as_ref().unwrap_or(headers);
        let traced = beside.trace.map(|trace| {
            let mut headers = headers.clone();
            trace.put(&mut headers);
            headers
        });
        let headers = traced.as_ref().unwrap_or(headers);
        let request = HttpRequest::new(Method::POST, headers, body, ANSWER_CAP).alone(!self.is_pooled);
        let sending = self.http.send(&self.target, self.first.saturating_add(index), request);
        let (head, body) = sending.await.map_err(|failure| failed(&failure))?;
        if let Some(jar) = beside.jar {
            let now_s = self.clock.unix_us_now() / 1_000_000;
            cookie_lines(&head.headers).for_each(|line| jar.take(self.target.url(), line, now_s));
        }
        if let Some(prover) = &prover {
            let nonce = head.headers.get(DPOP_NONCE).and_then(|value| value.to_str().ok());
            prover.keep_nonce(ShownTo::TokenEndpoint, nonce);
        }
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, self.clock.unix_us_now()));
        let status = head.status.as_u16();
        let places = Places::of(&self.credentials, self.clock.unix_us_now());
        let grant = read_answer(status, &body, places)
            .map_err(|wrong| Refusal::said(wrong, status, oauth_code(&body), retry_after))?;
        if prover.is_some() && grant.is_bearer {
            // Whoever asks for a bound token does not use one that anybody can show (RFC 9449 §5).
            let wrong = Unreadable::error(RequestAnswer::NotBound);
            return Err(Refusal::said(wrong, status, None, retry_after));
        }
        Ok(grant)
    }

    /// The headers of a request whose client proves that it holds a key.
    fn with_proof(&self, headers: &HeaderMap, index: u32, prover: &Prover) -> Option<HeaderMap> {
        let who = (self.first.saturating_add(index), self.clock.unix_us_now());
        let proof = prover.prove(ShownTo::TokenEndpoint, ("POST", self.target.url()), who, None)?;
        let mut headers = headers.clone();
        headers.insert(DPOP, header_of(&proof)?);
        Some(headers)
    }

    /// The headers of a request whose client has cookies for it.
    fn with_cookies(&self, headers: &HeaderMap, jar: &Jar) -> Option<HeaderMap> {
        let cookies = jar.header(self.target.url(), self.clock.unix_us_now() / 1_000_000)?;
        let mut value = HeaderValue::try_from(cookies).ok()?;
        value.set_sensitive(true);
        let mut headers = headers.clone();
        headers.entry(COOKIE).or_insert(value);
        Some(headers)
    }

    /// Headers and body of a request that is a client's own; what it shows is signed first.
    async fn compose(&self, index: u32, refresh: Option<&Token>) -> Result<(HeaderMap, Bytes), Refusal> {
        let Self { credentials, grant, .. } = self;
        let who = Who::of(credentials, index);
        let fill = TokenFill {
            client: self.first.saturating_add(index),
            index,
            unix_us: self.clock.unix_us_now(),
            feeder: credentials.feeder.as_deref(),
        };
        let not_sent = Refusal::of(TokenFailure::Error, RequestAnswer::NotSent);
        let client = match self.mint.client_assertion(credentials, who, &self.url, &fill) {
            Some(assertion) => Some(assertion.await.ok_or(not_sent)?),
            None => None,
        };
        let minted = match (refresh, grant) {
            (None, Grant::Shown { shown, .. }) => shown.minted(),
            _ => None,
        };
        let signed = match minted {
            Some(minted) => Some(self.mint.token(minted, &fill).await.ok_or(not_sent)?.0),
            None => None,
        };
        let proofs = Proofs { refresh: refresh.cloned(), client, grant: signed };
        let body = body(credentials, grant, who, &proofs, &fill);
        Ok((headers(self.target.headers(), credentials, who, self.is_pooled, &fill), body))
    }

    /// Whether fewer scopes were granted than this endpoint was asked for.
    pub(super) fn lacks_scope(&self, grant: &TokenGrant) -> bool {
        grant.lacks(&self.credentials.scopes)
    }
}

fn failed(failure: &HttpFailure) -> Refusal {
    match failure {
        HttpFailure::LocalLimit | HttpFailure::Connect(ConnectFailure::LocalLimit) => {
            TokenFailure::LocalLimit.into()
        }
        HttpFailure::Connect(failed) => {
            let reason = match failed {
                ConnectFailure::Tls(reason) => reason.as_deref(),
                _ => None,
            };
            Refusal::of_connection(failed.outcome(), failure.answer()).for_reason(reason)
        }
        HttpFailure::Broken | HttpFailure::TooLarge => Refusal::of(TokenFailure::Error, failure.answer()),
    }
}
