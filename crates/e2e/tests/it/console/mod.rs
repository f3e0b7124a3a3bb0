//! `tollgate console` in a real browser, against the real platform.

mod browser;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tollgate_core::{EndpointConfig, EndpointId, KeepRejected, LedgerKey, Timestamp, id::hex_sha256};
use tollgate_e2e::Platform;
use tollgate_providers::Headers;
use tollgate_testkit::{
    provider_api::{StandIn, State, Told},
    webhook::{KEY, OTHER_KEY, Payment, Sender, config},
};

use self::browser::Browser;
use crate::{
    conflicts::can_be_decided,
    inspect::send,
    reconcile,
    refusals::{refused_and_kept, says},
    tool::tollgate,
};

/// A test number of a card.
const CARD: &str = "4111111111111111";
/// What a page that took it for markup would run, and what turns the direction of text.
const HOSTILE: &str =
    "<img src=x onerror=\"wrongs.push('owned')\"><script>wrongs.push('owned')</script>\u{202e}";
const CONTROL: u32 = 2;

/// The tool's console, until it is dropped.
struct Console {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    folder: tempfile::TempDir,
}

impl Console {
    fn start(options: &[&str]) -> Self {
        let searches = tempfile::tempdir().unwrap();
        let mut process = tollgate(&["console", "--port", "0"])
            .args(options)
            .env("TOLLGATE_SEARCHES", searches.path().join("searches.toml"))
            .current_dir(searches.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, folder: searches }
    }

