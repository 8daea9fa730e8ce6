//! Where a client's handshake goes: its URL, what signs it, headers that are filled in.
//!
//! In: a group's rules, what a client has, the time. Out: an [`Endpoint`], for one handshake or for all. No I/O, no clock.

use std::sync::Arc;

use http::HeaderValue;
use url::Url;

use crate::clock::Moment;
use crate::declare::template::{Template, UrlText};
use crate::lifecycle::ConnectFailure;
use crate::scenario::keys::{ConnectRules, SignRules};

use super::endpoint::Endpoint;
use super::signer::Signer;
use super::variables::{Renderer, Variables};

/// A moment, and its calendar time in microseconds since 1970.
pub(in crate::drive) type At = (Moment, u64);

/// Where the handshakes of a group go.
pub(in crate::drive) struct Destination {
    endpoint: Endpoint,
    /// Where the URL has variables: what it is made of before each handshake.
    template: Option<Template>,
    /// Headers that are filled in before each handshake.
    filled: Vec<(String, Template)>,
    /// Where handshakes are signed.
    signer: Option<Box<Signer>>,
}

impl Destination {
    /// To `endpoint` unless the rules' URL has variables.
    pub(in crate::drive) fn new(endpoint: Endpoint, rules: &ConnectRules) -> Self {
        let template = rules.url.as_ref().and_then(UrlText::template).cloned();
        Self { endpoint, template, filled: Vec::new(), signer: None }
    }

    /// The same; clients from number `first` on sign their handshakes where the rules say so.
    pub(in crate::drive) fn signing(mut self, rules: Option<&Arc<SignRules>>, first: u32) -> Self {
        self.signer = rules.map(|rules| Box::new(Signer::new(Arc::clone(rules), first)));
        self
    }

    /// The same; those of the `headers` that hold variables are filled in before each handshake.
    pub(in crate::drive) fn filling(mut self, headers: &[(String, Template)]) -> Self {
        self.filled = headers.iter().filter(|(_, text)| text.fixed().is_none()).cloned().collect();
        self
    }

    /// The group's endpoint.
    pub(in crate::drive) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// It goes there from now on, unless the rules' URL has variables.
    pub(super) fn lead_to(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
    }

    /// From now on signatures are so old that their time is over.
    pub(super) fn outlive_signatures(&mut self) {
        if let Some(signer) = &mut self.signer {
            signer.outlive();
        }
    }

    /// Where the next handshake of a client goes; `None`: to the group's endpoint. One that keeps its signature goes where its first handshake went.
    pub(in crate::drive) fn next(
        &self,
        client: Renderer<'_>,
        variables: &mut Option<Box<Variables>>,
        at: At,
    ) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        if let Some(kept) = variables.as_deref().and_then(Variables::way) {
            return Ok(Some(Box::new(kept.clone())));
        }
        let own = variables.as_deref().map_or(client, |variables| client.with(variables));
        let way = self.elsewhere(&own, at)?;
        let keeps = self.signer.as_ref().is_some_and(|signer| signer.keeps());
        if let Some(way) = way.as_deref().filter(|_| keeps) {
            variables.get_or_insert_default().keep_way(way.clone());
        }
        Ok(way)
    }

    /// Where the next handshake goes, where the group's URL or headers have variables, or it is signed; `None`: to the group's endpoint. A URL that is
    /// none is the fault of whoever gave it.
    pub(super) fn elsewhere(
        &self,
        renderer: &Renderer<'_>,
        at: At,
    ) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        // All that a handshake has in it tells the same time: what signs a header's time is in another header.
        let renderer = &renderer.at(at.1);
        let place = self.signed_place(renderer, at)?;
        if self.filled.is_empty() {
            return Ok(place);
        }
        let mut place = place.unwrap_or_else(|| Box::new(self.endpoint.clone()));
        let mut lines = String::new();
        for (name, template) in &self.filled {
            let value = renderer.render(template);
            if HeaderValue::from_str(&value).is_err() {
                return Err(ConnectFailure::Protocol);
            }
            lines.extend([name, ": ", &value, "\r\n"]);
        }
        *place = place.filled(lines.into());
        Ok(Some(place))
    }

    fn signed_place(&self, renderer: &Renderer<'_>, at: At) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        let place = self.by_template(renderer)?;
        let Some(signer) = &self.signer else { return Ok(place) };
        let signed = signer.sign(place.as_deref().unwrap_or(&self.endpoint), renderer, at);
        signed.map(|endpoint| Some(Box::new(endpoint))).ok_or(ConnectFailure::Protocol)
    }

    fn by_template(&self, renderer: &Renderer<'_>) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        let Some(template) = &self.template else { return Ok(None) };
        let url = Url::parse(&renderer.render(template)).ok();
        let url = url.filter(|url| matches!(url.scheme(), "ws" | "wss"));
        let found = url.and_then(Endpoint::of);
        found.map(|endpoint| Some(Box::new(endpoint))).ok_or(ConnectFailure::Protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::super::variables::GroupTexts;
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn all_headers_of_a_handshake_tell_the_time_of_that_handshake() {
        let endpoint = Endpoint::of("ws://127.0.0.1:9/".parse().unwrap()).unwrap();
        let headers = [("X-Time", "{now_ms}"), ("X-Signed", "{now_ms}"), ("X-Iso", "{now_iso}")];
        let headers = headers.map(|(name, text)| (name.to_owned(), Template::parse(text)));
        let destination = Destination::new(endpoint, &ConnectRules::default()).filling(&headers);
        let texts = GroupTexts::new(Clock::start(), "127.0.0.1:9".to_owned(), None, 0);
        let client = Renderer::new(&texts, 3, None, None);
        let place = destination.elsewhere(&client, (Moment::ZERO, 1_700_000_000_123_456)).unwrap().unwrap();
        let lines = &*place.filled;
        let told = "X-Time: 1700000000123\r\nX-Signed: 1700000000123\r\nX-Iso: 2023-11-14T22:13:20.123Z\r\n";
        assert_eq!(lines, told);
    }
}
