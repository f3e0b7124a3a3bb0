//! Every contestant makes the same of a batch: the race is over the same work. `make race` compares those in other
//! languages too.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests only")]

use serde_json::Value;
use tollgate_benches::{
    batch::{Plan, generate},
    contestants::{tollgate::Tollgate, typed, value},
    outputs::Outputs,
};
use tollgate_pipeline::process::PARALLEL_FROM;

/// JSON within JSON is read, so that the order of keys and the way of escaping do not count; nor does the order of
/// independent outputs.
fn canonical(outputs: &Outputs) -> Value {
    let mut all = outputs.to_json();
    let read = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    for entry in all["bus"].as_array_mut().unwrap() {
        entry["Detail"] = read(&entry["Detail"]);
    }
    for item in all["transactions"].as_array_mut().unwrap() {
        if let Some(event) = item.get_mut("event") {
            *event = read(&event["S"]);
        }
    }
    let messages = all["archive"].as_array().unwrap().iter();
    let lines = messages.flat_map(|message| message.as_str().unwrap().split('\n'));
    all["archive"] = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    for list in all.as_object_mut().unwrap().values_mut() {
        list.as_array_mut().unwrap().sort_by_key(Value::to_string);
    }
    all
}

#[test]
fn contestants_make_the_same_outputs() {
    let (batch, records) = generate(&Plan::stripe(PARALLEL_FROM + 40));
    let (tollgate, of_two_threads) = (Tollgate::new(false), Tollgate::new(true));
    for it in [&tollgate, &of_two_threads] {
        it.accept(batch.as_bytes());
    }
    let wanted = canonical(&tollgate.full(batch.as_bytes()));
    for (kind, least) in [
        ("claims", records),
        ("bus", records),
        ("ledger", records),
        ("archive", records),
        ("transactions", records + 1),
    ] {
        assert!(wanted[kind].as_array().unwrap().len() >= least, "{kind}");
    }
    assert_eq!(wanted["failures"].as_array().unwrap().len(), 0);
    assert!(wanted["transactions"].to_string().contains("\"superseded\":true"), "no event that came late");
    assert_eq!(tollgate.decode(batch.as_bytes()), records);
    let simd = typed::Simd::default().run(&mut batch.clone().into_bytes());
    let others = [
        ("two threads", of_two_threads.full(batch.as_bytes())),
        ("serde_json::Value", value::run(batch.as_bytes())),
        ("serde_json", typed::serde_json(batch.as_bytes())),
        ("sonic-rs", typed::sonic(batch.as_bytes())),
        ("simd-json", simd),
    ];
    for (name, outputs) in others {
        let found = canonical(&outputs);
        for (kind, wanted) in wanted.as_object().unwrap() {
            let (found, wanted) = (found[kind].as_array().unwrap(), wanted.as_array().unwrap());
            let other = found.iter().zip(wanted).find(|(found, wanted)| found != wanted);
            assert!(other.is_none(), "{name}, {kind}: {other:#?}");
            assert_eq!(found.len(), wanted.len(), "{name}, {kind}");
        }
    }
}
