//! Requests, and what they come to.
//!
//! In: a request that goes on, comes to nothing, or is cut off. Out: what its client is told, and who else goes on.

use crate::drive::virtual_time::at_service::AtService;
use crate::drive::virtual_time::handshakes::HandshakeEnd;
use crate::drive::virtual_time::request::{Request, Stage};
use crate::drive::virtual_time::slab::Key;
use crate::drive::virtual_time::token_answer::{HandedOver, Settled};
use crate::drive::virtual_time::transit::Transit;
use crate::lifecycle::{Event, Marks};
use crate::sample::{Counter, Sample};
use crate::service::capacity::Endpoint;

use super::World;

impl World {
    /// A token request of client `number` has ended.
    fn tell_request_end(&mut self, key: Key, number: u32) {
        if let Some(end) = self.desk.end_of(&self.transit, key) {
            let group = self.groups[self.clients.group_of(number)].id;
            self.log.tell(self.transit.now(), group, Sample::Request(Box::new(end)));
        }
    }

    pub(super) fn request_goes_on(&mut self, key: Key) {
        let Some(request) = self.transit.requests.get(key) else { return };
        let unheard = match request.stage() {
            Stage::Arriving => self.at_service(key, request).connection_opens(),
            Stage::Unread => self.at_service(key, request).is_read_late(),
            Stage::InService => self.at_service(key, request).was_worked_off(),
            Stage::HeldBack => self.at_service(key, request).decide(),
            Stage::Returning => return self.answer_is_here(key, request),
            Stage::Failing => return self.came_to_nothing(key, request),
            Stage::InPool | Stage::Shared | Stage::Queued | Stage::Here => None,
        };
        self.lost.count_unheard(unheard);
    }

    fn at_service(&mut self, key: Key, request: Request) -> AtService<'_> {
        let Self { groups, clients, transit, service, handshakes, desk, steps, .. } = self;
        let group = &groups[clients.group_of(request.client())];
        AtService { key, request, group, transit, service, handshakes, desk, steps }
    }

    /// A request has waited for a server until its client gave up.
    pub(super) fn request_times_out(&mut self, key: Key) {
        let Some(request) = self.transit.requests.at_stage(key, Stage::Queued) else { return };
        self.transit.requests.wait_at(key, Stage::Failing);
        self.service.leave_queue(key, request.endpoint());
        self.came_to_nothing(key, request);
    }

    /// A server of `endpoint` is done, and takes the next.
    pub(super) fn server_done(&mut self, endpoint: Endpoint) {
        let Transit { queue, requests, .. } = &mut self.transit;
        if let Some((key, done)) = self.service.server_done(queue, endpoint) {
            requests.go_on_at(queue, key, Stage::InService, done);
        }
    }

    fn answer_is_here(&mut self, key: Key, request: Request) {
        if request.is_step() {
            return self.step_answered(key, request.client());
        }
        if request.endpoint() == Endpoint::Upgrade {
            return self.finish_handshake(key);
        }
        self.tell_request_end(key, request.client());
        if self.desk.asks_with_nonce(&mut self.transit, key, request.client()) {
            return;
        }
        if self.desk.asks_without_refresh(&mut self.transit, key, request.client()) {
            return self.tell(request.client(), Counter::RefreshTokensRefused, 1);
        }
        self.settle(key, request.client());
    }

    fn came_to_nothing(&mut self, key: Key, request: Request) {
        if request.is_step() {
            return self.step_answered(key, request.client());
        }
        if request.endpoint() == Endpoint::Token {
            self.tell_request_end(key, request.client());
            return self.settle(key, request.client());
        }
        self.lost.count_request(self.handshakes.is_connected(key), self.service.has_seen(key));
        self.finish_handshake(key);
    }

    fn finish_handshake(&mut self, key: Key) {
        let Some((number, end)) = self.handshakes.finish(&mut self.transit, key) else { return };
        let (link, marks) = match end {
            HandshakeEnd::Open(link, marks) => (link, marks),
            HandshakeEnd::Failed(failure, marks) => {
                return self.deliver(number, Event::ConnectFailed { marks, failure });
            }
            HandshakeEnd::WantsNonce(marks) => return self.connect_again(number, marks),
        };
        self.at_client(number, link).open();
        self.deliver(number, Event::Connected(marks));
    }

    /// A handshake is made once more, with the nonce that the answer to it asked for (RFC 9449 §9).
    fn connect_again(&mut self, number: u32, marks: Marks) {
        self.tell(number, Counter::NonceRetries, 1);
        self.tell(number, Counter::TcpConnections, 1);
        if let Some(event) = self.connect(number, Some(Box::new(marks))) {
            self.deliver(number, event);
        }
    }

    /// A token request of client `number` has ended: others may go on, and so does the client.
    fn settle(&mut self, key: Key, number: u32) {
        let settled = self.desk.settle(&mut self.transit, key, number);
        self.tell_others(number, settled);
        let handed = self.desk.hand_over(&mut self.transit, key, number);
        self.give(handed);
    }

    /// Those who waited for what client `number` had, or asked for, go on.
    fn tell_others(&mut self, number: u32, settled: Settled) {
        if settled.hands_on {
            self.tell(number, Counter::TokenPoolWaits, 1);
        }
        for waiting in settled.waiting {
            let handed = self.desk.answer_waiting(&mut self.transit, waiting, settled.failure);
            self.give(handed);
        }
    }

    fn give(&mut self, handed: Option<HandedOver>) {
        match handed {
            Some(HandedOver::Told(number, event)) => self.deliver(number, event),
            Some(HandedOver::Waits(number, request)) => self.clients.wait_for(number, request),
            Some(HandedOver::Refreshed(number)) if self.clients.is_holding(number) => {
                if let Some(event) = self.desk.take_refresh(&mut self.transit, number) {
                    self.deliver(number, event);
                }
            }
            Some(HandedOver::Refreshed(_)) | None => {}
        }
    }

    /// Cuts a request off: its client has gone.
    pub(super) fn cancel(&mut self, key: Key) {
        let Some(request) = self.transit.requests.get(key) else { return };
        if request.is_step() {
            self.steps.cancel(key);
            self.transit.requests.remove(key);
            return;
        }
        self.service.leave_queue(key, request.endpoint());
        if request.endpoint() == Endpoint::Token {
            let (settled, unheard) = self.desk.cancel(&mut self.transit, key, request.client());
            self.lost.count_unheard(unheard);
            return self.tell_others(request.client(), settled);
        }
        // A client that is cut off counts no connection.
        self.lost.count_cut_off(self.service.has_seen(key));
        let unheard = self.handshakes.cancel(&mut self.transit, key);
        self.lost.count_unheard(unheard);
    }
}
