//! Endpoints to fuzz.

#![allow(dead_code, reason = "each target uses a part")]

use std::sync::LazyLock;

use tollgate_core::{EndpointConfig, Timestamp};
use tollgate_providers::{
    Endpoint, Headers, KeyMaterial, KeyRing, Secret, SignedWebhook, ToSign, catalogue,
    scheme::{Algorithm, KeyForm},
};

pub struct Subject {
    pub endpoint: Endpoint,
    pub keys: KeyRing,
    pub signed: Option<SignedWebhook>,
}

pub fn now() -> Timestamp {
    Timestamp::from_second(1_760_000_000).expect("a moment")
}

/// `None` where it is no configuration.
pub fn config(scheme: impl Into<serde_json::Value>) -> Option<EndpointConfig> {
    let scheme = scheme.into();
    let url = "https://hooks.example.com/x";
    let config = serde_json::json!({"id": "fuzz", "scheme": scheme, "secret": "ssm:fuzz", "notification_url": url});
    serde_json::from_value(config).ok()
}

pub fn sign(endpoint: &Endpoint, keys: &KeyRing, body: &[u8]) -> Option<SignedWebhook> {
    let headers = Headers::new();
    let to_sign = ToSign { headers: &headers, query: "data.id=1", body, url: None };
    endpoint.sign(to_sign, keys, now()).ok()
}

/// Every provider whose key is a text.
pub fn subjects() -> &'static [Subject] {
    static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
        catalogue::providers().iter().filter_map(subject).collect()
    });
    &SUBJECTS
}

fn subject(row: &catalogue::Provider) -> Option<Subject> {
    let endpoint = Endpoint::new(config(row.name.as_str())?).ok()?;
    let text = match row.scheme.as_ref().map(|scheme| (scheme.key.form, scheme.algorithm, scheme.key.bytes)) {
        Some((KeyForm::Hex, _, bytes)) => "5ac3".repeat(bytes.unwrap_or(32) / 2),
        Some((KeyForm::Base64, Algorithm::Ed25519, _)) => "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned(),
        Some((KeyForm::Base64, ..)) => "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".to_owned(),
        None if row.name == "adyen" => "5ac3".repeat(16),
        None if row.name == "paypal" => "1JE4291016473214C".to_owned(),
        _ => "user:Zq3vX8-a-secret-of-ours-kT5w".to_owned(),
    };
    let material = KeyMaterial::new("1", Secret::new(text));
    let keys = endpoint.keys(vec![material]).ok()?;
    let signed = sign(&endpoint, &keys, br#"{"order_id":"1","status_code":"2","gross_amount":"3"}"#);
    Some(Subject { endpoint, keys, signed })
}
