//! A connection in its stages: name, TCP, TLS, upgrade.
//!
//! In: a client that connects. Out: when each stage was passed, and a session or the reason why there is none. The stages before the upgrade
//! need nothing of the target, so that they are drawn at once.

use crate::clock::Moment;
use crate::lifecycle::{ConnectFailure, Event, Marks};
use crate::sample::Cause;
use crate::scenario::keys::{FaultKind, NetworkFaultKind, RefusalManner, TimeStage};
use crate::service::handle::Credential;
use crate::service::rules::{Handshake, HandshakeRefusal};

use super::queue::Kind;
use super::request::{Request, SessionAsk, Stage, What};
use super::session::{Side, ToTarget};
use super::slab::Key;
use super::world::World;

/// A way that was opened, or was not.
pub(super) struct Way {
    pub(super) marks: Marks,
    /// When it was open, or failed.
    pub(super) at: Moment,
    pub(super) failure: Option<ConnectFailure>,
}

impl World {
    /// Opens a connection for a client of `group`, from now on.
    pub(super) fn open_way(&mut self, group: usize) -> Way {
        let connect = &self.groups[group].connect;
        let timeouts = [
            (TimeStage::Dns, connect.dns_timeout, ConnectFailure::Dns),
            (TimeStage::Tcp, connect.tcp_timeout, ConnectFailure::Refused),
            (TimeStage::Tls, connect.tls_timeout, ConnectFailure::Tls),
        ];
        let is_secure = self.groups[group].is_secure;
        let mut way =
            Way { marks: Marks { began: self.now, ..Marks::default() }, at: self.now, failure: None };
        for (stage, timeout, refused) in timeouts {
            if stage == TimeStage::Tls && !is_secure {
                way.marks.tls = way.marks.tcp;
                continue;
            }
            let takes = self.times.draw(stage);
            let fault = self.times.strike(way.at, stage);
            if takes > timeout || fault == Some(NetworkFaultKind::Blackhole) {
                (way.at, way.failure) = (way.at + timeout, Some(ConnectFailure::Timeout));
                return way;
            }
            way.at = way.at + takes;
            way.failure = fault.map(|fault| match fault {
                NetworkFaultKind::Reset => ConnectFailure::Reset,
                _ => refused,
            });
            if way.failure.is_some() {
                return way;
            }
            let mark = Some(way.at);
            match stage {
                TimeStage::Dns => way.marks.dns = mark,
                TimeStage::Tcp => way.marks.tcp = mark,
                _ => way.marks.tls = mark,
            }
        }
        way
    }

    /// A client connects.
    pub(super) fn connect(&mut self, number: u32) {
        let group = self.group_of(number);
        let Way { marks, at, failure } = self.open_way(group);
        let ask = SessionAsk { marks, failure: ConnectFailure::Timeout, wire: Key::NONE };
        let mut request = Request::new(number, What::Session(Box::new(ask)));
        if let Some(failure) = failure {
            return self.connect_fails(request, failure, at);
        }
        let deadline = at + self.groups[group].connect.upgrade_timeout;
        request.deadline = deadline;
        let both_ways = self.times.draw(TimeStage::Upgrade);
        request.back = both_ways / 2;
        let there = both_ways - request.back;
        match self.times.strike(at, TimeStage::Upgrade) {
            Some(NetworkFaultKind::Blackhole) => {
                self.connect_fails(request, ConnectFailure::Timeout, deadline);
            }
            Some(_) => {
                self.connect_fails(request, ConnectFailure::Reset, at + there);
            }
            None => {
                let key = self.requests.insert(request);
                self.slot(number).request = key;
                self.go_on_at(key, Stage::Arriving, at + there);
            }
        }
    }

    fn connect_fails(&mut self, mut request: Request, failure: ConnectFailure, at: Moment) {
        let number = request.client;
        if let What::Session(ask) = &mut request.what {
            ask.failure = failure;
        }
        request.deadline = request.deadline.max(at);
        let key = self.requests.insert(request);
        self.slot(number).request = key;
        self.fail_at(key, at);
    }

    /// Whether a request is for the endpoint at all; where it is not, it is answered.
    pub(super) fn is_for_endpoint(&mut self, key: Key) -> bool {
        let Some(request) = self.requests.get(key) else { return false };
        let finds = match request.what {
            What::Token(_) => true,
            What::Session(_) => self.groups[self.group_of(request.client)].finds_endpoint,
        };
        if !finds {
            self.target.count_bad_request();
            let words = ("not.found", "there is nothing here");
            let refusal =
                HandshakeRefusal { status: 404, cause: Cause::ForbiddenOther, words, retry_after: None };
            self.refuse_session(key, refusal, false);
        }
        finds
    }

