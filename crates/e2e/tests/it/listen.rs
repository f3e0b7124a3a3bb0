//! Events followed live, and forwarded to a real server of a developer's.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    ops::ControlFlow,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;
use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_e2e::Platform;
use tollgate_operate::listen::{Asked, Listener, Past};
use tollgate_pipeline::ports::Secrets;
use tollgate_providers::{Endpoint, Headers, KeyMaterial, Received, Secret};
use tollgate_testkit::webhook::{Payment, Sender};

use crate::{audit::aws, tool::tollgate};

/// The archive's window, and more.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(120);
const KEY: &str = "a developer's key, of 32 letters and more";

fn listen(arguments: &[&str]) -> Child {
    let mut tool = tollgate(&["listen"]);
    tool.args(arguments).env("TOLLGATE_SECRET", KEY);
    tool.stdout(Stdio::piped()).stderr(Stdio::piped());
    tool.spawn().unwrap()
}

/// What a listener has printed to standard error, line by line.
fn told(listener: &mut Child) -> mpsc::Receiver<String> {
    let (lines, received) = mpsc::channel();
    let stderr = BufReader::new(listener.stderr.take().unwrap());
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    received
}

/// Waits until it listens: from then on every event is heard.
fn until_it_listens(told: &mpsc::Receiver<String>) {
    loop {
        let line = told.recv().expect("it ended before it listened");
        if line.contains("listening") {
            return;
        }
    }
}

/// A developer's server: answers each request with the next of these statuses, and hands over what it got.
fn server(statuses: &'static [u16]) -> (String, mpsc::Receiver<(Headers, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let (got, received) = mpsc::channel();
    std::thread::spawn(move || {
        for (stream, status) in listener.incoming().zip(statuses) {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut headers, mut line, mut length) = (Headers::new(), String::new(), 0);
            stream.read_line(&mut line).unwrap();
            assert!(line.starts_with("POST /events "), "{line}");
            loop {
                line.clear();
                stream.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse().unwrap();
                }
                headers.push(name, value);
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {status} -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let _ = got.send((headers, body));
        }
    });
    (url, received)
}

/// The name of the rule, and of its queue, by which somebody listens to this endpoint.
async fn rule_of(platform: &Platform, endpoint: &str) -> Option<String> {
    let events = aws_sdk_eventbridge::Client::new(platform.config());
    let rules = events.list_rules().event_bus_name(format!("payment-events-{}", platform.suffix()));
    let rules = rules.name_prefix("tollgate-listen-").send().await.unwrap();
    let rule = rules.rules().iter().find(|rule| rule.event_pattern().is_some_and(|it| it.contains(endpoint)));
    rule.map(|rule| rule.name().unwrap().to_owned())
}

async fn has_queue(platform: &Platform, name: &str) -> bool {
    let queues = platform.sqs().list_queues().queue_name_prefix(name).send().await.unwrap();
    !queues.queue_urls().is_empty()
}

/// An endpoint of this test's own.
async fn shop(platform: &Platform) -> (String, Sender) {
    let like = platform.sender("stripe-eu").await;
    let keys = platform.secrets().keys(&like.endpoint().config().secret).await.unwrap();
    let shop = platform.unique("shop");
    let config = EndpointConfig { id: EndpointId::new(&shop).unwrap(), ..like.endpoint().config().clone() };
    platform.put_endpoint(&config).await;
    (shop, Sender::with_keys(config, keys))
}

