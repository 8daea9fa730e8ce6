//! The handshakes under way: a connection in its stages, and the upgrade.
//!
//! In: a client that connects, what the service answers. Out: when each stage was passed, and the link of a session or the reason why there is
//! none.

use std::collections::HashSet;

use crate::clock::Moment;
use crate::drive::network::{ShownTo, asks_for_nonce, both};
use crate::lifecycle::{ConnectFailure, Marks};
use crate::sample::Sample;
use crate::scenario::keys::TimeStage;
use crate::service::capacity::Endpoint;

use super::group::Group;
use super::network::{Fate, Opening, RoundTrip};
use super::request::{Stage, Unheard};
use super::samples::SampleLog;
use super::slab::{Beside, Key};
use super::transit::Transit;
use super::written::Written;

/// What TLS says of an answer that is no TLS.
const NO_TLS: &str = "invalid_message";

/// A handshake.
#[derive(Debug)]
pub(super) struct Handshake {
    /// When each stage was passed.
    marks: Marks,
    /// What it comes to, where no session was opened.
    failure: ConnectFailure,
    /// The link of the session that was opened.
    link: Key,
    /// The one before, where it is made once more.
    earlier: Option<Box<Marks>>,
    /// What the answer wants to see in the next proofs.
    nonce: Option<Box<str>>,
}

/// A client that connects.
pub(super) struct Connecting<'a> {
    pub(super) number: u32,
    pub(super) group: &'a Group,
    /// Its request, where it is written out.
    pub(super) written: Option<Box<Written>>,
    /// The handshake before it, which was to be made once more.
    pub(super) earlier: Option<Box<Marks>>,
}

/// What a handshake came to.
#[derive(Debug)]
pub(super) enum HandshakeEnd {
    /// A session, over that link.
    Open(Key, Marks),
    Failed(ConnectFailure, Marks),
    /// The answer asks for a nonce, which it names: the handshake is made once more.
    WantsNonce(Marks),
}

/// The handshakes under way, by their requests.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    under_way: Beside<Box<Handshake>>,
    /// The requests of those that are written out.
    written: Beside<Box<Written>>,
    /// Clients that have a TLS session to resume.
    resuming: HashSet<u32>,
}

impl Handshakes {
    /// A client connects.
    pub(super) fn begin(
        &mut self,
        transit: &mut Transit,
        connecting: Connecting<'_>,
        log: &mut SampleLog,
    ) -> Key {
        let Connecting { number, group, written, earlier } = connecting;
        let connect = &group.connect;
        let is_secure = written.as_ref().map_or(group.is_secure, |written| written.is_secure());
        let (began, signs) =
            (transit.now(), written.as_ref().is_some_and(|written| written.prover.is_some()));
        let proved = group.writing.as_ref().filter(|writing| writing.proves());
        let proved = proved.map(|_| began + transit.network.signing(u32::from(signs)));
        let Opening { marks, at, failure } =
            transit.network.open_connection(proved.unwrap_or(began), connect, is_secure);
        let signed = written.as_ref().and_then(|written| written.signed);
        let mut marks = Marks { began, proved, signed, ..marks };
        let mut failure = failure;
        if failure.is_none() && is_secure && group.target_speaks_tls == Some(false) {
            // What a target without TLS answers to the greeting of TLS is none.
            marks.tls = None;
            failure = Some(ConnectFailure::Tls(Some(NO_TLS.into())));
        }
        if let (true, Some(tcp), Some(tls)) = (group.resumes, marks.tcp, marks.tls) {
            let is_resumed = !self.resuming.insert(number);
            log.tell(transit.now(), group.id, Sample::Tls { is_resumed, took: tls.since(tcp) });
        }
        let key = transit.requests.begin(number, Endpoint::Upgrade, Stage::Arriving);
        if let Some(written) = written {
            self.written.insert(key, written);
        }
        let is_open = failure.is_none();
        let refused = if is_open && is_secure { group.certified[0].failure() } else { None };
        let is_refused = refused.is_some();
        let failure = failure.or(refused).unwrap_or(ConnectFailure::Timeout);
        let handshake = Handshake { marks, failure, link: Key::NONE, earlier, nonce: None };
        self.under_way.insert(key, Box::new(handshake));
        if is_refused {
            // That its certificate is not taken, a client reads in the place of an answer.
            let RoundTrip { back, .. } = transit.network.round_trip(at, TimeStage::Upgrade);
            transit.requests.set_deadline(key, at + connect.upgrade_timeout);
            transit.requests.fail_at(&mut transit.queue, key, at + 2 * back);
        } else if is_open {
            self.ask(transit, key, at, at + connect.upgrade_timeout);
        } else {
            transit.requests.fail_at(&mut transit.queue, key, at);
        }
        key
    }

