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

/// What a provider's function reads, and how many events it finds.
#[derive(Clone, Copy)]
enum Read {
    /// One event in the body.
    Body(fn(&[u8]) -> Result<Facts<'_>, ContentError>),
    /// One event in the body, by the endpoint's parameters.
    BodyAndSettings(for<'a> fn(&'a [u8], &EndpointConfig) -> Result<Facts<'a>, ContentError>),
    /// One event in the body and the request's headers or query.
    Request(for<'a> fn(Received<'a>) -> Result<Facts<'a>, ContentError>),
    /// One event in the body and the request, by the endpoint's parameters.
    RequestAndSettings(for<'a> fn(Received<'a>, &EndpointConfig) -> Result<Facts<'a>, ContentError>),
    /// Several events in the body.
    Several(fn(&[u8]) -> Result<Vec<Facts<'_>>, ContentError>),
}

/// How one provider's webhooks become facts. Each provider's file holds its own. Resolved once, at start-up.
#[derive(Clone, Copy)]
pub struct Normaliser {
    /// The catalogue row's name, where there is one.
    name: &'static str,
    aliases: &'static [&'static str],
    /// The headers that it reads, in lower case.
    headers: &'static [&'static str],
    read: Read,
}

/// Every provider's normaliser.
const NORMALISERS: &[Normaliser] = &[
    adyen::NORMALISER,
    adyen::PLATFORM,
    airwallex::NORMALISER,
    authorize_net::NORMALISER,
    braintree::NORMALISER,
    cashfree::NORMALISER,
    chargebee::NORMALISER,
    checkout_com::NORMALISER,
    coinbase_commerce::NORMALISER,
    dlocal::NORMALISER,
    flutterwave::V3,
    flutterwave::V4,
    generic::NORMALISER,
    github::NORMALISER,
    gocardless::NORMALISER,
    klarna::NORMALISER,
    lemonsqueezy::NORMALISER,
    mercadopago::NORMALISER,
    midtrans::NORMALISER,
    midtrans_iris::NORMALISER,
    mollie::NORMALISER,
    nuvei::NORMALISER,
    paddle::NORMALISER,
    pagbank::NORMALISER,
    paypal::NORMALISER,
    paystack::NORMALISER,
    phonepe::NORMALISER,
    plaid::NORMALISER,
    razorpay::NORMALISER,
    recurly::NORMALISER,
    revolut::NORMALISER,
    shopify::NORMALISER,
    square::NORMALISER,
    standard_webhooks::NORMALISER,
    standard_webhooks::SVIX,
    stripe::NORMALISER,
    wise::NORMALISER,
    worldpay::NORMALISER,
    xendit::NORMALISER,
];

impl Normaliser {
    /// The normaliser of that name or alias: a catalogue row's name (`stripe`, `checkout_com`, …).
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|normaliser| normaliser.name == name || normaliser.aliases.contains(&name))
    }

    /// Every normaliser.
    pub fn all() -> impl Iterator<Item = Self> {
        NORMALISERS.iter().copied()
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Other names that find it.
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// The headers that it reads, in lower case: they must be kept with the body to normalise it again.
    pub fn headers(&self) -> &'static [&'static str] {
        self.headers
    }

    /// Whether it reads the request's headers or query besides the body.
    pub(crate) fn reads_request(&self) -> bool {
        matches!(self.read, Read::Request(_) | Read::RequestAndSettings(_))
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
        match self.read {
            Read::Body(read) => facts.push(read(received.body)?),
            Read::BodyAndSettings(read) => facts.push(read(received.body, config)?),
            Read::Request(read) => facts.push(read(received)?),
            Read::RequestAndSettings(read) => facts.push(read(received, config)?),
            Read::Several(read) => facts.append(&mut read(received.body)?),
        }
        Ok(())
    }
}

impl fmt::Debug for Normaliser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Normaliser").field(&self.name).finish()
    }
}

impl PartialEq for Normaliser {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Normaliser {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_one_row_each() {
        for normaliser in Normaliser::all() {
            let names = normaliser.aliases().iter().chain([&normaliser.name]);
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
