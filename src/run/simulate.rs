//! A run in virtual time, from a scenario to its verdict.
//!
//! In: a scenario, what takes time. Out: the same run folder that a real run leaves, or a journal in memory. No socket is opened and no clock
//! is read for anything that is recorded: the same seed gives the same bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::clock::{Clock, Moment};
use crate::declare::UrlText;
use crate::drive::virtual_time::{
    EndedBy, SampleTaker, StageTimes, VirtualEnd, VirtualRun, VirtualSetup, unsupported,
};
use crate::engine::StopReason;
use crate::plan::Share;
use crate::record::{
    GeneratorHealth, GroupManifest, HostManifest, Journal, JournalError, JournalWriter, Manifest, Recorded,
    Recorder, RunEnd, SCHEMA_VERSION, Simulated, Steps, TalkNames, planned_storms, read_journal,
};
use crate::report::{JOURNAL_FILE, RunModel, write_all};
use crate::scenario::Overrides;
use crate::scenario::keys::{Group, Scenario, Simulate, StepPlace, Target, TargetRules, Threshold};
use crate::scenario::{Loaded, describe_simulate, load};
use crate::units::format_duration;

use super::calibrate::calibrate;
use super::conduct::end_journal;
use super::done::RunDone;
use super::error::RunError;
use super::folder::make_folder;
use super::one_process::begin_attempts;
use super::request::OnProgress;
use super::simulate_scale::scaled;
use super::simulate_taker::{JournalTaker, MemoryTaker, hand_over, may_end_early};

/// When a run in virtual time begins unless it is told otherwise: 2000-01-01T00:00:00Z, in microseconds since 1970.
pub const VIRTUAL_START_UNIX_US: u64 = 946_684_800_000_000;
/// The longest run.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// The longest run whose seconds are kept.
const LONGEST_BY_SECONDS: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// What to simulate, and how.
pub struct SimulateRequest {
    /// The scenario's file.
    pub scenario: PathBuf,
    /// Overrides of its keys.
    pub overrides: Overrides,
    /// Override of its seed.
    pub seed: Option<u64>,
    /// Clients in all groups together; `None`: as many as the scenario says.
    pub clients: Option<u32>,
    /// A run whose measured times are taken in place of the given ones.
    pub calibrate: Option<PathBuf>,
    /// When it begins, in microseconds since 1970.
    pub start_unix_us: u64,
    /// The run folder; `None`: one under `reports/`.
    pub out: Option<PathBuf>,
    /// Threads: with more than one, the recorder has one of its own. The numbers are the same.
    pub threads: usize,
    /// Whether each attempt is written to `attempts.csv`.
    pub attempts: bool,
    /// Told how the run stands, now and then.
    pub on_progress: Option<OnProgress>,
}

/// A scenario that can be run in virtual time.
#[derive(Debug, Clone)]
pub struct Simulation {
    scenario: Scenario,
    copy: String,
    hash: String,
    rules: TargetRules,
    times: StageTimes,
    assumptions: Vec<String>,
    start_unix_us: u64,
    /// As of when certificates are looked at, in microseconds since 1970: the time of this machine.
    certified_at_unix_us: u64,
    share: Share,
}

/// How a run in memory is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InMemory {
    /// Totals alone, as one interval: enough for every table, and cheapest.
    Totals,
    /// Second by second.
    Seconds,
}