    /// The upgrade request leaves at `at`.
    fn ask(&mut self, transit: &mut Transit, key: Key, at: Moment, deadline: Moment) {
        let RoundTrip { back, fate } = transit.network.round_trip(at, TimeStage::Upgrade);
        transit.requests.set_deadline(key, deadline);
        transit.requests.set_back(key, back);
        match fate {
            Fate::Swallowed => transit.requests.hang(&mut transit.queue, key),
            Fate::Reset(at) => {
                self.answer(key, ConnectFailure::Reset);
                transit.requests.set_deadline(key, deadline.max(at));
                transit.requests.fail_at(&mut transit.queue, key, at);
            }
            Fate::Arrives(at) => transit.requests.go_on_at(&mut transit.queue, key, Stage::Arriving, at),
        }
    }

    /// A handshake comes to that, unless its client gives up before.
    fn answer(&mut self, key: Key, failure: ConnectFailure) {
        if let Some(handshake) = self.under_way.get_mut(key) {
            handshake.failure = failure;
        }
    }

    /// The request of a handshake, where it is written out.
    pub(super) fn written(&self, key: Key) -> Option<&Written> {
        self.written.get(key).map(|written| &**written)
    }

    /// Whether the connection of a handshake has got so far that its client counts it.
    pub(super) fn is_connected(&self, key: Key) -> bool {
        self.under_way.get(key).is_some_and(|handshake| handshake.marks.tcp.is_some())
    }

    /// The service refuses, or does what is no answer. Answers whether that will find its client.
    pub(super) fn fail(&mut self, transit: &mut Transit, key: Key, failure: ConnectFailure) -> bool {
        self.answer(key, failure);
        let finds = transit.requests.answer_leaves(&mut transit.queue, key);
        if !finds {
            self.answer(key, ConnectFailure::Timeout);
        }
        finds
    }

    /// The service has opened a session over `link`, and says so. Answers whether that will find its client; where it will not, the service
    /// finds out later.
    pub(super) fn admit(&mut self, transit: &mut Transit, key: Key, link: Key) -> bool {
        let back = transit.requests.get(key).map(|request| request.back()).unwrap_or_default();
        transit.network.answer_is_there(link, transit.now() + back);
        if transit.requests.answer_leaves(&mut transit.queue, key) {
            if let Some(handshake) = self.under_way.get_mut(key) {
                handshake.link = link;
            }
            return true;
        }
        if let Some(request) = transit.requests.get(key) {
            transit.network.client_never_came(&mut transit.queue, link, request.deadline() + back);
        }
        false
    }

    /// The answer to a handshake names the nonce that the next proofs are to have.
    pub(super) fn note_nonce(&mut self, key: Key, nonce: Option<String>) {
        if let (Some(nonce), Some(handshake)) = (nonce, self.under_way.get_mut(key)) {
            handshake.nonce = Some(nonce.into());
        }
    }

    /// A handshake is over: whose it was, and what it came to.
    pub(super) fn finish(&mut self, transit: &mut Transit, key: Key) -> Option<(u32, HandshakeEnd)> {
        let request = transit.requests.remove(key)?;
        let prover = self.written.remove(key).and_then(|written| written.prover);
        let Handshake { marks, failure, link, earlier, nonce } = *self.under_way.remove(key)?;
        if let Some(prover) = &prover {
            prover.keep_nonce(ShownTo::Service, nonce.as_deref());
        }
        let marks = Marks { ended: transit.now(), ..marks };
        let is_first = earlier.is_none();
        let marks = earlier.map_or(marks, |earlier| both(&earlier, marks));
        let end = if link != Key::NONE {
            HandshakeEnd::Open(link, marks)
        } else if is_first && prover.is_some() && asks_for_nonce(&failure) {
            HandshakeEnd::WantsNonce(marks)
        } else {
            HandshakeEnd::Failed(failure, marks)
        };
        Some((request.client(), end))
    }

    /// A client is cut off while it connects. Answers with what the service has sent, and the client will not get.
    pub(super) fn cancel(&mut self, transit: &mut Transit, key: Key) -> Option<Unheard> {
        let request = transit.requests.remove(key)?;
        self.written.remove(key);
        let Handshake { failure, link, .. } = *self.under_way.remove(key)?;
        if request.stage() != Stage::Returning {
            return None;
        }
        if link != Key::NONE {
            let at = transit.now() + request.back();
            transit.network.client_never_came(&mut transit.queue, link, at);
            return Some(Unheard::Admission);
        }
        matches!(failure, ConnectFailure::Http(_)).then_some(Unheard::Refusal)
    }
}
