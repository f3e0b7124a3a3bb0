//! Provider bodies to canonical facts.
//!
//! One file per provider says which of its events are which of ours, where its event id comes from and in what
//! unit it counts money. A [`Normaliser`] is looked up by name once, at start-up; from then on it is one
//! function.
//!
//! What holds for all of them:
//!
//! - An event that the file does not name is [`Facts::unrecognized`] with its provider's id.
//! - An amount that cannot be held exactly makes its event unrecognized; it never becomes another amount.
//! - A time that cannot be read is absent, and so is any optional field of an unexpected type.
//! - Names, e-mail addresses, card numbers and the like are not read at all.

mod fields;
mod form;
mod json;
mod money;
mod time;
mod xml;

mod adyen;
mod airwallex;
mod authorize_net;
mod braintree;
mod cashfree;
mod chargebee;
mod checkout_com;
mod coinbase_commerce;
mod dlocal;
mod flutterwave;
mod generic;
mod github;
mod gocardless;
mod klarna;
mod lemonsqueezy;
mod mercadopago;
mod midtrans;
mod mollie;
mod nuvei;
mod paddle;
mod pagbank;
mod paypal;
mod paystack;
mod phonepe;
mod plaid;
mod razorpay;
mod recurly;
mod revolut;
mod shopify;
mod square;
mod standard_webhooks;
mod stripe;
mod wise;
mod worldpay;
mod xendit;

use std::{borrow::Cow, fmt};

use tollgate_core::{Currency, EndpointConfig, Facts};

use self::fields::Text;
use crate::Received;

/// The endpoint parameters that normalisers read: `default_currency`, for providers that name none (else `XXX`), and
/// `amount_unit`, `major` or `minor`, for senders of integers whose unit their scheme does not say.
pub(crate) const PARAMETERS: [&str; 2] = ["default_currency", "amount_unit"];

/// Checks the values of [`PARAMETERS`]; the name and the problem of the first bad one.
pub(crate) fn check_parameters(
    parameters: &std::collections::BTreeMap<String, String>,
) -> Result<(), (&'static str, &'static str)> {
    let value = |name: &str| parameters.get(name).map(String::as_str);
    if value("default_currency").is_some_and(|code| !Currency::new(code).is_ok_and(|known| known.is_known()))
    {
        return Err(("default_currency", "is not an ISO 4217 currency"));
    }
    if value("amount_unit").is_some_and(|unit| !matches!(unit, "major" | "minor")) {
        return Err(("amount_unit", "is neither major nor minor"));
    }
    Ok(())
}

/// Content that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The body is not JSON (or not the form or XML that this provider sends).
    #[error("body is not valid JSON")]
    NotJson,
    /// A required field is absent.
    #[error("Missing required field: {0}")]
    MissingField(&'static str),
    /// A field has the wrong type or an impossible value.
    #[error("Invalid field: {0}")]
    InvalidField(&'static str),
}

/// The reason given for events that no file here names.
const UNKNOWN_TYPE: &str = "unknown event type";

/// The text of a field without which there is no event.
fn required<'a>(text: Text<'a>, name: &'static str) -> Result<Cow<'a, str>, ContentError> {
    text.some().ok_or(ContentError::MissingField(name))
}

/// An event id made of several parts, in one allocation.
fn composite(parts: &[&str]) -> String {
    parts.join(":")
}

/// An event that no file here names.
fn unknown<'a>(event_id: impl Into<Cow<'a, str>>, event_type: impl Into<Cow<'a, str>>) -> Facts<'a> {
    Facts::unrecognized(event_id, event_type, UNKNOWN_TYPE)
}

type Normalise = for<'a> fn(Received<'a>, &EndpointConfig) -> Result<Vec<Facts<'a>>, ContentError>;

/// One provider's way of saying things. Resolved once, at start-up.
#[derive(Clone, Copy)]
pub struct Normaliser(&'static Row);

struct Row {
    name: &'static str,
    aliases: &'static [&'static str],
    headers: &'static [&'static str],
    normalise: Normalise,
}

