//! Webhooks as each provider would send them, written by us: realistic in shape, made up in content, every id a
//! function of a seed.

use serde_json::{Map, Value, json};
use tollgate_core::{Category, Currency, Money, Timestamp, id::hex_sha256};
use tollgate_providers::Headers;

/// What a webhook is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Money was taken.
    Payment,
    /// Money was given back.
    Refund,
    /// The payer objects.
    Dispute,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Payment, Self::Refund, Self::Dispute];

    /// Where an event that says this is routed.
    pub fn category(self) -> Category {
        match self {
            Self::Payment => Category::Payment,
            Self::Refund => Category::Refund,
            Self::Dispute => Category::Dispute,
        }
    }
}

/// The providers whose bodies are built in.
pub const BUILT_IN: [&str; 6] = ["generic", "stripe", "adyen", "square", "razorpay", "standard_webhooks"];

/// What a webhook is to say.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What happened.
    pub kind: Kind,
    /// The amount.
    pub money: Money,
    /// Names the event and its payment: 24 hex digits or more, the same for the same webhook.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// Events in the delivery; only Adyen sends more than one.
    pub items: usize,
}

/// A webhook before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its headers, without a signature.
    pub headers: Headers,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// The provider's id of each event in it.
    pub event_ids: Vec<String>,
}

/// 32 hex digits that name webhook `serial` of `seed`.
pub fn id(seed: &str, serial: u64) -> String {
    let mut id = hex_sha256(format!("{seed}/{serial}").as_bytes());
    id.truncate(32);
    id
}

/// The webhook of `provider` that says `sample`; `None` where no body is built in.
pub fn draft(provider: &str, sample: &Sample) -> Option<Draft> {
    let (body, event_ids) = match provider {
        "generic" => generic(sample),
        "stripe" => stripe(sample),
        "adyen" => adyen(sample),
        "square" => square(sample),
        "razorpay" => razorpay(sample),
        "standard_webhooks" => standard_webhooks(sample),
        _ => return None,
    };
    let mut headers = Headers::new();
    headers.push("Content-Type", "application/json");
    headers.push("User-Agent", "tollgate-send");
    match (provider, event_ids.first()) {
        ("razorpay", Some(id)) => headers.push("X-Razorpay-Event-Id", id.as_str()),
        ("standard_webhooks", Some(id)) => headers.push("webhook-id", id.as_str()),
        _ => {}
    }
    Some(Draft { headers, body: body.into_bytes(), event_ids })
}

