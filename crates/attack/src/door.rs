//! Anybody who has the URL, and whoever saw a genuine webhook pass.

use serde_json::json;
use tollgate_core::Timestamp;
use tollgate_providers::{Headers, SignedWebhook};
use tollgate_testkit::webhook::{OTHER_KEY, Payment, Sender, config};

use crate::{
    attack::{Attack, Failure, Verdict, held, twin},
    ground::{Ground, Knock, Reply},
};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        area: "front door",
        tried: "unsigned, altered, old, early and otherwise signed webhooks",
        run: |ground| Box::pin(forged(ground)),
    },
    Attack {
        area: "front door",
        tried: "one merchant's webhook at another's endpoint",
        run: |ground| Box::pin(elsewhere(ground)),
    },
    Attack {
        area: "front door",
        tried: "a genuine webhook thirty times, in other headers and queries",
        run: |ground| Box::pin(replayed(ground)),
    },
    Attack {
        area: "front door",
        tried: "a webhook of before the ledger's memory",
        run: |ground| Box::pin(forgotten(ground)),
    },
    Attack {
        area: "front door",
        tried: "other spellings of an endpoint's name and path",
        run: |ground| Box::pin(spellings(ground)),
    },
    Attack {
        area: "front door",
        tried: "providers' webhooks on the path of our own schema, and the reverse",
        run: |ground| Box::pin(crossed(ground)),
    },
    Attack {
        area: "front door",
        tried: "paths around the key that generic senders are asked for",
        run: |ground| Box::pin(around_auth(ground)),
    },
    Attack {
        area: "front door",
        tried: "bodies over the limit, deep, compressed a thousandfold, and floods of headers",
        run: |ground| Box::pin(bombs(ground)),
    },
    Attack {
        area: "front door",
        tried: "challenges that are scripts or payloads to be signed",
        run: |ground| Box::pin(challenges(ground)),
    },
];

const ENDPOINT: &str = "stripe-eu";

async fn genuine(ground: &Ground, name: &str) -> (Sender, String, SignedWebhook) {
    let sender = ground.sender(ENDPOINT).await;
    let id = ground.unique(name);
    let webhook = sender.payment(&Payment::new(&id, &id, ground.now()), ground.now());
    (sender, id, webhook)
}

fn is_new(reply: &Reply) -> bool {
    reply.status == 200 && reply.field("message") != "Duplicate event"
}

async fn forged(ground: Ground) -> Verdict {
    let (sender, id, good) = genuine(&ground, "f").await;
    let at = |seconds: i64| Timestamp::from_second(ground.now().as_second() + seconds).expect("a time");
    let forger = Sender::new(config(ENDPOINT, "stripe"), OTHER_KEY);
    let signature = |change: &dyn Fn(&str) -> String| {
        let mut webhook = good.clone();
        let text = change(good.headers.get("Stripe-Signature").unwrap_or_default());
        webhook.headers.remove("Stripe-Signature");
        webhook.headers.push("Stripe-Signature", text);
        webhook
    };
    let payment = |name: &str| Payment::new(ground.unique(name), &id, ground.now());
    let mut altered = good.clone();
    altered.body = String::from_utf8_lossy(&good.body).replace("1099", "9999").into_bytes();
    let forgeries = [
        ("altered", altered),
        ("unsigned", signature(&|_| String::new())),
        (
            "signed with nothing",
            signature(&|text| text.split("v1=").next().unwrap_or_default().to_owned() + "v1="),
        ),
        ("half a signature", signature(&|text| text[..text.len() - 2].to_owned())),
        ("upper case", signature(&|text| text.replace("v1=", "v1=0x").to_uppercase())),
        ("another scheme's version", signature(&|text| text.replace("v1=", "v0="))),
        ("two times", signature(&|text| format!("t={},{text}", at(0).as_second() + 1))),
        ("forty candidates", signature(&|text| format!("{}{text}", "v1=00,".repeat(40)))),
        ("another key", forger.payment(&payment("k"), ground.now())),
        ("too old", sender.payment(&payment("o"), at(-400))),
        ("too early", sender.payment(&payment("e"), at(400))),
    ];
    for (name, webhook) in &forgeries {
        let answer = ground.send(Some(ENDPOINT), webhook).await;
        held(answer.status == 401, || format!("{name}: answered {}", answer.status))?;
        held(answer.body["error"] == "invalid signature", || format!("{name}: it is told {}", answer.body))?;
    }
    let answer = ground.send(Some(ENDPOINT), &good).await;
    twin(answer.is_success(), || format!("the signed one was answered {}", answer.status))?;
    Ok(format!(
        "{} of {} answered 401 without a reason; the signed one was accepted",
        forgeries.len(),
        forgeries.len()
    ))
}

