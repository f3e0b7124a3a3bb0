//! Strict text forms. Each has one spelling per value, so that nothing can be said in two ways.

use std::borrow::Cow;

use base64::{Engine as _, alphabet, engine::general_purpose as engines};
use serde::{Deserialize, Serialize};
use tollgate_core::{Timestamp, id::to_hex};

use crate::refusal::Refusal;

/// How signature bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal in lower case only.
    Hex,
    /// Hexadecimal written in upper case; either case is read.
    HexUpper,
    /// The standard alphabet with padding, canonical.
    Base64,
    /// The URL alphabet without padding, canonical.
    Base64Url,
    /// Hexadecimal in lower case, or the standard alphabet with padding, which its length tells: for a provider that does not say which.
    HexOrBase64,
    /// The bytes themselves (static tokens).
    Text,
}

impl Encoding {
    /// The bytes that `text` stands for, or `None` when it is not their one spelling.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex if text.bytes().any(|b| b.is_ascii_uppercase()) => None,
            Self::Hex | Self::HexUpper => from_hex(text),
            Self::Base64 => engines::STANDARD.decode(text).ok(),
            Self::Base64Url => engines::URL_SAFE_NO_PAD.decode(text).ok(),
            // Padding is no digit, and no digest that needs none has as many bytes as another one of half its digits.
            Self::HexOrBase64 => Self::Hex.decode(text).or_else(|| Self::Base64.decode(text)),
            Self::Text => Some(text.as_bytes().to_vec()),
        }
    }

    /// The spelling of `bytes`.
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex | Self::HexOrBase64 => to_hex(bytes),
            Self::HexUpper => to_hex(bytes).to_ascii_uppercase(),
            Self::Base64 => engines::STANDARD.encode(bytes),
            Self::Base64Url => engines::URL_SAFE_NO_PAD.encode(bytes),
            Self::Text => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// What a text of `bytes` bytes looks like; of any number of them for `None`.
    pub(crate) fn in_words(self, bytes: Option<usize>) -> String {
        let count = bytes.map(|bytes| format!("{} ", self.encoded_len(bytes))).unwrap_or_default();
        match self {
            Self::Hex => format!("{count}hexadecimal digits in lower case"),
            Self::HexUpper => format!("{count}hexadecimal digits"),
            Self::Base64 => format!("{count}characters of base64 with padding (the standard alphabet)"),
            Self::Base64Url => format!("{count}characters of base64url without padding"),
            Self::HexOrBase64 => format!("{} or {}", Self::Hex.in_words(bytes), Self::Base64.in_words(bytes)),
            Self::Text => "the key itself".to_owned(),
        }
    }

    /// Whether a text of this length may stand for `bytes` bytes.
    pub(crate) fn is_length(self, length: usize, bytes: usize) -> bool {
        let is_of = |encoding: Self| length == encoding.encoded_len(bytes);
        is_of(self) || (self == Self::HexOrBase64 && is_of(Self::Base64))
    }

    /// Length of the spelling of `bytes` bytes.
    pub(crate) fn encoded_len(self, bytes: usize) -> usize {
        match self {
            Self::Hex | Self::HexUpper | Self::HexOrBase64 => bytes.saturating_mul(2),
            Self::Base64 => bytes.div_ceil(3).saturating_mul(4),
            Self::Base64Url => bytes.saturating_mul(4).div_ceil(3),
            Self::Text => bytes,
        }
    }
}

/// Hex in either case; an even number of digits.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(pairs.len());
    for [high, low] in pairs {
        bytes.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
    }
    Some(bytes)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Base64 of a key as people paste it: padding may be absent, left-over bits are ignored. For keys only, whose
/// holders choose them; never for what a sender sends.
pub(crate) fn key_from_base64(text: &str) -> Option<Vec<u8>> {
    let config = engines::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    engines::GeneralPurpose::new(&alphabet::STANDARD, config).decode(text).ok()
}

/// A whole number in ASCII digits without sign or leading zeros, at most 15 digits.
pub(crate) fn digits(text: &str) -> Option<i64> {
    let canonical = (1..=15).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Unix seconds.
    Seconds,
    /// Unix milliseconds.
    Milliseconds,
    /// Unix milliseconds where there are 13 digits, else seconds.
    Either,
    /// RFC 3339 with `T` and `Z` or an offset.
    Rfc3339,
}

impl Unit {
    pub(crate) fn read(self, text: &str) -> Option<Timestamp> {
        match self {
            Self::Seconds => Timestamp::from_second(digits(text)?).ok(),
            Self::Milliseconds => Timestamp::from_millisecond(digits(text)?).ok(),
            Self::Either if text.len() >= 13 => Self::Milliseconds.read(text),
            Self::Either => Self::Seconds.read(text),
            Self::Rfc3339 => rfc3339(text),
        }
    }

