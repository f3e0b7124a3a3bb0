//! How each provider is asked, as `provider-apis.toml` has it.

use std::{collections::BTreeMap, sync::OnceLock};

use anyhow::Context;
use serde::Deserialize;

/// How a provider is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderApi {
    /// The catalogue's name of the provider.
    pub name: String,
    /// The pages that say all this.
    pub source: Vec<String>,
    /// What key it takes, for people.
    pub key_text: String,
    /// Where it is.
    pub url: String,
    /// Where its test environment is, where that is another place.
    #[serde(default)]
    pub sandbox_url: Option<String>,
    /// How a request says whose it is.
    pub auth: Auth,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Requests a second, at most: below what it allows, since others use the account too.
    pub requests_a_second: u32,
    /// The header that says when more requests are allowed, where it is not `Retry-After`: an HTTP date.
    #[serde(default)]
    pub reset_header: Option<String>,
    /// How many days back it tells events.
    pub reach_days: u32,
    /// How events are listed.
    pub list: List,
    /// How one event is asked for, where the provider knows that.
    #[serde(default)]
    pub one: Option<One>,
    /// How it is asked to send an event again, where it does that.
    #[serde(default)]
    pub resend: Option<Resend>,
    /// How its webhooks are listed, and which types each of them is sent.
    #[serde(default)]
    pub subscriptions: Option<Subscriptions>,
    /// How a webhook is made there.
    #[serde(default)]
    pub register: Option<Register>,
}

/// How a request says whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `Authorization: KEY`.
    Plain,
    /// A token is asked for with `Authorization: Basic`; the key is `CLIENT_ID:SECRET` (OAuth 2, client credentials).
    ClientCredentials {
        /// Where the token is asked for.
        token_path: String,
    },
}

/// How events are listed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The path.
    pub path: String,
    /// The query's fields.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// The body of a POST, an object as JSON. Without it the list is asked for by GET.
    #[serde(default)]
    pub body: Option<String>,
    /// Where the events are in an answer (JSON pointers, here and below).
    pub items: String,
    /// An answer without events may have no list at all.
    #[serde(default)]
    pub may_lack_items: bool,
    /// Where an event has its id.
    pub id: String,
    /// Where it has its type: of several pointers, the texts with a dot between.
    #[serde(rename = "type")]
    pub kind: Pointers,
    /// Where it has its time: a number of seconds, or an RFC 3339 text; of UTC where it names no offset.
    pub time: String,
    /// Where it has the number of webhooks that were not answered with success yet.
    #[serde(default)]
    pub undelivered: Option<String>,
    /// The list has a summary of each event: the whole of it is asked for alone.
    #[serde(default)]
    pub is_summary: bool,
    /// The member that a webhook has its events in, where it is a list of them.
    #[serde(default)]
    pub wrapped_in: Option<String>,
    /// How the next page is asked for.
    pub next: NextPage,
}

/// One or several JSON pointers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Pointers {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// How the next page is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum NextPage {
    /// By the id of the page's last event, as long as the answer says that there is more.
    LastId {
        /// The query's field.
        parameter: String,
        /// Where the answer says it.
        more: String,
    },
    /// By a text of the answer, until it has none.
    Token {
        /// Where the answer has it.
        at: String,
        /// The query's field; of a POST, the body's member.
        parameter: String,
    },
    /// By a link of the answer (`rel`: `next`), until it has none. Its path and query are followed, at the same host.
    Link {
        /// Where the answer has its links.
        at: String,
    },
    /// By how many were read, until these are all.
    Offset {
        /// The query's field.
        parameter: String,
        /// Where the answer says how many there are.
        total: String,
    },
}

/// How one event is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct One {
    /// The path; `{id}` is the event's id.
    pub path: String,
    /// Where the event is in the answer. Without it, the answer is the event.
    #[serde(default)]
    pub item: Option<String>,
}

/// How a provider is asked to send an event again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resend {
    /// The path of a POST; `{id}` is the event's id.
    pub path: String,
    /// Its body.
    pub body: String,
}

/// How a provider's webhooks are listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriptions {
    /// Path and query.
    pub path: String,
    /// Where the webhooks are in the answer.
    pub items: String,
    /// Where one has its URL.
    pub url: String,
    /// Where one has the list of the types that it is sent; `*` is all of them.
    pub types: String,
    /// Where a member of that list has the type's name, where it is no text itself.
    #[serde(default)]
    pub type_name: Option<String>,
    /// Where one says that it is switched off, where the list has such ones: the pointer, and what it says then.
    #[serde(default)]
    pub off: Option<(String, String)>,
}

/// How a webhook is made at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The pages that say all this.
    pub source: Vec<String>,
    /// What key may do it, for people.
    pub key_text: String,
    /// The path of the POST.
    pub path: String,
    /// Its body, as JSON, in which the text `{url}` stands for the URL, `{name}` for the endpoint's name, `{types}` for the list of
    /// the types, and `{once}` for a text of this request alone.
    pub body: String,
    /// It is sent as a form: a list's members as `NAME[]`.
    #[serde(default)]
    pub is_form: bool,
    /// The header with a text of this request alone. With it, or with `{once}` in the body, what is asked twice is done once.
    #[serde(default)]
    pub once_header: Option<String>,
    /// Where the answer has the webhook.
    pub item: String,
    /// Where the webhook has its id.
    pub id: String,
    /// Where it has the key that its signatures are verified with.
    pub key: String,
    /// Where a webhook is asked for, which has its key then too; `{id}` is its id. Without it the key is shown once.
    #[serde(default)]
    pub again: Option<String>,
    /// Where a webhook is removed, by a DELETE, so that another one takes its place.
    #[serde(default)]
    pub remove: Option<String>,
    /// Where a failure's answer says what was wrong.
    pub problem: String,
    /// How the types are listed that there are.
    #[serde(default)]
    pub available: Option<Available>,
}

