//! DynamoDB: "Quotas in Amazon DynamoDB", "Constraints in Amazon DynamoDB" and "Reserved words in DynamoDB" (developer
//! guide), and the operations' pages (API reference).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::checked::{Checked, ensure, refuse};

const INVALID: &str = "ValidationException";
/// An item, names counted, in bytes.
const ITEM_BYTES: usize = 400 * 1_024;
/// A partition key's value, in bytes.
const PARTITION_BYTES: usize = 2_048;
/// A sort key's value, in bytes.
const SORT_BYTES: usize = 1_024;
/// The data of a BatchWriteItem, in bytes.
const WRITE_BYTES: usize = 16 * 1_024 * 1_024;
/// An expression, in bytes.
const EXPRESSION_BYTES: usize = 4_096;
/// A PartiQL statement, in characters (BatchStatementRequest).
const STATEMENT_LENGTH: usize = 8_192;

/// The key attributes of our tables and of their index: the partition's, and the sort key's.
const TABLES: [&[&str]; 2] = [&["event_key"], &["transaction_id", "sort_key"]];
const INDEX: [&str; 2] = ["customer_key", "occurred_at"];

static RESERVED: &str = include_str!("reserved_words.txt");

pub(super) fn put_item(request: &Value) -> Checked {
    item(&request["Item"])?;
    expressions(request)
}

pub(super) fn update_item(request: &Value) -> Checked {
    key(&request["Key"])?;
    expressions(request)
}

pub(super) fn get_item(request: &Value) -> Checked {
    key(&request["Key"])?;
    expressions(request)
}

/// Up to 25 puts, each key once, 16 MB.
pub(super) fn batch_write(request: &Value) -> Checked {
    let puts = by_table(&request["RequestItems"]).into_iter().flat_map(|(_, list)| list.as_array());
    let puts: Vec<&Value> = puts.flatten().map(|write| &write["PutRequest"]["Item"]).collect();
    ensure((1..=25).contains(&puts.len()), INVALID, "1 to 25 writes")?;
    for put in &puts {
        item(put)?;
    }
    let bytes: usize = puts.iter().map(|put| size_of_item(put)).sum();
    ensure(bytes <= WRITE_BYTES, INVALID, "too many bytes")?;
    each_once(puts.into_iter().map(|put| key_of(put)))
}

/// Up to 100 keys, each once.
pub(super) fn batch_get(request: &Value) -> Checked {
    let mut keys: Vec<Vec<&Value>> = Vec::new();
    for (_, table) in by_table(&request["RequestItems"]) {
        expressions(table)?;
        for one in table["Keys"].as_array().into_iter().flatten() {
            key(one)?;
            keys.push(key_of(one));
        }
    }
    ensure((1..=100).contains(&keys.len()), INVALID, "1 to 100 keys")?;
    each_once(keys.into_iter())
}

/// Up to 25 statements.
pub(super) fn batch_execute(request: &Value) -> Checked {
    let statements = request["Statements"].as_array().map_or(&[][..], Vec::as_slice);
    ensure((1..=25).contains(&statements.len()), INVALID, "1 to 25 statements")
}

/// One statement, which has a verdict of its own.
pub(super) fn statement(statement: &Value) -> Checked {
    const INVALID: &str = "ValidationError";
    let text = statement["Statement"].as_str().unwrap_or_default();
    let parameters = statement["Parameters"].as_array().map_or(&[][..], Vec::as_slice);
    ensure((1..=STATEMENT_LENGTH).contains(&text.chars().count()), INVALID, "a statement's length")?;
    ensure(text.matches('?').count() == parameters.len(), INVALID, "a parameter for each place")?;
    for parameter in parameters {
        value(parameter).or_else(|refusal| refuse(INVALID, refusal.why))?;
    }
    // What is in quotes is the table's name, or an attribute's name that may be any word.
    let bare: String = text.split(['"', '\'']).step_by(2).collect();
    let names = words(&bare).into_iter().filter(|word| word.chars().any(|c| c.is_ascii_lowercase()));
    match names.into_iter().find(|word| is_reserved(word)) {
        Some(word) => refuse(INVALID, format!("{word} is a reserved word")),
        None => Ok(()),
    }
}

