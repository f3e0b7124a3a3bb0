//! Partial-batch semantics for SQS: outcomes, FIFO groups, deadlines, panic capture.

mod batch;
mod deadline;
#[cfg(panic = "unwind")]
mod guard;
mod outcome;
mod response;
#[cfg(panic = "unwind")]
mod run;

pub use batch::{Batch, Kind, NotBegun, Unreportable};
pub use deadline::Deadline;
#[cfg(panic = "unwind")]
pub use guard::{Panic, guard, guard_async};
pub use outcome::{Outcome, PANICKED, Reason, Summary};
pub use response::Response;
