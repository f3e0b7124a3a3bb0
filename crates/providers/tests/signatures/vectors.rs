//! Signatures that the providers' own SDKs made, over bodies of ours (vectors/make.py, vectors/make.mjs).

use std::{collections::BTreeSet, fs, path::Path};

use tollgate_providers::vectors::run;

#[test]
fn the_sdks_signatures_verify() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let report = run(&fs::read_to_string(&path).unwrap());
            assert_eq!(report.failed, [], "{}", path.display());
            assert!(report.passed > 0, "{}: no vectors", path.display());
            files.insert(path);
        }
    }
    assert!(!files.is_empty(), "no file of vectors");
}

#[test]
fn a_line_that_is_no_vector_fails() {
    assert_eq!(run("{}\n\n").failed.len(), 1);
    let line = r#"{"provider":"nobody","case":"x","body_base64":"","key":"k","now":0,"expect":"invalid"}"#;
    assert_eq!(run(line).failed.len(), 1);
    let line = r#"{"provider":"stripe","case":"x","body_base64":"","key":"k","now":0,"expect":"valid"}"#;
    assert_eq!(run(line).failed.len(), 1);
}

#[test]
fn keys_without_ids_may_have_any_that_the_webhook_names() {
    use base64::Engine as _;
    let case = crate::providers::case(tollgate_providers::catalogue::find("worldpay").unwrap());
    let good = case.signed.headers.get("event-signature").unwrap();
    let zeros = "0".repeat(64);
    let body = base64::engine::general_purpose::STANDARD.encode(&case.signed.body);
    let key = |seed| {
        let row = tollgate_providers::catalogue::find("worldpay").unwrap();
        crate::providers::key_text(row, seed)
    };
    let verdict = |signature: &str, more: serde_json::Value, expect: &str| {
        let mut vector = serde_json::json!({
            "provider": "worldpay", "case": "x", "headers": { "Event-Signature": signature },
            "body_base64": body, "key": key(1), "now": 0, "expect": expect,
        });
        vector.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run(&vector.to_string()).failed
    };
    let keys = [key(2), key(1)];
    for signature in [good.to_owned(), format!("9/SHA256/{zeros},{good}"), format!("{good},9/SHA256/{zeros}")]
    {
        assert_eq!(verdict(&signature, serde_json::json!({}), "valid"), []);
        assert_eq!(verdict(&signature, serde_json::json!({ "keys": keys }), "valid"), []);
        assert_eq!(verdict(&signature, serde_json::json!({ "key_id": "1" }), "valid"), []);
        assert_eq!(verdict(&signature, serde_json::json!({ "key_id": "2" }), "invalid"), []);
        assert_eq!(verdict(&signature, serde_json::json!({ "keys": [key(2), key(3)] }), "invalid"), []);
    }
}

/// Ours, and those whose published vectors are not ours to ship: CI runs them from ../shared.
const ELSEWHERE: [&str; 4] = ["generic", "standard_webhooks_ed25519", "paypal", "revolut"];

#[test]
fn every_confirmed_rule_has_a_vector_that_confirms_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let vectors = [text("python.jsonl"), text("node.jsonl")].concat();
    let vectors = vectors.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let good: BTreeSet<String> = vectors
        .filter(|vector| vector["expect"] == "valid")
        .map(|vector| vector["provider"].as_str().unwrap().to_owned())
        .collect();
    for row in tollgate_providers::catalogue::providers() {
        let shown = good.contains(&row.name) || ELSEWHERE.contains(&row.name.as_str());
        assert_eq!(shown, row.confirmed_by.is_some(), "{}", row.name);
    }
}
