//! Whole webhooks of a seed, ready to be signed.

use tollgate_core::{Money, Timestamp, id::hex_sha256};
use tollgate_providers::Headers;

use crate::{
    body::{adyen, adyen_event_id, amount, razorpay_event_id},
    payment::{Kind, Payment},
};

/// What a webhook is to say; everything that it does not name follows from its id.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What its events are about.
    pub kind: Kind,
    /// The amount of each event.
    pub money: Money,
    /// Names the event and its payment: 32 hex digits, the same for the same webhook ([`id`]).
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// Events in the delivery; only Adyen sends more than one.
    pub items: usize,
}

/// A webhook before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The headers that its provider sends, without the signature.
    pub headers: Headers,
    /// The body.
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

/// The headers of `provider`'s JSON webhooks. Some send the event's id in one of them.
pub fn headers(provider: &str, event_id: Option<&str>) -> Headers {
    let mut headers = Headers::new();
    headers.push("Content-Type", "application/json");
    match (provider, event_id) {
        ("razorpay", Some(id)) => headers.push("X-Razorpay-Event-Id", id),
        ("standard_webhooks", Some(id)) => headers.push("webhook-id", id),
        _ => {}
    }
    headers
}

impl Sample {
    /// The webhook of `provider` that says it; `None` where no body is built in.
    pub fn draft(&self, provider: &str) -> Option<Draft> {
        let (body, event_ids) = if provider == "adyen" {
            let items: Vec<Payment> =
                (0..self.items.max(1)).map(|item| self.adyen_item(item)).collect::<Option<_>>()?;
            let ids = items.iter().map(adyen_event_id).collect();
            (adyen(&items.iter().collect::<Vec<_>>()), ids)
        } else {
            let payment = self.payment(provider)?;
            let event_id =
                if provider == "razorpay" { razorpay_event_id(&payment) } else { payment.event_id.clone() };
            (payment.body(provider)?, vec![event_id])
        };
        let mut headers = headers(provider, event_ids.first().map(String::as_str));
        headers.push("User-Agent", "tollgate-send");
        Some(Draft { headers, body: body.into_bytes(), event_ids })
    }

    /// The webhooks by which `provider` tells the success of this payment, each by an event of its own: several at Stripe,
    /// one elsewhere.
    pub fn tellings(&self, provider: &str) -> Option<Vec<Draft>> {
        let first = self.draft(provider)?;
        let payment = self.payment(provider)?;
        let event_id = |number: usize| {
            let mut id = hex_sha256(format!("{}/telling/{number}", self.id).as_bytes());
            id.truncate(24);
            format!("evt_{id}")
        };
        let others = payment.companions(provider, event_id).into_iter().map(|(event_id, body)| Draft {
            headers: first.headers.clone(),
            body: body.into_bytes(),
            event_ids: vec![event_id],
        });
        Some(std::iter::once(first.clone()).chain(others).collect())
    }

    /// Its one event, with ids as `provider` makes them.
    fn payment(&self, provider: &str) -> Option<Payment> {
        let (event_id, transaction_id, customer) = match provider {
            "generic" => (format!("gen-{}", self.id), format!("order-{}", self.short(16)), "customer"),
            "stripe" => (format!("evt_{}", self.short(24)), format!("pi_{}", self.short(24)), "cus"),
            "square" => (self.uuid(), format!("PAY{}", self.short(20).to_uppercase()), "CU"),
            "razorpay" => (format!("rzp{}", self.short(20)), format!("pay_{}", self.short(14)), "cust"),
            "standard_webhooks" => (format!("msg_{}", self.short(24)), format!("tx_{}", self.short(20)), "c"),
            _ => return None,
        };
        self.said(provider, event_id, transaction_id, customer)
    }

    /// One event of Adyen's delivery.
    fn adyen_item(&self, item: usize) -> Option<Payment> {
        let reference = |name: String| {
            let mut reference = hex_sha256(name.as_bytes()).to_uppercase();
            reference.truncate(16);
            reference
        };
        let event_id = reference(format!("{}/{item}", self.id));
        let transaction_id = reference(format!("{}/{item}/original", self.id));
        self.said("adyen", event_id, transaction_id, "shopper")
    }

    fn said(
        &self,
        provider: &str,
        event_id: String,
        transaction_id: String,
        customer: &str,
    ) -> Option<Payment> {
        Some(Payment {
            kind: self.kind,
            amount: amount(provider, &self.money)?,
            currency: self.money.currency().code().to_owned(),
            at: self.at,
            // One of 4,096 customers.
            customer: Some(format!("{customer}_{}", self.id.get(8..11).unwrap_or_default())),
            event_id,
            transaction_id,
        })
    }

    fn short(&self, digits: usize) -> &str {
        self.id.get(..digits).unwrap_or(&self.id)
    }

    fn uuid(&self) -> String {
        let part = |from: usize, to: usize| self.id.get(from..to).unwrap_or_default();
        format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
    }
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
