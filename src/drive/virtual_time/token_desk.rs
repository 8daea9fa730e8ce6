//! How clients come by tokens: by a request of their own, or by their group's.
//!
//! In: what a client needs, what its request came to. Out: a token and what is known of it, or why there is none. At most one request of a
//! group with one token is under way, where the group has it so; the others wait for its answer. Their way there and back is in `sending`.

mod sending;

use std::sync::Arc;

use crate::clock::Moment;
use crate::drive::network::Token;
use crate::lifecycle::{Event, TokenFacts};
use crate::plan::first_number;
use crate::scenario::keys::Scenario;
use crate::service::capacity::Endpoint;
use crate::service::handle::TokenHandle;

use super::group::Group;
use super::minted_book::MintedBook;
use super::pages::Pages;
use super::request::{Stage, Unheard};
use super::shared_token::{Brought, Share};
use super::slab::{Beside, Key};
use super::token_answer::{Fetch, HandedOver, Need, Settled, TokenSays};
use super::token_ask::{GroupTokens, Purpose, Shows};
use super::transit::Transit;
use super::wallet::Wallet;
use super::written::token_of;

/// A token request.
#[derive(Debug)]
struct Ask {
    need: Need,
    /// When it was sent.
    requested: Moment,
    /// When it went out last: with the refresh token, and once more where that was refused.
    sent: Moment,
    has_connection: bool,
    /// Whether it fetches the group's token.
    leads: bool,
    purpose: Purpose,
    shows: Shows,
    /// Whether it went out anew for a nonce.
    has_nonce: bool,
    says: TokenSays,
}

/// The clients' side of the token endpoint.
#[derive(Debug)]
pub(super) struct TokenDesk {
    groups: Arc<[Group]>,
    tokens: Vec<GroupTokens>,
    /// The first client of each group.
    firsts: Vec<u32>,
    wallets: Pages<Wallet>,
    /// By their requests.
    asks: Beside<Box<Ask>>,
    /// What requests prove, and the nonces in their answers.
    proofs: Beside<Box<str>>,
    nonces: Beside<Box<str>>,
    /// What a handshake with a token brings.
    pub(super) minted: MintedBook,
    /// The parameters of the request that is looked at.
    params: Option<Vec<(String, String)>>,
}

impl TokenDesk {
    pub(super) fn new(scenario: &Scenario, groups: Arc<[Group]>, minted: MintedBook) -> Self {
        let rules = scenario.groups.iter().map(|group| group.token.as_ref());
        Self {
            firsts: (0..scenario.groups.len()).map(|index| first_number(scenario, index)).collect(),
            tokens: rules.map(GroupTokens::of).collect(),
            wallets: Pages::new(scenario.clients()),
            groups,
            asks: Beside::default(),
            proofs: Beside::default(),
            nonces: Beside::default(),
            minted,
            params: None,
        }
    }

    fn wallet(&mut self, number: u32) -> &mut Wallet {
        self.wallets.get_or_insert_with(number, Wallet::empty)
    }

    fn group_of(&self, number: u32) -> usize {
        self.firsts.partition_point(|first| *first <= number) - 1
    }

    /// The token that a client holds.
    pub(super) fn token_of(&self, number: u32) -> Option<TokenHandle> {
        self.wallets.get(number)?.token()
    }

    /// The text of the token that a client shows.
    pub(super) fn text_of(&self, number: u32) -> Option<Token> {
        if let Some(fixed) = &self.groups[self.group_of(number)].fixed {
            return Some(token_of(fixed.clone()));
        }
        self.token_of(number).map(|token| token_of(self.minted.text_of(token)))
    }