/// Every placeholder is given and used, and no bare name is a reserved word.
pub(super) fn expressions(request: &Value) -> Checked {
    let texts = ["ProjectionExpression", "ConditionExpression", "UpdateExpression", "KeyConditionExpression"];
    let texts = texts.iter().chain(&["FilterExpression"]).filter_map(|name| request[*name].as_str());
    let all: Vec<&str> = texts.collect();
    for text in &all {
        ensure((1..=EXPRESSION_BYTES).contains(&text.len()), INVALID, "an expression's length")?;
        if let Some(word) = words(text).into_iter().find(|word| is_reserved(word)) {
            return refuse(INVALID, format!("{word} is a reserved word"));
        }
    }
    for (given, mark) in [("ExpressionAttributeValues", ':'), ("ExpressionAttributeNames", '#')] {
        let used: BTreeSet<String> = all.iter().flat_map(|text| placeholders(text, mark)).collect();
        let given = request[given].as_object();
        let names: BTreeSet<String> = given.into_iter().flat_map(Map::keys).cloned().collect();
        ensure(used == names, INVALID, "placeholders that are used and given")?;
    }
    for given in request["ExpressionAttributeValues"].as_object().into_iter().flat_map(Map::values) {
        value(given)?;
    }
    Ok(())
}

fn by_table(tables: &Value) -> Vec<(&String, &Value)> {
    tables.as_object().into_iter().flatten().collect()
}

/// An item: its whole key, an index's keys where they are there, every value, its size.
fn item(item: &Value) -> Checked {
    let Some(names) = schema(item) else { return refuse(INVALID, "a part of the key is missing") };
    key_values(item, names)?;
    for (position, name) in INDEX.iter().enumerate() {
        if item.get(*name).is_some() {
            key_value(&item[*name], position)?;
        }
    }
    for one in item.as_object().into_iter().flat_map(Map::values) {
        value(one)?;
    }
    ensure(size_of_item(item) <= ITEM_BYTES, INVALID, "an item of more than 400 KB")
}

/// A whole key and nothing else.
fn key(key: &Value) -> Checked {
    let Some(names) = schema(key) else { return refuse(INVALID, "a part of the key is missing") };
    let count = key.as_object().map_or(0, Map::len);
    ensure(count == names.len(), INVALID, "more than the key")?;
    key_values(key, names)
}

fn schema(item: &Value) -> Option<&'static [&'static str]> {
    TABLES.into_iter().find(|names| names.iter().all(|name| item.get(*name).is_some()))
}

fn key_of(item: &Value) -> Vec<&Value> {
    schema(item).into_iter().flatten().map(|name| &item[*name]).collect()
}

fn key_values(item: &Value, names: &[&str]) -> Checked {
    names.iter().enumerate().try_for_each(|(position, name)| key_value(&item[*name], position))
}

fn key_value(value: &Value, position: usize) -> Checked {
    let most = if position == 0 { PARTITION_BYTES } else { SORT_BYTES };
    let Some(text) = value["S"].as_str() else { return refuse(INVALID, "a key of another type") };
    ensure((1..=most).contains(&text.len()), INVALID, "a key's value that is empty or too long")
}

fn each_once<'v>(keys: impl Iterator<Item = Vec<&'v Value>>) -> Checked {
    let mut seen = BTreeSet::new();
    for key in keys {
        let text = format!("{key:?}");
        ensure(seen.insert(text), INVALID, "Provided list of item keys contains duplicates")?;
    }
    Ok(())
}

