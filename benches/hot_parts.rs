//! How long the hot pure parts take, by criterion: each with the input of a deploy storm of 2,000 clients.
//!
//! `cargo bench --bench hot_parts` prints a time and a rate for each; `-- NAME` takes one. For a check that does not depend
//! on the machine see `instruction_counts`.
#![expect(clippy::unwrap_used, reason = "a bench that meets what it does not expect ends")]

mod parts;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn hot_parts(criterion: &mut Criterion) {
    for part in parts::parts() {
        let mut group = criterion.benchmark_group(part.name);
        group.throughput(Throughput::Elements(part.elements)).sample_size(20);
        group.bench_function(part.what, |bencher| {
            let run_once = |mut run: Box<dyn FnMut()>| {
                run();
                run
            };
            bencher.iter_batched(part.prepare, run_once, BatchSize::PerIteration);
        });
        group.finish();
    }
}

criterion_group!(benches, hot_parts);
criterion_main!(benches);
