//! Callers without a key: what they can make the platform do, pay and write.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_faults::Calls;
use tollgate_providers::{Headers, SignedWebhook};
use tollgate_testkit::webhook::{Payment, Sender};

use crate::{
    attack::{Attack, Verdict, held, twin},
    ground::{Function, Ground, Knock},
    proxy::Tunnels,
};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        area: "callers",
        tried: "invented endpoint names, without a pause for ten seconds",
        run: |ground| Box::pin(names(ground)),
    },
    Attack {
        area: "callers",
        tried: "invented endpoint names while S3 is throttled",
        run: |ground| Box::pin(throttled(ground)),
    },
    Attack {
        area: "callers",
        tried: "bad signatures at seven endpoints, without a pause for ten seconds",
        run: |ground| Box::pin(signatures(ground)),
    },
    Attack {
        area: "callers",
        tried: "three hundred rejected requests: what each costs",
        run: |ground| Box::pin(rejected(ground)),
    },
    Attack {
        area: "callers",
        tried: "invented certificates of PayPal's, of its sandbox and of other hosts",
        run: |ground| Box::pin(certificates(ground)),
    },
];

const ENDPOINT: &str = "stripe-eu";
/// So that what is limited over time shows in seconds.
const IMPATIENT: [(&str, &str); 1] = [("SECRET_MIN_AGE_SECONDS", "1")];
/// So that nothing is due while the requests are counted.
const STEADY: [(&str, &str); 3] =
    [("SECRET_MIN_AGE_SECONDS", "300"), ("SECRET_TTL_SECONDS", "900"), ("ENDPOINTS_TTL_SECONDS", "900")];
/// Calls of one reading of keys: the current version of the secret and the one before it.
const A_READING: usize = 2;
const FLOOD: Duration = Duration::from_secs(10);

fn all(calls: &Calls) -> usize {
    calls.values().sum()
}

async fn sender_and_webhook(ground: &Ground, endpoint: &str, name: &str) -> (Sender, SignedWebhook) {
    let sender = ground.sender(endpoint).await;
    let id = ground.unique(name);
    let webhook = sender.payment(&Payment::new(&id, &id, ground.now()), ground.now());
    (sender, webhook)
}

/// The harmless twin: a genuine webhook is accepted after all of it.
async fn serves(ground: &Ground, validator: &Function) -> Result<(), crate::attack::Failure> {
    let (_, webhook) = sender_and_webhook(ground, ENDPOINT, "genuine").await;
    let reply = ground.knock(validator, &Knock::webhook(ENDPOINT, &webhook)).await;
    twin(reply.status == 200, || format!("a genuine webhook was answered {}", reply.status))
}

/// Sends webhooks to invented names for `bound`; how many, and their statuses.
async fn invent(ground: &Ground, validator: &Function, mark: &str, bound: Duration) -> (usize, Vec<u64>) {
    let (_, webhook) = sender_and_webhook(ground, ENDPOINT, "lost").await;
    let (began, mut sent, mut statuses) = (Instant::now(), 0, Vec::new());
    while began.elapsed() < bound {
        let mut knock = Knock::webhook(&format!("{mark}{sent}"), &webhook);
        if sent % 3 == 2 {
            // The generic path takes the name from a header.
            "/webhook".clone_into(&mut knock.path);
            knock.headers.push("X-Provider-ID", format!("{mark}{sent}"));
        }
        let status = ground.knock(validator, &knock).await.status;
        if !statuses.contains(&status) {
            statuses.push(status);
        }
        sent += 1;
    }
    (sent, statuses)
}

async fn names(ground: Ground) -> Verdict {
    let validator = ground.validator("attack-names", &IMPATIENT).await;
    serves(&ground, &validator).await?;
    validator.calls();
    let mark = ground.unique("invented");
    let (sent, statuses) = invent(&ground, &validator, &mark, FLOOD).await;
    let calls = validator.calls();
    held(statuses == [404], || format!("answered {statuses:?}"))?;
    // Two calls, at once and after one, two, four and eight seconds.
    held(all(&calls) <= 10, || format!("{sent} requests made these calls: {calls:?}"))?;
    let log = ground.log(&validator);
    held(!log.contains(&mark), || {
        "invented names are in the log, and so are metrics' dimensions".to_owned()
    })?;
    serves(&ground, &validator).await?;
    twin(ground.log(&validator).contains(ENDPOINT), || "the log has no real name either".to_owned())?;
    Ok(format!("{sent} requests answered 404, {} AWS calls, no name in the log", all(&calls)))
}

