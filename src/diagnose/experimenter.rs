//! What an experiment is made of: getting a token, a handshake, a wait, and the note of what was seen.
//!
//! In: probes. Out: observations, in the order of time.

use std::time::Duration;

use crate::clock::Moment;
use crate::drive::network::{Probe, ProbeSession, ProbeShared, ProbeToken, Refusal, TokenLook};
use crate::lifecycle::{ConnectFailure, EndingHow, TokenKnowledge};
use crate::sample::{ErrorWord, Outcome};

use super::observation::{Experiment, Manner, Observation, Refused, Seen};

/// The longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// The close code of a clean close.
pub(super) const NORMAL: u16 = 1000;
/// The close code of a session without a close frame (RFC 6455 §7.1.5).
const ABNORMAL: u16 = 1006;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// After each handshake that was admitted, to see whether its session is closed at once.
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
}

impl<'a> Experimenter<'a> {
    pub(super) fn new(probes: Probes, waits: Waits, on_step: OnStep<'a>) -> Self {
        let began = probes.main.now();
        Self { probes, waits, began, on_step, results: Results::default(), is_locked: false, opened: began }
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
        self.note_handshake(experiment, token, marks.ended.since(marks.began), connected).await
    }

    pub(super) async fn handshake(
        &mut self,
        experiment: Experiment,
        token: &ProbeToken,
    ) -> Option<ProbeSession> {
        let (marks, connected) = self.probes.main.connect(token).await;
        self.note_handshake(experiment, token, marks.ended.since(marks.began), connected).await
    }

    pub(super) async fn handshake_by(
        &mut self,
        experiment: Experiment,
        probe: &Probe,
        token: &ProbeToken,
    ) -> Option<ProbeSession> {
        let (marks, connected) = probe.connect(token).await;
        self.note_handshake(experiment, token, marks.ended.since(marks.began), connected).await
    }

    pub(super) async fn note_handshake(
        &mut self,
        experiment: Experiment,
        token: &ProbeToken,
        took: Duration,
        connected: Result<ProbeSession, ConnectFailure>,
    ) -> Option<ProbeSession> {
        let facts = token.facts();
        let now = self.now();
        let knowledge = match token.look() {
            TokenLook::Absent | TokenLook::Empty => TokenKnowledge::NotSent,
            _ if facts.expires <= now => TokenKnowledge::Expired,
            _ => TokenKnowledge::Sent,
        };
        let was_fetched = facts.received > Moment::ZERO;
        let age = was_fetched.then(|| now.since(facts.received));
        // Before anything was admitted, a failure says something of the service, and not of this handshake.
        let answers = self.showed(Experiment::FreshToken);
        let (seen, session) = match connected {
            Ok(mut session) => {
                self.opened = now;
                let ending = if answers { session.wait_end(self.waits.look).await } else { None };
                match ending {
                    Some(ending) => {
                        let manner = Manner::Closed { close_code: close_code_of(ending.how) };
                        (Seen::Refused(Refused::otherwise(manner)), None)
                    }
                    None => (Seen::Opened, Some(session)),
                }
            }
            Err(ConnectFailure::Http(evidence)) => (Seen::Refused(Refused::new(&evidence, knowledge)), None),
            Err(failure) => match failure.outcome() {
                outcome @ (Outcome::TcpReset | Outcome::Timeout) if answers => {
                    (Seen::Refused(Refused::otherwise(Manner::Unanswered { outcome })), None)
                }
                outcome => (Seen::Failed { outcome }, None),
            },
        };
        self.note(experiment, seen, age, Some(took));
        session
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

    pub(super) fn ended(&self, how: EndingHow, after: Duration) -> Seen {
        Seen::Ended { close_code: close_code_of(how), after_s: after.as_secs_f64() }
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
        };
        (self.on_step)(&Step::Seen(observation.clone()));
        self.results.observations.push(observation);
    }

    pub(super) fn now(&self) -> Moment {
        self.probes.main.now()
    }
}

const fn close_code_of(how: EndingHow) -> u16 {
    match how {
        EndingHow::PeerClosed(code) => code,
        EndingHow::Left => NORMAL,
        EndingHow::Abnormal(_) => ABNORMAL,
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
