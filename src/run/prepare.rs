//! Everything that can be known to be wrong before a run begins.
//!
//! In: a loaded scenario, the hosts that the user authorised. Out: [`Prepared`]: target started, addresses checked, budget held.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;

use url::Url;

use crate::clock::{Clock, Moment};
use crate::declare::template::UrlText;
use crate::declare::{Redactor, bare_url};
use crate::drive::network::{AddressPolicy, ClientFiles, TargetAddress, client_config};
use crate::machine;
use crate::plan::{Machine, Needs, Share, check_budget};
use crate::record::{
    GroupManifest, HostManifest, Manifest, ObservedSeries, SCHEMA_VERSION, TalkNames, planned_storms,
};
use crate::scenario::Loaded;
use crate::scenario::keys::StepPlace;
use crate::scenario::keys::{Event, EventDoes, Group, Observe, Scenario, Target};
use crate::service::server::{Server, ServerSetup};

use super::error::RunError;

/// Most threads of the clients, and most of the embedded target.
const MOST_THREADS: usize = 16;

/// A run that can begin.
pub(crate) struct Prepared {
    pub(crate) scenario: Scenario,
    pub(crate) manifest: Manifest,
    /// Takes the scenario's secrets out of texts.
    pub(crate) redactor: Redactor,
    pub(crate) clock: Clock,
    pub(crate) policy: Arc<AddressPolicy>,
    pub(crate) tls: Option<rustls::ClientConfig>,
    pub(crate) server: Option<Server>,
    pub(crate) address: TargetAddress,
    /// Where the embedded target listens.
    pub(crate) target_addresses: Vec<SocketAddr>,
    pub(crate) needs: Needs,
    pub(crate) share: Share,
    pub(crate) processes: Processes,
}

impl Prepared {
    pub(crate) const fn started_unix_us(&self) -> u64 {
        self.manifest.started_unix_us
    }
}

/// A scenario that this machine can run and the user may run, before anything of it was started.
pub(crate) struct Checked {
    pub(crate) scenario: Scenario,
    copy: String,
    hash: String,
    redactor: Redactor,
    authorised: Vec<String>,
    policy: Arc<AddressPolicy>,
    urls: Vec<Url>,
    host: HostManifest,
}

/// What the user allows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Consent<'c> {
    /// Hosts that may be hit though they are neither loopback nor private.
    pub(crate) hosts: &'c [String],
    /// Whether events may run commands and signal processes.
    pub(crate) commands: bool,
}

/// Checks addresses and events against the user's consent, and finds out what this machine has.
pub(crate) fn check(loaded: Loaded, consent: Consent<'_>) -> Result<(Checked, Machine), RunError> {
    let Loaded { scenario, copy, hash, redactor, .. } = loaded;
    check_commands(&scenario, consent, &redactor)?;
    let authorised = consent.hosts;
    let policy = Arc::new(AddressPolicy::new(authorised));
    let urls = remote_urls(&scenario);
    for url in urls.iter().filter(|url| asks_system(&scenario, url)) {
        check_address(url, &policy)?;
    }
    // A name server is asked by its address alone.
    for server in scenario.groups.iter().filter_map(|group| group.connect.resolver) {
        policy.check(&server.ip().to_string(), server.ip())?;
    }
    check_sources(&scenario)?;
    let machine = machine(&scenario);
    let (descriptor_limit, local_ports) = (machine.descriptors, machine.ports);
    let host =
        HostManifest { cores: machine::cores(), kernel: machine::kernel(), descriptor_limit, local_ports };
    let authorised = authorised.to_vec();
    Ok((Checked { scenario, copy, hash, redactor, authorised, policy, urls, host }, machine))
}

/// Whether the user allows what the scenario's events do on this machine.
fn check_commands(scenario: &Scenario, consent: Consent<'_>, redactor: &Redactor) -> Result<(), RunError> {
    let events = scenario.events.iter().filter(|event| event.needs_consent()).map(Event::in_words);
    let events: Vec<String> = events.map(|words| redactor.clean(&words)).collect();
    if events.is_empty() || consent.commands {
        return Ok(());
    }
    Err(RunError::CommandsNotAllowed { scenario: scenario.name.clone(), events })
}

/// What this machine has, and how many addresses the target's name has.
fn machine(scenario: &Scenario) -> Machine {
    let machine = machine_of(scenario);
    let Target::Remote(remote) = &scenario.target else { return machine };
    if !asks_system(scenario, &remote.url) {
        return machine;
    }
    let addresses: BTreeSet<_> = addresses_of(&remote.url).map(|address| address.ip()).collect();
    Machine { target_addresses: addresses.len().max(1) as u64, ..machine }
}

/// What this machine has. No name is resolved: a service counts as one address.
#[must_use]
pub fn machine_of(scenario: &Scenario) -> Machine {
    let target_addresses = match &scenario.target {
        Target::Embedded(rules) => rules.addresses.len(),
        Target::Remote(_) => 1,
    };
    Machine {
        descriptors: machine::raise_descriptor_limit(),
        ports: machine::local_ports(),
        cores: machine::cores() as u64,
        target_addresses: target_addresses.max(1) as u64,
    }
}

