//! What AWS refuses, of the calls that our adapters make, and how it answers in part.
//!
//! The local peer takes more than AWS does and answers whole. [`refusal`] and [`bad_entries`] say what AWS would refuse;
//! [`Server`] plays AWS with both in front, and [`Strict`] stands before the local peer.

mod dynamodb;
mod http;
mod queues;
mod strict;

use serde_json::Value;

pub use self::{http::Server, strict::Strict};

/// A call that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error's code.
    pub code: &'static str,
    /// What is wrong, for people.
    pub why: String,
}

/// An answer, or what is wrong.
type Checked = Result<(), Refusal>;

fn refuse<T>(code: &'static str, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, why: why.into() })
}

fn ensure(is_good: bool, code: &'static str, why: &str) -> Checked {
    if is_good { Ok(()) } else { refuse(code, why) }
}

/// Why AWS refuses this call as a whole, whatever its tables and queues hold; `None` where it does not.
pub fn refusal(operation: &str, request: &Value) -> Option<Refusal> {
    let checked = match operation {
        "PutItem" => dynamodb::put_item(request),
        "UpdateItem" => dynamodb::update_item(request),
        "GetItem" => dynamodb::get_item(request),
        "Query" => dynamodb::expressions(request),
        "BatchGetItem" => dynamodb::batch_get(request),
        "BatchWriteItem" => dynamodb::batch_write(request),
        "BatchExecuteStatement" => dynamodb::batch_execute(request),
        "SendMessage" => queues::send(request),
        "SendMessageBatch" => queues::send_batch(request),
        "PutEvents" => queues::put_events(request),
        _ => Ok(()),
    };
    checked.err()
}

/// The entries of a batch call that AWS refuses by themselves, each with its error's code: the others are done.
pub fn bad_entries(operation: &str, request: &Value) -> Vec<(usize, &'static str)> {
    let check: fn(&Value) -> Checked = match operation {
        "SendMessageBatch" => queues::entry,
        "PutEvents" => queues::event,
        "BatchExecuteStatement" => dynamodb::statement,
        _ => return Vec::new(),
    };
    let entries = request.get("Entries").or_else(|| request.get("Statements")).and_then(Value::as_array);
    let bad = |(index, entry)| Some((index, check(entry).err()?.code));
    entries.into_iter().flatten().enumerate().filter_map(bad).collect()
}
