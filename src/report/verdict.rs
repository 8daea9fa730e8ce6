//! The verdict on a run, and the exit code that says it.
//!
//! In: what was found. Out: one status with its reasons. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::StopReason;
use crate::exit_code::ExitCode;
use crate::record::{
    Agreement, Reconciliation, ReconnectClocks, RunEnd, Tally, ThresholdResult, ThresholdStatus,
};
use crate::sample::{Counter, Outcome};
use crate::units::format_count;

use super::empty::{empty_groups, outcomes_met};

/// How a run came out. Where several hold, the first of this order (but an interrupted run is just that).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The user ended it: 105.
    Interrupted,
    /// An address was not authorised: 77.
    NotAuthorised,
    /// Its numbers are not to be believed: 110.
    NotValid,
    /// Its end is missing, or a shard's numbers are: 111.
    Incomplete,
    /// A threshold failed: 99.
    ThresholdFailed,
    /// All is well: 0.
    Pass,
}

impl Status {
    /// The exit code that says it.
    #[must_use]
    pub const fn exit_code(self) -> ExitCode {
        match self {
            Self::Pass => ExitCode::Pass,
            Self::NotAuthorised => ExitCode::NotAuthorised,
            Self::ThresholdFailed => ExitCode::ThresholdFailed,
            Self::Interrupted => ExitCode::Interrupted,
            Self::NotValid => ExitCode::NotValid,
            Self::Incomplete => ExitCode::Incomplete,
        }
    }

    /// Two words for the top of a report.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::NotAuthorised => "NOT AUTHORISED",
            Self::ThresholdFailed => "THRESHOLD FAILED",
            Self::Interrupted => "INTERRUPTED",
            Self::NotValid => "NOT VALID",
            Self::Incomplete => "INCOMPLETE",
        }
    }
}

/// The verdict on a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verdict {
    /// How it came out.
    pub status: Status,
    /// The exit code of `resurge run`.
    #[schemars(with = "u8")]
    pub exit_code: ExitCode,
    /// Why, a sentence each; empty for a pass.
    pub reasons: Vec<String>,
}

/// What a verdict is made of.
pub(super) struct Findings<'a> {
    /// Why the numbers of each lost shard are missing, a sentence each.
    pub(super) lost: &'a [String],
    /// Whether the numbers of a shard break off: then what it had open is unknown.
    pub(super) breaks_off: bool,
    pub(super) end: Option<&'a RunEnd>,
    /// Whole seconds that there are numbers of, and how many were planned.
    pub(super) recorded_s: u64,
    pub(super) planned_s: f64,
    pub(super) thresholds: &'a [ThresholdResult],
    pub(super) account_faults: &'a [String],
    pub(super) reconciliation: Option<&'a Reconciliation>,
    pub(super) health_faults: Vec<String>,
    /// Why there is no generator to be judged, where there is none.
    pub(super) no_generator: Option<&'static str>,
    pub(super) clients_started: u64,
    /// Whether there were events that must be done.
    pub(super) has_required_events: bool,
    /// Those of them that were not, a sentence each.
    pub(super) event_faults: Vec<String>,
    /// What keeps each group from ever getting to a handshake.
    pub(super) kept_out: &'a [Option<String>],
    /// Name and numbers of each group.
    pub(super) groups: &'a [(&'a str, &'a Tally)],
    pub(super) all: &'a Tally,
}

/// What must hold before all else.
const ANSWERED: &str = "handshakes were answered";

