//! What an experiment is made of: getting a token, a handshake, a wait, and the note of what was seen.
//!
//! In: probes. Out: observations, in the order of time.

use std::time::Duration;

use crate::clock::Moment;
use crate::drive::network::{
    Entry, NotConnected, Probe, ProbeEnd, ProbeSession, ProbeShared, ProbeToken, Refusal, TokenLook,
};
use crate::lifecycle::{ConnectFailure, TokenKnowledge};
use crate::sample::{ErrorWord, Outcome, Spoken};

use super::observation::{Experiment, Observation, Seen};
use super::refused::{Manner, Refused};

/// The longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// The close code of a clean close.
pub(super) const NORMAL: u16 = 1000;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// After a handshake that lets the client in at once by the scenario's rules, and after the first session's admission, to see whether the session
    /// is closed at once.
    pub look: Duration,
    /// For the idle close, at most.
    pub idle: Duration,
    /// Before an attempt that is to show what a wait changes.
    pub pause: Duration,
}

/// The probes of one case.
pub(super) struct Probes {
    /// As the scenario has it.
    pub(super) main: Probe,
    /// The same with the token in another place.
    pub(super) elsewhere: Vec<(Experiment, Probe)>,
    /// The same with another `Origin`, or without one.
    pub(super) origins: Vec<(Experiment, Option<String>, Probe)>,
    /// The same with one thing changed of what it offers or how it is written.
    pub(super) varied: Vec<(Experiment, Option<String>, Probe)>,
    /// The same with each of the subprotocols that may be meant.
    pub(super) each_alone: Vec<(Experiment, Option<String>, Probe)>,
    /// The same with a signature whose time is over, where handshakes are signed.
    pub(super) old_signature: Option<Probe>,
    /// The same with tokens of another scope.
    pub(super) other_scope: Option<Probe>,
    /// What they share.
    pub(super) _shared: ProbeShared,
}

/// Told what goes on.
pub type OnStep<'a> = &'a mut dyn FnMut(&Step);

/// A step of the experiments.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Something was seen.
    Seen(Observation),
    /// A wait begins, for this reason, at most so long.
    Waiting(&'static str, Duration),
    /// It goes on: so long by now.
    StillWaiting(Duration),
}

/// What the experiments brought.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) observations: Vec<Observation>,
    /// What kind of text the first token was.
    pub(super) look: Option<TokenLook>,
    /// How long each token request took.
    pub(super) fetch_times: Vec<Duration>,
}

impl Results {
    /// This was the first token.
    pub(super) fn note_look(&mut self, token: &ProbeToken) {
        self.look = Some(token.look());
    }
}

/// Makes the experiments.
pub(super) struct Experimenter<'a> {
    pub(super) probes: Probes,
    pub(super) waits: Waits,
    began: Moment,
    pub(super) on_step: OnStep<'a>,
    pub(super) results: Results,
    /// Whether a client id is known to be locked after a disconnect.
    pub(super) is_locked: bool,
    /// When the last session was opened.
    pub(super) opened: Moment,
    /// The `Origin` that the experiment under way sends in place of the scenario's.
    origin: Option<String>,
    /// The subprotocol or `Host` that it sends in place of the scenario's.
    sent: Option<String>,
}

impl<'a> Experimenter<'a> {
    pub(super) fn new(probes: Probes, waits: Waits, on_step: OnStep<'a>) -> Self {
        let began = probes.main.now();
        let results = Results::default();
        Self {
            probes,
            waits,
            began,
            on_step,
            results,
            is_locked: false,
            opened: began,
            origin: None,
            sent: None,
        }
    }

    /// A session with a fresh token; with `fixed` where none can be fetched.
    pub(super) async fn open(
        &mut self,
        experiment: Experiment,
        fixed: &ProbeToken,
    ) -> Option<(ProbeToken, ProbeSession)> {
        let token = if self.probes.main.fetches() { self.fetch(experiment).await? } else { fixed.clone() };
        let session = self.handshake(experiment, &token).await?;
        Some((token, session))
    }

    /// A handshake with a fresh token, closed at once. Answers whether it opened a session.
    pub(super) async fn attempt_fresh(&mut self, experiment: Experiment) -> bool {
        match self.fetch(experiment).await {
            Some(token) => self.attempt(experiment, &token).await,
            None => false,
        }
    }

    /// A handshake, closed at once; where nothing is heard, a late refusal is waited for. Answers whether it opened a session.
    pub(super) async fn attempt_patiently(&mut self, experiment: Experiment, token: &ProbeToken) -> bool {
        let late = self.waits.idle;
        let (marks, connected) = self.probes.main.connect(token).await;
        let took = marks.ended.since(marks.began);
        let session = self.note_handshake(experiment, token, took, connected, late).await;
        let opened = session.is_some();
        close(session).await;
        opened
    }

