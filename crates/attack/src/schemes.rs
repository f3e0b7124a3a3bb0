//! Signatures that hold for more than what was signed: lengthened, split elsewhere, read twice, made without a key.

use serde_json::{Value, json};
use tollgate_pipeline::intake::attribute;
use tollgate_providers::{Headers, SignedWebhook};
use tollgate_testkit::webhook::{Payment, adyen};

use crate::{
    attack::{Attack, Failure, Verdict, held, twin},
    extension::extend,
    ground::{Ground, Knock},
};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        area: "schemes",
        tried: "a SHA-256 of secret and body, lengthened without the secret",
        run: |ground| Box::pin(lengthened(ground)),
    },
    Attack {
        area: "schemes",
        tried: "a pending order of Midtrans split into a paid one",
        run: |ground| Box::pin(split(ground)),
    },
    Attack {
        area: "schemes",
        tried: "an item of Adyen whose amount is a list",
        run: |ground| Box::pin(list(ground)),
    },
    Attack {
        area: "schemes",
        tried: "a public key of small order, for which anybody can sign",
        run: |ground| Box::pin(small_order(ground)),
    },
    Attack {
        area: "schemes",
        tried: "a delivery of GoCardless with more events than it sends",
        run: |ground| Box::pin(many(ground)),
    },
];

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    (text.len() == 64).then_some(bytes)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The authenticity that the validator gave an accepted webhook, as its message says.
async fn authenticity(ground: &Ground, endpoint: &str, webhook: &SignedWebhook) -> Option<String> {
    let held = ground.capture(endpoint, webhook).await?;
    let receipt: Value = serde_json::from_str(held.attributes.get(attribute::RECEIPT)?).ok()?;
    receipt["authenticity"].as_str().map(str::to_owned)
}

