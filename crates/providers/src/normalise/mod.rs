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
mod midtrans_iris;
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

use tollgate_core::{Currency, EndpointConfig, Facts, id::hex_sha256};

use self::fields::Text;
use crate::{Received, Trusted};

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

/// What stands for the events of a delivery, by their positions, that have no id: the others must not be lost with
/// them. They go by the body's hash, so that a retry of the same bytes brings the same events.
fn without_id<'a>(body: &[u8], positions: Vec<usize>) -> Vec<Facts<'a>> {
    if positions.is_empty() {
        return Vec::new();
    }
    let body = hex_sha256(body);
    let event =
        |position| Facts::unrecognized(format!("sha256:{body}:{position}"), "", "required field missing");
    positions.into_iter().map(event).collect()
}

type One = for<'a> fn(Received<'a>, &EndpointConfig) -> Result<Facts<'a>, ContentError>;
type Several = for<'a> fn(Received<'a>, &EndpointConfig) -> Result<Vec<Facts<'a>>, ContentError>;

/// How many events a delivery of this provider holds.
#[derive(Clone, Copy)]
enum Normalise {
    One(One),
    Several(Several),
}

/// One provider's way of saying things. Resolved once, at start-up.
#[derive(Clone, Copy)]
pub struct Normaliser(&'static Row);

struct Row {
    name: &'static str,
    aliases: &'static [&'static str],
    headers: &'static [&'static str],
    normalise: Normalise,
}

/// Those that read the query.
const OF_THE_QUERY: [&str; 1] = ["mercadopago"];

