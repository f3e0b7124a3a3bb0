//! Partial batch responses for SQS: the list of the records that failed, in the form that Lambda accepts.
//!
//! A Lambda function that reads an SQS queue with `ReportBatchItemFailures` gets a batch and returns the message ids
//! that the queue must keep. The rules are few and easy to break. On a FIFO queue the records after a failure in its
//! message group must be kept too. A panic must not fail the other records. A record that was not begun before the
//! deadline must not count as done. One empty or unknown id in the response fails the whole batch. This crate holds
//! those rules and nothing else: no AWS client, no runtime, no clock, no I/O.
//!
//! With the feature `aws_lambda_events` it takes events and returns responses of the crate of that name:
//! `handle_event` is a whole function body.
//!
//! # One record at a time
//!
//! ```
//! use tollgate_batch::{Batch, Deadline, Kind, Outcome};
//!
//! // From the event: each record's messageId and attributes.MessageGroupId.
//! let records = [("m1", Some("a")), ("m2", Some("a")), ("m3", Some("b")), ("m4", Some("a"))];
//! let mut batch = Batch::new(Kind::of_queue("arn:aws:sqs:eu-west-1:1:orders.fifo"), records);
//!
//! // From the invocation: milliseconds left, and how many of them to keep for the end.
//! let clock = || 1_000;
//! let deadline = Deadline::new(clock(), 30_000, 2_000);
//!
//! let panics = batch.run(
//!     || deadline.has_time(clock()),
//!     |index| match records[index].0 {
//!         "m2" => Outcome::Retry("throttled"),
//!         _ => Outcome::Ok,
//!     },
//! );
//!
//! assert!(panics.is_empty());
//! // m4 comes after m2 in its group; group b continues.
//! assert_eq!(batch.failures()?, ["m2", "m4"]);
//! let response = batch.response()?; // serialises to what Lambda expects
//! assert_eq!(
//!     serde_json::to_string(&response).unwrap(),
//!     r#"{"batchItemFailures":[{"itemIdentifier":"m2"},{"itemIdentifier":"m4"}]}"#
//! );
//! # Ok::<(), tollgate_batch::Unreportable>(())
//! ```
//!
//! [`Batch::run_async`] does the same for futures, several at a time.
//!
//! # Many records at a time
//!
//! A function can also work in stages: decode all records, write them in a few batched calls, publish them in a few
//! more. [`Batch::next_wave`] returns records that do not depend on each other: on a standard queue the whole batch, on
//! a FIFO queue the next record of each group. [`Batch::settle`] takes each record's outcome.
//!
//! ```
//! use tollgate_batch::{Batch, Kind, Outcome, guard};
//!
//! let bodies = ["1", "x", "3"];
//! let mut batch = Batch::new(Kind::Standard, [("m1", None), ("m2", None), ("m3", None)]);
//!
//! while let Some(wave) = batch.next_wave() {
//!     // Stage 1, per record. A panic is its record's failure.
//!     let mut decoded = Vec::new();
//!     for index in wave {
//!         match guard(|| bodies[index].parse::<u32>()) {
//!             Ok(Ok(number)) => decoded.push((index, number)),
//!             // A real function writes the record to its quarantine first. If that fails, it settles the record
//!             // as `Outcome::Poison`, which keeps it in the queue.
//!             Ok(Err(_)) => batch.settle(index, Outcome::Quarantined("not_a_number"))?,
//!             Err(panic) => batch.settle(index, panic.into())?,
//!         }
//!     }
//!     // Stage 2, one call for all; its result lists the failures.
//!     for (index, number) in decoded {
//!         let outcome = if number == 3 { Outcome::Retry("unprocessed_item") } else { Outcome::Ok };
//!         batch.settle(index, outcome)?;
//!     }
//! }
//!
//! assert_eq!(batch.failures()?, ["m3"]);
//! let summary = batch.summary();
//! assert_eq!((summary.ok, summary.quarantined, summary.retries), (1, 1, 1));
//! assert_eq!(summary.reasons["not_a_number"], 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it decides
//!
//! | case | response |
//! |---|---|
//! | a record fails | its id, and on a FIFO queue the ids of all later records of its group |
//! | poison in the quarantine | not in the list, and its group continues |
//! | poison that is not in the quarantine | in the list: SQS moves it to the dead-letter queue after too many receives |
//! | a panic | that record's failure, to be tried again |
//! | never settled (deadline, a bug in the caller) | in the list |
//! | all records failed | the full list, which on SQS has the effect of a failed invocation; [`Summary::all_failed`] tells you, should you want an error |
//! | a message id twice in a batch | every copy is handled, on a standard queue one after the other; the id is listed once, if any copy failed |
//! | a record without a message id | handled like any other; if it fails, there is no list but [`Unreportable`], and the invocation must fail |
//! | a record without a group on a FIFO queue | in one group with the other records without a group |
//! | groups on a standard queue (fair queues) | have no effect |
//!
//! Lambda takes a response that it cannot read as a failure of the whole batch, and no response, `null` or an empty
//! list as success. So an error must leave the function as an error, never as a default value.

mod batch;
mod deadline;
#[cfg(panic = "unwind")]
mod guard;
mod outcome;
mod response;
#[cfg(panic = "unwind")]
mod run;
#[cfg(all(feature = "aws_lambda_events", panic = "unwind"))]
mod sqs;

pub use batch::{Batch, Kind, NotBegun, Unreportable};
pub use deadline::Deadline;
#[cfg(panic = "unwind")]
pub use guard::{Panic, guard, guard_async};
pub use outcome::{Outcome, PANICKED, Reason, Summary};
pub use response::Response;
#[cfg(all(feature = "aws_lambda_events", panic = "unwind"))]
pub use sqs::{Handled, handle_event};

/// The examples of the README are tests.
#[cfg(all(doctest, feature = "aws_lambda_events"))]
#[doc = include_str!("../README.md")]
struct Readme;
