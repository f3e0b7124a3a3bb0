//! The function's response to the event source mapping.

use serde::Serialize;

/// Serialises to exactly `{"batchItemFailures":[{"itemIdentifier":"…"}]}`. Only a [`Batch`](crate::Batch) makes one, so
/// it never holds an id that Lambda would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

impl Response {
    pub(crate) fn new(failures: &[&str]) -> Self {
        let failure = |id: &&str| ItemFailure { item_identifier: (*id).to_owned() };
        Self { batch_item_failures: failures.iter().map(failure).collect() }
    }

    /// The failed message ids, each once, in the order of the batch.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = &str> {
        self.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str())
    }
}