/// Has a scenario ready to be run in virtual time, as often as it is wanted.
///
/// # Errors
/// [`RunError::NotSimulable`] with every reason, or [`RunError::Calibrate`].
pub fn simulation_of(loaded: Loaded, calibrated_by: Option<&Path>) -> Result<Simulation, RunError> {
    let Loaded { scenario, copy, hash, .. } = loaded;
    let not_simulable = |reasons| Err(RunError::NotSimulable { scenario: scenario.name.clone(), reasons });
    let mut rules = match (&scenario.target, &scenario.simulate.service) {
        (_, Some((_, rules))) => rules.as_ref().clone(),
        (Target::Embedded(rules), None) => rules.as_ref().clone(),
        (Target::Remote(_), None) => return not_simulable(vec![REMOTE.to_owned()]),
    };
    let simulate = &scenario.simulate;
    rules.token_capacity = simulate.token.or(rules.token_capacity);
    rules.upgrade_capacity = simulate.upgrade.or(rules.upgrade_capacity);
    let mut reasons = unsupported(&scenario, &rules);
    if scenario.duration.saturating_add(scenario.drain) > LONGEST {
        let time = format_duration(scenario.duration);
        reasons.push(format!("duration and drain are {time} and more: at most 10 years can be simulated"));
    }
    if !reasons.is_empty() {
        return not_simulable(reasons);
    }
    let mut times = StageTimes::given(&simulate.stages);
    // The capacities that hold, whether the target's own or given for virtual time.
    let held = Simulate { token: rules.token_capacity, upgrade: rules.upgrade_capacity, ..simulate.clone() };
    let mut assumptions = describe_simulate(&held, |stage| scenario.passes(stage));
    assumptions.extend(scenario.events.iter().map(|event| {
        format!("the event {} is not done: in virtual time there is nobody to do it to", event.name)
    }));
    if matches!(scenario.target, Target::Remote(_)) && (scenario.signs() || scenario.signs_handshakes()) {
        assumptions
            .push("the service takes what clients sign: nobody here knows whose keys it trusts".to_owned());
    }
    let others = other_hosts(&scenario);
    if !others.is_empty() {
        let names = others.into_iter().collect::<Vec<_>>().join(", ");
        assumptions
            .push(format!("{names}: taken for the target; nothing is sent there, and its rules answer"));
    }
    if !scenario.observe.is_empty() {
        assumptions.push(
            "nobody was asked for the service's own numbers ([[observe]]): there is no service".to_owned(),
        );
    }
    if let Some(run) = calibrated_by {
        assumptions.push("stages as measured in a real run, where it measured them:".to_owned());
        assumptions.extend(calibrate(run, scenario.signs(), &mut times)?);
    }
    Ok(Simulation {
        rules,
        times,
        assumptions,
        start_unix_us: VIRTUAL_START_UNIX_US,
        certified_at_unix_us: Clock::start().unix_us(Moment::ZERO),
        scenario,
        copy,
        hash,
        share: Share::WHOLE,
    })
}

/// The hosts beside the target's own that the groups name.
fn other_hosts(scenario: &Scenario) -> BTreeSet<String> {
    let own = match &scenario.target {
        Target::Remote(remote) => remote.url.host_str().map(str::to_owned),
        Target::Embedded(_) => None,
    };
    let mut hosts = BTreeSet::new();
    let mut note = |url: &Url| hosts.extend(url.host_str().map(str::to_owned));
    for group in &scenario.groups {
        group.connect.url.as_ref().and_then(UrlText::fixed).into_iter().for_each(&mut note);
        group.token.as_ref().and_then(|token| token.url.as_deref()).into_iter().for_each(&mut note);
        let steps = group.prepare.iter().flat_map(|prepare| &prepare.steps);
        let urls = steps.filter_map(|step| match &step.place {
            StepPlace::Url(url) => Url::parse(url.fixed()?).ok(),
            StepPlace::Path(_) => None,
        });
        urls.for_each(|url| note(&url));
    }
    hosts.retain(|host| Some(host) != own.as_ref());
    hosts
}

/// What a remote target lacks.
const REMOTE: &str = "the target is remote, and what its service does is known to nobody here. Say which profile's rules it has, as [simulate] service = \"forum\" (forum, bearer, ticket, phoenix), and what its stages take: [simulate.stages] token = { log_normal = { median = \"20ms\", sigma = 0.5 } }, or --calibrate RUN with a real run against it";

impl Simulation {
    /// The same, begun at that calendar time, in microseconds since 1970.
    #[must_use]
    pub fn starting_at(self, unix_us: u64) -> Self {
        Self { start_unix_us: unix_us, ..self }
    }

    /// The same, of a share of the clients: with a target of its own.
    #[must_use]
    pub fn of_share(self, share: Share) -> Self {
        Self { share, ..self }
    }

    /// The scenario.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The rules of its target.
    #[must_use]
    pub const fn rules(&self) -> &TargetRules {
        &self.rules
    }

    /// What each stage takes.
    #[must_use]
    pub const fn times(&self) -> &StageTimes {
        &self.times
    }

    /// Runs it, and keeps what it recorded in memory. Nothing is written.
    #[must_use]
    pub fn run_in_memory(&self, kept: InMemory) -> Journal {
        self.run_audited(kept, None).0
    }