pub(super) fn judge(findings: &Findings<'_>, validity: &[ValidityCheck]) -> Verdict {
    // That nothing was ever answered explains whatever else is wrong.
    let (first, others): (Vec<&ValidityCheck>, Vec<_>) =
        validity.iter().partition(|check| check.what == ANSWERED);
    let faults = first.into_iter().chain(others).flat_map(|check| check.faults.iter().cloned());
    let invalid: Vec<String> = faults.collect();
    let failed = failed_thresholds(findings.thresholds);
    let reason = findings.end.map(|end| &end.reason);
    let status = match reason {
        Some(StopReason::Interrupted) => Status::Interrupted,
        Some(StopReason::NotAuthorised) => Status::NotAuthorised,
        Some(_) if !invalid.is_empty() => Status::NotValid,
        None => Status::Incomplete,
        Some(_) if !findings.lost.is_empty() => Status::Incomplete,
        // The threshold that ended the run failed then, whatever the drain made of it.
        Some(StopReason::Threshold { .. }) => Status::ThresholdFailed,
        Some(_) if !failed.is_empty() => Status::ThresholdFailed,
        Some(_) => Status::Pass,
    };
    let mut reasons = match reason {
        Some(StopReason::Interrupted) => {
            vec!["the run was interrupted; what it measured until then is below".to_owned()]
        }
        Some(StopReason::NotAuthorised) => {
            vec![
                "a name resolved to an address that is neither loopback nor private and not authorised"
                    .to_owned(),
            ]
        }
        Some(StopReason::Threshold { threshold }) => vec![format!("ended early by {threshold}")],
        Some(StopReason::Completed | StopReason::ClientsDone) => Vec::new(),
        None => vec![format!(
            "the run's end is missing: it was cut off. The numbers are those of its first {} s; planned were {} s and the drain",
            findings.recorded_s, findings.planned_s
        )],
    };
    reasons.extend(findings.lost.iter().cloned());
    reasons.extend(invalid);
    reasons.extend(failed);
    Verdict { status, exit_code: status.exit_code(), reasons }
}

/// Something that must hold for a run's numbers to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidityCheck {
    /// What must hold, as `the generator kept up`.
    pub what: &'static str,
    /// Why it cannot be told of this run; `None` where it can.
    pub skipped: Option<&'static str>,
    /// Why it does not hold, a sentence each; empty when it does.
    pub faults: Vec<String>,
}

pub(super) fn check_validity(findings: &Findings<'_>) -> Vec<ValidityCheck> {
    let cut_off = findings.end.is_none().then_some("the run was cut off");
    let lost = findings
        .breaks_off
        .then_some("a shard was lost: what it had open, and what its target counted, is unknown");
    let no_counters = findings.reconciliation.is_none().then_some("the target's own counters are not there");
    let load_lost = (!findings.lost.is_empty()).then_some("the clients of a lost shard are missing");
    let accounts =
        findings.account_faults.iter().map(|fault| format!("unbalanced counts: {fault}")).collect();
    let silent = findings.thresholds.iter().filter(|result| result.status == ThresholdStatus::NoSamples);
    let silent = silent.map(|result| format!("threshold without a sample: {}", result.threshold)).collect();
    let stuck = findings.end.is_some_and(|end| !end.drained);
    let undrained = stuck.then(|| "some clients did not end even when they were cut off".to_owned());
    let check = |what, skipped, faults| ValidityCheck { what, skipped, faults };
    let mut checks = vec![
        check("the generator kept up", cut_off.or(findings.no_generator), generator_faults(findings)),
        check("the counts balance", None, accounts),
        check("clients and target agree", lost.or(no_counters), mismatches(findings.reconciliation)),
        check("every threshold has samples", None, silent),
        check("the load was achieved", cut_off.or(load_lost), load_faults(findings)),
        check(ANSWERED, None, never_answered(findings).into_iter().collect()),
        check("every client came to its end", cut_off, undrained.into_iter().collect()),
    ];
    if findings.has_required_events {
        checks.push(check("required events were done", None, findings.event_faults.clone()));
    }
    checks
}

/// That the generator was late by its own measure, or that its latencies are not those that the target saw: one verdict on one machine.
fn generator_faults(findings: &Findings<'_>) -> Vec<String> {
    let clocks = findings.reconciliation.and_then(|reconciliation| reconciliation.reconnects.as_ref());
    let clocks = clocks.map(ReconnectClocks::faults).unwrap_or_default();
    findings.health_faults.iter().cloned().chain(clocks).collect()
}