async fn elsewhere(ground: Ground) -> Verdict {
    let (_, id, webhook) = genuine(&ground, "tenant").await;
    let standard = ground.sender("standard").await;
    let other = standard.payment(&Payment::new(&id, &id, ground.now()), ground.now());
    let mut refused = 0;
    for endpoint in ["stripe-us", "acme", "adyen", "square", "razorpay", "standard", "attack-rotated"] {
        let answer = ground.send(Some(endpoint), &webhook).await;
        held(!answer.is_success(), || format!("accepted at {endpoint}"))?;
        refused += 1;
    }
    let answer = ground.send(Some(ENDPOINT), &other).await;
    held(!answer.is_success(), || "another scheme's signature was accepted".to_owned())?;
    let answer = ground.send(Some(ENDPOINT), &webhook).await;
    twin(answer.is_success(), || format!("at its own endpoint it was answered {}", answer.status))?;
    Ok(format!("refused at {refused} other endpoints; accepted at its own"))
}

async fn replayed(ground: Ground) -> Verdict {
    let (sender, id, webhook) = genuine(&ground, "replayed").await;
    let first = ground.send(Some(ENDPOINT), &webhook).await;
    twin(first.is_success(), || format!("the first time it was answered {}", first.status))?;
    for round in 0..30 {
        let mut again = webhook.clone();
        again.query = format!("round={round}&id=evt_{round}");
        for name in ["Idempotency-Key", "X-Request-Id", "webhook-id", "X-Provider-ID", "X-Forwarded-For"] {
            again.headers.push(name, format!("{name}-{round}"));
        }
        let answer = ground.send(Some(ENDPOINT), &again).await;
        held(answer.body["message"] == "Duplicate event", || format!("answered {}", answer.body))?;
    }
    ground.until_processed(&[tollgate_core::LedgerKey::new(sender.endpoint().id(), &id)]).await;
    let events = ground.recorded(ENDPOINT, &id).await;
    held(events.len() == 1, || format!("{} events were made of it", events.len()))?;
    Ok("each time told that it is a duplicate; one event".to_owned())
}

/// What happened six weeks ago may have been done then: whoever kept the webhook can send it again today.
async fn forgotten(ground: Ground) -> Verdict {
    const DAY: i64 = 86_400;
    let endpoint = "razorpay";
    let sender = ground.sender(endpoint).await;
    let send = async |name: &str, days: i64| {
        let at = Timestamp::from_second(ground.now().as_second() - days * DAY).expect("a time");
        let id = ground.unique(name);
        let webhook = sender.payment(&Payment::new(&id, &id, at), ground.now());
        let answer = ground.send(Some(endpoint), &webhook).await;
        twin(answer.is_success(), || format!("{name} was answered {}", answer.status))?;
        let webhook_id = answer.body["webhook_id"].as_str().unwrap_or_default().to_owned();
        Ok::<_, Failure>((id, webhook_id))
    };
    let (old, webhook_id) = send("old", 45).await?;
    let end = ground
        .within(async || {
            if let Some(reason) = ground.set_aside(&webhook_id).await {
                return Some(Some(reason));
            }
            let events = ground.routed("PaymentsQueueUrl").await;
            events.iter().any(|event| event.transaction_id == old).then_some(None)
        })
        .await;
    let Some(end) = end else { return Err(Failure::Blunt("the old one left no trace".to_owned())) };
    let Some(reason) = end else {
        return Err(Failure::Through("a consumer gets the payment of six weeks ago".to_owned()));
    };
    let (late, _) = send("late", 5).await?;
    let routed = ground
        .within(async || {
            let events = ground.routed("PaymentsQueueUrl").await;
            events.iter().any(|event| event.transaction_id == late).then_some(())
        })
        .await;
    twin(routed.is_some(), || "one of five days ago is not routed either".to_owned())?;
    Ok(format!("set aside as {reason}; one of five days ago went through"))
}

