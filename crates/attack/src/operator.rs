//! What an operator's tool is fed by others, and what it must not do for a careless or hostile hand.

use std::{io::Write, process::Output};

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tollgate_core::EndpointId;
use tollgate_pipeline::retrieved::{self, Sealed};
use tollgate_providers::{Headers, KeyMaterial, Secret};
use tollgate_testkit::webhook::{Payment, Sender};

use crate::{
    attack::{Attack, Verdict, held, twin},
    ground::{Ground, Knock},
};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        area: "operator",
        tried: "terminal control characters in what the tool prints of others",
        run: |ground| Box::pin(terminal(ground)),
    },
    Attack {
        area: "operator",
        tried: "endpoints whose custom schemes anybody can satisfy",
        run: |ground| Box::pin(weak(ground)),
    },
    Attack {
        area: "operator",
        tried: "endpoints whose secrets are not the platform's",
        run: |ground| Box::pin(foreign_secrets(ground)),
    },
    Attack {
        area: "operator",
        tried: "a key on the command line, where every process sees it",
        run: |ground| Box::pin(key_on_command_line(ground)),
    },
    Attack {
        area: "operator",
        tried: "a leaked key after it was revoked",
        run: |ground| Box::pin(revoked(ground)),
    },
    Attack {
        area: "operator",
        tried: "an event that is said to be retrieved, by who may invoke the validator and has no key for it",
        run: |ground| Box::pin(said_to_be_retrieved(ground)),
    },
];

/// What a terminal obeys: C0 but for line feeds and tabs, DEL, C1, and what turns the direction of text.
fn is_control(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("it is written");
    file
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn terminal(ground: Ground) -> Verdict {
    const HOSTILE: &str = "ok\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{7f}\u{202e}desrever\u{2066}\u{200f}end";
    let body = json!({
        "id": format!("evt_{HOSTILE}"), "object": "event", "created": 1, "type": format!("payment_intent.{HOSTILE}"),
        "data": {"object": {"id": format!("pi_{HOSTILE}"), "object": "payment_intent", "status": HOSTILE}},
    });
    let body = file(&body.to_string());
    let body = body.path().to_str().expect("a path");
    // The tool shows what should have been signed.
    let signature = format!("t=1700000000,v1={}", "00".repeat(32));
    let request = json!({
        "headers": {"X-Shopify-Topic": HOSTILE, "Stripe-Signature": signature}, "query": HOSTILE, "body": HOSTILE,
    });
    let request = file(&request.to_string());
    let request = request.path().to_str().expect("a path");
    let key = file("whsec_0123456789abcdef");
    let key = key.path().to_str().expect("a path");
    // Whoever answers a test webhook chooses what is printed.
    let answers = json!({"message": HOSTILE, "webhook_id": HOSTILE, "event_id": HOSTILE}).to_string();
    let server = ground.answering(answers).await;
    let config =
        file(&format!("[[endpoints]]\nid = \"x\"\nscheme = \"{}\"\nsecret = \"y\"\n", escaped(HOSTILE)));
    let config = config.path().to_str().expect("a path");
    let runs: [&[&str]; 6] = [
        &["normalize", "--provider", "stripe", body],
        &["verify", request, "--scheme", "stripe", "--secret-file", key],
        &["verify", request, "--scheme", "shopify", "--secret-file", key],
        &["send", "--url", &server, "--endpoint", "x", "--scheme", "stripe", "--secret-file", key],
        &["endpoints", "apply", "--dry-run", config],
        &["send", "--endpoint", HOSTILE, "--scheme", HOSTILE, "--secret-file", key],
    ];
    let mut printed = 0;
    for run in runs {
        let output = ground.tollgate(run).await;
        let text = said(&output);
        if let Some(found) = text.chars().find(|c| is_control(*c)) {
            held(false, || format!("tollgate {} prints {:?}", run[0], found))?;
        }
        printed += usize::from(text.contains("ok") || text.contains("owned"));
    }
    twin(printed >= 3, || format!("{printed} runs print anything of it at all"))?;
    Ok(format!("{} commands print none of them, {printed} the text around", runs.len()))
}

/// For a TOML text.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| if is_control(c) { format!("\\u{:04X}", u32::from(c)) } else { c.to_string() })
        .collect()
}

