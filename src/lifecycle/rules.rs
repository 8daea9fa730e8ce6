//! What the clients of a group have in common, and what the scenario has in store for all of them.
//!
//! In: the scenario. Out: [`GroupRules`], shared by the group's machines and passed to each step.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::conversation::Looks;
use crate::declare::{Template, UrlText, is_secret_header, is_secret_name};
use crate::plan::first_number;
use crate::sample::StormId;
use crate::scenario::admission_of;
use crate::scenario::keys::PrepareRules;
use crate::scenario::keys::{
    ClientDisconnect, Feeder, Group, ReconnectRules, Scenario, SessionRules, StormBy, TokenRules, When,
};

use super::asked::AskedStorms;
use super::storm::StormRule;
use super::trace::Traces;

/// The rules by which the clients of a group behave.
#[derive(Debug, Clone)]
pub struct GroupRules {
    /// Their tokens; `None`: they send none.
    pub token: Option<TokenRules>,
    /// How long a signature of theirs is good, where they sign their handshakes; without a token, that is what they show.
    pub signature_life: Option<Duration>,
    /// Whether their handshakes may show something else that says who they are: a cookie, a ticket in the URL, a header, a first message.
    pub may_show: bool,
    /// What they do before a handshake; `None`: nothing.
    pub prepare: Option<Box<PrepareRules>>,
    /// What they do while connected.
    pub session: SessionRules,
    /// What they look for in messages.
    pub looks: Arc<Looks>,
    /// What their texts may name beside variables, a row a client.
    pub feeder: Option<Arc<Feeder>>,
    /// Disconnects that they cause.
    pub disconnects: Vec<ClientDisconnect>,
    /// How they come back.
    pub reconnect: ReconnectRules,
    /// The storms that may strike them, by time.
    pub storms: Vec<StormRule>,
    /// Those that are asked for while the run goes on.
    pub asked: AskedStorms,
    /// Whether they arrive all through the run, in place of a fleet that is started.
    pub arrives: bool,
    /// Number of its first client.
    pub first: u32,
    /// The run's seed.
    pub seed: u64,
    /// The traces to which their requests belong; `None`: to none, as in virtual time, where no request is on a wire.
    pub traces: Option<Traces>,
}

impl GroupRules {
    /// The same, where storms may be asked for: then they are in `asked`.
    #[must_use]
    pub fn hearing(self, asked: &AskedStorms) -> Self {
        Self { asked: asked.clone(), ..self }
    }

    /// Whether the clients sign what they show: their own tokens, or their handshakes in the place of a token.
    #[must_use]
    pub fn mints(&self) -> bool {
        self.shows_signature() || self.token.as_ref().is_some_and(|token| token.grant.is_minted())
    }

    /// Whether what they show is a signature, and no token.
    #[must_use]
    pub const fn shows_signature(&self) -> bool {
        self.token.is_none() && self.signature_life.is_some()
    }

    /// The same; requests belong to traces of a run that began then, in microseconds since 1970, where the group wants it.
    #[must_use]
    pub fn traced(self, scenario: &Scenario, index: usize, started_unix_us: u64) -> Self {
        let traces = scenario.groups[index].trace.then(|| Traces::of(scenario.seed, started_unix_us));
        Self { traces, ..self }
    }

    /// The rules of the scenario's group `index`.
    #[must_use]
    pub fn of(scenario: &Scenario, index: usize) -> Self {
        let group = &scenario.groups[index];
        let admission = admission_of(scenario, index);
        Self {
            token: group.token.clone(),
            signature_life: group.connect.sign.as_ref().map(|sign| sign.life()),
            may_show: may_show(group),
            prepare: group.prepare.clone(),
            session: SessionRules {
                admission: admission.after,
                refused_within: admission.refused_within,
                ..group.session.clone()
            },
            looks: Arc::new(Looks::new(&group.session)),
            feeder: group.feeder.clone(),
            disconnects: group.disconnects.clone(),
            reconnect: group.reconnect.clone(),
            storms: storms_of(scenario, index),
            asked: AskedStorms::default(),
            arrives: group.arrivals.is_some(),
            first: first_number(scenario, index),
            seed: scenario.seed,
            traces: None,
        }
    }
}

/// Whether the handshakes of a group may show who the client is beside its token.
fn may_show(group: &Group) -> bool {
    let connect = &group.connect;
    let in_url = match &connect.url {
        Some(UrlText::Template(template)) => template.variables().any(|name| name != "address"),
        Some(UrlText::Fixed(url)) => url.query_pairs().any(|(name, _)| is_secret_name(&name)),
        None => false,
    };
    let in_path = connect.path.as_ref().is_some_and(|path| path.contains('?'));
    let in_header = |(name, text): &(String, Template)| text.fixed().is_none() || is_secret_header(name);
    in_url
        || in_path
        || connect.headers.iter().any(in_header)
        || group.prepare.as_ref().is_some_and(|prepare| prepare.cookies)
        || group.session.first_message.is_some()
        || group.session.say.iter().any(|say| matches!(say.when, When::Ready | When::On(_)))
        || group.session.mqtt.as_ref().is_some_and(|mqtt| mqtt.shows())
}

fn storms_of(scenario: &Scenario, group: usize) -> Vec<StormRule> {
    let mut storms: Vec<StormRule> = Vec::new();
    for (index, storm) in scenario.storms.iter().enumerate() {
        let (at, id) = (Moment::ZERO + storm.at, StormId::of(index));
        match &storm.by {
            StormBy::Target { code } => {
                storms.push(StormRule::ByTarget { at, code: *code, all: storm.fraction >= 1.0, id });
            }
            StormBy::Client { how, groups }
                if groups.as_ref().is_none_or(|groups| groups.contains(&group)) =>
            {
                storms.push(StormRule::ByClient { at, how: *how, id, fraction: storm.fraction });
            }
            StormBy::Client { .. } => {}
            StormBy::Event { event } => storms.extend(scenario.events.get(*event).map(|event| {
                let (every, window) = (event.every, event.window);
                StormRule::ByEvent { at, every, window, id }
            })),
        }
    }
    storms.sort_by_key(StormRule::at);
    storms
}
