//! The tier of an amount.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};
use tollgate_core::{Currency, Money, RiskTier};

use crate::decimal::{Decimal, DecimalError};

/// The bounds of a currency's tiers, in major units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The least amount that is medium.
    pub medium: Decimal,
    /// The greatest amount that is medium; above it is high.
    pub high: Decimal,
}

/// The limits of every currency. A currency without limits of its own has the default ones, for its major units.
///
/// ```
/// use tollgate_core::{Currency, Money, RiskTier};
/// use tollgate_risk::Thresholds;
///
/// let thresholds = Thresholds::from_json(r#"{"default":{"medium":"500","high":"5000"}}"#)?;
/// let euros = Money::from_decimal("5000.01", Currency::new("EUR")?)?;
/// assert_eq!(thresholds.tier(&euros), RiskTier::High);
/// let yen = Money::from_decimal("5001", Currency::new("JPY")?)?;
/// assert_eq!(thresholds.tier(&yen), RiskTier::Low);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Built-in limits
///
/// 1,000 and 10,000, but for currencies whose unit is worth much less or much more than a dollar. Theirs are a
/// round number of about the same worth (the power of ten nearest to the units that a US dollar bought in
/// 2025; where that is far off, the digit as well). They route events. They are not exchange rates.
///
/// | medium | high | currencies |
/// |---|---|---|
/// | 0.01 | 0.1 | BTC |
/// | 0.3 | 3 | ETH |
/// | 25 | 250 | CLF |
/// | 300 | 3,000 | KWD |
/// | 400 | 4,000 | BHD OMR |
/// | 10,000 | 100,000 | AED BOB BRL BWP CNY CZK DKK GHS GTQ HKD HNL ILS MAD MDL MOP MXN MYR NAD NOK PEN PLN QAR RON SAR SEK TTD TWD ZAR ZMW |
/// | 100,000 | 1,000,000 | AFN ALL BDT CVE DJF DOP DZD EGP ETB INR ISK JMD JPY KES KGS LKR MKD MUR MZN NIO NPR PHP PKR RSD RUB THB TRY UAH UYU VUV XPF |
/// | 1,000,000 | 10,000,000 | AMD AOA ARS BIF CLP CRC HUF IQD KMF KRW KZT MMK MWK NGN RWF TZS XAF XOF |
/// | 10,000,000 | 100,000,000 | COP GNF IDR KHR LAK MGA MNT PYG UGX UZS VND |
/// | 100,000,000 | 1,000,000,000 | IRR LBP |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    default: Limits,
    by_currency: BTreeMap<Currency, Limits>,
}

/// (medium, high, currencies): the table above.
const BUILT_IN: [(Decimal, Decimal, &str); 10] = [
    (Decimal::new(1, 2), Decimal::new(1, 1), "BTC"),
    (Decimal::new(3, 1), Decimal::new(3, 0), "ETH"),
    (Decimal::new(25, 0), Decimal::new(250, 0), "CLF"),
    (Decimal::new(300, 0), Decimal::new(3_000, 0), "KWD"),
    (Decimal::new(400, 0), Decimal::new(4_000, 0), "BHD OMR"),
    (
        Decimal::new(10_000, 0),
        Decimal::new(100_000, 0),
        "AED BOB BRL BWP CNY CZK DKK GHS GTQ HKD HNL ILS MAD MDL MOP MXN MYR NAD NOK PEN PLN QAR RON SAR SEK TTD \
TWD ZAR ZMW",
    ),
    (
        Decimal::new(100_000, 0),
        Decimal::new(1_000_000, 0),
        "AFN ALL BDT CVE DJF DOP DZD EGP ETB INR ISK JMD JPY KES KGS LKR MKD MUR MZN NIO NPR PHP PKR RSD RUB THB \
TRY UAH UYU VUV XPF",
    ),
    (
        Decimal::new(1_000_000, 0),
        Decimal::new(10_000_000, 0),
        "AMD AOA ARS BIF CLP CRC HUF IQD KMF KRW KZT MMK MWK NGN RWF TZS XAF XOF",
    ),
    (
        Decimal::new(10_000_000, 0),
        Decimal::new(100_000_000, 0),
        "COP GNF IDR KHR LAK MGA MNT PYG UGX UZS VND",
    ),
    (Decimal::new(100_000_000, 0), Decimal::new(1_000_000_000, 0), "IRR LBP"),
];

/// The key of the limits for every currency without its own.
const DEFAULT_KEY: &str = "default";