/// A row of an endpoints file with a custom scheme.
fn row(suffix: &str, scheme: &str) -> String {
    format!(
        "[[endpoints]]\nid = \"custom\"\nsecret = \"secretsmanager:tollgate/{suffix}/custom\"\n\
         notification_url = \"https://example.com/hook\"\nnormaliser = \"generic\"\n[endpoints.scheme]\n{scheme}\n"
    )
}

async fn weak(ground: Ground) -> Verdict {
    let hmac = r#"signature = { header = "X-Sig" }
algorithm = "hmac-sha256"
encoding = "hex""#;
    let timed = |rest: &str| {
        format!(
            "{hmac}\nsigned = \"{{timestamp}}.{{body}}\"\ntimestamp = {{ header = \"X-Time\", unit = \"seconds\"{rest} }}"
        )
    };
    let weak = [
        ("an empty key", format!("{hmac}\nsigned = \"{{body}}\"\nkey = {{ min_bytes = 0 }}")),
        ("a key of one byte", format!("{hmac}\nsigned = \"{{body}}\"\nkey = {{ min_bytes = 1 }}")),
        ("a literal alone", format!("{hmac}\nsigned = \"v1\"")),
        ("nothing", format!("{hmac}\nsigned = \"\"")),
        ("optional parts alone", format!("{hmac}\nsigned = \"[{{header:X-A}}]\"")),
        ("a time without a window", timed("")),
        ("a time with a window of years", timed(", window = 4000000000")),
        ("a plain hash", hmac.replace("hmac-sha256", "sha256") + "\nsigned = \"{secret}{body}\""),
        (
            "a plain hash of 512 bits",
            hmac.replace("hmac-sha256", "sha512") + "\nsigned = \"{secret}.{body}\"",
        ),
    ];
    let dry_run = async |scheme: &str| {
        let file = file(&row(ground.suffix(), scheme));
        ground.tollgate(&["endpoints", "apply", "--dry-run", file.path().to_str().expect("a path")]).await
    };
    for (name, scheme) in &weak {
        let output = dry_run(scheme).await;
        held(!output.status.success(), || format!("{name}: `endpoints apply` takes it"))?;
    }
    // Past the tool, by who may write the endpoints' document: the functions must not serve it either.
    let mut suffixes = Vec::new();
    for (number, (name, scheme)) in weak.iter().enumerate() {
        let id = format!("attack-weak-{number}");
        let scheme: Value = toml_to_json(scheme);
        let config = json!({
            "id": id, "scheme": scheme, "secret": format!("secretsmanager:tollgate/{}/{id}", ground.suffix()),
            "notification_url": "https://example.com/hook", "normaliser": "generic",
        });
        ground.put_endpoint(&serde_json::from_value(config).expect("a configuration")).await;
        ground
            .put_secret(&id, if name.contains("key") { "k" } else { "0123456789abcdef0123456789abcdef" })
            .await;
        suffixes.push((*name, id));
    }
    let validator = ground.validator("attack-weak", &[]).await;
    for (name, id) in &suffixes {
        let mut headers = Headers::new();
        headers.push("x-sig", "00".repeat(32));
        headers.push("x-time", ground.now().as_second().to_string());
        let path = format!("/webhook/{id}");
        let knock = Knock { method: "POST", path, headers, body: b"{}", ..Knock::default() };
        let reply = ground.knock(&validator, &knock).await;
        held(matches!(reply.status, 404 | 503), || {
            format!("{name}: the validator serves it: {}", reply.status)
        })?;
    }
    for strong in [format!("{hmac}\nsigned = \"{{body}}\""), timed(", window = 300")] {
        let output = dry_run(&strong).await;
        twin(output.status.success(), || format!("a strong scheme is refused: {}", said(&output)))?;
    }
    Ok(format!("{} refused by the tool and by the validator; strong ones are taken", weak.len()))
}