const ROWS: &[Row] = &[
    Row { name: "generic", aliases: &[], headers: &[], normalise: generic::normalise },
    Row { name: "stripe", aliases: &[], headers: &[], normalise: stripe::normalise },
    Row {
        name: "standard_webhooks",
        aliases: &["standard_webhooks_ed25519", "svix"],
        headers: standard_webhooks::HEADERS,
        normalise: standard_webhooks::normalise,
    },
    Row { name: "adyen", aliases: &[], headers: &[], normalise: adyen::normalise },
    Row { name: "adyen_platform", aliases: &[], headers: &[], normalise: adyen::normalise_platform },
    Row { name: "paypal", aliases: &[], headers: &[], normalise: paypal::normalise },
    Row { name: "square", aliases: &[], headers: square::HEADERS, normalise: square::normalise },
    Row { name: "braintree", aliases: &[], headers: &[], normalise: braintree::normalise },
    Row { name: "shopify", aliases: &[], headers: shopify::HEADERS, normalise: shopify::normalise },
    Row { name: "github", aliases: &[], headers: github::HEADERS, normalise: github::normalise },
    Row { name: "paddle", aliases: &[], headers: &[], normalise: paddle::normalise },
    Row { name: "razorpay", aliases: &[], headers: razorpay::HEADERS, normalise: razorpay::normalise },
    Row { name: "coinbase_commerce", aliases: &[], headers: &[], normalise: coinbase_commerce::normalise },
    Row { name: "gocardless", aliases: &[], headers: &[], normalise: gocardless::normalise },
    Row { name: "mollie", aliases: &[], headers: &[], normalise: mollie::normalise },
    Row { name: "checkout_com", aliases: &[], headers: &[], normalise: checkout_com::normalise },
    Row { name: "klarna", aliases: &[], headers: &[], normalise: klarna::normalise },
    Row { name: "worldpay", aliases: &["worldpay_access"], headers: &[], normalise: worldpay::normalise },
    Row { name: "authorize_net", aliases: &[], headers: &[], normalise: authorize_net::normalise },
    Row { name: "plaid", aliases: &[], headers: plaid::HEADERS, normalise: plaid::normalise },
    Row { name: "wise", aliases: &[], headers: wise::HEADERS, normalise: wise::normalise },
    Row { name: "flutterwave_v3", aliases: &[], headers: &[], normalise: flutterwave::normalise },
    Row {
        name: "flutterwave_v4",
        aliases: &["flutterwave"],
        headers: &[],
        normalise: flutterwave::normalise,
    },
    Row { name: "paystack", aliases: &[], headers: &[], normalise: paystack::normalise },
    Row { name: "mercadopago", aliases: &["mercado_pago"], headers: &[], normalise: mercadopago::normalise },
    Row { name: "xendit", aliases: &[], headers: xendit::HEADERS, normalise: xendit::normalise },
    Row {
        name: "lemonsqueezy",
        aliases: &["lemon_squeezy"],
        headers: &[],
        normalise: lemonsqueezy::normalise,
    },
    Row { name: "dlocal", aliases: &[], headers: &[], normalise: dlocal::normalise },
    Row { name: "airwallex", aliases: &[], headers: &[], normalise: airwallex::normalise },
    Row { name: "revolut", aliases: &[], headers: &[], normalise: revolut::normalise },
    Row { name: "pagbank", aliases: &["pagseguro"], headers: &[], normalise: pagbank::normalise },
    Row { name: "recurly", aliases: &[], headers: &[], normalise: recurly::normalise },
    Row { name: "chargebee", aliases: &[], headers: &[], normalise: chargebee::normalise },
    Row { name: "nuvei", aliases: &["safecharge"], headers: &[], normalise: nuvei::normalise },
    Row { name: "cashfree", aliases: &[], headers: &[], normalise: cashfree::normalise },
    Row { name: "phonepe", aliases: &[], headers: &[], normalise: phonepe::normalise },
    Row { name: "midtrans", aliases: &[], headers: &[], normalise: midtrans::normalise },
];

impl Normaliser {
    /// The normaliser of that name or alias: a catalogue row's name (`stripe`, `checkout_com`, …).
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name || row.aliases.contains(&name)).map(Self)
    }

    /// Every normaliser.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(Self)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Other names that find it.
    pub fn aliases(&self) -> &'static [&'static str] {
        self.0.aliases
    }

    /// The headers that it reads, in lower case: they must be kept with the body to normalise it again.
    pub fn headers(&self) -> &'static [&'static str] {
        self.0.headers
    }

    /// What the webhook says: at least one event.
    ///
    /// # Errors
    ///
    /// Content that does not hold even an event id. Whatever does is an event, unrecognized at worst.
    pub fn normalise<'a>(
        &self,
        received: Received<'a>,
        config: &EndpointConfig,
    ) -> Result<Vec<Facts<'a>>, ContentError> {
        (self.0.normalise)(received, config)
    }
}

impl fmt::Debug for Normaliser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Normaliser").field(&self.0.name).finish()
    }
}

impl PartialEq for Normaliser {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Normaliser {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_one_row_each() {
        for normaliser in Normaliser::all() {
            let names = normaliser.aliases().iter().chain([&normaliser.0.name]);
            for name in names {
                assert_eq!(Normaliser::named(name), Some(normaliser), "{name}");
            }
            for header in normaliser.headers() {
                assert_eq!(header.to_ascii_lowercase(), *header);
            }
        }
        assert_eq!(Normaliser::named("twilio"), None);
    }
}
