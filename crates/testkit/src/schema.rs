//! Published events against `infra/schema/payment-event.json`.
//!
//! The schema is read with the few keywords that it uses; a keyword that is not known here fails the check. Events are
//! held to more than consumers may assume: a field that the schema does not declare fails too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{LazyLock, Mutex, PoisonError},
};

use regex_automata::meta::Regex;
use serde_json::{Map, Value, value::RawValue};
use tollgate_core::Timestamp;

/// The schema file's text.
pub const PAYMENT_EVENT: &str = include_str!("../../../infra/schema/payment-event.json");

/// Fails the test unless `json` is a payment event as the schema describes it.
///
/// # Panics
///
/// When `json` breaks the schema; the message names every place and what is wrong there.
#[track_caller]
pub fn check(json: &str) {
    // Tests see the same event again and again: in each run with another failure, at each look into a queue.
    static PASSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    if !passed.contains(json) {
        let problems = problems(json);
        assert!(problems.is_empty(), "not a payment event:\n{}\nin {json}", problems.join("\n"));
        passed.insert(json.to_owned());
    }
}

/// What is wrong with `json`, one line for each place. Empty for a payment event.
pub fn problems(json: &str) -> Vec<String> {
    static ROOT: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(PAYMENT_EVENT).expect("the schema is JSON"));
    let root: &Value = &ROOT;
    let mut check = Check { root, problems: Vec::new() };
    match serde_json::from_str::<&RawValue>(json) {
        Ok(value) => check.value(value, root, "$"),
        Err(error) => check.problems.push(format!("$: {error}")),
    }
    check.problems
}

/// The schema that `$ref` names, or `schema` itself. Only `#/…` pointers are known.
pub(crate) fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
    let pointer = reference.strip_prefix('#').expect("a reference within the file");
    root.pointer(pointer).expect("the reference names a definition")
}

struct Check<'s> {
    root: &'s Value,
    problems: Vec<String>,
}

impl<'s> Check<'s> {
    /// Values are kept as text, so that integers of any size stay exact.
    fn value(&mut self, value: &RawValue, schema: &'s Value, at: &str) {
        let schema = resolve(self.root, schema).as_object().expect("a schema is an object");
        let json = value.get();
        for (keyword, rule) in schema {
            let holds = match keyword.as_str() {
                // `examples` and the like describe; the rest is read by the keywords that it belongs to.
                "$schema" | "$id" | "$defs" | "title" | "description" | "examples" => true,
                "type" => is_type(json, rule),
                "const" => parsed(json) == *rule,
                "enum" => list(rule).contains(&parsed(json)),
                "minimum" => integer(json).is_none_or(|number| number >= bound(rule)),
                "maximum" => integer(json).is_none_or(|number| number <= bound(rule)),
                "minLength" => text(json).is_none_or(|text| length(&text) >= bound(rule)),
                "maxLength" => text(json).is_none_or(|text| length(&text) <= bound(rule)),
                "pattern" => text(json).is_none_or(|text| matches(rule.as_str().expect("a pattern"), &text)),
                "format" => {
                    assert_eq!(rule, "date-time", "a format that this check does not know");
                    text(json).is_none_or(|text| text.parse::<Timestamp>().is_ok())
                }
                "oneOf" => 1 == list(rule).iter().filter(|rule| self.accepts(value, rule)).count(),
                "required" => object(json).is_none_or(|object| {
                    list(rule).iter().all(|name| object.contains_key(name.as_str().expect("a name")))
                }),
                "properties" | "additionalProperties" | "items" => true,
                unknown => panic!("the schema uses {unknown:?}, which this check does not know"),
            };
            if !holds {
                self.problems.push(format!("{at}: {json} breaks {keyword:?} {rule}"));
            }
        }
        self.fields(json, schema, at);
        if let (Some(rule), Some(items)) = (schema.get("items"), array(json)) {
            for (index, item) in items.into_iter().enumerate() {
                self.value(item, rule, &format!("{at}[{index}]"));
            }
        }
    }

