//! Values of a family: counters and histograms.
//!
//! In: labels and a value. Out: the value, written.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, MetricEncoder, NoLabelSet};

use crate::record::Latencies;

use super::buckets::Bounds;

/// Writes a counter's value.
pub(super) fn write_counter(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

/// Writes a histogram; one without values where there is none.
pub(super) fn write_histogram(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    bounds: Bounds,
    histogram: Option<&Latencies>,
) -> fmt::Result {
    let scale = if bounds == Bounds::Count { 1.0 } else { 1e6 };
    let sum = histogram.map_or(0.0, |histogram| histogram.sum_us() / scale);
    let count = histogram.map_or(0, Latencies::count);
    let buckets = bounds.count(histogram);
    family.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
