//! The event types that each provider publishes, and what its normaliser does with them: `event-types/NAME.txt`.
//!
//! ```text
//! # Source: https://docs.example.com/webhooks/events, read 2026-11-29
//! mapped   payment.captured
//! ignored  account.updated
//! ```
//!
//! `mapped`: a usual body of this type becomes an event with a type other than `payment.unrecognized`. `ignored`: the
//! type is not about a payment, a refund, a dispute, a payout, a subscription or an invoice. Such an event is
//! unrecognized on purpose. For a provider without event types the names are its statuses. Other lines that begin with
//! `#` are for readers.

use std::{collections::BTreeSet, sync::OnceLock};

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventTypes {
    /// Where the provider publishes its list, and when that was read: `URL, read YYYY-MM-DD`.
    pub sources: Vec<&'static str>,
    /// The types that become one of ours.
    pub mapped: BTreeSet<&'static str>,
    /// The types that do not, on purpose.
    pub ignored: BTreeSet<&'static str>,
}

impl EventTypes {
    /// Those of the normaliser called `normaliser`; `None` where there is no such normaliser.
    pub fn of(normaliser: &str) -> Option<&'static Self> {
        // A file that cannot be read ignores nothing. The tests say that there is none.
        let file = FILES.iter().find(|file| file.normaliser == normaliser)?;
        Some(file.read.get_or_init(|| Self::parse(file.text).unwrap_or_default()))
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first line that is not as described above, or whose name was there before.
    fn parse(text: &'static str) -> Result<Self, &'static str> {
        let mut types = Self::default();
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                types.sources.extend(comment.strip_prefix(" Source: ").filter(|source| has_date(source)));
                continue;
            }
            let (word, name) = line.split_once(' ').ok_or(line)?;
            let name = name.trim_start();
            let names = match word {
                "mapped" => &mut types.mapped,
                "ignored" => &mut types.ignored,
                _ => return Err(line),
            };
            names.insert(name);
            if types.mapped.contains(name) && types.ignored.contains(name) {
                return Err(line);
            }
        }
        Ok(types)
    }
}

/// Whether a source ends with `, read YYYY-MM-DD`.
fn has_date(source: &str) -> bool {
    source.rsplit_once(", read ").is_some_and(|(_, date)| date.parse::<jiff::civil::Date>().is_ok())
}

/// A file, read when it is first asked for.
struct File {
    normaliser: &'static str,
    text: &'static str,
    read: OnceLock<EventTypes>,
}

macro_rules! files {
    ($($name:literal,)*) => {
        [$(File {
            normaliser: $name,
            text: include_str!(concat!("../../event-types/", $name, ".txt")),
            read: OnceLock::new(),
        },)*]
    };
}

static FILES: [File; 40] = files![
    "adyen",
    "adyen_platform",
    "airwallex",
    "authorize_net",
    "braintree",
    "cashfree",
    "chargebee",
    "checkout_com",
    "coinbase_commerce",
    "dlocal",
    "flutterwave_v3",
    "flutterwave_v4",
    "generic",
    "github",
    "gocardless",
    "klarna",
    "lemonsqueezy",
    "mercadopago",
    "midtrans",
    "midtrans_iris",
    "mollie",
    "nuvei",
    "paddle",
    "pagbank",
    "paypal",
    "paystack",
    "phonepe",
    "plaid",
    "polar",
    "razorpay",
    "recurly",
    "revolut",
    "shopify",
    "square",
    "standard_webhooks",
    "stripe",
    "svix",
    "wise",
    "worldpay",
    "xendit",
];

#[cfg(test)]
mod tests {
    use super::{super::Normaliser, *};

    #[test]
    fn every_normaliser_has_its_file() {
        for normaliser in Normaliser::all() {
            assert!(EventTypes::of(normaliser.name()).is_some(), "{}", normaliser.name());
        }
        for file in &FILES {
            assert!(Normaliser::named(file.normaliser).is_some(), "{}", file.normaliser);
        }
    }

    #[test]
    fn every_line_is_read() {
        for file in &FILES {
            let types = EventTypes::parse(file.text);
            assert!(types.is_ok(), "{}: {types:?}", file.normaliser);
            let names = file.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
            let types = types.unwrap_or_default();
            let read = types.mapped.len() + types.ignored.len();
            assert_eq!(names, read, "{}: a name comes twice", file.normaliser);
        }
    }

    #[test]
    fn a_line_of_another_form_is_an_error() {
        let types =
            EventTypes::parse("# Source: none yet\n# Source: https://a, read 2026-11-29\n\nmapped   a / b\n");
        let types = types.unwrap();
        assert_eq!((types.sources, types.mapped.len()), (vec!["https://a, read 2026-11-29"], 1));
        for wrong in ["mapped", "Mapped x", "payment.captured mapped", "mapped x\nignored x"] {
            assert!(EventTypes::parse(wrong).is_err(), "{wrong}");
        }
    }
}