fn mismatches(reconciliation: Option<&Reconciliation>) -> Vec<String> {
    let rows = reconciliation.iter().flat_map(|reconciliation| &reconciliation.rows);
    let wrong = rows.filter(|row| row.agreement == Agreement::Mismatch);
    let told = wrong.map(|row| {
        let (clients, target) = (format_count(row.clients), format_count(row.target));
        format!("{}: the clients counted {clients}, the target {target}", row.what)
    });
    told.collect()
}

/// A run that was ended early could not start everyone, and neither could a lost shard. A load is sessions, not starts: but where no handshake was answered
/// at all, that is told already.
fn load_faults(findings: &Findings<'_>) -> Vec<String> {
    let Some(end) = findings.end.filter(|_| findings.lost.is_empty()) else { return Vec::new() };
    let mut faults = Vec::new();
    let (started, planned) = (findings.clients_started, end.clients_planned);
    if end.reason == StopReason::Completed && started < planned {
        let (started, planned) = (format_count(started), format_count(planned));
        faults.push(format!("the load was not achieved: {started} of {planned} clients started"));
    }
    let is_whole = matches!(end.reason, StopReason::Completed | StopReason::ClientsDone);
    if is_whole && never_answered(findings).is_none() {
        faults.extend(empty_groups(findings.groups, findings.kept_out, findings.thresholds));
    }
    faults
}

/// A run in which no handshake was ever answered says nothing about reconnects.
fn never_answered(findings: &Findings<'_>) -> Option<String> {
    let all = findings.all;
    let answered = all.attempts_where(|_, outcome, _| outcome.is_answered());
    if answered > 0 || all.attempts_total() == 0 {
        return None;
    }
    let list = outcomes_met(all);
    if all.counter(Counter::CertificatesNotTrusted) > 0 {
        return Some(format!(
            "no handshake was ever answered ({list}): the target's certificate is not trusted. Name the PEM file of the authority that vouches for it in target.ca_file (resurge serve --tls writes resurge-ca.pem); it must be for the host in the URL"
        ));
    }
    let several = findings.groups.len() > 1;
    let named = findings.groups.iter().zip(findings.kept_out).filter_map(|((name, _), why)| {
        let why = why.as_ref()?;
        Some(if several { format!("{name}: {why}") } else { why.clone() })
    });
    let kept_out: Vec<String> = named.collect();
    if !kept_out.is_empty() {
        return Some(format!("no handshake was ever answered ({list}): {}", kept_out.join("; ")));
    }
    let only = |wanted| all.attempts_where(|_, outcome, _| outcome == wanted) == all.attempts_total();
    let check = if only(Outcome::TcpRefused) {
        "nothing listens there: check the host and the port in the target's URLs, and whether the service is up"
    } else {
        "check the target's URLs, and whether it is up and speaks WebSocket"
    };
    Some(format!("no handshake was ever answered ({list}): {check}"))
}