async fn spellings(ground: Ground) -> Verdict {
    let (_, _, webhook) = genuine(&ground, "spelt").await;
    let paths = [
        "/webhook/Stripe-eu",
        "/webhook/STRIPE-EU",
        "/webhook/stripe-eu\u{0}",
        "/webhook/stripe-eu%00",
        "/webhook/stripe-eu%0a",
        "/webhook/ stripe-eu",
        "/webhook/stripe-eu;v=1",
        "/webhook/stripe-eu/stripe-eu",
        "/webhook/stripe-us/../stripe-eu",
        "/webhook/stripe-us%2f..%2fstripe-eu",
        "/webhook/stripe-eu/..",
        "/webhook/./stripe-eu",
        "/webhook/stripe\u{2011}eu",
        "/webhook/\u{ff53}tripe-eu",
        "/webhook/stripe-e\u{75}\u{301}",
        "/webhook/\u{202e}ue-epirts",
        "/webhook/stripe-eu\u{200b}",
        "/webhook/__proto__",
        "/webhook/*",
        "/webhook/%",
        "/WEBHOOK/stripe-eu",
        "/webhooks/stripe-eu",
        "/stripe-eu",
        "",
        "stripe-eu",
    ];
    for path in paths {
        let mut knock = Knock::webhook(ENDPOINT, &webhook);
        knock.path = path.to_owned();
        let reply = ground.knock_deployed(&knock).await;
        held(matches!(reply.status, 400 | 404), || format!("{path:?} was answered {}", reply.status))?;
    }
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "post", "POST "] {
        let mut knock = Knock::webhook(ENDPOINT, &webhook);
        knock.method = method;
        let reply = ground.knock_deployed(&knock).await;
        held(reply.status == 405, || format!("{method:?} was answered {}", reply.status))?;
    }
    let reply = ground.knock_deployed(&Knock::webhook(ENDPOINT, &webhook)).await;
    twin(is_new(&reply), || format!("the right one was answered {}", reply.status))?;
    Ok(format!("{} spellings and 10 methods refused; the right one was accepted", paths.len()))
}

async fn crossed(ground: Ground) -> Verdict {
    let (_, _, webhook) = genuine(&ground, "crossed").await;
    let mut named = webhook.clone();
    named.headers.push("X-Provider-ID", ENDPOINT);
    let answer = ground.send(None, &named).await;
    held(!answer.is_success(), || "a provider's webhook was accepted at POST /webhook".to_owned())?;
    for path in ["/webhook/webhook", "/webhook/generic", "/webhook/"] {
        let mut knock = Knock::webhook(ENDPOINT, &named);
        knock.path = path.to_owned();
        let reply = ground.knock_deployed(&knock).await;
        held(reply.status == 404, || format!("{path} was answered {}", reply.status))?;
    }
    let answer = ground.send(Some(ENDPOINT), &webhook).await;
    twin(answer.is_success(), || format!("on its own path it was answered {}", answer.status))?;
    let acme = ground.sender("acme").await;
    let id = ground.unique("generic");
    let own = acme.payment(&Payment::new(&id, &id, ground.now()), ground.now());
    let answer = ground.send(None, &own).await;
    twin(answer.is_success(), || format!("our own schema was answered {}", answer.status))?;
    Ok("refused on each other's paths; each accepted on its own".to_owned())
}

/// The gateway asks for a key on `POST /webhook` alone: no generic webhook may come in by the providers' route.
async fn around_auth(ground: Ground) -> Verdict {
    let acme = ground.sender("acme").await;
    let validator = ground.validator("attack-auth", &[("GENERIC_BY_NAME", "false")]).await;
    let id = ground.unique("generic");
    let webhook = acme.payment(&Payment::new(&id, &id, ground.now()), ground.now());
    let by_name = "POST /webhook/{endpoint}";
    for path in ["/webhook/acme", "/webhook/webhook", "/v1/webhook/webhook", "/webhook/webhook/", "/webhook"]
    {
        for route in [Some(by_name), None] {
            if (path, route) == ("/webhook", None) {
                continue;
            }
            let mut knock = Knock::webhook("acme", &webhook);
            path.clone_into(&mut knock.path);
            knock.route = route;
            let reply = ground.knock(&validator, &knock).await;
            held(reply.status == 404, || {
                format!("{path}, matched as {route:?}, was answered {}", reply.status)
            })?;
        }
    }
    let mut knock = Knock::webhook("acme", &webhook);
    "/webhook".clone_into(&mut knock.path);
    knock.route = Some("POST /webhook");
    let reply = ground.knock(&validator, &knock).await;
    twin(is_new(&reply), || format!("on the path that asks it was answered {}", reply.status))?;
    Ok("refused on nine of them; accepted on the path that asks".to_owned())
}