    /// A client needs a token before it connects.
    pub(super) fn fetch(&mut self, transit: &mut Transit, number: u32, need: Need) -> Fetch {
        // A refresh that was under way when the session ended is not asked for twice.
        let refresh = self.take_refresh_key(number);
        let Some(ask) = self.asks.get_mut(refresh) else {
            return self.begin(transit, number, need, Purpose::Attempt);
        };
        (ask.purpose, ask.need) = (Purpose::RefreshThenAttempt, need);
        if transit.requests.at_stage(refresh, Stage::Here).is_none() {
            return Fetch::Waits(refresh);
        }
        self.take_or_ask_anew(transit, refresh, number)
    }

    /// The refresh of a client that is under way, or was not taken: it is its client's no more.
    pub(super) fn take_refresh_key(&mut self, number: u32) -> Key {
        self.wallet(number).take_refresh()
    }

    /// A client is done. Answers with the refresh that was under way.
    pub(super) fn close(&mut self, number: u32) -> Key {
        self.wallets.end(number).map_or(Key::NONE, |wallet| wallet.refresh())
    }

    /// A client needs another token for the session that it has.
    pub(super) fn begin_refresh(&mut self, transit: &mut Transit, number: u32, need: Need) {
        if let Fetch::Told(event) = self.begin(transit, number, need, Purpose::Refresh) {
            // It is there at once, and its client is told when it holds.
            let token = self.wallet(number).token();
            let says = match event {
                Event::TokenReady { facts, .. } => TokenSays::Shared { facts, token },
                _ => TokenSays::NOTHING,
            };
            self.keep(transit, number, says);
        }
    }

    /// Keeps what is there for a refresh until its client takes it.
    fn keep(&mut self, transit: &mut Transit, number: u32, says: TokenSays) {
        let need = Need { not_before: Moment::ZERO, valid_until: Moment::ZERO };
        let ask = Ask { says, ..Ask::new(need, transit.now(), Purpose::Refresh) };
        let key = transit.requests.begin(number, Endpoint::Token, Stage::Here);
        self.asks.insert(key, Box::new(ask));
        self.wallet(number).wait_for(key);
    }

    fn begin(&mut self, transit: &mut Transit, number: u32, need: Need, purpose: Purpose) -> Fetch {
        let group = &self.groups[self.group_of(number)];
        if group.fixed.is_some() {
            let (requested, received) = (transit.now(), transit.now());
            let facts = TokenFacts::new(requested, received, Moment::NEVER);
            return Fetch::Told(Event::TokenReady { facts, fetched: false });
        }
        if group.asker.is_none() && group.minter.is_none() {
            return Fetch::Told(TokenSays::NOTHING.failed());
        }
        let key = transit.requests.begin(number, Endpoint::Token, Stage::Arriving);
        self.asks.insert(key, Box::new(Ask::new(need, transit.now(), purpose)));
        if purpose == Purpose::Refresh {
            self.wallet(number).wait_for(key);
        }
        match self.ask_group(transit, key, number) {
            Some(event) => Fetch::Told(event),
            None => Fetch::Waits(key),
        }
    }

    /// Puts a request before its group: it takes what is there, waits, or goes its way.
    fn ask_group(&mut self, transit: &mut Transit, key: Key, number: u32) -> Option<Event> {
        let group = self.group_of(number);
        let ask = self.asks.get_mut(key)?;
        if let Some(shared) = &mut self.tokens[group].shared {
            match shared.request(key, ask.need.not_before, ask.need.valid_until) {
                Share::Use(facts, token) => {
                    self.forget(transit, key, number);
                    self.wallet(number).put_in(token);
                    return Some(Event::TokenReady { facts, fetched: false });
                }
                Share::Wait => {
                    transit.requests.wait_at(key, Stage::Shared);
                    return None;
                }
                Share::Lead => ask.leads = true,
            }
        }
        if self.groups[group].minter.is_some() {
            self.mint(transit, key, number);
            return None;
        }
        let pool = self.tokens[group].pool.as_mut();
        match pool.map(|pool| pool.take(key)) {
            Some(false) => transit.requests.wait_at(key, Stage::InPool),
            taken => self.send(transit, key, number, taken.is_some()),
        }
        None
    }

