//! Getting a token in virtual time: by a client's own request, or the group's.
//!
//! In: what a client needs. Out: a token and what is known of it, or why there is none. At most one request of a group with one token is under
//! way, where the group has it so; the others wait for its answer.

use std::time::Duration;

use crate::clock::Moment;
use crate::lifecycle::{Event, TokenFacts, TokenFailure, TokenVerdict};
use crate::sample::{Counter, Sample};
use crate::scenario::keys::{FaultKind, NetworkFaultKind, Skew, TimeStage};
use crate::service::faults::skewed;
use crate::service::handle::{Credential, HandleAnswer, TokenHandle};
use crate::service::rules::HandshakeRefusal;
use crate::service::token::{TokenError, TokenRefusal};

use super::client::Doing;
use super::connect::Way;
use super::group::NoToken;
use super::refusal::in_whole_seconds;
use super::request::{Request, Stage, What};
use super::slab::Key;
use super::world::World;

/// A token request.
#[derive(Debug)]
pub(super) struct TokenAsk {
    /// Bounds of what will do.
    not_before: Moment,
    valid_until: Moment,
    /// When it was sent.
    requested: Moment,
    /// Whether it has a connection of its own.
    pub(super) is_fresh: bool,
    has_slot: bool,
    /// Whether it fetches the group's token.
    leads: bool,
    /// Whether it fetches in its client's session.
    is_refresh: bool,
    /// Whether it was begun so, and an attempt came to need it.
    was_refresh: bool,
    shows: Shows,
    says: TokenSays,
}

/// What refresh token a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    None,
    /// The one that the scenario gives.
    Initial,
    Held(TokenHandle),
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TokenSays {
    Token {
        token: TokenHandle,
        believed: Duration,
        refresh: Option<TokenHandle>,
    },
    /// Another client's request brought the group's token.
    Shared {
        facts: TokenFacts,
        token: Option<TokenHandle>,
    },
    /// An OAuth error; whether it is `invalid_grant`.
    Refused {
        is_invalid_grant: bool,
    },
    /// No answer, or none that can be understood.
    Error {
        retry_after: Option<Duration>,
    },
}

impl TokenSays {
    const NOTHING: Self = Self::Error { retry_after: None };

    /// A refusal that is no OAuth error.
    pub(super) fn refused_over_http(refusal: HandshakeRefusal) -> Self {
        Self::Error { retry_after: refusal.retry_after.map(in_whole_seconds) }
    }

    const fn no_token(self) -> NoToken {
        match self {
            Self::Refused { .. } => NoToken { failure: TokenFailure::Refused, retry_after: None },
            Self::Error { retry_after } => NoToken { failure: TokenFailure::Error, retry_after },
            _ => NoToken { failure: TokenFailure::Error, retry_after: None },
        }
    }
}

impl World {
    /// A client needs a token before it connects.
    pub(super) fn fetch_token(
        &mut self,
        number: u32,
        not_before: Moment,
        valid_until: Moment,
    ) -> Option<Event> {
        self.slot(number).doing = Doing::Fetching;
        // A refresh that was under way when the session ended is not asked for twice.
        let refresh = std::mem::replace(&mut self.slot(number).refresh, Key::NONE);
        if let Some(request) = self.requests.get_mut(refresh)
            && let What::Token(ask) = &mut request.what
        {
            (ask.is_refresh, ask.was_refresh) = (false, true);
            (ask.not_before, ask.valid_until) = (not_before, valid_until);
            let is_here = request.stage == Stage::Here;
            self.slot(number).request = refresh;
            if !is_here {
                return None;
            }
            return self.take_or_ask_anew(refresh);
        }
        self.begin_fetch(number, not_before, valid_until, false)
    }

    pub(super) fn start_refresh(&mut self, number: u32, not_before: Moment, valid_until: Moment) {
        let old = std::mem::replace(&mut self.slot(number).refresh, Key::NONE);
        self.cancel(old);
        if let Some(event) = self.begin_fetch(number, not_before, valid_until, true) {
            // It is there at once, and its client is told when it holds.
            let token = self.slot(number).token;
            let says = match event {
                Event::TokenReady { facts, .. } => TokenSays::Shared { facts, token },
                _ => TokenSays::NOTHING,
            };
            let ask = TokenAsk { says, ..self.new_ask(number, not_before, valid_until, true) };
            let mut request = Request::new(number, What::Token(Box::new(ask)));
            request.stage = Stage::Here;
            let key = self.requests.insert(request);
            self.slot(number).refresh = key;
        }
    }

