//! The hot pure parts, with the input that a deploy storm gives them.
//!
//! In: `scenarios/deploy-storm.toml`, whose 2,000 clients are led through their start, the storm and their return, with times
//! drawn from its seed. Out: the parts, each ready to run, once or again and again. The same on every machine, so that instructions can be
//! counted; nothing here measures.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resurge::clock::Moment;
use resurge::lifecycle::{Action, Client, Ending, EndingHow, Event, GroupRules, Marks, Signs, TokenFacts};
use resurge::random::{Draws, Purpose};
use resurge::record::{
    Entry, GroupManifest, HostManifest, JournalWriter, Manifest, PackedTally, SCHEMA_VERSION, Tally,
    merge_all, read_journal,
};
use resurge::sample::{Sample, Traffic};
use resurge::scenario::keys::{Invalidation, Scenario, TargetRules};
use resurge::scenario::load;
use resurge::service::rules::{Handshake, TargetState};
use resurge::service::session::{EndHow, Session};
use resurge::service::token::{TokenAnswer, TokenRequest};

/// A part.
pub(crate) struct Part {
    /// Its name, in figures and reports.
    pub(crate) name: &'static str,
    /// How many of `what` one run takes in.
    pub(crate) elements: u64,
    /// What its elements are.
    pub(crate) what: &'static str,
    /// Makes its input; what it answers with runs the part.
    pub(crate) prepare: fn() -> Box<dyn FnMut()>,
}

/// Every part.
pub(crate) fn parts() -> Vec<Part> {
    let (cycles, seconds) = (2 * CLIENTS, SECONDS);
    let samples = Storm::run().samples.len() as u64;
    vec![
        Part { name: "lifecycle_cycle", elements: cycles, what: "reconnects", prepare: lifecycle_cycle },
        Part { name: "target_decision", elements: cycles, what: "returns", prepare: target_decision },
        Part { name: "sample_apply", elements: samples, what: "samples", prepare: sample_apply },
        Part { name: "interval_close", elements: seconds, what: "intervals", prepare: interval_close },
        Part { name: "journal_append", elements: seconds, what: "intervals", prepare: journal_append },
        Part { name: "journal_read", elements: seconds, what: "intervals", prepare: journal_read },
        Part { name: "tally_merge", elements: 2 * seconds, what: "tallies", prepare: tally_merge },
        Part {
            name: "percentiles",
            elements: PERCENTILES.len() as u64,
            what: "percentiles of all metrics",
            prepare: percentiles,
        },
    ]
}

const CLIENTS: u64 = 1_000;
const SECONDS: u64 = 25;
const STORM: Duration = Duration::from_secs(8);
const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

fn scenario() -> Scenario {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/deploy-storm.toml");
    load(&file, &Vec::new(), None, &|_| None).unwrap().scenario
}

/// A client, and how long what it waits for takes.
struct Led {
    client: Client,
    draws: Draws,
}

impl Led {
    /// From 100 us to 6.4 ms; short ones more often, as on a loopback.
    fn wait(&mut self) -> Duration {
        Duration::from_secs_f64(100e-6 * 64_f64.powf(self.draws.next_unit()))
    }

    /// Does what the client asks for until it holds a session; answers with when it does.
    fn lead(
        &mut self,
        rules: &GroupRules,
        mut now: Moment,
        mut event: Event,
        samples: &mut Vec<Sample>,
    ) -> Moment {
        loop {
            let action = self.client.step(rules, now, event, samples);
            event = match action {
                Action::Sleep { until } => {
                    now = until + Duration::from_micros(30);
                    Event::Due(Signs::default())
                }
                Action::FetchToken { .. } => {
                    let requested = now;
                    now = now + self.wait();
                    let expires = now + Duration::from_secs(3_600);
                    Event::TokenReady { facts: TokenFacts::new(requested, now, expires), fetched: true }
                }
                Action::Connect => {
                    let (began, tcp) = (now, now + self.wait());
                    now = tcp + self.wait();
                    Event::Connected(Marks {
                        began,
                        proved: None,
                        dns: Some(began),
                        tcp: Some(tcp),
                        tls: Some(tcp),
                        ended: now,
                        signed: None,
                    })
                }
                // It hears of the target, and is in.
                Action::Hold { until, entering: true, .. } => {
                    now = until;
                    Event::Due(Signs { heard: until, pong: until })
                }
                Action::Hold { .. } => return now,
                other => unreachable!("{other:?} is not in the scenario"),
            };
        }
    }
}

/// A fleet, connected.
struct Fleet {
    groups: Vec<(GroupRules, Vec<Led>)>,
    /// When and in which group, in no order of time.
    samples: Vec<(Moment, usize, Sample)>,
}