    /// A token request of client `number` has ended: its connection is free, and its group knows.
    pub(super) fn settle(&mut self, transit: &mut Transit, key: Key, number: u32) -> Settled {
        let group = self.group_of(number);
        let hands_on = self.release_connection(transit, key, group);
        let Some(ask) = self.asks.get(key) else { return Settled { hands_on, ..Settled::default() } };
        if !ask.leads {
            return Settled { hands_on, ..Settled::default() };
        }
        let (says, requested) = (ask.says, ask.requested);
        let brought = match says {
            TokenSays::Token { token, life, refresh, lacks_scope } => {
                let facts = self.groups[group].facts(requested, transit.now(), life, lacks_scope);
                Some(Brought { facts, token, refresh })
            }
            _ => None,
        };
        self.settle_group(group, hands_on, brought, says)
    }

    /// The request for a group's token has ended.
    fn settle_group(
        &mut self,
        group: usize,
        hands_on: bool,
        brought: Option<Brought>,
        says: TokenSays,
    ) -> Settled {
        let waiting = self.tokens[group].shared.as_mut().map(|shared| shared.settle(brought));
        let failure = brought.is_none().then_some(says);
        Settled { hands_on, waiting: waiting.unwrap_or_default(), failure }
    }

    /// Gives the connection of a request to the next that waits for one. Answers whether there was one.
    fn release_connection(&mut self, transit: &mut Transit, key: Key, group: usize) -> bool {
        let Some(ask) = self.asks.get_mut(key) else { return false };
        if !std::mem::take(&mut ask.has_connection) {
            return false;
        }
        let requests = &transit.requests;
        let waits = |next| requests.at_stage(next, Stage::InPool).is_some();
        let next = self.tokens[group].pool.as_mut().and_then(|pool| pool.release(waits));
        let Some((next, request)) = next.and_then(|next| Some((next, transit.requests.get(next)?))) else {
            return false;
        };
        self.send(transit, next, request.client(), true);
        true
    }

    /// What the group's request came to, for one that waits for it: they take what came, or one of them asks anew. `None`: it waits on, or is
    /// gone.
    pub(super) fn answer_waiting(
        &mut self,
        transit: &mut Transit,
        key: Key,
        failure: Option<TokenSays>,
    ) -> Option<HandedOver> {
        let number = transit.requests.at_stage(key, Stage::Shared)?.client();
        if let Some(says) = failure {
            self.say(key, says);
            return self.hand_over(transit, key, number);
        }
        let is_refresh = self.asks.get(key)?.purpose == Purpose::Refresh;
        match self.ask_group(transit, key, number)? {
            Event::TokenReady { facts, .. } if is_refresh => {
                // Its client takes it when it holds.
                let token = self.wallet(number).token();
                self.keep(transit, number, TokenSays::Shared { facts, token });
                Some(HandedOver::Refreshed(number))
            }
            event => Some(HandedOver::Told(number, event)),
        }
    }

    /// Gives what a request came to, to its client.
    pub(super) fn hand_over(&mut self, transit: &mut Transit, key: Key, number: u32) -> Option<HandedOver> {
        if self.asks.get(key)?.purpose == Purpose::Refresh {
            transit.requests.wait_at(key, Stage::Here);
            return Some(HandedOver::Refreshed(number));
        }
        Some(match self.take_or_ask_anew(transit, key, number) {
            Fetch::Told(event) => HandedOver::Told(number, event),
            Fetch::Waits(key) => HandedOver::Waits(number, key),
        })
    }

