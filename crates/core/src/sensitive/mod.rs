//! Card numbers, card verification data and e-mail addresses in a sender's texts. They are taken out of the facts, so that
//! no event, table key or log has them.

mod card;
mod email;
mod names;

use std::{borrow::Cow, mem};

use crate::event::Facts;

pub use self::names::names_verification_data;

/// What an endpoint's settings say of its sender's texts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'a> {
    /// The metadata keys to keep; all of them where it is `None`.
    pub metadata: Option<&'a [String]>,
    /// Which ids may hold a card number.
    pub ids: CardsInIds,
}

/// Which ids a card number is looked for in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CardsInIds {
    /// All.
    #[default]
    Any,
    /// Customers', and all others but those of digits alone: the provider makes these.
    NotNumbers,
    /// None: the sender writes no card number into an id.
    Never,
}

/// An id holds a card number: the field's name. Masked, it could be another payment's id. A hash of it beside the masked
/// number could be undone, because only some hundred thousand numbers are left to try (PCI DSS 4.0, 3.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} holds a card number")]
pub struct CardInId(pub &'static str);

/// Takes card numbers, card verification data and e-mail addresses out of every text of `facts`:
///
/// - Card numbers are masked to the first six and the last four digits. Other digits of such a text are masked too: an
///   expiry date or a verification value may stand beside a number.
/// - Metadata whose key names card verification data is dropped.
/// - An e-mail address is replaced by `email:` and 32 hex digits of the SHA-256 of it in lower case, so that what is of one
///   address stays together. Not so in metadata whose key the settings name.
/// - An alias that holds a card number is dropped.
/// - A customer's id is masked like any other text. One of digits alone has 14 at least, as in other ids.
///
/// # Errors
///
/// [`CardInId`]: the event's id, its transaction's, its movement's or its occurrence's holds one. The facts are as they
/// were.
pub fn cleanse(facts: &mut Facts<'_>, rules: Rules<'_>) -> Result<(), CardInId> {
    let mut has_at = false;
    let mut holds_card = |id: &str, ids: CardsInIds| {
        let Signs { digits, at } = signs(id);
        has_at |= at;
        let is_own = match ids {
            CardsInIds::Any => false,
            CardsInIds::NotNumbers => is_digits(id),
            CardsInIds::Never => true,
        };
        !is_own && digits && card::is_in_id(id)
    };
    let optional = [
        ("transaction_id", &facts.transaction_id),
        ("movement_id", &facts.movement_id),
        ("occurrence", &facts.occurrence),
    ];
    for (name, id) in optional {
        if id.as_deref().is_some_and(|id| holds_card(id, rules.ids)) {
            return Err(CardInId(name));
        }
    }
    facts.aliases.retain(|id| !holds_card(id, rules.ids));
    if holds_card(&facts.event_id, rules.ids)
        && !(rules.ids == CardsInIds::NotNumbers && is_made_of_ids(facts))
    {
        return Err(CardInId("event_id"));
    }
    if let Some(id) = &mut facts.customer.id {
        let Signs { digits, at } = signs(id);
        has_at |= at;
        // Merchants choose it, so it may hold anything.
        if digits && rules.ids != CardsInIds::Never && (!is_digits(id) || card::is_in_id(id)) {
            card::mask(id);
        }
    }
    if has_at {
        let ids = [&mut facts.transaction_id, &mut facts.movement_id, &mut facts.occurrence];
        let ids = ids.into_iter().chain([&mut facts.customer.id]).flatten().chain(&mut facts.aliases);
        ids.chain([&mut facts.event_id]).for_each(email::hide);
    }
    let method = &mut facts.method;
    let others = [&mut facts.customer.country, &mut method.kind, &mut method.brand, &mut method.country];
    others.into_iter().flatten().chain([&mut facts.event_type]).for_each(mask);
    if !facts.metadata.is_empty() {
        cleanse_metadata(&mut facts.metadata, rules);
    }
    Ok(())
}

/// Masks card numbers and hides e-mail addresses.
pub fn mask(text: &mut Cow<'_, str>) {
    let Signs { digits, at } = signs(text);
    if digits {
        card::mask(text);
    }
    if at {
        email::hide(text);
    }
}

/// What a text must have to be looked at more closely. Nearly every text has neither.
struct Signs {
    /// Digits enough for a card number. Bytes of other than ASCII count as digits.
    digits: bool,
    /// An `@`.
    at: bool,
}

/// Looks at eight bytes at a time: every text of every event is asked.
fn signs(text: &str) -> Signs {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let (mut others, mut at) = (0, 0);
    let mut look = |bytes: [u8; 8]| {
        let bytes = u64::from_le_bytes(bytes);
        let from_zero = bytes ^ (ONES * 0x30);
        // The high bit of each byte that is ASCII and no digit: it is ten or more away from `0`.
        let is_other = ((from_zero & !HIGH) + ONES * 0x76) & HIGH & !bytes;
        others += usize::try_from((is_other >> 7).wrapping_mul(ONES) >> 56).unwrap_or(0);
        let from_at = bytes ^ (ONES * 0x40);
        at |= from_at.wrapping_sub(ONES) & !from_at & HIGH;
    };
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    words.iter().copied().for_each(&mut look);
    let mut last = [b' '; 8];
    last.iter_mut().zip(rest).for_each(|(last, byte)| *last = *byte);
    look(last);
    let seen = (words.len() + 1) * 8;
    Signs { digits: seen - others >= card::SHORTEST, at: at != 0 }
}

fn is_digits(id: &str) -> bool {
    id.bytes().all(|b| b.is_ascii_digit())
}

/// Whether each part of the event's id that holds a card number is a number and an id of the event: its first part, its
/// transaction or its movement. Ids that are made of several parts have `:` between them.
fn is_made_of_ids(facts: &Facts<'_>) -> bool {
    let of_event = |part: &str| {
        let ids = [&facts.transaction_id, &facts.movement_id, &facts.occurrence];
        ids.into_iter().any(|id| id.as_deref() == Some(part)) || facts.aliases.iter().any(|id| id == part)
    };
    let mut parts = facts.event_id.split(':').enumerate();
    parts.all(|(index, part)| !card::is_in_id(part) || is_digits(part) && (index == 0 || of_event(part)))
}

fn cleanse_metadata(metadata: &mut Vec<(Cow<'_, str>, Cow<'_, str>)>, rules: Rules<'_>) {
    let mut changed_key = false;
    metadata.retain_mut(|(key, value)| {
        let is_named = rules.metadata.is_some_and(|names| names.iter().any(|name| *name == **key));
        if rules.metadata.is_some() && !is_named
            || names_verification_data(key)
            || names::is_structure_with_verification_data(value)
        {
            return false;
        }
        let Signs { digits, at } = signs(value);
        if digits {
            card::mask(value);
        }
        if at && !is_named {
            email::hide(value);
        }
        let Signs { digits, at } = signs(key);
        if digits || at {
            mask(key);
            changed_key = true;
        }
        true
    });
    if changed_key {
        keep_first_of_each_key(metadata);
    }
}

/// Two keys may be the same when they are masked.
fn keep_first_of_each_key(metadata: &mut Vec<(Cow<'_, str>, Cow<'_, str>)>) {
    for (key, value) in mem::take(metadata) {
        if !metadata.iter().any(|(known, _)| *known == key) {
            metadata.push((key, value));
        }
    }
}

#[cfg(test)]
mod tests;
