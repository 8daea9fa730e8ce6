//! How long the hot pure parts take, by criterion: each with the input of a deploy storm of 2,000 clients.
//!
//! `cargo bench --bench hot_parts` prints a time and a rate for each; `-- NAME` takes one. For a check that does not depend
//! on the machine see `instruction_counts`.
#![expect(clippy::unwrap_used, reason = "a bench that meets what it does not expect ends")]

mod parts;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// How long each part is measured.
const RUN: Duration = Duration::from_secs(3);

fn hot_parts(criterion: &mut Criterion) {
    for part in parts::parts() {
        let mut group = criterion.benchmark_group(part.name);
        group.throughput(Throughput::Elements(part.elements)).sample_size(20).measurement_time(RUN);
        group.bench_function(part.what, |bencher| {
            let mut run = (part.prepare)();
            bencher.iter(&mut run);
        });
        group.finish();
    }
}

criterion_group!(benches, hot_parts);
criterion_main!(benches);
