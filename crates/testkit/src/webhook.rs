//! Webhooks of our own making: what each provider would send, and its signature.

use std::sync::Arc;

use tollgate_core::{Delivery, EndpointConfig, EndpointId, OnDuplicate, Timestamp};
use tollgate_providers::{Endpoint, Headers, KeyMaterial, KeyRing, Secret, SignedWebhook, ToSign};

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
        let mut headers = Headers::new();
        headers.push("Content-Type", "application/json");
        match self.endpoint.provider().as_str() {
            "razorpay" => headers.push("X-Razorpay-Event-Id", event_id),
            "standard_webhooks" => headers.push("webhook-id", event_id),
            "generic" => headers.push("X-Provider-ID", self.endpoint.id().as_str()),
            _ => {}
        }
        let to_sign = ToSign { headers: &headers, query: "", body, url: None };
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
        let body = payment.body(self.endpoint.provider().as_str());
        self.sign(&payment.event_id, body.as_bytes(), at)
    }
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The provider's id of the event.
    pub event_id: String,
    /// The payment object.
    pub transaction_id: String,
    /// `payment`, `refund` or `dispute`.
    pub kind: &'static str,
    /// As the provider writes it: decimal text at the generic endpoint, integers of minor units elsewhere.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// When it happened; whole seconds.
    pub at: Timestamp,
    /// The provider's customer id.
    pub customer: Option<String>,
}

impl Payment {
    /// A payment of 10.99 US dollars.
    pub fn new(event_id: impl Into<String>, transaction_id: impl Into<String>, at: Timestamp) -> Self {
        Self {
            event_id: event_id.into(),
            transaction_id: transaction_id.into(),
            kind: "payment",
            amount: "1099".to_owned(),
            currency: "USD".to_owned(),
            at: Timestamp::from_second(at.as_second()).unwrap_or(at),
            customer: None,
        }
    }

    /// The same of another amount.
    pub fn of(self, amount: &str, currency: &str) -> Self {
        Self { amount: amount.to_owned(), currency: currency.to_owned(), ..self }
    }

    /// The body in `provider`'s form.
    pub fn body(&self, provider: &str) -> String {
        let Self { event_id, transaction_id, kind, amount, currency, at, customer } = self;
        let seconds = at.as_second();
        let customer =
            |name: &str| customer.as_ref().map(|id| format!(r#","{name}":"{id}""#)).unwrap_or_default();
        match provider {
            "generic" => format!(
                r#"{{"event_id":"{event_id}","transaction_type":"{kind}","transaction_id":"{transaction_id}","amount":{amount},"currency":"{currency}","timestamp":"{at}"{}}}"#,
                customer("customer_id"),
            ),
            "stripe" => {
                let (event_type, own) = match *kind {
                    "refund" => (
                        "refund.updated",
                        format!(
                            r#""id":"re_1","object":"refund","status":"succeeded","payment_intent":"{transaction_id}""#
                        ),
                    ),
                    "dispute" => (
                        "charge.dispute.created",
                        format!(
                            r#""id":"dp_1","object":"dispute","status":"needs_response","payment_intent":"{transaction_id}""#
                        ),
                    ),
                    _ => (
                        "payment_intent.succeeded",
                        format!(r#""id":"{transaction_id}","object":"payment_intent","status":"succeeded""#),
                    ),
                };
                format!(
                    r#"{{"id":"{event_id}","object":"event","created":{seconds},"type":"{event_type}","livemode":false,"pending_webhooks":1,"data":{{"object":{{{own},"amount":{amount},"currency":"{}"{}}}}}}}"#,
                    currency.to_lowercase(),
                    customer("customer"),
                )
            }
            "square" => format!(
                r#"{{"merchant_id":"M","type":"payment.updated","event_id":"{event_id}","created_at":"{at}","data":{{"type":"payment","id":"{transaction_id}","object":{{"payment":{{"id":"{transaction_id}","status":"COMPLETED","amount_money":{{"amount":{amount},"currency":"{currency}"}}{}}}}}}}}}"#,
                customer("customer_id"),
            ),
            "razorpay" => format!(
                r#"{{"entity":"event","event":"payment.captured","payload":{{"payment":{{"entity":{{"id":"{transaction_id}","amount":{amount},"currency":"{currency}","status":"captured"{}}}}}}},"created_at":{seconds}}}"#,
                customer("customer_id"),
            ),
            "adyen" => adyen(&[self]),
            _ => format!(
                r#"{{"type":"payment.succeeded","timestamp":"{at}","data":{{"id":"{transaction_id}","amount":"{amount}","currency":"{currency}"{}}}}}"#,
                customer("customer_id"),
            ),
        }
    }
}

/// Adyen's delivery of many events, each with the pspReference that its event id names.
pub fn adyen(payments: &[&Payment]) -> String {
    let items: Vec<String> = payments
        .iter()
        .map(|payment| {
            let Payment { event_id, transaction_id, amount, currency, at, .. } = payment;
            format!(
                r#"{{"NotificationRequestItem":{{"additionalData":{{}},"amount":{{"currency":"{currency}","value":{amount}}},"eventCode":"CAPTURE","eventDate":"{at}","merchantAccountCode":"M","merchantReference":"R","originalReference":"{transaction_id}","pspReference":"{event_id}","success":"true"}}}}"#
            )
        })
        .collect();
    format!(r#"{{"live":"false","notificationItems":[{}]}}"#, items.join(","))
}

/// The provider event id of one item of [`adyen`].
pub fn adyen_event_id(payment: &Payment) -> String {
    format!("{}:CAPTURE:true", payment.event_id)
}