impl Fleet {
    fn connected() -> Self {
        let scenario = scenario();
        let mut fleet = Self { groups: Vec::new(), samples: Vec::new() };
        for group in 0..2 {
            let rules = GroupRules::of(&scenario, group);
            let mut clients = Vec::new();
            for number in rules.first..rules.first + CLIENTS as u32 {
                let draws = Draws::new(scenario.seed, Purpose::Bootstrap, number);
                let mut led = Led { client: Client::new(scenario.seed, number), draws };
                let due = Moment::ZERO + Duration::from_millis(4 * u64::from(number - rules.first));
                let mut samples = Vec::new();
                let at = led.lead(&rules, due, Event::Begin { due, leaves: Moment::NEVER }, &mut samples);
                fleet.samples.extend(samples.into_iter().map(|sample| (at, group, sample)));
                clients.push(led);
            }
            fleet.groups.push((rules, clients));
        }
        fleet
    }
}

/// When the target's close frame reaches a client.
fn closed(led: &mut Led) -> (Moment, Event) {
    let at = Moment::ZERO + STORM + led.wait();
    (at, Event::Ended(Ending::new(at, EndingHow::PeerClosed(1012))))
}

/// A whole run: its samples in order of time.
struct Storm {
    samples: Vec<(Moment, usize, Sample)>,
}

impl Storm {
    fn run() -> Self {
        let Fleet { mut groups, mut samples } = Fleet::connected();
        for (group, (rules, clients)) in groups.iter_mut().enumerate() {
            for led in clients {
                let (at, event) = closed(led);
                let mut fresh = Vec::new();
                let back = led.lead(rules, at, event, &mut fresh);
                samples.extend(fresh.into_iter().map(|sample| (back, group, sample)));
                let traffic = Traffic {
                    messages_in: 8,
                    bytes_in: 1_100,
                    bytes_out: 400,
                    message_latencies_us: (0..8).map(|_| led.wait().as_micros() as u32).collect(),
                    ..Traffic::default()
                };
                samples.push((back, group, Sample::Traffic(Box::new(traffic))));
            }
        }
        samples.sort_by_key(|(at, ..)| *at);
        Self { samples }
    }

    /// The tallies of each second.
    fn seconds(&self) -> Vec<Vec<Tally>> {
        let mut seconds = vec![vec![Tally::default(); 2]; SECONDS as usize];
        for (at, group, sample) in &self.samples {
            let second = at.as_second().min(SECONDS - 1) as usize;
            seconds[second][*group].apply(sample);
        }
        seconds
    }

    fn entries(&self) -> Vec<Entry> {
        let seconds = self.seconds().into_iter().zip(0..);
        seconds
            .map(|(groups, second)| Entry::Interval {
                second,
                groups: groups.iter().map(PackedTally::of).collect(),
            })
            .collect()
    }
}

/// A disconnect and the way back: the steps of each client from the close frame to its next session.
fn lifecycle_cycle() -> Box<dyn FnMut()> {
    let mut groups = Fleet::connected().groups;
    // What the network would take is not the lifecycle's: drawn before.
    let closes: Vec<Vec<(Moment, Event)>> =
        groups.iter_mut().map(|(_, clients)| clients.iter_mut().map(closed).collect()).collect();
    let mut samples = Vec::with_capacity(16);
    Box::new(move || {
        for ((rules, clients), closes) in groups.iter_mut().zip(&closes) {
            for (led, (at, event)) in clients.iter_mut().zip(closes) {
                black_box(led.client_comes_back(rules, *at, event.clone(), &mut samples));
                samples.clear();
            }
        }
    })
}

impl Led {
    /// As [`Led::lead`], but everything takes as long: nothing is drawn.
    fn client_comes_back(
        &mut self,
        rules: &GroupRules,
        at: Moment,
        event: Event,
        samples: &mut Vec<Sample>,
    ) -> Moment {
        let (mut now, mut event) = (at, event);
        let took = Duration::from_micros(400);
        loop {
            event = match self.client.step(rules, now, event, samples) {
                Action::Sleep { until } => {
                    now = until;
                    Event::Due(Signs::default())
                }
                Action::FetchToken { .. } => {
                    let requested = now;
                    now = now + took;
                    let expires = now + Duration::from_secs(3_600);
                    Event::TokenReady { facts: TokenFacts::new(requested, now, expires), fetched: true }
                }
                Action::Connect => {
                    let began = now;
                    now = now + took;
                    let tcp = Some(began);
                    Event::Connected(Marks {
                        began,
                        proved: None,
                        dns: tcp,
                        tcp,
                        tls: tcp,
                        ended: now,
                        signed: None,
                    })
                }
                Action::Hold { until, entering: true, .. } => {
                    now = until;
                    Event::Due(Signs { heard: until, pong: until })
                }
                _ => return now,
            };
        }
    }
}

