//! The parent of a run's shards, in processes of this machine.
//!
//! In: what to run and how to split it. Out: the children, led to the run's end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::plan::{Share, check_split, shards_needed};
use crate::record::Machines;
use crate::report::SHARDS_FOLDER;
use crate::scenario::keys::Scenario;
use crate::scenario::{is_read_again, load_for_traffic};

use super::super::display::Display;
use super::super::done::RunDone;
use super::super::error::RunError;
use super::super::folder::{FolderError, make_folder};
use super::super::live::LiveCommands;
use super::super::one_process::run_share;
use super::super::prepare::{self, Consent};
use super::super::request::{OnProgress, RunRequest};
use super::super::shard_check::{check_shards, check_simulated_shares, warn_of_own_limits};
use super::super::simulate::{SimulateRequest, load_scaled_by, simulation_of};
use super::children::Children;
use super::lead::SplitRun;
use super::protocol::{Preparation, VERSION, Virtual};
use super::split::Split;

/// How long all shards together get to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// How far ahead the common start is: all have to hear of it and to start their targets; so much, and so much for each.
const AHEAD: Duration = Duration::from_millis(400);
const AHEAD_EACH: Duration = Duration::from_millis(60);

/// Runs a scenario in several processes of this machine, or in this one where one is enough.
pub(in super::super) fn run_shards(request: RunRequest, split: Split) -> Result<RunDone, RunError> {
    let loaded = load_for_traffic(&request.scenario, &request.overrides, request.seed, &|name| {
        std::env::var(name).ok()
    })?;
    if let Split::Into(shards) = split {
        check_shards(shards, &loaded.scenario)?;
    }
    let (checked, machine) = prepare::check(loaded, consent_of(&request))?;
    let of = match split {
        Split::Into(shards) => shards,
        Split::Auto => shards_needed(&checked.scenario, &machine),
        Split::Share(share) => share.of(),
    };
    if of <= 1 {
        return run_share(request, Share::WHOLE);
    }
    check_split(&checked.scenario, &machine, of)?;
    if !is_read_again(&request.scenario) {
        return Err(RunError::NoFile { path: request.scenario });
    }
    let preparation = Preparation {
        version: VERSION,
        scenario: request.scenario,
        hash: checked.hash().to_owned(),
        overrides: request.overrides,
        seed: request.seed,
        authorised: request.authorised,
        attempts: request.attempts,
        allow_commands: request.allow_commands,
        out: PathBuf::new(),
        simulated: None,
    };
    let beside = (request.on_progress, request.live);
    lead_children(of, &checked.scenario, &preparation, request.out.as_deref(), beside)
}

/// Has `of` children run what `preparation` says, which is `scenario`.
fn lead_children(
    of: u32,
    scenario: &Scenario,
    preparation: &Preparation,
    out: Option<&Path>,
    (on_progress, live): (Option<OnProgress>, Option<LiveCommands>),
) -> Result<RunDone, RunError> {
    warn_of_own_limits(scenario, of);
    let folder = make_folder(out, &scenario.name, Clock::start().unix_us(Moment::ZERO))?;
    let shards = folder.join(SHARDS_FOLDER);
    fs::create_dir(&shards).map_err(|source| FolderError::Unwritable { path: shards.clone(), source })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Start { what: "the runtime", source })?;
    let run = SplitRun {
        of,
        scenario,
        folder: &folder,
        ahead: AHEAD + AHEAD_EACH * of,
        ready_within: READY_TIMEOUT,
        machines: Machines::One,
        at_least: None,
        is_simulated: preparation.simulated.is_some(),
    };
    let display = start_display(scenario, on_progress)?;
    let led = runtime.block_on(async {
        let start = Children::start(of, preparation, &shards);
        let children = start.await.map_err(|source| RunError::Start { what: "a shard's process", source })?;
        run.lead(children, display.as_ref(), live).await
    });
    run.end(led, display)
}

/// Simulates a scenario in `of` processes, each with its share of the clients and a target of its own.
pub(in super::super) fn simulate_in_shards(request: SimulateRequest, of: u32) -> Result<RunDone, RunError> {
    let SimulateRequest {
        scenario: file,
        mut overrides,
        seed,
        clients,
        calibrate,
        start_unix_us,
        out,
        attempts,
        on_progress,
        ..
    } = request;
    let (loaded, scaling) = load_scaled_by(&file, &overrides, seed, clients)?;
    overrides.extend(scaling);
    let hash = loaded.hash.clone();
    let simulation = simulation_of(loaded, calibrate.as_deref())?;
    let scenario = simulation.scenario();
    check_shards(of, scenario)?;
    check_simulated_shares(scenario)?;
    if !is_read_again(&file) {
        return Err(RunError::NoFile { path: file });
    }
    let preparation = Preparation {
        version: VERSION,
        scenario: file,
        hash,
        overrides,
        seed,
        authorised: Vec::new(),
        attempts,
        allow_commands: false,
        out: PathBuf::new(),
        simulated: Some(Virtual { start_unix_us, calibrate }),
    };
    lead_children(of, scenario, &preparation, out.as_deref(), (on_progress, None))
}

/// The thread that shows the progress, where anybody wants to see it.
pub(in super::super) fn start_display(
    scenario: &Scenario,
    on_progress: Option<OnProgress>,
) -> Result<Option<Display>, RunError> {
    let display = on_progress.map(|show| Display::start(scenario.clone(), show)).transpose();
    display.map_err(|source| RunError::Start { what: "the thread that shows the progress", source })
}

fn consent_of(request: &RunRequest) -> Consent<'_> {
    Consent { hosts: &request.authorised, commands: request.allow_commands }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use crate::scenario::load;

    /// The program of a unit test is no resurge: as a child it ends at once.
    #[test]
    fn shards_that_cannot_begin_are_told_and_gone() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("never.toml");
        let text = "duration = \"1s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 3\ntoken = { grant = \"none\" }\n";
        fs::write(&file, text).unwrap();
        let scenario = load(&file, &Vec::new(), None, &|_| None).unwrap().scenario;
        let preparation = Preparation {
            version: VERSION,
            scenario: file.clone(),
            hash: "h".into(),
            overrides: Vec::new(),
            seed: None,
            authorised: Vec::new(),
            attempts: false,
            allow_commands: false,
            out: PathBuf::new(),
            simulated: None,
        };
        let run = SplitRun {
            of: 3,
            scenario: &scenario,
            folder: home.path(),
            ahead: AHEAD,
            ready_within: READY_TIMEOUT,
            machines: Machines::One,
            at_least: None,
            is_simulated: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(async {
            let children = Children::start(3, &preparation, home.path()).await.unwrap();
            run.lead(children, None, None).await.unwrap_err()
        });
        assert!(matches!(error, RunError::Shard { of: 3, exit_code: ExitCode::Unexpected, .. }), "{error}");
        assert!(error.to_string().contains("could not begin: it panicked (exit code 101)"), "{error}");
        let ours = file.to_str().unwrap();
        let is_ours = |process: &fs::DirEntry| {
            let arguments = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            arguments.split('\0').any(|argument| argument == ours)
        };
        let left: Vec<_> = fs::read_dir("/proc").unwrap().flatten().filter(is_ours).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
