//! The built-in bodies, in each provider's form.

use serde_json::{Map, Value, json};
use tollgate_core::Money;

use crate::payment::{Kind, Payment};

/// The providers whose bodies are built in.
pub const BUILT_IN: [&str; 6] = ["generic", "stripe", "adyen", "square", "razorpay", "standard_webhooks"];

/// Stands in for the amount until the body is text, so that every digit of it is kept.
const AMOUNT: &str = "@amount@";

impl Payment {
    /// The body in `provider`'s form; `None` where none is built in.
    pub fn body(&self, provider: &str) -> Option<String> {
        Some(match provider {
            "generic" => self.written(generic(self)),
            "stripe" => self.written(stripe(self)),
            "adyen" => adyen(&[self]),
            "square" => self.written(square(self)),
            "razorpay" => self.written(razorpay(self)),
            "standard_webhooks" => standard_webhooks(self).to_string(),
            _ => return None,
        })
    }

    /// The bodies of the other events by which `provider` tells the same payment's success: the event of number `n` of
    /// them has the id `event_id(n)`.
    pub(crate) fn companions(
        &self,
        provider: &str,
        event_id: impl Fn(usize) -> String,
    ) -> Vec<(String, String)> {
        if provider != "stripe" {
            return Vec::new();
        }
        let body = |(number, (event_type, object)): (usize, (&str, Value))| {
            let payment = Self { event_id: event_id(number), ..self.clone() };
            let body = payment.written(stripe_event(&payment, event_type, object));
            (payment.event_id, body)
        };
        stripe_companions(self).into_iter().enumerate().map(body).collect()
    }

    fn written(&self, body: Value) -> String {
        body.to_string().replace(&format!("\"{AMOUNT}\""), &self.amount)
    }

    /// The transaction's id without its prefix.
    fn stem(&self) -> &str {
        self.transaction_id.rsplit(['_', '-']).next().unwrap_or_default()
    }

    fn cart(&self) -> String {
        let stem = self.stem();
        format!("c-{}", stem.get(..8).unwrap_or(stem))
    }
}

/// `money` as `provider` writes amounts, for [`Payment::amount`]; `None` where its currency has no known exponent.
pub(crate) fn amount(provider: &str, money: &Money) -> Option<String> {
    let units = money.minor_units();
    let currency = money.currency();
    let code = currency.code();
    let units = match provider {
        "generic" => return money.to_decimal(),
        // A decimal in a text can only be major units; where there are no decimals, `.0` says so.
        "standard_webhooks" => {
            return money
                .to_decimal()
                .map(|text| if text.contains('.') { text } else { format!("{text}.0") });
        }
        // Hundredths, though they have no minor unit in use ("Supported currencies", Stripe documentation).
        "stripe" if matches!(code, "ISK" | "UGX") => units.saturating_mul(100),
        // Two decimals and none, against ISO 4217 ("Currency codes and minor units", Adyen documentation).
        "adyen" if matches!(code, "CLP" | "ISK") => units.saturating_mul(100),
        "adyen" if matches!(code, "CVE" | "IDR") => units / 100,
        _ => units,
    };
    Some(units.to_string())
}

fn generic(payment: &Payment) -> Value {
    json!({
        "event_id": payment.event_id,
        "transaction_type": payment.kind.as_str(),
        "status": if payment.kind == Kind::Dispute { "opened" } else { "succeeded" },
        "transaction_id": payment.transaction_id,
        "amount": AMOUNT,
        "currency": payment.currency,
        "timestamp": payment.at.to_string(),
        "customer_id": payment.customer,
        "country": "DE",
        "payment_method": "card",
        "card_brand": "visa",
        "card_country": "DE",
        "livemode": false,
        "metadata": { "cart": payment.cart() },
    })
}

