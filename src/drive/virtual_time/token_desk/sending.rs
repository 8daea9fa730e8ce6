//! Token requests on their way: what they show, what they take, what they come to.
//!
//! In: a request that is to go out. Out: its arrival, what the token endpoint reads in it, whether it goes out anew.

use crate::clock::Moment;
use crate::drive::network::{ShownTo, tls_code};
use crate::drive::virtual_time::network::{Fate, Opening, RoundTrip};
use crate::drive::virtual_time::request::Stage;
use crate::drive::virtual_time::slab::Key;
use crate::drive::virtual_time::token_answer::TokenSays;
use crate::drive::virtual_time::token_ask::Shows;
use crate::drive::virtual_time::transit::Transit;
use crate::drive::virtual_time::wallet::Wallet;
use crate::lifecycle::ConnectFailure;
use crate::sample::{Request, RequestAnswer, RequestEnd};
use crate::scenario::keys::TimeStage;
use crate::service::handle::Credential;
use crate::service::holder::Holder;
use crate::service::token::TokenRequest;

use super::TokenDesk;

impl TokenDesk {
    /// A client signs its token.
    pub(super) fn mint(&mut self, transit: &mut Transit, key: Key, number: u32) {
        let group = &self.groups[self.group_of(number)];
        let Some(minter) = &group.minter else { return };
        let (now, timeout) = (transit.now(), group.timeout());
        let at = self.minted.filled(number, group.rules.first, now);
        let says = self.minted.mint(minter, at, group.writing.is_some());
        let done = now + transit.network.signing(minter.slow_signatures());
        if let Some(ask) = self.asks.get_mut(key) {
            (ask.requested, ask.sent) = (now, now);
            ask.says = if done <= now + timeout { says } else { TokenSays::NOTHING };
        }
        transit.requests.set_deadline(key, now + timeout);
        transit.requests.go_on_at(&mut transit.queue, key, Stage::Returning, done);
    }

    pub(super) fn send(&mut self, transit: &mut Transit, key: Key, number: u32, has_connection: bool) {
        let index = self.group_of(number);
        let group = &self.groups[index];
        let timeout = group.timeout();
        let held = match &self.tokens[index].shared {
            Some(shared) => shared.refresh(),
            None => self.wallets.get(number).and_then(Wallet::refresh_token),
        };
        let shows = Shows::of(group.asker.as_ref(), held);
        transit.requests.set_deadline(key, transit.queue.now() + timeout);
        if let Some(ask) = self.asks.get_mut(key) {
            ask.requested = transit.now();
            ask.has_connection = has_connection;
            ask.shows = shows;
        }
        self.travel(transit, key, number);
    }

    /// A token request goes out, over a connection of its own where it has one.
    fn travel(&mut self, transit: &mut Transit, key: Key, number: u32) {
        let group = &self.groups[self.group_of(number)];
        let mut at = transit.now();
        if let Some(ask) = self.asks.get_mut(key) {
            // Unless something is said, it is given up in the end.
            (ask.sent, ask.says) = (at, TokenSays::NOTHING);
            let signatures =
                group.asker.as_ref().map(|asker| asker.slow_signatures(ask.shows != Shows::None));
            let proves = group.dpop.is_some();
            at = at + transit.network.signing(signatures.unwrap_or_default() + u32::from(proves));
        }
        self.prove(key, number, transit.now());
        let group = &self.groups[self.group_of(number)];
        if group.is_fresh {
            let Opening { at: opened, failure, .. } =
                transit.network.open_connection(at, &group.connect, group.is_secure);
            if let Some(failure) = failure {
                return self.fail_to_connect(transit, key, opened, &failure);
            }
            at = opened;
        }
        let RoundTrip { back, fate } = transit.network.round_trip(at, TimeStage::Token);
        transit.requests.set_back(key, back);
        if let Some(failure) = group.certified[1].failure() {
            return self.fail_to_connect(transit, key, at + 2 * back, &failure);
        }
        match fate {
            Fate::Swallowed => transit.requests.hang(&mut transit.queue, key),
            Fate::Reset(at) => self.fail_at(transit, key, at, RequestAnswer::ConnectionBroken),
            Fate::Arrives(at) => transit.requests.go_on_at(&mut transit.queue, key, Stage::Arriving, at),
        }
    }

    /// A request shows that its client holds the key to which its token is to be bound.
    fn prove(&mut self, key: Key, number: u32, now: Moment) {
        let group = &self.groups[self.group_of(number)];
        let (Some(dpop), Some(asker)) = (&group.dpop, &group.asker) else { return };
        let unix_us = self.minted.filled(number, group.rules.first, now).unix_us;
        let (prover, url) = (dpop.prover(number), asker.url.as_ref());
        let proof = prover.zip(url).and_then(|(prover, url)| {
            prover.prove(ShownTo::TokenEndpoint, ("POST", url), (number, unix_us), None)
        });
        self.proofs.insert(key, proof.unwrap_or_default().into());
    }

