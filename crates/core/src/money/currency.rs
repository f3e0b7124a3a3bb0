//! Currencies and their decimals by ISO 4217.

use std::fmt;

use super::error::MoneyError;
use crate::inline::Inline;

/// The longest currency code that is kept; ISO 4217 has three letters, crypto assets up to about ten.
pub const MAX_CURRENCY_LEN: usize = 12;

/// ISO 4217 currencies whose exponent is not two.
///
/// Source: ISO 4217 List One, amendment 177 (SIX Financial Information AG, maintenance agency).
const EXPONENTS_OTHER_THAN_TWO: [(&str, u8); 26] = [
    ("BHD", 3),
    ("BIF", 0),
    ("CLF", 4),
    ("CLP", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("IQD", 3),
    ("ISK", 0),
    ("JOD", 3),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("LYD", 3),
    ("OMR", 3),
    ("PYG", 0),
    ("RWF", 0),
    ("TND", 3),
    ("UGX", 0),
    ("UYI", 0),
    ("UYW", 4),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
    ("XPF", 0),
];

/// ISO 4217 currencies with two decimals (same source), in alphabetical order.
const TWO_DECIMALS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN \
BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS \
GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA \
MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB \
SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU \
UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG ZWL";

/// A currency code: three upper-case letters where ISO 4217 knows it, the sender's own text where not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: Inline<MAX_CURRENCY_LEN>,
    /// `None`: not an ISO 4217 currency that we know.
    exponent: Option<u8>,
}

impl Currency {
    /// Reads a code in any letter case. An unknown code is kept verbatim and [`Currency::is_known`] is false.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Currency`] when the code is empty, longer than [`MAX_CURRENCY_LEN`] or holds anything but
    /// ASCII letters, digits, `-`, `_` and `.`.
    pub fn new(code: &str) -> Result<Self, MoneyError> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let plain = Some(code).filter(|code| !code.is_empty() && code.bytes().all(is_plain));
        let text = plain.and_then(Inline::new).ok_or(MoneyError::Currency)?;
        let mut currency = Self { code: text, exponent: None };
        if let Some(exponent) = iso_exponent(code) {
            currency.code.make_ascii_uppercase();
            currency.exponent = Some(exponent);
        }
        Ok(currency)
    }

    /// The code: upper case for ISO 4217 currencies, verbatim otherwise.
    pub fn code(&self) -> &str {
        self.code.as_str()
    }

    /// Decimals of the minor unit (JPY 0, USD 2, KWD 3); `None` for a currency that ISO 4217 does not list.
    pub fn exponent(&self) -> Option<u8> {
        self.exponent
    }

    /// Whether ISO 4217 lists it.
    pub fn is_known(&self) -> bool {
        self.exponent.is_some()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

fn iso_exponent(code: &str) -> Option<u8> {
    let mut code: [u8; 3] = code.as_bytes().try_into().ok()?;
    code.make_ascii_uppercase();
    if let Ok(found) = EXPONENTS_OTHER_THAN_TWO.binary_search_by(|(known, _)| known.as_bytes().cmp(&code)) {
        return EXPONENTS_OTHER_THAN_TWO.get(found).map(|(_, exponent)| *exponent);
    }
    // Each code with the space after it; the last has none.
    let (listed, last) = TWO_DECIMALS.as_bytes().as_chunks::<4>();
    let is_listed = listed.binary_search_by(|[a, b, c, _]| [*a, *b, *c].cmp(&code)).is_ok() || *last == code;
    is_listed.then_some(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_currencies_are_kept_verbatim_and_flagged() {
        let odd = Currency::new("usdC").unwrap();
        assert_eq!((odd.code(), odd.is_known()), ("usdC", false));
        assert_eq!(Currency::new(""), Err(MoneyError::Currency));
        assert_eq!(Currency::new("US D"), Err(MoneyError::Currency));
        assert_eq!(Currency::new("ABCDEFGHIJKLM"), Err(MoneyError::Currency));
    }

    #[test]
    fn the_currency_table_has_whole_rows() {
        for code in TWO_DECIMALS.split(' ') {
            assert_eq!((code.len(), iso_exponent(code)), (3, Some(2)), "{code}");
        }
        assert_eq!(iso_exponent("   "), None);
        assert_eq!(iso_exponent("XYZ"), None);
    }
}
