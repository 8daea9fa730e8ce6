//! A comparison as JUnit XML, for a CI server.
//!
//! In: comparisons, or why there is none. Out: a suite for each candidate, a test case for each measure that decides: a regression is a failure, what was to
//! be judged and is not is skipped, and where nothing could be compared the case of the comparison itself is an error.

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::report::{junit_non_success, junit_one_line};

use super::comparison::{Comparison, Row};
use super::judge::Finding;
use super::words;

/// The name of the report and of the cases' class.
const NAME: &str = "resurge compare";

/// Comparisons as JUnit XML.
///
/// # Errors
/// Only when memory cannot be written.
pub fn comparison_junit(comparisons: &[Comparison]) -> Result<String, SerializeError> {
    let mut report = Report::new(NAME);
    for comparison in comparisons {
        let (candidate, baseline) = (&comparison.candidate_name, &comparison.baseline_name);
        let mut suite = TestSuite::new(junit_one_line(&format!("{candidate} against {baseline}")));
        suite.add_property(Property::new("finding", comparison.finding.name()));
        let rows = comparison.rows.iter().filter(|row| row.measure.decides || row.is_missed());
        suite.add_test_cases(rows.map(row_case));
        if suite.test_cases.is_empty() {
            suite.add_test_case(refused("no measure that decides has enough values on both sides"));
        }
        report.add_test_suite(suite);
    }
    report.to_string()
}

/// Why runs were not compared, as JUnit XML.
///
/// # Errors
/// Only when memory cannot be written.
pub fn refusal_junit(why: &str) -> Result<String, SerializeError> {
    let mut report = Report::new(NAME);
    let mut suite = TestSuite::new("comparison");
    suite.add_test_case(refused(why));
    report.add_test_suite(suite);
    report.to_string()
}

fn refused(why: &str) -> TestCase {
    case("the runs can be compared", junit_non_success(NonSuccessKind::Error, "not_comparable", why.trim()))
}

fn row_case(row: &Row) -> TestCase {
    let said = words::sentence(row);
    let status = match row.finding {
        _ if row.is_missed() => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(junit_one_line(&words::finding(row)));
            skipped
        }
        Finding::Regressed => junit_non_success(NonSuccessKind::Failure, "regression", &said),
        _ => TestCaseStatus::success(),
    };
    let mut case = case(&format!("{} {}", row.group, row.measure.name), status);
    case.set_system_out(format!("{said} ({})", words::finding(row)));
    case
}

fn case(name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(junit_one_line(name), status);
    case.set_classname(NAME);
    case.set_time(std::time::Duration::ZERO);
    case
}
