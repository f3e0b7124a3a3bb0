//! Names of card verification data: what PCI DSS calls sensitive authentication data (3.3.1), which no one may keep.

/// Names that count as words of a key, or as several words of it together: `pin`, `card[cid]`, `track_2`.
const WORDS: [&str; 24] = [
    "cid",
    "csc",
    "cav",
    "cav2",
    "cvn",
    "cvn2",
    "cvd",
    "cvd2",
    "pin",
    "pinblock",
    "cardpin",
    "securitycode",
    "cardcode",
    "cardsecurity",
    "cardverification",
    "verificationvalue",
    "track1",
    "track2",
    "track3",
    "trackdata",
    "fulltrack",
    "magstripe",
    "magneticstripe",
    "magstripedata",
];

/// The longest key that is looked at in words, in bytes. A longer one counts as a name of such data: no sender has one.
const MAX_KEY: usize = 256;

/// Whether a key names card verification data, in any case and form: `CVV2`, `card[security_code]`, `payment.cardCvc`.
pub fn names_verification_data(key: &str) -> bool {
    has_short_name(key.as_bytes()) || may_have_word(key.as_bytes()) && has_word(key.as_bytes())
}

/// Whether a text is JSON, and a key in it names such data.
pub(super) fn is_structure_with_verification_data(value: &str) -> bool {
    let value = value.trim_start();
    if !value.starts_with(['{', '[']) {
        return false;
    }
    // A key is what stands in quotes before a colon.
    value.split('"').collect::<Vec<_>>().windows(2).any(|pair| match pair {
        [key, after] => {
            after.trim_start().starts_with(':') && names_verification_data(key.trim_end_matches('\\'))
        }
        _ => false,
    })
}

/// Whether `cvv` or `cvc` stands anywhere in the key: `cardcvv2`, `billing_cvc`.
fn has_short_name(key: &[u8]) -> bool {
    let is = |byte: &u8, letter: u8| byte | 0x20 == letter;
    key.array_windows().any(|[c, v, last]| is(v, b'v') && is(c, b'c') && (is(last, b'v') || is(last, b'c')))
}

/// Whether a word may begin as a name does, so far as the byte before and the next two tell. Most keys have no such word.
fn may_have_word(key: &[u8]) -> bool {
    let mut before = b' ';
    key.array_windows().any(|[first, second]| {
        let begins = !before.is_ascii_alphanumeric() || first.is_ascii_uppercase();
        before = *first;
        begins
            && matches!(
                (first | 0x20, second | 0x20),
                (b'c', b'i' | b's' | b'a' | b'v')
                    | (b'p', b'i')
                    | (b's', b'e')
                    | (b'v', b'e')
                    | (b't', b'r')
                    | (b'm', b'a')
                    | (b'f', b'u')
            )
    })
}

/// Whether some words of the key, one beside the other, are a name. A word ends at what is no letter or digit, and before a
/// capital letter that follows a small one or a digit, or that a small one follows (`CVVCode`).
fn has_word(key: &[u8]) -> bool {
    // The letters and digits in small letters, and whether a word begins there.
    let mut letters = [(0, false); MAX_KEY];
    let (mut count, mut before, mut begins) = (0, b' ', true);
    for (at, &byte) in key.iter().enumerate() {
        if byte.is_ascii_alphanumeric() {
            let Some(letter) = letters.get_mut(count) else { return true };
            let next_is_small = key.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            begins |= byte.is_ascii_uppercase() && (!before.is_ascii_uppercase() || next_is_small);
            (*letter, count, begins) = ((byte.to_ascii_lowercase(), begins), count + 1, false);
        } else {
            begins = true;
        }
        before = byte;
    }
    let letters = letters.get(..count).unwrap_or_default();
    let is_at = |at: usize, name: &str| {
        let found = letters.get(at..at + name.len()).unwrap_or_default();
        let ends = letters.get(at + name.len()).is_none_or(|(_, begins)| *begins);
        ends && found.len() == name.len()
            && found.iter().zip(name.bytes()).all(|((letter, _), named)| *letter == named)
    };
    // Every name begins with one of few letters.
    let may_begin = |(letter, begins): &(u8, bool)| {
        *begins && matches!(letter, b'c' | b'p' | b's' | b'v' | b't' | b'm' | b'f')
    };
    let starts = letters.iter().enumerate().filter(|(_, letter)| may_begin(letter));
    starts.into_iter().any(|(at, _)| WORDS.iter().any(|name| is_at(at, name)))
}
