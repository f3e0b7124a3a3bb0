//! `docs/events.md`, the page for consumers, written from the event's JSON schema and the list of event types.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tollgate_core::{Category, EventType};

use crate::{sample_events, schema};

const HEAD: &str = "\
<!-- Written by `cargo run -p tollgate-testkit --example events-page > docs/events.md` from
infra/schema/payment-event.json and crates/core/src/event_type.rs: change those, not this. -->

# Events

The form of an event is [infra/schema/payment-event.json](../infra/schema/payment-event.json), a JSON Schema. What
Tollgate promises about delivery, order and repeats is in [SEMANTICS.md](SEMANTICS.md).

";

const CONSUMING: &str = "
## Consuming

Fulfil when an event of type `payment.succeeded` arrives in payments-queue: it comes once for each effect, but for a crash. An
event that restates an earlier one is on the bus only, unless the parameter `RouteRestatements` is true; a rule of your own
asks for `\"restates\": [null]`. That is right for every provider, whatever events it sends. The packages for
[Python, TypeScript and Rust](../consumers/README.md) also see to crashes, repeats and all that follows.

- Events come at least once and in any order. Drop repeats by `id` and by `effect_id`, and mark an effect as done after
  it is done. An event that restates another needs nothing, if you handled the first one.
- Read `amount.minor_units` as an integer of any size, or `amount.value` as a decimal. Never read money as a float:
  JavaScript's `JSON.parse` loses digits past 2^53.
- Do not rely on what the provider claims where `authenticity` is `authenticated`: ask its API before money moves.
- Log an event of type `payment.unrecognized`, with `provider_event_type` and `unrecognized`. It is not an error of
  yours: Tollgate knows no meaning for it.
- Refuse another `schema`. Ignore fields that you do not know, and leave events of types that you do not know alone.

### Movements and effects

`movement_id` says which money: a payment, a capture, a refund, a dispute, a payout. `effect_id` says what became of it: this
movement reached this state. Providers often tell one effect by several events. All of them are published with one
`effect_id`, and all but the first name that first one in `restates`.

A payment of 49.90 EUR that its provider tells by three events, and three refunds of 5.00 EUR:

";

const AFTER_STORY: &str = "
One payment to fulfil and three refunds to book: four effects, told by seven events. Without `movement_id` nobody could tell
the second telling of `re_2` from a further refund of the same amount.

A payment that is taken in parts has a movement for each capture, all with the payment's `transaction_id`: compare what was
taken with what is due.

### Order and backward states

Events of one payment may overtake each other. Keep the state that a movement has reached, by `movement_id`:

- A state of a higher rank is handled.
- One of the same rank is handled, unless it happened before (`occurred_at`).
- One of a lower rank came too late, unless the provider says that it happened later: a payment that fails after its success.
  Where the provider gives no time, `occurred_at` is `received_at` and says nothing about the order.
- What only begins a movement (*) never follows a success, whatever its time.

";

const AFTER_RANKS: &str = "
Types without a rank never come too late and change no state. `superseded` is a hint to the same end, by transaction: it costs
you no row of your own, and two of Tollgate's processors may miss each other.

### Waiting for your own row