const ROWS: &[Row] = &[
    Row { name: "generic", aliases: &[], headers: &[], normalise: Normalise::One(generic::normalise) },
    Row { name: "stripe", aliases: &[], headers: &[], normalise: Normalise::One(stripe::normalise) },
    Row {
        name: "standard_webhooks",
        aliases: &["standard_webhooks_ed25519"],
        headers: standard_webhooks::HEADERS,
        normalise: Normalise::One(standard_webhooks::normalise),
    },
    Row {
        name: "svix",
        aliases: &[],
        headers: standard_webhooks::SVIX_HEADERS,
        normalise: Normalise::One(standard_webhooks::normalise_svix),
    },
    Row { name: "adyen", aliases: &[], headers: &[], normalise: Normalise::Several(adyen::normalise) },
    Row {
        name: "adyen_platform",
        aliases: &[],
        headers: &[],
        normalise: Normalise::One(adyen::normalise_platform),
    },
    Row { name: "paypal", aliases: &[], headers: &[], normalise: Normalise::One(paypal::normalise) },
    Row {
        name: "square",
        aliases: &[],
        headers: square::HEADERS,
        normalise: Normalise::One(square::normalise),
    },
    Row { name: "braintree", aliases: &[], headers: &[], normalise: Normalise::One(braintree::normalise) },
    Row {
        name: "shopify",
        aliases: &[],
        headers: shopify::HEADERS,
        normalise: Normalise::One(shopify::normalise),
    },
    Row {
        name: "github",
        aliases: &[],
        headers: github::HEADERS,
        normalise: Normalise::One(github::normalise),
    },
    Row { name: "paddle", aliases: &[], headers: &[], normalise: Normalise::One(paddle::normalise) },
    Row {
        name: "razorpay",
        aliases: &[],
        headers: razorpay::HEADERS,
        normalise: Normalise::One(razorpay::normalise),
    },
    Row {
        name: "coinbase_commerce",
        aliases: &[],
        headers: &[],
        normalise: Normalise::One(coinbase_commerce::normalise),
    },
    Row {
        name: "gocardless",
        aliases: &[],
        headers: &[],
        normalise: Normalise::Several(gocardless::normalise),
    },
    Row { name: "mollie", aliases: &[], headers: &[], normalise: Normalise::One(mollie::normalise) },
    Row {
        name: "checkout_com",
        aliases: &[],
        headers: &[],
        normalise: Normalise::One(checkout_com::normalise),
    },
    Row { name: "klarna", aliases: &[], headers: &[], normalise: Normalise::One(klarna::normalise) },
    Row {
        name: "worldpay",
        aliases: &["worldpay_access"],
        headers: &[],
        normalise: Normalise::One(worldpay::normalise),
    },
    Row {
        name: "authorize_net",
        aliases: &[],
        headers: &[],
        normalise: Normalise::One(authorize_net::normalise),
    },
    Row { name: "plaid", aliases: &[], headers: plaid::HEADERS, normalise: Normalise::One(plaid::normalise) },
    Row { name: "wise", aliases: &[], headers: wise::HEADERS, normalise: Normalise::One(wise::normalise) },
    Row {
        name: "flutterwave_v3",
        aliases: &[],
        headers: &[],
        normalise: Normalise::One(flutterwave::normalise),
    },
    Row {
        name: "flutterwave_v4",
        aliases: &["flutterwave"],
        headers: &[],
        normalise: Normalise::One(flutterwave::normalise),
    },
    Row { name: "paystack", aliases: &[], headers: &[], normalise: Normalise::One(paystack::normalise) },
    Row {
        name: "mercadopago",
        aliases: &["mercado_pago"],
        headers: &[],
        normalise: Normalise::One(mercadopago::normalise),
    },
    Row {
        name: "xendit",
        aliases: &[],
        headers: xendit::HEADERS,
        normalise: Normalise::One(xendit::normalise),
    },
    Row {
        name: "lemonsqueezy",
        aliases: &["lemon_squeezy"],
        headers: &[],
        normalise: Normalise::One(lemonsqueezy::normalise),
    },
    Row { name: "dlocal", aliases: &[], headers: &[], normalise: Normalise::One(dlocal::normalise) },
    Row { name: "airwallex", aliases: &[], headers: &[], normalise: Normalise::One(airwallex::normalise) },
    Row { name: "revolut", aliases: &[], headers: &[], normalise: Normalise::One(revolut::normalise) },
    Row {
        name: "pagbank",
        aliases: &["pagseguro"],
        headers: &[],
        normalise: Normalise::One(pagbank::normalise),
    },
    Row { name: "recurly", aliases: &[], headers: &[], normalise: Normalise::One(recurly::normalise) },
    Row { name: "chargebee", aliases: &[], headers: &[], normalise: Normalise::One(chargebee::normalise) },
    Row {
        name: "nuvei",
        aliases: &["safecharge"],
        headers: &[],
        normalise: Normalise::One(nuvei::normalise),
    },
    Row { name: "cashfree", aliases: &[], headers: &[], normalise: Normalise::One(cashfree::normalise) },
    Row { name: "phonepe", aliases: &[], headers: &[], normalise: Normalise::One(phonepe::normalise) },
    Row { name: "midtrans", aliases: &[], headers: &[], normalise: Normalise::One(midtrans::normalise) },
    Row {
        name: "midtrans_iris",
        aliases: &[],
        headers: &[],
        normalise: Normalise::One(midtrans_iris::normalise),
    },
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

    /// Whether it reads more than the body.
    pub(crate) fn reads_request(&self) -> bool {
        !self.headers().is_empty() || OF_THE_QUERY.contains(&self.name())
    }

    /// What the webhook says: at least one event.
    ///
    /// # Errors
    ///
    /// Content that does not hold even an event id. Whatever does is an event, unrecognized at worst.
    pub fn normalise<'a>(
        &self,
        trusted: Trusted<'a>,
        config: &EndpointConfig,
    ) -> Result<Vec<Facts<'a>>, ContentError> {
        let mut facts = Vec::new();
        self.normalise_into(trusted, config, &mut facts)?;
        Ok(facts)
    }

    /// [`normalise`](Self::normalise), which adds the events to `facts`: a list that serves many webhooks costs no
    /// allocation for each.
    ///
    /// # Errors
    ///
    /// As of [`normalise`](Self::normalise); nothing is added then.
    pub fn normalise_into<'a>(
        &self,
        trusted: Trusted<'a>,
        config: &EndpointConfig,
        facts: &mut Vec<Facts<'a>>,
    ) -> Result<(), ContentError> {
        let received = trusted.received();
        match self.0.normalise {
            Normalise::One(normalise) => facts.push(normalise(received, config)?),
            Normalise::Several(normalise) => facts.append(&mut normalise(received, config)?),
        }
        Ok(())
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
