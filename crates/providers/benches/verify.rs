//! Verification against the bare digest of the same bytes, at 0.5, 2, 64 KB and 1 MB.
//!
//! The bare digest is one HMAC with a prepared key over the body: what no verifier can do without. The verdict is
//! asserted in every iteration.

#![allow(clippy::expect_used, missing_docs, reason = "a bench; criterion's macro makes undocumented items")]

use aws_lc_rs::{digest, hmac};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, time::Duration};
use tollgate_core::{EndpointConfig, EndpointId, Timestamp};
use tollgate_providers::{
    Endpoint, Headers, KeyMaterial, KeyRing, Received, Secret, SignedWebhook, ToSign,
    catalogue::{self, Provider},
    scheme::KeyForm,
};

const SIZES: [usize; 4] = [512, 2 * 1024, 64 * 1024, 1024 * 1024];

/// Every row of the catalogue whose rule is an HMAC over the body, and a key of its form.
fn schemes() -> Vec<(&'static str, String)> {
    let is_measured = |row: &&Provider| {
        row.info().is_ok_and(|info| info.algorithm.starts_with("hmac") && info.signed.contains("{body}"))
    };
    let key = |row: &Provider| match row.scheme.as_ref().map(|scheme| (scheme.key.form, scheme.key.bytes)) {
        Some((KeyForm::Base64, _)) => "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".to_owned(),
        Some((KeyForm::Hex, bytes)) => "5ac3".repeat(bytes.unwrap_or(32) / 2),
        _ => "a signing secret of ours".to_owned(),
    };
    catalogue::providers().iter().filter(is_measured).map(|row| (row.name.as_str(), key(row))).collect()
}

struct Subject {
    endpoint: Endpoint,
    keys: KeyRing,
    signed: SignedWebhook,
}

fn now() -> Timestamp {
    Timestamp::from_second(1_760_000_000).expect("a moment")
}

fn subject(scheme: &str, key: &str, size: usize) -> Subject {
    let config = EndpointConfig {
        id: EndpointId::new("bench").expect("a name"),
        scheme: scheme.into(),
        secret: "ssm:bench".to_owned(),
        delivery: Default::default(),
        on_duplicate: None,
        tolerance_seconds: None,
        normaliser: None,
        notification_url: Some("https://hooks.example.com/webhook/square".to_owned()),
        parameters: Default::default(),
    };
    let endpoint = Endpoint::new(config).expect("an endpoint");
    let material = KeyMaterial::new("current", Secret::new(key));
    let keys = endpoint.keys(vec![material]).expect("a key");
    // As many headers as API Gateway adds.
    let headers: Headers =
        (0..14).map(|i| (format!("X-Amz-Or-Forwarded-{i}"), "a value of some length".repeat(2))).collect();
    let to_sign = ToSign { headers: &headers, query: "", body: &vec![b'x'; size], url: None };
    let signed = endpoint.sign(to_sign, &keys, now()).expect("signed");
    Subject { endpoint, keys, signed }
}

fn verification(c: &mut Criterion) {
    for size in SIZES {
        let mut group = c.benchmark_group(format!("{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        // Some thirty schemes: a second each.
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        let body = vec![b'x'; size];
        for (name, algorithm) in [("sha256", hmac::HMAC_SHA256), ("sha512", hmac::HMAC_SHA512)] {
            let key = hmac::Key::new(algorithm, b"a signing secret of ours");
            let expected = hmac::sign(&key, &body);
            group.bench_function(BenchmarkId::new("bare_hmac", name), |b| {
                b.iter(|| {
                    hmac::verify(&key, black_box(&body), expected.as_ref()).expect("the digest is right");
                });
            });
        }
        group.bench_function(BenchmarkId::new("bare_digest", "sha256"), |b| {
            b.iter(|| digest::digest(&digest::SHA256, black_box(&body)));
        });
        for (scheme, key) in schemes() {
            let Subject { endpoint, keys, signed } = subject(scheme, &key, size);
            let received = Received { headers: &signed.headers, query: &signed.query, body: &signed.body };
            group.bench_function(BenchmarkId::new("verify", scheme), |b| {
                b.iter(|| {
                    let verified =
                        endpoint.verify(black_box(received), &keys, None, now()).expect("it is genuine");
                    assert_eq!(verified.key_id(), "current");
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, verification);
criterion_main!(benches);
