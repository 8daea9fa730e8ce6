//! What the journal says of the run beside its numbers: how it was begun, how it ended.
//!
//! In: plain facts. Out: JSON inside the journal's first and last frames. Together with the intervals they make every file of the run folder
//! again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::StopReason;
use crate::plan::Share;
use crate::scenario::keys::{DisconnectHow, Scenario, Storm, StormBy};
use crate::service::counters::TargetCounters;

use super::health::GeneratorHealth;
use super::steps::Steps;
use super::talk_names::TalkNames;

/// Version of the journal's contents and of `run.json`. Version 2 has, for each storm, whom it struck and how they came back; version 3 says
/// of each refusal where it was spoken, by whom, and on what ground a cause is claimed; version 4 tells when clients were in and when they were not, and
/// has notes; version 5 has what clients said and heard.
pub const SCHEMA_VERSION: u32 = 6;

/// How a run was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// Version of that program.
    pub tool_version: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Its hash.
    pub scenario_hash: String,
    /// The scenario as run, secrets as references.
    pub scenario_text: String,
    /// Its seed.
    pub seed: u64,
    /// When the run began, microseconds since 1970.
    pub started_unix_us: u64,
    /// How long clients were to be held, in seconds.
    pub duration_s: f64,
    /// `embedded` or `remote`.
    pub target_kind: String,
    /// Where the clients connected to.
    pub target_url: String,
    /// Hosts that the user authorised.
    pub authorised_hosts: Vec<String>,
    /// Shards that the run was split into.
    pub shards: u32,
    /// Those of them whose numbers the journal holds, from 1, ascending; none named: all, as in journals from before runs were split.
    #[serde(default)]
    pub held: Vec<u32>,
    /// Shards whose numbers are missing, from some second on or all of them. Only a merge knows of such.
    #[serde(default)]
    pub lost: Vec<LostShard>,
    /// Shards without which the run began, as the user allowed. Only a merge knows of such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<AbsentShard>,
    /// The workers of a run over many machines; none: it was not one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<Worker>,
    /// The groups.
    pub groups: Vec<GroupManifest>,
    /// The names of each group's steps before a handshake, in order.
    #[serde(default)]
    pub steps: Vec<Vec<String>>,
    /// Where each group looks for the token in an answer of its token endpoint; empty: all where RFC 6749 §5.1 has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_pointers: Vec<String>,
    /// What each group's exchanges, streams and kinds are called; empty: none has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub talks: Vec<TalkNames>,
    /// The storms.
    pub storms: Vec<StormManifest>,
    /// The series of the service's own numbers that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<ObservedSeries>,
    /// The thresholds, as written: `reconnect_latency{group:a}: p(99) < 1s`.
    pub thresholds: Vec<String>,
    /// The machine.
    pub host: HostManifest,
    /// What a run in virtual time took for granted; `None`: it ran in real time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<Simulated>,
}

/// What a run in virtual time took for granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Simulated {
    /// What was assumed to take time, and what the service was taken for, a sentence each.
    pub assumptions: Vec<String>,
}

/// A shard whose numbers are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostShard {
    /// Which, from 1.
    pub shard: u32,
    /// The first second whose numbers are missing; 0: there are none of it.
    pub from_s: u64,
    /// Why, as far as it is known.
    pub why: String,
}

/// A shard without which the run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AbsentShard {
    /// Which, from 1.
    pub shard: u32,
    /// Why it did not take part.
    pub why: String,
}

/// Who ran a share of a run over many machines, and how well it knew the time of its coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// Its share, from 1.
    pub shard: u32,
    /// Its machine and process.
    pub by: String,
    /// By how much the coordinator's calendar was ahead of its own, in microseconds; below 0: behind.
    pub clock_ahead_us: i64,
    /// The truth is no further from that (half of the shortest way there and back), in microseconds.
    pub clock_uncertainty_us: u64,
}

/// When the first client of a share was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirstStart {
    /// Its share, from 1.
    pub shard: u32,
    /// When it was due, in microseconds since the run's start.
    pub due_us: u64,
    /// When it was, in microseconds since the run's start, by the share's own clock.
    pub began_us: u64,
}

/// What is told of the requests of a group.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asks<'m> {
    /// The names of its steps before a handshake, in order.
    pub steps: &'m [String],
    /// Where it looks for the token; empty: at `/access_token`.
    pub token_pointer: &'m str,
}

impl Manifest {
    /// The shards whose numbers the journal holds, from 1, ascending.
    #[must_use]
    pub fn held_shards(&self) -> Vec<u32> {
        if self.held.is_empty() { (1..=self.shards).collect() } else { self.held.clone() }
    }