async fn throttled(ground: Ground) -> Verdict {
    let validator = ground.throttled_validator("attack-throttled", "GetObject").await;
    let mark = ground.unique("made-up");
    let (sent, statuses) = invent(&ground, &validator, &mark, Duration::from_secs(5)).await;
    held(statuses.iter().all(|status| matches!(status, 404 | 503)), || format!("answered {statuses:?}"))?;
    let log = ground.log(&validator);
    held(!log.contains(&mark), || "made-up names are in the log, and so are metrics' dimensions".to_owned())?;
    let calls = validator.calls();
    // The SDK makes three attempts of a call.
    held(all(&calls) <= 12, || format!("{sent} requests made these calls: {calls:?}"))?;
    validator.stop_throttling();
    let served = ground.within(async || serves(&ground, &validator).await.ok()).await;
    twin(served.is_some(), || "no genuine webhook was accepted afterwards".to_owned())?;
    Ok(format!("{sent} requests, {} AWS calls, no name in the log", all(&calls)))
}

async fn signatures(ground: Ground) -> Verdict {
    let endpoints = ["stripe-eu", "stripe-us", "acme", "adyen", "square", "razorpay", "standard"];
    let validator = ground.validator("attack-signatures", &IMPATIENT).await;
    let mut forged = Vec::new();
    for endpoint in endpoints {
        let (sender, mut webhook) = sender_and_webhook(&ground, endpoint, "forged").await;
        let reply = ground.knock(&validator, &Knock::webhook(endpoint, &webhook)).await;
        twin(reply.status == 200, || format!("{endpoint}: a genuine webhook was answered {}", reply.status))?;
        // One digit of what every scheme signs.
        let id = ground.unique("forged");
        let other = sender.payment(&Payment::new(&id, &id, ground.now()).of("4242", "USD"), ground.now());
        webhook.body = String::from_utf8_lossy(&other.body).replace("4242", "4243").into_bytes();
        webhook.headers = other.headers;
        forged.push((endpoint, webhook));
    }
    validator.calls();
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < FLOOD {
        for (endpoint, webhook) in &forged {
            let reply = ground.knock(&validator, &Knock::webhook(endpoint, webhook)).await;
            held(reply.status == 401, || format!("{endpoint} answered {}", reply.status))?;
            sent += 1;
        }
    }
    let calls = validator.calls();
    let reads = calls.get("secretsmanager.GetSecretValue").copied().unwrap_or_default();
    // The current and the previous value, at once and at three later moments.
    held(reads <= 2 * 4 * endpoints.len(), || format!("{sent} forgeries made these calls: {calls:?}"))?;

    // A rotation elsewhere is followed for all that.
    let key = format!("whsec_{}", ground.unique("rotated"));
    let rotated = "attack-rotated";
    let (sender, webhook) = sender_and_webhook(&ground, rotated, "before").await;
    let reply = ground.knock(&validator, &Knock::webhook(rotated, &webhook)).await;
    twin(reply.status == 200, || format!("before a rotation it was answered {}", reply.status))?;
    ground.put_secret(rotated, &key).await;
    let new = Sender::new(sender.endpoint().config().clone(), &key);
    let followed = ground
        .within(async || {
            let id = ground.unique("after");
            let webhook = new.payment(&Payment::new(&id, &id, ground.now()), ground.now());
            let reply = ground.knock(&validator, &Knock::webhook(rotated, &webhook)).await;
            (reply.status == 200).then_some(())
        })
        .await;
    twin(followed.is_some(), || "a rotation was not followed".to_owned())?;
    Ok(format!("{sent} forgeries answered 401, {reads} readings of secrets; a rotation was followed"))
}

