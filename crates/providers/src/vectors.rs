//! Runs signature vectors: one JSON object a line, a request and the verdict that is expected of it.
//!
//! Fields: `provider` (a catalogue name or alias), `case`, `headers` (object), `url` (the notification URL; its
//! query is the request's), `body_base64`, `key` or `keys`, `key_id`, `params` (`tolerance_s`; for PayPal
//! `cert_pem` and `trust_roots`), `now` (unix seconds), `expect` (`valid` or `invalid`), `why`.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;
use tollgate_core::{EndpointConfig, EndpointId, Timestamp};

use crate::{
    catalogue,
    endpoint::Endpoint,
    headers::Headers,
    key::{KeyMaterial, Secret, algorithm::Strength},
    material::Material,
    request::Received,
    text::Encoding,
};

/// One line.
#[derive(Debug, Clone, Deserialize)]
pub struct Vector {
    /// A catalogue name or alias.
    pub provider: String,
    /// The case's name.
    pub case: String,
    /// The request's headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The notification URL.
    #[serde(default)]
    pub url: Option<String>,
    /// The exact body.
    pub body_base64: String,
    /// The key as the provider gives it.
    pub key: String,
    /// Every active key, instead of `key`, during rotation.
    #[serde(default)]
    pub keys: Option<Vec<String>>,
    /// The (first) key's id at the provider; absent: every key may have any that the webhook names.
    #[serde(default)]
    pub key_id: Option<String>,
    /// What only one scheme needs.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// The receiver's clock, in unix seconds.
    pub now: i64,
    /// `valid` or `invalid`.
    pub expect: Expected,
    /// The reason for the verdict.
    #[serde(default)]
    pub why: String,
}

/// The verdict that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// The signature is good.
    Valid,
    /// It is not.
    Invalid,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Cases whose verdict was the expected one.
    pub passed: usize,
    /// The others.
    pub failed: Vec<Mismatch>,
}

/// A case whose verdict was not the expected one, or a line that is no case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The line in the file, from 1.
    pub line: usize,
    /// `provider/case`, or empty for a line that cannot be read.
    pub case: String,
    /// What was expected, what came, and why.
    pub problem: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.case, self.problem)
    }
}

/// Runs every line of `text`. Empty lines are skipped; a line that cannot be read counts as failed.
pub fn run(text: &str) -> Report {
    let mut report = Report::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let outcome = serde_json::from_str::<Vector>(line)
            .map_err(|error| (String::new(), format!("not a vector: {error}")))
            .and_then(|vector| {
                check(&vector).map_err(|problem| (format!("{}/{}", vector.provider, vector.case), problem))
            });
        match outcome {
            Ok(()) => report.passed += 1,
            Err((case, problem)) => report.failed.push(Mismatch { line: index + 1, case, problem }),
        }
    }
    report
}

fn check(vector: &Vector) -> Result<(), String> {
    let verdict = verdict(vector)?;
    match (vector.expect, verdict) {
        (Expected::Valid, Ok(_)) | (Expected::Invalid, Err(_)) => Ok(()),
        (Expected::Valid, Err(reason)) => Err(format!("expected valid, refused: {reason} ({})", vector.why)),
        (Expected::Invalid, Ok(key)) => {
            Err(format!("expected invalid, verified with key {key:?} ({})", vector.why))
        }
    }
}

/// The verdict on one vector: the key that verified or the reason why none did.
///
/// # Errors
///
/// A vector that cannot be run: unknown provider, body that is not base64.
pub fn verdict(vector: &Vector) -> Result<Result<String, String>, String> {
    let body = Encoding::Base64.decode(&vector.body_base64).ok_or("body_base64 is not base64")?;
    let now = Timestamp::from_second(vector.now).map_err(|error| error.to_string())?;
    let Some(row) = catalogue::find(&vector.provider) else {
        return Err(format!("unknown provider {:?}", vector.provider));
    };
    let endpoint = match Endpoint::new(config(vector, row.name.as_str())?) {
        Ok(endpoint) => endpoint,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let headers: Headers =
        vector.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let url = vector.url.as_deref().unwrap_or_default();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let received = Received { headers: &headers, query, body: &body };
    let keys = match endpoint
        .keys_of(&key_material(vector, endpoint.named_key_ids(received)), Strength::TestVector)
    {
        Ok(keys) => keys,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let material = vector.params.get("cert_pem").and_then(Value::as_str);
    let material = material.map(|pem| Material(pem.as_bytes().to_vec()));
    let verified = endpoint.verify(received, &keys, material.as_ref(), now);
    Ok(verified.map(|verified| verified.key_id().to_owned()).map_err(|refusal| refusal.to_string()))
}

fn config(vector: &Vector, scheme: &str) -> Result<EndpointConfig, String> {
    let mut parameters = BTreeMap::new();
    // Vectors that name a bundle instead of giving one mean the provider's usual roots.
    if let Some(pem) = vector.params.get("trust_roots").and_then(Value::as_str)
        && pem.contains("-----BEGIN")
    {
        parameters.insert("trust_roots".to_owned(), pem.to_owned());
    }
    let is_of_the_sandbox = |(name, value): (&String, &String)| {
        name.eq_ignore_ascii_case("paypal-cert-url") && value.starts_with("https://api.sandbox.paypal.com/")
    };
    if vector.headers.iter().any(is_of_the_sandbox) {
        parameters.insert("environment".to_owned(), "sandbox".to_owned());
    }
    let tolerance = vector.params.get("tolerance_s").and_then(Value::as_u64);
    Ok(EndpointConfig {
        id: EndpointId::new("vector").map_err(|error| error.to_string())?,
        scheme: Value::from(scheme),
        secret: "vector".to_owned(),
        delivery: tollgate_core::Delivery::default(),
        on_duplicate: None,
        tolerance_seconds: tolerance.and_then(|seconds| u32::try_from(seconds).ok()),
        metadata: None,
        ids_hold_no_cards: false,
        require_signed_time: false,
        quiet_after_hours: None,
        keep_rejected: None,
        enrich: false,
        normaliser: None,
        notification_url: vector.url.clone(),
        parameters,
    })
}

/// Every key; without an id of its own one could be any of those that the webhook names.
fn key_material(vector: &Vector, named: Vec<String>) -> Vec<KeyMaterial> {
    let one = [vector.key.clone()];
    let texts = vector.keys.as_deref().unwrap_or(&one);
    let mut material = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let name = format!("key-{}", index + 1);
        let ids = match &vector.key_id {
            // It is the first key's; the others' are not said, and are others.
            Some(id) if index == 0 => std::slice::from_ref(id),
            Some(_) => std::slice::from_ref(&name),
            None if named.is_empty() => std::slice::from_ref(&name),
            None => named.as_slice(),
        };
        for (nth, id) in ids.iter().enumerate() {
            material.push(KeyMaterial {
                id: format!("{name}/{nth}"),
                provider_id: Some(id.clone()),
                secret: Secret::new(text),
                is_previous: false,
            });
        }
    }
    material
}
