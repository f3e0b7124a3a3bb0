//! The catalogue: one row a provider, read from `catalogue.toml` once.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};

use serde::{Deserialize, Serialize};

use crate::{
    normalise,
    scheme::{
        coded,
        declared::{
            Declared,
            spec::{SchemeSpec, SpecError},
        },
        interface::{Coded, Scheme, SchemeInfo},
    },
};

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

/// One provider, or one product of a provider with a scheme of its own.
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
    /// Where the provider's own event id is, which alone is the event's id: `id`, `events[].id`, `header webhook-id`. Where
    /// it is not there, and for providers that have none, the event id is made of what the event says.
    #[serde(default)]
    pub own_event_id: Vec<String>,
    /// Why the ids of its events, transactions and movements are numbers that pass for a card's now and then, and none is a
    /// card's: the provider alone makes them. Those of digits alone stay as they are. Absent where no such id is known.
    #[serde(default)]
    pub numeric_ids: Option<String>,
    /// What of an event its signature does not cover; absent where it covers all.
    #[serde(default)]
    pub unsigned: Option<Unsigned>,
    /// Why its signature does not say for whose account it speaks: the key is the provider's, and signs the webhooks of all its
    /// customers, any of whom may have theirs sent to any URL. Its webhooks are `authenticated`.
    #[serde(default)]
    pub shared_key: Option<String>,
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
    /// What an operator must know to set it up.
    pub know: String,
    /// The normaliser, where it is not the one called as the provider.
    #[serde(default)]
    pub normaliser: Option<String>,
    /// The rule as data. Exactly one of this and `coded`.
    #[serde(default)]
    pub scheme: Option<SchemeSpec>,
    /// The name of the rule's code, where data cannot say it.
    #[serde(default)]
    pub coded: Option<String>,
}

/// Who makes a provider's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyMaker {
    /// The operator, who gives the text to the provider.
    You,
    /// The provider; a key that is made here serves tests only.
    #[default]
    Provider,
    /// The provider only: public keys, credentials, keys with ids of the provider.
    ProviderAlone,
}

/// What of an event is not signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsigned {
    /// The fields that may change while the signature stays good, of any of the provider's events.
    pub fields: Vec<EventField>,
    /// Why.
    pub why: String,
}

/// A field of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventField {
    /// The provider's event id.
    Id,
    /// Our type.
    Type,
    /// The transaction's id.
    Transaction,
    /// The movement's id.
    Movement,
    /// The amount.
    Amount,
    /// When it happened.
    Time,
}

impl EventField {
    /// Every field, in the order in which the documentation names them.
    pub const ALL: [Self; 6] =
        [Self::Id, Self::Type, Self::Transaction, Self::Movement, Self::Amount, Self::Time];

    /// Its name in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Type => "type",
            Self::Transaction => "transaction",
            Self::Movement => "movement",
            Self::Amount => "amount",
            Self::Time => "time",
        }
    }
}

impl Provider {
    /// What its scheme is, without the settings of an endpoint.
    ///
    /// # Errors
    ///
    /// A row whose rule cannot be used. The tests say that there is none.
    pub fn info(&self) -> Result<SchemeInfo, SpecError> {
        self.scheme(&BTreeMap::new()).map(|scheme| scheme.info())
    }

    /// Its scheme for an endpoint with these `parameters`.
    ///
    /// # Errors
    ///
    /// The first parameter without which it cannot be made. Those that nobody reads are for [`check_parameters`].
    pub(crate) fn scheme(&self, parameters: &BTreeMap<String, String>) -> Result<Box<dyn Scheme>, SpecError> {
        match (&self.scheme, self.coded()) {
            (Some(spec), None) => {
                let declared = Declared::new(spec.clone());
                let first = |mistakes: Vec<SpecError>| mistakes.into_iter().next();
                let declared = declared.map_err(|mistakes| {
                    first(mistakes).unwrap_or_else(|| SpecError::new("scheme", "it cannot be used"))
                });
                let declared = declared?;
                Ok(Box::new(if self.shared_key.is_some() { declared.of_a_shared_key() } else { declared }))
            }
            (None, Some(coded)) => (coded.build)(parameters),
            _ => Err(SpecError::new("scheme", "exactly one of scheme and coded is wanted")),
        }
    }

    /// The parameters that its scheme reads.
    pub(crate) fn parameters(&self) -> &'static [&'static str] {
        self.coded().map_or(&[], |coded| coded.parameters)
    }

    fn coded(&self) -> Option<&'static Coded> {
        self.coded.as_deref().and_then(coded::find)
    }

    /// The name of the normaliser.
    pub fn normaliser(&self) -> &str {
        self.normaliser.as_deref().unwrap_or(&self.name)
    }
}

/// What is wrong with `parameters`: those that are read neither by the normalisers nor (`known`) by the scheme, and values that
/// cannot be used.
pub(crate) fn check_parameters(parameters: &BTreeMap<String, String>, known: &[&str]) -> Vec<SpecError> {
    let bad = normalise::check_parameters(parameters)
        .map(|(name, problem)| SpecError::new(format!("parameters.{name}"), problem));
    let is_known = |name: &str| known.contains(&name) || normalise::PARAMETERS.contains(&name);
    let unknown = parameters
        .keys()
        .filter(|name| !is_known(name))
        .map(|name| SpecError::new(format!("parameters.{name}"), "this scheme has no such parameter"));
    bad.chain(unknown).collect()
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
    use std::collections::BTreeSet;

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
            let info = row.info();
            assert!(info.is_ok(), "{}: {info:?}", row.name);
        }
    }
}
