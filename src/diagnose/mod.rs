//! Why a reconnect is refused: one client, controlled experiments, a verdict.
//!
//! In: a scenario and how long to wait. Out: a [`Diagnosis`]: every experiment with what was seen, findings with the change to
//! make, and what fetching tokens costs. No run folder is written.

mod experimenter;
mod experiments;
mod finding;
mod first_refusal;
mod observation;
mod refused;
mod sessions;
mod signed;
mod text;
mod variations;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use experimenter::{OnStep, Step, Waits};
pub use finding::{Case, Finding, Kind};
pub use observation::{EndedBy, Experiment, Observation, Seen};
pub use refused::{Manner, Refused};
pub use text::diagnosis_text;
pub use variations::Tries;
pub use verdict::judge;

use crate::drive::network::{GroupSetup, TargetAddress, Variation};
use crate::drive::network::{Probe, ProbeShared, TokenLook};
use crate::event_loop::single_loop;
use crate::lifecycle::GroupRules;
use crate::run::RunError;
use crate::run::prepare::{Prepared, prepare};
use crate::sample::GroupId;
use crate::scenario::Overrides;
use crate::scenario::keys::PrepareWhen;
use crate::scenario::keys::{Grant, Group, OnReconnect, OnSignedReconnect, Scenario, Start, TokenIn};
use crate::scenario::load;

use experimenter::{Experimenter, Probes, Results};
use variations::{Change, Varied};

/// Version of the JSON answer.
const SCHEMA_VERSION: u32 = 1;
/// What one client cannot see.
const UNSEEN: &str = "One client cannot see limits that many meet: caps on sessions, handshakes a second, token requests a minute. A run of the scenario does.";
/// A scope that opens nothing, to see what its holder gets.
const OTHER_SCOPE: &str = "resurge:none";

/// What to diagnose.
#[derive(Clone)]
pub struct DiagnoseRequest {
    /// The scenario's file.
    pub scenario: PathBuf,
    /// Overrides of its keys.
    pub overrides: Overrides,
    /// The group whose client is sent; `None`: the first.
    pub group: Option<String>,
    /// How long to wait.
    pub waits: Waits,
    /// Hosts that may be hit though they are neither loopback nor private.
    pub authorised: Vec<String>,
    /// What to try where the first handshake is refused.
    pub tries: Tries,
}

/// Why there is no diagnosis.
#[derive(Debug, thiserror::Error)]
pub enum DiagnoseError {
    /// The scenario cannot be used, or not here.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no such group.
    #[error("the scenario has no group `{name}`; its groups are {groups}")]
    NoGroup {
        /// The name that was given.
        name: String,
        /// Those that there are.
        groups: String,
    },
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// Version of this answer's form.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The group whose client was sent.
    pub group: String,
    /// Where it was sent; never a query, a user or a password.
    pub target: String,
    /// The most important finding.
    pub verdict: Finding,
    /// The others.
    pub also: Vec<Finding>,
    /// What fetching tokens costs; `None`: none was fetched.
    pub token_cost: Option<TokenCost>,
    /// The evidence, in the order of time.
    pub evidence: Vec<Observation>,
    /// What one client cannot see, where the group has more and the verdict is of one that was let in.
    pub unseen: Option<&'static str>,
}

/// What fetching a token costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenCost {
    /// How many were fetched here.
    pub requests: usize,
    /// The median of their times, in microseconds.
    pub median_us: u64,
    /// The longest, in microseconds.
    pub max_us: u64,
    /// How many requests the group makes when all its clients come back at once and each fetches its own.
    pub requests_per_storm: u32,
    /// Whether one is needed for each reconnect; `None`: not known.
    pub needed_each_time: Option<bool>,
}