fn stripe(payment: &Payment) -> Value {
    let Payment { transaction_id: intent, customer, .. } = payment;
    let stem = payment.stem();
    let currency = payment.currency.to_lowercase();
    let (event_type, object) = match payment.kind {
        Kind::Payment => (
            "payment_intent.succeeded",
            json!({
                "id": intent, "object": "payment_intent", "amount": AMOUNT, "amount_received": AMOUNT,
                "currency": currency, "customer": customer, "status": "succeeded", "livemode": false,
                "payment_method_types": ["card"], "metadata": { "cart": payment.cart() },
            }),
        ),
        Kind::Refund => (
            "refund.updated",
            json!({
                "id": format!("re_{stem}"), "object": "refund", "amount": AMOUNT, "currency": currency,
                "charge": format!("ch_{stem}"), "payment_intent": intent, "reason": "requested_by_customer",
                "status": "succeeded", "metadata": {},
            }),
        ),
        Kind::Dispute => (
            "charge.dispute.created",
            json!({
                "id": format!("dp_{stem}"), "object": "dispute", "amount": AMOUNT, "currency": currency,
                "charge": format!("ch_{stem}"), "payment_intent": intent, "reason": "fraudulent",
                "status": "needs_response", "metadata": {},
            }),
        ),
    };
    stripe_event(payment, event_type, object)
}

fn stripe_event(payment: &Payment, event_type: &str, object: Value) -> Value {
    json!({
        "id": payment.event_id, "object": "event", "api_version": "2025-03-31.basil",
        "created": payment.at.as_second(), "data": { "object": object }, "livemode": false, "pending_webhooks": 1,
        "request": { "id": null, "idempotency_key": null }, "type": event_type,
    })
}

