//! Which calls, and which entries of them, AWS refuses.

use serde_json::Value;

use super::{
    checked::{Checked, Refusal},
    dynamodb, queues,
};

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
