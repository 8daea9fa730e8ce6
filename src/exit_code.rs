//! The exit codes: what a finished command tells the shell.
//!
//! In: nothing. Out: each code with its number, its name and what it means; the list in `--help`; the reference page. The numbers stand nowhere else.

use std::fmt;

use serde::{Deserialize, Serialize};

const HEAD: &str = "\
<!-- Generated from `src/exit_code.rs` by its test, with `RESURGE_ACCEPT=1`. Do not edit. -->
# Exit codes

Every command ends with one of these codes. `run.json` has a run's code (`verdict.exit_code`) and the reasons for it.

";

/// How a command ended. In files and messages it is its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum ExitCode {
    /// All is well.
    Pass = 0,
    /// An error that nobody foresaw, or output that could not be written.
    Unexpected = 1,
    /// Arguments that cannot be, or do not fit together.
    Usage = 2,
    /// A run folder or a baseline that cannot be read or compared.
    Unreadable = 65,
    /// Somebody else has to be there first: the same command may pass later.
    TryAgain = 75,
    /// A target that the user did not authorise.
    NotAuthorised = 77,
    /// A threshold of the scenario failed.
    ThresholdFailed = 99,
    /// A scenario that cannot be used.
    ScenarioInvalid = 104,
    /// The user ended it.
    Interrupted = 105,
    /// A run whose numbers are not to be believed.
    NotValid = 110,
    /// A run of which a part is missing.
    Incomplete = 111,
    /// Worse than the baseline, or further from the prediction than allowed.
    Regression = 112,
}

impl ExitCode {
    /// Every code, by its number.
    pub const ALL: [Self; 12] = [
        Self::Pass,
        Self::Unexpected,
        Self::Usage,
        Self::Unreadable,
        Self::TryAgain,
        Self::NotAuthorised,
        Self::ThresholdFailed,
        Self::ScenarioInvalid,
        Self::Interrupted,
        Self::NotValid,
        Self::Incomplete,
        Self::Regression,
    ];
    /// The verdicts on a run that exclude each other, the one that wins first.
    const BY_GRAVITY: [Self; 4] = [Self::NotValid, Self::Incomplete, Self::ThresholdFailed, Self::Regression];