    fn new_ask(&self, number: u32, not_before: Moment, valid_until: Moment, is_refresh: bool) -> TokenAsk {
        TokenAsk {
            not_before,
            valid_until,
            requested: self.now,
            is_fresh: self.groups[self.group_of(number)].is_fresh,
            has_slot: false,
            leads: false,
            is_refresh,
            was_refresh: false,
            shows: Shows::None,
            says: TokenSays::NOTHING,
        }
    }

    /// `Some`: the token is there at once, or cannot be had.
    fn begin_fetch(
        &mut self,
        number: u32,
        not_before: Moment,
        valid_until: Moment,
        is_refresh: bool,
    ) -> Option<Event> {
        let group = self.group_of(number);
        if self.groups[group].fixed.is_some() {
            let facts = TokenFacts { requested: self.now, received: self.now, expires: Moment::NEVER };
            return Some(Event::TokenReady { facts, fetched: false });
        }
        if self.groups[group].asker.is_none() {
            return Some(Event::TokenFailed { failure: TokenFailure::Error, retry_after: None });
        }
        let ask = self.new_ask(number, not_before, valid_until, is_refresh);
        let key = self.requests.insert(Request::new(number, What::Token(Box::new(ask))));
        let slot = self.slot(number);
        if is_refresh {
            slot.refresh = key;
        } else {
            slot.request = key;
        }
        self.ask_group(key)
    }

    /// Puts a request before its group: it takes what is there, waits, or goes its way.
    fn ask_group(&mut self, key: Key) -> Option<Event> {
        let (number, not_before, valid_until) = self.bounds(key)?;
        let group = self.group_of(number);
        if let Some(shared) = &mut self.groups[group].shared {
            let token = shared.token;
            match shared.rules.request(not_before, valid_until) {
                TokenVerdict::Use(facts) => {
                    self.forget_request(key);
                    self.slot(number).token = token;
                    return Some(Event::TokenReady { facts, fetched: false });
                }
                TokenVerdict::Wait if shared.is_single_flight => {
                    shared.waiting.push(key);
                    self.at_stage(key, Stage::Shared);
                    return None;
                }
                TokenVerdict::Wait | TokenVerdict::Lead => {
                    shared.in_flight += 1;
                    let (in_flight, is_single) = (shared.in_flight, shared.is_single_flight);
                    if let Some(audit) = &mut self.audit {
                        audit.leads(group, in_flight, is_single);
                    }
                    if let Some(ask) = self.token_ask(key) {
                        ask.leads = true;
                    }
                }
            }
        }
        self.wait_for_slot(key);
        None
    }

    fn wait_for_slot(&mut self, key: Key) {
        let Some((number, ..)) = self.bounds(key) else { return };
        let group = self.group_of(number);
        match &mut self.groups[group].pool {
            Some(pool) if pool.free == 0 => {
                pool.waiting.push_back(key);
                self.at_stage(key, Stage::InPool);
            }
            pool => {
                let has_slot = pool.as_mut().map(|pool| pool.free -= 1).is_some();
                self.send_token_request(key, has_slot);
            }
        }
    }

    fn send_token_request(&mut self, key: Key, has_slot: bool) {
        let Some((number, ..)) = self.bounds(key) else { return };
        let (now, group) = (self.now, self.group_of(number));
        let timeout = self.groups[group].rules.token.as_ref().map_or(Duration::ZERO, |token| token.timeout);
        let held = match &self.groups[group].shared {
            Some(shared) => shared.refresh,
            None => self.clients[number as usize].refresh_token.as_deref().copied(),
        };
        let shows = match self.groups[group].asker.as_ref().filter(|asker| asker.refreshes) {
            None => Shows::None,
            Some(asker) => match held {
                Some(held) => Shows::Held(held),
                None if asker.initial.is_some() => Shows::Initial,
                None => Shows::None,
            },
        };
        if let Some(request) = self.requests.get_mut(key) {
            request.deadline = now + timeout;
        }
        if let Some(ask) = self.token_ask(key) {
            ask.requested = now;
            ask.has_slot = has_slot;
            ask.shows = shows;
        }
        self.travel(key);
    }

