//! Numbers of payment cards.

use std::{borrow::Cow, ops::RangeInclusive};

/// The shortest and the longest card number (ISO/IEC 7812-1), in digits; no scheme's is shorter than 13 today.
pub(super) const SHORTEST: usize = 13;
const LENGTHS: RangeInclusive<usize> = SHORTEST..=LONGEST;
const LONGEST: usize = 19;

/// The shortest in an id, in digits: Visa's numbers of 13 were issued last a long time ago, and Shopify's ids are such
/// numbers. So are amounts in ids that are made of them.
const SHORTEST_IN_ID: usize = 14;

/// The groups in which numbers are printed and typed: of 16 digits, of American Express, of Diners Club, of 19 digits.
/// <https://baymard.com/checkout-usability/credit-card-patterns> lists them by scheme. UnionPay's 6 and 13 are also a customer's
/// number and a time in milliseconds.
const GROUPS: [&[usize]; 4] = [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3]];

/// The most separators between two groups of digits (`4242 - 4242`).
const MAX_SEPARATORS: usize = 3;

/// How many digits of a number are shown before and after the masked ones (PCI DSS 4.0, 3.4.1 and 3.5.1: the first six
/// and the last four of any number).
const FIRST: usize = 6;
const LAST: usize = 4;

/// Issuer identification numbers: first and last of the range, by their first digits, and the numbers' lengths. As the
/// schemes publish them; <https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN)> lists them
/// with their sources. Where ranges touch, a wider one stands for several.
const ISSUERS: [(u32, u32, RangeInclusive<usize>); 25] = [
    // Visa, Visa Electron; Elo and Dankort within it.
    (4, 4, 13..=13),
    (4, 4, 16..=16),
    (4, 4, 19..=19),
    // Mastercard.
    (51, 55, 16..=16),
    (2221, 2720, 16..=16),
    // American Express.
    (34, 34, 15..=15),
    (37, 37, 15..=15),
    // Diners Club.
    (300, 305, 14..=19),
    (309, 309, 14..=19),
    (36, 36, 14..=19),
    (38, 39, 14..=19),
    // JCB, and RuPay with it.
    (3528, 3589, 16..=19),
    // Maestro, Verve, Elo, RuPay.
    (50, 50, 16..=19),
    (56, 58, 16..=19),
    // Discover, Hipercard, RuPay.
    (60, 60, 16..=19),
    // UnionPay, and Discover with it.
    (62, 62, 16..=19),
    (8100, 8171, 16..=19),
    // Maestro, InstaPayment, Elo.
    (63, 63, 16..=19),
    (67, 67, 16..=19),
    // Discover, RuPay, Troy.
    (644, 659, 16..=19),
    (8172, 8299, 16..=16),
    // Mir.
    (2200, 2205, 16..=19),
    // Uzcard, Humo.
    (8600, 8600, 16..=16),
    (9860, 9860, 16..=16),
    // Troy, Napas.
    (9704, 9792, 16..=19),
];

/// Whether a card number is in an id, written as people or machines write one: in one or in [`GROUPS`], with no letter or
/// digit right before and no digit in the rest of the last word (there may be letters: we write `{amount}EUR`). Ids are often made of several numbers: a customer's and a time (`431-1767323045005`), a day and a count. As in a
/// free text, any of them together would pass for a card number now and then, and so would the digits of a random id.
pub(super) fn is_in_id(text: &str) -> bool {
    let mut is_in_word = false;
    has_stretch(text)
        && text.char_indices().any(|(at, c)| {
            let begins = !is_in_word && value(c).is_some();
            is_in_word = c.is_alphanumeric();
            begins && text.get(at..).is_some_and(begins_as_card)
        })
}

/// Whether the digits that a text begins with are a card number's.
fn begins_as_card(text: &str) -> bool {
    let count = text.chars().take_while(|c| value(*c).is_some()).count();
    let in_one = (SHORTEST_IN_ID..=LONGEST).contains(&count) && is_card_of(&[count], text);
    in_one || GROUPS.iter().any(|groups| is_card_of(groups, text))
}

/// Whether a text begins with a card number of groups of that many digits, with the same separator between each two.
fn is_card_of(groups: &[usize], text: &str) -> bool {
    let (mut digits, mut count, mut separator) = ([0; LONGEST], 0, None);
    let mut chars = text.chars();
    for group in groups {
        if count > 0 {
            let next = chars.next().filter(|c| is_separator(*c));
            if next.is_none() || *separator.get_or_insert(next) != next {
                return false;
            }
        }
        for _ in 0..*group {
            let (Some(place), Some(value)) = (digits.get_mut(count), chars.next().and_then(value)) else {
                return false;
            };
            (*place, count) = (value, count + 1);
        }
    }
    is_word_end(chars.as_str(), 0) && digits.get(..count).is_some_and(is_card)
}

/// Masks the card numbers in a text, and all other digits where there is one.
pub(super) fn mask(text: &mut Cow<'_, str>) {
    if !has_stretch(text) {
        return;
    }
    let mut cards = cards(text).peekable();
    if cards.peek().is_none() {
        return;
    }
    let mut masked = String::with_capacity(text.len());
    // How many digits of the card number there were.
    let mut place = 0;
    for (at, c) in text.char_indices() {
        if cards.next_if(|card| card.end <= at).is_some() {
            place = 0;
        }
        let is_shown = match cards.peek() {
            Some(card) if at >= card.begin => {
                place += usize::from(value(c).is_some());
                place <= FIRST || place + LAST > card.digits
            }
            _ => false,
        };
        masked.push(if is_shown || value(c).is_none() { c } else { '*' });
    }
    drop(cards);
    *text = Cow::Owned(masked);
}