async fn lengthened(ground: Ground) -> Verdict {
    const HEADER: &str = "x-authenticity-token";
    let endpoint = "attack-pagbank";
    let sender = ground.sender(endpoint).await;
    let id = ground.unique("charge");
    let body = json!({"id": id, "status": "PAID", "amount": {"value": 1099, "currency": "BRL"}}).to_string();
    let seen = sender.sign("", body.as_bytes(), ground.now());
    let digest = seen.headers.get(HEADER).and_then(hex);
    let digest = digest.ok_or_else(|| Failure::Blunt("the signature is no SHA-256".to_owned()))?;
    // The token's length is not known, and there are few.
    let mut right = 0;
    for secret in 1..=128 {
        let more =
            format!(r#","id":"{id}-more","status":"PAID","amount":{{"value":99999999,"currency":"BRL"}}}}"#);
        let (body, digest) = extend(digest, secret + "-".len(), body.as_bytes(), more.as_bytes());
        let mut longer = SignedWebhook { body, ..seen.clone() };
        longer.headers.remove(HEADER);
        longer.headers.push(HEADER, to_hex(&digest));
        let signed = sender.sign("", &longer.body, ground.now());
        right += usize::from(signed.headers.get(HEADER) == longer.headers.get(HEADER));
        let reply = ground.knock_deployed(&Knock::webhook(endpoint, &longer)).await;
        held(reply.status == 401, || {
            format!("with a token of {secret} bytes it was answered {}", reply.status)
        })?;
    }
    twin(right == 1, || format!("{right} of 128 digests were right"))?;
    match authenticity(&ground, endpoint, &seen).await.as_deref() {
        Some("authenticated") => {
            Ok("401 for the one right digest of 128; as it was it is authenticated".to_owned())
        }
        Some(other) => Err(Failure::Through(format!("a plain hash makes an event {other}"))),
        None => Err(Failure::Blunt("as it was it was not accepted".to_owned())),
    }
}

/// `order_id`, `status_code` and `gross_amount` are joined and signed: `X-200`, `201`, `100.00` are the same text as `X-`,
/// `200`, `201100.00`.
async fn split(ground: Ground) -> Verdict {
    let endpoint = "attack-midtrans";
    let sender = ground.sender(endpoint).await;
    let (order, paid) = (ground.unique("order-"), ground.unique("paid"));
    let pending = ground.unique("pending");
    let body = |order: &str, code: &str, amount: &str, status: &str, transaction: &str| {
        json!({
            "transaction_time": "2026-01-02 10:00:00", "transaction_status": status, "transaction_id": transaction,
            "status_code": code, "order_id": order, "gross_amount": amount, "currency": "IDR", "payment_type": "qris",
        })
        .to_string()
    };
    let genuine = body(&format!("{order}200"), "201", "100.00", "pending", &pending);
    let genuine = sender.sign("", genuine.as_bytes(), ground.now());
    let signature =
        serde_json::from_slice::<Value>(&genuine.body).unwrap_or_default()["signature_key"].clone();
    twin(signature.is_string(), || "the genuine one has no signature".to_owned())?;
    let mut shifted: Value =
        serde_json::from_str(&body(&order, "200", "201100.00", "settlement", &paid)).expect("JSON");
    shifted["signature_key"] = signature;
    let shifted = SignedWebhook { body: shifted.to_string().into_bytes(), ..genuine.clone() };
    let reply = ground.knock_deployed(&Knock::webhook(endpoint, &shifted)).await;
    let mut happened = format!("answered {}", reply.status);
    if reply.status == 200 {
        let webhook_id = reply.field("webhook_id");
        let rows = ground.archived(std::slice::from_ref(&webhook_id)).await;
        let event = &rows[&webhook_id]["events"][0];
        held(event["type"] == "payment.unrecognized", || {
            format!("it made a {} of {}", event["type"], event["amount"])
        })?;
        "kept as payment.unrecognized".clone_into(&mut happened);
    }
    let reply = ground.knock_deployed(&Knock::webhook(endpoint, &genuine)).await;
    twin(reply.status == 200, || format!("as it was it was answered {}", reply.status))?;
    Ok(format!("{happened}; as it was it was accepted"))
}

/// A list where the verifier reads an object, or the reverse, must not be one amount to it and another to the normaliser.
async fn list(ground: Ground) -> Verdict {
    let sender = ground.sender("adyen").await;
    let mut forms = 0;
    for (name, amount) in [
        ("list", r#"[1099,"USD"]"#),
        ("list of an object", r#"[{"value":1099,"currency":"USD"}]"#),
        ("object of lists", r#"{"value":[1099],"currency":["USD"]}"#),
        ("text in exponents", r#"{"value":"1099e4","currency":"USD"}"#),
    ] {
        let payment = Payment::new(ground.unique("psp"), ground.unique(name), ground.now());
        let signed = sender.payment(&payment, ground.now());
        let body = String::from_utf8_lossy(&signed.body).into_owned();
        let mut value: Value = serde_json::from_str(&body).expect("JSON");
        let item = &mut value["notificationItems"][0]["NotificationRequestItem"];
        item["amount"] = serde_json::from_str(amount).expect("JSON");
        let changed = SignedWebhook { body: value.to_string().into_bytes(), ..signed };
        let reply = ground.knock_deployed(&Knock::webhook("adyen", &changed)).await;
        if reply.status == 200 {
            let webhook_id = reply.field("webhook_id");
            let rows = ground.archived(std::slice::from_ref(&webhook_id)).await;
            let event = &rows[&webhook_id]["events"][0];
            held(event["amount_minor_units"].to_string().contains("1099"), || {
                format!("{name}: verified as 10.99 USD and read as {}", event["amount"])
            })?;
        }
        forms += 1;
    }
    let payment = Payment::new(ground.unique("psp"), ground.unique("plain"), ground.now());
    let webhook = sender.sign("", adyen(&[&payment]).as_bytes(), ground.now());
    let answer = ground.send(Some("adyen"), &webhook).await;
    twin(answer.is_success(), || format!("a plain item was answered {}", answer.status))?;
    Ok(format!("{forms} forms refused or read alike; a plain item was accepted"))
}

/// For a key of order 1 every signature with R = S·B holds: R the neutral element and S = 0, whatever the message.
async fn small_order(ground: Ground) -> Verdict {
    const SCHEME: &str = r#"{"signature":{"header":"X-Sig"},"signed":"{body}","algorithm":"ed25519","encoding":"hex","key":{"form":"hex"}}"#;
    /// RFC 8032, section 7.1, test 2.
    const GOOD_KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const GOOD_BODY: &[u8] = b"\x72";
    const GOOD_SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    /// Points of order 1, 2, 4 and 8, the latter with their other spellings (Brendel et al., "The provable security of
    /// Ed25519", table of small-order points).
    const SMALL: [&str; 7] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0100000000000000000000000000000000000000000000000000000000000080",
    ];
    let endpoint = "attack-ed25519";
    let config = json!({
        "id": endpoint, "scheme": serde_json::from_str::<Value>(SCHEME).expect("JSON"),
        "secret": format!("secretsmanager:tollgate/{}/{endpoint}", ground.suffix()), "normaliser": "generic",
    });
    ground.put_endpoint(&serde_json::from_value(config).expect("an endpoint")).await;
    let knock = async |key: &str, signature: &str, body: &[u8]| {
        ground.put_secret(endpoint, key).await;
        let validator = ground.validator("attack-ed25519", &[]).await;
        let mut headers = Headers::new();
        headers.push("x-sig", signature);
        headers.push("content-type", "application/json");
        let path = format!("/webhook/{endpoint}");
        ground.knock(&validator, &Knock { method: "POST", path, headers, body, ..Knock::default() }).await
    };
    for key in SMALL {
        for neutral in [SMALL[0], SMALL[6]] {
            // Many bodies, as a key of order 8 takes one of eight.
            let body = json!({
                "event_id": ground.unique("small"), "transaction_type": "payment", "amount": "999999.99", "currency": "USD",
                "transaction_id": ground.unique("small"), "timestamp": ground.now().to_string(),
            });
            let signature = format!("{neutral}{}", "0".repeat(64));
            let reply = knock(key, &signature, body.to_string().as_bytes()).await;
            held(matches!(reply.status, 401 | 404 | 503), || format!("{key} was answered {}", reply.status))?;
        }
    }
    let reply = knock(GOOD_KEY, GOOD_SIGNATURE, GOOD_BODY).await;
    // The signature holds; RFC 8032's body is no webhook of ours.
    twin(matches!(reply.status, 200 | 400), || format!("a real signature was answered {}", reply.status))?;
    Ok("refused for seven such keys; a real key's signature held".to_owned())
}

async fn many(ground: Ground) -> Verdict {
    let endpoint = "attack-gocardless";
    let sender = ground.sender(endpoint).await;
    let delivery = |count: usize, name: &str| {
        let events: Vec<Value> = (0..count)
            .map(|number| {
                json!({
                    "id": ground.unique(&format!("{name}{number}")), "created_at": "2026-01-02T03:04:05.000Z",
                    "resource_type": "payments", "action": "confirmed",
                    "links": {"payment": ground.unique(&format!("PM{name}{number}"))},
                })
            })
            .collect();
        sender.sign("", json!({ "events": events }).to_string().as_bytes(), ground.now())
    };
    let reply = ground.knock_deployed(&Knock::webhook(endpoint, &delivery(1_000, "x"))).await;
    let events = serde_json::from_str::<Value>(&reply.body).unwrap_or_default()["events"].as_u64();
    held(matches!(reply.status, 400..500) || events == Some(1), || {
        format!("it was answered {} and makes {events:?} events", reply.status)
    })?;
    let happened = format!("answered {}", reply.status);
    let reply = ground.knock_deployed(&Knock::webhook(endpoint, &delivery(250, "y"))).await;
    twin(reply.status == 200, || format!("250 events were answered {}", reply.status))?;
    Ok(format!("{happened}; 250 events were accepted"))
}