    /// A handshake, closed at once. Answers whether it opened a session.
    pub(super) async fn attempt(&mut self, experiment: Experiment, token: &ProbeToken) -> bool {
        let session = self.handshake(experiment, token).await;
        let opened = session.is_some();
        close(session).await;
        opened
    }

    /// Where steps bring a channel: a handshake on the one that there is, closed at once.
    pub(super) async fn attempt_again(&mut self, experiment: Experiment, token: &ProbeToken) {
        if self.probes.main.prepares() {
            let session = self.handshake_again(experiment, token).await;
            close(session).await;
        }
    }

    pub(super) async fn handshake_again(
        &mut self,
        experiment: Experiment,
        token: &ProbeToken,
    ) -> Option<ProbeSession> {
        let (marks, connected) = self.probes.main.connect_again(token).await;
        let took = marks.ended.since(marks.began);
        self.note_handshake(experiment, token, took, connected, Duration::ZERO).await
    }

    pub(super) async fn handshake(
        &mut self,
        experiment: Experiment,
        token: &ProbeToken,
    ) -> Option<ProbeSession> {
        let (marks, connected) = self.probes.main.connect(token).await;
        let took = marks.ended.since(marks.began);
        self.note_handshake(experiment, token, took, connected, Duration::ZERO).await
    }

    pub(super) async fn handshake_by(
        &mut self,
        experiment: Experiment,
        probe: &Probe,
        token: &ProbeToken,
    ) -> Option<ProbeSession> {
        let (marks, connected) = probe.connect(token).await;
        let took = marks.ended.since(marks.began);
        self.note_handshake(experiment, token, took, connected, Duration::ZERO).await
    }

    /// A handshake with another `Origin`, closed at once.
    pub(super) async fn attempt_with_origin(
        &mut self,
        (experiment, origin, probe): (Experiment, Option<String>, Probe),
    ) {
        if let Ok(token) = self.fetch_quietly(&probe).await {
            self.origin = origin;
            let session = self.handshake_by(experiment, &probe, &token).await;
            self.origin = None;
            close(session).await;
        }
    }

    /// A handshake with one thing changed, closed at once. Answers whether it opened a session.
    pub(super) async fn attempt_varied(
        &mut self,
        (experiment, sent, probe): (Experiment, Option<String>, Probe),
    ) -> bool {
        let Ok(token) = self.fetch_quietly(&probe).await else { return false };
        self.sent = sent;
        let session = self.handshake_by(experiment, &probe, &token).await;
        self.sent = None;
        let opened = session.is_some();
        close(session).await;
        opened
    }

    /// What a handshake came to. A refusing close is waited for up to `late` where nothing is heard.
    pub(super) async fn note_handshake(
        &mut self,
        experiment: Experiment,
        token: &ProbeToken,
        took: Duration,
        connected: Result<ProbeSession, NotConnected>,
        late: Duration,
    ) -> Option<ProbeSession> {
        let facts = token.facts();
        let now = self.now();
        let knowledge = match token.look() {
            // What a cookie or a ticket stands for is not known.
            TokenLook::Absent | TokenLook::Empty if self.probes.old_signature.is_some() => {
                TokenKnowledge::Sent
            }
            TokenLook::Absent | TokenLook::Empty if !self.probes.main.may_show() => TokenKnowledge::NotSent,
            _ if facts.expires <= now => TokenKnowledge::Expired,
            _ if facts.lacks_scope => TokenKnowledge::LacksScope,
            _ => TokenKnowledge::Sent,
        };
        let was_fetched = facts.received > Moment::ZERO;
        let age = was_fetched.then(|| now.since(facts.received));
        let (seen, session) = match connected {
            Ok(session) => self.enter(session, knowledge, late).await,
            Err(NotConnected { step, failure }) => (self.not_connected(failure, step, knowledge), None),
        };
        self.note(experiment, seen, age, Some(took));
        session
    }

    /// Waits until the client of an open session is in, or is not.
    async fn enter(
        &mut self,
        mut session: ProbeSession,
        knowledge: TokenKnowledge,
        late: Duration,
    ) -> (Seen, Option<ProbeSession>) {
        self.opened = self.now();
        let entry = session.enter(self.waits.look, late).await;
        let Entry::Refused(outcome, evidence) = entry else { return (Seen::Opened, Some(session)) };
        let manner = match (outcome, evidence.spoken) {
            (Outcome::NotReady, _) => {
                let waited = session.ready_timeout().as_millis();
                Manner::NotReady { after_ms: u64::try_from(waited).unwrap_or(u64::MAX) }
            }
            (_, Spoken::Close) => Manner::Closed { close_code: evidence.status },
            _ => Manner::Message,
        };
        if !matches!(manner, Manner::Closed { .. }) {
            session.close(NORMAL).await;
        }
        (Seen::Refused(Refused::new(manner, &evidence, knowledge)), None)
    }

