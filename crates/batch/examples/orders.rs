//! A whole function body without the function: reads an SQS event on standard input, handles its records,
//! prints the answer for Lambda, and what happened on standard error.
//!
//! ```text
//! echo '{"Records":[
//!   {"messageId":"m1","body":"{\"total\":5}","attributes":{"MessageGroupId":"a"},
//!    "eventSourceARN":"arn:aws:sqs:eu-west-1:1:orders.fifo"},
//!   {"messageId":"m2","body":"{\"total\":-1}","attributes":{"MessageGroupId":"a"}},
//!   {"messageId":"m3","body":"{\"total\":7}","attributes":{"MessageGroupId":"a"}},
//!   {"messageId":"m4","body":"what?","attributes":{"MessageGroupId":"b"}}]}' |
//! cargo run -q -p tollgate-batch --example orders
//! ```
//!
//! Under `lambda_runtime`, `main` becomes a handler that takes the event and returns the response or the error.

use std::{error::Error, io::stdin, time::Duration, time::Instant};

use serde::Deserialize;
use tollgate_batch::{Batch, Deadline, Kind, Outcome};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// Absent becomes empty: the batch knows what to do about it.
    #[serde(default)]
    message_id: String,
    body: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default, rename = "eventSourceARN")]
    event_source_arn: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    message_group_id: Option<String>,
}

#[derive(Deserialize)]
struct Order {
    total: i64,
}

// An edge: the real clock.
#[allow(clippy::disallowed_methods)]
fn main() -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let clock = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let time_limit = Duration::from_secs(30);

    let event: Event = serde_json::from_reader(stdin().lock())?;
    let queue = event.records.first().map_or("", |record| record.event_source_arn.as_str());
    let ids = event
        .records
        .iter()
        .map(|record| (record.message_id.as_str(), record.attributes.message_group_id.as_deref()));
    let mut batch = Batch::new(Kind::of_queue(queue), ids);

    let deadline = Deadline::new(clock(), u64::try_from(time_limit.as_millis())?, 2_000);
    let panics = batch.run(
        || deadline.has_time(clock()),
        |index| event.records.get(index).map_or(Outcome::Retry("no_such_record"), handle),
    );

    for (index, panic) in panics {
        eprintln!("record {index} {panic}");
    }
    eprintln!("{:?}", batch.summary());
    println!("{}", serde_json::to_string(&batch.response()?)?);
    Ok(())
}

fn handle(record: &Record) -> Outcome {
    match serde_json::from_str::<Order>(&record.body) {
        // Trying again cannot help. With a quarantine at hand: write it there and say `Quarantined`.
        Err(_) => Outcome::Poison("not_an_order"),
        Ok(order) if order.total < 0 => Outcome::Retry("stock_is_busy"),
        Ok(_) => Outcome::Ok,
    }
}
