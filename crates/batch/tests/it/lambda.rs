//! Lambda's rule for partial-batch answers, as an oracle, applied to ours. Local peers are lenient about it.
//!
//! Source: AWS Lambda Developer Guide, "Handling errors for an SQS event source in Lambda", success and failure
//! conditions.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Value;

use crate::model::{Case, case, done};

/// What becomes of a batch's messages after an answer.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Those named stay in the queue, the others are deleted.
    Keep(HashSet<String>),
    /// All of them stay.
    WholeBatchFailed,
}

fn lambda(batch: &[&str], answer: &str) -> Verdict {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else { return Verdict::WholeBatchFailed };
    let failures = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Verdict::Keep(HashSet::new()),
        Some(Value::Array(failures)) => failures,
        Some(_) => return Verdict::WholeBatchFailed,
    };
    let mut keep = HashSet::new();
    for failure in failures {
        match failure.get("itemIdentifier").and_then(Value::as_str) {
            Some(id) if !id.is_empty() && batch.contains(&id) => keep.insert(id.to_owned()),
            _ => return Verdict::WholeBatchFailed,
        };
    }
    Verdict::Keep(keep)
}

#[test]
fn the_oracle_is_as_strict_as_lambda() {
    let keep = |ids: &[&str]| Verdict::Keep(ids.iter().map(|id| (*id).to_owned()).collect());
    let cases = [
        (r#"{"batchItemFailures":[]}"#, keep(&[])),
        (r#"{"batchItemFailures":null}"#, keep(&[])),
        ("{}", keep(&[])),
        ("null", keep(&[])),
        (r#"{"batchItemFailures":[{"itemIdentifier":"m2"}]}"#, keep(&["m2"])),
        (r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#, Verdict::WholeBatchFailed),
        (r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#, Verdict::WholeBatchFailed),
        (r#"{"batchItemFailures":[{"messageId":"m2"}]}"#, Verdict::WholeBatchFailed),
        (
            r#"{"batchItemFailures":[{"itemIdentifier":"m2"},{"itemIdentifier":"m9"}]}"#,
            Verdict::WholeBatchFailed,
        ),
        ("m2", Verdict::WholeBatchFailed),
    ];
    for (answer, expected) in cases {
        assert_eq!(lambda(&["m1", "m2"], answer), expected, "{answer}");
    }
}

/// What Lambda does with our answer; an error of ours is an error of the invocation.
fn after(case: &Case) -> Verdict {
    let ids: Vec<&str> = case.records.iter().map(|record| record.id.as_str()).collect();
    match case.run().response() {
        Ok(response) => lambda(&ids, &serde_json::to_string(&response).unwrap()),
        Err(_) => Verdict::WholeBatchFailed,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn lambda_keeps_what_failed_and_deletes_what_is_done(case in case()) {
        let done = done(&case);
        let failed: HashSet<String> =
            case.records.iter().zip(&done).filter(|(_, done)| !**done).map(|(r, _)| r.id.clone()).collect();
        let expected =
            if failed.contains("") { Verdict::WholeBatchFailed } else { Verdict::Keep(failed) };
        prop_assert_eq!(after(&case), expected);
    }

    /// Ids are opaque: whatever the text, it comes back as it was.
    #[test]
    fn any_text_survives_as_an_identifier(ids in proptest::collection::vec(".+", 1..8)) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let batch = tollgate_batch::Batch::new(tollgate_batch::Kind::Standard, ids.iter().map(|id| (*id, None)));
        let answer = serde_json::to_string(&batch.response().unwrap()).unwrap();
        let expected = ids.iter().map(|id| (*id).to_owned()).collect();
        prop_assert_eq!(lambda(&ids, &answer), Verdict::Keep(expected));
    }
}
