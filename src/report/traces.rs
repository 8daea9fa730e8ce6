//! The traces of refused attempts, in `run.json` and in the summary.
//!
//! In: a run. Out: values for JSON; a table; a line each.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::RefusedTrace;
use crate::sample::{Cause, Outcome};
use crate::units::format_us;

use super::model::RunModel;
use super::tables::Table;

/// The trace of the last refused attempt of a group that came to this.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RefusedTraceJson<'m> {
    group: &'m str,
    outcome: Outcome,
    /// Why, as it was told when it was refused; null where no cause is claimed.
    cause: Option<Cause>,
    /// When the attempt ended, in seconds since the run's start.
    at_s: f64,
    /// The W3C trace id: 32 hex digits.
    trace_id: String,
}

/// All of them, for `run.json`.
pub(super) fn refused_traces_json(model: &RunModel) -> Vec<RefusedTraceJson<'_>> {
    let of = |trace: &RefusedTrace| RefusedTraceJson {
        group: group_name(model, trace),
        outcome: trace.outcome,
        cause: trace.cause,
        at_s: trace.at_us as f64 / 1e6,
        trace_id: trace.trace_id.to_string(),
    };
    model.refused_traces.iter().map(of).collect()
}

/// The same as a table; `None`: there are none.
pub(super) fn refused_traces(model: &RunModel) -> Option<Table> {
    if model.refused_traces.is_empty() {
        return None;
    }
    let mut rows = vec![["group", "outcome", "cause", "at", "trace"].map(str::to_owned).to_vec()];
    rows.extend(model.refused_traces.iter().map(|trace| {
        vec![
            group_name(model, trace).to_owned(),
            trace.outcome.name().to_owned(),
            trace.cause.map_or("-", Cause::name).to_owned(),
            format_us(trace.at_us),
            trace.trace_id.to_string(),
        ]
    }));
    let note = "the last refused attempt of each cause: look it up in the service's traces";
    Some(Table { title: "Refused attempts in traces", note, rows })
}

/// The same in words, a line each: what to look for in the service's traces.
pub(super) fn refused_lines(model: &RunModel) -> Vec<String> {
    let words = |trace: &RefusedTrace| {
        let cause = trace.cause.map_or(String::new(), |cause| format!(" {}", cause.name()));
        format!("{}: last {}{cause} is {}", group_name(model, trace), trace.outcome.name(), trace.trace_id)
    };
    model.refused_traces.iter().map(words).collect()
}

fn group_name<'m>(model: &'m RunModel, trace: &RefusedTrace) -> &'m str {
    model.manifest.groups.get(usize::from(trace.group)).map_or("", |group| group.name.as_str())
}