/// Sends one client of a scenario through the experiments.
///
/// # Errors
/// [`DiagnoseError`] when the scenario cannot be used. What the target does wrong is evidence, not an error.
pub fn diagnose(request: &DiagnoseRequest, on_step: OnStep<'_>) -> Result<Diagnosis, DiagnoseError> {
    let loaded = load(&request.scenario, &request.overrides, None, &|name| std::env::var(name).ok());
    let mut loaded = loaded.map_err(RunError::from)?;
    let index = find_group(&loaded.scenario, request.group.as_deref())?;
    let clients = loaded.scenario.groups[index].clients;
    for group in &mut loaded.scenario.groups {
        // One client is sent, so the machine need not be fit for all of them.
        (group.clients, group.start) = (1, Start::AtOnce);
    }
    // Nobody but the target is asked.
    loaded.scenario.observe.clear();
    let prepared = prepare(loaded, &request.authorised)?;
    let runtime = single_loop().map_err(|source| RunError::Start { what: "the runtime", source })?;
    let results = runtime.block_on(async {
        let probes = probes(&prepared, index, &request.tries)?;
        Ok::<_, RunError>(Box::pin(Experimenter::new(probes, request.waits, on_step).run()).await)
    })?;
    runtime.shutdown_background();
    Ok(conclude(&prepared, index, clients, results))
}

fn find_group(scenario: &Scenario, name: Option<&str>) -> Result<usize, DiagnoseError> {
    let Some(name) = name else { return Ok(0) };
    scenario.groups.iter().position(|group| group.name == name).ok_or_else(|| {
        let groups: Vec<&str> = scenario.groups.iter().map(|group| group.name.as_str()).collect();
        DiagnoseError::NoGroup { name: name.to_owned(), groups: groups.join(", ") }
    })
}

fn probes(prepared: &Prepared, index: usize, tries: &Tries) -> Result<Probes, RunError> {
    let shared = ProbeShared::new(prepared.clock, prepared.policy.clone(), prepared.tls.clone())
        .map_err(|source| RunError::Start { what: "the timers", source })?;
    let group = &prepared.scenario.groups[index];
    let setup = GroupSetup {
        id: GroupId(0),
        name: group.name.clone(),
        rules: GroupRules::of(&prepared.scenario, index),
        connect: group.connect.clone(),
    };
    let probe = |setup: GroupSetup| Probe::new(&shared, setup, &prepared.address);
    let mut elsewhere = Vec::new();
    for (experiment, place) in other_places(group) {
        let mut moved = setup.clone();
        moved.connect.token_in = place;
        elsewhere.push((experiment, probe(moved)?));
    }
    let mut origins = Vec::new();
    for (experiment, origin) in other_origins(prepared, index, &tries.origins) {
        let mut changed = setup.clone();
        changed.connect.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Origin"));
        changed.connect.origin = origin.clone();
        origins.push((experiment, origin, probe(changed)?));
    }
    let vary = |(experiment, sent, change): Varied| {
        let mut changed = setup.clone();
        let probe = match change {
            Change::Subprotocols(names) => {
                changed.connect.subprotocols = names;
                probe(changed)?
            }
            Change::Written(variation) => Probe::varied(&shared, changed, &prepared.address, &variation)?,
        };
        Ok::<_, RunError>((experiment, sent, probe))
    };
    let (mut changes, alone) = variations::subprotocols(&prepared.scenario, index, &tries.subprotocols);
    changes.extend(variations::written(&prepared.scenario, &prepared.address, index, &tries.hosts));
    let varied = changes.into_iter().map(vary).collect::<Result<_, _>>()?;
    let each_alone = alone.into_iter().map(vary).collect::<Result<_, _>>()?;
    let mut rescoped = setup.clone();
    let other_scope = match rescoped.rules.token.as_mut().map(|token| &mut token.grant) {
        Some(Grant::ClientCredentials(credentials)) => {
            credentials.scopes = vec![OTHER_SCOPE.to_owned()];
            Some(probe(rescoped)?)
        }
        _ => None,
    };
    let old_signature = match &setup.connect.sign {
        Some(_) => Some(Probe::varied(&shared, setup.clone(), &prepared.address, &Variation::OldSignature)?),
        None => None,
    };
    let main = probe(setup)?;
    Ok(Probes { main, old_signature, elsewhere, origins, varied, each_alone, other_scope, _shared: shared })
}

/// Where else in the handshake the token could go.
fn other_places(group: &Group) -> Vec<(Experiment, TokenIn)> {
    let header = (Experiment::InHeader, TokenIn::Header);
    let query = (Experiment::InQuery, TokenIn::Query("access_token".to_owned()));
    if group.token.is_none() {
        return Vec::new();
    }
    match &group.connect.token_in {
        TokenIn::Header => vec![query],
        TokenIn::Query(_) => vec![header],
        TokenIn::Subprotocol(_) | TokenIn::FirstMessage(_) | TokenIn::Nowhere => vec![header, query],
    }
}

