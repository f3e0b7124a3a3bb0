//! A colleague, or a leaked role, who may send to the intake queue: nothing there is checked by a signature again.

use serde_json::{Value, json};
use tollgate_core::PaymentEvent;
use tollgate_pipeline::intake::attribute;
use tollgate_providers::{Headers, SignedWebhook, ToSign};
use tollgate_testkit::webhook::{Payment, Sender};

use crate::{
    attack::{Attack, Failure, Verdict, held, twin},
    ground::{Ground, Held, Trace},
};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        area: "intake queue",
        tried: "a payment of 999,999.99 USD that nobody signed, received as verified",
        run: |ground| Box::pin(unclaimed(ground)),
    },
    Attack {
        area: "intake queue",
        tried: "a claimed message with another amount",
        run: |ground| Box::pin(stripe(ground, |m| Held { body: richer(&m.body), ..m })),
    },
    Attack {
        area: "intake queue",
        tried: "a claimed message with another amount and a receipt of it",
        run: |ground| {
            Box::pin(stripe(ground, |m| {
                let body = richer(&m.body);
                m.with_body(body)
            }))
        },
    },
    Attack {
        area: "intake queue",
        tried: "a claimed message with another event in it and a receipt of it",
        run: |ground| {
            Box::pin(stripe(ground, |m| {
                let at = m.body.rfind(r#""id":"it"#).expect("the event's id");
                let (before, after) = m.body.split_at(at);
                let body = format!("{before}{}", after.replacen(r#""id":"it"#, r#""id":"no"#, 1));
                m.with_body(body)
            }))
        },
    },
    Attack {
        area: "intake queue",
        tried: "a claimed message as another delivery",
        run: |ground| {
            Box::pin(stripe(ground, |m| m.with(attribute::WEBHOOK_ID, "wh_01M8F76DPXW5E2EJGS5YY0C9DM")))
        },
    },
    Attack {
        area: "intake queue",
        tried: "a claimed message at another merchant's endpoint",
        run: |ground| Box::pin(stripe(ground, |m| m.with(attribute::ENDPOINT, "stripe-us"))),
    },
    Attack {
        area: "intake queue",
        tried: "a claimed message as from another provider",
        run: |ground| Box::pin(stripe(ground, |m| m.with(attribute::PROVIDER, "adyen"))),
    },
    Attack {
        area: "intake queue",
        tried: "a static token's message as verified",
        run: |ground| Box::pin(authenticity(ground)),
    },
    Attack {
        area: "intake queue",
        tried: "an order's creation under the header of its payment",
        run: |ground| Box::pin(header(ground)),
    },
    Attack {
        area: "intake queue",
        tried: "a contradiction without its conflict's note",
        run: |ground| Box::pin(conflict(ground, true)),
    },
    Attack {
        area: "intake queue",
        tried: "the same before the first one was processed",
        run: |ground| Box::pin(conflict(ground, false)),
    },
];

const ENDPOINT: &str = "stripe-eu";

/// The same payment of a million.
fn richer(body: &str) -> String {
    body.replace("1099", "99999999")
}

fn minor_units(event: &PaymentEvent<'_>) -> i128 {
    event.amount.map(|amount| amount.minor_units()).unwrap_or_default()
}

/// What an event says, for a report.
fn said(event: &PaymentEvent<'_>) -> String {
    format!("{} {} of {} minor units", event.authenticity.as_str(), event.kind.as_str(), minor_units(event))
}

/// A message as the validator would write it, of a webhook that was never sent.
fn invented(ground: &Ground, sender: &Sender, body: &str) -> Held {
    let receipt = json!({
        "authenticity": "verified", "body_sha256": tollgate_core::id::hex_sha256(body.as_bytes()),
        "signed_at": ground.now().to_string(),
    });
    let attributes = [
        (attribute::WEBHOOK_ID, tollgate_core::WebhookId::new(ground.now(), 7).to_string()),
        (attribute::ENDPOINT, sender.endpoint().id().to_string()),
        (attribute::PROVIDER, sender.endpoint().provider().to_string()),
        (attribute::EVENT_ID, "evt_00000000000000000000000000000000".to_owned()),
        (attribute::RECEIVED_AT, ground.now().to_string()),
        (attribute::SOURCE_IP, "203.0.113.9".to_owned()),
        (attribute::KEY_ID, "current".to_owned()),
        (attribute::ENCODING, "text".to_owned()),
        (attribute::RECEIPT, receipt.to_string()),
        (attribute::REQUEST, r#"{"headers":[]}"#.to_owned()),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
    Held { body: body.to_owned(), attributes: attributes.into() }
}

async fn unclaimed(ground: Ground) -> Verdict {
    let sender = ground.sender(ENDPOINT).await;
    let forged = ground.unique("forged");
    let payment = Payment::new(&forged, &forged, ground.now()).of("99999999", "USD");
    let body = payment.body("stripe").expect("a built-in body");
    let message = invented(&ground, &sender, &body);
    ground.inject(&message).await;
    let reason = set_aside(&ground, &message, ENDPOINT, &forged).await?;

    let genuine = ground.unique("genuine");
    let webhook = sender.payment(&Payment::new(&genuine, &genuine, ground.now()), ground.now());
    let held = ground.capture(ENDPOINT, &webhook).await;
    passes(&ground, held.as_ref(), ENDPOINT, &genuine).await?;
    Ok(format!("set aside as {reason}; a signed payment's message went through"))
}

/// Fails unless the message was set aside and made no event of the transaction.
async fn set_aside(
    ground: &Ground,
    message: &Held,
    endpoint: &str,
    transaction: &str,
) -> Result<String, Failure> {
    match ground.trace(message, endpoint, transaction).await {
        Some(Trace::SetAside(reason)) => Ok(reason),
        Some(Trace::Recorded(events)) => {
            Err(Failure::Through(format!("it made a {}", events.first().map(said).unwrap_or_default())))
        }
        None => Err(Failure::Blunt("the message left no trace".to_owned())),
    }
}

/// The harmless twin: the message as the validator sent it makes one event, whose amount and authenticity are returned.
async fn passes(
    ground: &Ground,
    genuine: Option<&Held>,
    endpoint: &str,
    transaction: &str,
) -> Result<PaymentEvent<'static>, Failure> {
    let Some(genuine) = genuine else {
        return Err(Failure::Blunt("the genuine webhook was not accepted".to_owned()));
    };
    ground.inject(genuine).await;
    let recorded = ground
        .within(async || {
            let events = ground.recorded(endpoint, transaction).await;
            (!events.is_empty()).then_some(events)
        })
        .await;
    match recorded {
        Some(mut events) if events.len() == 1 => Ok(events.remove(0)),
        other => Err(Failure::Blunt(format!("the genuine message did not make one event: {other:?}"))),
    }
}

/// A genuine Stripe payment is claimed, its message changed on its way, and then sent as it was.
async fn stripe(ground: Ground, change: impl FnOnce(Held) -> Held) -> Verdict {
    let sender = ground.sender(ENDPOINT).await;
    let id = ground.unique("claimed");
    let webhook = sender.payment(&Payment::new(&id, &id, ground.now()), ground.now());
    let event = altered(&ground, ENDPOINT, &webhook, &id, change).await?;
    let (reason, event) = event;
    twin(minor_units(&event) == 1_099, || format!("the genuine message made a {}", said(&event)))?;
    Ok(format!("set aside as {reason}; the message as it was went through"))
}

async fn altered(
    ground: &Ground,
    endpoint: &str,
    webhook: &SignedWebhook,
    transaction: &str,
    change: impl FnOnce(Held) -> Held,
) -> Result<(String, PaymentEvent<'static>), Failure> {
    let Some(genuine) = ground.capture(endpoint, webhook).await else {
        return Err(Failure::Blunt("the genuine webhook was not accepted".to_owned()));
    };
    let changed = change(genuine.clone());
    twin(changed.body != genuine.body || changed.attributes != genuine.attributes, || {
        "the message was not changed".to_owned()
    })?;
    ground.inject(&changed).await;
    let landed = changed.attributes.get(attribute::ENDPOINT).map_or(endpoint, String::as_str);
    let reason = set_aside(ground, &changed, landed, transaction).await?;
    Ok((reason, passes(ground, Some(&genuine), endpoint, transaction).await?))
}

async fn authenticity(ground: Ground) -> Verdict {
    let endpoint = "attack-xendit";
    let sender = ground.sender(endpoint).await;
    let id = ground.unique("token");
    let body = json!({
        "event": "payment.succeeded", "created": ground.now().to_string(),
        "data": {"id": id, "payment_request_id": id, "amount": 1099, "currency": "IDR", "status": "SUCCEEDED"},
    });
    let webhook = sender.sign("", body.to_string().as_bytes(), ground.now());
    let promote = |m: Held| m.edit(attribute::RECEIPT, |receipt| receipt["authenticity"] = "verified".into());
    let (reason, event) = altered(&ground, endpoint, &webhook, &id, promote).await?;
    held(event.authenticity.as_str() == "authenticated", || {
        format!("the token's event is a {}", said(&event))
    })?;
    Ok(format!("set aside as {reason}; as it was it is {}", event.authenticity.as_str()))
}

async fn header(ground: Ground) -> Verdict {
    let endpoint = "attack-shopify";
    let sender = ground.sender(endpoint).await;
    let id = ground.now().as_microsecond().to_string();
    let number: u64 = id.parse().unwrap_or_default();
    let body = json!({
        "id": number, "admin_graphql_api_id": format!("gid://shopify/Order/{id}"), "currency": "USD",
        "total_price": "10.99", "created_at": ground.now().to_string(), "note": ground.unique("order"),
    });
    let headers: Headers = [
        ("Content-Type", "application/json"),
        ("X-Shopify-Topic", "orders/create"),
        ("X-Shopify-Shop-Domain", "attacked.myshopify.com"),
        ("X-Shopify-API-Version", "2026-01"),
        ("X-Shopify-Webhook-Id", "00000000-0000-0000-0000-000000000000"),
    ]
    .into_iter()
    .collect();
    let body = body.to_string();
    let to_sign = ToSign { headers: &headers, query: "", body: body.as_bytes(), url: None };
    let webhook = sender.sign_with(to_sign, ground.now());
    let topic = |m: Held| {
        m.edit(attribute::REQUEST, |request: &mut Value| {
            let changed = request.to_string().replace("orders/create", "orders/paid");
            *request = serde_json::from_str(&changed).expect("JSON");
        })
    };
    let (reason, event) = altered(&ground, endpoint, &webhook, &id, topic).await?;
    Ok(format!("set aside as {reason}; under its own header it is {}", event.kind.as_str()))
}

/// An event is claimed, then contradicted under the same id; the note that says so is removed from the message.
async fn conflict(ground: Ground, first_is_processed: bool) -> Verdict {
    let sender = ground.sender(ENDPOINT).await;
    let id = ground.unique("contradicted");
    let payment = Payment::new(&id, &id, ground.now());
    let first = ground.capture(ENDPOINT, &sender.payment(&payment, ground.now())).await;
    if first_is_processed {
        passes(&ground, first.as_ref(), ENDPOINT, &id).await?;
    }
    let other = payment.clone().of("99999999", "USD");
    let Some(other) = ground.capture(ENDPOINT, &sender.payment(&other, ground.now())).await else {
        return Err(Failure::Blunt("the contradiction was not accepted".to_owned()));
    };
    let mut had_note = false;
    let bare = other.edit(attribute::RECEIPT, |receipt| {
        had_note = receipt.as_object_mut().is_some_and(|receipt| receipt.remove("conflicts").is_some());
    });
    twin(had_note, || "the validator noted no conflict".to_owned())?;
    ground.inject(&bare).await;
    let gone = ground.within(async || (!ground.is_waiting(bare.webhook_id()).await).then_some(())).await;
    twin(gone.is_some(), || "the message was not taken from the queue".to_owned())?;
    let events = ground.recorded(ENDPOINT, &id).await;
    let wrong = events.iter().find(|event| minor_units(event) != 1_099);
    held(wrong.is_none(), || format!("it made a {}", wrong.map(said).unwrap_or_default()))?;
    let happened = match ground.set_aside(bare.webhook_id()).await {
        Some(reason) => format!("set aside as {reason}"),
        None => "dropped".to_owned(),
    };
    if !first_is_processed {
        passes(&ground, first.as_ref(), ENDPOINT, &id).await?;
    }
    Ok(format!("{happened}; what was claimed first went through"))
}