    /// What it is that a handshake, or the step before it, did not come to a session.
    fn not_connected(
        &self,
        failure: ConnectFailure,
        step: Option<String>,
        knowledge: TokenKnowledge,
    ) -> Seen {
        // Before anything was admitted, a failure says something of the service, and not of this handshake.
        let answers = self.showed(Experiment::FreshToken);
        match failure {
            ConnectFailure::Http(evidence) => {
                Seen::Refused(Refused::new(Manner::Status, &evidence, knowledge).at_step(step))
            }
            failure => match failure.outcome() {
                outcome @ (Outcome::TcpReset | Outcome::Timeout) if answers => {
                    Seen::Refused(Refused::unanswered(outcome).at_step(step))
                }
                outcome => Seen::Failed { outcome, step },
            },
        }
    }

    /// Gets a token; where none comes, that is what the experiment showed.
    pub(super) async fn fetch(&mut self, experiment: Experiment) -> Option<ProbeToken> {
        let began = self.now();
        match self.probes.main.fetch().await {
            Ok(token) => {
                if self.probes.main.fetches() {
                    self.results.fetch_times.push(self.now().since(began));
                }
                Some(token)
            }
            Err(refusal) => {
                self.note(experiment, token_refused(refusal), None, None);
                None
            }
        }
    }

    pub(super) async fn fetch_quietly(&mut self, probe: &Probe) -> Result<ProbeToken, Refusal> {
        let began = self.now();
        let token = probe.fetch().await?;
        if probe.fetches() {
            self.results.fetch_times.push(self.now().since(began));
        }
        Ok(token)
    }

    /// Where requests are limited: waits as asked, tries once more, and answers that nothing else is to be tried.
    pub(super) async fn wait_out_rate_limit(&mut self) -> bool {
        if !self.is_rate_limited() {
            return false;
        }
        let asked = self.last_refusal().and_then(|refused| refused.retry_after_s);
        let asked = asked.and_then(|s| Duration::try_from_secs_f64(s).ok());
        self.wait("because requests are limited", asked.unwrap_or(self.waits.pause).min(LONGEST_WAIT)).await;
        self.attempt_fresh(Experiment::FreshAfterWait).await;
        true
    }

    /// Whether an experiment was made and opened a session.
    pub(super) fn showed(&self, experiment: Experiment) -> bool {
        self.results.observations.iter().any(|one| one.experiment == experiment && one.seen == Seen::Opened)
    }

    pub(super) fn is_rate_limited(&self) -> bool {
        self.results
            .observations
            .iter()
            .any(|one| matches!(&one.seen, Seen::Refused(refused) if refused.is_rate_limit()))
    }

    pub(super) fn last_refusal(&self) -> Option<&Refused> {
        match self.results.observations.last().map(|one| &one.seen) {
            Some(Seen::Refused(refused)) => Some(refused),
            _ => None,
        }
    }

    /// Before an experiment of its own: lets a known lock go by.
    pub(super) async fn settle(&mut self) {
        if self.is_locked {
            self.pause("for the client id's lock to go by").await;
        }
    }

    pub(super) async fn pause(&mut self, why: &'static str) {
        self.wait(why, self.waits.pause).await;
    }

    pub(super) async fn wait(&mut self, why: &'static str, time: Duration) {
        (self.on_step)(&Step::Waiting(why, time));
        tokio::time::sleep(time).await;
    }

    pub(super) fn ended(&self, end: &ProbeEnd, after: Duration) -> Seen {
        Seen::Ended { close_code: end.close_code(), after_s: after.as_secs_f64(), by: end.by.into() }
    }

    pub(super) fn note(
        &mut self,
        experiment: Experiment,
        seen: Seen,
        age: Option<Duration>,
        took: Option<Duration>,
    ) {
        let observation = Observation {
            experiment,
            seen,
            at_s: self.now().since(self.began).as_secs_f64(),
            token_age_s: age.map(|age| age.as_secs_f64()),
            took_us: took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            origin: self.origin.clone(),
            sent: self.sent.clone(),
        };
        (self.on_step)(&Step::Seen(observation.clone()));
        self.results.observations.push(observation);
    }

    pub(super) fn now(&self) -> Moment {
        self.probes.main.now()
    }
}

pub(super) async fn close(session: Option<ProbeSession>) {
    if let Some(session) = session {
        session.close(NORMAL).await;
    }
}

pub(super) fn token_refused(refusal: Refusal) -> Seen {
    let Refusal { failure, connection, status, code, answer, .. } = refusal;
    let code = code.filter(|code| *code != ErrorWord::OTHER);
    Seen::TokenRefused { outcome: failure.outcome(), connection, status, code, answer }
}