/// The charge that paid an intent, and the Checkout session that it was paid in: Stripe tells a payment's success by
/// these too.
fn stripe_companions(payment: &Payment) -> [(&'static str, Value); 2] {
    let Payment { transaction_id: intent, customer, .. } = payment;
    let stem = payment.stem();
    let currency = payment.currency.to_lowercase();
    let metadata = json!({ "cart": payment.cart() });
    [
        (
            "charge.succeeded",
            json!({
                "id": format!("ch_{stem}"), "object": "charge", "amount": AMOUNT, "amount_captured": AMOUNT,
                "captured": true, "currency": currency, "customer": customer, "livemode": false, "paid": true,
                "payment_intent": intent, "status": "succeeded", "metadata": metadata,
            }),
        ),
        (
            "checkout.session.completed",
            json!({
                "id": format!("cs_{stem}"), "object": "checkout.session", "amount_total": AMOUNT,
                "currency": currency, "customer": customer, "livemode": false, "mode": "payment",
                "payment_intent": intent, "payment_status": "paid", "status": "complete", "metadata": metadata,
            }),
        ),
    ]
}

/// Adyen's delivery of many events, each with the `pspReference` that its event id names.
pub fn adyen(payments: &[&Payment]) -> String {
    let item = |payment: &&Payment| {
        let body = json!({ "NotificationRequestItem": {
            "additionalData": { "issuerCountry": "NL", "shopperReference": payment.customer },
            "amount": { "currency": payment.currency, "value": AMOUNT },
            "eventCode": adyen_code(payment.kind),
            "eventDate": payment.at.to_string(),
            "merchantAccountCode": "TollgateDemo",
            "merchantReference": format!("order-{}", payment.transaction_id),
            "originalReference": payment.transaction_id,
            "paymentMethod": "visa",
            "pspReference": payment.event_id,
            "reason": "",
            "success": "true",
        }});
        payment.written(body)
    };
    let items: Vec<String> = payments.iter().map(item).collect();
    format!(r#"{{"live":"false","notificationItems":[{}]}}"#, items.join(","))
}

/// The provider event id of one item of [`adyen`].
pub fn adyen_event_id(payment: &Payment) -> String {
    let Payment { event_id, transaction_id, amount, currency, .. } = payment;
    format!("{event_id}:{}:true:{transaction_id}:{amount}:{currency}:", adyen_code(payment.kind))
}

fn adyen_code(kind: Kind) -> &'static str {
    match kind {
        Kind::Payment => "CAPTURE",
        Kind::Refund => "REFUND",
        Kind::Dispute => "CHARGEBACK",
    }
}

fn square(payment: &Payment) -> Value {
    let Payment { event_id, transaction_id: id, customer, .. } = payment;
    let money = json!({ "amount": AMOUNT, "currency": payment.currency });
    let (event_type, noun, object) = match payment.kind {
        Kind::Payment => (
            "payment.updated",
            "payment",
            json!({
                "id": id, "status": "COMPLETED", "amount_money": money, "total_money": money,
                "customer_id": customer, "source_type": "CARD", "location_id": "L1",
                "card_details": { "status": "CAPTURED", "card": { "card_brand": "VISA" } },
                "billing_address": { "country": "US" },
            }),
        ),
        Kind::Refund => (
            "refund.updated",
            "refund",
            json!({
                "id": format!("{id}_R"), "payment_id": id, "status": "COMPLETED", "amount_money": money,
                "location_id": "L1",
            }),
        ),
        Kind::Dispute => (
            "dispute.created",
            "dispute",
            json!({
                "id": format!("{id}_D"), "state": "EVIDENCE_REQUIRED", "reason": "NO_KNOWLEDGE",
                "disputed_payment": { "payment_id": id }, "amount_money": money,
            }),
        ),
    };
    json!({
        "merchant_id": "MTOLLGATE", "type": event_type, "event_id": event_id, "created_at": payment.at.to_string(),
        "data": { "type": noun, "id": object.get("id"), "object": { noun: object } },
    })
}

/// The provider event id of [`Payment::body`] for `razorpay`: what its normaliser makes of the body.
pub fn razorpay_event_id(payment: &Payment) -> String {
    let Payment { transaction_id: id, at, amount, currency, .. } = payment;
    let (stem, seconds) = (payment.stem(), at.as_second());
    match payment.kind {
        Kind::Payment => format!("payment.captured:{id}::captured::::{seconds}:{amount}{currency}"),
        Kind::Refund => {
            format!("refund.processed:rfnd_{stem}:{id}:processed::::{seconds}:{amount}{currency}")
        }
        Kind::Dispute => {
            format!("payment.dispute.created:disp_{stem}:{id}:open:chargeback:::{seconds}:{amount}{currency}")
        }
    }
}

fn razorpay(payment: &Payment) -> Value {
    let Payment { transaction_id: id, currency, .. } = payment;
    let stem = payment.stem();
    let (event, noun, object) = match payment.kind {
        Kind::Payment => ("payment.captured", None, Value::Null),
        Kind::Refund => (
            "refund.processed",
            Some("refund"),
            json!({
                "id": format!("rfnd_{stem}"), "entity": "refund", "payment_id": id, "amount": AMOUNT,
                "currency": currency, "status": "processed",
            }),
        ),
        Kind::Dispute => (
            "payment.dispute.created",
            Some("dispute"),
            json!({
                "id": format!("disp_{stem}"), "entity": "dispute", "payment_id": id, "amount": AMOUNT,
                "currency": currency, "phase": "chargeback", "status": "open",
            }),
        ),
    };
    let entity = json!({
        "id": id, "entity": "payment", "amount": AMOUNT, "currency": currency, "status": "captured",
        "method": "card", "card": { "network": "Visa", "country": "IN" }, "customer_id": payment.customer,
        "notes": { "cart": payment.cart() },
    });
    let mut payload = Map::new();
    payload.insert("payment".to_owned(), json!({ "entity": entity }));
    if let Some(noun) = noun {
        payload.insert(noun.to_owned(), json!({ "entity": object }));
    }
    let contains: Vec<&String> = payload.keys().collect();
    json!({
        "entity": "event", "account_id": "acc_TollgateDemo", "event": event, "contains": contains,
        "payload": payload, "created_at": payment.at.as_second(),
    })
}

fn standard_webhooks(payment: &Payment) -> Value {
    json!({
        "type": match payment.kind {
            Kind::Payment => "payment.succeeded",
            Kind::Refund => "refund.succeeded",
            Kind::Dispute => "dispute.opened",
        },
        "timestamp": payment.at.to_string(),
        "data": {
            "id": payment.transaction_id, "amount": payment.amount, "currency": payment.currency,
            "customer_id": payment.customer, "metadata": { "cart": payment.cart() },
        },
    })
}
