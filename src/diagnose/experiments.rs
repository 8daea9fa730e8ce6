//! The experiments, one thing changed at a time.
//!
//! In: probes. Out: observations, in the order of time. What to try next depends on what was seen only where an answer would
//! tell nothing more; what it all means is the verdict's.

use std::time::Duration;

use crate::clock::Moment;
use crate::drive::network::{Probe, ProbeSession, ProbeShared, ProbeToken, Refusal, TokenLook};
use crate::lifecycle::{ConnectFailure, EndingHow, TokenKnowledge};
use crate::sample::Outcome;

use super::observation::{Experiment, Manner, Observation, Refused, Seen};

/// How long an older session is watched for its end when another one comes.
const DISPLACED_WITHIN: Duration = Duration::from_millis(500);
/// The longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Progress is told this often while a session idles.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The close code of a clean close.
const NORMAL: u16 = 1000;
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

/// Makes the experiments.
pub(super) struct Experimenter<'a> {
    probes: Probes,
    waits: Waits,
    began: Moment,
    on_step: OnStep<'a>,
    results: Results,
    /// Whether a client id is known to be locked after a disconnect.
    is_locked: bool,
    /// When the last session was opened.
    opened: Moment,
}

impl<'a> Experimenter<'a> {
    pub(super) fn new(probes: Probes, waits: Waits, on_step: OnStep<'a>) -> Self {
        let began = probes.main.now();
        Self { probes, waits, began, on_step, results: Results::default(), is_locked: false, opened: began }
    }

    pub(super) async fn run(mut self) -> Results {
        let Some(token) = self.fetch(Experiment::FreshToken).await else { return self.results };
        self.results.look = Some(token.look());
        match self.handshake(Experiment::FreshToken, &token).await {
            Some(session) => self.follow_session(token, session).await,
            None => self.follow_refusal().await,
        }
        self.results
    }

    // --- After a first refusal ---

    async fn follow_refusal(&mut self) {
        let was_refused = self.last_refusal().is_some();
        if !was_refused || self.wait_out_rate_limit().await {
            return;
        }
        self.attempt(Experiment::NoToken, &ProbeToken::none()).await;
        self.attempt(Experiment::NonsenseToken, &ProbeToken::nonsense()).await;
        for (experiment, probe) in std::mem::take(&mut self.probes.elsewhere) {
            if let Ok(token) = self.fetch_quietly(&probe).await {
                let session = self.handshake_by(experiment, &probe, &token).await;
                close(session).await;
            }
        }
        if self.probes.main.fetches() && !self.attempt_fresh(Experiment::AnotherFreshToken).await {
            self.pause("to see whether time helps").await;
            self.attempt_fresh(Experiment::FreshAfterWait).await;
        }
    }

    // --- After a first session ---