    /// A token request goes out, over a connection of its own where it has one.
    fn travel(&mut self, key: Key) {
        let Some((number, ..)) = self.bounds(key) else { return };
        let group = self.group_of(number);
        let mut at = self.now;
        if self.groups[group].is_fresh {
            let Way { at: opened, failure, .. } = self.open_way(group);
            if failure.is_some() {
                return self.fail_at(key, opened);
            }
            at = opened;
        }
        let both_ways = self.times.draw(TimeStage::Token);
        let there = both_ways - both_ways / 2;
        if let Some(request) = self.requests.get_mut(key) {
            request.back = both_ways / 2;
        }
        match self.times.strike(at, TimeStage::Token) {
            Some(NetworkFaultKind::Blackhole) => self.hangs(key),
            Some(_) => self.fail_at(key, at + there),
            None => self.go_on_at(key, Stage::Arriving, at + there),
        }
    }

    pub(super) fn decide_token(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let (number, fault) = (request.client, request.fault);
        let says = match fault {
            Some(FaultKind::TokenHang) => return self.hangs(key),
            Some(FaultKind::TokenStatus(status)) => {
                TokenSays::Error { retry_after: status.retry_after.map(in_whole_seconds) }
            }
            Some(FaultKind::TokenHtml | FaultKind::TokenTruncated) => TokenSays::NOTHING,
            _ => self.answer_token_request(key, number, fault),
        };
        self.token_answer(key, says);
    }

    fn answer_token_request(&mut self, key: Key, number: u32, fault: Option<FaultKind>) -> TokenSays {
        let shows = self.token_ask(key).map_or(Shows::None, |ask| ask.shows);
        let group = &self.groups[self.group_of(number)];
        let Some(asker) = &group.asker else { return TokenSays::NOTHING };
        let refresh = match shows {
            Shows::None => None,
            Shows::Held(handle) => Some(Credential::Token(handle)),
            Shows::Initial => asker.initial.as_deref().map(Credential::Text),
        };
        let request = asker.request(number - group.rules.first, refresh.is_some());
        let answer = self.target.handle_request(self.now, request, refresh);
        self.tell_hold_ends();
        match answer {
            HandleAnswer::Issued { token, expires_in, refresh } => {
                let believed = match fault {
                    Some(FaultKind::TokenClockSkew(skew)) => skewed(expires_in, skew),
                    _ => expires_in,
                };
                TokenSays::Token { token, believed, refresh }
            }
            HandleAnswer::Refused(refusal) => self.read_refusal(refusal),
            HandleAnswer::Limited(refusal) => TokenSays::refused_over_http(refusal),
        }
    }

    /// What a client makes of an OAuth error, which may be written in the service's own way.
    fn read_refusal(&self, refusal: TokenRefusal) -> TokenSays {
        let said = match &self.rules.token_error_body {
            None => Some(refusal.error.name().to_owned()),
            Some(template) => {
                let text = template.render(|name| match name {
                    "error" => Some(refusal.error.name().to_owned()),
                    "message" => Some(refusal.description.to_owned()),
                    _ => Some(String::new()),
                });
                let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
                json.and_then(|json| json.get("error")?.as_str().map(str::to_owned))
            }
        };
        match said.filter(|said| !said.is_empty()) {
            Some(said) => TokenSays::Refused { is_invalid_grant: said == TokenError::InvalidGrant.name() },
            None => TokenSays::NOTHING,
        }
    }

    /// The answer to a token request leaves.
    pub(super) fn token_answer(&mut self, key: Key, says: TokenSays) {
        if let Some(ask) = self.token_ask(key) {
            ask.says = says;
        }
        if !self.answer_leaves(key) {
            self.lost.tokens += u64::from(matches!(says, TokenSays::Token { .. }));
            if let Some(ask) = self.token_ask(key) {
                ask.says = TokenSays::NOTHING;
            }
        }
    }

    /// The answer to a token request has come.
    pub(super) fn token_is_here(&mut self, key: Key) {
        let Some((number, ..)) = self.bounds(key) else { return };
        let Some(ask) = self.token_ask(key) else { return };
        if ask.says == (TokenSays::Refused { is_invalid_grant: true }) && ask.shows != Shows::None {
            // Back to the credentials.
            ask.shows = Shows::None;
            let group = self.groups[self.group_of(number)].id;
            self.tell(group, Sample::Count(Counter::RefreshTokensRefused, 1));
            return self.travel(key);
        }
        self.settle(key);
    }