    fn fields(&mut self, json: &str, schema: &'s Map<String, Value>, at: &str) {
        let (declared, others) = (schema.get("properties"), schema.get("additionalProperties"));
        if declared.is_none() && others.is_none() {
            return;
        }
        for (name, value) in object(json).unwrap_or_default() {
            let at = format!("{at}.{name}");
            match declared.and_then(|declared| declared.get(&name)).or(others) {
                Some(schema) => self.value(value, schema, &at),
                None => self.problems.push(format!("{at}: is not declared")),
            }
        }
    }

    fn accepts(&self, value: &RawValue, schema: &'s Value) -> bool {
        let mut check = Check { root: self.root, problems: Vec::new() };
        check.value(value, schema, "");
        check.problems.is_empty()
    }
}

/// Compiles each pattern once: tests check thousands of events.
fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if !compiled.contains_key(pattern) {
        compiled.insert(pattern.to_owned(), Regex::new(pattern).expect("a regular expression"));
    }
    compiled[pattern].is_match(text)
}

fn is_type(json: &str, rule: &Value) -> bool {
    let one = |name: &Value| match name.as_str().expect("a type's name") {
        "null" => json == "null",
        "boolean" => json == "true" || json == "false",
        "string" => text(json).is_some(),
        "integer" => integer(json).is_some(),
        "object" => object(json).is_some(),
        "array" => array(json).is_some(),
        unknown => panic!("the schema uses the type {unknown:?}, which this check does not know"),
    };
    rule.as_array().map_or_else(|| one(rule), |rules| rules.iter().any(one))
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("a part of JSON is JSON")
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

fn integer(json: &str) -> Option<i128> {
    json.parse().ok()
}

fn object(json: &str) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(json).ok()
}