    /// What the shell sees.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name, in the words of the reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unexpected => "unexpected",
            Self::Usage => "usage",
            Self::Unreadable => "unreadable",
            Self::TryAgain => "try_again",
            Self::NotAuthorised => "not_authorised",
            Self::ThresholdFailed => "threshold_failed",
            Self::ScenarioInvalid => "scenario_invalid",
            Self::Interrupted => "interrupted",
            Self::NotValid => "not_valid",
            Self::Incomplete => "incomplete",
            Self::Regression => "regression",
        }
    }

    /// What it means, in a line of `--help`.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unexpected => "unexpected error, or a file or stdout that could not be written",
            Self::Usage => "usage",
            Self::Unreadable => "run folder damaged, unreadable or not comparable",
            Self::TryAgain => "try again: the NATS server or the run is not there, or a target is in use",
            Self::NotAuthorised => "target or command not authorised",
            Self::ThresholdFailed => "a threshold failed",
            Self::ScenarioInvalid => "scenario invalid",
            Self::Interrupted => "interrupted, partial report written",
            Self::NotValid => {
                "run not valid (generator saturated, load not achieved, unbalanced counts, a threshold without samples)"
            }
            Self::Incomplete => "incomplete: a shard was lost, or the run was cut off",
            Self::Regression => "regression against the baseline",
        }
    }

    /// When a command ends with it, in sentences of the reference page.
    const fn detail(self) -> &'static str {
        match self {
            Self::Pass => "Also `diagnose` with any verdict.",
            Self::Unexpected => "Also a run that passed, if one of its files or stdout could not be written.",
            Self::Usage => "Unknown or contradictory arguments; a folder or file that already exists.",
            Self::Unreadable => {
                "The run folders and baselines that `report`, `merge`, `compare`, `baseline`, `simulate --calibrate` and `--against` read."
            }
            Self::TryAgain => {
                "Runs over many machines: no NATS server answers, or it has no JetStream, or it does not keep the data that it is given; there is no run of that name, or it has already started; another run uses the target."
            }
            Self::NotAuthorised => {
                "An address that is neither loopback nor private, and not named by `--authorize`; events that run commands or send signals, without `--allow-commands`; a NATS server that rejects the login, or a connection to it that others could read or use."
            }
            Self::ThresholdFailed => {
                "From `run` and `simulate`; from `sweep` if no point meets its conditions."
            }
            Self::ScenarioInvalid => {
                "The faults are on stderr, each with its line and the fix. Also an invalid profile or rule of `serve`."
            }
            Self::Interrupted => {
                "Ctrl-C, SIGTERM or a closed terminal. The run drained and wrote its reports, unless it had not started."
            }
            Self::NotValid => {
                "Also if this machine cannot hold the run; if a candidate of `compare --gate`, or a run for `baseline`, is not valid; from `sweep` if no point gives a result."
            }
            Self::Incomplete => {
                "Also if workers or shards were not ready in time. Use `merge` again when you have the missing shard. `report` of a run that was cut off shows what it measured, and ends with 0."
            }
            Self::Regression => {
                "From `compare --gate`; from `simulate --against` if the prediction deviates by more than allowed."
            }
        }
    }

    /// This code, or the other where that tells of something graver: of several processes that were one.
    #[must_use]
    pub const fn max_by_gravity(self, other: Self) -> Self {
        match (self, other) {
            (Self::Pass, other) => other,
            (Self::Incomplete, other) if !matches!(other, Self::Pass) => other,
            (code, _) => code,
        }
    }

    /// This code; but a pass of which not everything could be written is [`ExitCode::Unexpected`].
    #[must_use]
    pub const fn if_written(self, is_everything_written: bool) -> Self {
        match self {
            Self::Pass if !is_everything_written => Self::Unexpected,
            code => code,
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl From<ExitCode> for u8 {
    fn from(code: ExitCode) -> Self {
        code.number()
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// A number that no command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no exit code of resurge")]
pub struct UnknownExitCode(u8);

impl TryFrom<u8> for ExitCode {
    type Error = UnknownExitCode;

    fn try_from(number: u8) -> Result<Self, UnknownExitCode> {
        Self::ALL.into_iter().find(|code| code.number() == number).ok_or(UnknownExitCode(number))
    }
}

/// The list under `--help`.
#[must_use]
pub fn exit_codes_help() -> String {
    let rows: Vec<String> =
        ExitCode::ALL.iter().map(|code| format!("  {:<5}{}", code.number(), code.meaning())).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// The reference page, in Markdown.
#[must_use]
pub fn exit_codes_page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| code | name | means | when |\n|---|---|---|---|\n");
    for code in ExitCode::ALL {
        let row = format!("| {code} | `{}` | {} | {} |\n", code.name(), code.meaning(), code.detail());
        page.push_str(&row);
    }
    let order = ExitCode::BY_GRAVITY.map(|code| code.to_string()).join(", ");
    page.push_str(&format!(
        "\nIf several apply, the first of this list counts: {order}. An interrupted run always ends with 105.\n"
    ));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_read_back() {
        assert!(ExitCode::ALL.is_sorted_by_key(|code| code.number()));
        for code in ExitCode::ALL {
            assert_eq!(ExitCode::try_from(code.number()), Ok(code));
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, code.number().to_string());
            assert_eq!(serde_json::from_str::<ExitCode>(&json).unwrap(), code);
        }
        assert_eq!(ExitCode::try_from(3).unwrap_err().to_string(), "3 is no exit code of resurge");
    }

    #[test]
    fn only_a_pass_is_spoilt_by_a_file_that_could_not_be_written() {
        for (code, is_written, expected) in [
            (ExitCode::Pass, true, 0),
            (ExitCode::Pass, false, 1),
            (ExitCode::ThresholdFailed, false, 99),
            (ExitCode::NotValid, true, 110),
        ] {
            assert_eq!(code.if_written(is_written).number(), expected);
        }
    }

    /// With `RESURGE_ACCEPT=1` the page is written anew.
    #[test]
    fn the_page_in_the_manual_is_the_one_that_the_codes_make() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/reference/exit-codes.md");
        if std::env::var_os("RESURGE_ACCEPT").is_some() {
            std::fs::write(&path, exit_codes_page()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == exit_codes_page(),
            "docs/src/reference/exit-codes.md is stale: RESURGE_ACCEPT=1 cargo test --lib exit_code"
        );
    }
}
