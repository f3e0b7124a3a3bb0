//! The query on rows of the archive that are at hand, as the SQL has it: a webhook is found where one of its events is, or
//! where nothing is asked of events.

use std::cmp::Ordering;

use memchr::memmem;
use serde_json::Value;
use tollgate_archive::read::ArchivedRow;
use tollgate_core::Timestamp;

use super::{
    found::Found,
    query::{FRACTION_DIGITS, Id, Query},
};

impl Query {
    /// From when on webhooks are looked for.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// Until when, that moment left out.
    pub fn to(&self) -> Timestamp {
        self.to
    }

    /// Whether the filters find this row.
    pub(crate) fn finds(&self, row: &ArchivedRow) -> bool {
        let any = |values: &[String], text: &str| values.is_empty() || values.iter().any(|one| one == text);
        let is_row = (self.from..self.to).contains(&row.received_at)
            && any(&self.endpoints, &row.endpoint)
            && any(&self.providers, &row.provider)
            && (self.outcomes.is_empty() || self.outcomes.contains(&row.outcome.as_str()))
            && self.texts.iter().all(|text| memmem::find(&row.body, text.as_bytes()).is_some());
        if !is_row {
            return false;
        }
        let is_its_id = match &self.id {
            None => true,
            Some(Id::Webhook(id)) if row.webhook_id != id.as_str() => return false,
            Some(Id::Webhook(_)) => true,
            Some(Id::Other(id)) => row.webhook_id == *id,
        };
        if is_its_id && !self.asks_of_events() {
            return true;
        }
        row.events.iter().filter_map(|json| serde_json::from_str::<Value>(json).ok()).any(|event| {
            let text = |name: &str| event.get(name).and_then(Value::as_str);
            let is_one = |values: &[String], found: Option<&str>| {
                values.is_empty() || found.is_some_and(|found| values.iter().any(|one| one == found))
            };
            let names_id = || match &self.id {
                Some(Id::Other(id)) => {
                    let names = ["id", "provider_event_id", "transaction_id", "movement_id", "effect_id"];
                    names.iter().any(|name| text(name) == Some(id))
                }
                _ => false,
            };
            let inner = |part: &str, name: &str| event.get(part)?.get(name)?.as_str();
            let amount = inner("amount", "value");
            (is_its_id || names_id())
                && (is_one(&self.kinds, text("type")) || is_one(&self.kinds, text("provider_event_type")))
                && is_one(&self.currencies, inner("amount", "currency"))
                && is_one(&self.customers, inner("customer", "id"))
                && is_within(amount, &self.least, Ordering::Less)
                && is_within(amount, &self.most, Ordering::Greater)
                && self.metadata.iter().all(|(key, value)| inner("metadata", key) == Some(value))
        })
    }

    /// Whether the filters but for the time and the id find this one of the tables. What the tables do not say of it the filters do not
    /// find: a body, its metadata, and of what the ledger alone has the event.
    pub(super) fn finds_of_tables(&self, one: &Found) -> bool {
        let any = |values: &[String], text: Option<&str>| {
            values.is_empty() || text.is_some_and(|text| values.iter().any(|one| one == text))
        };
        any(&self.endpoints, Some(&one.endpoint))
            && any(&self.providers, Some(&one.provider))
            && (self.outcomes.is_empty() || self.outcomes.contains(&one.outcome.as_str()))
            && (any(&self.kinds, one.kind.as_deref()) || any(&self.kinds, one.provider_event_type.as_deref()))
            && any(&self.currencies, one.currency.as_deref())
            && any(&self.customers, one.customer_id.as_deref())
            && is_within(one.amount.as_deref(), &self.least, Ordering::Less)
            && is_within(one.amount.as_deref(), &self.most, Ordering::Greater)
            && self.metadata.is_empty()
            && self.texts.is_empty()
    }

    fn asks_of_events(&self) -> bool {
        let is_any = |values: &[String]| !values.is_empty();
        is_any(&self.kinds)
            || is_any(&self.currencies)
            || is_any(&self.customers)
            || !self.metadata.is_empty()
            || self.least.is_some()
            || self.most.is_some()
    }
}

/// Whether an amount is on the right side of a bound, where there is one.
fn is_within(amount: Option<&str>, bound: &Option<String>, wrong: Ordering) -> bool {
    bound.as_ref().is_none_or(|bound| {
        let order = amount.and_then(decimal).zip(decimal(bound)).map(|(one, other)| one.cmp(&other));
        order.is_some_and(|order| order != wrong)
    })
}