/// A run whose embedded target, where it has one, holds its addresses: nothing is missing but the moment of its start.
pub(crate) struct Bound {
    checked: Checked,
    needs: Needs,
    share: Share,
    processes: Processes,
    /// The embedded target's doors; nobody is answered yet.
    doors: Vec<TcpListener>,
}

/// How many processes of this run share this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Processes(pub(crate) u32);

impl Processes {
    /// This one alone.
    pub(crate) const ONE: Self = Self(1);

    /// Threads of a process's clients: all processes together have one for each processor, and each has one.
    pub(crate) fn threads(self) -> usize {
        machine::cores().div_ceil(self.0.max(1) as usize).clamp(1, MOST_THREADS)
    }
}

impl Checked {
    /// Takes the addresses of the embedded target of `share`.
    pub(crate) fn bind(self, needs: Needs, share: Share, processes: Processes) -> Result<Bound, RunError> {
        let doors = match &self.scenario.target {
            Target::Embedded(rules) => {
                let addresses: Vec<SocketAddr> =
                    rules.addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
                Server::bind(&addresses)
                    .map_err(|source| RunError::Start { what: "the embedded target", source })?
            }
            Target::Remote(_) => Vec::new(),
        };
        Ok(Bound { checked: self, needs, share, processes, doors })
    }

    /// Equal for two readings of the same scenario, overrides applied.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }
}

/// Prepares a whole run that begins now.
pub(crate) fn prepare(loaded: Loaded, hosts: &[String]) -> Result<Prepared, RunError> {
    // Nobody does events here.
    prepare_share(loaded, Consent { hosts, commands: true }, Share::WHOLE)
}

/// Prepares `share` of a run that begins now, where the other shards run elsewhere.
pub(crate) fn prepare_share(
    loaded: Loaded,
    consent: Consent<'_>,
    share: Share,
) -> Result<Prepared, RunError> {
    let (checked, machine) = check(loaded, consent)?;
    let needs = check_budget(&checked.scenario, &machine, share)?;
    checked.bind(needs, share, Processes::ONE)?.begin(Clock::start())
}

impl Bound {
    /// The scenario's name.
    pub(crate) fn name(&self) -> &str {
        &self.checked.scenario.name
    }

    /// Starts the target, and has everything ready for the clients. The run's origin is the clock's.
    pub(crate) fn begin(self, clock: Clock) -> Result<Prepared, RunError> {
        let Self { checked, needs, share, processes, doors } = self;
        let Checked { scenario, copy, hash, redactor, authorised, policy, urls, host } = checked;
        let files = match &scenario.target {
            Target::Remote(remote) => {
                ClientFiles { authorities: remote.ca_file.as_deref(), identity: remote.client_certificate() }
            }
            Target::Embedded(_) => ClientFiles::default(),
        };
        let is_secure = urls.iter().any(|url| matches!(url.scheme(), "wss" | "https"));
        let is_secure = is_secure || scenario.groups.iter().any(may_be_secure);
        let target_addresses = doors.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>();
        let target_addresses =
            target_addresses.map_err(|source| RunError::Start { what: "the embedded target", source })?;
        let (server, address) = start_target(&scenario, share, processes, doors, clock)?;
        let authority =
            server.as_ref().and_then(Server::authority).map(|authority| authority.certificate.clone());
        let is_secure =
            is_secure || files.authorities.is_some() || files.identity.is_some() || authority.is_some();
        let tls = if is_secure { Some(client_config(files, authority)?) } else { None };
        let manifest = manifest(&scenario, copy, hash, &address, authorised, host, clock, share);
        Ok(Prepared {
            scenario,
            manifest,
            redactor,
            clock,
            policy,
            tls,
            server,
            address,
            target_addresses,
            needs,
            share,
            processes,
        })
    }
}

/// Whether a group may come to use TLS by what its steps bring.
fn may_be_secure(group: &Group) -> bool {
    let by_steps = group.prepare.iter().flat_map(|prepare| &prepare.steps);
    group.connect.url.as_ref().and_then(UrlText::template).is_some()
        || by_steps.into_iter().any(|step| matches!(step.place, StepPlace::Url(_)))
}

/// Every URL that the scenario names.
fn remote_urls(scenario: &Scenario) -> Vec<Url> {
    let mut urls = Vec::new();
    if let Target::Remote(remote) = &scenario.target {
        urls.push((*remote.url).clone());
        urls.extend(remote.token_url.as_deref().cloned());
    }
    for group in &scenario.groups {
        urls.extend(group.connect.url.as_ref().and_then(UrlText::fixed).cloned());
        urls.extend(
            group
                .token
                .as_ref()
                .filter(|token| token.grant.credentials().is_some())
                .and_then(|token| token.url.as_deref().cloned()),
        );
    }
    for event in &scenario.events {
        if let EventDoes::Http(request) = &event.does {
            urls.push((*request.url).clone());
        }
    }
    urls.extend(scenario.observe.iter().map(|observe| observe.place.url().clone()));
    urls
}

