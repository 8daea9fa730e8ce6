//! What the clients of a group have in common in virtual time.
//!
//! In: the scenario. Out: rules and texts, looked up once. Nothing of it changes in a run.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use secrecy::ExposeSecret;
use url::Url;

use crate::clock::Moment;
use crate::conversation::Payload;
use crate::declare::template::{Template, UrlText};
use crate::drive::network::{DpopBook, proved_uri};
use crate::lifecycle::{GroupRules, TokenFacts, believed_expiry};
use crate::sample::GroupId;
use crate::scenario::keys::{self, path_fits};
use crate::scenario::keys::{
    ClientAuth, ClientCredentials, ConnectRules, Grant, Scenario, Target, TargetRules, TlsResumption,
    TokenBody, TokenConnection, TokenIn, TokenPlace, TokenRules,
};
use crate::service::holder::Holder;
use crate::service::token::TokenRequest;

use super::certificates::Certified;
use super::signing::{Filled, Minter, OwnParams, StandIns};
use super::token_reading;
use super::written::{Writing, hears_texts, token_url};

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) rules: GroupRules,
    pub(super) connect: ConnectRules,
    pub(super) is_secure: bool,
    /// Whether the target speaks TLS; `None`: it is remote, and may do so at one place and not at another.
    pub(super) target_speaks_tls: Option<bool>,
    /// Whether its clients resume their TLS sessions.
    pub(super) resumes: bool,
    /// Whether its handshakes find the WebSocket endpoint.
    pub(super) finds_endpoint: bool,
    /// Whether they find it on any path: that of a remote service is its own affair.
    pub(super) is_anywhere: bool,
    /// Whether its handshakes carry a token where the target looks for one.
    pub(super) carries_token: bool,
    /// Whether each token request has a connection of its own.
    pub(super) is_fresh: bool,
    pub(super) asker: Option<Asker>,
    /// What signs its clients' own tokens.
    pub(super) minter: Option<Minter>,
    pub(super) fixed: Option<String>,
    /// What the target makes of the certificates at its WebSocket endpoint, and at its token endpoint.
    pub(super) certified: [Certified; 2],
    /// The keys to which its clients' tokens are bound.
    pub(super) dpop: Option<Arc<DpopBook>>,
    /// How its upgrade requests are written, where more stands in them than a token.
    pub(super) writing: Option<Box<Writing>>,
    /// Whether the target looks at what its clients say.
    pub(super) is_heard: bool,
    /// Whether the target numbers its messages for its clients.
    pub(super) is_numbered: bool,
}

/// What a group's clients show to the token endpoint.
#[derive(Debug)]
pub(super) struct Asker {
    /// Where it goes, and what a proof says of that.
    pub(super) url: Option<Url>,
    pub(super) proved_uri: String,
    /// How its requests are written.
    pub(super) body: TokenBody,
    /// Where it looks for its token, where answers are written out.
    pub(super) reads: Option<Box<ClientCredentials>>,
    who: Vec<(String, String)>,
    scope: Option<String>,
    used_basic: bool,
    /// Whether something else than its secret says who the client is: a signature, a certificate.
    hides_secret: bool,
    grant_type: &'static str,
    /// The parameters that are the same in each request.
    params: Vec<(String, String)>,
    /// Those that are each request's own.
    own: Option<Box<OwnParams>>,
    pub(super) refreshes: bool,
    /// The first refresh token, as given.
    pub(super) initial: Option<String>,
}

impl Asker {
    /// The request of the group's client `index`, with the parameters of its own that it has.
    pub(super) fn request<'a>(
        &'a self,
        index: u32,
        is_refresh: bool,
        own: Option<&'a [(String, String)]>,
        holder: Holder<'a>,
    ) -> TokenRequest<'a> {
        let (id, secret) = self.who(index);
        TokenRequest {
            holder,
            grant_type: Some(if is_refresh { "refresh_token" } else { self.grant_type }),
            client_id: Some(id).filter(|id| !id.is_empty()),
            client_secret: Some(secret).filter(|secret| !secret.is_empty() && !self.hides_secret),
            used_basic: self.used_basic,
            scope: self.scope.as_deref(),
            refresh_token: None,
            params: own.unwrap_or(&self.params),
        }
    }

    fn who(&self, index: u32) -> (&str, &str) {
        let (id, secret) = &self.who[index as usize % self.who.len().max(1)];
        (id, secret)
    }

    /// The parameters of a request of the group's client, where they are its own.
    pub(super) fn own_params(&self, at: Filled, is_refresh: bool) -> Option<Vec<(String, String)>> {
        Some(self.own.as_ref()?.write(self.who(at.index), at, is_refresh))
    }

    /// How many signatures that take time there are in a request.
    pub(super) fn slow_signatures(&self, is_refresh: bool) -> u32 {
        self.own.as_ref().map_or(0, |own| own.slow_signatures(is_refresh))
    }
}

impl Group {
    /// Whether a text makes a session ready.
    pub(super) fn is_ready_by(&self, text: &str) -> bool {
        self.rules.looks.makes_ready(Payload::Text(text))
    }

    /// How long a client waits for a token.
    pub(super) fn timeout(&self) -> Duration {
        self.rules.token.as_ref().map_or(Duration::ZERO, |token| token.timeout)
    }

    /// What is known of a token that was asked for and received then, and lives so long by its answer.
    pub(super) fn facts(
        &self,
        requested: Moment,
        received: Moment,
        life: Option<Duration>,
        lacks_scope: bool,
    ) -> TokenFacts {
        let skew = self.rules.token.as_ref().and_then(|token| token.clock_skew);
        let expires = |skew| believed_expiry(received, life, skew);
        TokenFacts { requested, received, expires: expires(skew), life_ends: expires(None), lacks_scope }
    }

