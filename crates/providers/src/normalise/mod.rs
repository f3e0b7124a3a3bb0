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
mod json;
mod money;

mod adyen;
mod generic;
mod razorpay;
mod square;
mod standard_webhooks;
mod stripe;

use std::{borrow::Cow, fmt};

use tollgate_core::{EndpointConfig, Facts};

use self::fields::Text;
use crate::Received;

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
    Row { name: "square", aliases: &[], headers: square::HEADERS, normalise: square::normalise },
    Row { name: "razorpay", aliases: &[], headers: razorpay::HEADERS, normalise: razorpay::normalise },
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