A webhook may arrive before your own transaction has committed the order. Do not drop the event, and do not make the order
up: give the message back (`batchItemFailures`; the packages' `NotYet`). It returns after the queue's visibility timeout
(`RoutedVisibility`). After three receives it is in the queue's dead letters, from where it can be redriven; an alarm
watches them.
";

/// The whole page.
pub fn render() -> String {
    let root: Value = serde_json::from_str(schema::PAYMENT_EVENT).expect("the schema is JSON");
    let mut page = format!("{HEAD}{}\n\n## Fields\n\n", text(&root, "description"));
    page += &row(["field", "type", "present", "meaning"]);
    page += &row(["---"; 4]);
    fields(&mut page, &root, &root, "");
    page += "\n## Event types\n\n";
    page += &row(["type", "category", "meaning"]);
    page += &row(["---"; 3]);
    for kind in EventType::ALL {
        page += &row([&code(kind.as_str()), &code(kind.category().as_str()), kind.meaning()]);
    }
    page += "\n## Categories\n\n";
    page += &row(["category", "holds"]);
    page += &row(["---"; 2]);
    for category in Category::ALL {
        page += &row([&code(category.as_str()), category.meaning()]);
    }
    page += CONSUMING;
    story(&mut page);
    page += AFTER_STORY;
    ranks(&mut page);
    page + AFTER_RANKS + "\n## Example\n\n```json\n" + &example() + "\n```\n"
}

/// [`example_event`] as it is shown.
pub fn example() -> String {
    serde_json::to_string_pretty(&sample_events::example_event()).expect("an event is JSON")
}

fn story(page: &mut String) {
    *page += &row(["provider's event", "`type`", "`movement_id`", "`effect_id`", "amount", "`restates`"]);
    *page += &row(["---"; 6]);
    for event in sample_events::story() {
        let short = |id: &str| code(&format!("{}…", &id[..8]));
        let restates = event.restates.map_or_else(|| "null".to_owned(), |id| short(id.as_str()));
        let amount = event.amount.and_then(|amount| amount.to_decimal()).unwrap_or_default();
        *page += &row([
            &format!("`{}` (id {})", event.provider_event_type, short(event.id.as_str())),
            &code(event.kind.as_str()),
            &code(&event.movement_id),
            &short(event.effect_id.as_str()),
            &amount,
            &restates,
        ]);
    }
}

/// From the file that the packages' states are written from.
fn ranks(page: &mut String) {
    let states: Value =
        serde_json::from_str(include_str!("../../../consumers/states.json")).expect("the states are JSON");
    let begins = states["begins"].as_array().expect("a list");
    let rank = |kind: &EventType| states["ranks"].get(kind.as_str()).and_then(Value::as_u64);
    *page += &row(["of", "states, in the order of their ranks"]);
    *page += &row(["---"; 2]);
    for of in ["payment", "refund", "dispute", "payout", "subscription", "invoice"] {
        let mut by_rank: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for kind in EventType::ALL {
            let Some(name) = kind.as_str().strip_prefix(of).and_then(|name| name.strip_prefix('.')) else {
                continue;
            };
            let star = if begins.iter().any(|one| one == kind.as_str()) { "*" } else { "" };
            if let Some(rank) = rank(kind) {
                by_rank.entry(rank).or_default().push(format!("`{name}`{star}"));
            }
        }
        let ranks: Vec<String> = by_rank.into_values().map(|names| names.join(", ")).collect();
        *page += &row([of, &ranks.join(" → ")]);
    }
}

fn fields(page: &mut String, root: &Value, object: &Value, prefix: &str) {
    let required = object.get("required").and_then(Value::as_array);
    let Some(properties) = object.get("properties").and_then(Value::as_object) else { return };
    for name in ordered(properties, required) {
        let field = schema::resolve(root, &properties[name]);
        let path = format!("{prefix}{name}");
        let is_required = required.is_some_and(|names| names.iter().any(|known| known == name));
        let present = if is_required { "always" } else { "where known" };
        *page += &row([&code(&path), &kind(root, name, field), present, text(field, "description")]);
        let of_null = field.get("oneOf").and_then(Value::as_array).and_then(|options| options.last());
        let inner = of_null.map_or(field, |option| schema::resolve(root, option));
        fields(page, root, inner, &format!("{path}."));
    }
}

/// The required fields in the order of `required`, then the others. A map of JSON has no order of its own.
fn ordered<'s>(properties: &'s Map<String, Value>, required: Option<&'s Vec<Value>>) -> Vec<&'s str> {
    let mut names: Vec<_> = required.into_iter().flatten().filter_map(Value::as_str).collect();
    for name in properties.keys() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn kind(root: &Value, name: &str, field: &Value) -> String {
    if let Some(value) = field.get("const") {
        return code(value.as_str().expect("a text"));
    }
    match name {
        "type" if field.get("enum").is_some() => return "[event type](#event-types)".to_owned(),
        "category" => return "[category](#categories)".to_owned(),
        _ => {}
    }
    if let Some(values) = field.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values.iter().map(|value| code(value.as_str().expect("a text"))).collect();
        return values.join(", ");
    }
    if let Some(options) = field.get("oneOf").and_then(Value::as_array) {
        let options: Vec<_> =
            options.iter().rev().map(|option| kind(root, "", schema::resolve(root, option))).collect();
        return options.join(" or ");
    }
    let names = match &field["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => Vec::from_iter(name.as_str()),
    };
    let mut kind = names.join(" or ");
    if field.get("format").is_some() {
        kind = "RFC 3339 time, UTC".to_owned();
    }
    if let (Some(least), Some(most)) = (field.get("minimum"), field.get("maximum")) {
        kind += &format!(", {least} to {most}");
    }
    if let (Some(least), Some(most)) = (field.get("minLength"), field.get("maxLength")) {
        kind += &format!(", {least} to {most} characters");
    }
    if let Some(pattern) = field.get("pattern").and_then(Value::as_str) {
        kind += &format!(", {}", code(pattern));
    }
    if let Some(others) = field.get("additionalProperties") {
        kind += &format!(" of {}s", text(others, "type"));
    }
    kind
}

fn text<'s>(field: &'s Value, key: &str) -> &'s str {
    field.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn row<const N: usize>(cells: [&str; N]) -> String {
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_current() {
        let page = include_str!("../../../docs/events.md");
        assert!(
            page == render(),
            "run: cargo run -p tollgate-testkit --example events-page > docs/events.md"
        );
    }

    #[test]
    fn the_example_is_an_event_and_shows_every_field() {
        schema::check(&example());
        let root: Value = serde_json::from_str(schema::PAYMENT_EVENT).unwrap();
        let example: Value = serde_json::from_str(&example()).unwrap();
        for name in root["properties"].as_object().unwrap().keys() {
            // Only what went wrong has the first two, only what was fetched the third.
            if matches!(name.as_str(), "unrecognized" | "amount_problem" | "enriched") {
                continue;
            }
            assert!(example.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_field_has_a_meaning() {
        for line in render().lines().filter(|line| line.starts_with("| ")) {
            assert!(!line.contains("|  |"), "{line}");
        }
    }
}