/// A decimal as a number of its smallest fraction, `None` where it is none or too long.
fn decimal(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_one = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !is_one || fraction.len() > FRACTION_DIGITS {
        return None;
    }
    let padded = format!("{whole}{fraction:0<FRACTION_DIGITS$}");
    padded.parse::<i128>().ok()?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::query::Filters, *};

    fn row() -> ArchivedRow {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let event = json!({
            "id": "evt_9d", "type": "refund.succeeded", "provider_event_type": "charge.refunded",
            "provider_event_id": "evt_1", "transaction_id": "pi_1", "movement_id": "re_1", "effect_id": "eff_1",
            "amount": {"currency": "EUR", "value": "49.90"}, "customer": {"id": "cus_1"}, "metadata": {"order": "4711"},
        });
        let other =
            json!({"id": "evt_9e", "type": "payment.succeeded", "amount": {"currency": "USD", "value": "5"}});
        ArchivedRow {
            webhook_id: "wh_01M8F76DPXW5E2EJGS5YY0C9DM".to_owned(),
            received_at: at,
            endpoint: "stripe-eu".to_owned(),
            provider: "stripe".to_owned(),
            source_ip: String::new(),
            authenticity: "verified".to_owned(),
            key_id: String::new(),
            signed_at: None,
            verified_at: at,
            taken_in_at: None,
            body_sha256: String::new(),
            body: b"{\"a\":\"b\"}".to_vec(),
            headers: Vec::new(),
            query: String::new(),
            only_transaction: None,
            outcome: "processed".to_owned(),
            events: vec![event.to_string(), other.to_string()],
            reason: None,
            part: 0,
            replayed_by: None,
            object: None,
        }
    }

    fn found(change: impl FnOnce(&mut Filters)) -> bool {
        let mut filters = Filters {
            from: Some("2026-01-02".to_owned()),
            to: Some("2026-01-02".to_owned()),
            ..Filters::default()
        };
        change(&mut filters);
        filters.query("2026-01-31T12:00:00Z".parse().unwrap()).unwrap().finds(&row())
    }

    #[test]
    fn what_the_tables_have_is_found_by_the_same_filters() {
        let some = |text: &str| Some(text.to_owned());
        let one = |text: &str| vec![text.to_owned()];
        let of_transaction = Found {
            endpoint: "stripe-eu".to_owned(),
            provider: "stripe".to_owned(),
            outcome: "processed".to_owned(),
            kind: some("refund.succeeded"),
            provider_event_type: some("charge.refunded"),
            amount: some("49.90"),
            currency: some("EUR"),
            customer_id: some("cus_1"),
            ..Found::default()
        };
        let in_ledger =
            Found { endpoint: "stripe-eu".to_owned(), outcome: "received".to_owned(), ..Found::default() };
        type Change = Box<dyn Fn(&mut Filters)>;
        let cases: Vec<(Change, [bool; 2])> = vec![
            (Box::new(|_| {}), [true, true]),
            (Box::new(move |f| f.endpoint = one("stripe-eu")), [true, true]),
            (Box::new(move |f| f.provider = one("stripe")), [true, false]),
            (Box::new(move |f| f.provider = one("adyen")), [false, false]),
            (Box::new(move |f| f.kind = one("charge.refunded")), [true, false]),
            (Box::new(move |f| f.kind = one("payment.succeeded")), [false, false]),
            (Box::new(move |f| f.outcome = one("processed")), [true, false]),
            (Box::new(move |f| f.outcome = one("conflict")), [false, false]),
            (Box::new(move |f| f.amount = some("49.9")), [true, false]),
            (Box::new(move |f| f.amount = some("50..")), [false, false]),
            (Box::new(move |f| f.currency = one("usd")), [false, false]),
            (Box::new(move |f| f.customer = one("cus_1")), [true, false]),
            // Nothing of the tables says these.
            (Box::new(move |f| f.metadata = one("order=4711")), [false, false]),
            (Box::new(move |f| f.text = one("4711")), [false, false]),
        ];
        for (change, expected) in cases {
            let mut filters = Filters { id: some("pi_1"), ..Filters::default() };
            change(&mut filters);
            let query = filters.query("2026-01-31T12:00:00Z".parse().unwrap()).unwrap();
            let found = [&of_transaction, &in_ledger].map(|one| query.finds_of_tables(one));
            assert_eq!(found, expected, "{filters:?}");
        }
    }

    #[test]
    fn a_row_is_found_by_what_the_sql_finds_it_by() {
        let one = |text: &str| vec![text.to_owned()];
        let some = |text: &str| Some(text.to_owned());
        type Change = Box<dyn Fn(&mut Filters)>;
        let cases: Vec<(&str, Change, bool)> = vec![
            ("nothing asked", Box::new(|_| {}), true),
            ("endpoint", Box::new(move |f| f.endpoint = one("stripe-eu")), true),
            ("other endpoint", Box::new(move |f| f.endpoint = one("stripe")), false),
            ("provider", Box::new(move |f| f.provider = one("stripe")), true),
            ("our type", Box::new(move |f| f.kind = one("refund.succeeded")), true),
            ("their type", Box::new(move |f| f.kind = one("charge.refunded")), true),
            ("other type", Box::new(move |f| f.kind = one("payment.failed")), false),
            ("outcome", Box::new(move |f| f.outcome = one("processed")), true),
            ("other outcome", Box::new(move |f| f.outcome = one("set_aside")), false),
            ("amount", Box::new(move |f| f.amount = some("49.9")), true),
            ("amount from", Box::new(move |f| f.amount = some("49.91..")), false),
            ("amount to", Box::new(move |f| f.amount = some("..5.00")), true),
            (
                "another event's amount",
                Box::new(move |f| (f.amount, f.currency) = (some("49.90"), one("USD"))),
                false,
            ),
            ("currency", Box::new(move |f| f.currency = one("eur")), true),
            ("customer", Box::new(move |f| f.customer = one("cus_1")), true),
            ("metadata", Box::new(move |f| f.metadata = one("order=4711")), true),
            ("other metadata", Box::new(move |f| f.metadata = one("order=471")), false),
            ("text", Box::new(move |f| f.text = one("\"a\":")), true),
            ("other text", Box::new(move |f| f.text = one("'a'")), false),
            ("webhook", Box::new(move |f| f.id = some("wh_01M8F76DPXW5E2EJGS5YY0C9DM")), true),
            ("other webhook", Box::new(move |f| f.id = some("wh_01M8F76DPXW5E2EJGS5YY0C9DN")), false),
            ("movement", Box::new(move |f| f.id = some("re_1")), true),
            (
                "movement and another event's type",
                Box::new(move |f| (f.id, f.kind) = (some("re_1"), one("payment.succeeded"))),
                false,
            ),
            ("other day", Box::new(move |f| f.from = some("2026-01-02T04:00:00Z")), false),
        ];
        for (what, change, expected) in cases {
            assert_eq!(found(change), expected, "{what}");
        }
    }
}
