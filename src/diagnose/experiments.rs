//! The experiments, one thing changed at a time.
//!
//! In: probes. Out: observations, in the order of time. What to try next depends on what was seen only where an answer would
//! tell nothing more; what it all means is the verdict's.

use std::time::Duration;

use crate::drive::network::{ProbeEnd, ProbeSession, ProbeToken};
use crate::lifecycle::TokenKnowledge;

use super::experimenter::{Experimenter, NORMAL, Results, Step, close, token_refused};
use super::observation::{Experiment, Seen};
use super::refused::{Manner, Refused};

/// How long an older session is watched for its end when another one comes.
const DISPLACED_WITHIN: Duration = Duration::from_millis(500);
/// Progress is told this often while a session idles.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl Experimenter<'_> {
    pub(super) async fn run(mut self) -> Results {
        let Some(token) = self.fetch(Experiment::FreshToken).await else { return self.results };
        self.results.note_look(&token);
        match self.handshake(Experiment::FreshToken, &token).await {
            Some(session) => Box::pin(self.follow_session(token, session)).await,
            None => self.follow_refusal(&token).await,
        }
        self.results
    }

    // --- After a first refusal ---

    async fn follow_refusal(&mut self, token: &ProbeToken) {
        let Some(is_a_step) = self.last_refusal().map(|refused| refused.step.is_some()) else { return };
        if self.wait_out_rate_limit().await {
            return;
        }
        if self.probes.old_signature.is_none() || self.probes.main.has_tokens() {
            self.attempt(Experiment::NoToken, &ProbeToken::none()).await;
            self.attempt(Experiment::NonsenseToken, &ProbeToken::nonsense()).await;
        }
        if !is_a_step {
            self.places_and_origins().await;
        }
        if !self.probes.main.fetches() {
            if self.results.observations.iter().any(|one| one.seen == Seen::Opened) {
                // What let the client in may have been the time that passed.
                self.attempt(Experiment::SameAgain, token).await;
            }
        } else if !self.attempt_fresh(Experiment::AnotherFreshToken).await {
            self.pause("to see whether time helps").await;
            self.attempt_fresh(Experiment::FreshAfterWait).await;
        }
        if !is_a_step {
            self.vary(token).await;
        }
    }

    /// Where nothing has let the client in, and the refusal does not speak of the token: what else there is of a handshake.
    async fn vary(&mut self, token: &ProbeToken) {
        let observations = &self.results.observations;
        let first = observations.iter().find_map(|one| match &one.seen {
            Seen::Refused(refused) => Some(refused.clone()),
            _ => None,
        });
        let Some(first) = first.filter(Refused::leaves_handshake_open) else { return };
        for varied in std::mem::take(&mut self.probes.varied) {
            let has_opened = self.results.observations.iter().any(|one| one.seen == Seen::Opened);
            if has_opened || self.is_rate_limited() {
                break;
            }
            if first.manner != Manner::Status && varied.0.is_of_writing() {
                continue;
            }
            let is_offer = varied.0 == Experiment::KnownSubprotocols;
            if !self.attempt_varied(varied).await {
                continue;
            }
            for alone in if is_offer { std::mem::take(&mut self.probes.each_alone) } else { Vec::new() } {
                if self.attempt_varied(alone).await {
                    break;
                }
            }
            // What let the client in may have been the time that passed.
            match self.probes.main.fetches() {
                true => self.attempt_fresh(Experiment::SameAgain).await,
                false => self.attempt(Experiment::SameAgain, token).await,
            };
            break;
        }
    }

    /// What a handshake has beside the token itself: where the token stands, and the page that it says it comes from.
    async fn places_and_origins(&mut self) {
        for (experiment, probe) in std::mem::take(&mut self.probes.elsewhere) {
            if let Ok(token) = self.fetch_quietly(&probe).await {
                let session = self.handshake_by(experiment, &probe, &token).await;
                close(session).await;
            }
        }
        for origin in std::mem::take(&mut self.probes.origins) {
            self.attempt_with_origin(origin).await;
        }
    }

    // --- After a first session ---

    async fn follow_session(&mut self, token: ProbeToken, mut session: ProbeSession) {
        if let Some(end) = session.wait_end(self.waits.look).await {
            let seen = self.ended(&end, end.at.since(self.opened));
            self.note(Experiment::FirstSession, seen, None, None);
            return;
        }
        session.close(NORMAL).await;
        self.after_close(&token).await;
        if self.wait_out_rate_limit().await {
            return;
        }
        if let Some(probe) = &self.probes.old_signature {
            let (marks, connected) = probe.connect(&token).await;
            let took = marks.ended.since(marks.began);
            let session =
                self.note_handshake(Experiment::OldSignature, &token, took, connected, Duration::ZERO).await;
            close(session).await;
        }
        let older_dies = self.probes.main.fetches() && self.compare_tokens().await;
        self.sessions_beside(&token).await;
        self.channel_beside(&token).await;
        if self.wait_out_rate_limit().await {
            return;
        }
        self.idle(&token, older_dies).await;
        if !self.wait_out_rate_limit().await {
            self.other_scope().await;
        }
    }

    /// The same token after a clean close; where it is refused, a fresh one, and both after a wait.
    async fn after_close(&mut self, token: &ProbeToken) {
        if self.attempt_patiently(Experiment::SameAfterClose, token).await {
            self.attempt_again(Experiment::ChannelAfterClose, token).await;
            return;
        }
        if self.is_rate_limited() {
            return;
        }
        let fresh = self.probes.main.fetches() && self.attempt_fresh(Experiment::FreshAfterClose).await;
        self.pause("to see whether time helps the same token").await;
        let same = self.attempt(Experiment::SameAfterCloseAndWait, token).await;
        if !fresh && !same && self.probes.main.fetches() {
            self.attempt_fresh(Experiment::FreshAfterCloseAndWait).await;
        }
        self.is_locked = !fresh && same;
    }

    /// The older of two tokens. Answers whether it was refused.
    async fn compare_tokens(&mut self) -> bool {
        self.settle().await;
        let Some(older) = self.fetch(Experiment::OlderOfTwo).await else { return false };
        if self.fetch(Experiment::OlderOfTwo).await.is_none() {
            return false;
        }
        !self.attempt(Experiment::OlderOfTwo, &older).await && self.last_refusal().is_some()
    }

    /// Two sessions at once, with tokens of their own, then with the same one.
    async fn sessions_beside(&mut self, fixed: &ProbeToken) {
        self.settle().await;
        let Some((_, mut first)) = self.open(Experiment::NewSession, fixed).await else { return };
        let began = self.opened;
        let Some((token, second)) = self.open(Experiment::SecondBeside, fixed).await else {
            first.close(NORMAL).await;
            return;
        };
        let ending = first.wait_end(DISPLACED_WITHIN).await;
        let seen = match &ending {
            Some(end) => self.ended(end, end.at.since(began)),
            None => Seen::WentOn { for_s: DISPLACED_WITHIN.as_secs_f64() },
        };
        self.note(Experiment::FirstBeside, seen, None, None);
        if ending.is_none() {
            first.close(NORMAL).await;
        }
        // A client that is locked after a disconnect is locked now, second session or not.
        if self.probes.main.fetches() && !self.is_locked {
            self.attempt(Experiment::SameBeside, &token).await;
        }
        second.close(NORMAL).await;
    }

    /// Two sessions on one channel, where it may be opened more than once.
    async fn channel_beside(&mut self, fixed: &ProbeToken) {
        if !self.showed(Experiment::ChannelAfterClose) || self.is_rate_limited() {
            return;
        }
        let Some((token, mut first)) = self.open(Experiment::NewSession, fixed).await else { return };
        let began = self.opened;
        let second = self.handshake_again(Experiment::ChannelBeside, &token).await;
        let ending = first.wait_end(DISPLACED_WITHIN).await;
        let seen = match &ending {
            Some(end) => self.ended(end, end.at.since(began)),
            None => Seen::WentOn { for_s: DISPLACED_WITHIN.as_secs_f64() },
        };
        self.note(Experiment::FirstOnChannel, seen, None, None);
        if ending.is_none() {
            first.close(NORMAL).await;
        }
        close(second).await;
    }

    /// A session without traffic, and what comes after its end.
    async fn idle(&mut self, fixed: &ProbeToken, older_dies: bool) {
        self.settle().await;
        let unused = if self.probes.main.fetches() && !older_dies {
            self.fetch(Experiment::AgedUnused).await
        } else {
            None
        };
        let Some((token, mut session)) = self.open(Experiment::NewSession, fixed).await else { return };
        let began = self.opened;
        let Some(end) = self.wait_for_idle_close(&mut session).await else {
            self.note(
                Experiment::IdleSession,
                Seen::WentOn { for_s: self.waits.idle.as_secs_f64() },
                None,
                None,
            );
            session.close(NORMAL).await;
            if let Some(unused) = unused {
                self.settle().await;
                self.attempt(Experiment::AgedUnused, &unused).await;
            }
            return;
        };
        if session.is_late_refusal(&end) {
            let manner = Manner::Closed { close_code: end.close_code() };
            let refused = Refused::new(manner, &end.evidence, TokenKnowledge::Sent);
            self.note(Experiment::IdleSession, Seen::Refused(refused), None, Some(end.at.since(began)));
            return;
        }
        let seen = self.ended(&end, end.at.since(began));
        self.note(Experiment::IdleSession, seen, None, None);
        // The channel first: the next handshake has another one.
        self.attempt_again(Experiment::ChannelAfterIdle, &token).await;
        if self.attempt_patiently(Experiment::SameAfterIdle, &token).await || self.is_rate_limited() {
            return;
        }
        if self.probes.main.fetches() && !self.attempt_fresh(Experiment::FreshAfterIdle).await {
            self.pause("to see whether time helps").await;
            self.attempt_fresh(Experiment::FreshAfterIdleAndWait).await;
        }
        if let Some(unused) = unused {
            self.settle().await;
            self.attempt(Experiment::AgedUnused, &unused).await;
        }
    }

    async fn wait_for_idle_close(&mut self, session: &mut ProbeSession) -> Option<ProbeEnd> {
        (self.on_step)(&Step::Waiting("for the idle close", self.waits.idle));
        let began = self.opened;
        loop {
            let passed = self.now().since(began);
            let left = self.waits.idle.saturating_sub(passed);
            if left.is_zero() {
                return None;
            }
            if let Some(end) = session.wait_end(left.min(TELL_EVERY)).await {
                return Some(end);
            }
            let passed = self.now().since(began);
            (self.on_step)(&Step::StillWaiting(passed));
        }
    }

    /// A token with another scope: what a missing scope looks like here.
    async fn other_scope(&mut self) {
        let Some(probe) = self.probes.other_scope.take() else { return };
        self.settle().await;
        match self.fetch_quietly(&probe).await {
            Ok(token) => {
                let session = self.handshake_by(Experiment::OtherScope, &probe, &token).await;
                close(session).await;
            }
            Err(refusal) => self.note(Experiment::OtherScope, token_refused(refusal), None, None),
        }
    }
}