    /// The same, with an audit each time that so many events were worked off. Answers with how the run ended, too.
    #[must_use]
    pub fn run_audited(&self, kept: InMemory, audit_every: Option<u64>) -> (Journal, VirtualEnd) {
        let mut taker = MemoryTaker::new(&self.scenario, kept == InMemory::Seconds);
        let end = self.run(&mut taker, audit_every);
        let (intervals, ended_by) = taker.finish();
        let run_end = self.end(&end, ended_by.as_ref());
        let journal = Journal {
            manifest: self.manifest(),
            intervals,
            notes: Vec::new(),
            end: Some(run_end),
            torn_bytes: 0,
        };
        (journal, end)
    }

    fn run(&self, taker: &mut impl SampleTaker, audit_every: Option<u64>) -> VirtualEnd {
        let setup = VirtualSetup {
            scenario: &self.scenario,
            share: self.share,
            rules: self.rules.clone(),
            times: self.times.clone(),
            start_unix_us: self.start_unix_us,
            certified_at_unix_us: self.certified_at_unix_us,
            audit_every,
        };
        VirtualRun::new(setup).run(taker)
    }

    /// Runs it with a recorder, which has a thread of its own where there are two.
    fn record(
        &self,
        recorder: Recorder,
        threads: usize,
        on_progress: Option<OnProgress>,
    ) -> Result<Taken, RunError> {
        let mut taker = JournalTaker::new(recorder, &self.scenario, on_progress);
        if threads < 2 || may_end_early(&self.scenario) {
            let end = self.run(&mut taker, None);
            let (recorded, ended_by) = taker.finish();
            return Ok((end, recorded, ended_by));
        }
        let (mut sender, recipient) = hand_over();
        std::thread::scope(|scope| {
            let recording =
                std::thread::Builder::new().name("recorder".to_owned()).spawn_scoped(scope, move || {
                    recipient.give_to(&mut taker);
                    taker.finish()
                });
            let recording = recording.map_err(|source| RunError::Start { what: "the recorder", source })?;
            let end = self.run(&mut sender, None);
            drop(sender);
            let (recorded, ended_by) = recording.join().map_err(|_| RunError::Start {
                what: "the recorder",
                source: std::io::Error::other("its thread panicked"),
            })?;
            Ok((end, recorded, ended_by))
        })
    }

    /// Runs it, and writes its journal into `folder`; answers with why it ended, and with the journal where that is in memory alone.
    pub(super) fn write_journal(
        &self,
        folder: &Path,
        threads: usize,
        attempts: bool,
        on_progress: Option<OnProgress>,
    ) -> Result<(StopReason, Option<Journal>), RunError> {
        check_seconds(&self.scenario)?;
        let path = folder.join(JOURNAL_FILE);
        let manifest = self.manifest();
        let journal = JournalWriter::create(&path, &manifest)
            .map_err(|source| JournalError::Io { path: path.clone(), source })?;
        let attempts = attempts.then(|| begin_attempts(folder, &self.scenario)).transpose()?;
        let recorder = Recorder::new(self.scenario.groups.len(), journal).logging(attempts);
        let (end, recorded, ended_by) = self.record(recorder, threads, on_progress)?;
        let run_end = self.end(&end, ended_by.as_ref());
        Ok((run_end.reason.clone(), end_journal(&manifest, recorded, run_end)))
    }

    /// How the run was begun. Nothing in it is of this machine or of the time of day.
    fn manifest(&self) -> Manifest {
        let scenario = &self.scenario;
        let groups = scenario
            .groups
            .iter()
            .map(|group| GroupManifest { name: group.name.clone(), clients: group.clients });
        let service = match (&scenario.target, &scenario.simulate.service) {
            (_, Some((name, _))) => format!("the rules of the profile {name}"),
            _ => "the embedded target's rules".to_owned(),
        };
        Manifest {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: scenario.name.clone(),
            scenario_hash: self.hash.clone(),
            scenario_text: self.copy.clone(),
            seed: scenario.seed,
            started_unix_us: self.start_unix_us,
            duration_s: scenario.duration.as_secs_f64(),
            target_kind: "simulated".to_owned(),
            target_url: service,
            authorised_hosts: Vec::new(),
            shards: self.share.of(),
            held: vec![self.share.shard()],
            lost: Vec::new(),
            absent: Vec::new(),
            workers: Vec::new(),
            groups: groups.collect(),
            steps: scenario.groups.iter().map(Group::step_names).collect(),
            token_pointers: scenario.token_pointers(),
            talks: TalkNames::of_groups(&scenario.groups),
            storms: planned_storms(scenario),
            observed: Vec::new(),
            thresholds: scenario.thresholds.iter().map(|threshold| threshold.source.clone()).collect(),
            host: HostManifest {
                cores: 0,
                kernel: "virtual time".to_owned(),
                descriptor_limit: 0,
                local_ports: 0,
            },
            simulated: Some(Simulated { assumptions: self.assumptions.clone() }),
        }
    }