    pub(crate) fn write(self, at: Timestamp) -> String {
        match self {
            Self::Seconds => at.as_second().to_string(),
            Self::Milliseconds | Self::Either => at.as_millisecond().to_string(),
            Self::Rfc3339 => format!("{at:.3}"),
        }
    }

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Seconds => "unix seconds in digits",
            Self::Milliseconds => "unix milliseconds in digits",
            Self::Either => "unix seconds or milliseconds in digits",
            Self::Rfc3339 => "RFC 3339 as 2026-01-02T03:04:05Z",
        }
    }

    /// Refuses what lies outside `now ± window` seconds, both ends included.
    pub(crate) fn check(self, at: Timestamp, now: Timestamp, window: u32) -> Result<(), Refusal> {
        // A sender that counts whole seconds is compared in whole seconds.
        let age = match self {
            Self::Seconds => (now.as_second() - at.as_second()).saturating_mul(1000),
            _ => now.as_millisecond() - at.as_millisecond(),
        };
        let seconds = age.unsigned_abs().div_ceil(1000);
        if age.unsigned_abs() <= u64::from(window) * 1000 {
            Ok(())
        } else if age > 0 {
            Err(Refusal::TooOld { seconds, window })
        } else {
            Err(Refusal::TooNew { seconds, window })
        }
    }
}

/// RFC 3339's `date-time` with an upper-case `T` and `Z`. None is the beginning of another one, so that it is known where
/// one ends whatever stands behind it.
fn rfc3339(text: &str) -> Option<Timestamp> {
    const MOMENT: &[u8] = b"0000-00-00T00:00:00";
    const OFFSET: &[u8] = b"00:00";
    let fits = |text: &[u8], form: &[u8]| {
        let fits =
            |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
        text.len() == form.len() && text.iter().zip(form).all(fits)
    };
    let (moment, rest) = text.as_bytes().split_at_checked(MOMENT.len())?;
    let zone = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            fraction.get(digits..).filter(|_| (1..=9).contains(&digits))?
        }
        None => rest,
    };
    let is_zone = match zone {
        b"Z" => true,
        [b'+' | b'-', offset @ ..] => fits(offset, OFFSET),
        _ => false,
    };
    if is_zone && fits(moment, MOMENT) { text.parse().ok() } else { None }
}

/// The value of `name` in an `application/x-www-form-urlencoded` text (a body or a query), decoded.
///
/// # Errors
///
/// [`Refusal::Duplicate`]; [`Refusal::Malformed`] when the decoded text is not UTF-8.
pub(crate) fn form_field<'f>(form: &'f [u8], name: &str) -> Result<Option<Cow<'f, str>>, Refusal> {
    let mut found = None;
    for pair in form.split(|b| *b == b'&') {
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let (key, value) = pair.split_at(at);
        if *form_decode(key) != *name.as_bytes() {
            continue;
        }
        let value = form_decode(value.get(1..).unwrap_or_default());
        let value = match value {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
        };
        let value = value.ok_or(Refusal::Malformed("form field"))?;
        if found.replace(value).is_some() {
            return Err(Refusal::Duplicate(name.to_owned()));
        }
    }
    Ok(found)
}

/// The fields of a form or a query whose decoded names `is_kept` takes, as they were written.
pub(crate) fn kept_fields(form: &str, is_kept: impl Fn(&str) -> bool) -> String {
    let name = |pair: &str| form_decode(pair.split('=').next().unwrap_or_default().as_bytes()).into_owned();
    let kept = |pair: &&str| std::str::from_utf8(&name(pair)).is_ok_and(&is_kept);
    let pairs: Vec<&str> = form.split('&').filter(kept).collect();
    pairs.join("&")
}

fn form_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_encoding::percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    Cow::Owned(percent_encoding::percent_decode(&spaced).collect())
}

