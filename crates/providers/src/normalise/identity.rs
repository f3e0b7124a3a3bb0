//! Event ids of providers that send none, or none that they sign.

use std::fmt::Write;

use tollgate_core::{Facts, id::hex_sha256};

use super::content::UNKNOWN_TYPE;

/// The most that an amount takes with its currency, and the separators.
const MOST_OF_THE_REST: usize = 64;

/// The facts with an event id that holds all by which the event's type, movement and amount are decided:
/// `{provider's type}:{movement}:{transaction, where it is another}:{words}:{amount}`. The words are what the type is
/// decided by besides the provider's type (a status), and what tells two such events apart (a time).
///
/// The amount is in minor units with its currency. Where the event names neither movement nor transaction, the body's
/// SHA-256 stands in the movement's place: two bodies never share such an id, and a retry of the same bytes has it again.
pub(super) fn identified<'a>(mut facts: Facts<'a>, words: &[&str], body: &[u8]) -> Facts<'a> {
    let movement = facts.movement_id.as_deref().unwrap_or_default();
    let transaction = facts.transaction_id.as_deref().filter(|id| *id != movement).unwrap_or_default();
    // One allocation, for the most that an amount takes.
    let parts = facts.event_type.len() + movement.len() + transaction.len();
    let words_len: usize = words.iter().map(|word| word.len() + 1).sum();
    let mut id = String::with_capacity(parts + words_len + MOST_OF_THE_REST);
    id.push_str(&facts.event_type);
    id.push(':');
    if movement.is_empty() && transaction.is_empty() {
        id.push_str("sha256-");
        id.push_str(&hex_sha256(body));
    }
    for part in [movement, transaction].iter().chain(words) {
        id.push_str(part);
        id.push(':');
    }
    // Writing into a `String` cannot fail.
    let _ = match (&facts.amount, facts.unrecognized) {
        (Some(money), _) if money.exponent() == money.currency().exponent() => {
            write!(id, "{}{}", money.minor_units(), money.currency())
        }
        (Some(money), _) => write!(id, "{}{}{:?}", money.minor_units(), money.currency(), money.exponent()),
        (None, Some(why)) if why != UNKNOWN_TYPE => write!(id, "{why}"),
        (None, _) => Ok(()),
    };
    id.truncate(id.trim_end_matches(':').len());
    facts.event_id = id.into();
    facts
}

#[cfg(test)]
mod tests {
    use tollgate_core::{EventType, Money};

    use super::{super::money, *};

    fn id(facts: Facts<'_>, words: &[&str]) -> String {
        identified(facts, words, b"{}").event_id.into_owned()
    }

    #[test]
    fn an_id_holds_what_decides_the_event() {
        let refund = Facts {
            transaction_id: Some("pay_1".into()),
            movement_id: Some("rfnd_1".into()),
            amount: Some(Money::from_decimal("5.00", money::parse_currency("EUR").unwrap()).unwrap()),
            ..Facts::new("", "refund.created", EventType::RefundSucceeded)
        };
        assert_eq!(id(refund.clone(), &["processed"]), "refund.created:rfnd_1:pay_1:processed:500EUR");
        let payment = Facts { movement_id: Some("pay_1".into()), ..refund.clone() };
        assert_eq!(id(payment, &["", "1767323045"]), "refund.created:pay_1:::1767323045:500EUR");
        let inexact = money::with_amount(Facts { amount: None, ..refund }, Err("amount is out of range"));
        assert_eq!(id(inexact, &["x"]), "refund.created:rfnd_1:pay_1:x:amount is out of range");
    }

    #[test]
    fn without_ids_the_body_stands_for_them() {
        let facts = Facts::new("", "paid", EventType::PaymentSucceeded);
        assert_eq!(
            id(facts, &["x"]),
            format!("paid:sha256-{}:::x", hex_sha256(b"{}")).replace(":::x", "::x")
        );
    }
}