#[tokio::test]
async fn events_are_followed_and_forwarded_signed_and_nothing_stays_behind() {
    let platform = Platform::open().await;
    let (shop, sender) = shop(&platform).await;
    let pay = async |name: &str, amount: &str| {
        let id = platform.unique(name);
        let payment =
            Payment { amount: amount.to_owned(), ..Payment::new(&id, format!("pi_{id}"), platform.now()) };
        let answer = platform.send(Some(&shop), &sender.payment(&payment, platform.now())).await;
        answer.is_success().then_some(payment.transaction_id)
    };
    // Validators learn of an endpoint when they next read the configuration.
    platform.until("the endpoint serves", async || pay("before", "100").await).await;
    let (url, got) = server(&[200, 500]);
    // What another listener has left behind, an hour ago.
    let gone = format!("tollgate-listen-{}-0a1b2c3d-{}", platform.now().as_second() - 1, platform.suffix());
    platform.sqs().create_queue().queue_name(&gone).send().await.unwrap();

    let filters = ["--endpoint", &shop, "--type", "payment.succeeded", "--amount", "10.01..10.02"];
    let mut listener = listen(&[&filters[..], &["--forward", &url, "--limit", "2", "--json"]].concat());
    let lines = told(&mut listener);
    until_it_listens(&lines);
    let name = rule_of(&platform, &shop).await.expect("a rule of its own");
    assert!(!has_queue(&platform, &gone).await, "what was left behind is removed");
    let queue = platform.sqs().get_queue_url().queue_name(&name).send().await.unwrap().queue_url.unwrap();
    let attributes = platform.sqs().get_queue_attributes().queue_url(&queue);
    let attributes = attributes.attribute_names(QueueAttributeName::All).send().await.unwrap();
    let attribute = |name| attributes.attributes().unwrap().get(&name).cloned().unwrap_or_default();
    assert_eq!(
        attribute(QueueAttributeName::MessageRetentionPeriod),
        "3900",
        "as long as somebody may listen"
    );
    let policy: Value = serde_json::from_str(&attribute(QueueAttributeName::Policy)).unwrap();
    let only = policy["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"].as_str().unwrap();
    assert!(only.ends_with(&format!(":rule/payment-events-{}/{name}", platform.suffix())), "{policy}");

    let too_little = pay("little", "1000").await.unwrap();
    let wanted = [pay("one", "1001").await.unwrap(), pay("two", "1002").await.unwrap()];
    let output = listener.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "one was not taken");
    let shown = String::from_utf8(output.stdout).unwrap();
    let mut transactions: Vec<String> = shown
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["transaction_id"].as_str().unwrap().to_owned()
        })
        .collect();
    transactions.sort_unstable();
    assert_eq!(transactions, wanted, "and not {too_little}");
    let told: Vec<String> = lines.iter().collect();
    assert!(
        told.iter().any(|line| line.contains("-> 200")) && told.iter().any(|line| line.contains("-> 500")),
        "{told:?}"
    );

    // As a generic endpoint of one's own would check it.
    let config: EndpointConfig =
        serde_json::from_value(serde_json::json!({"id": "mine", "scheme": "generic", "secret": "ssm:mine"}))
            .unwrap();
    let endpoint = Endpoint::new(EndpointConfig { require_signed_time: true, ..config }).unwrap();
    let keys = endpoint.keys(vec![KeyMaterial::new("mine", Secret::new(KEY))]).unwrap();
    for _ in 0..2 {
        let (headers, body) = got.recv().unwrap();
        let received = Received { headers: &headers, query: "", body: &body };
        endpoint.verify(received, &keys, None, platform.now()).unwrap();
        assert!(shown.lines().any(|line| line.as_bytes() == body), "as it was published");
    }
    assert_eq!(rule_of(&platform, &shop).await, None);
    assert!(!has_queue(&platform, &name).await, "it left nothing behind");
}

