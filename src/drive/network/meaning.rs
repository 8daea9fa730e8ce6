//! What the messages of a frame mean to a client.
//!
//! In: a frame's payload, the group's rules, a client's part in its conversation. Out: whether it is refused, what it has to do, what the lifecycle has to know.
//! With MQTT, messages are the payloads of its packets. Clients of a run and probes share it.

use tokio_tungstenite::tungstenite::Message;

use crate::clock::Moment;
use crate::conversation::{Ack, Payload, TalkRules, Talker};
use crate::lifecycle::{Ending, EndingHow, Event, Evidence, refusal_by_message};
use crate::mqtt::{self, Fault, Packet};
use crate::sample::Abnormal;

use super::on_session::Secrets;
use super::react::{Reaction, react};
use super::setup::GroupContext;
use super::token::Token;
use super::variables::{Renderer, Variables};

/// What the messages of a frame mean to a client.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    /// What refuses it.
    pub(super) refused: Option<Box<Evidence>>,
    /// What they make it do.
    pub(super) reaction: Reaction,
}

impl Meaning {
    const fn is_nothing(&self) -> bool {
        self.refused.is_none() && self.reaction.is_nothing()
    }
}

/// What the messages of a frame mean to client `number` with this token, by the group's rules, if anything; what it saves of them goes into its `variables`.
pub(super) fn meaning_of(
    context: &GroupContext,
    payload: Payload<'_>,
    (number, token): (u32, Option<&Token>),
    variables: &mut Option<Box<Variables>>,
    talker: Option<&mut Talker>,
) -> Option<Box<Meaning>> {
    let looks = &context.rules.looks;
    let mut talk = looks.talk().zip(talker).map(|(rules, talker)| {
        let clock = context.sink.clock();
        let now = clock.now();
        (rules, talker, (now, clock.unix_us(now)))
    });
    let mut meaning = Meaning::default();
    match &mut talk {
        Some((rules, talker, at)) if rules.speaks_mqtt() => {
            take_packets(context, payload, (number, token), variables, (rules, talker, *at), &mut meaning);
        }
        talk => {
            let talk = talk.as_mut().map(|(rules, talker, at)| (&**rules, &mut **talker, *at));
            take_messages(context, payload, (number, token), variables, talk, &mut meaning);
        }
    }
    // Boxed where it says something: a client's state has to have room for it while it reads.
    (!meaning.is_nothing()).then(|| Box::new(meaning))
}

/// The group's conversation, a client's part in it, and what time it is: since the run's begin, and in microseconds since 1970.
type Talk<'a> = (&'a TalkRules, &'a mut Talker, (Moment, u64));

/// Looks at the messages of a frame. Whether one of them refuses the client stands in `meaning`; those behind it are not looked at.
fn take_messages(
    context: &GroupContext,
    payload: Payload<'_>,
    (number, token): (u32, Option<&Token>),
    variables: &mut Option<Box<Variables>>,
    mut talk: Option<Talk<'_>>,
    meaning: &mut Meaning,
) {
    let (looks, rules) = (&context.rules.looks, &context.rules.session);
    let client = Renderer::new(&context.texts, number, token, None);
    for look in looks.messages(payload) {
        if let Some(refusal) = refusal_by_message(looks, &rules.refused_on, &look) {
            let secrets =
                Secrets { texts: Some(&context.texts), number, token, variables: variables.as_deref() };
            meaning.refused = Some(Box::new(secrets.taken_out_of(refusal)));
            return;
        }
        react(looks.calls_for(&rules.on_message, &look), client, variables, &look, &mut meaning.reaction);
        if let Some((rules, talker, at)) = &mut talk {
            let secrets =
                Secrets { texts: Some(&context.texts), number, token, variables: variables.as_deref() };
            let is_secret = |word: &str| secrets.have(word);
            talker.hear(rules, &look, *at, &mut meaning.reaction.calls, is_secret);
        }
    }
}

/// Follows the packets of a frame. What breaks the protocol ends the session (§4.8 of MQTT 3.1.1, §4.13 of MQTT 5); a text is no packet (§6).
fn take_packets(
    context: &GroupContext,
    payload: Payload<'_>,
    who: (u32, Option<&Token>),
    variables: &mut Option<Box<Variables>>,
    (rules, talker, at): Talk<'_>,
    meaning: &mut Meaning,
) {
    let now = at.0;
    match (payload, talker.line()) {
        (Payload::Binary(bytes), Some(line)) => line.feed(bytes),
        _ => return meaning.broken(Fault::Malformed, now),
    }
    while let Some(next) = talker.line().map(|line| line.next_packet()) {
        let packet = match next {
            Ok(Some(packet)) => packet,
            Ok(None) => return,
            Err(fault) => return meaning.broken(fault, now),
        };
        match packet {
            Packet::Accepted { .. } => meaning.reaction.tell(Event::BecameReady),
            Packet::Refused(words) => {
                meaning.refused = Some(Box::new(Evidence::of_message(Some(words.to_owned()))));
                return;
            }
            Packet::Message { payload, acknowledge } => {
                if let Some(id) = acknowledge {
                    meaning.reaction.answer(Message::Binary(mqtt::acknowledge(id)));
                    talker.line().into_iter().for_each(|line| line.sent(now));
                }
                let message = Payload::of_packet(&payload);
                let talk = Some((rules, &mut *talker, at));
                take_messages(context, message, who, variables, talk, meaning);
                if meaning.refused.is_some() {
                    return;
                }
            }
            Packet::Acknowledged { id, is_ok } => {
                talker.acknowledged(rules, Ack { id, is_subscription: false, is_ok }, now);
            }
            Packet::Subscribed { id, is_ok } => {
                talker.acknowledged(rules, Ack { id, is_subscription: true, is_ok }, now);
            }
            Packet::Pong => {}
            // It refuses who is not in; of others, it is told with the session's end.
            Packet::Disconnected(code) if !talker.is_in() => {
                let words = mqtt::words_of_code(code).to_owned();
                meaning.refused = Some(Box::new(Evidence::of_message(Some(words))));
                return;
            }
            Packet::Disconnected(_) => {}
        }
    }
}

impl Meaning {
    /// The peer broke the protocol.
    fn broken(&mut self, fault: Fault, now: Moment) {
        let how = match fault {
            Fault::Malformed => Abnormal::Protocol,
            Fault::TooLarge => Abnormal::TooLarge,
        };
        self.reaction.tell(Event::Ended(Ending::new(now, EndingHow::Abnormal(how))));
    }
}