fn array(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

fn list(rule: &Value) -> &[Value] {
    rule.as_array().expect("a list")
}

fn bound(rule: &Value) -> i128 {
    rule.as_i64().expect("an integer").into()
}

fn length(text: &str) -> i128 {
    i128::try_from(text.chars().count()).expect("a length fits")
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use tollgate_core::{
        Authenticity, Category, Currency, Customer, EndpointId, EventType, Facts, Money, PaymentEvent,
        PaymentMethod, ProviderId, RiskTier, WebhookId, event::Arrival,
    };

    use super::*;

    fn event(facts: Facts<'_>, authenticity: Authenticity, tier: RiskTier) -> String {
        let arrival = Arrival {
            webhook_id: &WebhookId::new("2026-01-02T03:04:05Z".parse().unwrap(), 7),
            endpoint: &EndpointId::new("stripe-eu").unwrap(),
            provider: &ProviderId::new("stripe").unwrap(),
            authenticity,
            received_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        };
        serde_json::to_string(&PaymentEvent::new(facts, arrival, tier)).unwrap()
    }

    fn full(kind: EventType, amount: Option<Money>) -> Facts<'static> {
        let some = |text| Some(Cow::Borrowed(text));
        Facts {
            transaction_id: some("pi_1"),
            aliases: vec!["in_1".into()],
            movement_id: some("ch_1"),
            occurrence: some("1"),
            amount,
            amount_problem: Some("amount without a currency"),
            occurred_at: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            customer: Customer { id: some("cus_1"), country: some("DE") },
            method: PaymentMethod { kind: some("card"), brand: some("visa"), country: some("FR") },
            provider_risk_score: Some(u16::MAX),
            livemode: Some(false),
            metadata: vec![("order".into(), "7".into())],
            unrecognized: Some("unknown event type"),
            ..Facts::new("evt_1", "payment_intent.succeeded", kind)
        }
    }

    fn amounts() -> Vec<Option<Money>> {
        let currency = |code| Currency::new(code).unwrap();
        let largest = tollgate_core::money::MAX_MINOR_UNITS;
        let mut amounts = vec![None];
        for code in ["USD", "JPY", "KWD", "CLF", "usdC", "DOGECOIN-1.2"] {
            for units in [0, 1, -1, largest, -largest] {
                amounts.push(Some(Money::from_minor(units, currency(code)).unwrap()));
            }
            amounts.push(Some(Money::from_decimal("12.00", currency(code)).unwrap()));
        }
        amounts
    }

    #[test]
    fn every_variant_of_an_event_is_what_the_schema_says() {
        for kind in EventType::ALL {
            check(&event(full(*kind, None), Authenticity::Verified, RiskTier::Unrated));
            check(&event(Facts::new("1", "", *kind), Authenticity::Verified, RiskTier::Unrated));
        }
        for tier in [RiskTier::Unrated, RiskTier::Low, RiskTier::Medium, RiskTier::High] {
            for authenticity in [Authenticity::Verified, Authenticity::Retrieved, Authenticity::Authenticated]
            {
                check(&event(full(EventType::PaymentSucceeded, None), authenticity, tier));
            }
        }
        for amount in amounts() {
            check(&event(full(EventType::PaymentSucceeded, amount), Authenticity::Verified, RiskTier::Low));
        }
    }

    #[test]
    fn the_schema_lists_the_types_and_categories_that_there_are() {
        let root: Value = serde_json::from_str(PAYMENT_EVENT).unwrap();
        let listed = |field: &str| root["properties"][field]["enum"].clone();
        let types: Vec<_> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(listed("type"), Value::from(types));
        let categories: Vec<_> = Category::ALL.iter().map(|category| category.as_str()).collect();
        assert_eq!(listed("category"), Value::from(categories));
    }

    #[test]
    fn each_breach_is_found_at_its_place() {
        let good = event(
            full(EventType::PaymentSucceeded, amounts().remove(1)),
            Authenticity::Verified,
            RiskTier::Low,
        );
        let cases = [
            (r#""schema":"tollgate.payment-event/1""#, r#""schema":"tollgate.payment-event/2""#, "$.schema"),
            (r#""id":"evt_"#, r#""id":"evt-"#, "$.id"),
            (r#""type":"payment.succeeded""#, r#""type":"payment.done""#, "$.type"),
            (r#""category":"payment","#, "", "$:"),
            (r#""endpoint":"stripe-eu""#, r#""endpoint":"Stripe""#, "$.endpoint"),
            (r#""superseded":false"#, r#""superseded":"false""#, "$.superseded"),
            (r#""transaction_aliases":["in_1"]"#, r#""transaction_aliases":[1]"#, "$.transaction_aliases[0]"),
            (r#""effect_id":"eff_"#, r#""effect_id":"evt_"#, "$.effect_id"),
            (r#""restates":null"#, r#""restates":"pi_1""#, "$.restates"),
            (r#""superseded":false"#, r#""superseded":false,"secret":1"#, "$.secret"),
            (r#""occurred_at":"2026-"#, r#""occurred_at":"26-"#, "$.occurred_at"),
            (r#""provider_risk_score":65535"#, r#""provider_risk_score":65536"#, "$.provider_risk_score"),
            (r#""provider_risk_score":65535"#, r#""provider_risk_score":-1"#, "$.provider_risk_score"),
            (r#""provider_risk_score":65535"#, r#""provider_risk_score":1.5"#, "$.provider_risk_score"),
            (r#""order":"7""#, r#""order":7"#, "$.metadata.order"),
            (r#""minor_units":0"#, r#""minor_units":"0""#, "$.amount"),
            (r#""value":"0.00""#, r#""value":"0.""#, "$.amount"),
            (r#""currency":"USD""#, r#""currency":"""#, "$.amount"),
            (r#""currency":"USD""#, r#""currency":"ABCDEFGHIJKLM""#, "$.amount"),
        ];
        check(&good);
        for (from, to, place) in cases {
            assert!(good.contains(from), "{from} in {good}");
            let problems = problems(&good.replacen(from, to, 1));
            assert!(problems.len() == 1 && problems[0].starts_with(place), "{to}: {problems:?}");
        }
        assert!(problems("{").len() == 1 && !problems("[]").is_empty());
    }
}
