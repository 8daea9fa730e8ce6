//! JUnit XML, for a CI server.
//!
//! In: a run. Out: one suite for its thresholds and one for its validity: a test case for each, the measured value in it. What XML 1.0 forbids is left
//! out, all else is escaped.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::record::{ThresholdResult, ThresholdStatus};

use super::model::RunModel;
use super::simulated::{SIMULATED, assumptions};
use super::verdict::{Status, ValidityCheck};

/// A run as JUnit XML. A threshold that fails is a failure; one without samples, and a run that is not valid, are errors.
///
/// # Errors
/// Only when memory cannot be written.
pub fn junit_xml(model: &RunModel) -> Result<String, SerializeError> {
    let elapsed = Duration::try_from_secs_f64(model.elapsed_s).unwrap_or_default();
    let scenario = &junit_one_line(&model.manifest.scenario);
    let mut report = Report::new(format!("resurge {scenario}"));
    report.set_time(elapsed);
    let mut thresholds = suite(model, "thresholds");
    thresholds.set_time(elapsed);
    thresholds.add_test_cases(model.thresholds.iter().map(|result| threshold_case(scenario, result)));
    let mut validity = suite(model, "validity");
    validity.add_test_case(end_case(model));
    // A threshold without samples is an error of its own case.
    let checks = model.validity.iter().filter(|check| check.what != "every threshold has samples");
    validity.add_test_cases(checks.map(|check| validity_case(scenario, check)));
    if !model.thresholds.is_empty() {
        report.add_test_suite(thresholds);
    }
    report.add_test_suite(validity);
    report.to_string()
}

/// An attribute is one line: a parser reads its line breaks as spaces anyway (XML 1.0 §3.3.3).
pub(crate) fn junit_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn suite(model: &RunModel, part: &str) -> TestSuite {
    let manifest = &model.manifest;
    let mut suite = TestSuite::new(format!("{} {part}", junit_one_line(&manifest.scenario)));
    let properties = [
        ("verdict", model.verdict.status.title().to_owned()),
        ("exit_code", model.verdict.exit_code.to_string()),
        ("scenario_hash", manifest.scenario_hash.clone()),
        ("seed", manifest.seed.to_string()),
        ("target", format!("{} {}", manifest.target_kind, manifest.target_url)),
        ("resurge_version", manifest.tool_version.clone()),
    ];
    suite.add_properties(properties.map(|(name, value)| Property::new(name, junit_one_line(&value))));
    if manifest.simulated.is_some() {
        let assumed = format!("{SIMULATED}. Assumed: {}", assumptions(manifest).join("; "));
        suite.add_property(Property::new("simulated", junit_one_line(&assumed)));
    }
    suite
}

fn case(scenario: &str, part: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(junit_one_line(name), status);
    case.set_classname(format!("{scenario}.{part}"));
    case.set_time(Duration::ZERO);
    case
}

/// A case that did not go well: of that kind, with what is said of it.
pub(crate) fn junit_non_success(
    kind: NonSuccessKind,
    of: &str,
    message: impl Into<String>,
) -> TestCaseStatus {
    let message = message.into();
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(of).set_message(junit_one_line(&message)).set_description(message);
    status
}

fn threshold_case(scenario: &str, result: &ThresholdResult) -> TestCase {
    let measured = &result.measured_text;
    let status = match result.status {
        ThresholdStatus::Passed => TestCaseStatus::success(),
        ThresholdStatus::Failed => junit_non_success(
            NonSuccessKind::Failure,
            "threshold_failed",
            format!("measured {measured}, wanted {}", result.threshold),
        ),
        ThresholdStatus::NoSamples => junit_non_success(
            NonSuccessKind::Error,
            "no_samples",
            format!("nothing was measured: {measured}"),
        ),
    };
    let mut case = case(scenario, "thresholds", &result.threshold, status);
    if let Some(value) = result.measured {
        // Microseconds, a share 0..1, a count or a rate per second, as in run.json.
        case.add_property(Property::new("measured", value.to_string()));
        case.add_property(Property::new("limit", result.limit.to_string()));
    }
    if let Some(least) = result.beyond {
        case.add_property(Property::new("measured_beyond", least.to_string()));
        case.add_property(Property::new("limit", result.limit.to_string()));
    }
    case.set_system_out(format!("measured {measured}"));
    case
}

/// The run's own end: interrupted, cut off and not authorised are errors.
fn end_case(model: &RunModel) -> TestCase {
    let broken =
        matches!(model.verdict.status, Status::Interrupted | Status::NotAuthorised | Status::Incomplete);
    let status = if broken {
        let why = model.verdict.reasons.first().cloned().unwrap_or_default();
        junit_non_success(NonSuccessKind::Error, "run_not_ended", why)
    } else {
        TestCaseStatus::success()
    };
    case(&junit_one_line(&model.manifest.scenario), "validity", "the run came to its end", status)
}

fn validity_case(scenario: &str, check: &ValidityCheck) -> TestCase {
    let status = match check.skipped {
        _ if !check.faults.is_empty() => {
            junit_non_success(NonSuccessKind::Error, "run_not_valid", check.faults.join("\n"))
        }
        Some(why) => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(why);
            skipped
        }
        None => TestCaseStatus::success(),
    };
    case(scenario, "validity", check.what, status)
}
