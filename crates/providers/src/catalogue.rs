//! The catalogue: one row a provider, read from `catalogue.toml` once.

use std::sync::{LazyLock, OnceLock};

use serde::{Deserialize, Serialize};
use tollgate_core::Authenticity;

use crate::scheme::{OneOrMany, SchemeSpec, paypal, plaid};

const TEXT: &str = include_str!("../catalogue.toml");
/// What every row begins with.
const HEADER: &str = "[[provider]]\n";

static PROVIDERS: LazyLock<Vec<Provider>> =
    LazyLock::new(|| ROWS.iter().filter_map(|row| row.provider().cloned()).collect());

/// Each read when it is first asked for: a function serves few providers, and reading all of them is a tenth of its
/// start.
static ROWS: LazyLock<Vec<Row>> =
    LazyLock::new(|| TEXT.split(HEADER).skip(1).map(|text| Row { text, read: OnceLock::new() }).collect());

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    provider: Vec<Provider>,
}

struct Row {
    text: &'static str,
    read: OnceLock<Result<Provider, String>>,
}

impl Row {
    fn provider(&self) -> Option<&Provider> {
        let read = || {
            let catalogue = toml::from_str::<Catalogue>(&format!("{HEADER}{}", self.text));
            let mut rows = catalogue.map_err(|problem| problem.to_string())?.provider;
            rows.pop().ok_or_else(|| "no row".to_owned())
        };
        self.read.get_or_init(read).as_ref().ok()
    }
}

/// One provider, or one product of it that signs in its own way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The name that an endpoint's `scheme` gives.
    pub name: String,
    /// Its name to people.
    pub title: String,
    /// Other names that mean the same.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Where the rule is written: a documentation page, a file of an official SDK.
    pub source: String,
    /// What the rule was checked against. Exactly one of this and `unconfirmed`.
    #[serde(default)]
    pub confirmed_by: Option<String>,
    /// Why the rule is not confirmed by a second source.
    #[serde(default)]
    pub unconfirmed: Option<String>,
    /// What makes an event the same event.
    pub event_id: String,
    /// Set-up: where the URL, `{url}` in it, is registered and the key is found.
    pub register: String,
    /// Set-up: which text is stored as the key.
    pub key_text: String,
    /// Keys are stored under their ids at the provider: its webhooks name the one that they are signed with.
    #[serde(default)]
    pub keys_have_ids: bool,
    /// Who makes the keys.
    #[serde(default)]
    pub key_made_by: KeyMaker,
    /// What whoever sets it up must know.
    pub know: String,
    /// The normaliser, where it is not the one called as the provider.
    #[serde(default)]
    pub normaliser: Option<String>,
    /// The rule as data. Exactly one of this and `coded`.
    #[serde(default)]
    pub scheme: Option<SchemeSpec>,
    /// The rule's code, where data cannot say it.
    #[serde(default)]
    pub coded: Option<Coded>,
}

/// Who makes a provider's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyMaker {
    /// Whoever sets the endpoint up: the text is given to the provider.
    You,
    /// The provider; a key that is made here serves tests only.
    #[default]
    Provider,
    /// The provider, and nobody else can: public keys, credentials, keys that go by its ids.
    ProviderAlone,
}

/// The rules that are code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coded {
    /// Every item of a batch is signed for itself, over fields.
    Adyen,
    /// Pairs of key id and signature over a form field.
    Braintree,
    /// Certificates and a CRC.
    Paypal,
    /// A JSON Web Token.
    Plaid,
}

impl Provider {
    /// Where the signature is: a header or a field of the body.
    pub fn location(&self) -> String {
        let Some(scheme) = &self.scheme else {
            return match self.coded {
                Some(Coded::Adyen) => "additionalData.hmacSignature of each item in the body".to_owned(),
                Some(Coded::Braintree) => "form field bt_signature".to_owned(),
                Some(Coded::Paypal) => paypal::HEADERS.join(", "),
                Some(Coded::Plaid) => plaid::HEADER.to_owned(),
                None => String::new(),
            };
        };
        let signature = &scheme.signature;
        let family = scheme.families.first().map(String::as_str).unwrap_or_default();
        match (&signature.header, &signature.form, &signature.json) {
            (Some(name), _, _) => {
                name.strip_prefix('*').map_or_else(|| name.clone(), |n| format!("{family}{n}"))
            }
            (_, Some(name), _) => format!("form field {name}"),
            (_, _, Some(name)) => format!("field {name} of the JSON body"),
            _ => String::new(),
        }
    }

