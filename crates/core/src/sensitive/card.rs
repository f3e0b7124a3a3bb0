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
const GROUPS: [&[usize]; 4] =
    [&[PRINTED, 4, 4, 4], &[PRINTED, 6, 5], &[PRINTED, 6, 4], &[PRINTED, 4, 4, 4, 3]];

/// The first of them.
const PRINTED: usize = 4;

/// The most separators between two groups of digits (`4242 - 4242`).
const MAX_SEPARATORS: usize = 3;

/// The most digits behind each word that stands right behind a number: a date with a year of four digits.
const MOST_BEHIND_WORD: usize = 8;

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
    let count = digits_of(text.chars());
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
    let mut rest_of_word = chars.take_while(|c| c.is_alphanumeric());
    rest_of_word.all(|c| value(c).is_none()) && digits.get(..count).is_some_and(is_card)
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
    for Unit { at, end, kind } in units(text) {
        if cards.next_if(|card| card.end <= at).is_some() {
            place = 0;
        }
        let is_digit = matches!(kind, Kind::Digit(_));
        let is_shown = match cards.peek() {
            Some(card) if at >= card.begin => {
                place += usize::from(is_digit);
                place <= FIRST || place + LAST > card.digits
            }
            _ => false,
        };
        masked.push_str(if is_shown || !is_digit { text.get(at..end).unwrap_or_default() } else { "*" });
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
    let (mut count, mut of_escape) = (0, 0);
    text.bytes().any(|byte| {
        let is_in_escape = of_escape > 0;
        of_escape = if byte == b'%' { 2 } else { of_escape - i32::from(is_in_escape) };
        match byte {
            // Full-width digits begin with EF in UTF-8.
            b'0'..=b'9' | 0xef => count += 1,
            b'A'..=b'Z' | b'a'..=b'z' if !is_in_escape => count = 0,
            _ => {}
        }
        count >= SHORTEST
    })
}

/// A character of a text, or a separator in the form in which a URL has it (`%20`): where it begins and ends, in bytes.
struct Unit {
    at: usize,
    end: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit(u8),
    Letter,
    /// What people write between the groups of a number, however many digits they have.
    Separator,
    /// Any other sign. Between the groups that are printed on a card it is a separator.
    Mark,
    /// Nobody sees it.
    Hidden,
}

fn units(text: &str) -> impl Iterator<Item = Unit> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let c = rest.chars().next()?;
        let escaped = if c == '%' { escaped(rest) } else { None };
        let (kind, len) = match escaped.map(|(c, len)| (kind(c), len)) {
            Some((kind @ (Kind::Separator | Kind::Mark | Kind::Hidden), len)) => (kind, len),
            _ => (kind(c), c.len_utf8()),
        };
        let unit = Unit { at, end: at + len, kind };
        at = unit.end;
        Some(unit)
    })
}

/// The character that percent-encoded bytes stand for (RFC 3986, 2.1), and how long they are.
fn escaped(text: &str) -> Option<(char, usize)> {
    let mut bytes = Vec::new();
    for part in text.split('%').skip(1).take(4) {
        let code = part.get(..2).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        if let Ok(character) = std::str::from_utf8(&bytes) {
            return character.chars().next().map(|c| (c, bytes.len() * 3));
        }
    }
    None
}

fn kind(c: char) -> Kind {
    match value(c) {
        Some(value) => Kind::Digit(value),
        None if is_hidden(c) => Kind::Hidden,
        None if is_separator(c) => Kind::Separator,
        None if c.is_alphanumeric() => Kind::Letter,
        None => Kind::Mark,
    }
}

/// The card numbers in a text, in order and apart.
fn cards(text: &str) -> impl Iterator<Item = Card> {
    let mut end = 0;
    // Of the word so far. What follows another digit is a part of a number, a hash or a random id.
    let mut has_digit = false;
    units(text).filter_map(move |unit| {
        let begins = !has_digit && unit.at >= end;
        let value = match unit.kind {
            Kind::Digit(value) => value,
            kind => {
                has_digit &= kind == Kind::Letter;
                return None;
            }
        };
        has_digit = true;
        // No scheme's numbers begin with these.
        if !begins || matches!(value, 0 | 1 | 7) {
            return None;
        }
        let card = card_at(text, unit.at)?;
        end = card.end;
        Some(card)
    })
}

