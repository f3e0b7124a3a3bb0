//! Asking providers what they sent, by stand-ins that answer as each provider documents.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests only"
)]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tollgate_core::Timestamp;
use tollgate_provider_api::{self as provider_api, ApiError, ApiKey, Client, Item, Timing};
use tollgate_testkit::{
    loopback::{Response, Server},
    provider_api::{StandIn, State, Told},
};

const KEY: &str = "client:secret_4eC39HqLyjWDarjtT1zdp7dc";
const PROVIDERS: [&str; 5] = ["stripe", "paypal", "square", "gocardless", "checkout_com"];
/// 2026-01-31T12:00:00Z.
const NOON: i64 = 1_769_860_800;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn now() -> Timestamp {
    at(NOON)
}

/// A timing that waits for nothing, and what it was asked to wait for. Pauses below a second are those of the rate.
fn timing() -> (Timing, Arc<Mutex<Vec<Duration>>>) {
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&pauses);
    let pause = move |time| {
        told.lock().unwrap().push(time);
        Box::pin(std::future::ready(())) as futures_util::future::BoxFuture<'static, ()>
    };
    (Timing { now, pause: Arc::new(pause) }, pauses)
}

fn client(provider: &str, url: &str, key: &str) -> (Client, Arc<Mutex<Vec<Duration>>>) {
    let (timing, pauses) = timing();
    let key = ApiKey::new(key).unwrap();
    (Client::new(provider_api::of(provider).unwrap(), key, Some(url), false, timing).unwrap(), pauses)
}

async fn listed(client: &mut Client, from: i64, to: i64) -> anyhow::Result<Vec<Item>> {
    let mut all = Vec::new();
    client
        .list(at(from), at(to), async |_, page| {
            all.extend(page);
            Ok(true)
        })
        .await?;
    Ok(all)
}

fn state(provider: &str, number: usize) -> State {
    // Three of a second, so that a page ends within one.
    let events = (0..number).map(|one| Told::new(provider, one, NOON + one as i64 / 3));
    State { events: events.collect(), ..State::default() }
}

fn problem(answer: &anyhow::Result<Vec<Item>>) -> ApiError {
    answer.as_ref().unwrap_err().downcast_ref::<ApiError>().expect("an error of the API").clone()
}

#[tokio::test]
async fn every_event_of_a_time_is_listed_once_whatever_the_pages() {
    for provider in PROVIDERS {
        for most in [None, Some(7)] {
            let stand_in = StandIn::start(provider, KEY, State { most, ..state(provider, 250) });
            let (mut client, pauses) = client(provider, &stand_in.url(), KEY);
            // What is before and behind the time is left out, whatever the provider's own bounds mean.
            let events = listed(&mut client, NOON + 1, NOON + 60).await.unwrap();
            let ids: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
            let wanted: Vec<Told> = (3..180)
                .map(|one| Told::new(provider, one, NOON + i64::try_from(one).unwrap() / 3))
                .collect();
            let wanted_ids: BTreeSet<&str> = wanted.iter().map(|one| one.id.as_str()).collect();
            assert_eq!((ids, events.len()), (wanted_ids, 177), "{provider}, {most:?}");
            for one in &wanted {
                let event = events.iter().find(|event| event.id == one.id).unwrap();
                assert_eq!(event.at.as_second(), one.at, "{provider}");
                assert!(!event.kind.is_empty(), "{provider}");
                if !provider_api::of(provider).unwrap().list.is_summary {
                    assert_eq!(serde_json::from_str::<Value>(&event.json).unwrap(), one.json, "{provider}");
                }
            }
            let requests = stand_in.with(|state| state.requests.len());
            let least = Duration::from_secs(1) / provider_api::of(provider).unwrap().requests_a_second;
            assert_eq!(*pauses.lock().unwrap(), vec![least; requests - 1], "{provider}: its rate is kept");
        }
        let stand_in = StandIn::start(provider, KEY, State::default());
        let (mut client, _) = client(provider, &stand_in.url(), KEY);
        assert_eq!(listed(&mut client, NOON, NOON + 60).await.unwrap(), [], "{provider}");
    }
}

#[tokio::test]
async fn an_event_is_read_by_its_id() {
    for provider in PROVIDERS.into_iter().filter(|name| *name != "square") {
        let stand_in = StandIn::start(provider, KEY, state(provider, 3));
        let (mut client, _) = client(provider, &stand_in.url(), KEY);
        let wanted = stand_in.with(|state| state.events[1].clone());
        let one = client.one(&wanted.id).await.unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&one.json).unwrap(), wanted.json, "{provider}");
        assert_eq!(client.one("no/such?event").await.unwrap(), None, "{provider}");
    }
}