/// A value has one type. A number has up to 38 digits, a set is not empty, a text may be.
fn value(value: &Value) -> Checked {
    let Some([(kind, content)]) = value
        .as_object()
        .map(|map| map.iter().collect::<Vec<_>>())
        .as_deref()
        .and_then(|fields| <[(&String, &Value); 1]>::try_from(fields).ok())
    else {
        return refuse(INVALID, "a value of no type or of several");
    };
    let is_good = match (kind.as_str(), content) {
        ("S" | "B", Value::String(_)) | ("BOOL", Value::Bool(_)) | ("NULL", Value::Bool(true)) => true,
        ("N", Value::String(digits)) => {
            let count = digits.bytes().filter(u8::is_ascii_digit).count();
            digits.parse::<f64>().is_ok() && (1..=38).contains(&count)
        }
        ("SS" | "NS" | "BS", Value::Array(all)) => {
            let texts: BTreeSet<&str> = all.iter().filter_map(Value::as_str).collect();
            !all.is_empty() && texts.len() == all.len()
        }
        ("L", Value::Array(all)) => return all.iter().try_for_each(self::value),
        ("M", Value::Object(all)) => return all.values().try_for_each(self::value),
        _ => false,
    };
    ensure(is_good, INVALID, "a value that is not of its type")
}

/// "DynamoDB item sizes and formats", developer guide.
fn size_of_item(item: &Value) -> usize {
    item.as_object().into_iter().flatten().map(|(name, value)| name.len() + size(value)).sum()
}

fn size(value: &Value) -> usize {
    let texts = |all: &Vec<Value>| all.iter().filter_map(Value::as_str).map(str::len).sum();
    let Some((kind, content)) = value.as_object().and_then(|map| map.iter().next()) else { return 0 };
    match (kind.as_str(), content) {
        ("N", Value::String(digits)) => digits.len() / 2 + 1,
        (_, Value::String(text)) => text.len(),
        ("L", Value::Array(all)) => 3 + all.iter().map(|one| 1 + size(one)).sum::<usize>(),
        ("M", Value::Object(all)) => {
            3 + all.iter().map(|(name, one)| 1 + name.len() + size(one)).sum::<usize>()
        }
        (_, Value::Array(all)) => texts(all),
        _ => 1,
    }
}

/// The bare words of an expression which are attributes' names: no placeholder, no function, no word of the language.
fn words(expression: &str) -> Vec<&str> {
    const LANGUAGE: [&str; 12] =
        ["AND", "OR", "NOT", "SET", "REMOVE", "ADD", "DELETE", "BETWEEN", "IN", "UPDATE", "WHERE", "VALUE"];
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '#');
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(begin) = rest.find(is_part) {
        rest = &rest[begin..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_name && !after.starts_with('(') && !LANGUAGE.contains(&word) {
            found.push(word);
        }
        rest = after;
    }
    found
}

fn placeholders(expression: &str, mark: char) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression
        .match_indices(mark)
        .map(|(at, _)| {
            let name: String = expression[at + 1..].chars().take_while(|c| is_part(*c)).collect();
            format!("{mark}{name}")
        })
        .collect()
}

