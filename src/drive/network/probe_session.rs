//! A session that a probe holds: it does on it what the group's clients do, and tells whether the client was let in.
//!
//! In: an open session, the group's rules. Out: whether the service let the client in, by the rules by which a run's clients go; how the session ended.
//! Messages are answered and heartbeats sent; what a client sends of its own accord, it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::clock::Moment;
use crate::conversation::SayKey;
use crate::lifecycle::{Ending, EndingHow, Event, Evidence};
use crate::sample::Outcome;
use crate::scenario::keys::Ready;

use super::meaning::{Meaning, meaning_of};
use super::on_session::{Secrets, first_messages, leave};
use super::session::{Heard, Session, payload_of};
use super::setup::GroupContext;
use super::speak::{Speaker, message_of};
use super::token::Token;
use super::traffic::TrafficTally;
use super::variables::{Renderer, Variables};

/// A heartbeat is sent no more often than this, whatever the peer asks for.
const LEAST_HEARTBEAT: Duration = Duration::from_millis(10);
/// The code of a session that ended without a close frame (RFC 6455 §7.1.5).
const ABNORMAL: u16 = 1006;
/// What a client says when it leaves.
const NORMAL: u16 = 1000;

/// A session that a probe holds.
pub struct ProbeSession {
    session: Session,
    tally: TrafficTally,
    context: Arc<GroupContext>,
    token: Option<Token>,
    variables: Option<Box<Variables>>,
    upgraded: Moment,
    /// When the next heartbeat is due, and how often.
    heartbeat: Option<(Moment, Duration)>,
    /// It ended, and nobody was told yet.
    over: Option<ProbeEnd>,
}

/// How a probe's session ended.
#[derive(Debug)]
pub struct ProbeEnd {
    /// When.
    pub at: Moment,
    /// Who ended it.
    pub by: ProbeEnding,
    /// What was said.
    pub evidence: Box<Evidence>,
}

/// Who ended a probe's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeEnding {
    /// The peer, by a close frame.
    Closed,
    /// Nobody in good order: the connection is gone.
    Lost,
    /// The client left, as a message refused it.
    Refused,
    /// The client left, as a message asked it to come back.
    Asked,
}

impl ProbeEnd {
    /// The code of the close frame; 1006 where there was none, 1000 where the client left.
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self.by {
            ProbeEnding::Closed | ProbeEnding::Lost => self.evidence.status,
            ProbeEnding::Refused | ProbeEnding::Asked => NORMAL,
        }
    }
}

/// Whether a session let its client in.
#[derive(Debug)]
pub enum Entry {
    /// The client is in.
    In,
    /// It is not, by this outcome, for what was said.
    Refused(Outcome, Box<Evidence>),
}

/// What listening has told.
enum Told {
    Heard,
    Ready,
    Over(ProbeEnd),
}

impl ProbeSession {
    pub(super) fn new(
        session: Session,
        context: Arc<GroupContext>,
        token: Option<Token>,
        variables: Option<Variables>,
        upgraded: Moment,
    ) -> Self {
        let variables = variables.map(Box::new);
        let tally = TrafficTally::new(&context.rules, 0);
        Self { session, tally, context, token, variables, upgraded, heartbeat: None, over: None }
    }

    /// Says what a client says first.
    pub(super) async fn begin(&mut self) {
        let client = self.client();
        let messages = first_messages(&self.context, self.token.as_ref(), client);
        for message in messages.into_iter().flatten() {
            if let Some(over) = self.send(message).await {
                // What the peer said before is read first: it may say why.
                log::debug!("the first message: {over:?}");
                return;
            }
        }
    }

