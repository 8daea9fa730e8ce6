//! How long the hot pure parts take, by criterion: each with the input of a deploy storm of 2,000 clients.
//!
//! `cargo bench --bench hot_parts` prints a time and a rate for each; `-- NAME` takes one, as `-- mint` the signing of tokens. For a check
//! that does not depend on the machine see `instruction_counts`.
#![expect(clippy::unwrap_used, reason = "a bench that meets what it does not expect ends")]

mod parts;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resurge::declare::template::Template;
use resurge::jose::{Algorithm, SigningKey, signing_input, with_signature};
use resurge::scenario::keys::{MintRules, TokenFill};

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

/// A private key in PEM, made by OpenSSL.
fn private_key(algorithm: &str, option: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["genpkey", "-algorithm", algorithm, "-pkeyopt", option]);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// How many tokens one processor mints, header and claims included.
fn mint(criterion: &mut Criterion) {
    let rsa = |bits| private_key("RSA", &format!("rsa_keygen_bits:{bits}"));
    let ec = private_key("EC", "ec_paramgen_curve:P-256");
    let keys = [
        ("HS256", Algorithm::Hs256, "a shared secret".to_owned()),
        ("ES256", Algorithm::Es256, ec),
        ("RS256 with 2048 bits", Algorithm::Rs256, rsa(2048)),
        ("RS256 with 4096 bits", Algorithm::Rs256, rsa(4096)),
    ];
    let mut group = criterion.benchmark_group("mint");
    group.throughput(Throughput::Elements(1)).sample_size(20).measurement_time(RUN);
    for (name, algorithm, text) in keys {
        let rules = MintRules {
            key: Arc::new(SigningKey::read(algorithm, &text).unwrap()),
            key_id: None,
            header: None,
            claims: Template::parse(r#"{"sub":"user-{client}","aud":"events","scope":"events:read"}"#),
            life: Duration::from_secs(600),
        };
        let fill = TokenFill { client: 7, index: 7, unix_us: 1_700_000_000_000_000, feeder: None };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (header, claims) = rules.compose(&fill).unwrap();
                let input = signing_input(&header, &claims);
                with_signature(&input, &rules.key.sign(input.as_bytes()).unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hot_parts, mint);
criterion_main!(benches);