    /// No answer came to a token request.
    pub(super) fn no_token(&mut self, key: Key) {
        if let Some(ask) = self.token_ask(key) {
            ask.says = TokenSays::NOTHING;
        }
        self.settle(key);
    }

    /// A token request of this client's own has ended: its connection is free, the group knows, and so does the client.
    fn settle(&mut self, key: Key) {
        let now = self.now;
        let Some((number, ..)) = self.bounds(key) else { return };
        let group = self.group_of(number);
        self.release_slot(key, group);
        let Some(ask) = self.token_ask(key) else { return };
        let (says, requested, leads) = (ask.says, ask.requested, ask.leads);
        if let TokenSays::Token { believed, .. } = says {
            let facts = self.facts(group, requested, now, believed);
            if leads {
                self.settle_group(group, Some((facts, says)), says);
            }
        } else if leads {
            self.settle_group(group, None, says);
        }
        self.hand_over(key);
    }

    fn facts(&self, group: usize, requested: Moment, received: Moment, life: Duration) -> TokenFacts {
        let skew = self.groups[group].rules.token.as_ref().and_then(|token| token.clock_skew);
        let believed = match skew {
            None => life,
            Some(Skew::Longer(by)) => life.saturating_add(by),
            Some(Skew::Shorter(by)) => life.saturating_sub(by),
        };
        TokenFacts { requested, received, expires: received + believed }
    }

    fn release_slot(&mut self, key: Key, group: usize) {
        let Some(ask) = self.token_ask(key) else { return };
        if !std::mem::take(&mut ask.has_slot) {
            return;
        }
        let next = loop {
            let Some(pool) = &mut self.groups[group].pool else { return };
            let Some(next) = pool.waiting.pop_front() else {
                pool.free += 1;
                return;
            };
            // One that was cut off meanwhile is passed over.
            if self.requests.get(next).is_some_and(|request| request.stage == Stage::InPool) {
                break next;
            }
        };
        let id = self.groups[group].id;
        self.tell(id, Sample::Count(Counter::TokenPoolWaits, 1));
        self.send_token_request(next, true);
    }

    /// The request for a group's token has ended. Those who wait for it take what came, or one of them asks anew.
    fn settle_group(&mut self, group: usize, token: Option<(TokenFacts, TokenSays)>, says: TokenSays) {
        let Some(shared) = &mut self.groups[group].shared else { return };
        shared.in_flight = shared.in_flight.saturating_sub(1);
        shared.rules.settle(token.map(|(facts, _)| facts));
        if let Some((_, TokenSays::Token { token, refresh, .. })) = token {
            shared.token = Some(token);
            shared.refresh = refresh.or(shared.refresh);
        }
        for waiting in std::mem::take(&mut shared.waiting) {
            let Some(request) = self.requests.get(waiting).filter(|request| request.stage == Stage::Shared)
            else {
                continue;
            };
            let number = request.client;
            if token.is_none() {
                if let Some(ask) = self.token_ask(waiting) {
                    ask.says = says;
                }
                self.hand_over(waiting);
                continue;
            }
            let is_refresh = self.token_ask(waiting).is_some_and(|ask| ask.is_refresh);
            match self.ask_group(waiting) {
                Some(Event::TokenReady { facts, .. }) if is_refresh => self.keep_for_later(number, facts),
                Some(event) => self.deliver(number, event),
                None => {}
            }
        }
    }

    /// A refresh found the group's token: its client takes it when it holds.
    fn keep_for_later(&mut self, number: u32, facts: TokenFacts) {
        let says = TokenSays::Shared { facts, token: self.slot(number).token };
        let ask = TokenAsk { says, ..self.new_ask(number, Moment::ZERO, Moment::ZERO, true) };
        let mut request = Request::new(number, What::Token(Box::new(ask)));
        request.stage = Stage::Here;
        let key = self.requests.insert(request);
        self.slot(number).refresh = key;
        self.offer_refresh(number);
    }

