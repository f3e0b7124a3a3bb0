//! Conflicts: deliveries that told a known event with other payment facts, and an operator's decision which facts are true.
//!
//! Each is a dead letter of an intake until it is decided, or SQS deletes it. A decision writes no claim and publishes nothing:
//! the facts that an event was claimed with stand, and others have an effect as an event of its own alone. What is deleted is a
//! message that can have no effect.

mod decide;
mod find;
mod model;

pub use self::{
    decide::{Decision, Done, Judgement, decide, judge},
    find::{of, waiting},
    model::{Conflict, Contested, Found, MOST_LISTED, REASON},
};
