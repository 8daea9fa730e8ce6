//! A request at the service, from the moment its connection opens to that at which its answer leaves.
//!
//! In: a request that has come that far. Out: its answer on its way back, and which answers will find no client.

use crate::clock::Moment;
use crate::lifecycle::ConnectFailure;
use crate::scenario::keys::path_fits;
use crate::service::capacity::Endpoint;
use crate::service::handle::Credential;
use crate::service::presented::Over;
use crate::service::rules::{FirstRequest, HandshakeRefusal};
use crate::service::session::{Session, SessionId};

use super::group::Group;
use super::handshakes::Handshakes;
use super::queue::Kind;
use super::request::{Request, Stage, Unheard};
use super::service_side::{IsEdge, Reception, ServiceSide, Shows, TokenReply, UpgradeReply, endpoint_index};
use super::slab::Key;
use super::steps::{Steps, no_page};
use super::token_answer::TokenSays;
use super::token_desk::TokenDesk;
use super::transit::Transit;
use super::written::Written;

/// A request, its client's group, and those whom it concerns.
pub(super) struct AtService<'a> {
    pub(super) key: Key,
    pub(super) request: Request,
    pub(super) group: &'a Group,
    pub(super) transit: &'a mut Transit,
    pub(super) service: &'a mut ServiceSide,
    pub(super) handshakes: &'a mut Handshakes,
    pub(super) desk: &'a mut TokenDesk,
    pub(super) steps: &'a mut Steps,
}