    pub(super) fn of(
        (scenario, index): (&Scenario, usize),
        target: &TargetRules,
        keys: &StandIns,
        certified_at: UnixTime,
    ) -> Self {
        let group = &scenario.groups[index];
        let token = group.token.as_ref();
        let is_secure = match &scenario.target {
            Target::Embedded(rules) => rules.tls,
            Target::Remote(remote) => remote.url.scheme() == "wss",
        };
        let connect = &group.connect;
        let dpop = token.and_then(DpopBook::stand_in);
        Self {
            id: GroupId(u16::try_from(index).unwrap_or(u16::MAX)),
            rules: GroupRules::of(scenario, index),
            is_secure,
            target_speaks_tls: match &scenario.target {
                Target::Embedded(rules) => Some(rules.tls),
                Target::Remote(_) => None,
            },
            resumes: is_secure && connect.tls_resumption == TlsResumption::PerClient,
            finds_endpoint: finds_endpoint(scenario, connect, target),
            is_anywhere: matches!(scenario.target, Target::Remote(_)),
            carries_token: carries_token(&connect.token_in, target),
            is_fresh: token.is_some_and(|token| token.connection == TokenConnection::Fresh),
            asker: token.and_then(|token| asker(token, target, keys, token_url(&scenario.target, token))),
            minter: token.and_then(|token| Minter::of(&token.grant, keys)),
            fixed: token.and_then(|token| match &token.grant {
                Grant::Fixed(text) => Some(text.expose_secret().to_owned()),
                _ => None,
            }),
            certified: certified(group, target, certified_at),
            writing: Writing::of(scenario, index, target, dpop.clone()),
            dpop,
            is_heard: hears_texts(target),
            is_numbered: connect.url.as_ref().and_then(UrlText::fixed).is_none()
                && group.session.streams.is_empty(),
            connect: connect.clone(),
        }
    }
}

/// Whether a group's path is the one of the target's WebSocket endpoint, where it has one of its own. That of a remote service is its own affair.
fn finds_endpoint(scenario: &Scenario, connect: &ConnectRules, target: &TargetRules) -> bool {
    if matches!(scenario.target, Target::Remote(_)) {
        return true;
    }
    let Some(path) = connect.path.as_deref() else { return true };
    path_fits(&target.path, path.split('?').next().unwrap_or_default())
}

/// What the target makes of a group's certificates: that of its sessions, which goes for its tokens as well unless they have their own.
fn certified(group: &keys::Group, target: &TargetRules, now: UnixTime) -> [Certified; 2] {
    let own = group.connect.certificate.as_ref();
    let for_tokens = group.token.as_ref().and_then(|token| token.certificate.as_ref());
    [own, for_tokens.or(own)].map(|shown| Certified::of(target, shown, now))
}

fn asker(token: &TokenRules, target: &TargetRules, keys: &StandIns, url: Option<Url>) -> Option<Asker> {
    let grant = &token.grant;
    let credentials = grant.credentials()?;
    let pair = |id: &str, secret: &secrecy::SecretString| (id.to_owned(), secret.expose_secret().to_owned());
    let who = match &credentials.feeder {
        Some(feeder) => (0..feeder.rows())
            .map(|row| {
                let fed = |column| feeder.value(row as u32, column);
                let id = fed("client_id").map_or(credentials.client_id.as_str(), |id| id.expose_secret());
                pair(id, fed("client_secret").unwrap_or(&credentials.client_secret))
            })
            .collect(),
        None => vec![pair(&credentials.client_id, &credentials.client_secret)],
    };
    Some(Asker {
        proved_uri: url.as_ref().map(proved_uri).unwrap_or_default(),
        body: credentials.body,
        reads: token_reading::is_needed(target, credentials).then(|| Box::new(credentials.clone())),
        url,
        who,
        scope: (!credentials.scopes.is_empty()).then(|| credentials.scopes.join(" ")),
        used_basic: credentials.auth == ClientAuth::Basic,
        hides_secret: matches!(
            credentials.auth,
            ClientAuth::PrivateKeyJwt | ClientAuth::ClientSecretJwt | ClientAuth::TlsClientAuth
        ),
        grant_type: match grant {
            Grant::Shown { shown, .. } => shown.grant_type(),
            _ => "client_credentials",
        },
        params: params(credentials),
        own: OwnParams::of(credentials, grant, keys),
        refreshes: matches!(grant, Grant::RefreshToken { .. }),
        initial: match grant {
            Grant::RefreshToken { initial: Some(text), .. } => Some(text.expose_secret().to_owned()),
            _ => None,
        },
    })
}

/// The parameters of a group's token requests, where they are the same in each.
fn params(credentials: &ClientCredentials) -> Vec<(String, String)> {
    let text = |template: &Template| template.render(|_| None);
    credentials.params.iter().map(|(name, template)| (name.clone(), text(template))).collect()
}

/// Whether the target finds a token where a group puts it.
fn carries_token(token_in: &TokenIn, target: &TargetRules) -> bool {
    let looks_in = |place| target.accepts_token_in.contains(&place);
    match token_in {
        TokenIn::Header => looks_in(TokenPlace::Header),
        TokenIn::Query(name) => looks_in(TokenPlace::Query) && *name == target.query_parameter,
        TokenIn::Subprotocol(prefix) => looks_in(TokenPlace::Subprotocol) && prefix == "bearer.",
        TokenIn::FirstMessage(_) | TokenIn::Nowhere => false,
    }
}