/// The longest card number that begins with the digit at `begin`, so that the digits behind a shorter one are masked with
/// it. It ends where its last group of digits ends.
fn card_at(text: &str, begin: usize) -> Option<Card> {
    let (mut digits, mut count, mut separators, mut has_mark) = ([0; LONGEST], 0, 0, false);
    let mut longest = None;
    let (before, rest) = text.split_at_checked(begin)?;
    let mut units = units(rest).peekable();
    while let Some(unit) = units.next() {
        let value = match unit.kind {
            Kind::Digit(value) => value,
            Kind::Hidden => continue,
            Kind::Separator | Kind::Mark if separators < MAX_SEPARATORS => {
                separators += 1;
                has_mark |= unit.kind == Kind::Mark;
                continue;
            }
            Kind::Separator | Kind::Mark | Kind::Letter => break,
        };
        let Some(digit) = digits.get_mut(count) else { break };
        (*digit, count, separators) = (value, count + 1, 0);
        let ends = units.peek().is_none_or(|next| !matches!(next.kind, Kind::Digit(_)));
        let (number, behind) = rest.split_at_checked(unit.end)?;
        if ends
            && is_card(digits.get(..count)?)
            && (!has_mark || is_printed(before, number, behind))
            && is_word_end(behind)
        {
            longest = Some(Card { begin, end: begin + unit.end, digits: count });
        }
    }
    longest.filter(|card| !is_in_uuid(text, card))
}

/// Whether a number is written in groups as they are printed on cards, with the same between each two, and is not a part of
/// a list of such groups: neither has it one right before, nor two right behind (one is a date).
fn is_printed(before: &str, number: &str, behind: &str) -> bool {
    let (mut groups, mut gaps, mut last_end) = (Vec::new(), Vec::new(), 0);
    for unit in units(number).filter(|unit| matches!(unit.kind, Kind::Digit(_))) {
        match groups.last_mut().filter(|_| unit.at == last_end) {
            Some(size) => *size += 1,
            None => {
                groups.push(1);
                gaps.extend(number.get(last_end..unit.at).filter(|gap| !gap.is_empty()));
            }
        }
        last_end = unit.end;
    }
    let gap = gaps.first().copied().unwrap_or_default();
    let is_listed = before.strip_suffix(gap).is_some_and(|before| digits_of(before.chars().rev()) == PRINTED)
        || behind_group(behind, gap).is_some_and(|behind| behind_group(behind, gap).is_some());
    gaps.iter().all(|other| *other == gap) && GROUPS.contains(&groups.as_slice()) && !is_listed
}

/// What stands behind `gap` and a group of four digits.
fn behind_group<'a>(text: &'a str, gap: &str) -> Option<&'a str> {
    let digits = text.strip_prefix(gap).filter(|digits| digits_of(digits.chars()) == PRINTED)?;
    Some(digits.trim_start_matches(|c| value(c).is_some()))
}

/// How many digits come first.
fn digits_of(chars: impl Iterator<Item = char>) -> usize {
    chars.take_while(|c| value(*c).is_some()).count()
}

/// Whether what stands behind a number in its word is what people and machines write there: letters, or words with few
/// digits behind each (`EXP1225CVV123`), or the rest of a second track. Else the number is a part of a hash or a random id.
fn is_word_end(behind: &str) -> bool {
    let len = behind.find(|c: char| !c.is_alphanumeric()).unwrap_or(behind.len());
    let mut rest = behind.get(..len).unwrap_or_default();
    if is_end_of_track(rest) {
        return true;
    }
    loop {
        let digits = rest.trim_start_matches(|c| value(c).is_none());
        if digits.is_empty() {
            return true;
        }
        let is_few = digits_of(digits.chars()) <= MOST_BEHIND_WORD;
        if !is_few || !rest.strip_suffix(digits).is_some_and(is_words) {
            return false;
        }
        rest = digits.trim_start_matches(|c| value(c).is_some());
    }
}

/// Whether letters are words (`exp`, `EXP`, `ExpDate`): no letter stands alone. In a random id many do.
fn is_words(letters: &str) -> bool {
    let mut is_after_lower = false;
    let mut len = 0;
    for c in letters.chars() {
        if c.is_uppercase() && is_after_lower {
            if len < 2 {
                return false;
            }
            len = 0;
        }
        is_after_lower = c.is_lowercase();
        len += 1;
    }
    len >= 2
}

/// Whether this is what follows a number on a card's second track: the separator, which EMV writes as `D`, an expiry date of
/// four digits, a service code of three, and the issuer's digits, of which the whole track has 37 at most; `F` fills the last
/// byte (ISO/IEC 7813; EMV 4.3, book 3, annex A, tag 57).
fn is_end_of_track(text: &str) -> bool {
    let digits = text.strip_prefix(['D', 'd']).unwrap_or_default().trim_end_matches(['F', 'f']);
    (7..=37 - SHORTEST).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn value(c: char) -> Option<u8> {
    let value = match c {
        '0'..='9' => u32::from(c) - u32::from('0'),
        '\u{ff10}'..='\u{ff19}' => u32::from(c) - 0xff10,
        _ => return None,
    };
    u8::try_from(value).ok()
}

/// Whether nobody sees it: control characters, and of Unicode's Default_Ignorable_Code_Point
/// (<https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt>) and the combining marks what may stand between
/// digits, by whole blocks.
fn is_hidden(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
        || matches!(c,
            '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
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
