//! From a provider's body to facts.
//!
//! Each provider has one file. It holds the provider's [`Normaliser`] and says which event types are mapped to which of
//! ours, where the event id comes from, and in what unit the provider counts money. A new provider has one file,
//! its `mod` line and its line in `NORMALISERS` here; CONTRIBUTING lists what else it needs. A normaliser is looked up by name once, at start-up.
//!
//! A file says what is signed, unless it is the whole body with everything that the file reads.
//!
//! What holds for all of them:
//!
//! - An event whose type the file does not name is unrecognized
//!   ([`Facts::unrecognized`](tollgate_core::Facts::unrecognized)) and keeps its provider's id. Its reason says whether
//!   that is on purpose: [`EventTypes`] has the types that the provider publishes.
//! - An amount that cannot be held exactly makes its event unrecognized. It never becomes another amount.
//! - A time that cannot be read is absent, and so is any optional field of an unexpected type.
//! - Names, e-mail addresses, card numbers and the like are not read at all. Where a sender writes them into another field,
//!   `Endpoint::normalise` takes them out.

mod any_size;
mod content;
mod event_types;
mod fields;
mod form;
mod identity;
mod json;
mod money;
mod normaliser;
mod thin;
mod time;
mod xml;

mod adyen;
mod adyen_platform;
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
mod polar;
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

use tollgate_core::Currency;

pub(crate) use self::adyen::items as adyen_items;
pub(crate) use self::thin::Thin;
pub use self::{content::ContentError, event_types::EventTypes, normaliser::Normaliser, thin::NamedObject};

/// The endpoint parameters that normalisers read: `default_currency`, for providers that name none (else `XXX`), and
/// `amount_unit`, `major` or `minor`, for senders of integers whose unit their scheme does not say.
pub(crate) const PARAMETERS: [&str; 2] = ["default_currency", "amount_unit"];

/// Checks the values of [`PARAMETERS`]; the name and the problem of each bad one.
pub(crate) fn check_parameters(
    parameters: &std::collections::BTreeMap<String, String>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_bad = |name: &str, is_good: fn(&str) -> bool| {
        parameters.get(name).is_some_and(|value| !is_good(value.as_str()))
    };
    let currency = is_bad("default_currency", |code| Currency::new(code).is_ok_and(|known| known.is_known()));
    let unit = is_bad("amount_unit", |unit| matches!(unit, "major" | "minor"));
    let currency = currency.then_some(("default_currency", "is not an ISO 4217 currency"));
    let unit = unit.then_some(("amount_unit", "is neither major nor minor"));
    currency.into_iter().chain(unit)
}

/// Every provider's normaliser.
const NORMALISERS: &[Normaliser] = &[
    adyen::NORMALISER,
    adyen_platform::NORMALISER,
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
    polar::NORMALISER,
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

/// How thin webhooks are read, of each provider that sends such.
const THIN: &[Thin] = &[mercadopago::THIN, stripe::THIN];

impl Thin {
    /// That of a normaliser; `None` where its webhooks say what they have to say.
    pub(crate) fn of(normaliser: &str) -> Option<Self> {
        THIN.iter().copied().find(|thin| thin.name == normaliser)
    }
}

/// Every kind of object that normalisers ask for, with the normaliser's name.
pub fn kinds_of_objects() -> impl Iterator<Item = (&'static str, &'static str)> {
    THIN.iter().flat_map(|thin| thin.kinds.iter().map(|kind| (thin.name, *kind)))
}

impl Normaliser {
    /// The normaliser of that name or alias: a catalogue row's name (`stripe`, `checkout_com`, …).
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|normaliser| normaliser.name == name || normaliser.aliases.contains(&name))
    }

    /// Every normaliser.
    pub fn all() -> impl Iterator<Item = Self> {
        NORMALISERS.iter().copied()
    }
}

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