/// How a provider lists the types that a webhook can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Available {
    /// The path.
    pub path: String,
    /// Where the types are in the answer.
    pub items: String,
    /// Where a member of that list has the type's name, where it is no text itself.
    #[serde(default)]
    pub type_name: Option<String>,
}

/// How a provider is asked for objects that its webhooks only name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsApi {
    /// The catalogue's name of the provider.
    pub name: String,
    /// The pages that say all this.
    pub source: Vec<String>,
    /// What key it takes, for people. It is sent as `Authorization: Bearer KEY`.
    pub key_text: String,
    /// Where it is.
    pub url: String,
    /// The header that says on whose behalf is asked, where webhooks may say that.
    #[serde(default)]
    pub context_header: Option<String>,
    /// What can be asked for.
    #[serde(rename = "kind")]
    pub kinds: Vec<ObjectKind>,
}

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectKind {
    /// As the normaliser names it.
    pub name: String,
    /// The path; `{id}` is the object's id.
    pub path: String,
    /// Headers of its requests alone.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<ProviderApi>,
    objects: Vec<ObjectsApi>,
}

fn file() -> anyhow::Result<&'static File> {
    static FILE: OnceLock<File> = OnceLock::new();
    if let Some(file) = FILE.get() {
        return Ok(file);
    }
    let file = toml::from_str(include_str!("../provider-apis.toml")).context("provider-apis.toml")?;
    Ok(FILE.get_or_init(|| file))
}

/// How a provider is asked for objects, by its name in the catalogue; `None` where nobody knows.
pub fn objects_of(provider: &str) -> Option<&'static ObjectsApi> {
    // A test reads the data.
    file().ok()?.objects.iter().find(|api| api.name == provider)
}

/// Every provider that is asked for objects.
///
/// # Errors
///
/// As [`all`].
pub fn with_objects() -> anyhow::Result<&'static [ObjectsApi]> {
    Ok(&file()?.objects)
}

/// Every provider that is known here.
///
/// # Errors
///
/// When the data is not as the program wants it: a mistake of ours.
pub fn all() -> anyhow::Result<&'static [ProviderApi]> {
    Ok(&file()?.provider)
}

/// How a provider is asked, by its name in the catalogue.
///
/// # Errors
///
/// As [`all`]; and where nobody knows how.
pub fn of(provider: &str) -> anyhow::Result<&'static ProviderApi> {
    let all = all()?;
    all.iter().find(|api| api.name == provider).with_context(|| {
        let known: Vec<&str> = all.iter().map(|api| api.name.as_str()).collect();
        format!("nobody knows here how to ask {provider} what it sent; known are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tollgate_providers::{catalogue, normalise::kinds_of_objects};

    use super::*;

    #[test]
    fn every_provider_is_one_of_the_catalogue_and_says_where_it_is_documented() {
        for api in all().unwrap() {
            let name = &api.name;
            assert_eq!(catalogue::find(name).map(|row| &row.name), Some(name));
            assert!(
                !api.source.is_empty() && api.source.iter().all(|url| url.starts_with("https://")),
                "{name}"
            );
            let urls = [Some(&api.url), api.sandbox_url.as_ref()];
            for url in urls.into_iter().flatten() {
                assert!(url.starts_with("https://") && !url.ends_with('/'), "{name}: {url}");
            }
            assert!((1..=100).contains(&api.requests_a_second), "{name}");
            assert!(api.reach_days > 0, "{name}");
            assert!(api.one.as_ref().is_none_or(|one| one.path.contains("{id}")), "{name}");
            assert!(!api.list.is_summary || api.one.is_some(), "{name}");
            if let Some(register) = &api.register {
                let again = register.again.as_ref().or(register.remove.as_ref());
                assert!(
                    again.is_some_and(|path| path.contains("{id}")),
                    "{name}: a lost key is lost for ever"
                );
                assert!(api.subscriptions.is_some() && !register.source.is_empty(), "{name}");
                assert!(serde_json::from_str::<serde_json::Map<_, _>>(&register.body).is_ok(), "{name}");
            }
            if let Some(body) = &api.list.body {
                assert!(serde_json::from_str::<serde_json::Map<_, _>>(body).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn what_normalisers_ask_for_is_known_and_nothing_else() {
        let known = with_objects().unwrap().iter();
        let known =
            known.flat_map(|api| api.kinds.iter().map(|kind| (api.name.as_str(), kind.name.as_str())));
        let known: BTreeSet<_> = known.collect();
        assert_eq!(known, kinds_of_objects().collect::<BTreeSet<_>>());
        for api in with_objects().unwrap() {
            assert_eq!(catalogue::find(&api.name).map(|row| &row.name), Some(&api.name));
            assert!(!api.source.is_empty() && api.source.iter().all(|url| url.starts_with("https://")));
            assert!(api.url.starts_with("https://") && !api.url.ends_with('/'), "{}", api.url);
            // A key of the API of one name is that of the other.
            assert!(of(&api.name).is_ok_and(|other| other.url == api.url) || of(&api.name).is_err());
        }
    }
}
