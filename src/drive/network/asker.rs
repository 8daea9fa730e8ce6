//! Requests of the run itself, beside its clients: those of events, and numbers that are sent elsewhere.
//!
//! In: a URL, headers, a body. Out: the answer, or why there is none, in words. The address policy holds as for clients; nothing is counted,
//! no connection is kept, no redirect followed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rustls::ClientConfig;
use url::Url;

use crate::clock::Clock;
use crate::scenario::keys::ConnectRules;

use super::address::AddressPolicy;
use super::dial::Dialer;
use super::endpoint::PRODUCT;
use super::http::{HttpClient, HttpRequest};
use super::ports::LocalPorts;
use super::resolve::Resolver;
use super::retry_after::parse_retry_after;
use super::tls::TlsClient;

/// The most that is read of an answer's body.
const ANSWER_CAP: usize = 256 * 1024;

/// Asks servers in the name of the run.
pub struct Asker {
    clock: Clock,
    http: HttpClient,
}

/// An answer to a request of the run itself.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// How long the server asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

impl Asker {
    /// One that asks where `policy` allows it. `tls` is needed where a URL is `https`.
    #[must_use]
    pub fn new(clock: Clock, policy: Arc<AddressPolicy>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { clock, http: client_of_the_run(clock, policy, tls) }
    }

    /// Sends a request whose body, where it has one, is of a type. Answers with status and body.
    ///
    /// # Errors
    /// A sentence that says why there is no answer; no secret stands in it.
    pub async fn ask(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: Option<(&str, &str)>,
    ) -> Result<(u16, Bytes), String> {
        let body = body.map(|(content_type, body)| (content_type, Bytes::copy_from_slice(body.as_bytes())));
        let answered = self.send(method, url, headers, body).await?;
        Ok((answered.status, answered.body))
    }

    /// The same with any bytes as its body.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn send(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: Option<(&str, Bytes)>,
    ) -> Result<Answered, String> {
        let target = self.http.target(url.clone()).ok_or("the URL names no server that can be asked")?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        let mut lines = target.headers().clone();
        lines.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        lines.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some((content_type, _)) = &body {
            put(&mut lines, CONTENT_TYPE.as_str(), content_type)?;
        }
        for (name, value) in headers {
            put(&mut lines, name, value)?;
        }
        let body = body.map(|(_, body)| body).unwrap_or_default();
        let request = HttpRequest::new(method, &lines, &body, ANSWER_CAP).alone(true);
        match self.http.send(&target, 0, request).await {
            Ok((head, body)) => {
                let asked = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let retry_after = asked.and_then(|text| parse_retry_after(text, self.clock.unix_us_now()));
                Ok(Answered { status: head.status.as_u16(), retry_after, body })
            }
            Err(failure) => Err(failure.answer().name().replace('_', " ")),
        }
    }
}

/// An HTTP client that is none of the clients'. It connects where `policy` allows it; `tls` is needed where a URL is `https`.
pub(super) fn client_of_the_run(
    clock: Clock,
    policy: Arc<AddressPolicy>,
    tls: Option<Arc<ClientConfig>>,
) -> HttpClient {
    let names = Arc::new(Resolver::new(clock, policy));
    let ports = Arc::new(LocalPorts::of_machine());
    let dialer = Dialer::new(clock, names, ports, &ConnectRules::default(), None, None);
    let tls = tls.map(|config| Arc::new(TlsClient::uncounted(config)));
    HttpClient::new(Arc::new(dialer), tls, clock)
}

fn put(lines: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let unfit = || format!("the header {name} cannot be sent as written");
    let key = HeaderName::try_from(name).map_err(|_| unfit())?;
    let mut value = HeaderValue::try_from(value).map_err(|_| unfit())?;
    value.set_sensitive(true);
    lines.insert(key, value);
    Ok(())
}
