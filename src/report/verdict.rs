//! The verdict on a run, and the exit code that says it.
//!
//! In: what was found. Out: one status with its reasons. Pure.

use serde::Serialize;

use crate::engine::StopReason;
use crate::record::{Agreement, Reconciliation, RunEnd, Tally, ThresholdResult, ThresholdStatus};
use crate::sample::Outcome;
use crate::units::format_count;

/// How a run came out. Where several hold, the first of this order (but an interrupted run is just that).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The user ended it: 105.
    Interrupted,
    /// An address was not authorised: 77.
    NotAuthorised,
    /// Its numbers are not to be believed: 110.
    NotValid,
    /// Its end is missing: 111.
    Incomplete,
    /// A threshold failed: 99.
    ThresholdFailed,
    /// All is well: 0.
    Pass,
}

impl Status {
    /// The exit code that says it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::NotAuthorised => 77,
            Self::ThresholdFailed => 99,
            Self::Interrupted => 105,
            Self::NotValid => 110,
            Self::Incomplete => 111,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How it came out.
    pub status: Status,
    /// The exit code of `resurge run`.
    pub exit_code: u8,
    /// Why, a sentence each; empty for a pass.
    pub reasons: Vec<String>,
}

/// What a verdict is made of.
pub(super) struct Findings<'a> {
    pub(super) end: Option<&'a RunEnd>,
    pub(super) thresholds: &'a [ThresholdResult],
    pub(super) account_faults: &'a [String],
    pub(super) reconciliation: Option<&'a Reconciliation>,
    pub(super) health_faults: Vec<String>,
    pub(super) clients_started: u64,
    pub(super) all: &'a Tally,
}

pub(super) fn judge(findings: &Findings<'_>) -> Verdict {
    let invalid = invalid_reasons(findings);
    let failed = failed_thresholds(findings.thresholds);
    let reason = findings.end.map(|end| &end.reason);
    let status = match reason {
        Some(StopReason::Interrupted) => Status::Interrupted,
        Some(StopReason::NotAuthorised) => Status::NotAuthorised,
        Some(_) if !invalid.is_empty() => Status::NotValid,
        None => Status::Incomplete,
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
        None => vec![
            "the run's end is missing: it was cut off. The numbers are those up to its last whole second"
                .to_owned(),
        ],
    };
    reasons.extend(invalid);
    reasons.extend(failed);
    Verdict { status, exit_code: status.exit_code(), reasons }
}

fn invalid_reasons(findings: &Findings<'_>) -> Vec<String> {
    let mut reasons = findings.health_faults.clone();
    reasons.extend(findings.account_faults.iter().map(|fault| format!("the accounts do not close: {fault}")));
    if let Some(reconciliation) = findings.reconciliation {
        let wrong = reconciliation.rows.iter().filter(|row| row.agreement == Agreement::Mismatch);
        reasons.extend(wrong.map(|row| {
            let (clients, target) = (format_count(row.clients), format_count(row.target));
            format!("{}: the clients counted {clients}, the target {target}", row.what)
        }));
    }
    let silent = findings.thresholds.iter().filter(|result| result.status == ThresholdStatus::NoSamples);
    reasons.extend(silent.map(|result| format!("threshold without a sample: {}", result.threshold)));
    // A run that was ended early could not start everyone.
    if let Some(end) = findings.end.filter(|end| end.reason == StopReason::Completed)
        && findings.clients_started < end.clients_planned
    {
        let (started, planned) = (format_count(findings.clients_started), format_count(end.clients_planned));
        reasons.push(format!("the load was not achieved: {started} of {planned} clients started"));
    }
    reasons.extend(never_answered(findings.all));
    if findings.end.is_some_and(|end| !end.drained) {
        reasons.push("some clients did not end even when they were cut off".to_owned());
    }
    reasons
}

/// A run in which no handshake was ever answered says nothing about reconnects.
fn never_answered(all: &Tally) -> Option<String> {
    let answered = all.attempts_where(|_, outcome, _| outcome == Outcome::Ok || outcome.is_refusal());
    if answered > 0 || all.attempts_total() == 0 {
        return None;
    }
    let outcomes: Vec<String> = Outcome::ALL
        .iter()
        .map(|outcome| (outcome, all.outcome(*outcome)))
        .filter(|(_, count)| *count > 0)
        .map(|(outcome, count)| format!("{outcome} {}", format_count(count)))
        .collect();
    let list = outcomes.join(", ");
    Some(format!(
        "no handshake was ever answered ({list}): check the target's URLs, and whether it is up and speaks WebSocket"
    ))
}

fn failed_thresholds(thresholds: &[ThresholdResult]) -> Vec<String> {
    let failed = thresholds.iter().filter(|result| result.status == ThresholdStatus::Failed);
    failed.map(|result| format!("{} (measured {})", result.threshold, result.measured_text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{GeneratorHealth, ReconciliationRow};

    fn end(reason: StopReason) -> RunEnd {
        RunEnd {
            reason,
            elapsed_s: 1.0,
            clients_planned: 10,
            drained: true,
            health: GeneratorHealth::default(),
            target_counters: None,
            write_faults: Vec::new(),
        }
    }

    fn result(status: ThresholdStatus) -> ThresholdResult {
        ThresholdResult {
            threshold: "t".into(),
            status,
            measured: None,
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
        Reconciliation { unsettled: 0, rows: vec![row] }
    }

    #[test]
    fn the_gravest_finding_is_the_verdict() {
        use StopReason::{ClientsDone, Completed, Interrupted, Threshold};
        use ThresholdStatus::{Failed, NoSamples, Passed};
        // (end, thresholds, mismatch, health fault, started, exit code)
        type Row<'a> = (Option<StopReason>, &'a [ThresholdStatus], bool, bool, u64, u8);
        let rows: &[Row<'_>] = &[
            (Some(Completed), &[Passed], false, false, 10, 0),
            (Some(Completed), &[Passed, Failed], false, false, 10, 99),
            (Some(Completed), &[Failed, NoSamples], false, false, 10, 110),
            (Some(Completed), &[Failed], true, false, 10, 110),
            (Some(Completed), &[], false, true, 10, 110),
            (Some(Completed), &[], false, false, 9, 110),
            (Some(Threshold { threshold: "t".into() }), &[Passed], false, false, 3, 99),
            (Some(Threshold { threshold: "t".into() }), &[Failed], true, false, 3, 110),
            (Some(ClientsDone), &[], false, false, 10, 0),
            (Some(Interrupted), &[Failed, NoSamples], true, true, 3, 105),
            (None, &[Failed], false, false, 10, 111),
        ];
        for (reason, statuses, mismatched, sick, started, code) in rows {
            let end = reason.clone().map(end);
            let thresholds: Vec<_> = statuses.iter().map(|status| result(*status)).collect();
            let reconciliation = mismatched.then(mismatch);
            let verdict = judge(&Findings {
                end: end.as_ref(),
                thresholds: &thresholds,
                account_faults: &[],
                reconciliation: reconciliation.as_ref(),
                health_faults: if *sick { vec!["late".into()] } else { Vec::new() },
                clients_started: *started,
                all: &Tally::default(),
            });
            assert_eq!(verdict.exit_code, *code, "{reason:?} {statuses:?} {mismatched} {sick} {started}");
            assert_eq!(verdict.reasons.is_empty(), *code == 0, "{verdict:?}");
        }
    }
}