    fn client(&self) -> Renderer<'_> {
        Renderer::new(&self.context.texts, 0, self.token.as_ref(), self.variables.as_deref())
    }

    fn now(&self) -> Moment {
        self.context.run.clock().now()
    }

    /// Waits until it is settled whether the client is in, as a run's client does: until what makes the session ready, or so long as a session must live.
    /// `least` holds where the group's rules let a client in at once. On a session that has heard nothing, a refusing close is waited for until `late`
    /// has passed since the upgrade, and never longer than the rules say.
    pub async fn enter(&mut self, least: Duration, late: Duration) -> Entry {
        let rules = &self.context.rules.session;
        let (ready, refused_within) = (rules.ready.clone(), rules.refused_within);
        let patience = match ready {
            Ready::Upgraded if rules.admission.is_zero() => least,
            Ready::Upgraded => rules.admission,
            Ready::FirstMessage | Ready::Connack | Ready::Message(_) => rules.ready_timeout,
        };
        loop {
            match self.listen(self.upgraded + patience).await {
                Some(Told::Heard) => {}
                Some(Told::Ready) => return Entry::In,
                Some(Told::Over(over)) => return self.turned_away(over),
                None if ready == Ready::Upgraded => break,
                None => return Entry::Refused(Outcome::NotReady, Box::new(Evidence::silence())),
            }
        }
        let until = self.upgraded + late.min(refused_within);
        while self.session.signs.heard <= self.upgraded {
            match self.listen(until).await {
                Some(Told::Over(over)) if self.refuses(&over) => return self.turned_away(over),
                Some(Told::Over(over)) => {
                    self.over = Some(over);
                    break;
                }
                Some(Told::Heard | Told::Ready) => {}
                None => break,
            }
        }
        Entry::In
    }

    /// Whether the end speaks of a refusal by itself.
    fn refuses(&self, over: &ProbeEnd) -> bool {
        match over.by {
            ProbeEnding::Closed => self.context.rules.session.refuses_by(over.evidence.status),
            ProbeEnding::Refused => true,
            ProbeEnding::Lost | ProbeEnding::Asked => false,
        }
    }

    fn turned_away(&self, over: ProbeEnd) -> Entry {
        let outcome = match over.by {
            ProbeEnding::Refused => Outcome::RefusedMessage,
            ProbeEnding::Closed if self.refuses(&over) => Outcome::RefusedClose,
            _ => Outcome::EndedEarly,
        };
        Entry::Refused(outcome, over.evidence)
    }

    /// How long what makes the session ready is waited for.
    #[must_use]
    pub fn ready_timeout(&self) -> Duration {
        self.context.rules.session.ready_timeout
    }

    /// Whether `end`, of a session that was taken for let in, is a refusal that took its time: by its code, on a session that had heard nothing.
    #[must_use]
    pub fn is_late_refusal(&self, end: &ProbeEnd) -> bool {
        let rules = &self.context.rules.session;
        rules.ready == Ready::Upgraded
            && end.by == ProbeEnding::Closed
            && self.refuses(end)
            && self.session.signs.heard <= self.upgraded
            && end.at.since(self.upgraded) <= rules.refused_within
    }

    /// Waits for the session's end, at most `limit`. `None`: it goes on.
    pub async fn wait_end(&mut self, limit: Duration) -> Option<ProbeEnd> {
        if let Some(over) = self.over.take() {
            return Some(over);
        }
        let until = self.now() + limit;
        loop {
            match self.listen(until).await {
                Some(Told::Over(over)) => return Some(over),
                Some(Told::Heard | Told::Ready) => {}
                None => return None,
            }
        }
    }

    /// Listens until something was heard, at most until then.
    async fn listen(&mut self, until: Moment) -> Option<Told> {
        loop {
            let now = self.now();
            if let Some(over) = self.beat(now).await {
                return Some(Told::Over(over));
            }
            if now >= until {
                return None;
            }
            let wake = self.heartbeat.map_or(until, |(due, _)| due.min(until));
            if let Ok(frame) = tokio::time::timeout(wake.since(now), self.session.next()).await {
                return Some(self.hear(frame).await);
            }
        }
    }

    /// Sends a heartbeat, if one is due.
    async fn beat(&mut self, now: Moment) -> Option<ProbeEnd> {
        let (due, every) = self.heartbeat.filter(|(due, _)| *due <= now)?;
        self.heartbeat = Some((due.max(now) + every, every));
        let rules = &self.context.rules.session;
        let words = SayKey::Heartbeat.words(rules)?;
        let message = message_of(words, rules.binary, |text| self.client().render(text));
        self.send(message).await
    }

    async fn send(&mut self, message: Message) -> Option<ProbeEnd> {
        let ending = self.session.say(&self.context.session, &mut self.tally, message).await?;
        Some(ended(&ending, None))
    }

    async fn hear(&mut self, frame: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Told {
        let token = self.token.clone();
        let payload = frame.as_ref().and_then(|frame| payload_of(frame.as_ref().ok()?));
        let Meaning { refused, reaction } = *payload
            .and_then(|payload| {
                let talker = self.tally.talker.as_deref_mut();
                meaning_of(&self.context, payload, (0, token.as_ref()), &mut self.variables, talker)
            })
            .unwrap_or_default();
        let heard = self.session.hear(&self.context.session, &mut self.tally, frame).await;
        if let Some(evidence) = refused {
            return Told::Over(ProbeEnd { at: self.now(), by: ProbeEnding::Refused, evidence });
        }
        for reply in reaction.replies {
            if let Some(over) = self.send(reply).await {
                return Told::Over(over);
            }
        }
        let variables = self.variables.as_deref();
        let speaker = Speaker { context: &self.context, number: 0, token: token.as_ref(), variables };
        let said = Box::pin(speaker.say_all(&mut self.session, &mut self.tally, reaction.calls)).await;
        if let Some(ending) = said {
            return Told::Over(ended(&ending, None));
        }
        let mut is_ready = false;
        for event in reaction.events {
            match event {
                Event::BecameReady => is_ready = true,
                Event::Ended(ending) => return Told::Over(ended(&ending, None)),
                Event::Heartbeat { every } => {
                    let every = every.max(LEAST_HEARTBEAT);
                    // A client's first comes after a share of that.
                    self.heartbeat = Some((self.now() + every / 2, every));
                }
                Event::Asked { .. } => {
                    let evidence = Box::new(Evidence::of_message(None));
                    return Told::Over(ProbeEnd { at: self.now(), by: ProbeEnding::Asked, evidence });
                }
                _ => {}
            }
        }
        match heard {
            Heard::Nothing if is_ready => Told::Ready,
            Heard::Nothing => Told::Heard,
            Heard::Ready => Told::Ready,
            Heard::Ended(ending) => Told::Over(ended(&ending, None)),
            Heard::Closed(ending, reason) => {
                let (token, variables) = (token.as_ref(), self.variables.as_deref());
                let secrets = Secrets { texts: Some(&self.context.texts), number: 0, token, variables };
                let reason = secrets.taken_out_of_reason(reason);
                Told::Over(ended(&ending, reason.as_deref()))
            }
        }
    }

    /// Closes the session with `code` and waits for the closing handshake (RFC 6455 §7.1.2).
    pub async fn close(mut self, code: u16) {
        leave(&mut self.session, &self.context, &mut self.tally, code).await;
    }
}

/// An end as the wire told it, with the close frame's reason.
fn ended(ending: &Ending, reason: Option<&str>) -> ProbeEnd {
    let (by, code) = match ending.how {
        EndingHow::PeerClosed(code) => (ProbeEnding::Closed, code),
        EndingHow::Left => (ProbeEnding::Closed, NORMAL),
        EndingHow::Abnormal(_) => (ProbeEnding::Lost, ABNORMAL),
    };
    ProbeEnd { at: ending.at, by, evidence: Box::new(Evidence::of_close(code, reason)) }
}
