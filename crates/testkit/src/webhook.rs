//! Signed webhooks, as each provider would send them. `tollgate_samples` writes their bodies.

use std::sync::Arc;

use tollgate_core::{Delivery, EndpointConfig, EndpointId, OnDuplicate, Timestamp};
use tollgate_providers::{Endpoint, KeyMaterial, KeyRing, Secret, SignedWebhook, ToSign};
use tollgate_samples::headers;
pub use tollgate_samples::{Kind, Payment, adyen, adyen_event_id, razorpay_event_id};

/// A key that every scheme here takes: Adyen reads it as hex, Standard Webhooks as base64, the others as text.
pub const KEY: &str = "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592";
/// Another one.
pub const OTHER_KEY: &str = "7d793037a0760186574b0282f2f435e77d793037a0760186574b0282f2f435e7";

/// An endpoint's configuration, its secret under `secretsmanager:{id}`.
pub fn config(id: &str, scheme: &str) -> EndpointConfig {
    EndpointConfig {
        id: EndpointId::new(id).expect("an endpoint's name"),
        scheme: scheme.into(),
        secret: format!("secretsmanager:{id}"),
        delivery: Delivery::Fast,
        on_duplicate: None,
        tolerance_seconds: None,
        metadata: None,
        ids_hold_no_cards: false,
        require_signed_time: false,
        quiet_after_hours: None,
        keep_rejected: None,
        enrich: false,
        normaliser: None,
        notification_url: (scheme == "square").then(|| "https://webhooks.example.com/square".to_owned()),
        parameters: Default::default(),
    }
}

/// The same on the ordered queue.
pub fn ordered(id: &str, scheme: &str) -> EndpointConfig {
    EndpointConfig { delivery: Delivery::Ordered, ..config(id, scheme) }
}

/// The same, which answers a repeat with 409.
pub fn conflicting(id: &str, scheme: &str) -> EndpointConfig {
    EndpointConfig { on_duplicate: Some(OnDuplicate::Conflict), ..config(id, scheme) }
}

/// A provider, as one endpoint knows it: it signs.
#[derive(Debug, Clone)]
pub struct Sender {
    endpoint: Arc<Endpoint>,
    keys: KeyRing,
}

impl Sender {
    /// The sender behind `config` who signs with `key`.
    pub fn new(config: EndpointConfig, key: &str) -> Self {
        let key = KeyMaterial::new("sender", Secret::new(key));
        Self::with_keys(config, vec![key])
    }

    /// The sender behind `config` who signs with the first of `keys`.
    pub fn with_keys(config: EndpointConfig, keys: Vec<KeyMaterial>) -> Self {
        let endpoint = Arc::new(Endpoint::new(config).expect("a configuration that serves"));
        let keys = endpoint.keys(keys).expect("a key that its scheme takes");
        Self { endpoint, keys }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A body, signed as its provider would at `at`. `event_id` is for providers that send it in a header.
    pub fn sign(&self, event_id: &str, body: &[u8], at: Timestamp) -> SignedWebhook {
        let provider = self.endpoint.provider().as_str();
        let mut headers = headers(provider, Some(event_id));
        if provider == "generic" {
            headers.push("X-Provider-ID", self.endpoint.id().as_str());
        }
        self.sign_with(ToSign { headers: &headers, query: "", body, url: None }, at)
    }

    /// Any webhook, signed as its provider would at `at`.
    pub fn sign_with(&self, to_sign: ToSign<'_>, at: Timestamp) -> SignedWebhook {
        self.endpoint.sign(to_sign, &self.keys, at).expect("a body that its provider signs")
    }

    /// A body that is no JSON, signed at `at`. As `application/json` a gateway would hand it over as text.
    pub fn sign_bytes(&self, body: &[u8], at: Timestamp) -> SignedWebhook {
        let mut webhook = self.sign("", body, at);
        webhook.headers.remove("Content-Type");
        webhook.headers.push("Content-Type", "application/octet-stream");
        webhook
    }

    /// A payment's webhook.
    pub fn payment(&self, payment: &Payment, at: Timestamp) -> SignedWebhook {
        let body =
            payment.body(self.endpoint.provider().as_str()).expect("a provider whose body is built in");
        self.sign(&payment.event_id, body.as_bytes(), at)
    }
}