fn is_reserved(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    RESERVED.split_ascii_whitespace().any(|reserved| reserved == word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::aws::{bad_entries, refusal};

    fn put(item: serde_json::Value) -> serde_json::Value {
        json!({"PutRequest": {"Item": item}})
    }

    #[test]
    fn what_dynamodb_refuses_is_refused() {
        let event = |key: &str| json!({"event_key": {"S": key}});
        let row = |id: &str, sort: &str| json!({"transaction_id": {"S": id}, "sort_key": {"S": sort}});
        let with = |name: &str, value: serde_json::Value| {
            let mut item = event("k");
            item[name] = value;
            item
        };
        let write = |items: Vec<serde_json::Value>| json!({"RequestItems": {"t": items}});
        let read = |keys: Vec<serde_json::Value>| json!({"RequestItems": {"t": {"Keys": keys}}});
        let many = |count: usize| (0..count).map(|n| event(&n.to_string())).collect::<Vec<_>>();
        let puts = |count: usize| many(count).into_iter().map(put).collect::<Vec<_>>();
        // The names and the key: 9 + 1 + 1.
        let fits = super::ITEM_BYTES - 11;
        for (operation, good) in [
            ("PutItem", json!({"Item": with("a", json!({"S": "x".repeat(fits)}))})),
            ("PutItem", json!({"Item": with("a", json!({"S": ""}))})),
            ("PutItem", json!({"Item": row(&"x".repeat(2_048), &"x".repeat(1_024))})),
            ("BatchWriteItem", write(puts(25))),
            ("BatchGetItem", read(many(100))),
            (
                "PutItem",
                json!({"Item": event("k"), "ConditionExpression": "attribute_not_exists(event_key) OR #of <= :now",
                "ExpressionAttributeNames": {"#of": "of"}, "ExpressionAttributeValues": {":now": {"N": "1"}}}),
            ),
        ] {
            assert_eq!(refusal(operation, &good), None);
        }
        let twice = vec![event("k"), event("k")];
        for (operation, bad) in [
            ("PutItem", json!({"Item": event("")})),
            ("PutItem", json!({"Item": {"event_key": {"N": "1"}}})),
            ("PutItem", json!({"Item": {"transaction_id": {"S": "t"}}})),
            ("PutItem", json!({"Item": event(&"x".repeat(2_049))})),
            ("PutItem", json!({"Item": row("t", &"x".repeat(1_025))})),
            ("PutItem", json!({"Item": with("customer_key", json!({"S": ""}))})),
            ("PutItem", json!({"Item": with("a", json!({"S": "x".repeat(fits + 1)}))})),
            ("PutItem", json!({"Item": with("a", json!({"N": "one"}))})),
            ("PutItem", json!({"Item": with("a", json!({"N": "1".repeat(39)}))})),
            ("PutItem", json!({"Item": with("a", json!({"SS": []}))})),
            ("PutItem", json!({"Item": with("a", json!({"S": "x", "N": "1"}))})),
            ("PutItem", json!({"Item": with("a", json!({"L": [{"S": 1}]}))})),
            (
                "PutItem",
                json!({"Item": event("k"), "ConditionExpression": "state = :x",
                "ExpressionAttributeValues": {":x": {"S": "x"}}}),
            ),
            ("PutItem", json!({"Item": event("k"), "ExpressionAttributeValues": {":x": {"S": "unused"}}})),
            ("UpdateItem", json!({"Key": event("k"), "UpdateExpression": "SET a = :missing"})),
            ("UpdateItem", json!({"Key": with("a", json!({"S": "x"}))})),
            ("BatchWriteItem", write(puts(26))),
            ("BatchWriteItem", write(vec![])),
            ("BatchWriteItem", write(twice.iter().cloned().map(put).collect())),
            ("BatchGetItem", read(many(101))),
            ("BatchGetItem", read(twice)),
            (
                "BatchGetItem",
                json!({"RequestItems": {"t": {"Keys": many(1), "ProjectionExpression": "rank"}}}),
            ),
            ("BatchExecuteStatement", json!({"Statements": []})),
            ("BatchExecuteStatement", json!({"Statements": vec![json!({}); 26]})),
        ] {
            assert!(refusal(operation, &bad).is_some_and(|it| it.code == "ValidationException"), "{bad}");
        }
        let run = |text: &str, count: usize| {
            json!({"Statements": [
            {"Statement": text, "Parameters": vec![json!({"S": "x"}); count]}]})
        };
        for (text, count, bad) in [
            (r#"INSERT INTO "events" VALUE {'event_key': ?, 'of': ?}"#, 2, false),
            (r#"INSERT INTO "events" VALUE {'event_key': ?}"#, 2, true),
            (r#"UPDATE "events" SET "state" = ? WHERE event_key = ?"#, 2, false),
            (r#"UPDATE "events" SET state = ? WHERE event_key = ?"#, 2, true),
        ] {
            assert_eq!(!bad_entries("BatchExecuteStatement", &run(text, count)).is_empty(), bad, "{text}");
        }
    }
}
