//! The whole file: name, time, target, groups, storms, thresholds.
//!
//! In: the document's root. Out: a [`Scenario`].

use std::sync::OnceLock;
use std::time::Duration;

use crate::declare::{
    At, Keys as _, NAME, Table, TableShape, int, list, of, ruled, string, table, then, times,
};

use super::credentials::TOKEN_POINTER;
use super::event::{Event, MOST_EVENTS, tell_events};
use super::group::Group;
use super::health::Health;
use super::limits::Limits;
use super::observe::{MOST_SOURCES, Observe};
use super::simulate::{Simulate, TimeStage};
use super::storm::Storm;
use super::target::Target;
use super::threshold::Threshold;
use super::thresholds::Thresholds;
use super::told::{GroupNames, GroupParts, Stem, TalkParts};

/// Most groups.
const MAX_GROUPS: usize = 1_000;

table! {
    /// A load test: what the clients connect to, which clients there are, what happens to them, and what must hold.
    pub struct Scenario {
        /// The scenario's name: 1 to 64 letters, digits, `-`, `_` and `.`. Default: the file's stem.
        name: String = String::new(), over (stem) => ruled(NAME);
        /// What it is for, in a sentence.
        description: Option<String> = None => string();
        /// Seed of every random stream.
        seed: u64 = 1 => int::<u64>(0..=u64::MAX / 2);
        /// How long clients are held; then the run drains.
        duration: Duration, needed "say how long clients are held, as duration = \"60s\"" => times::above_zero();
        /// How long attempts and sessions get to end after `duration` before they are cut off.
        drain: Duration = Duration::from_secs(10) => times::duration();
        /// What the clients connect to.
        target: Target, needed "add [target] with kind = \"embedded\", or kind = \"remote\" and its url" => of::<Target>();
        /// The populations of clients, each with a name of its own.
        groups: Vec<Group>, needed "add at least one [[groups]] with name, clients and [groups.token]"
            => then(list(of::<Group>(), "add at least one [[groups]] with name, clients and [groups.token]").least(1).most(MAX_GROUPS), name_groups);
        /// What the run does to the service itself, at a moment: a command, a request, a signal.
        events: Vec<Event> = Vec::new() => then(list(of::<Event>(), "a list of tables is needed: write [[events]]").most(MOST_EVENTS), tell_events);
        /// Disconnects forced on many clients at one moment.
        storms: Vec<Storm> = Vec::new();
        /// The service's own numbers, beside the clients'.
        observe: Vec<Observe> = Vec::new() => list(of::<Observe>(), "a list of tables is needed: write [[observe]]").most(MOST_SOURCES);
        /// What must hold: `metric = "expression"`, as `reconnect_latency = "p(99) < 1s"`. A metric of one group is `"metric{group:NAME}"`.
        thresholds: Vec<Threshold> = Vec::new() => Thresholds;
        /// How late the generator may be before the run is not valid.
        health: Health = Health::default();
        /// How much load on others the scenario may plan.
        limits: Limits = Limits::default();
        /// What takes time in virtual time, beside what the target's rules say.
        simulate: Simulate = Simulate::default();
    }
}

impl Scenario {
    /// How many virtual clients there are in all groups.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.groups.iter().map(|group| group.clients).fold(0, u32::saturating_add)
    }

    /// Whether there are clients that sign something to get a token.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.groups.iter().any(|group| group.token.as_ref().is_some_and(|token| token.grant.signs()))
    }

    /// Whether clients pass a stage of the way that takes time in virtual time.
    #[must_use]
    pub fn passes(&self, stage: TimeStage) -> bool {
        let proves = |group: &Group| group.token.as_ref().is_some_and(|token| token.dpop.is_some());
        let has_steps =
            |group: &Group| group.prepare.as_ref().is_some_and(|prepare| !prepare.steps.is_empty());
        match stage {
            TimeStage::Mint => self.signs() || self.groups.iter().any(proves),
            TimeStage::Step => self.groups.iter().any(has_steps),
            _ => true,
        }
    }

    /// Whether clients sign their handshakes.
    #[must_use]
    pub fn signs_handshakes(&self) -> bool {
        self.groups.iter().any(|group| group.connect.sign.is_some())
    }

    /// Whether every client follows all of the target's topics by their numbers, and nothing else in streams.
    #[must_use]
    pub fn hears_topics(&self) -> bool {
        let Target::Embedded(rules) = &self.target else { return false };
        let Some(topics) = rules.topics else { return false };
        rules.script.is_empty()
            && self.groups.iter().all(|group| match group.session.streams.as_slice() {
                [stream] => stream.follows("/topic", "/n", topics.count),
                _ => false,
            })
    }

    /// Where each group looks for the token in an answer; empty: all where RFC 6749 §5.1 has it.
    #[must_use]
    pub fn token_pointers(&self) -> Vec<String> {
        let credentials =
            |group: &Group| group.token.as_ref().and_then(|token| token.grant.credentials().cloned());
        let of_group = |group: &Group| credentials(group).map(|credentials| credentials.token_pointer);
        let pointers: Vec<Option<String>> = self.groups.iter().map(of_group).collect();
        if pointers.iter().flatten().all(|pointer| pointer == TOKEN_POINTER) {
            return Vec::new();
        }
        let own =
            |pointer: Option<String>| pointer.filter(|pointer| pointer != TOKEN_POINTER).unwrap_or_default();
        pointers.into_iter().map(own).collect()
    }
}

/// The name of a scenario that names none.
fn stem(root: &Table<'_>) -> String {
    let Stem(stem) = root.reading.told().unwrap_or_else(|| Stem(String::new()));
    if let Err((_, help)) = NAME.check(&stem) {
        root.between(None, format!("`name` is \"{stem}\""), help);
    }
    stem
}

/// Later keys refer to groups by their names, also to those with faults.
fn name_groups(groups: Vec<Group>, at: &At<'_>) -> Option<Vec<Group>> {
    let name_of = |group: At<'_>| Some(group.table()?.peek("name")?.text()?.to_owned());
    let names: Option<Vec<String>> = at.elements().and_then(|groups| groups.map(name_of).collect());
    if let Some(names) = names {
        if names.len() == groups.len() {
            at.reading.tell(TalkParts(groups.iter().map(parts_of).collect()));
        }
        at.reading.tell(GroupNames(names));
    }
    Some(groups)
}

/// What thresholds may name of a group.
fn parts_of(group: &Group) -> GroupParts {
    let session = &group.session;
    GroupParts {
        group: group.name.clone(),
        exchanges: session.exchanges().into_iter().map(|(_, name)| name.to_owned()).collect(),
        streams: session.streams.iter().map(|stream| stream.name.clone()).collect(),
    }
}

/// What there is to know of every key of the file.
pub(crate) fn root() -> &'static TableShape {
    static ROOT: OnceLock<TableShape> = OnceLock::new();
    ROOT.get_or_init(Scenario::table)
}
