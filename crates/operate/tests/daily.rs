//! What the reconciler does once a day, by an AWS and a provider that are played here.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests only"
)]

mod account;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tollgate_core::{EndpointConfig, Timestamp};
use tollgate_operate::{
    provider_api::Timing,
    reconcile::{
        Verdict,
        daily::{self, Daily, State as Looked},
    },
};
use tollgate_testkit::{
    loopback::{Request, Response, Server},
    provider_api::{StandIn, State, Told},
    webhook::config,
};

const KEY: &str = "rk_test_daily";
/// 2026-01-31T12:00:00Z.
const NOON: i64 = 1_769_860_800;
const HOUR: i64 = 3_600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn now() -> Timestamp {
    at(NOON)
}

/// A clock that stands still, and pauses that last as long as `pause` says.
fn timing(pause: fn(Duration) -> futures_util::future::BoxFuture<'static, ()>) -> Timing {
    Timing { now, pause: Arc::new(pause) }
}

fn at_once(_: Duration) -> futures_util::future::BoxFuture<'static, ()> {
    Box::pin(std::future::ready(()))
}

/// Whoever waits for more than a second waits for ever.
fn for_ever(time: Duration) -> futures_util::future::BoxFuture<'static, ()> {
    if time < Duration::from_secs(1) { at_once(time) } else { Box::pin(std::future::pending()) }
}

/// The endpoint that says `enrich`.
const FETCHING: &str = "fetching";

