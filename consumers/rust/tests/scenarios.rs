//! The cases that the packages of all languages share (`consumers/scenarios.json`).

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests only")]

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use serde_json::{Value, json};
use tollgate_events::{
    BoxError, Consumer, Event, EventError, EventType, Failure, MemoryStore, Outcome, Store, Stored,
    core::Timestamp, parse,
};

const SCENARIOS: &str = include_str!("../../scenarios.json");
const SAMPLES: &str = include_str!("../../events.jsonl");

fn scenarios() -> Value {
    serde_json::from_str(SCENARIOS).unwrap()
}

/// The scenarios' event with these fields instead of its own. A number of an id is written out.
fn event(fields: &Value) -> Value {
    let mut event = scenarios()["base"].clone();
    let target = event.as_object_mut().unwrap();
    for (name, value) in fields.as_object().into_iter().flatten() {
        target.insert(name.clone(), value.clone());
    }
    for (name, prefix) in [("id", "evt"), ("effect_id", "eff"), ("restates", "evt")] {
        if let Some(number) = event[name].as_u64() {
            event[name] = format!("{prefix}_{number:032x}").into();
        }
    }
    event
}

/// A store whose process can die: no call reaches the database any more.
struct Mortal<'s> {
    store: &'s MemoryStore,
    is_dead: &'s AtomicBool,
}

impl Mortal<'_> {
    fn alive(&self) -> Result<&MemoryStore, BoxError> {
        if self.is_dead.load(Ordering::Relaxed) { Err("dead".into()) } else { Ok(self.store) }
    }
}

impl Store for Mortal<'_> {
    async fn load(&self, key: &str) -> Result<Option<Stored>, BoxError> {
        self.alive()?.load(key).await
    }

    async fn save(&self, key: &str, text: &str, expected: u64) -> Result<bool, BoxError> {
        self.alive()?.save(key, text, expected).await
    }
}

static SECONDS: AtomicI64 = AtomicI64::new(0);

fn clock() -> Timestamp {
    Timestamp::from_second(SECONDS.load(Ordering::Relaxed)).unwrap()
}

fn take<'a>(store: &'a MemoryStore, step: &'a Value) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(async move {
        if let Some(now) = step["now"].as_i64() {
            SECONDS.store(now, Ordering::Relaxed);
        }
        let (calls, is_dead) = (Cell::new(0), AtomicBool::new(false));
        let handle = async |_: &Event| {
            calls.set(calls.get() + 1);
            for inner in step["during"].as_array().into_iter().flatten() {
                take(store, inner).await;
            }
            match step["handler"].as_str() {
                Some("not_yet") => return Err(Failure::NotYet),
                Some("fail") => return Err("no".into()),
                Some("crash") => is_dead.store(true, Ordering::Relaxed),
                _ => {}
            }
            Ok(())
        };
        let consumer = Consumer::new(handle, Mortal { store, is_dead: &is_dead }, clock);
        let receives = step["receives"].as_u64().unwrap_or(1);
        let text = event(&step["event"]).to_string();
        let outcome = consumer.consume(&text, u32::try_from(receives).unwrap()).await.outcome;
        assert_eq!(outcome.as_str(), step["outcome"], "{step}");
        let is_called =
            matches!(outcome, Outcome::Handled | Outcome::Failed | Outcome::NotYet | Outcome::GaveUp);
        assert_eq!(calls.get(), i32::from(is_called), "{step}");
    })
}

#[tokio::test]
async fn every_case() {
    for case in scenarios()["cases"].as_array().unwrap() {
        println!("{}", case["name"]);
        let store = MemoryStore::default();
        SECONDS.store(0, Ordering::Relaxed);
        for step in case["steps"].as_array().unwrap() {
            take(&store, step).await;
        }
    }
}

#[test]
fn what_tollgate_writes_is_read() {
    let mut kinds = BTreeSet::new();
    for line in SAMPLES.lines() {
        let read = parse(line).unwrap();
        let known = read.known().unwrap();
        kinds.insert(known.kind);
        assert_eq!(serde_json::to_string(known).unwrap(), line);
    }
    assert_eq!(kinds.len(), EventType::ALL.len());
}

#[tokio::test]
async fn the_samples_are_handled_once_for_each_effect() {
    let (effects, restated) = (RefCell::new(Vec::new()), Cell::new(0));
    let handle = async |event: &Event| {
        effects.borrow_mut().push(event.effect_id());
        Ok(())
    };
    let consumer = Consumer::new(handle, MemoryStore::default(), || Timestamp::UNIX_EPOCH);
    for line in SAMPLES.lines() {
        let ended = consumer.consume(line, 1).await;
        assert!(ended.outcome.is_done(), "{ended:?}");
        restated.set(restated.get() + i32::from(ended.outcome == Outcome::Restated));
    }
    let unique: BTreeSet<_> = effects.borrow().iter().copied().collect();
    assert_eq!((unique.len(), restated.get()), (effects.borrow().len(), 3));
}

#[test]
fn an_envelope_and_a_bare_event_are_the_same() {
    let bare = event(&json!({}));
    let envelope = json!({"version": "0", "detail-type": "payment.succeeded", "detail": bare});
    assert_eq!(parse(&envelope.to_string()), parse(&bare.to_string()));
    assert!(parse(&bare.to_string()).is_ok());
}

#[test]
fn what_is_no_event_is_refused() {
    for (text, error) in [
        ("", EventError::NotJson),
        ("{", EventError::NotJson),
        ("{}", EventError::OtherSchema),
        (r#"{"schema":"tollgate.payment-event/2"}"#, EventError::OtherSchema),
        (r#"{"schema":1}"#, EventError::OtherSchema),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    for text in ["[]", r#""text""#, r#"{"detail-type":"x","detail":5}"#] {
        assert!(matches!(parse(text), Err(EventError::Malformed { .. })), "{text}");
    }
    let changes = [
        json!({"id": "evt_1"}),
        json!({"type": 1}),
        json!({"type": ""}),
        json!({"authenticity": "trusted"}),
        json!({"amount": 5}),
        json!({"superseded": "false"}),
        json!({"type": "payment.teleported", "effect_id": "1"}),
        json!({"customer": {"id": ["Ada Lovelace"]}}),
    ];
    for change in changes {
        let error = parse(&event(&change).to_string()).unwrap_err();
        assert!(matches!(error, EventError::Malformed { .. }), "{change}");
        assert!(!error.to_string().contains("Ada"));
    }
}

#[test]
fn money_is_an_integer_of_36_digits() {
    let units = "9".repeat(36);
    let amount = format!(r#"{{"minor_units":{units},"currency":"XYZ","exponent":null,"value":null}}"#);
    let text = event(&json!({"amount": "@"})).to_string().replace("\"@\"", &amount);
    let Event::Known(event) = parse(&text).unwrap() else { panic!("a known type") };
    assert_eq!(event.amount.unwrap().minor_units().to_string(), units);
}