fn failed_thresholds(thresholds: &[ThresholdResult]) -> Vec<String> {
    let failed = thresholds.iter().filter(|result| result.status == ThresholdStatus::Failed);
    failed.map(|result| format!("{} (measured {})", result.threshold, result.measured_text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ClockRow, GeneratorHealth, ReconciliationRow, Steps};

    fn end(reason: StopReason) -> RunEnd {
        RunEnd {
            reason,
            elapsed_s: 1.0,
            clients_planned: 10,
            drained: true,
            health: GeneratorHealth::default(),
            target_counters: None,
            write_faults: Vec::new(),
            first_starts: Vec::new(),
            delays: Steps::default(),
            stalls: Steps::default(),
            target_reconnects: None,
        }
    }

    fn result(status: ThresholdStatus) -> ThresholdResult {
        ThresholdResult {
            threshold: "t".into(),
            status,
            measured: None,
            beyond: None,
            measured_text: "m".into(),
            limit: 0.0,
        }
    }

    fn mismatch() -> Reconciliation {
        let row = ReconciliationRow {
            what: "x".into(),
            clients: 1,
            target: 2,
            unsettled: 0,
            agreement: Agreement::Mismatch,
        };
        Reconciliation { unsettled: 0, rows: vec![row], reconnects: None }
    }

    #[test]
    fn a_machine_that_bent_the_latencies_did_not_keep_up() {
        let row = ClockRow { percentile: 50, clients_us: 145_000, target_us: 136_000, agrees: false };
        let clocks = ReconnectClocks { clients: 400, target: 400, percentiles: vec![row] };
        let reconciliation = Reconciliation { unsettled: 0, rows: Vec::new(), reconnects: Some(clocks) };
        let (end, nothing) = (end(StopReason::Completed), Tally::default());
        let findings = Findings {
            lost: &[],
            breaks_off: false,
            end: Some(&end),
            recorded_s: 3,
            planned_s: 3.0,
            thresholds: &[],
            account_faults: &[],
            reconciliation: Some(&reconciliation),
            health_faults: Vec::new(),
            no_generator: None,
            clients_started: 10,
            has_required_events: false,
            event_faults: Vec::new(),
            kept_out: &[],
            groups: &[],
            all: &nothing,
        };
        let checks = check_validity(&findings);
        let failed = checks.iter().filter(|check| !check.faults.is_empty()).map(|check| check.what);
        assert_eq!(failed.collect::<Vec<_>>(), ["the generator kept up"], "one statement on one machine");
    }

    #[test]
    fn the_gravest_finding_is_the_verdict() {
        use StopReason::{ClientsDone, Completed, Interrupted, Threshold};
        use ThresholdStatus::{Failed, NoSamples, Passed};
        // (end, thresholds, mismatch, health fault, started, exit code); and the same when a shard was lost
        type Row<'a> = (Option<StopReason>, &'a [ThresholdStatus], bool, bool, u64, u8, u8);
        let rows: &[Row<'_>] = &[
            (Some(Completed), &[Passed], false, false, 10, 0, 111),
            (Some(Completed), &[Passed, Failed], false, false, 10, 99, 111),
            (Some(Completed), &[Failed, NoSamples], false, false, 10, 110, 110),
            (Some(Completed), &[Failed], true, false, 10, 110, 110),
            (Some(Completed), &[], false, true, 10, 110, 110),
            (Some(Completed), &[], false, false, 9, 110, 111),
            (Some(Threshold { threshold: "t".into() }), &[Passed], false, false, 3, 99, 111),
            (Some(Threshold { threshold: "t".into() }), &[Failed], true, false, 3, 110, 110),
            (Some(ClientsDone), &[], false, false, 10, 0, 111),
            (Some(Interrupted), &[Failed, NoSamples], true, true, 3, 105, 105),
            (None, &[Failed], false, false, 10, 111, 111),
        ];
        for (reason, statuses, mismatched, sick, started, code, code_when_lost) in rows {
            let end = reason.clone().map(end);
            let thresholds: Vec<_> = statuses.iter().map(|status| result(*status)).collect();
            let reconciliation = mismatched.then(mismatch);
            let nothing = Tally::default();
            let one_lost = ["shard 2 of 3 is lost".to_owned()];
            let findings = |lost| Findings {
                lost,
                breaks_off: false,
                end: end.as_ref(),
                recorded_s: 3,
                planned_s: 10.0,
                thresholds: &thresholds,
                account_faults: &[],
                reconciliation: reconciliation.as_ref(),
                health_faults: if *sick { vec!["late".into()] } else { Vec::new() },
                no_generator: None,
                clients_started: *started,
                has_required_events: false,
                event_faults: Vec::new(),
                kept_out: &[],
                groups: &[],
                all: &nothing,
            };
            let judged = |findings: &Findings<'_>| judge(findings, &check_validity(findings));
            let lost = judged(&findings(&one_lost));
            assert_eq!(lost.exit_code.number(), *code_when_lost, "{reason:?} {statuses:?}");
            assert!(lost.reasons.contains(&one_lost[0]), "{lost:?}");
            let verdict = judged(&findings(&[]));
            assert_eq!(
                verdict.exit_code.number(),
                *code,
                "{reason:?} {statuses:?} {mismatched} {sick} {started}"
            );
            assert_eq!(verdict.reasons.is_empty(), *code == 0, "{verdict:?}");
        }
    }
}