async fn bombs(ground: Ground) -> Verdict {
    let sender = ground.sender(ENDPOINT).await;
    let sign = |body: &[u8]| sender.sign_bytes(body, ground.now());

    let large = sign(&vec![b' '; 1_048_577]);
    let reply = ground.knock_deployed(&Knock::webhook(ENDPOINT, &large)).await;
    held(reply.status == 413, || format!("a body over the limit was answered {}", reply.status))?;

    let deep = format!("{}{}", "[".repeat(250_000), ground.unique("deep"));
    let objects = format!("{}{}", r#"{"a":"#.repeat(100_000), ground.unique("deep"));
    // gzip's header, and data that says that it is a thousand times longer. Whoever decompresses it fails or swells.
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    packed.extend(std::iter::repeat_n([0x4b, 0x04, 0x00], 30_000).flatten());
    packed.extend(ground.unique("packed").into_bytes());
    for (name, body) in
        [("deep lists", deep.into_bytes()), ("deep objects", objects.into_bytes()), ("packed", packed)]
    {
        let mut webhook = sign(&body);
        if name == "packed" {
            webhook.headers.push("Content-Encoding", "gzip");
        }
        let reply = ground.knock_deployed(&Knock::webhook(ENDPOINT, &webhook)).await;
        held(reply.status == 200, || format!("{name}, signed, was answered {}", reply.status))?;
        let webhook_id = reply.field("webhook_id");
        let rows = ground.archived(std::slice::from_ref(&webhook_id)).await;
        let event = &rows[&webhook_id]["events"][0];
        held(event["type"] == "payment.unrecognized", || format!("{name}: it made a {}", event["type"]))?;
    }

    let (_, _, good) = genuine(&ground, "flooded").await;
    let mut flood = Headers::new();
    for number in 0..5_000 {
        flood.push(format!("x-flood-{number}"), "v1=".repeat(20));
    }
    let long = format!("t={},{}", ground.now().as_second(), "v1=00,".repeat(200_000));
    flood.push("Stripe-Signature", long);
    let knock = Knock { headers: flood, ..Knock::webhook(ENDPOINT, &good) };
    let reply = ground.knock_deployed(&knock).await;
    held(reply.status == 401, || format!("a flood of headers was answered {}", reply.status))?;

    let reply = ground.knock_deployed(&Knock::webhook(ENDPOINT, &good)).await;
    twin(is_new(&reply), || format!("a plain one was answered {}", reply.status))?;
    Ok("413, kept as payment.unrecognized, 401; a plain one was accepted afterwards".to_owned())
}

async fn challenges(ground: Ground) -> Verdict {
    let endpoint = "attack-braintree";
    let sealed = json!({"keys": [{"id": "attacked", "value": ground.unique("private-key")}]}).to_string();
    ground.put_secret(endpoint, &sealed).await;
    let validator = ground.validator("attack-challenged", &[]).await;
    let ask = async |query: String| {
        let path = format!("/webhook/{endpoint}");
        let knock = Knock {
            method: "GET",
            path,
            query: &query,
            headers: Headers::new(),
            body: b"",
            ..Knock::default()
        };
        ground.knock(&validator, &knock).await
    };
    let scripts = [
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "0123456789abcdef0123%3Cimg%20src=x%3E",
        "0123456789abcdef0123%0d%0aSet-Cookie:%20a=b",
        "PGJ0X3BheWxvYWQ+",
        "",
    ];
    for script in scripts {
        let reply = ask(format!("bt_challenge={script}")).await;
        held(reply.status != 200, || format!("{script} was answered 200"))?;
        held(reply.content_type == "application/json" && !reply.body.contains("script"), || {
            format!("{script} was answered with {}: {}", reply.content_type, reply.body)
        })?;
    }
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let reply = ask(format!("bt_challenge={challenge}")).await;
    twin(reply.status == 200 && reply.content_type == "text/plain", || {
        format!("a real challenge was answered {} as {}", reply.status, reply.content_type)
    })?;
    // What it signed, as the signature of a webhook.
    for payload in [challenge.to_owned(), format!("{challenge}\n")] {
        let encoded = payload.replace('\n', "%0A");
        let body = format!("bt_signature={}&bt_payload={encoded}", reply.body.replace('|', "%7C"));
        let mut headers = Headers::new();
        headers.push("content-type", "application/x-www-form-urlencoded");
        let path = format!("/webhook/{endpoint}");
        let knock = Knock { method: "POST", path, headers, body: body.as_bytes(), ..Knock::default() };
        let answer = ground.knock(&validator, &knock).await;
        held(answer.status == 401, || {
            format!("a signed challenge as a webhook was answered {}", answer.status)
        })?;
    }
    Ok("refused; a real challenge was signed, and is no webhook's signature".to_owned())
}
