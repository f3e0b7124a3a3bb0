//! The rules of the bus in the template against the list in `crates/core/src/rule.rs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tollgate_core::{EventId, PaymentEvent, ProviderId, RiskTier, Rule, RuleTarget};
use tollgate_infra::{read, section};
use yaml_rust2::Yaml;

const TEMPLATE: &str = "infra/tollgate.yaml";

fn json_of(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Hash(entries) => Value::Object(
            entries.iter().map(|(key, one)| (key.as_str().unwrap().to_owned(), json_of(one))).collect(),
        ),
        Yaml::Array(entries) => entries.iter().map(json_of).collect(),
        Yaml::Null => Value::Null,
        other => Value::from(other.as_str().unwrap()),
    }
}

/// A rule's pattern where restatements are routed, and where they are not.
fn patterns(rule: &Yaml) -> [Value; 2] {
    let pattern = &rule["Properties"]["EventPattern"];
    match pattern.as_vec() {
        Some(choice) => [json_of(&choice[1]), serde_json::from_str(choice[2].as_str().unwrap()).unwrap()],
        None => [json_of(pattern), json_of(pattern)],
    }
}

/// Whether EventBridge matches the event, as far as the template's patterns go.
fn matches(pattern: &Map<String, Value>, event: &Value) -> bool {
    pattern.iter().all(|(name, wanted)| match (wanted, event.get(name)) {
        (Value::Object(wanted), value) => matches(wanted, value.unwrap_or(&Value::Null)),
        (wanted, value) => wanted.as_array().unwrap().iter().any(|one| match one.as_object() {
            Some(one) if one.contains_key("anything-but") => {
                value.is_some_and(|value| !one["anything-but"].as_array().unwrap().contains(value))
            }
            Some(one) => one["exists"] == false && value.is_none(),
            None => value == Some(one),
        }),
    })
}

/// Events of each type, tier and provider that a rule asks for; first tellings and restatements.
fn events() -> Vec<PaymentEvent<'static>> {
    let mut events = Vec::new();
    let other = EventId::parse("evt_00000000000000000000000000000000").unwrap();
    for line in read("consumers/events.jsonl").lines() {
        // No rule asks for the amount, and JSON's numbers end before the largest.
        let event: PaymentEvent<'static> = serde_json::from_str(line).unwrap();
        let event = PaymentEvent { amount: None, ..event };
        for risk_tier in [RiskTier::Unrated, RiskTier::Low, RiskTier::Medium, RiskTier::High] {
            for provider in ["stripe", "adyen", "paypal", "wise"] {
                let provider = ProviderId::new(provider).unwrap();
                for restates in [None, Some(other)] {
                    events.push(PaymentEvent { risk_tier, provider, restates, ..event.clone() });
                }
            }
        }
    }
    events
}

#[test]
fn each_rule_takes_what_the_list_says() {
    let on_the_bus: BTreeMap<String, Yaml> = section(TEMPLATE, "Resources")
        .into_iter()
        .filter(|(_, one)| one["Type"].as_str() == Some("AWS::Events::Rule"))
        .filter(|(_, one)| one["Properties"]["EventBusName"].as_str() == Some("Bus"))
        .map(|(_, one)| (one["Properties"]["Name"].as_str().unwrap().to_owned(), one))
        .collect();
    let names: Vec<String> =
        Rule::ALL.iter().map(|rule| format!("{}-${{EnvironmentSuffix}}", rule.stem())).collect();
    assert_eq!(on_the_bus.len(), names.len());
    let events = events();
    for (rule, name) in Rule::ALL.iter().zip(&names) {
        let in_template = on_the_bus.get(name).unwrap_or_else(|| panic!("{TEMPLATE} has no rule {name}"));
        let target = in_template["Properties"]["Targets"][0]["Arn"].as_str();
        let is_target = match rule.target() {
            RuleTarget::Queue(queue) => target == Some(&format!("{}.Arn", queue.logical())),
            RuleTarget::Workflow => target == Some("Workflow"),
            RuleTarget::Alerts => target == Some("Alerts"),
            RuleTarget::Log(of) => target.unwrap().to_lowercase().ends_with(&format!(":${{{of}log}}")),
            RuleTarget::Nowhere => target.is_none(),
        };
        assert!(is_target, "{name}: {target:?}");
        let [all, first] = patterns(in_template);
        for event in &events {
            let published =
                json!({"source": "tollgate", "detail-type": event.kind.as_str(), "detail": event});
            let of = |pattern: &Value| matches(pattern.as_object().unwrap(), &published);
            let is_left_out = rule.leaves_out_restatements() && event.restates.is_some();
            assert_eq!(of(&all), rule.is_for(event), "{name}, {published}");
            assert_eq!(of(&first), rule.is_for(event) && !is_left_out, "{name}, {published}");
        }
    }
}
