//! BatchGetItem and BatchWriteItem, each item with its own result.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    types::{AttributeValue, KeysAndAttributes, PutRequest, WriteRequest},
};
use tollgate_pipeline::ports::{PortError, PortResult};

use crate::{
    batch::{Budget, Item, Limits},
    error::{build_error, port_error},
};

pub(crate) const SERVICE: &str = "dynamodb";
pub(crate) static BUDGET: Budget = Budget::full();

/// BatchGetItem: 100 keys a call, and 16 MB of answer, which 100 of our items do not reach: the longest, an event, is 131,072 bytes (API
/// reference).
pub(crate) static READ: Limits = Limits { service: SERVICE, items: 100, bytes: usize::MAX, budget: &BUDGET };
/// BatchWriteItem: 25 items and 16 MB a call (API reference).
pub(crate) static WRITE: Limits = Limits { service: SERVICE, items: 25, bytes: 16_000_000, budget: &BUDGET };

/// An item as the SDK has it.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// A read of items that are told apart by one attribute of their keys.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    pub(crate) client: &'a Client,
    pub(crate) table: &'a str,
    /// The attribute that tells items apart.
    pub(crate) key: &'static str,
    /// Which attributes are read, `key` among them.
    pub(crate) projection: &'static str,
    /// Placeholders of `projection` for attributes whose names are reserved words.
    pub(crate) names: &'static [(&'static str, &'static str)],
}

impl Read<'_> {
    /// Reads the items with these whole keys in one call, consistently. `None` where there is no item.
    pub(crate) async fn call<T>(
        &self,
        keys: Vec<Attributes>,
        parse: impl Fn(&Attributes) -> PortResult<T>,
    ) -> Vec<Item<Option<T>>> {
        let asked: Vec<Option<String>> =
            keys.iter().map(|key| text(key, self.key).map(str::to_owned)).collect();
        let fail = |problem: PortError| asked.iter().map(|_| Item::Done(Err(problem.clone()))).collect();
        let mut request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .projection_expression(self.projection);
        for (placeholder, name) in self.names {
            request = request.expression_attribute_names(*placeholder, *name);
        }
        let Ok(request) = request.build() else { return fail(build_error(SERVICE)) };
        let answer = match self.client.batch_get_item().request_items(self.table, request).send().await {
            Ok(answer) => answer,
            Err(problem) => return fail(port_error(SERVICE, &problem)),
        };
        let found = answer.responses().and_then(|tables| tables.get(self.table)).into_iter().flatten();
        let unread = answer.unprocessed_keys().and_then(|tables| tables.get(self.table));
        let unread = unread.into_iter().flat_map(KeysAndAttributes::keys);
        let by_key = |item| Some((text(item, self.key)?, item));
        let (Some(found), Some(unread)) = (
            found.map(by_key).collect::<Option<HashMap<&str, &Attributes>>>(),
            unread.map(by_key).collect::<Option<HashMap<&str, &Attributes>>>(),
        ) else {
            return fail(PortError::retryable(SERVICE, "an item of the answer has no key"));
        };
        let is_asked = |key: &&str| asked.iter().flatten().any(|asked| asked == key);
        if !found.keys().chain(unread.keys()).all(is_asked) {
            return fail(PortError::retryable(SERVICE, "an item of the answer was not asked for"));
        }
        asked
            .iter()
            .map(|key| match key.as_deref() {
                None => Item::Done(Err(build_error(SERVICE))),
                Some(key) if unread.contains_key(key) => {
                    Item::LeftOver(PortError::retryable(SERVICE, "unprocessed key"))
                }
                Some(key) => Item::Done(found.get(key).map(|item| parse(item)).transpose()),
            })
            .collect()
    }
}

/// Puts items in one call. `key` names the attributes of the table's key, by which an unprocessed item is recognised.
pub(crate) async fn write(
    client: &Client,
    table: &str,
    key: &[&str],
    items: Vec<Attributes>,
) -> Vec<Item<()>> {
    let key_of = |item: &Attributes| -> Vec<Option<AttributeValue>> {
        key.iter().map(|name| item.get(*name).cloned()).collect()
    };
    let keys: Vec<Vec<Option<AttributeValue>>> = items.iter().map(key_of).collect();
    let fail = |problem: PortError| keys.iter().map(|_| Item::Done(Err(problem.clone()))).collect();
    let put = |item| {
        let put = PutRequest::builder().set_item(Some(item)).build()?;
        Ok::<_, BuildError>(WriteRequest::builder().put_request(put).build())
    };
    let Ok(requests) = items.into_iter().map(put).collect::<Result<Vec<WriteRequest>, _>>() else {
        return fail(build_error(SERVICE));
    };
    let answer = match client.batch_write_item().request_items(table, requests).send().await {
        Ok(answer) => answer,
        Err(problem) => return fail(port_error(SERVICE, &problem)),
    };
    let unprocessed = answer.unprocessed_items().and_then(|tables| tables.get(table)).into_iter().flatten();
    let unprocessed: Vec<Vec<Option<AttributeValue>>> = unprocessed
        .map(|request| request.put_request().map_or_else(Vec::new, |put| key_of(put.item())))
        .collect();
    if !unprocessed.iter().all(|key| keys.contains(key)) {
        return fail(PortError::retryable(SERVICE, "an unprocessed item was not sent"));
    }
    keys.iter()
        .map(|key| match unprocessed.contains(key) {
            true => Item::LeftOver(PortError::retryable(SERVICE, "unprocessed item")),
            false => Item::Done(Ok(())),
        })
        .collect()
}

/// An attribute's text.
pub(crate) fn text<'a>(item: &'a Attributes, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A set of texts, which is not empty: DynamoDB takes no empty set.
pub(crate) fn strings(texts: impl IntoIterator<Item = impl ToString>) -> AttributeValue {
    AttributeValue::Ss(texts.into_iter().map(|text| text.to_string()).collect())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