/// A card number: where it begins and ends in its text, in bytes, and how many digits it has.
struct Card {
    begin: usize,
    end: usize,
    digits: usize,
}

/// Whether digits enough for a card number stand with nothing but separators between them, so far as bytes tell.
fn has_stretch(text: &str) -> bool {
    let mut count = 0;
    text.bytes().any(|byte| {
        match byte {
            // Full-width digits begin with EF in UTF-8.
            b'0'..=b'9' | 0xef => count += 1,
            b' ' | b'\t' | b'\n' | b'\r' | b'-' | b'.' | b'_' | 0x80.. => {}
            _ => count = 0,
        }
        count >= SHORTEST
    })
}

/// The card numbers in a text, in order and apart.
fn cards(text: &str) -> impl Iterator<Item = Card> {
    let mut end = 0;
    let mut is_after_digit = false;
    text.char_indices().filter_map(move |(at, c)| {
        let value = value(c);
        let begins = value.is_some() && !is_after_digit && at >= end;
        is_after_digit = value.is_some();
        // No scheme's numbers begin with these.
        if !begins || matches!(value, Some(0 | 1 | 7)) {
            return None;
        }
        let card = card_at(text, at)?;
        end = card.end;
        Some(card)
    })
}

/// The longest card number that begins with the digit at `begin`, so that the digits behind a shorter one are masked with
/// it. It ends where its last group of digits ends.
fn card_at(text: &str, begin: usize) -> Option<Card> {
    let (mut digits, mut count, mut separators, mut longest) = ([0; LONGEST], 0, 0, None);
    let rest = text.get(begin..)?;
    let mut chars = rest.chars().peekable();
    let mut end = begin;
    while let Some(c) = chars.next() {
        end += c.len_utf8();
        let Some(value) = value(c) else {
            separators += 1;
            if separators > MAX_SEPARATORS || !is_separator(c) {
                break;
            }
            continue;
        };
        let Some(digit) = digits.get_mut(count) else { break };
        (*digit, count, separators) = (value, count + 1, 0);
        let ends = chars.peek().is_none_or(|next| self::value(*next).is_none());
        if ends && is_card(digits.get(..count)?) && is_word_end(text, end) {
            longest = Some(Card { begin, end, digits: count });
        }
    }
    longest.filter(|card| is_word_begin(text, begin) && !is_in_uuid(text, card))
}

/// Whether the digits that begin at `begin` have nothing before them, in their word, but letters: else they are a part of a
/// hash or a random id.
fn is_word_begin(text: &str, begin: usize) -> bool {
    let before = text.get(..begin).unwrap_or_default().chars().rev();
    before.take_while(|c| c.is_alphanumeric()).all(|c| value(c).is_none())
}

/// Likewise of what stands behind digits that end at `end`.
fn is_word_end(text: &str, end: usize) -> bool {
    let behind = text.get(end..).unwrap_or_default().chars();
    behind.take_while(|c| c.is_alphanumeric()).all(|c| value(c).is_none())
}

fn value(c: char) -> Option<u8> {
    let value = match c {
        '0'..='9' => u32::from(c) - u32::from('0'),
        '\u{ff10}'..='\u{ff19}' => u32::from(c) - 0xff10,
        _ => return None,
    };
    u8::try_from(value).ok()
}

/// What people write between the groups of a number: spaces, dashes, dots.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '.' | '_' | '·' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// The length, the issuer and the check digit are a card number's.
fn is_card(digits: &[u8]) -> bool {
    LENGTHS.contains(&digits.len()) && has_issuer(digits) && is_luhn(digits)
}

fn has_issuer(digits: &[u8]) -> bool {
    let number =
        |count: usize| digits.iter().take(count).fold(0, |number, digit| number * 10 + u32::from(*digit));
    ISSUERS.iter().any(|(first, last, lengths)| {
        let count = usize::try_from(first.ilog10()).unwrap_or(0) + 1;
        lengths.contains(&digits.len()) && (*first..=*last).contains(&number(count))
    })
}

/// The check digit of ISO/IEC 7812-1, annex B.
fn is_luhn(digits: &[u8]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(place, digit)| {
        let twice = u32::from(*digit) * 2;
        if place % 2 == 0 { u32::from(*digit) } else { twice / 10 + twice % 10 }
    });
    weighed.sum::<u32>() % 10 == 0
}

/// Whether it is within a UUID (RFC 9562, 4): its groups pass for those of a number now and then.
fn is_in_uuid(text: &str, card: &Card) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let is_uuid = |text: &str| {
        let mut groups = text.split('-');
        let is_group =
            |len: usize, group: &str| group.len() == len && group.bytes().all(|b| b.is_ascii_hexdigit());
        GROUPS.iter().all(|len| groups.next().is_some_and(|group| is_group(*len, group)))
            && groups.next().is_none()
    };
    let begins = card.end.saturating_sub(LENGTH)..=card.begin;
    begins.filter_map(|at| text.get(at..at + LENGTH)).any(is_uuid)
}