    /// The address that it printed next.
    fn address(&mut self) -> String {
        let line = self.lines.next().expect("it prints its address").unwrap();
        line.strip_prefix("open ").unwrap_or_else(|| panic!("{line}")).to_owned()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn event(kind: &str, id: &str, payment: &str, amount: &str, at: Timestamp) -> Value {
    json!({
        "event_id": id, "transaction_type": kind, "transaction_id": payment, "amount": amount, "currency": "USD",
        "movement_id": if kind == "payment" { payment.to_owned() } else { format!("{id}-moved") },
        "timestamp": at.to_string(), "metadata": { "note": format!("card {CARD} {HOSTILE}") },
    })
}

#[tokio::test]
async fn only_the_browser_that_was_let_in_sees_anything() {
    let platform = Platform::open().await;
    let mut console = Console::start(&[]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    let asks = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        platform.http(method, &format!("{base}{path}"), &headers.iter().copied().collect(), Vec::new()).await
    };
    let screens =
        ["/", "/webhooks", "/webhook/wh_01M8F76DPXW5E2EJGS5YY0C9DM", "/audit", "/find?id=x", "/none"];
    for path in screens {
        assert_eq!(asks("GET", path, &[]).await.status, 401, "{path}");
    }
    assert_eq!(asks("GET", "/open?ticket=", &[]).await.status, 401);
    let opened = asks("GET", address.strip_prefix(base.as_str()).unwrap(), &[]).await;
    assert_eq!(opened.status, 303);
    let cookie = opened.headers["set-cookie"].clone();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    // The address is used up; another one was printed.
    assert_eq!(asks("GET", address.strip_prefix(base.as_str()).unwrap(), &[]).await.status, 401);
    assert_ne!(console.address(), address);
    let page = asks("GET", "/audit", &[("cookie", cookie)]).await;
    assert_eq!(page.status, 200);
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers["cache-control"], "no-store");
    for foreign in [
        ("host", "evil.test"),
        ("origin", "http://evil.test"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(asks("GET", "/audit", &[("cookie", cookie), foreign]).await.status, 403, "{foreign:?}");
    }
    // What does something says where it comes from.
    let answer = asks("POST", "/searches", &[("cookie", cookie)]).await;
    assert!(answer.status == 403 && answer.text.contains("comes from another site"), "{answer:?}");
}

/// What may be done without --write, and what takes it.
const ASKS: [&str; 3] = ["/searches", "/tail", "/reconciliation"];
const WRITES: [&str; 6] = [
    "/replay",
    "/dead-letters/redrive",
    "/refusals/ingest",
    "/conflicts/keep",
    "/conflicts/take",
    "/reconciliation/ingest",
];

#[tokio::test]
async fn nothing_is_done_without_a_forms_token_and_nothing_changed_without_write() {
    let platform = Platform::open().await;
    let (too_old, only_reads) = ("The page is too old, or was sent before", "This console only reads");
    for (options, of_writing) in [(&[][..], only_reads), (&["--write"], too_old)] {
        let mut console = Console::start(options);
        let address = console.address();
        let base = address.split_once("/open").unwrap().0.to_owned();
        let opened = platform.http("GET", &address, &Headers::new(), Vec::new()).await;
        let cookie = opened.headers["set-cookie"].split(';').next().unwrap().to_owned();
        let headers = [("cookie", cookie.as_str()), ("origin", base.as_str())];
        let acts = ASKS.map(|act| (act, too_old)).into_iter().chain(WRITES.map(|act| (act, of_writing)));
        for (act, why) in acts {
            // None, and one that nobody gave out.
            for form in ["", "token=0123456789abcdef0123456789abcdef0123456789abcdef"] {
                let form = form.as_bytes().to_vec();
                let headers = headers.into_iter().collect();
                let answer = platform.http("POST", &format!("{base}{act}"), &headers, form).await;
                assert!(answer.status == 403 && answer.text.contains(why), "{options:?} {act}: {answer:?}");
            }
        }
    }
}

/// What goes on, or went on, is ended by its own page alone.
fn only_its_own_form_ends(browser: &mut Browser, run: &str) {
    for token in ["", "0123456789abcdef0123456789abcdef0123456789abcdef"] {
        let answer = browser.value(&format!(
            "fetch('{run}/cancel', {{ method: 'POST', body: new URLSearchParams({{ token: '{token}' }}) }})\
             .then(async (answer) => answer.status + (await answer.text()))"
        ));
        let answer = answer.as_str().unwrap();
        assert!(answer.starts_with("403") && answer.contains("none of what is to end"), "{run}: {answer}");
    }
}

/// From a list to a webhook, to its payment, by the keyboard alone where it can be; each screen for everybody.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_look_for_is_shown() {
    let platform = Platform::open().await;
    let sender = platform.sender("acme").await;
    let endpoint = EndpointId::new("acme").unwrap();
    let (payment, paid, refunded) =
        (platform.unique("pay"), platform.unique("paid"), platform.unique("refund"));
    let now = platform.now();
    let earlier = Timestamp::from_second(now.as_second() - 60).unwrap();
    // The refund arrives first.
    let refund_webhook =
        send(&platform, &sender, &event("refund", &refunded, &payment, "5.00", now), 200).await;
    platform.until_processed(&[LedgerKey::new(&endpoint, &refunded)]).await;
    let paid_webhook =
        send(&platform, &sender, &event("payment", &paid, &payment, "49.90", earlier), 200).await;
    platform.until_processed(&[LedgerKey::new(&endpoint, &paid)]).await;
    let conflicting =
        send(&platform, &sender, &event("payment", &paid, &payment, "1.00", earlier), 409).await;
    platform.archived(&[refund_webhook.clone(), paid_webhook.clone()]).await;
    let forged = {
        let mut webhook =
            sender.sign("", event("payment", "x", "x", "1.00", now).to_string().as_bytes(), platform.now());
        webhook.body.push(b' ');
        let answer = platform.send(None, &webhook).await;
        answer.body["webhook_id"].as_str().unwrap().to_owned()
    };

    let mut console = Console::start(&["--write"]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    let mut browser = Browser::start();
    browser.open(&address);

    // What goes on now, which is asked for again by itself.
    assert_eq!(browser.text("h1"), "Now");
    let shown = browser.text("main");
    for part in ["received", "How long an answer takes", "half within", "acme"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    browser.judge("now");
    browser.value("window.before = document.querySelector('#now')");
    browser.until("document.querySelector('#now') !== window.before");
    browser.press(&[("g", 0)]);
    browser.leads(|browser| browser.press(&[("e", 0)]));
    let shown = browser.text("#acme");
    assert!(shown.contains("served") && shown.contains("secretsmanager:"), "{shown}");
    browser.judge("endpoints");

    // What it cost.
    browser.leads(|browser| browser.press(&[("g", 0), ("o", 0)]));
    let shown = browser.text("main");
    for part in ["rest_request", "requests in the validator's log", "the design, with all its lines"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    browser.judge("cost");

    // By an id that is typed.
    browser.press(&[("/", 0)]);
    browser.write(&payment);
    browser.leads(|browser| browser.press(&[("Enter", 0)]));
    assert!(browser.text("h1").contains(&payment));
    // A dead letter is hidden while another test looks through its queue.
    let page = browser.value("location.href").as_str().unwrap().to_owned();
    platform
        .until("the conflict is shown", async || {
            browser.open(&page);
            browser.text("main").contains("A conflict").then_some(())
        })
        .await;
    let shown = browser.text("main");
    for part in ["49.90 USD", "5.00 USD", "2 of 2 crossed", "Refund succeeded"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    browser.judge("payment");

    // One webhook's way.
    browser.open(&format!("{base}/webhook/{paid_webhook}"));
    let parts = browser.value("[...document.querySelectorAll('.way .part')].map((part) => part.textContent)");
    for part in ["arrival", "signature", "claim", "queue", "transaction", "bus", "target", "archive"] {
        assert!(parts.as_array().unwrap().iter().any(|shown| shown == part), "{part} is not in {parts}");
    }
    assert_eq!(browser.text(".verdict"), "went all the way");
    // What was sent is text and nothing else, wherever it is shown, and without what is sensitive.
    let markup = "document.querySelectorAll('main img, main script, main iframe').length";
    assert_eq!(browser.value(markup), 0);
    browser.value("document.querySelector('#tab-body').click()");
    let body = browser.text("#body");
    assert!(
        body.contains("<img src=x") && body.contains("\\u202e") && body.contains("411111******1111"),
        "{body}"
    );
    assert!(!browser.value("document.documentElement.outerHTML").as_str().unwrap().contains(CARD));
    assert!(browser.value("document.querySelector('#events').hidden").as_bool().unwrap());
    for (tab, part) in [
        ("headers", "x-webhook-signature"),
        ("receipt", "verified"),
        ("ledger", "processed; claimed"),
        ("payment", "this one"),
        ("events", "transaction_id"),
    ] {
        browser.value(&format!("document.querySelector('#tab-{tab}').click()"));
        let shown = browser.text(&format!("#{tab}")).to_lowercase();
        assert!(shown.contains(part), "{tab}: {shown}");
    }
    browser.judge("way");

    // Where it stopped, and why.
    browser.open(&format!("{base}/webhook/{conflicting}"));
    assert_eq!(browser.text(".verdict"), "it stopped");
    assert!(browser.text(".note.bad").contains("conflict"));
    browser.judge("way-stopped");
    browser.open(&format!("{base}/webhook/{forged}"));
    let why = browser.text(".note.bad");
    assert!(why.contains("401") && why.contains("Likely"), "{why}");

    // The palette, and keys.
    browser.press(&[("k", CONTROL)]);
    browser.until("document.querySelector('#palette').open");
    browser.judge("palette");
    browser.write("audit");
    browser.leads(|browser| browser.press(&[("Enter", 0)]));
    assert_eq!(browser.text("h1"), "Audit");
    browser.judge("audit");
    // In the list of keys nothing is chosen, and nothing where no command has the text.
    let chosen = "document.querySelector('#palette-input').getAttribute('aria-activedescendant')";
    browser.press(&[("?", 0)]);
    browser
        .until("document.querySelector('#palette').open && !document.querySelector('#palette-keys').hidden");
    browser.judge("keys");
    assert_eq!(browser.value(chosen), Value::Null);
    browser.press(&[("Enter", 0)]);
    browser.value("document.querySelector('#palette').close()");
    // Whoever dictates turns keys of one letter off.
    let letters = |browser: &mut Browser| {
        browser.press(&[("k", CONTROL)]);
        browser.write("keys of one letter");
        assert!(browser.value(chosen).is_string());
        browser.press(&[("Enter", 0)]);
        // A closed field has the focus until the next frame, and keys with it.
        browser.until("!document.querySelector('#palette').open && document.activeElement === document.body");
    };
    letters(&mut browser);
    assert_eq!(browser.text("#said"), "Keys of one letter are off.");
    browser.press(&[("g", 0), ("e", 0), ("?", 0)]);
    assert_eq!(browser.value("document.querySelector('#palette').open"), false);
    letters(&mut browser);
    assert_eq!(browser.text("h1"), "Audit");
    browser.leads(|browser| browser.press(&[("g", 0), ("w", 0)]));
    assert_eq!(browser.text("h1"), "Webhooks");

    // A search: its rows, its plot, its files, and its name.
    browser.open(&format!("{base}/webhooks?endpoint=acme&from=1h&text={payment}"));
    let rows = "[...document.querySelectorAll('tbody tr')].map((row) => row.dataset.href)";
    let expected = json!([format!("/webhook/{paid_webhook}"), format!("/webhook/{refund_webhook}")]);
    assert_eq!(browser.value(rows), expected);
    assert_eq!(browser.value("document.querySelectorAll('.bars a').length > 0"), true);
    let file =
        "fetch(document.querySelector('a[href^=\"/webhooks.csv\"]').href).then((answer) => answer.text())";
    let csv = browser.value(file);
    let csv: Vec<&str> = csv.as_str().unwrap().lines().collect();
    assert_eq!(csv.len(), 3, "{csv:?}");
    assert!(csv[0].starts_with("received_at,") && csv[1].contains(&paid_webhook), "{csv:?}");
    let file =
        "fetch(document.querySelector('a[href^=\"/webhooks.json\"]').href).then((answer) => answer.text())";
    let lines = browser.value(file);
    let lines: Vec<Value> =
        lines.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["transaction_id"]), (2, &json!(payment)));
    browser.judge("webhooks");
    browser.leads(|browser| {
        browser.value("document.querySelector('#name').value = 'my-payment'; document.querySelector('form[action=\"/searches\"]').requestSubmit()");
    });
    assert_eq!(browser.text(".views [aria-current]"), "my-payment");
    // A key leads to the row's own link, and what has the focus does what it always does.
    browser.press(&[("j", 0)]);
    let focused = browser.value("document.activeElement.getAttribute('href')");
    assert_eq!(focused, format!("/webhook/{paid_webhook}"));
    browser.value("document.querySelector('details.card summary').focus()");
    browser.press(&[("Enter", 0)]);
    browser.until("document.querySelector('details.card').open");
    assert_eq!(browser.value("document.activeElement.blur(); location.pathname"), "/webhooks");
    browser.leads(|browser| browser.press(&[("j", 0), ("j", 0), ("Enter", 0)]));
    assert!(browser.value("location.pathname").as_str().unwrap().ends_with(&refund_webhook));
    // What cannot be asked is said, and stays text.
    browser.open(&format!("{base}/webhooks?amount=%3Cimg%20src%3Dx%3E"));
    assert_eq!(browser.text("h1"), "That cannot be asked");
    assert_eq!(browser.value(markup), 0);
}

/// A wrong key: what was refused is seen, and taken in once the key is mended.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_taken_in() {
    let platform = Platform::open().await;
    let name = platform.unique("shown");
    let secret = format!("tollgate/{}/{name}", platform.suffix());
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    manager.create_secret().name(&secret).secret_string(KEY).send().await.unwrap();
    let endpoint = EndpointConfig {
        secret: format!("secretsmanager:{secret}"),
        keep_rejected: Some(KeepRejected { count: 100, bytes: 1_000_000 }),
        ..config(&name, "stripe")
    };
    platform.put_endpoint(&endpoint).await;
    let payment = Payment::new(format!("evt_{name}"), format!("pi_{name}"), platform.now());
    let body = payment.body("stripe").unwrap().replacen('{', &format!("{{\"note\":{},", json!(HOSTILE)), 1);
    let webhook = Sender::new(endpoint, OTHER_KEY).sign(&payment.event_id, body.as_bytes(), platform.now());
    let kept = refused_and_kept(&platform, &name, &webhook).await;

    let mut console = Console::start(&["--write"]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    let mut browser = Browser::start();
    browser.open(&address);
    browser.open(&format!("{base}/refusals?endpoint={name}"));
    assert!(browser.text(".group").contains("signature_mismatch"));
    browser.judge("refusals");
    browser.leads(|browser| {
        browser.value("document.querySelector('.group a').click()");
    });
    assert!(browser.text("tbody").contains("refused: signature_mismatch"));
    browser.judge("refusals-judged");
    assert_eq!(browser.value("document.querySelector('form.act')"), Value::Null, "nothing can be taken in");
    let one = format!("{base}/refusals/one?id={kept}");
    browser.open(&one);
    assert!(browser.text("pre").contains("<img src=x"), "its body is text");
    browser.judge("refusal");

    says(0, &["endpoints", "rotate", &name, "--secret-file", "-"], OTHER_KEY);
    browser.open(&one);
    assert!(browser.text(".title").contains("genuine: would be taken in"));
    browser.judge("refusal-mended");
    browser.leads(|browser| {
        browser.value(
            "const form = document.querySelector('form.act'); form.reason.value = 'the key is mended'; form.requestSubmit()",
        );
    });
    assert!(browser.text(".figures").contains("taken in"));
    let key = LedgerKey::new(&EndpointId::new(name.as_str()).unwrap(), &payment.event_id);
    platform.until_processed(&[key]).await;
    browser.open(&format!("{base}/audit?action=rejected&id={kept}"));
    assert!(browser.text(".act").contains("the key is mended"));
    browser.is_well("refusals");
}

/// Two sets of facts, side by side, and a decision.
#[tokio::test(flavor = "multi_thread")]
async fn which_facts_are_true_is_decided() {
    let platform = Platform::alone().await;
    platform.sqs().purge_queue().queue_url(platform.output("IntakeDlqUrl")).send().await.unwrap();
    let sender = platform.sender("acme").await;
    let endpoint = EndpointId::new("acme").unwrap();
    let (first, corrected) = (platform.unique("stands"), platform.unique("corrected"));
    let (payment, moved) = (platform.unique("paid"), format!("{}<b>", platform.unique("moved")));
    let told = |id: &str, amount: &str| {
        let mut told = event("payment", id, &payment, amount, platform.now());
        told["movement_id"] = json!(moved);
        told
    };
    send(&platform, &sender, &told(&first, "49.90"), 200).await;
    platform.until_processed(&[LedgerKey::new(&endpoint, &first)]).await;
    let wrong = send(&platform, &sender, &told(&first, "2.00"), 409).await;
    let right = send(&platform, &sender, &told(&first, "1.00"), 409).await;
    send(&platform, &sender, &told(&corrected, "1.00"), 200).await;
    platform.until_processed(&[LedgerKey::new(&endpoint, &corrected)]).await;
    can_be_decided(&platform, &[&wrong, &right]).await;

    let mut console = Console::start(&["--write"]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    let mut browser = Browser::start();
    browser.open(&address);
    platform
        .until("both are listed", async || {
            browser.open(&format!("{base}/conflicts?endpoint=acme"));
            (browser.text(".verdict") == "2 to decide").then_some(())
        })
        .await;
    let listed = browser.text("tbody");
    assert!(listed.contains("49.90 USD") && listed.contains("2.00 USD"), "{listed}");
    browser.judge("conflicts");
    browser.open(&format!("{base}/conflicts/one?id={right}"));
    let differing = "[...document.querySelectorAll('tr.differs')].map((row) => row.innerText)";
    let differing = browser.value(differing);
    assert!(differing[0].as_str().unwrap().contains("49.90 USD"), "{differing}");
    assert_eq!(differing.as_array().unwrap().len(), 1, "the amount alone: {differing}");
    assert!(browser.text(".sides").contains("<b>"), "it is text");
    browser.judge("conflict");

    let take = |by: &str| {
        format!(
            "const form = document.querySelector('form[action$=\"take\"]'); form.by.value = '{by}'; \
             form.reason.value = 'the provider says so'; form.requestSubmit()"
        )
    };
    browser.open(&format!("{base}/conflicts/one?id={right}"));
    browser.leads(|browser| {
        browser.value(&take(&corrected));
    });
    assert_eq!(browser.text(".verdict"), "done");
    browser.judge("conflict-decided");
    // What no event of its own tells is not taken.
    browser.open(&format!("{base}/conflicts/one?id={wrong}"));
    browser.leads(|browser| {
        browser.value(&take(&corrected));
    });
    assert_eq!(browser.text("h1"), "That is not done");
    assert!(browser.text(".note.bad").contains("under another event id"));
    browser.open(&format!("{base}/conflicts/one?id={wrong}"));
    browser.leads(|browser| {
        browser.value(&format!(
            "const form = document.querySelector('form[action$=\"keep\"]'); form.reason.value = {}; form.requestSubmit()",
            json!(format!("a test of theirs {HOSTILE}"))
        ));
    });
    assert_eq!(browser.text(".verdict"), "done");
    browser.open(&format!("{base}/conflicts"));
    assert_eq!(browser.text(".verdict"), "none");
    browser.open(&format!("{base}/audit?action=conflicts&id={wrong}"));
    let recorded = browser.text(".act");
    assert!(recorded.contains("conflicts keep") && recorded.contains("a test of theirs <img"), "{recorded}");
}

/// Names of rules and queues that listen.
async fn listening(platform: &Platform) -> Vec<String> {
    let urls = platform.sqs().list_queues().queue_name_prefix("tollgate-listen-").send().await.unwrap();
    urls.queue_urls.unwrap_or_default()
}

/// Events as they are published, while somebody looks; and nothing is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_seen_as_they_are_published() {
    let platform = Platform::alone().await;
    let sender = platform.sender("acme").await;
    let before = listening(&platform).await;
    let mut console = Console::start(&[]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    let mut browser = Browser::start();
    browser.open(&address);
    browser.open(&format!("{base}/webhooks?endpoint=acme&from=1h"));
    browser.leads(|browser| {
        browser.value("document.querySelector('a[href^=\"/tail\"]').click()");
    });
    assert_eq!(browser.value("document.querySelector('input[name=endpoint]').value"), "acme");
    browser.judge("live-form");
    browser.leads(|browser| {
        browser.value("document.querySelector('form[action=\"/tail\"]').requestSubmit()");
    });
    browser.until("document.querySelector('.verdict').innerText === 'listening'");
    let payment = format!("{}<b>", platform.unique("live"));
    send(
        &platform,
        &sender,
        &event("payment", &platform.unique("seen"), &payment, "49.90", platform.now()),
        200,
    )
    .await;
    browser.until("document.querySelector('tbody tr')");
    let row = browser.text("tbody");
    for part in [payment.as_str(), "Payment succeeded", "49.90 USD"] {
        assert!(row.contains(part), "{part} is not in {row}");
    }
    assert_eq!(browser.value("document.querySelectorAll('main td b').length"), 0, "it is text");
    assert_eq!(listening(&platform).await.len(), before.len() + 1);
    browser.judge("live");
    // Whoever is in it by the keyboard stays where they are, and sees what comes meanwhile.
    browser.value("document.querySelector('tbody a.id').focus()");
    let other =
        event("payment", &platform.unique("meanwhile"), &platform.unique("other"), "1.00", platform.now());
    send(&platform, &sender, &other, 200).await;
    browser.until("document.querySelectorAll('tbody tr').length === 2");
    assert_eq!(browser.value("document.activeElement.textContent"), payment);
    browser.leads(|browser| {
        browser.value("document.querySelector('button.danger').click()");
    });
    browser.until("!document.querySelector('#live').dataset.follow");
    assert!(browser.text(".note").contains("It was stopped"));
    assert_eq!(listening(&platform).await, before, "what was made is removed");
    browser.is_well("live");
    only_its_own_form_ends(&mut browser, "/tail");
    // The page is asked for each second, and uses up no form of another window.
    let form = browser.value(
        "(async () => {
            const text = async (path) => (await fetch(path)).text();
            const [, token] = (await text('/reconciliation')).match(/name=\"token\" value=\"([0-9a-f]+)\"/);
            for (let times = 0; times < 300; times++) await text('/tail');
            return token;
        })()",
    );
    let asked = browser.value(&format!(
        "fetch('/reconciliation', {{ method: 'POST', body: new URLSearchParams({{ token: {form}, endpoint: 'none', from: '1h' }}) }})\
         .then((answer) => answer.text())"
    ));
    assert!(asked.as_str().unwrap().contains("no endpoint is called none"), "{asked}");

    // What is asked for again and has no answer is not shown as if it were of now.
    browser.open(&base);
    assert_eq!(browser.text("#no-answer"), "");
    drop(console);
    browser.until("document.querySelector('#no-answer').textContent.startsWith('No answer')");
}

/// Webhooks that are chosen of a list: what would happen is said first, and what has taken effect has none again.
#[tokio::test(flavor = "multi_thread")]
async fn chosen_webhooks_are_sent_again() {
    let platform = Platform::open().await;
    let sender = platform.sender("acme").await;
    let endpoint = EndpointId::new("acme").unwrap();
    let payment = platform.unique("again");
    let (paid, refunded) = (platform.unique("apaid"), platform.unique("arefund"));
    let now = platform.now();
    let first = send(&platform, &sender, &event("payment", &paid, &payment, "49.90", now), 200).await;
    let second = send(&platform, &sender, &event("refund", &refunded, &payment, "5.00", now), 200).await;
    platform.archived(&[first.clone(), second.clone()]).await;
    let told = platform.history("acme", &payment).await.len();

    let mut console = Console::start(&["--write"]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    let mut browser = Browser::start();
    browser.open(&address);
    let list = format!("{base}/webhooks?endpoint=acme&from=1h&text={payment}");
    browser.open(&list);
    browser.value("document.querySelector('[data-choose]').click()");
    assert_eq!(browser.value("document.querySelectorAll('input[name=id][type=checkbox]:checked').length"), 2);
    browser.judge("webhooks-chosen");
    browser.leads(|browser| {
        browser.value("document.querySelector('#chosen').requestSubmit()");
    });
    let foreseen = browser.text("tbody");
    assert_eq!(foreseen.matches("genuine").count(), 2, "{foreseen}");
    browser.judge("replay");
    browser.leads(|browser| {
        browser.value(&format!(
            "const form = document.querySelector('form.act'); form.rate.value = 50; form.reason.value = {}; form.requestSubmit()",
            json!(format!("lost by a consumer {HOSTILE}"))
        ));
    });
    browser.until("!document.querySelector('#run').dataset.follow");
    assert_eq!(browser.text(".verdict"), "done");
    let report = browser.text("#run");
    assert_eq!(report.matches("known before").count(), 2, "{report}");
    assert!(report.contains("2 of 2 webhooks sent") && report.contains("consumer <img"), "{report}");
    browser.judge("replay-report");
    platform.until_processed(&[paid, refunded].map(|id| LedgerKey::new(&endpoint, &id))).await;
    assert_eq!(platform.history("acme", &payment).await.len(), told, "nothing has an effect again");
    browser.open(&format!("{base}/runs"));
    assert!(browser.text("tbody").contains("2 known before"));
    browser.open(&format!("{base}/audit?action=replay&id={first}"));
    assert!(browser.text(".act").contains("lost by a consumer <img"));

    // The same ids lead to a redrive of their dead letters; none chosen is never all.
    browser.open(&list);
    browser.value("document.querySelector('[data-choose]').click()");
    browser.leads(|browser| {
        browser.value("document.querySelector('button[formaction]').click()");
    });
    assert!(browser.text("main").contains("None is there."));
    browser.is_well("chosen");
    browser.open(&list);
    browser.leads(|browser| {
        browser.value("document.querySelector('button[formaction]').click()");
    });
    assert_eq!(browser.text("h1"), "That cannot be asked");
    only_its_own_form_ends(&mut browser, "/replay/1");
}

/// What a provider sent, day by day, beside what took effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_asked() {
    let platform = Platform::open().await;
    let (config, sender) = reconcile::endpoint(&platform, "stripe").await;
    let [one, two, lost] = ["seen", "changed", "never"].map(|name| reconcile::payment(&platform, name));
    reconcile::deliver(&platform, &config, &sender, &[&one, &two]).await;
    let named = Payment { transaction_id: format!("{}<b>", lost.transaction_id), ..lost.clone() };
    let events = [&one, &two.clone().of("1100", "USD"), &named].map(|one| Told::of("stripe", one));
    let state = State { events: events.into(), ..State::default() };
    let stand_in = StandIn::start("stripe", reconcile::API_KEY, state);
    says(0, &["endpoints", "api-key", config.id.as_str(), "--secret-file", "-"], reconcile::API_KEY);

    // It changes nothing, so it needs no --write; taking in does.
    let mut console = Console::start(&["--api-url", &stand_in.url()]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    let mut browser = Browser::start();
    browser.open(&address);
    platform
        .until("the endpoint is listed", async || {
            browser.open(&format!("{base}/reconciliation"));
            browser.text("select[name=endpoint]").contains(config.id.as_str()).then_some(())
        })
        .await;
    browser.judge("reconciliation");
    let ask = format!(
        "const form = document.querySelector('form.card'); form.endpoint.value = '{}'; form.from.value = '1h'; form.requestSubmit()",
        config.id
    );
    browser.leads(|browser| {
        browser.value(&ask);
    });
    browser.until("!document.querySelector('#run').dataset.follow");
    assert_eq!(browser.text(".verdict"), "not all took effect");
    let shown = browser.text("main");
    for part in ["3 events compared", "missing", "amount differs", "11.00 USD", "10.99", "<b>"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(browser.value("document.querySelectorAll('main td b').length"), 0, "it is text");
    browser.judge("reconciled");
    // The payment of an event that never came is told to be unknown.
    let payment = "[...document.querySelectorAll('main td a')].find((link) => link.getAttribute('href').startsWith('/payment/') && link.textContent.includes('<b>'))";
    let run = browser.value("location.href").as_str().unwrap().to_owned();
    browser.leads(|browser| {
        browser.value(&format!("{payment}.click()"));
    });
    assert!(browser.text("main").contains("No event of it has taken effect here."));
    browser.judge("payment-unknown");
    browser.open(&run);
    let file = |kind: &str| {
        format!("fetch(document.querySelector('a[href$=\"/{kind}\"]').href).then((answer) => answer.text())")
    };
    let csv = browser.value(&file("csv"));
    let csv: Vec<&str> = csv.as_str().unwrap().lines().collect();
    assert_eq!(csv.len(), 3, "those that did not take effect as told: {csv:?}");
    assert!(csv.iter().any(|line| line.starts_with("missing,") && line.contains(&lost.event_id)), "{csv:?}");
    let lines = browser.value(&file("json"));
    assert_eq!(lines.as_str().unwrap().lines().count(), 2, "{lines}");
    browser.open(&format!("{base}/reconciliation"));
    assert!(browser.text("tbody").contains("not all took effect"));
    assert_eq!(browser.value("document.querySelector('form[action$=\"ingest\"]')"), Value::Null);
    browser.is_well("reconciliation");

    // What never came is taken in.
    drop(console);
    let webhook = json!({ "url": format!("https://x/webhook/{}", config.id), "enabled_events": ["*"] });
    stand_in.with(|state| {
        state.webhooks = vec![webhook];
        state.events = [&one, &lost].map(|one| Told::of("stripe", one)).into();
    });
    // What the schedule found stands there, too.
    platform.invoke("reconciler", &json!({ "task": "reconcile", "api_url": stand_in.url() })).await;
    let mut console = Console::start(&["--write", "--api-url", &stand_in.url()]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    browser.open(&address);
    browser.open(&format!("{base}/reconciliation"));
    let scheduled = browser.text("section[aria-labelledby=scheduled]");
    assert!(scheduled.contains(config.id.as_str()) && scheduled.contains("compared"), "{scheduled}");
    let named = "[...document.querySelectorAll('section[aria-labelledby=scheduled] details a')].map((one) => one.textContent).join()";
    assert!(browser.value(named).as_str().unwrap().contains(&lost.event_id), "what is missing is named");
    browser.judge("reconciliation-daily");
    browser.leads(|browser| {
        browser.value(&ask);
    });
    browser.until("!document.querySelector('#run').dataset.follow");
    browser.judge("reconciled-writing");
    browser.leads(|browser| {
        browser.value(&format!(
            "const form = document.querySelector('form[action$=\"ingest\"]'); form.reason.value = {}; form.requestSubmit()",
            json!(format!("their outage {HOSTILE}"))
        ));
    });
    browser.until("!document.querySelector('#run').dataset.follow");
    assert_eq!(browser.text(".verdict"), "taken in");
    let report = browser.text("#run");
    assert!(report.contains("taken in") && report.contains("their outage <img"), "{report}");
    browser.judge("reconciled-ingested");
    platform.until_processed(&[LedgerKey::new(&config.id, &lost.event_id)]).await;
    browser.open(&format!("{base}/audit?action=reconcile&id={}", lost.event_id));
    assert!(browser.text(".act").contains("their outage <img"));
    browser.is_well("taking in");
    only_its_own_form_ends(&mut browser, "/reconciliation/runs/2");
}

/// The picture that README shows: `cp target/console/readme.png docs/console.png`.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_high_value_is_shown_as_readme_has_it() {
    let platform = Platform::open().await;
    let sender = platform.sender("acme").await;
    let mark = hex_sha256(platform.unique("order").as_bytes())[..8].to_owned();
    let order = format!("order-{mark}");
    let told = json!({
        "event_id": format!("ev-{mark}"), "transaction_type": "payment", "transaction_id": order, "amount": "25000.00",
        "currency": "USD", "timestamp": platform.now().to_string(), "customer_id": "customer-17", "card_country": "DE",
        "metadata": { "cart": "c-17" },
    });
    let webhook = send(&platform, &sender, &told, 200).await;
    platform.archived(std::slice::from_ref(&webhook)).await;
    platform
        .until("the fraud detector has decided", async || {
            let history = platform.history("acme", &order).await;
            history.iter().any(|item| item.contains_key("fraud_decision")).then_some(())
        })
        .await;
    let mut console = Console::start(&[]);
    let address = console.address();
    let mut browser = Browser::start();
    browser.open(&address);
    browser.open(&format!("{}/webhook/{webhook}", address.split_once("/open").unwrap().0));
    assert_eq!(browser.text("h1"), "Payment succeeded, 25000.00 USD");
    let parts =
        browser.value("[...document.querySelectorAll('.way .done .part')].map((part) => part.textContent)");
    assert!(parts.as_array().unwrap().iter().any(|part| part == "fraud"), "{parts}");
    browser.picture_of("readme", 1_020);
    browser.is_well("the way");
}

/// Puts dead letters that name an id into a consumer's dead-letter queue, and says what their bodies hold.
async fn dead_letters(platform: &Platform, id: &str, count: usize) -> Vec<String> {
    let url = platform.output("PaymentsDlqUrl");
    let bodies: Vec<String> = (0..count)
        .map(|number| {
            json!({ "transaction_id": id, "endpoint": "acme", "number": number, "note": HOSTILE }).to_string()
        })
        .collect();
    for body in &bodies {
        platform.sqs().send_message().queue_url(url).message_body(body).send().await.unwrap();
    }
    bodies
}

/// From the group to the report: nothing is sent before it is said, what is sent arrives, and who stops it loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_sent_back() {
    let platform = Platform::alone().await;
    // Not this test's mark as it is: these are no events, whose form would be looked at.
    let mark = |name: &str| platform.unique(name).chars().rev().collect::<String>();
    let id = mark("dead");
    let bodies = dead_letters(&platform, &id, 3).await;
    let mut console = Console::start(&["--write"]);
    let address = console.address();
    let base = address.split_once("/open").unwrap().0.to_owned();
    let mut browser = Browser::start();
    browser.open(&address);
    browser.open(&format!("{base}/dead-letters?queue=payments-queue-dlq&id={id}"));
    assert_eq!(browser.text(".verdict"), "3 wait");
    assert!(browser.text(".group").contains("What to do: its consumer"));
    browser.judge("dead-letters");
    browser.open(&format!("{base}/dead-letters/letter?id={id}"));
    assert!(browser.text("pre").contains("<img src=x"), "its body is text");
    browser.judge("dead-letter");

    browser.open(&format!("{base}/dead-letters?queue=payments-queue-dlq&id={id}"));
    browser.leads(|browser| {
        browser.value("document.querySelector('nav.pages a.main').click()");
    });
    assert!(browser.text("main").contains("its reader gets it again"));
    browser.judge("redrive");
    let there = async |bodies: &[String]| {
        let found = platform.peek("PaymentsDlqUrl").await;
        bodies.iter().filter(|body| found.iter().any(|message| message.body == **body)).count()
    };
    assert_eq!(there(&bodies).await, 3, "nothing is sent before it is said");
    let send = |rate: u32| {
        format!(
            "const form = document.querySelector('form.act'); form.rate.value = {rate}; form.watch.value = 0; \
             form.reason.value = {}; form.requestSubmit()",
            json!(format!("mended {HOSTILE}"))
        )
    };
    browser.leads(|browser| {
        browser.value(&send(50));
    });
    browser.until("!document.querySelector('#run').dataset.follow");
    assert_eq!(browser.text(".verdict"), "done");
    let report = browser.text("#run");
    assert!(report.contains("payments-queue") && report.contains("mended <img"), "{report}");
    browser.judge("redrive-report");
    assert_eq!(there(&bodies).await, 0);
    let arrived = platform.peek("PaymentsQueueUrl").await;
    assert!(bodies.iter().all(|body| arrived.iter().any(|message| message.body == *body)));
    // It is recorded, and its reason is text.
    browser.leads(|browser| {
        browser.value("document.querySelector('a[href^=\"/audit\"]:not(nav a)').click()");
    });
    let recorded = browser.text(".act");
    assert!(recorded.contains("dlq redrive") && recorded.contains("mended <img"), "{recorded}");
    browser.judge("audit-act");

    // One that is stopped.
    let id = mark("stopped");
    let bodies = dead_letters(&platform, &id, 6).await;
    browser.open(&format!("{base}/dead-letters/redrive?queue=payments-queue-dlq&id={id}"));
    browser.leads(|browser| {
        browser.value(&send(1));
    });
    browser.until("document.querySelector('progress').value > 0");
    browser.judge("redrive-under-way");
    browser.leads(|browser| {
        browser.value("document.querySelector('button.danger').click()");
    });
    browser.until("!document.querySelector('#run').dataset.follow");
    assert_eq!(browser.text(".verdict"), "stopped");
    let left = there(&bodies).await;
    let arrived = platform.peek("PaymentsQueueUrl").await;
    let sent = bodies.iter().filter(|body| arrived.iter().any(|message| message.body == **body)).count();
    assert!(left > 0 && left + sent == bodies.len(), "{left} are left, {sent} were sent");

    // Waiting for what comes back is stopped, too. Nobody reads the queue here, so it would wait for the whole hour.
    let watched = send(50).replace("watch.value = 0", "watch.value = 3600");
    let watches = async |browser: &mut Browser, name: &str| {
        let id = mark(name);
        dead_letters(&platform, &id, 1).await;
        browser.open(&format!("{base}/dead-letters/redrive?queue=payments-queue-dlq&id={id}"));
        browser.leads(|browser| {
            browser.value(&watched);
        });
        browser.until("document.querySelector('#run').innerText.includes('What comes back is looked for')");
    };
    watches(&mut browser, "watched").await;
    browser.value(
        "const stop = document.querySelector('button.danger').form; \
         fetch(stop.action, { method: 'POST', body: new URLSearchParams(new FormData(stop)) }).then((answer) => answer.status)",
    );
    browser.until("!document.querySelector('#run').dataset.follow");
    assert_eq!(browser.text(".verdict"), "done");
    assert_eq!(browser.text("#said"), "done", "it is told to whoever hears the page");
    assert!(browser.text("#run").contains("What came back was not counted"));

    // What was sent again, past and under way; a replay that was stopped has a file, whose texts are others'.
    let state = json!({
        "format": "tollgate.replay/2", "acts": ["0a0b"], "from": {}, "to": { "file": format!("day{HOSTILE}.jsonl") },
        "filters": { "from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z" },
        "progress": { "at": null, "objects": 7, "counts": { "acme": { "accepted": 12 } }, "told": [], "noted": 0 },
    });
    std::fs::write(console.folder.path().join("tollgate-replay-0a0b.json"), state.to_string()).unwrap();
    browser.open(&format!("{base}/runs"));
    let shown = browser.text("main");
    for part in [
        "dlq redrive",
        "3 sent to payments-queue",
        "stopped",
        "mended <img",
        "7 objects done",
        "acme: accepted",
        "day<img",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(browser.value("document.querySelectorAll('main img, main script').length"), 0);
    browser.judge("runs");
    browser.is_well("redrive");
    only_its_own_form_ends(&mut browser, "/dead-letters/runs/2");

    // Ctrl-C ends it as well, and it is recorded to its end.
    watches(&mut browser, "ended").await;
    let act = browser.value("document.querySelector('#run a[href^=\"/audit\"]').textContent");
    let pid = console.process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(console.process.wait().unwrap().success());
    let records = tollgate(&["audit", "--id", act.as_str().unwrap(), "--json"]).output().unwrap().stdout;
    let records = String::from_utf8(records).unwrap();
    let last: Value = serde_json::from_str(records.lines().last().unwrap()).unwrap();
    assert_eq!((&last["step"], &last["details"]["watch_stopped"]), (&json!("ended"), &json!(true)), "{last}");
    for queue in ["PaymentsDlqUrl", "PaymentsQueueUrl"] {
        platform.sqs().purge_queue().queue_url(platform.output(queue)).send().await.unwrap();
    }
}
