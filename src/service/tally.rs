//! The target's counts as they grow.
//!
//! In: what was decided. Out: [`TargetCounters`], in a stable order. Never decides anything.

use std::collections::BTreeMap;

use crate::sample::{Abnormal, Cause, Initiator};
use crate::scenario::keys::FaultKind;

use super::counters::{
    CloseCount, FaultCount, RefusedCount, RefusedOtherwise, TargetCounters, TokenRefusedCount,
};
use super::session::Ended;
use super::token::TokenError;

/// The counts so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: u64,
    accepted_token: u64,
    accepted_control: u64,
    accepted_events: u64,
    upgrades: u64,
    tokens_issued: u64,
    messages_sent: u64,
    messages_received: u64,
    bad_requests: u64,
    routes_answered: u64,
    tickets_issued: u64,
    tickets_evicted: u64,
    refresh_tokens_reused: u64,
    refresh_families_ended: u64,
    restarts: u64,
    routes_refused: BTreeMap<(u16, Cause), u64>,
    refused: BTreeMap<(u16, Cause), u64>,
    refused_otherwise: BTreeMap<(&'static str, Cause), u64>,
    token_requests_refused: BTreeMap<&'static str, u64>,
    closes: BTreeMap<(Initiator, u16, Option<Abnormal>), u64>,
    faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) const fn accept(&mut self) {
        self.accepted += 1;
    }

    pub(super) const fn begin_with_token(&mut self) {
        self.accepted_token += 1;
    }

    pub(super) const fn begin_with_control(&mut self) {
        self.accepted_control += 1;
    }

    pub(super) const fn begin_with_events(&mut self) {
        self.accepted_events += 1;
    }

    pub(super) const fn upgrade(&mut self) {
        self.upgrades += 1;
    }

    pub(super) const fn issue_token(&mut self) {
        self.tokens_issued += 1;
    }

    pub(super) const fn send_message(&mut self) {
        self.messages_sent += 1;
    }

    pub(super) const fn receive_message(&mut self) {
        self.messages_received += 1;
    }

    pub(super) const fn reject_request(&mut self) {
        self.bad_requests += 1;
    }

    pub(super) const fn answer_route(&mut self) {
        self.routes_answered += 1;
    }

    pub(super) const fn issue_ticket(&mut self) {
        self.tickets_issued += 1;
    }

    pub(super) const fn evict_ticket(&mut self) {
        self.tickets_evicted += 1;
    }

    pub(super) const fn reuse_refresh_token(&mut self) {
        self.refresh_tokens_reused += 1;
    }

    pub(super) const fn end_family(&mut self) {
        self.refresh_families_ended += 1;
    }

    /// A probe has failed too often: the service restarts.
    pub(super) const fn count_restart(&mut self) {
        self.restarts += 1;
    }

    pub(super) fn refuse(&mut self, status: u16, cause: Cause) {
        *self.refused.entry((status, cause)).or_default() += 1;
    }

    pub(super) fn refuse_otherwise(&mut self, manner: &'static str, cause: Cause) {
        *self.refused_otherwise.entry((manner, cause)).or_default() += 1;
    }

    pub(super) fn limit_token_request(&mut self) {
        *self.token_requests_refused.entry("too_many_requests").or_default() += 1;
    }

    pub(super) fn refuse_busy_token_request(&mut self) {
        *self.token_requests_refused.entry("too_busy").or_default() += 1;
    }

    pub(super) fn refuse_route(&mut self, status: u16, cause: Cause) {
        *self.routes_refused.entry((status, cause)).or_default() += 1;
    }

    pub(super) fn refuse_token(&mut self, error: TokenError) {
        *self.token_requests_refused.entry(error.name()).or_default() += 1;
    }

    pub(super) fn close(&mut self, ended: Ended) {
        *self.closes.entry((ended.initiator, ended.code, ended.abnormal)).or_default() += 1;
    }

    pub(super) fn inject(&mut self, fault: &FaultKind) {
        *self.faults.entry(fault.name()).or_default() += 1;
    }

    pub(super) fn counters(&self, sessions_open: u64) -> TargetCounters {
        let refused = self.refused.iter();
        let token_requests_refused = self.token_requests_refused.iter();
        let closes = self.closes.iter();
        TargetCounters {
            accepted: self.accepted,
            accepted_token: self.accepted_token,
            accepted_control: self.accepted_control,
            accepted_events: self.accepted_events,
            upgrades: self.upgrades,
            refused: refused
                .map(|(&(status, cause), &count)| RefusedCount { status, cause, count })
                .collect(),
            tokens_issued: self.tokens_issued,
            token_requests_refused: token_requests_refused
                .map(|(&error, &count)| TokenRefusedCount { error: error.to_owned(), count })
                .collect(),
            closes: closes
                .map(|(&(initiator, code, abnormal), &count)| CloseCount { initiator, code, abnormal, count })
                .collect(),
            sessions_open,
            messages_sent: self.messages_sent,
            messages_received: self.messages_received,
            bad_requests: self.bad_requests,
            routes_answered: self.routes_answered,
            routes_refused: self
                .routes_refused
                .iter()
                .map(|(&(status, cause), &count)| RefusedCount { status, cause, count })
                .collect(),
            tickets_issued: self.tickets_issued,
            tickets_evicted: self.tickets_evicted,
            refresh_tokens_reused: self.refresh_tokens_reused,
            refresh_families_ended: self.refresh_families_ended,
            restarts: self.restarts,
            topics: None,
            refused_otherwise: self
                .refused_otherwise
                .iter()
                .map(|(&(manner, cause), &count)| RefusedOtherwise {
                    manner: manner.to_owned(),
                    cause,
                    count,
                })
                .collect(),
            faults_injected: self
                .faults
                .iter()
                .map(|(&kind, &count)| FaultCount { kind: kind.to_owned(), count })
                .collect(),
        }
    }
}