/// The target's part in it: the session ends, the old token is refused, a new one is asked for and opens the next session.
fn target_decision() -> Box<dyn FnMut()> {
    let rules = TargetRules { invalidation: Invalidation::OnDisconnect, ..TargetRules::default() };
    let mut state = TargetState::new(rules, 42);
    let mut held: Vec<(String, Session)> = (0..2 * CLIENTS)
        .map(|number| {
            let token = issue(&mut state, Moment::ZERO);
            let session = open(&mut state, Moment::ZERO, &token, number).unwrap();
            (token, session)
        })
        .collect();
    Box::new(move || {
        let now = Moment::ZERO + STORM;
        for ((token, session), number) in held.iter_mut().zip(0..) {
            state.end_session(now, session.id(), session.end(EndHow::CloseFrame(1012)));
            black_box(open(&mut state, now, token, number).is_none());
            *token = issue(&mut state, now);
            if let Some(opened) = open(&mut state, now, token, number) {
                *session = opened;
            }
        }
    })
}

fn issue(state: &mut TargetState, now: Moment) -> String {
    let request = TokenRequest {
        grant_type: Some("client_credentials"),
        client_id: Some("demo-client"),
        client_secret: Some("demo-secret"),
        scope: None,
        ..TokenRequest::default()
    };
    match state.token_request(now, request) {
        TokenAnswer::Issued(issued) => issued.access_token.text(),
        other => unreachable!("{other:?}"),
    }
}

fn open(state: &mut TargetState, now: Moment, token: &str, number: u64) -> Option<Session> {
    match state.handshake(now, Some(token), Some(number)) {
        Handshake::Admitted { session, .. } => Some(session),
        Handshake::Refused(_) => None,
    }
}

/// The recorder takes in every sample of the run.
fn sample_apply() -> Box<dyn FnMut()> {
    let samples = Storm::run().samples;
    let mut tallies = vec![Tally::default(); 2];
    Box::new(move || {
        for (_, group, sample) in &samples {
            tallies[*group].apply(sample);
        }
        black_box(&tallies);
    })
}

/// Each second's tallies are packed and encoded.
fn interval_close() -> Box<dyn FnMut()> {
    let seconds = Storm::run().seconds();
    Box::new(move || {
        for groups in &seconds {
            let packed: Vec<PackedTally> = groups.iter().map(PackedTally::of).collect();
            black_box(postcard::to_stdvec(&packed).unwrap());
        }
    })
}

/// A journal in a folder of its own, which goes with it.
struct Written {
    _folder: tempfile::TempDir,
    file: PathBuf,
    writer: JournalWriter,
}

fn begun() -> Written {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.bin");
    let group = |name: &str| GroupManifest { name: name.into(), clients: CLIENTS as u32 };
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        tool_version: "0".into(),
        scenario: "deploy-storm".into(),
        scenario_hash: "h".into(),
        scenario_text: String::new(),
        seed: 42,
        started_unix_us: 1,
        duration_s: SECONDS as f64,
        target_kind: "embedded".into(),
        target_url: "ws://127.0.0.1:1/".into(),
        authorised_hosts: Vec::new(),
        shards: 1,
        held: Vec::new(),
        lost: Vec::new(),
        absent: Vec::new(),
        workers: Vec::new(),
        groups: vec![group("no-jitter"), group("full-jitter")],
        storms: Vec::new(),
        observed: Vec::new(),
        thresholds: Vec::new(),
        host: HostManifest { cores: 2, kernel: "k".into(), descriptor_limit: 20_000, local_ports: 28_000 },
        steps: Vec::new(),
        token_pointers: Vec::new(),
        talks: Vec::new(),
        simulated: None,
    };
    let writer = JournalWriter::create(&file, &manifest).unwrap();
    Written { _folder: folder, file, writer }
}

/// Each second is appended to a new journal.
fn journal_append() -> Box<dyn FnMut()> {
    let entries = Storm::run().entries();
    Box::new(move || {
        let mut written = begun();
        entries.iter().for_each(|entry| written.writer.append(entry).unwrap());
    })
}

/// The journal is read and checked.
fn journal_read() -> Box<dyn FnMut()> {
    let mut written = begun();
    Storm::run().entries().iter().for_each(|entry| written.writer.append(entry).unwrap());
    Box::new(move || {
        let written = &written;
        black_box(read_journal(&written.file).unwrap());
    })
}

/// The seconds are added up to the run.
fn tally_merge() -> Box<dyn FnMut()> {
    let seconds = Storm::run().seconds();
    Box::new(move || {
        black_box(merge_all(seconds.iter().flatten()));
    })
}

/// The summary's percentiles of every metric.
fn percentiles() -> Box<dyn FnMut()> {
    let all = merge_all(Storm::run().seconds().iter().flatten());
    Box::new(move || {
        for histogram in all.histograms.values() {
            for percentile in PERCENTILES {
                black_box(histogram.percentile_us(percentile));
            }
        }
    })
}