#[tokio::test]
async fn a_provider_is_asked_again_when_it_says_so() {
    let date = Some(("Retry-After", "Sat, 31 Jan 2026 12:00:30 GMT".to_owned()));
    let past = Some(("Retry-After", "Sat, 31 Jan 2026 11:00:00 GMT".to_owned()));
    for (failures, waited) in [
        (vec![(429, Some(("Retry-After", "17".to_owned())))], vec![17]),
        (vec![(503, date)], vec![30]),
        (vec![(429, past)], vec![0]),
        (vec![(500, None), (502, None), (429, None)], vec![1, 2, 4]),
    ] {
        for provider in PROVIDERS {
            let failing = State { failures: failures.clone(), ..state(provider, 3) };
            let stand_in = StandIn::start(provider, KEY, failing);
            let (mut client, pauses) = client(provider, &stand_in.url(), KEY);
            assert_eq!(listed(&mut client, NOON, NOON + 60).await.unwrap().len(), 3, "{provider}");
            let pauses: Vec<u64> = pauses
                .lock()
                .unwrap()
                .iter()
                .filter(|one| one.subsec_nanos() == 0)
                .map(Duration::as_secs)
                .collect();
            assert_eq!(pauses, waited, "{provider}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_never_answers_well_is_an_error_and_no_empty_list() {
    for provider in PROVIDERS {
        for (failures, wanted) in [
            (vec![(500, None); 6], ApiError::Status(500)),
            (vec![(429, Some(("Retry-After", "301".to_owned())))], ApiError::Later(301)),
            (vec![(400, None)], ApiError::Status(400)),
            (vec![(403, None)], ApiError::Refused(403)),
        ] {
            let stand_in = StandIn::start(provider, KEY, State { failures, ..state(provider, 3) });
            let (mut client, _) = client(provider, &stand_in.url(), KEY);
            assert_eq!(problem(&listed(&mut client, NOON, NOON + 60).await), wanted, "{provider}");
        }
        let stand_in = StandIn::start(provider, KEY, state(provider, 3));
        let (mut client, _) = client(provider, &stand_in.url(), "another:key");
        assert_eq!(
            problem(&listed(&mut client, NOON, NOON + 60).await),
            ApiError::Refused(401),
            "{provider}"
        );
        assert!(!format!("{client:?}").contains("another:key"), "a key is never printed");
    }
    let nobody = Server::start(|_| Response::json(200, &json!({}))).url();
    let (mut client, pauses) = client("stripe", &nobody, KEY);
    assert!(matches!(problem(&listed(&mut client, NOON, NOON + 60).await), ApiError::NoAnswer(_)));
    assert_eq!(pauses.lock().unwrap().len(), 5, "it was tried again");
}

#[tokio::test]
async fn what_is_not_as_documented_is_no_list() {
    let event = |id: &str, at: i64| json!({ "id": id, "type": "x", "created": at });
    for (answer, said) in [
        (json!({}), "list of events"),
        (json!({ "data": {}, "has_more": false }), "list of events"),
        (json!({ "data": [], "has_more": true }), "nothing"),
        (json!({ "data": [event("evt_1", NOON)] }), "whether there is more"),
        (json!({ "data": [{ "id": "evt_1", "type": "x" }], "has_more": false }), "no time"),
        (json!({ "data": [{ "created": NOON, "type": "x" }], "has_more": false }), "no id"),
        (json!({ "data": [event("", NOON)], "has_more": false }), "no id"),
        (json!({ "data": [event("evt_1", NOON)], "has_more": true }), "does not end"),
    ] {
        let server = Server::start(move |_| Response::json(200, &answer));
        let (mut client, _) = client("stripe", &server.url(), KEY);
        let problem = format!("{:#}", listed(&mut client, NOON, NOON + 60).await.unwrap_err());
        assert!(problem.contains(said), "{said}: {problem}");
    }
}

#[tokio::test]
async fn the_types_that_a_webhook_is_sent_are_those_of_its_own_url() {
    let webhook = |url: &str, types: &[&str]| json!({ "url": url, "enabled_events": types });
    let ours = "https://abc.execute-api.eu-west-1.amazonaws.com/prod/webhook/stripe-eu";
    for (webhooks, wanted) in [
        (
            vec![webhook(ours, &["a", "b"]), webhook("https://x/webhook/other", &["c"])],
            Ok(Some(vec!["a", "b"])),
        ),
        (vec![webhook(&format!("{ours}?x=1"), &["*"])], Ok(None)),
        (vec![webhook("https://x/webhook/old-stripe-eu", &["a"])], Err(())),
        (vec![webhook(ours, &["a"]), webhook(ours, &["b"])], Err(())),
        (vec![], Err(())),
    ] {
        let stand_in =
            StandIn::start("stripe", KEY, State { webhooks: webhooks.clone(), ..State::default() });
        let (mut client, _) = client("stripe", &stand_in.url(), KEY);
        let types = client.subscribed("stripe-eu").await;
        let types = types.map(|types| types.map(BTreeSet::from_iter)).map_err(|problem| {
            assert!(matches!(problem, ApiError::NotAsDocumented(_)));
        });
        let wanted = wanted.map(|types| types.map(|types| types.into_iter().map(str::to_owned).collect()));
        assert_eq!(types, wanted, "{webhooks:?}");
    }
}

#[test]
fn a_key_is_sent_by_https_or_to_this_machine_alone() {
    let client = |url| {
        let (timing, _) = timing();
        let api = provider_api::of("stripe").unwrap();
        Client::new(api, ApiKey::new(KEY).unwrap(), Some(url), false, timing)
    };
    for good in ["https://example.com/", "http://127.0.0.1:1", "http://[::1]:1/x"] {
        assert!(client(good).is_ok(), "{good}");
    }
    for bad in ["http://example.com", "http://127.0.0.1@example.com", "example.com", ""] {
        assert!(client(bad).is_err(), "{bad}");
    }
    for bad in ["", " ", "a b", "a\nb", "\u{e9}"] {
        assert!(ApiKey::new(bad).is_err(), "{bad:?}");
    }
    assert!(provider_api::of("generic").is_err());
}