    /// The answer to a request names the nonce that the next proofs are to have.
    pub(in crate::drive::virtual_time) fn note_nonce(&mut self, key: Key, nonce: Option<String>) {
        if let Some(nonce) = nonce {
            self.nonces.insert(key, nonce.into());
        }
    }

    /// The answer to a token request has come. Answers whether it wants a nonce in the proof: then it goes out anew, once.
    pub(in crate::drive::virtual_time) fn asks_with_nonce(
        &mut self,
        transit: &mut Transit,
        key: Key,
        number: u32,
    ) -> bool {
        let Some(dpop) = &self.groups[self.group_of(number)].dpop else { return false };
        if let (Some(nonce), Some(prover)) = (self.nonces.remove(key), dpop.prover(number)) {
            prover.keep_nonce(ShownTo::TokenEndpoint, Some(&nonce));
        }
        let Some(ask) = self.asks.get_mut(key) else { return false };
        if !ask.says.wants_nonce() || std::mem::replace(&mut ask.has_nonce, true) {
            return false;
        }
        self.travel(transit, key, number);
        true
    }

    /// A request comes to nothing at `at`, for this reason, unless it is given up before.
    fn fail_at(&mut self, transit: &mut Transit, key: Key, at: Moment, why: RequestAnswer) {
        self.fail_named(transit, key, at, (why, None));
    }

    /// The same, where its connection failed so.
    fn fail_to_connect(&mut self, transit: &mut Transit, key: Key, at: Moment, failure: &ConnectFailure) {
        let code = match failure {
            ConnectFailure::Tls(Some(reason)) => tls_code(reason),
            _ => None,
        };
        self.fail_named(transit, key, at, (failure.answer(), code));
    }

    fn fail_named(
        &mut self,
        transit: &mut Transit,
        key: Key,
        at: Moment,
        (why, code): (RequestAnswer, Option<&'static str>),
    ) {
        if transit.requests.get(key).is_some_and(|request| at <= request.deadline()) {
            self.say(key, TokenSays::no_answer(why, code));
        }
        transit.requests.fail_at(&mut transit.queue, key, at);
    }

    /// How a request ends now, with what it was answered.
    pub(in crate::drive::virtual_time) fn end_of(&self, transit: &Transit, key: Key) -> Option<RequestEnd> {
        let ask = self.asks.get(key)?;
        let is_minted = transit.requests.get(key).is_some_and(|request| self.mints(request.client()));
        let request = match ask.shows {
            _ if is_minted => Request::Mint,
            Shows::None => Request::Credentials,
            _ => Request::Refresh,
        };
        let end = ask.says.end_of(request, transit.now().since(ask.sent));
        Some(RequestEnd { status: end.status.filter(|_| !is_minted), ..end })
    }

    /// What the token endpoint reads in a request of client `number`, and the refresh token that it shows.
    pub(in crate::drive::virtual_time) fn shown(
        &mut self,
        key: Key,
        number: u32,
    ) -> Option<(TokenRequest<'_>, Option<Credential<'_>>)> {
        let group = &self.groups[self.group_of(number)];
        let asker = group.asker.as_ref()?;
        let ask = self.asks.get(key)?;
        let refresh = match ask.shows {
            Shows::None => None,
            Shows::Held(handle) => Some(Credential::Token(handle)),
            Shows::Initial => asker.initial.as_deref().map(Credential::Text),
        };
        let at = self.minted.filled(number, group.rules.first, ask.sent);
        self.params = asker.own_params(at, refresh.is_some());
        let holder = Holder {
            proof: self.proofs.get(key).map(|proof| &**proof),
            method: "POST",
            uri: &asker.proved_uri,
            certificate: group.certified[1].taken(),
            is_dpop: false,
        };
        Some((asker.request(at.index, refresh.is_some(), self.params.as_deref(), holder), refresh))
    }

    /// Whether a client signs its own tokens.
    pub(super) fn mints(&self, number: u32) -> bool {
        self.groups[self.group_of(number)].minter.is_some()
    }

    /// The answer to a token request leaves. Answers whether it will find its client.
    pub(in crate::drive::virtual_time) fn answer(
        &mut self,
        transit: &mut Transit,
        key: Key,
        says: TokenSays,
    ) -> bool {
        let finds = transit.requests.answer_leaves(&mut transit.queue, key);
        self.say(key, if finds { says } else { TokenSays::NOTHING });
        finds
    }

    pub(super) fn say(&mut self, key: Key, says: TokenSays) {
        if let Some(ask) = self.asks.get_mut(key) {
            ask.says = says;
        }
    }

    /// The answer to a token request has come. Answers whether the refresh token that it showed was refused: then it goes out anew, with the
    /// client's own credentials.
    pub(in crate::drive::virtual_time) fn asks_without_refresh(
        &mut self,
        transit: &mut Transit,
        key: Key,
        number: u32,
    ) -> bool {
        let Some(ask) = self.asks.get_mut(key) else { return false };
        if !ask.says.is_invalid_grant() || ask.shows == Shows::None {
            return false;
        }
        (ask.shows, ask.has_nonce) = (Shows::None, false);
        self.travel(transit, key, number);
        true
    }
}
