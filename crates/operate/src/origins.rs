//! Where a canonical event's fields stand in what the provider sent: the places whose value is the same. Which of them a
//! normaliser read is not said; where one place alone has the value, it is that one.

use serde::Serialize;
use serde_json::Value;
use tollgate_core::{PaymentEvent, Timestamp};

/// Values of a body that are looked at.
const MOST_VALUES: usize = 5_000;
/// Places of one field that are named.
const MOST_PLACES: usize = 4;

/// A field, and where its value stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The field of the canonical event.
    pub field: &'static str,
    /// Its value there.
    pub value: String,
    /// `data.object.id`, or `header webhook-id`: none where it was made of something else.
    pub places: Vec<String>,
}

/// What is the same value.
enum Same {
    Text(String),
    /// In minor units or as a decimal.
    Amount {
        minor: String,
        decimal: Option<String>,
    },
    /// In capitals or not.
    Currency(String),
    Time(Timestamp),
}

impl Same {
    fn is(&self, other: &str) -> bool {
        match self {
            Self::Text(text) => text == other,
            Self::Amount { minor, decimal } => {
                minor == other || decimal.as_deref().is_some_and(|decimal| short(decimal) == short(other))
            }
            Self::Currency(code) => code.eq_ignore_ascii_case(other),
            Self::Time(at) => is_time(other, *at),
        }
    }
}

/// The fields that a provider's body gives, in the order in which an event has them.
pub fn origins(event: &PaymentEvent<'_>, headers: &[(String, String)], body: &[u8]) -> Vec<Origin> {
    let sent = sent(headers, body);
    let text = |field, text: &str| (field, text.to_owned(), Same::Text(text.to_owned()));
    let mut fields = vec![
        text("provider_event_id", &event.provider_event_id),
        text("provider_event_type", &event.provider_event_type),
        text("transaction_id", &event.transaction_id),
    ];
    if event.movement_id != event.transaction_id && !event.movement_id.is_empty() {
        fields.push(text("movement_id", &event.movement_id));
    }
    if let Some(amount) = &event.amount {
        let (minor, decimal) = (amount.minor_units().to_string(), amount.to_decimal());
        let written = decimal.clone().unwrap_or_else(|| minor.clone());
        fields.push(("amount", written, Same::Amount { minor, decimal }));
        let code = amount.currency().code().to_owned();
        fields.push(("currency", code.clone(), Same::Currency(code)));
    }
    fields.push(("occurred_at", event.occurred_at.to_string(), Same::Time(event.occurred_at)));
    fields.extend(event.customer.id.iter().map(|id| text("customer.id", id)));
    let places = |same: &Same| {
        let places = sent.iter().filter(|(_, other)| same.is(other)).map(|(place, _)| place.clone());
        places.take(MOST_PLACES).collect()
    };
    fields.into_iter().map(|(field, value, same)| Origin { field, value, places: places(&same) }).collect()
}

/// A decimal without the zeros at its end.
fn short(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Seconds or milliseconds of the epoch, or a text.
fn is_time(text: &str, at: Timestamp) -> bool {
    match text.parse::<i64>() {
        Ok(number) => number == at.as_second() || number == at.as_millisecond(),
        Err(_) => text.parse::<Timestamp>().is_ok_and(|other| other == at),
    }
}

fn sent(headers: &[(String, String)], body: &[u8]) -> Vec<(String, String)> {
    let mut sent: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (format!("header {name}"), value.clone())).collect();
    let Ok(text) = std::str::from_utf8(body) else { return sent };
    match serde_json::from_str::<Value>(text) {
        Ok(value) => leaves(&mut sent, String::new(), &value),
        // Fields of a form, as far as they are written plainly.
        Err(_) => {
            let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            sent.extend(pairs.take(MOST_VALUES).map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
    }
    sent
}

fn leaves(found: &mut Vec<(String, String)>, place: String, value: &Value) {
    if found.len() >= MOST_VALUES {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if place.is_empty() { "" } else { "." };
                leaves(found, format!("{place}{dot}{name}"), value);
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                leaves(found, format!("{place}[{number}]"), value);
            }
        }
        Value::String(text) => found.push((place, text.clone())),
        Value::Number(number) => found.push((place, number.to_string())),
        Value::Bool(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{
        Authenticity, EndpointId, EventType, Facts, ProviderId, RiskTier, WebhookId, event::Arrival,
    };

    use super::*;

    #[test]
    fn a_fields_value_is_found_where_it_was_sent() {
        let at: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let webhook_id = WebhookId::new(at, 1);
        let (endpoint, provider) = (EndpointId::new("acme").unwrap(), ProviderId::new("acme").unwrap());
        let arrival = Arrival {
            webhook_id: &webhook_id,
            endpoint: &endpoint,
            provider: &provider,
            authenticity: Authenticity::Verified,
            received_at: at,
        };
        let mut facts = Facts::unrecognized("ev_1".to_owned(), "charge.paid", "");
        facts.kind = EventType::PaymentSucceeded;
        facts.transaction_id = Some("pi_1".into());
        facts.occurred_at = Some(at);
        let event = PaymentEvent::new(facts, arrival, RiskTier::Unrated);
        let headers = [("webhook-id".to_owned(), "ev_1".to_owned())];
        let body = format!(
            r#"{{"type":"charge.paid","created":{},"data":[{{"id":"pi_1"}}],"x":"<b>"}}"#,
            at.as_second()
        );
        let places = |body: &str| -> Vec<(&'static str, String)> {
            let found = origins(&event, &headers, body.as_bytes());
            found.into_iter().map(|one| (one.field, one.places.join(", "))).collect()
        };
        assert_eq!(
            places(&body),
            [
                ("provider_event_id", "header webhook-id".to_owned()),
                ("provider_event_type", "type".to_owned()),
                ("transaction_id", "data[0].id".to_owned()),
                ("occurred_at", "created".to_owned()),
            ]
        );
        assert_eq!(
            places("id=pi_1&t=2026-01-31T12:00:00Z")[2..],
            [("transaction_id", "id".to_owned()), ("occurred_at", "t".to_owned())]
        );
        let deep = "[".repeat(100_000);
        assert_eq!(places(&deep)[2].1, "");
    }
}
