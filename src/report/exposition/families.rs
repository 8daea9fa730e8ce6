//! A run's numbers as families of series: what Prometheus is served and OpenTelemetry is sent alike.
//!
//! In: names, labels, values. Out: [`Family`]. Plain data.

use std::borrow::Cow;

use crate::record::Latencies;

use super::buckets::Bounds;

/// What the values of a family are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FamilyUnit {
    /// They are counts.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// What the values of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FamilyKind {
    /// Labels alone, which tell of the run.
    Info,
    /// Counts that only grow.
    Counter,
    /// Counts that grow, but for what turns out to have been otherwise: a proof moves a refusal from one cause to another.
    Corrected,
    /// Values that go up and down.
    Gauge,
    /// Distributions.
    Histogram(Bounds),
}

/// A value of a series.
#[derive(Debug)]
pub(super) enum Value<'r> {
    /// There is none.
    Info,
    /// A count.
    Count(u64),
    /// A number.
    Number(f64),
    /// A distribution; `None`: nothing was measured yet.
    Histogram(Option<Cow<'r, Latencies>>),
}

/// Names and values that tell a series of a family from the others.
pub(super) type Labels<'r> = Vec<(&'static str, Cow<'r, str>)>;

/// Series of one name.
#[derive(Debug)]
pub(super) struct Family<'r> {
    /// Without prefix, unit and suffix.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: FamilyUnit,
    pub(super) kind: FamilyKind,
    pub(super) series: Vec<(Labels<'r>, Value<'r>)>,
}

impl<'r> Family<'r> {
    pub(super) const fn new(name: &'static str, help: &'static str, kind: FamilyKind) -> Self {
        Self { name, help, unit: FamilyUnit::None, kind, series: Vec::new() }
    }

    /// The same, whose values are in `unit`.
    pub(super) fn in_unit(self, unit: FamilyUnit) -> Self {
        Self { unit, ..self }
    }

    /// Adds a series.
    pub(super) fn put<const N: usize>(
        &mut self,
        labels: [(&'static str, Cow<'r, str>); N],
        value: Value<'r>,
    ) {
        self.series.push((labels.into(), value));
    }
}

/// A label's value.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
