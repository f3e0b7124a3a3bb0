//! How an endpoint's bodies are read: facts are compared only where they were read in the same way.

use std::fmt;

use sha2::{Digest as _, Sha256};
use tollgate_core::EndpointConfig;

/// The digest of the normalisers' sources and what they are made of (`build.rs`), 16 hex digits.
const READING: &str = env!("TOLLGATE_READING");

/// The revision of an endpoint's reading: another one may read other facts of the same body. It is made of the sources
/// that this program was built of, and of the settings that a normaliser sees; as text 16 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(u64);

impl Revision {
    pub(crate) fn of(config: &EndpointConfig) -> Self {
        // Named one by one, so that a new setting is decided on here.
        let EndpointConfig {
            scheme,
            normaliser,
            parameters,
            notification_url,
            metadata,
            ids_hold_no_cards,
            id: _,
            secret: _,
            delivery: _,
            on_duplicate: _,
            tolerance_seconds: _,
        } = config;
        let settings =
            (READING, scheme, normaliser, parameters, notification_url, metadata, ids_hold_no_cards);
        // Text, lists and maps of text: there is always a JSON of them.
        let text = serde_json::to_string(&settings).unwrap_or_default();
        let digest = Sha256::digest(text.as_bytes());
        Self(digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
    }

    /// Reads back the text of a revision; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let revision = Self(u64::from_str_radix(text, 16).ok()?);
        (revision.to_string() == text).then_some(revision)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &str) -> Revision {
        let config = format!(r#"{{"id":"it","secret":"ssm:it",{settings}}}"#);
        Revision::of(&serde_json::from_str(&config).unwrap())
    }

    #[test]
    fn what_a_normaliser_sees_is_in_the_revision_and_nothing_else() {
        let plain = of(r#""scheme":"generic""#);
        assert_eq!(plain, of(r#""scheme":"generic","delivery":"ordered","on_duplicate":"conflict""#));
        for other in [
            r#""scheme":"stripe""#,
            r#""scheme":"generic","normaliser":"stripe""#,
            r#""scheme":"generic","parameters":{"default_currency":"EUR"}"#,
            r#""scheme":"generic","metadata":["cart"]"#,
            r#""scheme":"generic","ids_hold_no_cards":true"#,
        ] {
            assert_ne!(plain, of(other), "{other}");
        }
        assert_eq!(Revision::parse(&plain.to_string()), Some(plain));
        assert_eq!(Revision::parse("+0000000000000000"), None);
    }
}
