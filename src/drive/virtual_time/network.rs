//! The network between clients and the service: what a connection's stages take, and the links of the sessions.
//!
//! In: connections, requests and frames that either side sends. Out: when each is there, or that it never will be. It knows nothing of what
//! the sides make of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::lifecycle::{ConnectFailure, Marks};
use crate::scenario::keys::{ConnectRules, NetworkFaultKind, TimeStage};

use super::frame::{ToClient, ToTarget};
use super::queue::{EventQueue, Kind};
use super::slab::{Key, Slab};
use super::time_model::TimeModel;

/// A connection before its first request: open, or not.
#[derive(Debug)]
pub(super) struct Opening {
    /// When each stage was passed.
    pub(super) marks: Marks,
    /// When it was open, or failed.
    pub(super) at: Moment,
    pub(super) failure: Option<ConnectFailure>,
}

/// What a request's way there and back takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoundTrip {
    pub(super) back: Duration,
    pub(super) fate: Fate,
}

/// What becomes of a request on its way to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there at that moment.
    Arrives(Moment),
    /// Its connection is reset at that moment.
    Reset(Moment),
    /// Nobody ever hears of it.
    Swallowed,
}

/// How a client's end of a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientEnd {
    /// The answer that opens it is on its way.
    Coming,
    /// It reads and writes.
    Open,
    /// It does neither, and holds the connection.
    Silent,
    /// It is gone.
    Gone,
}

/// The connection of a session.
#[derive(Debug)]
pub(super) struct Link {
    client: u32,
    client_end: ClientEnd,
    target_is_gone: bool,
    /// What was sent last is there then: nothing overtakes it.
    to_client: Moment,
    to_target: Moment,
    /// The texts on their way.
    texts: Option<Box<Texts>>,
}

/// Texts on their way, in the order in which they were sent.
#[derive(Debug, Default)]
struct Texts {
    to_client: VecDeque<Box<str>>,
    to_target: VecDeque<Box<str>>,
}

impl Link {
    /// The client that it ends at.
    pub(super) const fn client(&self) -> u32 {
        self.client
    }

    /// How its client's end stands.
    pub(super) const fn client_end(&self) -> ClientEnd {
        self.client_end
    }

    /// Whether the target has let go of it.
    pub(super) const fn target_is_gone(&self) -> bool {
        self.target_is_gone
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Network {
    times: TimeModel,
    links: Slab<Link>,
}

impl Network {
    pub(super) fn new(times: TimeModel) -> Self {
        Self { times, links: Slab::default() }
    }

    /// Opens a connection from now on: name, TCP, TLS. These need nothing of the service, so that they are drawn at once.
    pub(super) fn open_connection(&mut self, now: Moment, rules: &ConnectRules, is_secure: bool) -> Opening {
        let timeouts = [
            (TimeStage::Dns, rules.dns_timeout, ConnectFailure::Dns),
            (TimeStage::Tcp, rules.tcp_timeout, ConnectFailure::Refused),
            (TimeStage::Tls, rules.tls_timeout, ConnectFailure::Tls(None)),
        ];
        let mut opening = Opening { marks: Marks { began: now, ..Marks::default() }, at: now, failure: None };
        for (stage, timeout, refused) in timeouts {
            if stage == TimeStage::Tls && !is_secure {
                opening.marks.tls = opening.marks.tcp;
                continue;
            }
            let takes = self.times.draw(stage);
            let fault = self.times.strike(opening.at, stage);
            if takes > timeout || fault == Some(NetworkFaultKind::Blackhole) {
                (opening.at, opening.failure) = (opening.at + timeout, Some(ConnectFailure::Timeout));
                return opening;
            }
            opening.at = opening.at + takes;
            opening.failure = fault.map(|fault| match fault {
                NetworkFaultKind::Reset => ConnectFailure::Reset,
                _ => refused,
            });
            if opening.failure.is_some() {
                return opening;
            }
            let mark = Some(opening.at);
            match stage {
                TimeStage::Dns => opening.marks.dns = mark,
                TimeStage::Tcp => opening.marks.tcp = mark,
                _ => opening.marks.tls = mark,
            }
        }
        opening
    }

    /// A request leaves at `at`; `stage` says what it is.
    pub(super) fn round_trip(&mut self, at: Moment, stage: TimeStage) -> RoundTrip {
        let both_ways = self.times.draw(stage);
        let back = both_ways / 2;
        let there = at + (both_ways - back);
        let fate = match self.times.strike(at, stage) {
            Some(NetworkFaultKind::Blackhole) => Fate::Swallowed,
            Some(_) => Fate::Reset(there),
            None => Fate::Arrives(there),
        };
        RoundTrip { back, fate }
    }

    /// How long a client takes for so many signatures.
    pub(super) fn signing(&mut self, signatures: u32) -> Duration {
        (0..signatures).map(|_| self.times.draw(TimeStage::Mint)).sum()
    }

    /// How long a client takes to act on the end of its session.
    pub(super) fn detection(&mut self) -> Duration {
        self.times.draw(TimeStage::Detect)
    }

    /// The target has opened a session for `client`.
    pub(super) fn open_link(&mut self, now: Moment, client: u32) -> Key {
        self.links.insert(Link {
            client,
            client_end: ClientEnd::Coming,
            target_is_gone: false,
            to_client: now,
            to_target: now,
            texts: None,
        })
    }

    pub(super) fn link(&self, key: Key) -> Option<&Link> {
        self.links.get(key)
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().map(|(_, link)| link)
    }

    /// The client that a link ends at, if it reads from it.
    pub(super) fn reader(&self, key: Key) -> Option<u32> {
        self.links.get(key).filter(|link| link.client_end == ClientEnd::Open).map(|link| link.client)
    }

    /// The answer that opens a session is there then: no frame comes before it.
    pub(super) fn answer_is_there(&mut self, key: Key, at: Moment) {
        if let Some(link) = self.links.get_mut(key) {
            link.to_client = link.to_client.max(at);
        }
    }

    /// The answer that opens a session has found its client.
    pub(super) fn client_opens(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            link.client_end = ClientEnd::Open;
        }
    }

    /// A client has fallen silent: it reads and writes nothing more, and keeps the connection.
    pub(super) fn client_falls_silent(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            link.client_end = ClientEnd::Silent;
        }
    }

