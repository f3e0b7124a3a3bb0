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