    /// What a request came to; a refresh that an attempt came to need, and that failed, is followed by a request of the attempt's own.
    fn take_or_ask_anew(&mut self, transit: &mut Transit, key: Key, number: u32) -> Fetch {
        let Some(ask) = self.asks.get(key) else { return Fetch::Told(TokenSays::NOTHING.failed()) };
        let (need, purpose) = (ask.need, ask.purpose);
        let failed = matches!(ask.says, TokenSays::Failed { .. });
        if failed && purpose == Purpose::RefreshThenAttempt {
            self.forget(transit, key, number);
            return self.begin(transit, number, need, Purpose::Attempt);
        }
        Fetch::Told(self.take(transit, key, number).unwrap_or_else(|| TokenSays::NOTHING.failed()))
    }

    /// The refresh that has come for a client, if one has.
    pub(super) fn take_refresh(&mut self, transit: &mut Transit, number: u32) -> Option<Event> {
        let key = self.wallet(number).refresh();
        transit.requests.at_stage(key, Stage::Here)?;
        self.take(transit, key, number)
    }

    /// What a request came to, as its client is told; the request is gone.
    fn take(&mut self, transit: &mut Transit, key: Key, number: u32) -> Option<Event> {
        let ask = self.asks.get(key)?;
        let (says, requested) = (ask.says, ask.requested);
        self.forget(transit, key, number);
        let group = self.group_of(number);
        Some(match says {
            TokenSays::Token { token, life, refresh, lacks_scope } => {
                let facts = self.groups[group].facts(requested, transit.now(), life, lacks_scope);
                let is_shared = self.tokens[group].shared.is_some();
                let fetched = self.groups[group].minter.is_none();
                let wallet = self.wallet(number);
                let old = wallet.put_in(Some(token));
                if let Some(refresh) = refresh.filter(|_| !is_shared) {
                    wallet.put_in_refresh_token(refresh);
                }
                if let Some(old) = old.filter(|_| !is_shared && !fetched) {
                    self.minted.put_down(old);
                }
                Event::TokenReady { facts, fetched }
            }
            TokenSays::Shared { facts, token } => {
                self.wallet(number).put_in(token);
                Event::TokenReady { facts, fetched: false }
            }
            failed => failed.failed(),
        })
    }

    /// A client is cut off while it waits for a token. Answers with what happens to others, and what the client will not hear.
    pub(super) fn cancel(
        &mut self,
        transit: &mut Transit,
        key: Key,
        number: u32,
    ) -> (Settled, Option<Unheard>) {
        let group = self.group_of(number);
        let mints = self.mints(number);
        let has_come = transit
            .requests
            .get(key)
            .is_some_and(|request| matches!(request.stage(), Stage::Returning | Stage::Here));
        let Some(ask) = self.asks.get_mut(key) else { return (Settled::default(), None) };
        let leads = std::mem::take(&mut ask.leads);
        let unheard = (has_come && ask.says.is_token() && !mints).then_some(Unheard::Token);
        let hands_on = self.release_connection(transit, key, group);
        self.forget(transit, key, number);
        if leads {
            return (self.settle_group(group, hands_on, None, TokenSays::NOTHING), unheard);
        }
        (Settled { hands_on, ..Settled::default() }, unheard)
    }

    fn forget(&mut self, transit: &mut Transit, key: Key, number: u32) {
        transit.requests.remove(key);
        self.asks.remove(key);
        self.proofs.remove(key);
        self.nonces.remove(key);
        let wallet = self.wallet(number);
        if wallet.refresh() == key {
            wallet.take_refresh();
        }
    }

    /// Groups with more requests for their one token under way than one, and how many.
    pub(super) fn too_many_in_flight(&self) -> impl Iterator<Item = (usize, u32)> {
        self.tokens
            .iter()
            .enumerate()
            .filter_map(|(group, tokens)| Some((group, tokens.shared.as_ref()?.too_many()?)))
    }
}

impl Ask {
    const fn new(need: Need, now: Moment, purpose: Purpose) -> Self {
        let (shows, says) = (Shows::None, TokenSays::NOTHING);
        Self {
            need,
            requested: now,
            sent: now,
            has_connection: false,
            leads: false,
            purpose,
            shows,
            has_nonce: false,
            says,
        }
    }
}