impl Draft {
    /// Lengthens the body to `bytes` with a field that no provider has. A body that is longer already, or that is
    /// no JSON object, stays as it is.
    pub fn pad_to(&mut self, bytes: usize) {
        const FIELD: &str = r#","padding":""}"#;
        if let Some(inside) = self.body.strip_suffix(b"}") {
            let fill = bytes.saturating_sub(inside.len() + FIELD.len());
            if fill > 0 {
                let mut body = inside.to_vec();
                body.extend_from_slice(br#","padding":""#);
                body.resize(body.len() + fill, b'x');
                body.extend_from_slice(br#""}"#);
                self.body = body;
            }
        }
    }

    /// What a broken sender would deliver: half a body. On a provider's endpoint the event is known by the body's
    /// hash then.
    pub fn break_off(&mut self) {
        let half = self.body.len() / 2;
        self.body.truncate(half);
    }
}

/// Minor units as a JSON number, or as text where a number would not hold them.
fn number(units: i128) -> Value {
    i64::try_from(units).map_or_else(|_| Value::from(units.to_string()), Value::from)
}

fn short(sample: &Sample, bytes: usize) -> &str {
    sample.id.get(..bytes).unwrap_or(&sample.id)
}

fn generic(sample: &Sample) -> (String, Vec<String>) {
    let id = format!("gen-{}", sample.id);
    let status = if sample.kind == Kind::Dispute { "opened" } else { "succeeded" };
    let amount = sample.money.to_decimal().unwrap_or_default();
    let body = json!({
        "event_id": id,
        "transaction_type": sample.kind.category().as_str(),
        "status": status,
        "transaction_id": format!("order-{}", short(sample, 16)),
        "amount": amount,
        "currency": sample.money.currency().code(),
        "timestamp": sample.at.to_string(),
        "customer_id": customer(sample, "customer"),
        "country": "DE",
        "payment_method": "card",
        "card_brand": "visa",
        "card_country": "DE",
        "livemode": false,
        "metadata": { "cart": format!("c-{}", short(sample, 8)) },
    });
    // The amount as a JSON number of all its digits, which a double would not hold.
    let body =
        body.to_string().replacen(&format!(r#""amount":"{amount}""#), &format!(r#""amount":{amount}"#), 1);
    (body, vec![id])
}

fn stripe(sample: &Sample) -> (String, Vec<String>) {
    let id = format!("evt_{}", short(sample, 24));
    let intent = format!("pi_{}", short(sample, 24));
    let amount = number(stripe_units(&sample.money));
    let currency = sample.money.currency().code().to_lowercase();
    let (event_type, object) = match sample.kind {
        Kind::Payment => (
            "payment_intent.succeeded",
            json!({
                "id": intent, "object": "payment_intent", "amount": amount, "amount_received": amount,
                "currency": currency, "customer": customer(sample, "cus"), "status": "succeeded",
                "livemode": false, "payment_method_types": ["card"],
                "metadata": { "cart": format!("c-{}", short(sample, 8)) },
            }),
        ),
        Kind::Refund => (
            "refund.updated",
            json!({
                "id": format!("re_{}", short(sample, 24)), "object": "refund", "amount": amount,
                "currency": currency, "charge": format!("ch_{}", short(sample, 24)), "payment_intent": intent,
                "reason": "requested_by_customer", "status": "succeeded", "metadata": {},
            }),
        ),
        Kind::Dispute => (
            "charge.dispute.created",
            json!({
                "id": format!("dp_{}", short(sample, 24)), "object": "dispute", "amount": amount,
                "currency": currency, "charge": format!("ch_{}", short(sample, 24)), "payment_intent": intent,
                "reason": "fraudulent", "status": "needs_response", "metadata": {},
            }),
        ),
    };
    let body = json!({
        "id": id, "object": "event", "api_version": "2025-03-31.basil", "created": sample.at.as_second(),
        "data": { "object": object }, "livemode": false, "pending_webhooks": 1,
        "request": { "id": null, "idempotency_key": null }, "type": event_type,
    });
    (body.to_string(), vec![id])
}

/// Stripe counts these in hundredths though they have no minor unit in use ("Supported currencies", Stripe
/// documentation).
fn stripe_units(money: &Money) -> i128 {
    let hundredths = matches!(money.currency().code(), "ISK" | "UGX");
    if hundredths { money.minor_units().saturating_mul(100) } else { money.minor_units() }
}

fn adyen(sample: &Sample) -> (String, Vec<String>) {
    let code = match sample.kind {
        Kind::Payment => "CAPTURE",
        Kind::Refund => "REFUND",
        Kind::Dispute => "CHARGEBACK",
    };
    let (mut items, mut ids) = (Vec::new(), Vec::new());
    for item in 0..sample.items.max(1) {
        let mut reference = hex_sha256(format!("{}/{item}", sample.id).as_bytes()).to_uppercase();
        reference.truncate(16);
        ids.push(format!("{reference}:{code}:true"));
        let mut original = hex_sha256(format!("{}/{item}/original", sample.id).as_bytes()).to_uppercase();
        original.truncate(16);
        items.push(json!({ "NotificationRequestItem": {
            "additionalData": { "issuerCountry": "NL", "shopperReference": customer(sample, "shopper") },
            "amount": {
                "currency": sample.money.currency().code(), "value": number(adyen_units(&sample.money)),
            },
            "eventCode": code,
            "eventDate": sample.at.to_string(),
            "merchantAccountCode": "TollgateDemo",
            "merchantReference": format!("order-{}-{item}", short(sample, 8)),
            "originalReference": original,
            "paymentMethod": "visa",
            "pspReference": reference,
            "reason": "",
            "success": "true",
        }}));
    }
    (json!({ "live": "false", "notificationItems": items }).to_string(), ids)
}

/// Adyen counts these with two decimals and none, against ISO 4217 ("Currency codes and minor units", Adyen
/// documentation).
fn adyen_units(money: &Money) -> i128 {
    match money.currency().code() {
        "CLP" | "ISK" => money.minor_units().saturating_mul(100),
        "CVE" | "IDR" => money.minor_units() / 100,
        _ => money.minor_units(),
    }
}

fn square(sample: &Sample) -> (String, Vec<String>) {
    let id = event_uuid(sample);
    let payment = format!("PAY{}", short(sample, 20).to_uppercase());
    let money =
        json!({ "amount": number(sample.money.minor_units()), "currency": sample.money.currency().code() });
    let (event_type, noun, object) = match sample.kind {
        Kind::Payment => (
            "payment.updated",
            "payment",
            json!({
                "id": payment, "status": "COMPLETED", "amount_money": money, "total_money": money,
                "customer_id": customer(sample, "CU"), "source_type": "CARD", "location_id": "L1",
                "card_details": { "status": "CAPTURED", "card": { "card_brand": "VISA" } },
                "billing_address": { "country": "US" },
            }),
        ),
        Kind::Refund => (
            "refund.updated",
            "refund",
            json!({
                "id": format!("{payment}_R"), "payment_id": payment, "status": "COMPLETED",
                "amount_money": money, "location_id": "L1",
            }),
        ),
        Kind::Dispute => (
            "dispute.created",
            "dispute",
            json!({
                "id": format!("DIS{}", short(sample, 20)), "state": "EVIDENCE_REQUIRED", "reason": "NO_KNOWLEDGE",
                "disputed_payment": { "payment_id": payment }, "amount_money": money,
            }),
        ),
    };
    let body = json!({
        "merchant_id": "MTOLLGATE", "type": event_type, "event_id": id, "created_at": sample.at.to_string(),
        "data": { "type": noun, "id": object.get("id"), "object": { noun: object } },
    });
    (body.to_string(), vec![id])
}

fn razorpay(sample: &Sample) -> (String, Vec<String>) {
    let id = format!("rzp{}", short(sample, 20));
    let payment_id = format!("pay_{}", short(sample, 14));
    let (amount, currency) = (number(sample.money.minor_units()), sample.money.currency());
    let payment = json!({
        "id": payment_id, "entity": "payment", "amount": amount, "currency": currency.code(),
        "status": "captured", "method": "card", "card": { "network": "Visa", "country": "IN" },
        "customer_id": customer(sample, "cust"), "notes": { "cart": format!("c-{}", short(sample, 8)) },
    });
    let mut payload = Map::new();
    let (event, noun, object) = match sample.kind {
        Kind::Payment => ("payment.captured", None, Value::Null),
        Kind::Refund => (
            "refund.processed",
            Some("refund"),
            json!({
                "id": format!("rfnd_{}", short(sample, 14)), "entity": "refund", "payment_id": payment_id,
                "amount": amount, "currency": currency.code(), "status": "processed",
            }),
        ),
        Kind::Dispute => (
            "payment.dispute.created",
            Some("dispute"),
            json!({
                "id": format!("disp_{}", short(sample, 14)), "entity": "dispute", "payment_id": payment_id,
                "amount": amount, "currency": currency.code(), "phase": "chargeback", "status": "open",
            }),
        ),
    };
    payload.insert("payment".to_owned(), json!({ "entity": payment }));
    if let Some(noun) = noun {
        payload.insert(noun.to_owned(), json!({ "entity": object }));
    }
    let contains: Vec<&String> = payload.keys().collect();
    let body = json!({
        "entity": "event", "account_id": "acc_TollgateDemo", "event": event, "contains": contains,
        "payload": payload, "created_at": sample.at.as_second(),
    });
    (body.to_string(), vec![id])
}

fn standard_webhooks(sample: &Sample) -> (String, Vec<String>) {
    let id = format!("msg_{}", short(sample, 24));
    let event_type = match sample.kind {
        Kind::Payment => "payment.succeeded",
        Kind::Refund => "refund.succeeded",
        Kind::Dispute => "dispute.opened",
    };
    // A decimal in a text can only be major units; where there are no decimals, `.0` says so.
    let mut amount = sample.money.to_decimal().unwrap_or_default();
    if !amount.contains('.') {
        amount.push_str(".0");
    }
    let body = json!({
        "type": event_type,
        "timestamp": sample.at.to_string(),
        "data": {
            "id": format!("tx_{}", short(sample, 20)), "amount": amount,
            "currency": sample.money.currency().code(), "customer_id": customer(sample, "c"),
            "metadata": { "cart": format!("c-{}", short(sample, 8)) },
        },
    });
    (body.to_string(), vec![id])
}

/// One of 4,096 customers.
fn customer(sample: &Sample, prefix: &str) -> String {
    format!("{prefix}_{}", sample.id.get(8..11).unwrap_or_default())
}

fn event_uuid(sample: &Sample) -> String {
    let part = |from: usize, to: usize| sample.id.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// Money from what a person types: `10.99` and `USD`.
pub(crate) fn money(amount: &str, currency: &str) -> anyhow::Result<Money> {
    let currency = Currency::new(currency)?;
    Money::from_decimal(amount, currency).map_err(|problem| anyhow::anyhow!("{amount} {currency}: {problem}"))
}

#[cfg(test)]
mod tests {
    use tollgate_core::{Category, EndpointConfig};
    use tollgate_providers::{Endpoint, Received, Trusted};

    use super::*;

    fn endpoint(provider: &str) -> Endpoint {
        let config = json!({
            "id": "demo", "scheme": provider, "secret": "secretsmanager:x",
            "notification_url": (provider == "square").then_some("https://example.com/hook"),
        });
        let config: EndpointConfig = serde_json::from_value(config).unwrap();
        Endpoint::new(config).unwrap()
    }

    fn sample(kind: Kind, amount: &str, currency: &str, serial: u64) -> Sample {
        let money = money(amount, currency).unwrap();
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        Sample { kind, money, id: id("test", serial), at, items: 1 }
    }

    #[test]
    fn every_body_says_what_it_is_to_say() {
        let category = |kind| match kind {
            Kind::Payment => Category::Payment,
            Kind::Refund => Category::Refund,
            Kind::Dispute => Category::Dispute,
        };
        for provider in BUILT_IN {
            let endpoint = endpoint(provider);
            for kind in Kind::ALL {
                for (amount, currency) in
                    [("10.99", "USD"), ("1200", "JPY"), ("1.234", "KWD"), ("0.05", "EUR")]
                {
                    let sample = sample(kind, amount, currency, 7);
                    let draft = draft(provider, &sample).unwrap();
                    let received = Received { headers: &draft.headers, query: "", body: &draft.body };
                    let facts = endpoint.normalise(Trusted::for_inspection(received)).unwrap();
                    let what = format!("{provider} {kind:?} {amount} {currency}");
                    assert_eq!(facts.len(), 1, "{what}");
                    assert_eq!(facts[0].kind.category(), category(kind), "{what}");
                    assert_eq!(facts[0].amount, Some(sample.money), "{what}");
                    assert_eq!(facts[0].event_id, draft.event_ids[0], "{what}");
                    assert_eq!(facts[0].occurred_at, Some(sample.at), "{what}");
                    assert!(facts[0].transaction_id.is_some(), "{what}");
                }
            }
        }
    }

    #[test]
    fn a_delivery_may_hold_several_events() {
        let sample = Sample { items: 3, ..sample(Kind::Payment, "5.00", "EUR", 1) };
        let draft = draft("adyen", &sample).unwrap();
        let received = Received { headers: &draft.headers, query: "", body: &draft.body };
        let ids: Vec<String> = endpoint("adyen")
            .normalise(Trusted::for_inspection(received))
            .unwrap()
            .into_iter()
            .map(|facts| facts.event_id.into_owned())
            .collect();
        assert_eq!(ids, draft.event_ids);
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn one_seed_gives_one_webhook_and_another_serial_another() {
        for provider in BUILT_IN {
            let of = |serial| draft(provider, &sample(Kind::Refund, "3.00", "EUR", serial)).unwrap();
            assert_eq!(of(1), of(1));
            assert_ne!(of(1).event_ids, of(2).event_ids);
        }
        assert!(draft("unheard-of", &sample(Kind::Payment, "1.00", "EUR", 1)).is_none());
    }

    #[test]
    fn padding_is_exact_and_keeps_the_body_readable() {
        let mut draft = draft("stripe", &sample(Kind::Payment, "1.00", "EUR", 1)).unwrap();
        draft.pad_to(100_000);
        assert_eq!(draft.body.len(), 100_000);
        assert!(serde_json::from_slice::<Value>(&draft.body).is_ok());
        draft.break_off();
        assert!(serde_json::from_slice::<Value>(&draft.body).is_err());
    }

    #[test]
    fn amounts_of_any_length_stay_exact() {
        let sample = sample(Kind::Payment, "12345678901234567890123456.78", "USD", 1);
        let body = String::from_utf8(draft("generic", &sample).unwrap().body).unwrap();
        assert!(body.contains(r#""amount":12345678901234567890123456.78"#));
    }
}
