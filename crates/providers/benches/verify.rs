//! Verification against the bare digest of the same bytes, at 0.5, 2, 64 KB and 1 MB.
//!
//! The bare HMAC is one with a prepared key over the body: what no verifier can do without. It is timed with RustCrypto,
//! which verification uses, and with aws-lc beside it. The verdict is asserted in every iteration. The first line names
//! the processor's SHA instructions.

#![allow(clippy::expect_used, missing_docs, reason = "a bench; criterion's macro makes undocumented items")]

use aws_lc_rs::{digest, hmac as aws_lc};
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use std::{hint::black_box, time::Duration};
use tollgate_core::{EndpointConfig, EndpointId, Timestamp};
use tollgate_providers::{
    Endpoint, Headers, KeyMaterial, KeyRing, Received, Secret, SignedWebhook, ToSign,
    catalogue::{self, Provider},
    scheme::KeyForm,
};

const KEY: &[u8] = b"a signing secret of ours";

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
        metadata: None,
        ids_hold_no_cards: false,
        require_signed_time: false,
        quiet_after_hours: None,
        keep_rejected: None,
        enrich: false,
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

fn bare_rust_crypto<M: Mac + hmac::KeyInit + Clone>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    body: &[u8],
) {
    let key = <M as hmac::KeyInit>::new_from_slice(KEY).expect("a key");
    let expected = key.clone().chain_update(body).finalize().into_bytes();
    group.bench_function(BenchmarkId::new("rust_crypto_hmac", name), |b| {
        b.iter(|| {
            let mac = key.clone().chain_update(black_box(body));
            mac.verify_slice(&expected).expect("the digest is right");
        });
    });
}

/// The instructions that both libraries look for when they run.
fn sha_instructions() -> String {
    let known = [
        #[cfg(target_arch = "x86_64")]
        ("SHA-NI", std::arch::is_x86_feature_detected!("sha")),
        #[cfg(target_arch = "x86_64")]
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        #[cfg(target_arch = "aarch64")]
        ("SHA-2", std::arch::is_aarch64_feature_detected!("sha2")),
        #[cfg(target_arch = "aarch64")]
        ("SHA-3 and SHA-512", std::arch::is_aarch64_feature_detected!("sha3")),
    ];
    let found = known.map(|(name, is_there)| format!("{name}: {}", if is_there { "yes" } else { "no" }));
    found.join(", ")
}

fn verification(c: &mut Criterion) {
    println!("{}: {}", std::env::consts::ARCH, sha_instructions());
    for size in SIZES {
        let mut group = c.benchmark_group(format!("{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        // Some thirty schemes: a second each.
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        let body = vec![b'x'; size];
        bare_rust_crypto::<Hmac<Sha1>>(&mut group, "sha1", &body);
        bare_rust_crypto::<Hmac<Sha256>>(&mut group, "sha256", &body);
        bare_rust_crypto::<Hmac<Sha512>>(&mut group, "sha512", &body);
        for (name, algorithm) in [
            ("sha1", aws_lc::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            ("sha256", aws_lc::HMAC_SHA256),
            ("sha512", aws_lc::HMAC_SHA512),
        ] {
            let key = aws_lc::Key::new(algorithm, KEY);
            let expected = aws_lc::sign(&key, &body);
            group.bench_function(BenchmarkId::new("aws_lc_hmac", name), |b| {
                b.iter(|| {
                    aws_lc::verify(&key, black_box(&body), expected.as_ref()).expect("the digest is right");
                });
            });
        }
        group.bench_function(BenchmarkId::new("aws_lc_digest", "sha256"), |b| {
            b.iter(|| digest::digest(&digest::SHA256, black_box(&body)));
        });
        group.bench_function(BenchmarkId::new("rust_crypto_digest", "sha256"), |b| {
            b.iter(|| Sha256::digest(black_box(&body)));
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
