//! Verification against the bare digest of the same bytes, at 0.5, 2, 64 KB and 1 MB.
//!
//! The bare digest is one HMAC with a prepared key over the body: what no verifier can do without. The verdict is
//! asserted in every iteration.

#![allow(clippy::expect_used, missing_docs, reason = "a bench; criterion's macro makes undocumented items")]

use aws_lc_rs::{digest, hmac};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tollgate_core::{EndpointConfig, EndpointId, Timestamp};
use tollgate_providers::{Endpoint, Headers, KeyMaterial, KeyRing, Received, Secret, Signed, ToSign};

const SIZES: [usize; 4] = [512, 2 * 1024, 64 * 1024, 1024 * 1024];

/// A scheme of each kind: plain header, list with timestamp, versioned list with id, URL, SHA-512.
const SCHEMES: [(&str, &str); 8] = [
    ("razorpay", "a signing secret of ours"),
    ("stripe", "whsec_a_signing_secret_of_ours"),
    ("standard_webhooks", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"),
    ("square", "a signing secret of ours"),
    ("generic", "a signing secret of ours"),
    ("shopify", "a signing secret of ours"),
    ("recurly", "a signing secret of ours"),
    ("paystack", "sk_test_a_signing_secret"),
];

struct Subject {
    endpoint: Endpoint,
    keys: KeyRing,
    signed: Signed,
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
    let material = KeyMaterial { id: "current".to_owned(), secret: Secret::new(key) };
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
        for (scheme, key) in SCHEMES {
            let Subject { endpoint, keys, signed } = subject(scheme, key, size);
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