/// Why thresholds cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ThresholdsError {
    /// Not JSON, or not of the form `{"CODE":{"medium":"…","high":"…"}}`: an unknown or missing field, a number
    /// where text must be.
    #[error("thresholds: {0}")]
    Json(#[from] serde_json::Error),
    /// A key is neither `default` nor a currency code.
    #[error("thresholds: {key:?} is neither \"default\" nor a currency code")]
    Key {
        /// The key.
        key: String,
    },
    /// A currency occurs twice, perhaps in another letter case.
    #[error("thresholds: {key:?} occurs twice")]
    Repeated {
        /// The key as written the second time.
        key: String,
    },
    /// A limit is not a plain decimal.
    #[error("thresholds: {field} of {key:?} is {source}")]
    Decimal {
        /// The currency.
        key: String,
        /// `medium` or `high`.
        field: &'static str,
        /// What is wrong with it.
        source: DecimalError,
    },
    /// Medium is above high.
    #[error("thresholds: medium of {key:?} is above high")]
    Order {
        /// The currency.
        key: String,
    },
}

impl Thresholds {
    /// Reads `{"default":{"medium":"1000","high":"10000"},"JPY":{"medium":"100000","high":"1000000"}}`: exact
    /// decimal text in major units. What the text does not name keeps its built-in limits; another `default`
    /// does not change the built-in limits of other currencies. Codes are read in any letter case, and those
    /// that ISO 4217 does not list (`USDC`) are accepted.
    ///
    /// # Errors
    ///
    /// [`ThresholdsError`].
    pub fn from_json(text: &str) -> Result<Self, ThresholdsError> {
        let Entries(entries) = serde_json::from_str(text)?;
        let mut thresholds = Self::default();
        let mut seen = Vec::with_capacity(entries.len());
        for (key, entry) in entries {
            let currency = match key.as_str() {
                DEFAULT_KEY => None,
                code => Some(normal(code).ok_or_else(|| ThresholdsError::Key { key: key.clone() })?),
            };
            if seen.contains(&currency) {
                return Err(ThresholdsError::Repeated { key });
            }
            seen.push(currency);
            let limits = entry.limits(key)?;
            match currency {
                None => thresholds.default = limits,
                Some(currency) => {
                    thresholds.by_currency.insert(currency, limits);
                }
            }
        }
        Ok(thresholds)
    }

    /// The tier of an amount: above high is [`High`](RiskTier::High), from medium to high, both included,
    /// [`Medium`](RiskTier::Medium), below that [`Low`](RiskTier::Low).
    ///
    /// - Negative amounts (some providers' refunds and chargebacks) count by their magnitude: the risk is the
    ///   amount that moves, in either direction.
    /// - A currency without limits of its own takes the default ones, on its decimal value.
    /// - An unlisted currency whose sender wrote an integer has no known exponent. The integer is taken for
    ///   major units, the largest amount that it can mean, so that such an amount may be rated too high and never
    ///   too low.
    pub fn tier(&self, amount: &Money) -> RiskTier {
        let limits = self.limits(amount.currency());
        if limits.high.compare_magnitude(amount) == Ordering::Greater {
            RiskTier::High
        } else if limits.medium.compare_magnitude(amount) == Ordering::Less {
            RiskTier::Low
        } else {
            RiskTier::Medium
        }
    }

    /// [`tier`](Self::tier), and [`Unrated`](RiskTier::Unrated) where there is no amount.
    pub fn tier_of(&self, amount: Option<&Money>) -> RiskTier {
        amount.map_or(RiskTier::Unrated, |amount| self.tier(amount))
    }

    /// The limits of a currency.
    pub fn limits(&self, currency: Currency) -> &Limits {
        let key = if currency.is_known() { Some(currency) } else { normal(currency.code()) };
        key.and_then(|key| self.by_currency.get(&key)).unwrap_or(&self.default)
    }
}

/// The built-in limits.
impl Default for Thresholds {
    fn default() -> Self {
        let rows = BUILT_IN.iter().flat_map(|(medium, high, codes)| {
            let limits = Limits { medium: *medium, high: *high };
            codes.split(' ').filter_map(move |code| Some((normal(code)?, limits)))
        });
        Self {
            default: Limits { medium: Decimal::new(1_000, 0), high: Decimal::new(10_000, 0) },
            by_currency: rows.collect(),
        }
    }
}

/// A currency as a key. Unlisted codes are kept verbatim elsewhere; here `usdc` and `USDC` are one.
fn normal(code: &str) -> Option<Currency> {
    let currency = Currency::new(code).ok()?;
    if currency.is_known() { Some(currency) } else { Currency::new(&code.to_ascii_uppercase()).ok() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    medium: String,
    high: String,
}

impl Entry {
    fn limits(&self, key: String) -> Result<Limits, ThresholdsError> {
        let read = |field, text: &str| {
            text.parse().map_err(|source| ThresholdsError::Decimal { key: key.clone(), field, source })
        };
        let limits = Limits { medium: read("medium", &self.medium)?, high: read("high", &self.high)? };
        if limits.medium > limits.high { Err(ThresholdsError::Order { key }) } else { Ok(limits) }
    }
}

/// An object's entries, repeated keys included: a map would keep the last one and hide the mistake.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of currencies")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