/// The few lines of TOML above, as the parameter has them.
fn toml_to_json(text: &str) -> Value {
    let table: toml::Table = text.parse().expect("TOML");
    serde_json::to_value(table).expect("JSON")
}

async fn foreign_secrets(ground: Ground) -> Verdict {
    let suffix = ground.suffix();
    let apply = async |secret: &str| {
        let row = format!("[[endpoints]]\nid = \"theirs\"\nscheme = \"stripe\"\nsecret = \"{secret}\"\n");
        let file = file(&row);
        ground.tollgate(&["endpoints", "apply", "--dry-run", file.path().to_str().expect("a path")]).await
    };
    let foreign = [
        "secretsmanager:prod/database".to_owned(),
        "secretsmanager:tollgate/other/stripe".to_owned(),
        format!("secretsmanager:tollgate/{suffix}x/stripe"),
        format!("secretsmanager:tollgate/{suffix}/../other"),
        "secretsmanager:arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/database".to_owned(),
        "ssm:/prod/database".to_owned(),
        format!("ssm:/tollgate/{suffix}/endpoints/stripe-eu"),
        // By which the validator believes that an event was retrieved.
        format!("secretsmanager:{}", retrieved::key_name(suffix)),
    ];
    for secret in &foreign {
        let output = apply(secret).await;
        held(!output.status.success(), || format!("{secret} is taken"))?;
    }
    for own in
        [format!("secretsmanager:tollgate/{suffix}/theirs"), format!("ssm:/tollgate/{suffix}/secrets/theirs")]
    {
        let output = apply(&own).await;
        twin(output.status.success(), || format!("{own} is refused: {}", said(&output)))?;
    }
    Ok(format!("{} refused; the platform's own are taken", foreign.len()))
}