    /// Gives what a request came to, to its client.
    fn hand_over(&mut self, key: Key) {
        let Some((number, ..)) = self.bounds(key) else { return };
        let Some(ask) = self.token_ask(key) else { return };
        if ask.is_refresh {
            self.at_stage(key, Stage::Here);
            return self.offer_refresh(number);
        }
        if let Some(event) = self.take_or_ask_anew(key) {
            self.deliver(number, event);
        }
    }

    /// What a request came to; a refresh that an attempt came to need, and that failed, is followed by a request of the attempt's own.
    fn take_or_ask_anew(&mut self, key: Key) -> Option<Event> {
        let (number, not_before, valid_until) = self.bounds(key)?;
        let ask = self.token_ask(key)?;
        let failed = matches!(ask.says, TokenSays::Refused { .. } | TokenSays::Error { .. });
        if !(failed && ask.was_refresh) {
            return self.take_here(key);
        }
        self.forget_request(key);
        self.begin_fetch(number, not_before, valid_until, false)
    }

    /// A refresh has come: a client that holds takes it at once.
    fn offer_refresh(&mut self, number: u32) {
        if self.slot(number).doing == Doing::Holding
            && let Some(event) = self.take_refresh(number)
        {
            self.deliver(number, event);
        }
    }

    /// The refresh that has come for a client, if one has.
    pub(super) fn take_refresh(&mut self, number: u32) -> Option<Event> {
        let key = self.slot(number).refresh;
        self.requests.get(key).filter(|request| request.stage == Stage::Here)?;
        self.take_here(key)
    }

    /// What a request came to, as its client is told; the request is gone.
    fn take_here(&mut self, key: Key) -> Option<Event> {
        let (number, ..) = self.bounds(key)?;
        let ask = self.token_ask(key)?;
        let (says, requested) = (ask.says, ask.requested);
        self.forget_request(key);
        let group = self.group_of(number);
        Some(match says {
            TokenSays::Token { token, believed, refresh } => {
                let facts = self.facts(group, requested, self.now, believed);
                let is_shared = self.groups[group].shared.is_some();
                let slot = self.slot(number);
                slot.token = Some(token);
                if let Some(refresh) = refresh.filter(|_| !is_shared) {
                    slot.refresh_token = Some(Box::new(refresh));
                }
                Event::TokenReady { facts, fetched: true }
            }
            TokenSays::Shared { facts, token } => {
                self.slot(number).token = token;
                Event::TokenReady { facts, fetched: false }
            }
            other => {
                let NoToken { failure, retry_after } = other.no_token();
                Event::TokenFailed { failure, retry_after }
            }
        })
    }

    /// A client is cut off while it waits for a token.
    pub(super) fn cancel_token(&mut self, key: Key) {
        let Some((number, ..)) = self.bounds(key) else { return };
        let group = self.group_of(number);
        let has_come = |request: &Request| matches!(request.stage, Stage::Returning | Stage::Here);
        let is_returning = self.requests.get(key).is_some_and(has_come);
        let Some(ask) = self.token_ask(key) else { return };
        let leads = std::mem::take(&mut ask.leads);
        if is_returning && matches!(ask.says, TokenSays::Token { .. }) {
            self.lost.tokens += 1;
        }
        self.release_slot(key, group);
        self.forget_request(key);
        if leads {
            self.settle_group(group, None, TokenSays::NOTHING);
        }
    }

    fn forget_request(&mut self, key: Key) {
        if let Some(request) = self.requests.remove(key) {
            let slot = self.slot(request.client);
            if slot.request == key {
                slot.request = Key::NONE;
            }
            if slot.refresh == key {
                slot.refresh = Key::NONE;
            }
        }
    }

    fn bounds(&self, key: Key) -> Option<(u32, Moment, Moment)> {
        let request = self.requests.get(key)?;
        match &request.what {
            What::Token(ask) => Some((request.client, ask.not_before, ask.valid_until)),
            What::Session(_) => None,
        }
    }

    fn token_ask(&mut self, key: Key) -> Option<&mut TokenAsk> {
        match &mut self.requests.get_mut(key)?.what {
            What::Token(ask) => Some(ask),
            What::Session(_) => None,
        }
    }

    fn at_stage(&mut self, key: Key, stage: Stage) {
        if let Some(request) = self.requests.get_mut(key) {
            request.stage = stage;
        }
    }
}