    /// The algorithm, as the catalogue writes it.
    pub fn algorithm(&self) -> &'static str {
        match (&self.scheme, self.coded) {
            (Some(scheme), _) => scheme.algorithm.as_str(),
            (None, Some(Coded::Adyen)) => "hmac-sha256",
            (None, Some(Coded::Braintree)) => "hmac-sha1",
            (None, Some(Coded::Paypal)) => "rsa-pkcs1-sha256",
            (None, Some(Coded::Plaid)) => "ecdsa-p256-sha256",
            (None, None) => "",
        }
    }

    /// What is signed, in the words of the catalogue.
    pub fn signed(&self) -> &str {
        match (&self.scheme, self.coded) {
            (Some(scheme), _) => &scheme.signed,
            (None, Some(Coded::Adyen)) => {
                "pspReference:originalReference:merchantAccountCode:merchantReference:amount.value:\
                 amount.currency:eventCode:success"
            }
            (None, Some(Coded::Braintree)) => "{form:bt_payload}",
            (None, Some(Coded::Paypal)) => {
                "{header:PAYPAL-TRANSMISSION-ID}|{header:PAYPAL-TRANSMISSION-TIME}|{webhook id}|{crc32 of body}"
            }
            (None, Some(Coded::Plaid)) => "JWT whose claim request_body_sha256 is the body's",
            (None, None) => "",
        }
    }

    /// Half-width of the timestamp's window in seconds, where there is one.
    pub fn window(&self) -> Option<u32> {
        match (&self.scheme, self.coded) {
            (Some(scheme), _) => scheme.timestamp.as_ref().and_then(|timestamp| timestamp.window),
            (None, Some(Coded::Paypal)) => Some(paypal::WINDOW),
            (None, Some(Coded::Plaid)) => Some(plaid::WINDOW),
            _ => None,
        }
    }

    /// How an entry of the signature's text is written.
    pub fn entries(&self) -> Vec<&str> {
        self.scheme
            .as_ref()
            .map(|scheme| OneOrMany::iter(&scheme.signature.entry).collect())
            .unwrap_or_default()
    }

    /// What a good signature proves.
    pub fn authenticity(&self) -> Authenticity {
        let scheme = crate::endpoint::scheme_of(self, &std::collections::BTreeMap::new());
        scheme.map_or(Authenticity::Authenticated, |scheme| scheme.authenticity())
    }

    /// The name of the normaliser.
    pub fn normaliser(&self) -> &str {
        self.normaliser.as_deref().unwrap_or(&self.name)
    }
}

/// Every provider, in the order of the file, without rows that cannot be read, of which the tests say there is none.
pub fn providers() -> &'static [Provider] {
    &PROVIDERS
}

/// The provider called `name`, by its name or one of its aliases.
pub fn find(name: &str) -> Option<&'static Provider> {
    let quoted = format!("\"{name}\"");
    let mut rows = ROWS.iter().filter(|row| row.text.contains(&quoted)).filter_map(Row::provider);
    rows.find(|row| row.name == name || row.aliases.iter().any(|alias| alias == name))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn the_catalogue_is_whole() {
        for row in ROWS.iter() {
            assert!(row.provider().is_some(), "{:?}", row.read);
        }
        assert_eq!(providers().len(), TEXT.matches("\n[[provider]]").count());
        let mut names = BTreeSet::new();
        for row in providers() {
            for name in std::iter::once(&row.name).chain(&row.aliases) {
                assert!(names.insert(name), "{name} is there twice");
                assert!(tollgate_core::ProviderId::new(name.clone()).is_ok(), "{name}");
            }
            assert!(row.confirmed_by.is_some() != row.unconfirmed.is_some(), "{}", row.name);
            assert!(row.scheme.is_some() != row.coded.is_some(), "{}", row.name);
            for line in [&row.register, &row.key_text, &row.know] {
                assert!(!line.is_empty() && !line.contains('\n'), "{}: set-up in three lines", row.name);
            }
            let scheme = crate::endpoint::scheme_of(row, &BTreeMap::new());
            assert!(scheme.is_ok(), "{}: {scheme:?}", row.name);
        }
    }
}