/// An endpoint's name and scheme, and the key of its provider's API.
type Configured = (&'static str, &'static str, Option<&'static str>);

/// An AWS that has these endpoints and keys, and nothing in its tables.
fn aws(endpoints: &'static [Configured]) -> Server {
    let refused = |code: &str| Response::json(400, &json!({ "__type": code, "message": code }));
    Server::start(move |request: &Request| {
        if request.method == "GET" {
            let one = |(id, scheme, _): &Configured| {
                let config = match *scheme {
                    "unreadable" => json!({ "id": id, "scheme": "unreadable" }),
                    scheme => json!(EndpointConfig {
                        secret: format!("secretsmanager:tollgate/dev/{id}"),
                        enrich: *id == FETCHING,
                        ..config(id, scheme)
                    }),
                };
                ((*id).to_owned(), config)
            };
            let all: Map<String, Value> = endpoints.iter().map(one).collect();
            let document = json!({ "format": "tollgate.endpoints/1", "endpoints": all });
            return Response::json(200, &document).with("ETag", "\"1\"");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        match request.header("x-amz-target").unwrap_or_default().rsplit('.').next().unwrap() {
            "GetSecretValue" => {
                let name = body["SecretId"].as_str().unwrap();
                let of = |(id, ..): &&Configured| name == format!("tollgate-api/dev/{id}");
                match endpoints.iter().find(of).and_then(|(.., key)| *key) {
                    Some("denied") => refused("AccessDeniedException"),
                    Some(key) => Response::json(200, &json!({ "Name": name, "SecretString": key })),
                    None => refused("ResourceNotFoundException"),
                }
            }
            "BatchGetItem" => Response::json(200, &json!({ "Responses": {}, "UnprocessedKeys": {} })),
            other => panic!("nothing calls {other}"),
        }
    })
}

/// What a run finds, as far as people are told of it: each endpoint's state with its reason.
async fn run(
    aws: &Server,
    stand_in: &StandIn,
    timing: &Timing,
    seconds: i64,
) -> (Daily, Vec<(String, Looked, String)>) {
    let environment = account::at(aws.url()).await;
    let url = stand_in.url();
    let mut told = 0;
    let each = |_: &_, _: &_| {
        told += 1;
        Ok(())
    };
    let daily = daily::compare(&environment, timing, Some(&url), at(NOON + seconds), each).await.unwrap();
    let counted: u64 = daily.endpoints.iter().flat_map(|one| one.counts.values()).sum();
    assert_eq!(counted, told, "each event is told once");
    let states = daily.endpoints.iter();
    let states = states
        .map(|one| (one.endpoint.to_string(), one.state, one.why.clone().unwrap_or_default()))
        .collect();
    (daily, states)
}

/// A provider that sends everything to each of these endpoints.
fn provider(endpoints: &[&str], events: Vec<Told>) -> StandIn {
    let webhook =
        |name: &&str| json!({ "url": format!("https://x/webhook/{name}"), "enabled_events": ["*"] });
    let webhooks = endpoints.iter().map(webhook).collect();
    StandIn::start("stripe", KEY, State { events, webhooks, ..State::default() })
}

#[tokio::test]
async fn each_endpoint_with_a_key_is_compared_and_the_others_are_told() {
    let aws = aws(&[
        ("stripe-eu", "stripe", Some(KEY)),
        ("stripe-us", "stripe", None),
        ("xendit", "xendit", Some("not to be asked for")),
        ("unreadable", "unreadable", Some(KEY)),
        ("unreadable-too", "unreadable", None),
    ]);
    // A day and two hours, without the last quarter of an hour.
    let events = [(1, 600), (2, HOUR), (3, 26 * HOUR - 60), (4, 27 * HOUR)];
    let events = events.map(|(number, ago)| Told::new("stripe", number, NOON - ago)).into();
    let stand_in = provider(&["stripe-eu"], events);
    let (daily, states) = run(&aws, &stand_in, &timing(at_once), 900).await;
    let told: Vec<(&str, Looked)> = states.iter().map(|(name, state, _)| (name.as_str(), *state)).collect();
    assert_eq!(
        told,
        [("stripe-eu", Looked::Compared), ("stripe-us", Looked::NoKey), ("unreadable", Looked::NotCompared)]
    );
    assert_eq!((daily.others, daily.missing(), daily.unfinished(), daily.differing()), (2, 2, 0, 0));
    assert!(!daily.is_finished(), "an endpoint that nobody can read has a key");
    let one = &daily.endpoints[0];
    let ids: Vec<&str> = one.findings.iter().map(|finding| finding.provider_event_id.as_str()).collect();
    assert_eq!(ids, ["evt_2", "evt_3"]);
    assert!(one.findings.iter().all(|finding| finding.verdict == Verdict::Missing));
    assert_eq!((one.from, one.to), (Some(at(NOON - 26 * HOUR)), Some(at(NOON - 900))));
    // What is written is read again.
    assert_eq!(serde_json::from_str::<Daily>(&serde_json::to_string(&daily).unwrap()).unwrap(), daily);
}

/// Its key may read events and what they are about, and not which webhooks there are.
#[tokio::test]
async fn an_endpoint_whose_key_may_only_fetch_keeps_no_run_from_being_finished() {
    let aws = aws(&[("stripe-eu", "stripe", Some(KEY)), (FETCHING, "stripe", Some(KEY))]);
    let stand_in = provider(&["stripe-eu"], Vec::new());
    let (daily, states) = run(&aws, &stand_in, &timing(at_once), 900).await;
    let (name, state, why) = &states[0];
    assert_eq!((name.as_str(), *state), (FETCHING, Looked::NoKey));
    assert!(why.contains("is stored to fetch"), "{why}");
    assert!(daily.is_finished(), "{states:?}");
}

#[tokio::test]
async fn what_a_provider_does_not_answer_is_never_nothing_missing() {
    const ONE: &[Configured] = &[("stripe-eu", "stripe", Some(KEY))];
    for (endpoints, webhooks, failures, expected) in [
        (ONE, &["stripe-eu"][..], vec![], ""),
        (
            &[("stripe-eu", "stripe", Some("rk_other"))],
            &["stripe-eu"],
            vec![],
            "is not known: it refuses the key (401)",
        ),
        (ONE, &[], vec![], "which types its webhook is sent is not known"),
        (ONE, &["stripe-eu"], vec![500; 6], "it answers 500"),
        (ONE, &["stripe-eu"], vec![429; 6], "it answers 429"),
        (
            &[("stripe-eu", "stripe", Some("denied"))],
            &["stripe-eu"],
            vec![],
            "reading tollgate-api/dev/stripe-eu",
        ),
    ] {
        let aws = aws(endpoints);
        let stand_in = provider(webhooks, Vec::new());
        stand_in.with(|state| state.failures = failures.iter().map(|status| (*status, None)).collect());
        let (daily, states) = run(&aws, &stand_in, &timing(at_once), 900).await;
        let [(_, state, why)] = states.as_slice() else { panic!("{states:?}") };
        let is_compared = expected.is_empty();
        assert_eq!(*state == Looked::Compared, is_compared, "{expected}: {why}");
        assert_eq!(daily.is_finished(), is_compared, "{expected}");
        assert!(why.contains(expected) && !why.contains(KEY), "{expected}: {why}");
        assert_eq!(daily.missing(), 0);
    }
}

#[tokio::test]
async fn an_endpoint_that_takes_too_long_takes_no_time_from_the_others() {
    let aws = aws(&[
        ("stripe-eu", "stripe", Some(KEY)),
        ("stripe-fr", "stripe", None),
        ("stripe-us", "stripe", Some(KEY)),
    ]);
    let stand_in = provider(&["stripe-eu", "stripe-us"], vec![Told::new("stripe", 1, NOON - HOUR)]);
    stand_in.with(|state| state.failures = vec![(429, Some(("Retry-After", "200".to_owned())))]);
    let (daily, states) = run(&aws, &stand_in, &timing(for_ever), 4).await;
    let told: Vec<(&str, Looked)> = states.iter().map(|(name, state, _)| (name.as_str(), *state)).collect();
    let late = ("stripe-eu", Looked::NotCompared);
    assert_eq!(told, [late, ("stripe-fr", Looked::NoKey), ("stripe-us", Looked::Compared)]);
    assert_eq!(states[0].2, "it did not end within its share of the time, 2 s");
    assert_eq!((daily.missing(), daily.is_finished()), (1, false), "what was found is told all the same");

    let (daily, states) = run(&aws, &stand_in, &timing(at_once), 0).await;
    assert!(states.iter().all(|(_, state, _)| *state != Looked::Compared), "{states:?}");
    assert_eq!(states[0].2, "there was no time left for it");
    assert!(!daily.is_finished());
}
