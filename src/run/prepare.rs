//! Everything that can be known to be wrong before a run begins.
//!
//! In: a loaded scenario, the hosts that the user authorised. Out: [`Prepared`]: target started, addresses checked, budget held.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use url::Url;

use crate::clock::Clock;
use crate::drive::network::{AddressPolicy, ClientFiles, TargetAddress, client_config};
use crate::plan::{Needs, check_budget};
use crate::record::{GroupManifest, HostManifest, Manifest, SCHEMA_VERSION, StormManifest};
use crate::scenario::Loaded;
use crate::scenario::model::{DisconnectHow, Group, Scenario, Storm, StormBy, Target};
use crate::scenario::prepare_model::StepPlace;
use crate::target::server::{Server, ServerSetup};

use super::RunError;
use super::host;

/// Most threads of the embedded target.
const MOST_TARGET_THREADS: usize = 16;

/// A run that can begin.
pub(crate) struct Prepared {
    pub(crate) scenario: Scenario,
    pub(crate) manifest: Manifest,
    pub(crate) clock: Clock,
    pub(crate) policy: Arc<AddressPolicy>,
    pub(crate) tls: Option<rustls::ClientConfig>,
    pub(crate) server: Option<Server>,
    pub(crate) address: TargetAddress,
    pub(crate) needs: Needs,
}

impl Prepared {
    pub(crate) const fn started_unix_us(&self) -> u64 {
        self.manifest.started_unix_us
    }
}

pub(crate) fn prepare(loaded: Loaded, authorised: &[String]) -> Result<Prepared, RunError> {
    let Loaded { scenario, copy, hash } = loaded;
    let descriptor_limit = host::raise_descriptor_limit();
    let local_ports = host::local_ports();
    let needs = check_budget(&scenario, descriptor_limit, local_ports)?;
    let policy = Arc::new(AddressPolicy::new(authorised));
    let urls = remote_urls(&scenario);
    for url in &urls {
        check_address(url, &policy)?;
    }
    let files = match &scenario.target {
        Target::Remote(remote) => ClientFiles {
            authorities: remote.ca_file.as_deref(),
            identity: remote
                .client_certificate
                .as_ref()
                .map(|(certificate, key)| (certificate.as_path(), key.as_path())),
        },
        Target::Embedded(_) => ClientFiles::default(),
    };
    let is_secure = urls.iter().any(|url| matches!(url.scheme(), "wss" | "https"));
    let is_secure = is_secure || scenario.groups.iter().any(may_be_secure);
    let clock = Clock::start();
    let (server, address) = start_target(&scenario, clock)?;
    let authority =
        server.as_ref().and_then(Server::authority).map(|authority| authority.certificate.clone());
    let is_secure =
        is_secure || files.authorities.is_some() || files.identity.is_some() || authority.is_some();
    let tls = if is_secure { Some(client_config(files, authority)?) } else { None };
    let host = HostManifest { cores: host::cores(), kernel: host::kernel(), descriptor_limit, local_ports };
    let manifest = manifest(&scenario, copy, hash, &address, authorised, host, clock);
    Ok(Prepared { scenario, manifest, clock, policy, tls, server, address, needs })
}

/// Whether a group may come to use TLS by what its steps bring.
fn may_be_secure(group: &Group) -> bool {
    let by_steps = group.prepare.iter().flat_map(|prepare| &prepare.steps);
    group.connect.url_template.is_some()
        || by_steps.into_iter().any(|step| matches!(step.place, StepPlace::Url(_)))
}

/// Every URL that the scenario names.
fn remote_urls(scenario: &Scenario) -> Vec<Url> {
    let mut urls = Vec::new();
    if let Target::Remote(remote) = &scenario.target {
        urls.push(remote.url.clone());
        urls.extend(remote.token_url.clone());
    }
    for group in &scenario.groups {
        urls.extend(group.connect.url.clone());
        urls.extend(
            group
                .token
                .as_ref()
                .filter(|token| token.grant.credentials().is_some())
                .and_then(|token| token.url.clone()),
        );
    }
    urls
}

/// Checks every address of a URL's host. A name that does not resolve is no fault here: the run will show it.
fn check_address(url: &Url, policy: &AddressPolicy) -> Result<(), RunError> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(addresses) = (bare, url.port_or_known_default().unwrap_or(0)).to_socket_addrs() else {
        return Ok(());
    };
    for address in addresses {
        policy.check(host, address.ip())?;
    }
    Ok(())
}

fn start_target(scenario: &Scenario, clock: Clock) -> Result<(Option<Server>, TargetAddress), RunError> {
    match &scenario.target {
        Target::Remote(remote) => {
            let (url, token_url) = (remote.url.clone(), remote.token_url.clone());
            Ok((None, TargetAddress::Remote { url, token_url }))
        }
        Target::Embedded(rules) => {
            let setup = ServerSetup {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                rules: rules.as_ref().clone(),
                seed: scenario.seed,
                clock,
                worker_threads: host::cores().clamp(1, MOST_TARGET_THREADS),
                control: None,
                tls: None,
            };
            let server = Server::start(setup)
                .map_err(|source| RunError::Start { what: "the embedded target", source })?;
            let address = match server.is_secure() {
                true => TargetAddress::EmbeddedTls(server.addr()),
                false => TargetAddress::Embedded(server.addr()),
            };
            Ok((Some(server), address))
        }
    }
}

fn manifest(
    scenario: &Scenario,
    copy: String,
    hash: String,
    address: &TargetAddress,
    authorised: &[String],
    host: HostManifest,
    clock: Clock,
) -> Manifest {
    let (target_kind, target_url) = match address {
        TargetAddress::Embedded(address) => ("embedded", format!("ws://{address}")),
        TargetAddress::EmbeddedTls(address) => ("embedded", format!("wss://{address}")),
        TargetAddress::Remote { url, .. } => ("remote", without_secrets(url)),
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
        started_unix_us: clock.unix_us(clock.now()),
        duration_s: scenario.duration.as_secs_f64(),
        target_kind: target_kind.to_owned(),
        target_url,
        authorised_hosts: authorised.to_vec(),
        shards: 1,
        groups: groups.collect(),
        storms: scenario.storms.iter().map(storm).collect(),
        thresholds: scenario.thresholds.iter().map(|threshold| threshold.source.clone()).collect(),
        host,
    }
}

/// A URL without user, password and query: any of them may be a credential.
fn without_secrets(url: &Url) -> String {
    let mut bare = url.clone();
    bare.set_query(None);
    // A URL that cannot have them has none.
    let _ = (bare.set_username(""), bare.set_password(None));
    bare.to_string()
}

fn storm(storm: &Storm) -> StormManifest {
    let what = match &storm.by {
        StormBy::Target { code } => format!("the target closes with {code}"),
        StormBy::Client { how: DisconnectHow::Close { code }, .. } => format!("clients close with {code}"),
        StormBy::Client { how: DisconnectHow::Reset, .. } => "clients reset".to_owned(),
        StormBy::Client { how: DisconnectHow::HalfOpen, .. } => "clients go half-open".to_owned(),
    };
    StormManifest { at_s: storm.at.as_secs_f64(), what, fraction: storm.fraction }
}