    async fn follow_session(&mut self, token: ProbeToken, mut session: ProbeSession) {
        if let Some(ending) = session.wait_end(self.waits.look).await {
            let seen = self.ended(ending.how, self.waits.look);
            self.note(Experiment::FirstSession, seen, None, None);
            return;
        }
        session.close(NORMAL).await;
        self.after_close(&token).await;
        if self.wait_out_rate_limit().await {
            return;
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
        if self.attempt(Experiment::SameAfterClose, token).await {
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
            Some(ending) => self.ended(ending.how, ending.at.since(began)),
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
            Some(ending) => self.ended(ending.how, ending.at.since(began)),
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
        let Some(how) = self.wait_for_idle_close(&mut session).await else {
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
        let seen = self.ended(how, self.now().since(began));
        self.note(Experiment::IdleSession, seen, None, None);
        // The channel first: the next handshake has another one.
        self.attempt_again(Experiment::ChannelAfterIdle, &token).await;
        if self.attempt(Experiment::SameAfterIdle, &token).await || self.is_rate_limited() {
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

    async fn wait_for_idle_close(&mut self, session: &mut ProbeSession) -> Option<EndingHow> {
        (self.on_step)(&Step::Waiting("for the idle close", self.waits.idle));
        let began = self.opened;
        loop {
            let passed = self.now().since(began);
            let left = self.waits.idle.saturating_sub(passed);
            if left.is_zero() {
                return None;
            }
            if let Some(ending) = session.wait_end(left.min(TELL_EVERY)).await {
                return Some(ending.how);
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

    // --- Steps ---

    /// A session with a fresh token; with `fixed` where none can be fetched.
    async fn open(
        &mut self,
        experiment: Experiment,
        fixed: &ProbeToken,
    ) -> Option<(ProbeToken, ProbeSession)> {
        let token = if self.probes.main.fetches() { self.fetch(experiment).await? } else { fixed.clone() };
        let session = self.handshake(experiment, &token).await?;
        Some((token, session))
    }

    /// A handshake with a fresh token, closed at once. Answers whether it opened a session.
    async fn attempt_fresh(&mut self, experiment: Experiment) -> bool {
        match self.fetch(experiment).await {
            Some(token) => self.attempt(experiment, &token).await,
            None => false,
        }
    }

    /// A handshake, closed at once. Answers whether it opened a session.
    async fn attempt(&mut self, experiment: Experiment, token: &ProbeToken) -> bool {
        let session = self.handshake(experiment, token).await;
        let opened = session.is_some();
        close(session).await;
        opened
    }

    /// Where steps bring a channel: a handshake on the one that there is, closed at once.
    async fn attempt_again(&mut self, experiment: Experiment, token: &ProbeToken) {
        if self.probes.main.prepares() {
            let session = self.handshake_again(experiment, token).await;
            close(session).await;
        }
    }

    async fn handshake_again(&mut self, experiment: Experiment, token: &ProbeToken) -> Option<ProbeSession> {
        let (marks, connected) = self.probes.main.connect_again(token).await;
        self.note_handshake(experiment, token, marks.ended.since(marks.began), connected).await
    }

    async fn handshake(&mut self, experiment: Experiment, token: &ProbeToken) -> Option<ProbeSession> {
        let (marks, connected) = self.probes.main.connect(token).await;
        self.note_handshake(experiment, token, marks.ended.since(marks.began), connected).await
    }

    async fn handshake_by(
        &mut self,
        experiment: Experiment,
        probe: &Probe,
        token: &ProbeToken,
    ) -> Option<ProbeSession> {
        let (marks, connected) = probe.connect(token).await;
        self.note_handshake(experiment, token, marks.ended.since(marks.began), connected).await
    }

    async fn note_handshake(
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
    async fn fetch(&mut self, experiment: Experiment) -> Option<ProbeToken> {
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

    async fn fetch_quietly(&mut self, probe: &Probe) -> Result<ProbeToken, Refusal> {
        let began = self.now();
        let token = probe.fetch().await?;
        if probe.fetches() {
            self.results.fetch_times.push(self.now().since(began));
        }
        Ok(token)
    }

    /// Where requests are limited: waits as asked, tries once more, and answers that nothing else is to be tried.
    async fn wait_out_rate_limit(&mut self) -> bool {
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
    fn showed(&self, experiment: Experiment) -> bool {
        self.results.observations.iter().any(|one| one.experiment == experiment && one.seen == Seen::Opened)
    }

    fn is_rate_limited(&self) -> bool {
        self.results
            .observations
            .iter()
            .any(|one| matches!(&one.seen, Seen::Refused(refused) if refused.is_rate_limit()))
    }

    fn last_refusal(&self) -> Option<&Refused> {
        match self.results.observations.last().map(|one| &one.seen) {
            Some(Seen::Refused(refused)) => Some(refused),
            _ => None,
        }
    }

    /// Before an experiment of its own: lets a known lock go by.
    async fn settle(&mut self) {
        if self.is_locked {
            self.pause("for the client id's lock to go by").await;
        }
    }

    async fn pause(&mut self, why: &'static str) {
        self.wait(why, self.waits.pause).await;
    }

    async fn wait(&mut self, why: &'static str, time: Duration) {
        (self.on_step)(&Step::Waiting(why, time));
        tokio::time::sleep(time).await;
    }

    fn ended(&self, how: EndingHow, after: Duration) -> Seen {
        Seen::Ended { close_code: close_code_of(how), after_s: after.as_secs_f64() }
    }

    fn note(&mut self, experiment: Experiment, seen: Seen, age: Option<Duration>, took: Option<Duration>) {
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

    fn now(&self) -> Moment {
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

async fn close(session: Option<ProbeSession>) {
    if let Some(session) = session {
        session.close(NORMAL).await;
    }
}

fn token_refused(refusal: Refusal) -> Seen {
    let Refusal { failure, connection, status, code, .. } = refusal;
    Seen::TokenRefused { outcome: failure.outcome(), connection, status, code }
}