impl AtService<'_> {
    /// The request's connection is the target's.
    pub(super) fn connection_opens(&mut self) -> Option<Unheard> {
        if self.request.is_step() {
            return self.answer_page();
        }
        let endpoint = self.request.endpoint();
        if endpoint == Endpoint::Upgrade && self.lacks_tls() {
            // The answer is an alert of TLS, and no HTTP.
            self.service.count_without_tls(self.key);
            return self.reply(UpgradeReply::Fails(ConnectFailure::Protocol));
        }
        // A token request may go over a connection that is open already.
        if endpoint == Endpoint::Upgrade || self.group.is_fresh {
            let read_at = self.service.accept(self.transit.now(), first_request(endpoint));
            if let Some(read_at) = read_at {
                self.go_on_at(Stage::Unread, read_at);
                return None;
            }
        }
        self.is_read()
    }

    /// A request before a handshake is answered at once.
    fn answer_page(&mut self) -> Option<Unheard> {
        let request = self.steps.request(self.key);
        let page = request.map_or_else(no_page, |request| self.service.page(self.transit, request));
        self.steps.answer(self.key, page);
        self.transit.requests.answer_leaves(&mut self.transit.queue, self.key);
        None
    }

    /// The service reads from the request's connection at last.
    pub(super) fn is_read_late(&mut self) -> Option<Unheard> {
        self.service.count_first_request(first_request(self.request.endpoint()));
        self.is_read()
    }

    /// The target has read the request.
    fn is_read(&mut self) -> Option<Unheard> {
        let endpoint = self.request.endpoint();
        if endpoint == Endpoint::Upgrade && !self.finds_endpoint() {
            let refusal = self.service.refuse_path(self.key);
            return self.refuse(refusal, IsEdge(false));
        }
        if endpoint == Endpoint::Token
            && let Some(body) = self.group.asker.as_ref().map(|asker| asker.body)
            && let Some(says) = self.service.refuse_body(body)
        {
            return self.say(says);
        }
        match self.service.take_up(self.transit.now(), self.key, endpoint) {
            Reception::Done => self.was_worked_off(),
            Reception::Begun(done) => {
                self.go_on_at(Stage::InService, done);
                self.transit.queue.put(done, Kind::ServerDone, endpoint_index(endpoint));
                None
            }
            Reception::Waits => {
                self.transit.requests.wait_in_queue(&mut self.transit.queue, self.key);
                None
            }
            Reception::Refused(refusal) if endpoint == Endpoint::Token => {
                let says = self.service.refuses_token(refusal);
                self.say(says)
            }
            Reception::Refused(refusal) => self.refuse(refusal, IsEdge(false)),
        }
    }

    /// Whether a handshake came without TLS, which the target speaks.
    fn lacks_tls(&self) -> bool {
        let written = self.handshakes.written(self.key);
        self.group.target_speaks_tls == Some(true) && written.is_some_and(|written| !written.is_secure())
    }

    /// Whether a handshake finds the WebSocket endpoint.
    fn finds_endpoint(&self) -> bool {
        let written = self.handshakes.written(self.key).filter(|_| !self.group.is_anywhere);
        let fits = |written: &Written| path_fits(&self.service.rules().path, written.uri.path());
        written.map_or(self.group.finds_endpoint, fits)
    }

    /// A server has worked the request off.
    pub(super) fn was_worked_off(&mut self) -> Option<Unheard> {
        let delay = self.service.holds_back(self.key);
        if delay.is_zero() {
            return self.decide();
        }
        self.go_on_at(Stage::HeldBack, self.transit.now() + delay);
        None
    }

    /// The service answers.
    pub(super) fn decide(&mut self) -> Option<Unheard> {
        match self.request.endpoint() {
            Endpoint::Token => self.decide_token(),
            Endpoint::Upgrade => self.decide_upgrade(),
        }
    }

    fn decide_token(&mut self) -> Option<Unheard> {
        let shown = self.desk.shown(self.key, self.request.client());
        let reads = self.group.asker.as_ref().and_then(|asker| asker.reads.as_deref());
        let reply = self.service.answer_token(self.transit, self.key, shown, reads);
        let nonce = self.service.proof_nonce(self.transit.now(), false);
        match reply {
            TokenReply::Hangs => self.hang(),
            TokenReply::Says(says) => {
                self.desk.note_nonce(self.key, nonce.filter(|_| says.is_by_the_rules()));
                self.say(says)
            }
        }
    }

    fn decide_upgrade(&mut self) -> Option<Unheard> {
        let number = self.request.client();
        let now = self.transit.now();
        if let Some(written) = self.handshakes.written(self.key) {
            let over = Over { certificate: self.group.certified[0].taken(), is_secure: written.is_secure() };
            let shows = Shows::Written { headers: &written.headers, uri: &written.uri, over };
            let reply = self.service.answer_upgrade(now, self.key, shows);
            if reply.is_by_the_rules() {
                self.handshakes.note_nonce(self.key, self.service.proof_nonce(now, true));
            }
            return self.reply(reply);
        }
        let credential = match (&self.group.fixed, self.desk.token_of(number)) {
            _ if !self.group.carries_token => None,
            (Some(text), _) => Some(Credential::Text(text.as_str())),
            (None, Some(token)) => Some(self.desk.minted.credential(token)),
            (None, None) => None,
        };
        let origin = self.group.connect.sent_origin();
        let reply = self.service.answer_upgrade(now, self.key, Shows::Handle { credential, origin, number });
        self.reply(reply)
    }

    /// What becomes of a handshake.
    fn reply(&mut self, reply: UpgradeReply) -> Option<Unheard> {
        match reply {
            UpgradeReply::Hangs => self.hang(),
            UpgradeReply::Refused(refusal, edge) => self.refuse(refusal, edge),
            UpgradeReply::Fails(failure) => {
                self.handshakes.fail(self.transit, self.key, failure);
                None
            }
            UpgradeReply::Admitted { session, displaced } => self.admit(session, displaced),
        }
    }

    fn admit(&mut self, session: Session, displaced: Option<SessionId>) -> Option<Unheard> {
        let link = self.transit.network.open_link(self.transit.queue.now(), self.request.client());
        let longest = u32::try_from(self.group.rules.session.max_message_bytes).unwrap_or(u32::MAX);
        self.service.open_session(self.transit, link, session, longest);
        let finds = self.handshakes.admit(self.transit, self.key, link);
        self.service.settle_admission(self.transit, displaced);
        (!finds).then_some(Unheard::Admission)
    }

    /// The refusal of a handshake leaves.
    fn refuse(&mut self, refusal: HandshakeRefusal, edge: IsEdge) -> Option<Unheard> {
        let evidence = self.service.evidence(refusal, edge);
        let failure = ConnectFailure::Http(Box::new(evidence));
        let finds = self.handshakes.fail(self.transit, self.key, failure);
        (!finds).then_some(Unheard::Refusal)
    }

    /// The answer to a token request leaves.
    fn say(&mut self, says: TokenSays) -> Option<Unheard> {
        let finds = self.desk.answer(self.transit, self.key, says);
        (!finds && says.is_token()).then_some(Unheard::Token)
    }

    fn hang(&mut self) -> Option<Unheard> {
        self.transit.requests.hang(&mut self.transit.queue, self.key);
        None
    }

    fn go_on_at(&mut self, stage: Stage, at: Moment) {
        self.transit.requests.go_on_at(&mut self.transit.queue, self.key, stage, at);
    }
}

/// What the first request over a connection is.
const fn first_request(endpoint: Endpoint) -> FirstRequest {
    match endpoint {
        Endpoint::Token => FirstRequest::Token,
        Endpoint::Upgrade => FirstRequest::Events,
    }
}