    /// The names of the steps of group `index`.
    #[must_use]
    pub fn steps_of(&self, index: usize) -> &[String] {
        self.steps.get(index).map_or(&[], Vec::as_slice)
    }

    /// What the exchanges, streams and kinds of group `index` are called.
    #[must_use]
    pub fn talk_names(&self, index: usize) -> &TalkNames {
        self.talks.get(index).unwrap_or(TalkNames::NONE)
    }

    /// What is told of the requests of group `index`.
    #[must_use]
    pub fn asks_of(&self, index: usize) -> Asks<'_> {
        let token_pointer = self.token_pointers.get(index).map_or("", String::as_str);
        Asks { steps: self.steps_of(index), token_pointer }
    }

    /// How many clients of group `index` belong to the shards that the journal holds: all of them, unless it is that of one shard, or of some.
    #[must_use]
    pub fn held_clients(&self, index: usize) -> u64 {
        self.held_shards().into_iter().map(|shard| self.clients_of_shard(shard, index)).sum()
    }

    /// How many clients of group `index` belong to `shard`.
    #[must_use]
    pub fn clients_of_shard(&self, shard: u32, index: usize) -> u64 {
        let first = self.groups[..index].iter().map(|group| group.clients).sum();
        let share = Share::new(shard, self.shards);
        share.map_or(0, |share| u64::from(share.clients_of(first, self.groups[index].clients)))
    }

    /// Whether the numbers of a shard that is held break off: what it had open, and what its target counted, is unknown.
    #[must_use]
    pub fn breaks_off(&self) -> bool {
        self.lost.iter().any(|lost| lost.from_s > 0)
    }
}

/// A group, as a report needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupManifest {
    /// Its name.
    pub name: String,
    /// Its clients.
    pub clients: u32,
}

/// A storm, as a report needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StormManifest {
    /// When, in seconds after the start.
    pub at_s: f64,
    /// What it is, in words.
    pub what: String,
    /// Share of the sessions, 0..1.
    pub fraction: f64,
}

/// The storms of a scenario, in its order.
#[must_use]
pub fn planned_storms(scenario: &Scenario) -> Vec<StormManifest> {
    scenario.storms.iter().map(|storm| planned_storm(scenario, storm)).collect()
}

fn planned_storm(scenario: &Scenario, storm: &Storm) -> StormManifest {
    let what = match &storm.by {
        StormBy::Target { code } => format!("the target closes with {code}"),
        StormBy::Client { how: DisconnectHow::Close { code }, .. } => format!("clients close with {code}"),
        StormBy::Client { how: DisconnectHow::Reset, .. } => "clients reset".to_owned(),
        StormBy::Client { how: DisconnectHow::HalfOpen, .. } => "clients go half-open".to_owned(),
        StormBy::Event { event } => {
            let name = scenario.events.get(*event).map_or("", |event| event.name.as_str());
            format!("the event {name}")
        }
    };
    StormManifest { at_s: storm.at.as_secs_f64(), what, fraction: storm.fraction }
}

/// A series of the service's own numbers, as a report needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedSeries {
    /// Its name.
    pub name: String,
    /// What its numbers count; may be empty.
    pub unit: String,
    /// What it is: a metric and its labels, or a query.
    pub of: String,
    /// The name of whom it was asked of.
    pub source: String,
    /// Where that is.
    pub url: String,
    /// How often it was asked, in seconds.
    pub every_s: f64,
}

/// The machine that a run was on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostManifest {
    /// Processors that the process could use.
    pub cores: usize,
    /// The kernel's version.
    pub kernel: String,
    /// Descriptors that the process could open.
    pub descriptor_limit: u64,
    /// Local ports towards one address.
    pub local_ports: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Why it ended.
    pub reason: StopReason,
    /// How long it was, from its start to its last sample, in seconds.
    pub elapsed_s: f64,
    /// Clients that were to start.
    pub clients_planned: u64,
    /// Whether every client came to its end by itself.
    pub drained: bool,
    /// The generator's own health.
    pub health: GeneratorHealth,
    /// The embedded target's counters; `None` for a remote target.
    pub target_counters: Option<TargetCounters>,
    /// What could not be written while the run went on.
    pub write_faults: Vec<String>,
    /// When the first clients were started, of each share of a run over many machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_starts: Vec<FirstStart>,
    /// How late the clients' event loops were, once for each attempt, when it ended.
    #[serde(default)]
    pub delays: Steps,
    /// How late they were each time that they were watched.
    #[serde(default)]
    pub stalls: Steps,
    /// How long clients were away by the embedded target's own clock, where that is what a reconnect of theirs is.
    #[serde(default)]
    pub target_reconnects: Option<Steps>,
}
