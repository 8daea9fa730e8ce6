//! The traces of refused attempts: the last one of each outcome and cause, so that a refusal can be found in the service's traces.
//!
//! In: such traces, as a journal has them. Out: the last of each. Plain data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sample::{Cause, Outcome, TraceId};

/// The last attempt of a group that came to this, and the trace in which the service has its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedTrace {
    /// The group's index in the scenario.
    pub group: u16,
    /// What ended the attempt.
    pub outcome: Outcome,
    /// Why, as it was told then: what a later attempt proves of it is not here.
    pub cause: Option<Cause>,
    /// When it ended, in microseconds since the run's start.
    pub at_us: u64,
    /// The trace.
    #[schemars(with = "String")]
    pub trace_id: TraceId,
}

impl RefusedTrace {
    /// What it is the last one of.
    pub(super) const fn key(&self) -> (u16, Outcome, Option<Cause>) {
        (self.group, self.outcome, self.cause)
    }
}

/// The last of each group, outcome and cause, in that order; of one moment, that with the greater trace id.
#[must_use]
pub fn settled_traces<'n>(told: impl IntoIterator<Item = &'n RefusedTrace>) -> Vec<RefusedTrace> {
    let mut last: BTreeMap<_, &RefusedTrace> = BTreeMap::new();
    for trace in told {
        let place = last.entry(trace.key()).or_insert(trace);
        if (trace.at_us, trace.trace_id) > (place.at_us, place.trace_id) {
            *place = trace;
        }
    }
    last.into_values().cloned().collect()
}