#[tokio::test]
async fn who_comes_later_catches_up_and_hears_on_and_is_told_nothing_twice() {
    let platform = Platform::open().await;
    let (shop, sender) = shop(&platform).await;
    let pay = async |name: &str| {
        let id = platform.unique(name);
        let payment = Payment::new(&id, format!("pi_{id}"), platform.now());
        platform
            .until("the endpoint serves", async || {
                let answer = platform.send(Some(&shop), &sender.payment(&payment, platform.now())).await;
                answer.is_success().then_some(())
            })
            .await;
        id
    };
    let started = platform.now();
    let before = [pay("one").await, pay("two").await];
    platform.until_archived_events(ARCHIVED_WITHIN, &before).await;
    let mut listener =
        listen(&["--endpoint", &shop, "--from", &started.to_string(), "--limit", "3", "--json"]);
    let lines = told(&mut listener);
    until_it_listens(&lines);
    let heard = pay("three").await;
    let output = listener.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", lines.iter().collect::<Vec<_>>());
    let shown = String::from_utf8(output.stdout).unwrap();
    let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = shown.iter().map(|event| event["provider_event_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&before[0], &before[1], &heard], "in the order of arrival, and each once");

    // The archive is read again for what was not archived yet.
    let aws = aws(&platform).await;
    let asked = Asked { endpoints: vec![shop.clone()], ..Asked::default() };
    let mut past = Past::new(&asked, started, platform.now()).unwrap();
    let mut known = BTreeSet::new();
    let mut read = async |past: &mut Past| {
        let mut new = Vec::new();
        past.read(&aws, async |json| {
            let event: Value = serde_json::from_str(json).unwrap();
            let id = event["provider_event_id"].as_str().unwrap().to_owned();
            if known.insert(id.clone()) {
                new.push(id);
            }
            Ok(ControlFlow::Continue(()))
        })
        .await
        .unwrap();
        new
    };
    let first = read(&mut past).await;
    assert!(before.iter().all(|id| first.contains(id)), "{first:?}");
    let late = pay("late").await;
    platform.until_archived_events(ARCHIVED_WITHIN, &[heard, late.clone()]).await;
    assert!(read(&mut past).await.contains(&late), "it arrived before nothing but what is heard can be");

    // What is published while the archive is read is archived and heard, and told once.
    let opened = platform.now();
    let until = opened.checked_add(Duration::from_secs(600)).unwrap();
    let listener = Listener::open(&aws, &asked, opened, until).await.unwrap();
    let both = pay("both").await;
    platform.until_archived_events(ARCHIVED_WITHIN, std::slice::from_ref(&both)).await;
    let mut past = Past::new(&asked, started, opened).unwrap();
    let (mut told, mut events) = (past.told(), Vec::new());
    let is_both = |event: &Value| event["provider_event_id"] == both.as_str();
    past.read(&aws, async |json| {
        events.push(serde_json::from_str::<Value>(json).unwrap());
        Ok(ControlFlow::Continue(()))
    })
    .await
    .unwrap();
    assert!(events.iter().any(is_both), "it is archived");
    let heard = platform
        .until("it is heard", async || {
            let heard = listener.next().await.unwrap();
            let events = heard.iter().map(|heard| serde_json::from_str::<Value>(&heard.json).unwrap());
            events.into_iter().find(is_both)
        })
        .await;
    listener.close().await.unwrap();
    events.push(heard);
    events.retain(|event| {
        let arrived_at = event["received_at"].as_str().unwrap().parse().unwrap();
        !told.has(event["id"].as_str().unwrap(), Some(arrived_at))
    });
    assert_eq!(events.iter().filter(|event| is_both(event)).count(), 1);

    let other = Asked { kinds: vec!["refund.succeeded".to_owned()], ..asked };
    let mut past = Past::new(&other, started, platform.now()).unwrap();
    past.read(&aws, async |json| panic!("{json}")).await.unwrap();
    assert!(Past::new(&other, platform.now(), started).is_err(), "a time to come");
}

#[tokio::test]
async fn whoever_stops_listening_leaves_nothing_behind() {
    let platform = Platform::open().await;
    let nobody = platform.unique("nobody");
    let mut listener = listen(&["--endpoint", &nobody, "--for", "10m"]);
    let lines = told(&mut listener);
    until_it_listens(&lines);
    let name = rule_of(&platform, &nobody).await.expect("a rule of its own");
    assert!(has_queue(&platform, &name).await);
    let interrupted = Command::new("kill").args(["-INT", &listener.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(listener.wait().unwrap().code(), Some(0));
    let ended: Vec<String> = lines.iter().collect();
    assert!(ended.iter().any(|line| line.contains("0 heard")), "{ended:?}");
    assert_eq!(rule_of(&platform, &nobody).await, None);
    assert!(!has_queue(&platform, &name).await, "it left nothing behind");

    // Where it may forward to.
    for elsewhere in ["http://example.com/events", "ftp://127.0.0.1/", "nowhere"] {
        let refused = listen(&["--forward", elsewhere]).wait_with_output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{elsewhere}");
    }
}
