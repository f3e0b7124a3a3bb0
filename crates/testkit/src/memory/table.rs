//! What DynamoDB asks of every call, for the tables in memory.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tollgate_pipeline::ports::{PortError, PortResult};

use crate::aws;

/// What DynamoDB refuses of an item, by the same checks as [`crate::aws`]: its key's lengths, its size.
pub(super) fn check(item: &Value) -> PortResult<()> {
    let refusal = aws::refusal("PutItem", &json!({ "Item": item }));
    refusal.map_or(Ok(()), |refusal| Err(PortError::permanent("dynamodb", refusal.code)))
}

/// A batch call that names a key twice is refused as a whole. Ours must never be: it panics.
pub(super) fn each_once<K: Ord + std::fmt::Debug>(keys: impl IntoIterator<Item = K>) {
    let mut seen = BTreeSet::new();
    for key in keys {
        assert!(!seen.contains(&key), "a batch names a key twice: {key:?}");
        seen.insert(key);
    }
}