    fn end(&self, end: &VirtualEnd, ended_by: Option<&Threshold>) -> RunEnd {
        let mut health = GeneratorHealth::default();
        health.set_limits(&self.scenario.health);
        let reason = match (end.by, ended_by) {
            (_, Some(threshold)) => StopReason::Threshold { threshold: threshold.source.clone() },
            (EndedBy::ClientsDone, None) => StopReason::ClientsDone,
            (EndedBy::Time | EndedBy::Taker, None) => StopReason::Completed,
        };
        let mut counters = end.counters.clone();
        counters.settle_topics(self.scenario.hears_topics());
        RunEnd {
            reason,
            elapsed_s: end.elapsed.as_us() as f64 / 1e6,
            clients_planned: u64::from(self.share.clients(&self.scenario)),
            drained: true,
            health,
            target_counters: Some(counters),
            write_faults: Vec::new(),
            first_starts: Vec::new(),
            delays: Steps::default(),
            stalls: Steps::default(),
            target_reconnects: None,
        }
    }
}

/// How a run ended, what was recorded, and the threshold that ended it.
type Taken = (VirtualEnd, Recorded, Option<Threshold>);

/// Simulates a scenario, and writes its run folder.
///
/// # Errors
/// [`RunError`] when the run cannot begin. What goes wrong later is in the result.
pub fn simulate(request: SimulateRequest) -> Result<RunDone, RunError> {
    let SimulateRequest {
        scenario,
        overrides,
        seed,
        clients,
        calibrate,
        start_unix_us,
        out,
        threads,
        attempts,
        on_progress,
    } = request;
    let loaded = load_scaled(&scenario, &overrides, seed, clients)?;
    let simulation = simulation_of(loaded, calibrate.as_deref())?.starting_at(start_unix_us);
    check_seconds(&simulation.scenario)?;
    let now = Clock::start().unix_us(Moment::ZERO);
    let folder = make_folder(out.as_deref(), &simulation.scenario.name, now)?;
    let (_, journal) = simulation.write_journal(&folder, threads, attempts, on_progress)?;
    let journal_path = folder.join(JOURNAL_FILE);
    let model = RunModel::new(journal.map_or_else(|| read_journal(&journal_path), Ok)?);
    let write_faults = write_all(&model, &folder);
    Ok(RunDone { model, folder, write_faults })
}

/// Loads a scenario, with another number of clients where one is wanted.
///
/// # Errors
/// [`RunError`] when the scenario cannot be used, or not with so few clients.
pub fn load_scaled(
    file: &Path,
    overrides: &Overrides,
    seed: Option<u64>,
    clients: Option<u32>,
) -> Result<Loaded, RunError> {
    load_scaled_by(file, overrides, seed, clients).map(|(loaded, _)| loaded)
}

/// The same, and the overrides that make it so many.
pub(super) fn load_scaled_by(
    file: &Path,
    overrides: &Overrides,
    seed: Option<u64>,
    clients: Option<u32>,
) -> Result<(Loaded, Overrides), RunError> {
    let env = |name: &str| std::env::var(name).ok();
    let loaded = load(file, overrides, seed, &env)?;
    let Some(total) = clients else { return Ok((loaded, Overrides::new())) };
    let scaling = scaled(&loaded.scenario, total).map_err(|reason| RunError::NotSimulable {
        scenario: loaded.scenario.name.clone(),
        reasons: vec![reason],
    })?;
    let loaded = load(file, &[overrides.clone(), scaling.clone()].concat(), seed, &env)?;
    Ok((loaded, scaling))
}

/// A run folder has a row for each second.
fn check_seconds(scenario: &Scenario) -> Result<(), RunError> {
    if scenario.duration.saturating_add(scenario.drain) <= LONGEST_BY_SECONDS {
        return Ok(());
    }
    let reason = format!(
        "duration is {}: a run folder has a row for each second, and at most 31 days of them. Simulate less",
        format_duration(scenario.duration)
    );
    Err(RunError::NotSimulable { scenario: scenario.name.clone(), reasons: vec![reason] })
}
