//! Asking a service for its own numbers, beside the clients.
//!
//! In: a URL and headers. Out: the answer, piece by piece; or why there is none, for people. Addresses are checked as those of clients are. No redirect is
//! followed, and no secret is in what is said.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, StatusCode};
use secrecy::zeroize::Zeroizing;
use url::Url;

use crate::clock::Clock;
use crate::declare::Hidden;
use crate::lifecycle::ConnectFailure;

use super::address::AddressPolicy;
use super::asker::client_of_the_run;
use super::endpoint::PRODUCT;
use super::http::{HttpClient, HttpFailure, HttpRequest};

/// Shorter texts say nothing of a credential, and stand in many a sentence.
const SHORTEST: usize = 4;
/// A part of a credential that is as long may tell of it.
const SHORTEST_PART: usize = 8;
/// What is understood, the simplest first.
const ACCEPTED: &str = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1";

/// Asks for a service's own numbers.
pub struct Inquirer {
    http: HttpClient,
}

impl Inquirer {
    /// One that asks only where `policy` lets it. `tls` is needed where a URL is `https`.
    #[must_use]
    pub fn new(clock: Clock, policy: Arc<AddressPolicy>, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self { http: client_of_the_run(clock, policy, tls) }
    }

    /// Asks for what is at `url`; `take` gets the pieces of the answer's body, of which no more than `cap` bytes are read. Answers with the status.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(
        &self,
        url: &Url,
        headers: &[(String, Hidden<String>)],
        cap: usize,
        mut take: impl FnMut(bool, &[u8]) + Send,
    ) -> Result<u16, String> {
        let target = self.http.target(url.clone()).ok_or("its URL cannot be asked")?;
        let mut all = target.headers().clone();
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| "a header cannot be sent")?;
            value.set_sensitive(true);
            all.insert(HeaderName::try_from(name).map_err(|_| "a header cannot be sent")?, value);
        }
        all.entry(USER_AGENT).or_insert(HeaderValue::from_static(PRODUCT));
        all.entry(ACCEPT).or_insert(HeaderValue::from_static(ACCEPTED));
        let body = Bytes::new();
        let request = HttpRequest::new(Method::GET, &all, &body, cap);
        let mut taking = |status: StatusCode, piece: &[u8]| take(status.is_success(), piece);
        let answered = self.http.send_in_pieces(&target, request, &mut taking).await;
        answered.map(|parts| parts.status.as_u16()).map_err(|failure| in_words(&failure, cap))
    }
}

/// Why there is no answer.
fn in_words(failure: &HttpFailure, cap: usize) -> String {
    let words = match failure {
        HttpFailure::TooLarge => return format!("the answer has more than {} MiB", cap / (1024 * 1024)),
        HttpFailure::Connect(ConnectFailure::Dns) => {
            "its name does not resolve to an address that may be hit"
        }
        HttpFailure::Connect(ConnectFailure::Refused) => "connection refused",
        HttpFailure::Connect(ConnectFailure::Reset) => "the connection was reset",
        HttpFailure::Connect(ConnectFailure::Timeout) => "no connection in time",
        HttpFailure::Connect(ConnectFailure::Tls(_)) => "the TLS handshake failed",
        HttpFailure::Connect(ConnectFailure::LocalLimit) | HttpFailure::LocalLimit => {
            "this machine ran out of descriptors or ports"
        }
        HttpFailure::Connect(_) | HttpFailure::Broken => {
            "the connection ended before the answer did, or what came is no HTTP"
        }
    };
    words.to_owned()
}

/// A stranger's words, unless they repeat what may be a credential of the request: a header's value, or what stands in the URL's query.
#[must_use]
pub fn without_credentials(words: String, url: &Url, headers: &[(String, Hidden<String>)]) -> String {
    let mut sent: Zeroizing<Vec<String>> = Zeroizing::default();
    for (_, value) in headers {
        sent.push(value.to_string());
        for word in value.split_whitespace() {
            sent.push(word.to_owned());
            let decoded = STANDARD.decode(word).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            sent.extend(decoded.iter().flat_map(|pair| pair.split(':')).map(str::to_owned));
        }
    }
    sent.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    sent.extend(url.query().into_iter().flat_map(|query| query.split(['&', '='])).map(str::to_owned));
    let part = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let is_echo = sent.iter().any(|secret| {
        let whole = (secret.len() >= SHORTEST).then_some(secret.as_str());
        let parts = secret.split(part).filter(|part| part.len() >= SHORTEST_PART);
        whole.into_iter().chain(parts).any(|secret| words.contains(secret))
    });
    if is_echo { "what it says repeats what it was sent, and is not shown".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_shown() {
        let headers = [
            ("Authorization".to_owned(), Hidden::from("Basic dXNlcjpodW50ZXItMg==".to_owned())),
            ("X-Key".to_owned(), Hidden::from("k3y-12345".to_owned())),
            ("X-Other".to_owned(), Hidden::from("a+long_part-of-it=/".to_owned())),
        ];
        let url = Url::parse("http://h:1/metrics?tenant=t%2Fenant1&x").unwrap();
        for (words, is_shown) in [
            ("bad_data: parse error", true),
            ("no k3y-12345 here", false),
            ("user hunter-2", false),
            ("dXNlcjpodW50ZXItMg==", false),
            ("key of long_part-of-it", false),
            ("of t/enant1", false),
            ("of t%2Fenant1", false),
            ("x", true),
        ] {
            let shown = without_credentials(words.to_owned(), &url, &headers);
            assert_eq!(shown == words, is_shown, "{words}");
        }
    }
}
