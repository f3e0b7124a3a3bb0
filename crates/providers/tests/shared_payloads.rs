//! The providers' own sample payloads, which we may not publish. Their expected facts are in `shared_payloads.txt`, checked
//! against each provider's documentation.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "normalise/braintree.rs"]
mod braintree;
#[path = "normalise/describe.rs"]
mod describe;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use describe::describe;
use tollgate_core::EndpointConfig;
use tollgate_providers::{Headers, Received, Trusted, normalise::Normaliser};

/// The expected facts of one file, and the headers that came with it.
#[derive(Default)]
struct Expected {
    headers: Headers,
    lines: Vec<String>,
}

/// The table: a file's name, its `> name: value` headers, its `<= ` lines.
fn table() -> BTreeMap<String, Expected> {
    let text = include_str!("shared_payloads.txt");
    let mut table = BTreeMap::<String, Expected>::new();
    let mut file = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix("> ") {
            let (name, value) = header.split_once(": ").unwrap();
            table.get_mut(&file).unwrap().headers.push(name, value);
        } else if let Some(facts) = line.strip_prefix("<= ") {
            table.get_mut(&file).unwrap().lines.push(facts.to_owned());
        } else {
            line.clone_into(&mut file);
            assert!(table.insert(file.clone(), Expected::default()).is_none(), "{file} comes twice");
        }
    }
    table
}

#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn shared() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("TOLLGATE_SHARED").map_or_else(default, PathBuf::from).join("payloads")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for provider in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let provider = provider.unwrap().path();
        if provider.is_dir() {
            files.extend(fs::read_dir(provider).unwrap().map(|file| file.unwrap().path()));
        }
    }
    files.sort();
    files
}

#[test]
#[ignore = "needs ../shared, run by .ci/run"]
fn every_shared_payload_gives_its_facts() {
    let folder = shared();
    let mut table = table();
    let mut failures = Vec::new();
    let files = files(&folder);
    assert!(files.len() >= 50, "{} files in {}", files.len(), folder.display());
    for file in files {
        let name = file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let expected = table.remove(&name).unwrap_or_default();
        let provider = name.split('/').next().unwrap();
        let config = format!(r#"{{"id":"{provider}","scheme":"{provider}","secret":"ssm:none"}}"#);
        let config: EndpointConfig = serde_json::from_str(&config).unwrap();
        let normaliser =
            Normaliser::named(provider).unwrap_or_else(|| panic!("no normaliser for {provider}"));
        let mut body = fs::read(&file).unwrap();
        if name.ends_with(".xml") {
            body = braintree::form(std::str::from_utf8(&body).unwrap());
        }
        let received = Received { headers: &expected.headers, query: "", body: &body };
        let got = match normaliser.normalise(Trusted::for_inspection(received), &config) {
            Ok(events) => events.iter().map(describe).collect(),
            Err(error) => vec![format!("error: {error}")],
        };
        if got != expected.lines {
            failures.push(format!("{name}\n<= {}", got.join("\n<= ")));
        }
    }
    assert!(failures.is_empty(), "{} files differ:\n{}", failures.len(), failures.join("\n"));
    assert!(table.is_empty(), "files that are not there: {:?}", table.keys());
}

#[test]
#[ignore = "needs ../shared, run by .ci/run"]
fn what_published_vectors_confirm_is_there() {
    let text = fs::read_to_string(shared().join("../vectors/signatures.jsonl")).unwrap();
    for provider in ["standard_webhooks_ed25519", "paypal", "revolut"] {
        let published = |line: &&str| {
            let vector: serde_json::Value = serde_json::from_str(line).unwrap();
            let (case, why) = (vector["case"].as_str().unwrap(), vector["why"].as_str().unwrap());
            let is_published = case.contains("published") || why.contains("spec example");
            vector["provider"] == provider && vector["expect"] == "valid" && is_published
        };
        let lines: Vec<&str> = text.lines().filter(published).collect();
        assert!(!lines.is_empty(), "{provider}");
        let report = tollgate_providers::vectors::run(&lines.join("\n"));
        assert_eq!((report.passed, report.failed), (lines.len(), vec![]), "{provider}");
    }
}