/// `pairs` as a form body.
pub(crate) fn to_form(pairs: &[(&str, &str)]) -> String {
    const KEPT: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let encode = |text| percent_encoding::utf8_percent_encode(text, &KEPT).to_string();
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_per_value() {
        assert_eq!(Encoding::Hex.decode("00ff"), Some(vec![0, 255]));
        for bad in ["00FF", "0f0", "+f", "0x", " 00", "é0", "00 "] {
            assert_eq!(Encoding::Hex.decode(bad), None, "{bad}");
        }
        assert_eq!(Encoding::HexUpper.decode("00Ff"), Some(vec![0, 255]));
        assert_eq!(Encoding::Base64.decode("AAE="), Some(vec![0, 1]));
        for bad in ["AAE", "AAF=", "AAE==", "A AE=", "AAE=\n", "-_8=", "AAE=x"] {
            assert_eq!(Encoding::Base64.decode(bad), None, "{bad}");
        }
        assert_eq!(Encoding::Base64Url.decode("-_8"), Some(vec![251, 255]));
        assert_eq!(Encoding::Base64Url.decode("-_8="), None);
        let bytes = vec![0x5a; 32];
        for encoding in [Encoding::Hex, Encoding::Base64] {
            let text = encoding.encode(&bytes);
            assert!(Encoding::HexOrBase64.is_length(text.len(), 32), "{text}");
            assert_eq!(Encoding::HexOrBase64.decode(&text), Some(bytes.clone()), "{text}");
        }
        for bad in ["5A", "AAF=", "5a5"] {
            assert_eq!(Encoding::HexOrBase64.decode(bad), None, "{bad}");
        }
        for encoding in [Encoding::Hex, Encoding::HexUpper, Encoding::Base64, Encoding::Base64Url] {
            for len in 0..70 {
                let bytes = vec![0x5a; len];
                let text = encoding.encode(&bytes);
                assert_eq!(text.len(), encoding.encoded_len(len), "{encoding:?}");
                assert_eq!(encoding.decode(&text), Some(bytes), "{encoding:?}");
            }
        }
    }

    #[test]
    fn numbers_are_ascii_digits() {
        assert_eq!(digits("0"), Some(0));
        assert_eq!(digits("1760000000"), Some(1_760_000_000));
        for bad in ["", "01", "+1", "-1", " 1", "1 ", "1_0", "1e3", "1.0", "0x1", "١", "1760000000000000"] {
            assert_eq!(digits(bad), None, "{bad}");
        }
    }

    #[test]
    fn windows_have_two_sides_and_include_their_ends() {
        let now = Timestamp::from_second(1_760_000_000).unwrap();
        let check_unit = |unit: Unit, text: &str| {
            unit.read(text).ok_or(Refusal::Malformed("timestamp")).and_then(|at| unit.check(at, now, 300))
        };
        let check = |text: &str| check_unit(Unit::Seconds, text);
        assert_eq!(check("1759999700"), Ok(()));
        assert_eq!(check("1760000300"), Ok(()));
        assert_eq!(check("1759999699"), Err(Refusal::TooOld { seconds: 301, window: 300 }));
        assert_eq!(check("1760000301"), Err(Refusal::TooNew { seconds: 301, window: 300 }));
        assert_eq!(check("1760000000000"), Err(Refusal::Malformed("timestamp")));
        let check = |text: &str| check_unit(Unit::Milliseconds, text);
        assert_eq!(check("1759999700000"), Ok(()));
        assert_eq!(check("1759999699999"), Err(Refusal::TooOld { seconds: 301, window: 300 }));
    }

    #[test]
    fn rfc3339_is_plain() {
        let at = Timestamp::from_second(1_531_403_188).unwrap();
        for good in ["2018-07-12T13:46:28Z", "2018-07-12T13:46:28.000Z", "2018-07-12T15:46:28+02:00"] {
            assert_eq!(Unit::Rfc3339.read(good), Some(at), "{good}");
        }
        for bad in [
            "2018-07-12 13:46:28Z",
            "2018-07-12t13:46:28z",
            "2018-07-12T13:46:28",
            "2018-07-12T13:46:28.Z",
            "2018-07-12T13:46:28.0000000000Z",
            "2018-07-12T13:46:28,0Z",
            "2018-07-12T13:46:28+02",
            "2018-07-12T13:46:28+0200",
            "2018-07-12T13:46:28+02:00:00",
            "2018-07-12T13:46+00:00:00",
            "2018-07-12T13:46:28ZZ",
            "2018-07-12T13:46:28Z[UTC]",
            "2018-13-12T13:46:28Z",
            "+002018-07-12T13:46:28Z",
            "1531403188",
        ] {
            assert_eq!(Unit::Rfc3339.read(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_timestamp_is_the_beginning_of_another() {
        for whole in
            ["2018-07-12T15:46:28.123456789+02:00", "2018-07-12T13:46:28-00:30", "2018-07-12T13:46:28.5Z"]
        {
            assert!(Unit::Rfc3339.read(whole).is_some(), "{whole}");
            for end in 0..whole.len() {
                assert_eq!(Unit::Rfc3339.read(&whole[..end]), None, "{whole} to {end}");
            }
        }
    }

    #[test]
    fn a_form_field_comes_once() {
        assert_eq!(form_field(b"a=1&b=%2B+x", "b"), Ok(Some("+ x".into())));
        assert_eq!(form_field(b"a=1", "b"), Ok(None));
        assert_eq!(form_field(b"a=1&%61=2", "a"), Err(Refusal::Duplicate("a".to_owned())));
        assert_eq!(form_field(b"a=%ff", "a"), Err(Refusal::Malformed("form field")));
        let form = to_form(&[("a b", "1&2=+"), ("c", "ü")]);
        assert_eq!(form_field(form.as_bytes(), "a b"), Ok(Some("1&2=+".into())));
        assert_eq!(form_field(form.as_bytes(), "c"), Ok(Some("ü".into())));
    }
}