/// Whether this machine has the addresses from which the clients are to connect.
fn check_sources(scenario: &Scenario) -> Result<(), RunError> {
    for group in &scenario.groups {
        for &address in &group.connect.source_addresses {
            TcpListener::bind(SocketAddr::new(address, 0)).map_err(|source| RunError::SourceAddress {
                group: group.name.clone(),
                address,
                source,
            })?;
        }
    }
    Ok(())
}

/// Whether the system is asked for the addresses of a URL's host: not for a name, where every group has a name server of its own. What that
/// one says is looked at when a client asks it.
fn asks_system(scenario: &Scenario, url: &Url) -> bool {
    let is_name = matches!(url.host(), Some(url::Host::Domain(_)));
    !is_name || scenario.groups.iter().any(|group| group.connect.resolver.is_none())
}

/// Checks every address of a URL's host. A name that does not resolve is no fault here: the run will show it.
fn check_address(url: &Url, policy: &AddressPolicy) -> Result<(), RunError> {
    let host = url.host_str().unwrap_or_default();
    for address in addresses_of(url) {
        policy.check(host, address.ip())?;
    }
    Ok(())
}

/// What a URL's host resolves to.
fn addresses_of(url: &Url) -> impl Iterator<Item = SocketAddr> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = (bare, url.port_or_known_default().unwrap_or(0)).to_socket_addrs();
    found.into_iter().flatten()
}

fn start_target(
    scenario: &Scenario,
    share: Share,
    processes: Processes,
    doors: Vec<TcpListener>,
    clock: Clock,
) -> Result<(Option<Server>, TargetAddress), RunError> {
    match &scenario.target {
        Target::Remote(remote) => {
            let (url, token_url) = ((*remote.url).clone(), remote.token_url.as_deref().cloned());
            Ok((None, TargetAddress::Remote { url, token_url }))
        }
        Target::Embedded(rules) => {
            let mut rules = rules.as_ref().clone();
            // What is lost of topics is the same in all shards.
            if let Some(topics) = &mut rules.topics {
                topics.seed.get_or_insert(scenario.seed);
            }
            let setup = ServerSetup {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                rules: rules.clone(),
                seed: target_seed(scenario.seed, share),
                clock,
                // It has less to do for a session than a client.
                worker_threads: processes.threads().div_ceil(2),
                control: None,
                control_token: None,
                tls: None,
            };
            let server = Server::start_behind(doors, setup)
                .map_err(|source| RunError::Start { what: "the embedded target", source })?;
            let address = TargetAddress::Embedded {
                address: server.addr(),
                tls: server.is_secure(),
                path: rules.path.clone(),
            };
            Ok((Some(server), address))
        }
    }
}

/// The seed of a shard's own target: the first one's is the scenario's, and no two draw alike.
const fn target_seed(seed: u64, share: Share) -> u64 {
    seed ^ (share.shard() as u64 - 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[expect(clippy::too_many_arguments, reason = "each becomes a part of the manifest, and it is called once")]
fn manifest(
    scenario: &Scenario,
    copy: String,
    hash: String,
    address: &TargetAddress,
    authorised_hosts: Vec<String>,
    host: HostManifest,
    clock: Clock,
    share: Share,
) -> Manifest {
    let (target_kind, target_url) = match address {
        TargetAddress::Embedded { address, tls, .. } => {
            ("embedded", format!("{}://{address}", if *tls { "wss" } else { "ws" }))
        }
        TargetAddress::Remote { url, .. } => ("remote", bare_url(url)),
    };
    let groups = scenario
        .groups
        .iter()
        .map(|group| GroupManifest { name: group.name.clone(), clients: group.clients });
    Manifest {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: scenario.name.clone(),
        scenario_hash: hash,
        scenario_text: copy,
        seed: scenario.seed,
        started_unix_us: clock.unix_us(Moment::ZERO),
        duration_s: scenario.duration.as_secs_f64(),
        target_kind: target_kind.to_owned(),
        target_url,
        authorised_hosts,
        shards: share.of(),
        held: vec![share.shard()],
        lost: Vec::new(),
        absent: Vec::new(),
        workers: Vec::new(),
        groups: groups.collect(),
        steps: scenario.groups.iter().map(Group::step_names).collect(),
        token_pointers: scenario.token_pointers(),
        talks: TalkNames::of_groups(&scenario.groups),
        storms: planned_storms(scenario),
        observed: observed_series(scenario),
        thresholds: scenario.thresholds.iter().map(|threshold| threshold.source.clone()).collect(),
        host,
        simulated: None,
    }
}

/// The series of a scenario, as its manifest has them.
fn observed_series(scenario: &Scenario) -> Vec<ObservedSeries> {
    let of_source = |observe: &Observe| {
        let (source, url) = (observe.name.clone(), bare_url(observe.place.url()));
        let every_s = observe.every.as_secs_f64();
        let series = observe.series.iter().map(move |series| ObservedSeries {
            name: series.name.clone(),
            unit: series.unit.clone(),
            of: series.in_words(),
            every_s,
            source: source.clone(),
            url: url.clone(),
        });
        series.collect::<Vec<_>>()
    };
    scenario.observe.iter().flat_map(of_source).collect()
}