/// How long the signature is good that the group's clients show again and again; `None`: they do not.
fn reused_for(group: &Group) -> Option<Duration> {
    let sign = group.connect.sign.as_ref()?;
    (sign.on_reconnect == OnSignedReconnect::Reuse).then(|| sign.life())
}

/// What stands in the place of an `Origin` that is one of the group's headers: those may be secret.
const ORIGIN_OF_HEADERS: &str = "that of connect.headers";

/// The `Origin` that the group's clients send, as it may be shown.
fn origin_of(group: &Group) -> Option<&str> {
    let is_own = group.connect.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Origin"));
    if is_own { Some(ORIGIN_OF_HEADERS) } else { group.connect.origin.as_deref() }
}

/// What else the `Origin` could be: none, that of the target's own host, `null`, those that were `given`, those of the scenario's other groups.
fn other_origins(prepared: &Prepared, index: usize, given: &[String]) -> Vec<(Experiment, Option<String>)> {
    let groups = &prepared.scenario.groups;
    let sent = origin_of(&groups[index]);
    let own = match &prepared.address {
        // A page's origin is http(s) where its WebSocket is ws(s), on the same host and port.
        TargetAddress::Remote { url, .. } => {
            let origin = url.origin().ascii_serialization();
            origin.strip_prefix("ws").map(|rest| format!("http{rest}"))
        }
        _ => None,
    };
    let others = groups.iter().filter_map(|group| group.connect.origin.clone());
    let mut tried: Vec<Option<String>> = vec![sent.map(str::to_owned)];
    let mut found = Vec::new();
    let mut add = |experiment, origin: Option<String>| {
        if !tried.contains(&origin) {
            tried.push(origin.clone());
            found.push((experiment, origin));
        }
    };
    add(Experiment::WithoutOrigin, None);
    if own.is_some() {
        add(Experiment::OwnOrigin, own);
    }
    add(Experiment::NullOrigin, Some("null".to_owned()));
    given.iter().cloned().chain(others).for_each(|origin| add(Experiment::GivenOrigin, Some(origin)));
    found
}

fn conclude(prepared: &Prepared, index: usize, clients: u32, results: Results) -> Diagnosis {
    let (group, rules) = (&prepared.scenario.groups[index], GroupRules::of(&prepared.scenario, index));
    let fetches = group.token.as_ref().is_some_and(|token| !matches!(token.grant, Grant::Fixed(_)));
    let case = Case {
        observations: &results.observations,
        look: results.look.unwrap_or(TokenLook::Plain),
        fetches,
        fetches_each_time: fetches
            && group.token.as_ref().is_some_and(|token| token.on_reconnect == OnReconnect::Fetch),
        prepares_each_time: group
            .prepare
            .as_ref()
            .is_some_and(|prepare| prepare.when == PrepareWhen::EachAttempt),
        may_show: rules.may_show,
        mints: group.token.as_ref().is_some_and(|token| token.grant.is_minted()),
        origin: origin_of(group),
        signs: group.connect.sign.is_some(),
        reuses_signature: reused_for(group),
    };
    let was_let_in = case.was_let_in();
    let mut findings = judge(&case).into_iter().map(|finding| finding.in_group(index));
    let verdict = findings.next().unwrap_or_else(verdict::nothing_tried);
    let also = findings.collect();
    let token_cost = token_cost(results.fetch_times, clients, verdict.fresh_token_needed);
    let target = match &prepared.address {
        TargetAddress::Embedded { .. } => "the embedded target".to_owned(),
        TargetAddress::Remote { .. } => prepared.manifest.target_url.clone(),
    };
    Diagnosis {
        schema_version: SCHEMA_VERSION,
        scenario: prepared.scenario.name.clone(),
        group: group.name.clone(),
        target,
        verdict,
        also,
        token_cost,
        evidence: results.observations,
        unseen: (was_let_in && clients > 1).then_some(UNSEEN),
    }
}

fn token_cost(mut times: Vec<Duration>, clients: u32, needed: Option<bool>) -> Option<TokenCost> {
    times.sort_unstable();
    let us = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Some(TokenCost {
        requests: times.len(),
        median_us: us(times.get(times.len() / 2)?),
        max_us: us(times.last()?),
        requests_per_storm: clients,
        needed_each_time: needed,
    })
}
