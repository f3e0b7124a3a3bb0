//! Partial-batch semantics for SQS: which records of a batch failed, said so that Lambda believes it.
//!
//! A Lambda function that reads an SQS queue with `ReportBatchItemFailures` gets a batch and answers with the
//! message ids that the queue must keep. The rules are few, and each one is easily broken: on a FIFO queue
//! whatever follows a failure in its message group must be kept as well; a panic must not take the other records
//! with it; what the deadline cut off must not count as done; and one empty or unknown identifier in the answer
//! makes Lambda take the whole batch for failed. This crate holds those rules and nothing else: no AWS, no
//! runtime, no clock, no I/O.
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
//! // m4 comes after m2 in its group; group b goes on.
//! assert_eq!(batch.failures()?, ["m2", "m4"]);
//! let answer = batch.response()?; // serialises to what Lambda expects
//! assert_eq!(
//!     serde_json::to_string(&answer).unwrap(),
//!     r#"{"batchItemFailures":[{"itemIdentifier":"m2"},{"itemIdentifier":"m4"}]}"#
//! );
//! # Ok::<(), tollgate_batch::Unreportable>(())
//! ```
//!
//! [`Batch::run_async`] does the same for futures, several at a time.
//!
//! # Many records at a time
//!
//! [`Batch`] is a tracker and not a loop, so that a function can work in stages: decode everything, write it in
//! a few batched calls, publish it in a few more. A wave is a set of records that are independent of each other;
//! on a standard queue it is the whole batch, on a FIFO queue the next record of every group.
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
//!             // Here a real function writes the record to its quarantine, and where that fails settles it as
//!             // `Outcome::Poison`, which keeps it in the queue.
//!             Ok(Err(_)) => batch.settle(index, Outcome::Quarantined("not_a_number"))?,
//!             Err(panic) => batch.settle(index, panic.into())?,
//!         }
//!     }
//!     // Stage 2, one call for all; its answer lists what failed.
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
//! | case | answer |
//! |---|---|
//! | a record fails | its id, and on a FIFO queue the ids of all later records of its group |
//! | poison, safely quarantined | done: not in the list, and its group goes on |
//! | poison that could not be quarantined | in the list: the receive count takes it to the dead-letter queue |
//! | a panic | that record's failure, to be tried again |
//! | never settled (deadline, a bug in the caller) | in the list |
//! | everything failed | the full list, which on SQS is the same as a failed invocation; [`Summary::all_failed`] is there for those who want it to count as an error |
//! | a message id twice in a batch | every copy is handled, one after the other on a standard queue; reported once, if any copy failed |
//! | a record without a message id | handled like any other; if it fails, [`Unreportable`] instead of a list, and the invocation must fail |
//! | a record without a group on a FIFO queue | in one group with the others of its sort |
//! | groups on a standard queue (fair queues) | of no meaning |
//!
//! Lambda reads an answer it cannot understand as a failure of the whole batch; no answer at all, `null` or an
//! empty list as success. So an error must leave the function as an error, never as a default value.

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
