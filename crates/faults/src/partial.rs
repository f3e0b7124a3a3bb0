//! Batch calls of which AWS does a part.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};
use tollgate_testkit::aws::{LeftOut, UNDONE};

use crate::{
    call::Call,
    dice::Dice,
    http::{self, Answer, Reset},
};

/// Of the entries one in so many, where the rule does not say.
const ONE_IN: u64 = 3;

/// Whether AWS may do a part of this call. Of an item alone DynamoDB says an error instead ("BatchGetItem" and
/// "BatchWriteItem", API reference: if none of the items can be processed, the call fails).
pub fn is_possible(call: &Call) -> bool {
    call.entries() >= if does_some(call) { 2 } else { 1 }
}

fn does_some(call: &Call) -> bool {
    matches!(call.operation.as_str(), "BatchGetItem" | "BatchWriteItem")
}

/// A batch call without some of its entries.
#[derive(Debug)]
pub struct Rest {
    /// What is left out, and the others.
    pub entries: LeftOut,
    /// So many are left out.
    pub count: usize,
}

/// Leaves out some of the entries, one at least.
pub fn leave_out(call: &Call, one_in: Option<u64>, dice: &mut Dice) -> Rest {
    let count = call.entries();
    let mut places: Vec<usize> = (0..count).collect();
    dice.shuffle(&mut places);
    let more = places.iter().skip(1).filter(|_| dice.below(one_in.unwrap_or(ONE_IN)) == 0).count();
    let most = if does_some(call) { count - 1 } else { count };
    places.truncate((more + 1).min(most));
    let count = places.len();
    let places = places.into_iter().map(|place| (place, UNDONE)).collect();
    Rest { entries: LeftOut::of(&call.operation, &call.json(), places), count }
}

impl Rest {
    /// The answer to the whole call; `rest` asks for the others, and is not called where there are none.
    pub async fn answer(self, rest: impl AsyncFnOnce() -> Result<Answer, Reset>) -> Result<Answer, Reset> {
        let (mut head, body) = if self.entries.is_all() {
            let mut answer = Response::new(Full::default());
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
            answer.into_parts()
        } else {
            rest().await?.into_parts()
        };
        let bytes = http::body(Response::new(body)).await?;
        if head.status != StatusCode::OK {
            return Ok(Response::from_parts(head, Full::new(bytes)));
        }
        let answer: Value =
            if bytes.is_empty() { json!({}) } else { serde_json::from_slice(&bytes).map_err(|_| Reset)? };
        // Of the body that is not the body any more.
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove("x-amz-crc32");
        let whole = self.entries.merged(answer).to_string();
        Ok(Response::from_parts(head, Full::new(Bytes::from(whole))))
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;
    use crate::http::Whole;

    fn call(operation: &str, body: &Value) -> Call {
        let request =
            Request::builder().uri("/").header("x-amz-target", format!("X.{operation}")).body(()).unwrap();
        let whole = Whole { head: request.into_parts().0, body: body.to_string().into() };
        Call::to_aws("processor", &whole)
    }

    #[test]
    fn one_is_left_out_at_least_and_never_all_items() {
        let keys: Vec<Value> = (0..4).map(|n| json!({"event_key": {"S": format!("{n}")}})).collect();
        let read = call("BatchGetItem", &json!({"RequestItems": {"events": {"Keys": keys}}}));
        let counts: std::collections::BTreeSet<usize> = (0..200)
            .map(|seed| leave_out(&read, Some(2), &mut Dice::new(&format!("{seed}"))).count)
            .collect();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(leave_out(&read, Some(1), &mut Dice::new("1")).count, 3);
    }

    #[test]
    fn only_batches_have_parts() {
        let one = json!({"RequestItems": {"events": {"Keys": [{"event_key": {"S": "a"}}]}}});
        assert!(!is_possible(&call("BatchGetItem", &one)));
        assert!(!is_possible(&call("PutItem", &json!({"Item": {}}))));
        assert!(is_possible(&call("PutEvents", &json!({"Entries": [{}]}))));
    }
}