    pub(super) fn decide_session(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let (number, fault) = (request.client, request.fault);
        match fault {
            Some(FaultKind::UpgradeStall) => return self.hangs(key),
            Some(FaultKind::UpgradeStatus(status)) => {
                let refusal = self.target.refuse_by_fault(status);
                return self.refuse_session(key, refusal, true);
            }
            Some(FaultKind::ResetBeforeUpgrade | FaultKind::ResetDuringUpgrade) => {
                return self.session_fails(key, ConnectFailure::Reset);
            }
            Some(FaultKind::WrongAccept | FaultKind::UnsolicitedSubprotocol) => {
                return self.session_fails(key, ConnectFailure::Protocol);
            }
            _ => {}
        }
        let group = &self.groups[self.group_of(number)];
        let token = self.clients[number as usize].token;
        let credential = match (&group.fixed, token) {
            _ if !group.carries_token => None,
            (Some(text), _) => Some(Credential::Text(text.as_str())),
            (None, Some(token)) => Some(Credential::Token(token)),
            (None, None) => None,
        };
        match self.target.handle_handshake(self.now, credential, Some(u64::from(number))) {
            Handshake::Refused(refusal) => match self.rules.refusal_manner {
                RefusalManner::Reset => self.session_fails(key, ConnectFailure::Reset),
                RefusalManner::Silence => self.hangs(key),
                _ => self.refuse_session(key, refusal, false),
            },
            Handshake::Admitted { mut session, displaced } => {
                if let Some(fault) = fault {
                    session.plan_fault(fault);
                }
                let wire = self.open_wire(number, session);
                if let Some(request) = self.requests.get_mut(key)
                    && let What::Session(ask) = &mut request.what
                {
                    ask.wire = wire;
                }
                let opens = self.now + self.requests.get(key).map(|request| request.back).unwrap_or_default();
                self.opens_at(wire, opens);
                if !self.answer_leaves(key) {
                    self.upgrade_is_lost(key, wire);
                }
                if let Some(displaced) = displaced {
                    self.displace(displaced);
                }
                self.tell_hold_ends();
            }
        }
    }

    /// A session was opened whose client has given up by the time that it would hear of it.
    fn upgrade_is_lost(&mut self, key: Key, wire: Key) {
        self.lost.upgrades += 1;
        let Some(request) = self.requests.get_mut(key) else { return };
        let gone = request.deadline + request.back;
        if let What::Session(ask) = &mut request.what {
            ask.wire = Key::NONE;
        }
        self.client_never_came(wire, gone);
    }

    /// The refusal of a handshake leaves.
    pub(super) fn refuse_session(&mut self, key: Key, refusal: HandshakeRefusal, is_edge: bool) {
        let evidence = self.evidence.read(&self.rules, refusal, is_edge);
        // What says no else is no refusal to the target either.
        let is_counted = refusal.words.0 != "not.found";
        self.session_says(key, ConnectFailure::Http(Box::new(evidence)));
        if !self.answer_leaves(key) {
            self.session_says(key, ConnectFailure::Timeout);
            self.lost.refusals += u64::from(is_counted);
        }
    }

    /// What a client sees is no answer.
    fn session_fails(&mut self, key: Key, failure: ConnectFailure) {
        self.session_says(key, failure);
        if !self.answer_leaves(key) {
            self.session_says(key, ConnectFailure::Timeout);
        }
    }

    fn session_says(&mut self, key: Key, failure: ConnectFailure) {
        if let Some(request) = self.requests.get_mut(key)
            && let What::Session(ask) = &mut request.what
        {
            ask.failure = failure;
        }
    }

    /// The answer to an upgrade request has come.
    pub(super) fn session_is_here(&mut self, key: Key) {
        let Some((number, ask)) = self.take_session_ask(key) else { return };
        let SessionAsk { mut marks, failure, wire } = ask;
        marks.ended = self.now;
        if wire == Key::NONE {
            return self.deliver(number, Event::ConnectFailed { marks, failure });
        }
        let now = self.now;
        if let Some(wire) = self.wires.get_mut(wire) {
            wire.client_side = Side::Open;
            wire.signs = now.into();
        }
        let slot = self.slot(number);
        slot.wire = wire;
        slot.session_is_new = true;
        let group = self.group_of(number);
        if self.groups[group].rules.session.first_message.is_some() {
            self.groups[group].traffic.messages_out += 1;
            self.send_to_target(wire, ToTarget::Data);
        }
        self.deliver(number, Event::Connected(marks));
    }

    /// No session came of a request.
    pub(super) fn no_session(&mut self, key: Key) {
        let is_seen = self.requests.get(key).is_some_and(|request| request.is_seen);
        let Some((number, ask)) = self.take_session_ask(key) else { return };
        self.lost.requests += i64::from(ask.marks.tcp.is_some() && !is_seen);
        let marks = Marks { ended: self.now, ..ask.marks };
        self.deliver(number, Event::ConnectFailed { marks, failure: ask.failure });
    }

    fn take_session_ask(&mut self, key: Key) -> Option<(u32, SessionAsk)> {
        let request = self.requests.remove(key)?;
        let number = request.client;
        self.slot(number).request = Key::NONE;
        match request.what {
            What::Session(ask) => Some((number, *ask)),
            What::Token(_) => None,
        }
    }

    /// A client is cut off while it connects.
    pub(super) fn cancel_session(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let (stage, back) = (request.stage, request.back);
        // A client that is cut off counts no connection.
        self.lost.requests -= i64::from(request.is_seen);
        let Some((_, ask)) = self.take_session_ask(key) else { return };
        match (stage, ask.failure) {
            (Stage::Returning, _) if ask.wire != Key::NONE => {
                self.lost.upgrades += 1;
                self.client_never_came(ask.wire, self.now + back);
            }
            (Stage::Returning, ConnectFailure::Http(evidence))
                if evidence.body_code.as_deref() != Some("not.found") =>
            {
                self.lost.refusals += 1;
            }
            _ => {}
        }
    }

    /// The client of a session that was opened for it never came; the target finds out then.
    fn client_never_came(&mut self, wire: Key, at: Moment) {
        if let Some(opened) = self.wires.get_mut(wire) {
            opened.client_side = Side::Gone;
            self.put_for(at, Kind::ToTarget, wire, ToTarget::Fin.code());
            self.let_go(wire);
        }
    }
}