async fn rejected(ground: Ground) -> Verdict {
    const REQUESTS: usize = 300;
    let validator = ground.validator("attack-rejected", &STEADY).await;
    serves(&ground, &validator).await?;
    // What the first request leaves to be read beside it.
    let mut quiet = 0;
    let settled = ground
        .within(async || {
            quiet = if validator.calls().is_empty() { quiet + 1 } else { 0 };
            (quiet == 10).then_some(())
        })
        .await;
    twin(settled.is_some(), || "it never stops calling".to_owned())?;
    let (_, webhook) = sender_and_webhook(&ground, ENDPOINT, "rejected").await;
    // The first signature that fails may have the keys read: the endpoint's whole budget for the time of this attack.
    let forged = SignedWebhook { body: b"{}".to_vec(), ..webhook.clone() };
    ground.knock(&validator, &Knock::webhook(ENDPOINT, &forged)).await;
    let spent = validator.calls();
    held(all(&spent) <= A_READING, || format!("a forgery made these calls: {spent:?}"))?;
    let before = ground.log(&validator).len();
    let long = "n".repeat(4_000);
    for number in 0..REQUESTS {
        let mut webhook = webhook.clone();
        match number % 4 {
            0 => webhook.body = br#"{"id":"evt","type":"payment_intent.succeeded"}"#.to_vec(),
            1 => webhook.headers.remove("Stripe-Signature"),
            2 => {
                webhook.headers = Headers::new();
                webhook.headers.push("Stripe-Signature", long.as_str());
                webhook.headers.push("User-Agent", long.as_str());
            }
            _ => webhook.query = format!("q={long}"),
        }
        if number % 4 == 3 {
            webhook.body.push(b' ');
        }
        let reply = ground.knock(&validator, &Knock::webhook(ENDPOINT, &webhook)).await;
        held(reply.status == 401, || format!("answered {}", reply.status))?;
    }
    let calls = validator.calls();
    held(calls.is_empty(), || format!("{REQUESTS} rejected requests made these calls: {calls:?}"))?;
    let bytes = (ground.log(&validator).len() - before) / REQUESTS;
    held(bytes <= 1_200, || format!("each wrote {bytes} bytes of log"))?;
    serves(&ground, &validator).await?;
    let served = validator.calls().values().sum::<usize>();
    twin(served > 0, || "the proxy counts nothing".to_owned())?;
    Ok(format!(
        "one reading of keys by the first, no AWS call by the others, {bytes} bytes of log each; an accepted one makes {served} calls"
    ))
}

/// The validator fetches through a proxy of the attacker's, which counts the tunnels that it is asked for and opens none.
async fn certificates(ground: Ground) -> Verdict {
    const NAMES: usize = 200;
    let endpoint = "attack-paypal";
    ground.put_secret(endpoint, "1JE4291016473214C").await;
    let tunnels = Tunnels::start().await;
    let validator = ground.validator("attack-certificates", &[("HTTPS_PROXY", tunnels.url())]).await;
    let time = ground.now().to_string();
    let ask = async |url: String, source_ip: &str| {
        let mut headers = Headers::new();
        for (name, value) in [
            ("paypal-transmission-id", "b2384410-3be2-11f0-9d3e-9b5d5a5f3c1a"),
            ("paypal-transmission-time", time.as_str()),
            ("paypal-transmission-sig", "bm90IGEgc2lnbmF0dXJl"),
            ("paypal-cert-url", url.as_str()),
            ("paypal-auth-algo", "SHA256withRSA"),
        ] {
            headers.push(name, value);
        }
        let path = format!("/webhook/{endpoint}");
        let knock = Knock { method: "POST", path, headers, body: b"{}", source_ip, ..Knock::default() };
        ground.knock(&validator, &knock).await.status
    };
    for url in [
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.example.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@example.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../oauth2/token",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "file:///etc/passwd",
        "https://169.254.169.254/latest/meta-data/",
    ] {
        let status = ask(url.to_owned(), "203.0.113.66").await;
        held(status == 401, || format!("{url} was answered {status}"))?;
        held(tunnels.asked().is_empty(), || format!("{url} was fetched"))?;
    }
    for number in 0..NAMES {
        let url = format!("https://api.paypal.com/v1/notifications/certs/CERT-{number}");
        let status = ask(url, "203.0.113.66").await;
        held(matches!(status, 401 | 503), || format!("an invented certificate was answered {status}"))?;
    }
    let asked = tunnels.asked();
    twin(!asked.is_empty(), || "nothing was fetched at all".to_owned())?;
    held(asked.len() <= 6, || format!("{NAMES} invented names were {} fetches", asked.len()))?;
    let hosts = asked.iter().all(|host| host == "api.paypal.com:443");
    held(hosts, || format!("other hosts were asked: {asked:?}"))?;
    // The real provider comes from elsewhere, with a name that is new to this instance.
    ask("https://api.paypal.com/v1/notifications/certs/CERT-REAL".to_owned(), "198.51.100.7").await;
    held(!tunnels.asked().is_empty(), || "nobody else's certificate is fetched any more".to_owned())?;
    Ok(format!(
        "{} fetches for {NAMES} names, none elsewhere; another sender's name was fetched",
        asked.len()
    ))
}
