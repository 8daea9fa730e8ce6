//! A run, or a shard of one, in this process.
//!
//! In: what to run, and which share of its clients. Out: the run folder, and the run as reports see it.

use std::path::Path;
use std::sync::Arc;

use crate::event_loop::single_loop;
use crate::plan::Share;
use crate::record::{ATTEMPTS_FILE, AttemptLog, JournalError, JournalWriter, read_journal};
use crate::report::{JOURNAL_FILE, RunModel, write_all};
use crate::scenario::keys::Scenario;
use crate::scenario::load_for_traffic;

use super::conduct::{Beside, conduct};
use super::done::RunDone;
use super::error::RunError;
use super::folder::{FolderError, make_folder};
use super::prepare::{Consent, prepare_share};
use super::request::RunRequest;
use super::shard_check::{check_shards, warn_of_own_limits};

/// Begins the file of a run's attempts.
pub(super) fn begin_attempts(folder: &Path, scenario: &Scenario) -> Result<AttemptLog, RunError> {
    let groups = scenario.groups.iter().map(|group| group.name.clone()).collect();
    let fault = |source| FolderError::Unwritable { path: folder.join(ATTEMPTS_FILE), source };
    Ok(AttemptLog::create(folder, groups).map_err(fault)?)
}

/// Runs a share of a scenario's clients in this process.
pub(super) fn run_share(request: RunRequest, share: Share) -> Result<RunDone, RunError> {
    let RunRequest {
        scenario,
        overrides,
        seed,
        out,
        authorised,
        attempts,
        allow_commands,
        on_progress,
        live,
    } = request;
    let consent = Consent { hosts: &authorised, commands: allow_commands };
    let loaded = load_for_traffic(&scenario, &overrides, seed, &|name| std::env::var(name).ok())?;
    check_shards(share.of(), &loaded.scenario)?;
    warn_of_own_limits(&loaded.scenario, share.of());
    let prepared = prepare_share(loaded, consent, share)?;
    let folder = make_folder(out.as_deref(), &prepared.scenario.name, prepared.started_unix_us())?;
    let journal_path = folder.join(JOURNAL_FILE);
    let journal = JournalWriter::create(&journal_path, &prepared.manifest)
        .map_err(|source| JournalError::Io { path: journal_path.clone(), source })?;
    let attempts = attempts.then(|| begin_attempts(&folder, &prepared.scenario)).transpose()?;
    let runtime = single_loop().map_err(|source| RunError::Start { what: "the runtime", source })?;
    let beside = Beside { on_progress, attempts, live, ..Beside::default() };
    let conducted = runtime.block_on(conduct(Arc::new(prepared), journal, beside))?;
    runtime.shutdown_background();
    let journal = match conducted.in_memory {
        Some(journal) => journal,
        None => read_journal(&journal_path)?,
    };
    let model = RunModel::new(journal);
    let write_faults = write_all(&model, &folder);
    Ok(RunDone { model, folder, write_faults })
}
