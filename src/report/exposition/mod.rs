//! A run under way as others collect it: Prometheus, which scrapes it, and receivers of OpenTelemetry's protocol, to which it is sent.
//!
//! In: the live view that the recorder publishes each second. Out: OpenMetrics, Prometheus' own text format, OTLP messages. Every label's values are bounded:
//! groups, storms and the words of the vocabulary; close codes of applications are told by class. Nothing is kept between two of them.

mod buckets;
mod expected;
mod exponential;
mod families;
mod help;
mod live;
mod numbers;
mod otlp;
mod prometheus;
mod protobuf;
mod talk;

pub use live::LiveRun;
pub use otlp::{RunResource, Temporality, export_request, rejected_by};
pub use prometheus::{OPENMETRICS_TYPE, PROMETHEUS_TYPE, openmetrics_text, prometheus_text};
