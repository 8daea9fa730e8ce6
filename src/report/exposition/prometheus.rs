//! Families in the texts that Prometheus reads.
//!
//! In: a run under way. Out: OpenMetrics, or Prometheus' own text format.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::buckets::Bounds;
use super::families::{Family, FamilyKind, FamilyUnit, Value};
use super::live::LiveRun;

/// Content type of OpenMetrics text.
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of Prometheus' own text format.
pub const PROMETHEUS_TYPE: &str = prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
/// Before each name.
const PREFIX: &str = "resurge";

/// The run in OpenMetrics text.
///
/// # Errors
/// Only when memory cannot be written.
pub fn openmetrics_text(run: &Arc<LiveRun>) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry(run))?;
    Ok(text)
}

/// The run in Prometheus' own text format, for readers that do not know OpenMetrics.
///
/// # Errors
/// Only when memory cannot be written.
pub fn prometheus_text(run: &Arc<LiveRun>) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::prometheus_text::encode(&mut text, &registry(run))?;
    Ok(text)
}

fn registry(run: &Arc<LiveRun>) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Arc::clone(run)));
    registry
}

impl Collector for LiveRun {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families().iter().try_for_each(|family| write_family(family, &mut encoder))
    }
}

fn write_family(family: &Family<'_>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let unit = match family.unit {
        FamilyUnit::None => None,
        FamilyUnit::Seconds => Some(Unit::Seconds),
        FamilyUnit::Bytes => Some(Unit::Bytes),
    };
    let kind = match family.kind {
        FamilyKind::Info => MetricType::Info,
        FamilyKind::Counter | FamilyKind::Corrected => MetricType::Counter,
        FamilyKind::Gauge => MetricType::Gauge,
        FamilyKind::Histogram(_) => MetricType::Histogram,
    };
    let mut metric = encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
    for (labels, value) in &family.series {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, &**value)).collect();
        match value {
            Value::Info => metric.encode_info(&labels)?,
            value if labels.is_empty() => write_value(family.kind, value, &mut metric)?,
            value => write_value(family.kind, value, &mut metric.encode_family(&labels)?)?,
        }
    }
    Ok(())
}

fn write_value(kind: FamilyKind, value: &Value<'_>, metric: &mut MetricEncoder<'_>) -> fmt::Result {
    match (value, kind) {
        (Value::Count(count), FamilyKind::Gauge) => {
            metric.encode_gauge(&i64::try_from(*count).unwrap_or(i64::MAX))
        }
        (Value::Count(count), _) => metric.encode_counter::<NoLabelSet, u64, f64>(count, None),
        (Value::Number(number), _) => metric.encode_gauge(number),
        (Value::Histogram(histogram), FamilyKind::Histogram(bounds)) => {
            let histogram = histogram.as_deref();
            let scale = if bounds == Bounds::Count { 1.0 } else { 1e6 };
            let sum = histogram.map_or(0.0, |histogram| histogram.sum_us() / scale);
            let count = histogram.map_or(0, crate::record::Latencies::count);
            metric.encode_histogram::<NoLabelSet>(sum, count, &bounds.count(histogram), None)
        }
        (Value::Histogram(_) | Value::Info, _) => Ok(()),
    }
}
