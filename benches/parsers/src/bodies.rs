//! The bodies: all that the repository has of every provider, as they are and grown to set sizes.

use std::{fs, path::Path};

/// The sizes that bodies are measured at, in bytes at least; 0 leaves them as they are.
pub const SIZES: [usize; 4] = [0, 2_048, 8_192, 65_536];

/// One webhook.
pub struct Webhook {
    pub provider: String,
    pub body: Vec<u8>,
}

/// Every JSON body of `crates/providers/tests/bodies` and `benches/bodies`, grown to `size` bytes.
pub fn all(root: &Path, size: usize) -> Vec<Webhook> {
    let mut webhooks: Vec<Webhook> = files(&root.join("crates/providers/tests/bodies"), "txt")
        .iter()
        .flat_map(|(name, text)| text.split("== ").skip(1).map(|case| read(name, case)).collect::<Vec<_>>())
        .collect();
    for (name, text) in files(&root.join("benches/bodies"), "json") {
        let provider = name.split('.').next().unwrap_or_default();
        webhooks.push(read(provider, &format!("\n{text}")));
    }
    webhooks.retain(|webhook| is_object(&webhook.body));
    assert!(webhooks.len() > 200, "{} bodies: where are the others?", webhooks.len());
    for webhook in &mut webhooks {
        grow(&mut webhook.body, size);
    }
    webhooks
}

fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    let read = |path: &Path| {
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    };
    paths.iter().map(|path| read(path)).collect()
}

/// The body of a case as `crates/providers/tests/normalise/cases.rs` describes them.
fn read(provider: &str, case: &str) -> Webhook {
    let is_body = |line: &&str| !line.starts_with("> ") && !line.starts_with("<= ");
    let body: Vec<&str> = case.lines().skip(1).filter(is_body).collect();
    Webhook { provider: provider.to_owned(), body: body.join("\n").trim_end().as_bytes().to_vec() }
}

fn is_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|value| value.is_object())
}

/// Adds a field that no provider has, with as many copies of the body as are needed: what normalisers pass over is made
/// of the same texts, numbers and white space as what they read.
fn grow(body: &mut Vec<u8>, size: usize) {
    if body.len() >= size {
        return;
    }
    let original = body.clone();
    let comma =
        if original.trim_ascii_start().get(1..).is_some_and(|rest| rest.trim_ascii().starts_with(b"}")) {
            ""
        } else {
            ","
        };
    body.truncate(body.len() - 1);
    body.extend_from_slice(format!(r#"{comma}"copies":["#).as_bytes());
    while body.len() + 2 < size {
        body.extend_from_slice(&original);
        body.push(b',');
    }
    body.pop();
    body.extend_from_slice(b"]}");
}
