//! Card numbers and e-mail addresses, wherever a webhook has them: no fact holds one.

use serde_json::Value;
use tollgate_core::{Facts, id::hex_sha256};
use tollgate_providers::{ContentError, Endpoint, Received, Trusted};

use crate::{
    cases::{self, Case},
    describe::describe,
};

const CARD: &str = "4242424242424242";
const EMAIL: &str = "ada@example.com";

fn facts<'a>(endpoint: &Endpoint, case: &'a Case) -> Result<Vec<Facts<'a>>, ContentError> {
    let received = Received { headers: &case.headers, query: &case.query, body: &case.body };
    endpoint.normalise(Trusted::for_inspection(received))
}

/// Every case whose provider may be an endpoint's.
fn all() -> impl Iterator<Item = (Endpoint, &'static Case)> {
    cases::all().iter().filter_map(|case| Some((Endpoint::new(case.config.clone()).ok()?, case)))
}

/// Sets each text of a JSON document in turn to `to`, and calls `visit` with the whole.
fn with_each_text(document: &Value, to: &str, visit: &mut impl FnMut(&Value)) {
    fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::String(_) | Value::Number(_) => found.push(path.to_owned()),
            Value::Array(list) => {
                list.iter()
                    .enumerate()
                    .for_each(|(index, value)| paths(value, &format!("{path}/{index}"), found));
            }
            Value::Object(fields) => {
                let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
                fields
                    .iter()
                    .for_each(|(name, value)| paths(value, &format!("{path}/{}", escaped(name)), found));
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
    let mut found = Vec::new();
    paths(document, "", &mut found);
    for path in found {
        let mut changed = document.clone();
        *changed.pointer_mut(&path).unwrap() = to.into();
        visit(&changed);
    }
}

#[test]
fn no_id_of_a_provider_passes_for_a_card_number() {
    for (endpoint, case) in all() {
        let got = match facts(&endpoint, case) {
            Ok(events) => events.iter().map(describe).collect(),
            Err(error) => vec![format!("error: {error}")],
        };
        assert_eq!(got, case.expected, "{case}");
    }
}

#[test]
fn no_fact_of_any_provider_holds_a_card_number_or_an_address() {
    let (mut events, mut without_id) = (0, 0);
    for (endpoint, case) in all() {
        let Ok(document) = serde_json::from_str::<Value>(&case.content) else { continue };
        for planted in [CARD, EMAIL, "4242 4242 4242 4242"] {
            with_each_text(&document, planted, &mut |document| {
                let mut changed = case.clone();
                changed.body = case.wrapped(&document.to_string());
                for event in facts(&endpoint, &changed).unwrap_or_default() {
                    // A number in an amount's place is an amount, and a part of the ids that are made of it.
                    let amount = event.amount.as_ref().map(|amount| amount.minor_units().to_string());
                    let told = format!("{event:?}").replace(amount.as_deref().unwrap_or("no amount"), "");
                    assert!(!told.contains(planted), "{case}: {document}: {told}");
                    events += 1;
                    if event.unrecognized == Some("an id holds a card number") {
                        let of_body = format!("sha256:{}:", hex_sha256(&changed.body));
                        assert!(event.event_id.starts_with(&of_body), "{case}: {told}");
                        without_id += 1;
                    }
                }
            });
        }
    }
    assert!(events > 10_000 && without_id > 1_000, "{events} events, {without_id} without an id");
}

#[test]
fn a_sender_of_our_schema_is_told_of_a_card_number_in_an_id() {
    let (endpoint, case) = all().find(|(endpoint, _)| endpoint.is_generic()).unwrap();
    let mut document: Value = serde_json::from_str(&case.content).unwrap();
    document["transaction_id"] = CARD.into();
    let mut case = case.clone();
    case.body = document.to_string().into_bytes();
    assert_eq!(facts(&endpoint, &case), Err(ContentError::InvalidField("transaction_id")));
    case.config.ids_are_numbers = true;
    let endpoint = Endpoint::new(case.config.clone()).unwrap();
    assert_eq!(facts(&endpoint, &case).unwrap()[0].transaction_id.as_deref(), Some(CARD));
}

#[test]
fn a_setting_may_not_keep_verification_data() {
    let mut config = cases::endpoint("stripe");
    config.metadata = Some(vec!["order".to_owned(), "card_cvv".to_owned()]);
    assert_eq!(Endpoint::new(config).unwrap_err().field, "metadata");
}
