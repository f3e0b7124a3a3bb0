//! A whole Lambda function that reports partial batches. Each message's body is a number of seconds to wait for.
//!
//! ```text
//! cargo build --release -p tollgate-batch --features aws_lambda_events --example partial_batches
//! ```
//!
//! Its event source mapping needs `ReportBatchItemFailures`.

use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use tollgate_batch::{Outcome, handle_event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(function)).await
}

#[allow(clippy::disallowed_methods, reason = "a program reads the real clock")]
async fn function(event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let stop_at = event.context.deadline() - Duration::from_secs(2);
    let has_time = || SystemTime::now() < stop_at;
    let handled = handle_event(&event.payload, 10, has_time, handle).await?;
    handled.panics.iter().for_each(|(index, panic)| eprintln!("message {index} {panic}"));
    Ok(handled.response)
}

async fn handle(message: &SqsMessage) -> Outcome {
    match message.body.as_deref().map(str::parse) {
        Some(Ok(seconds)) if seconds <= 60 => {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Outcome::Ok
        }
        Some(Ok(_)) => Outcome::Retry("too_long"),
        _ => Outcome::Poison("not_a_number"),
    }
}
