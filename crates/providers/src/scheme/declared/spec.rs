//! A scheme as data: the form of a catalogue row's `scheme` and of a custom scheme in an endpoint's configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    key::{Algorithm, KeySpec},
    text::{Encoding, Unit},
};

/// How a provider signs, in the words of its documentation.
///
/// ```toml
/// signature = { header = "Stripe-Signature", separator = ",", entry = "v1={signature}" }
/// timestamp = { entry = "t={timestamp}", unit = "seconds", window = 300 }
/// signed = "{timestamp}.{body}"
/// algorithm = "hmac-sha256"
/// encoding = "hex"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemeSpec {
    /// Families of header names: a `*` at the beginning of a header's name below stands for each of these in
    /// turn; the first family whose headers are there counts.
    #[serde(default)]
    pub families: Vec<String>,
    /// Where the signatures are.
    pub signature: SignatureSpec,
    /// The signed timestamp, where there is one.
    #[serde(default)]
    pub timestamp: Option<TimestampSpec>,
    /// The signed content: `{body}`, `{timestamp}`, `{url}`, `{secret}`, `{header:NAME}`, `{query:NAME}`,
    /// `{query_any_case:NAME}` (signed as it is sent or in lower case), `{form:NAME}`, `{json:NAME}` and text between
    /// them; what stands in `[…]` is left out when a value in it is absent or empty. A webhook of which nothing is left in
    /// the content is refused.
    pub signed: String,
    /// The signed content when an optional timestamp is absent.
    #[serde(default)]
    pub signed_without_timestamp: Option<String>,
    /// What makes the signature.
    pub algorithm: Algorithm,
    /// How the signature is written.
    pub encoding: Encoding,
    /// How the provider gives its keys.
    #[serde(default)]
    pub key: KeySpec,
    /// Headers that every genuine webhook carries, though they are not signed.
    #[serde(default)]
    pub require: Vec<String>,
    /// More such headers, of one family only.
    #[serde(default)]
    pub require_in_family: BTreeMap<String, Vec<String>>,
    /// An empty body is refused, however well it is signed, as the provider's own SDK does.
    #[serde(default)]
    pub require_body: bool,
    /// A body that is no JSON object is refused, however well it is signed. Wanted where the signature is a plain hash
    /// whose key comes before the body: who has one signature can make that of a longer body without the key, though
    /// never of a body in UTF-8.
    #[serde(default)]
    pub require_json: bool,
}

/// Where the signatures are. Exactly one of `header`, `form` and `json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignatureSpec {
    /// A header.
    pub header: Option<String>,
    /// A field of a form body.
    pub form: Option<String>,
    /// A text field of a JSON object body.
    pub json: Option<String>,
    /// What separates the entries of a list; absent for a single signature.
    pub separator: Option<String>,
    /// How an entry is written, `{signature}` or `{key_id}/SHA256/{signature}`. Several for alternatives: the
    /// first that fits counts. Entries that fit none are skipped. Default `{signature}`.
    pub entry: OneOrMany,
    /// A header that names the key.
    pub key_id_header: Option<String>,
}

/// One text or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::One("{signature}".to_owned())
    }
}

impl OneOrMany {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

/// The signed timestamp. Exactly one of `header`, `entry` and `first`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampSpec {
    /// A header of its own.
    #[serde(default)]
    pub header: Option<String>,
    /// An entry in the signature's list, `t={timestamp}`.
    #[serde(default)]
    pub entry: Option<String>,
    /// The first entry of the signature's list.
    #[serde(default)]
    pub first: bool,
    /// How it is written.
    pub unit: Unit,
    /// Half-width of its window in seconds, both ends included; absent where the provider states none and its
    /// retries keep the first timestamp.
    #[serde(default)]
    pub window: Option<u32>,
    /// It may be absent; then `signed_without_timestamp` is what is signed.
    #[serde(default)]
    pub optional: bool,
}

/// A setting that cannot serve, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct SpecError {
    /// The setting, as a path: `signature.entry`.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
}

impl SpecError {
    pub(crate) fn new(at: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { at: at.into(), problem: problem.into() }
    }
}