async fn key_on_command_line(ground: Ground) -> Verdict {
    const KEY: &str = "whsec_on-the-command-line";
    let request = file(r#"{"headers":{},"body":"{}"}"#);
    let request = request.path().to_str().expect("a path");
    let output = ground.tollgate(&["verify", request, "--scheme", "stripe", "--secret", KEY]).await;
    held(output.status.code() == Some(2), || {
        format!("it is taken, with exit code {:?}", output.status.code())
    })?;
    held(!said(&output).contains(KEY), || "the key is printed".to_owned())?;
    let key = file(KEY);
    let key = key.path().to_str().expect("a path");
    let output = ground.tollgate(&["verify", request, "--scheme", "stripe", "--secret-file", key]).await;
    twin(output.status.code() == Some(1), || format!("with a file: {}", said(&output)))?;
    Ok("refused; a file is taken".to_owned())
}

/// After a plain rotation the old key goes on verifying, so that nothing is refused; after `--revoke` it must not.
async fn revoked(ground: Ground) -> Verdict {
    let endpoint = "attack-revoked";
    let config = json!({
        "id": endpoint, "scheme": "stripe", "secret": format!("secretsmanager:tollgate/{}/{endpoint}", ground.suffix()),
    });
    let config: tollgate_core::EndpointConfig = serde_json::from_value(config).expect("an endpoint");
    ground.put_endpoint(&config).await;
    let [leaked, second, third] =
        ["leaked", "second", "third"].map(|name| format!("whsec_{}", ground.unique(name)));
    ground.put_secret(endpoint, &leaked).await;
    let answered = async |key: &str| {
        let validator = ground.validator("attack-revoked", &[]).await;
        let id = ground.unique(&key[key.len() - 3..]);
        let sender = Sender::new(config.clone(), key);
        let webhook = sender.payment(&Payment::new(&id, &id, ground.now()), ground.now());
        ground.knock(&validator, &Knock::webhook(endpoint, &webhook)).await.status
    };
    let rotate = async |key: &str, more: &[&str]| {
        let file = file(key);
        let path = file.path().to_str().expect("a path");
        let output = ground
            .tollgate(&[&["endpoints", "rotate", endpoint, "--secret-file", path], more].concat())
            .await;
        twin(output.status.success(), || format!("rotate {more:?}: {}", said(&output)))
    };
    let first = answered(&leaked).await;
    twin(first == 200, || format!("before any rotation the key was answered {first}"))?;
    rotate(&second, &[]).await?;
    let after = (answered(&leaked).await, answered(&second).await);
    twin(after == (200, 200), || format!("after a rotation old and new key were answered {after:?}"))?;
    ground.put_secret(endpoint, &leaked).await;
    rotate(&third, &["--revoke"]).await?;
    let (old, new) = (answered(&leaked).await, answered(&third).await);
    held(old == 401, || format!("the revoked key was answered {old}"))?;
    twin(new == 200, || format!("the new key was answered {new}"))?;
    Ok("401, as the new key is accepted; after a plain rotation both are".to_owned())
}

/// The event is as its provider would tell it, and the endpoint's own key is known.
async fn said_to_be_retrieved(ground: Ground) -> Verdict {
    let endpoints = ["attack-told", "attack-told-too"];
    let [own, key] = ["own", "key"].map(|name| ground.unique(name));
    for endpoint in endpoints {
        let secret = format!("secretsmanager:tollgate/{}/{endpoint}", ground.suffix());
        let config = json!({ "id": endpoint, "scheme": "stripe", "secret": secret });
        ground.put_endpoint(&serde_json::from_value(config).expect("an endpoint")).await;
        ground.put_secret(endpoint, &own).await;
    }
    ground.put_secret(retrieved::KEY_NAME, &key).await;
    let validator = ground.validator("attack-told", &[]).await;
    let signer = format!("secretsmanager:{}", retrieved::key_name(ground.suffix()));
    let signer = retrieved::signer(&signer).expect("a signer");
    let sealed = |key: &str, event: &str| -> Value {
        let payment = Payment::new(ground.unique(event), ground.unique(event), ground.now());
        let body = payment.body("stripe").expect("a body");
        let keys = signer.keys(vec![KeyMaterial::unnamed("current", Secret::new(key))]).expect("a key");
        let endpoint = EndpointId::new(endpoints[0]).expect("a name");
        let sealed = Sealed::new(&signer, &keys, endpoint, &payment.event_id, body.as_bytes(), ground.now());
        serde_json::to_value(sealed.expect("it is signed")).expect("JSON")
    };
    let with = |mut sealed: Value, name: &str, value: Value| {
        sealed[name] = value;
        sealed
    };
    let status = async |payload: &Value| {
        ground.invoke_named(&validator.name, payload).await["statusCode"].as_u64().unwrap_or_default()
    };
    let attempts = [
        ("signed with the endpoint's key", sealed(&own, "told")),
        ("not signed", with(sealed(&key, "told"), "headers", json!([]))),
        ("signed for another endpoint", with(sealed(&key, "told"), "endpoint", json!(endpoints[1]))),
        (
            "of another event than was signed",
            with(sealed(&key, "told"), "envelope", sealed(&own, "other")["envelope"].clone()),
        ),
    ];
    for (name, payload) in &attempts {
        let status = status(payload).await;
        held(status == 401, || format!("{name}: answered {status}"))?;
    }
    let genuine = sealed(&key, "told");
    let body = genuine.to_string();
    let path = format!("/webhook/{}", endpoints[0]);
    let knock = Knock { method: "POST", path, body: body.as_bytes(), ..Knock::default() };
    let reply = ground.knock(&validator, &knock).await;
    held(reply.status == 401, || format!("by a sender: answered {}", reply.status))?;
    let answered = status(&genuine).await;
    twin(answered == 200, || format!("with the key it was answered {answered}"))?;
    Ok("401, by a sender too; with the key of that one role it is taken in".to_owned())
}