    /// A client lets go of a session.
    pub(super) fn client_lets_go(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            link.client_end = ClientEnd::Gone;
            self.forget_dead(key);
        }
    }

    /// The client of a session that was opened for it never came; the target finds out at `at`.
    pub(super) fn client_never_came(&mut self, queue: &mut EventQueue, key: Key, at: Moment) {
        if self.links.get(key).is_some() {
            queue.put_for(at, Kind::ToTarget, key, ToTarget::Fin.code());
            self.client_lets_go(key);
        }
    }

    /// The target lets go of a session.
    pub(super) fn target_lets_go(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            link.target_is_gone = true;
            self.forget_dead(key);
        }
    }

    /// Nothing is kept of a link that both of its ends have let go of.
    fn forget_dead(&mut self, key: Key) {
        if self.links.get(key).is_some_and(|link| link.client_end == ClientEnd::Gone && link.target_is_gone) {
            self.links.remove(key);
        }
    }

    /// Sends something to the target.
    pub(super) fn send_to_target(&mut self, queue: &mut EventQueue, key: Key, frame: ToTarget) {
        let Some(link) = self.links.get_mut(key).filter(|link| !link.target_is_gone) else { return };
        let takes = self.times.draw(TimeStage::Message);
        link.to_target = link.to_target.max(queue.now() + takes);
        queue.put_for(link.to_target, Kind::ToTarget, key, frame.code());
    }

    /// Sends something to a client.
    pub(super) fn send_to_client(&mut self, queue: &mut EventQueue, key: Key, frame: ToClient) {
        let reads = |link: &&mut Link| matches!(link.client_end, ClientEnd::Coming | ClientEnd::Open);
        let Some(link) = self.links.get_mut(key).filter(reads) else { return };
        let takes = self.times.draw(TimeStage::Message);
        link.to_client = link.to_client.max(queue.now() + takes);
        queue.put_for(link.to_client, Kind::ToClient, key, frame.code());
    }

    /// Sends a client a text.
    pub(super) fn send_text(&mut self, queue: &mut EventQueue, key: Key, text: String) {
        let reads = |link: &&mut Link| matches!(link.client_end, ClientEnd::Coming | ClientEnd::Open);
        if let Some(link) = self.links.get_mut(key).filter(reads) {
            link.texts.get_or_insert_default().to_client.push_back(text.into_boxed_str());
            self.send_to_client(queue, key, ToClient::Told);
        }
    }

    /// The text that has come to a client.
    pub(super) fn take_text(&mut self, key: Key) -> Box<str> {
        let texts = self.links.get_mut(key).and_then(|link| link.texts.as_mut());
        texts.and_then(|texts| texts.to_client.pop_front()).unwrap_or_default()
    }

    /// Sends the target a text.
    pub(super) fn say_to_target(&mut self, queue: &mut EventQueue, key: Key, text: String) {
        if let Some(link) = self.links.get_mut(key).filter(|link| !link.target_is_gone) {
            link.texts.get_or_insert_default().to_target.push_back(text.into_boxed_str());
            self.send_to_target(queue, key, ToTarget::Text);
        }
    }

    /// The text that has come to the target.
    pub(super) fn take_said(&mut self, key: Key) -> Box<str> {
        let texts = self.links.get_mut(key).and_then(|link| link.texts.as_mut());
        texts.and_then(|texts| texts.to_target.pop_front()).unwrap_or_default()
    }

    /// The clients are done: the connections that they kept in silence end.
    pub(super) fn drop_silent_links(&mut self, queue: &mut EventQueue) {
        let is_silent = |link: &Link| link.client_end == ClientEnd::Silent;
        let silent: Vec<Key> =
            self.links.iter().filter(|(_, link)| is_silent(link)).map(|(key, _)| key).collect();
        for key in silent {
            self.send_to_target(queue, key, ToTarget::Fin);
            self.client_lets_go(key);
        }
    }
}
