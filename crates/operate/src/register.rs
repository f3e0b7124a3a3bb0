//! An endpoint's webhook at its provider: what is there, what is to be done, and doing it.
//!
//! Between the provider's answer and the key's being stored a process may die. Then the webhook is found again by its URL. Where
//! the provider shows its key again, it is stored then. Where it was shown once, it is lost, and the webhook is replaced: that
//! which is stored says of which webhook it is, and a webhook that it does not name has lost its key.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use tollgate_core::EndpointId;
use tollgate_providers::{Endpoint, KeyMaterial, Secret, catalogue, normalise::EventTypes};

use crate::provider_api::{self, Client, NewWebhook, ProviderApi, Webhook, WebhookKey};

/// The longest URL: PayPal's bound (webhooks-post, `url`), the lowest that is documented.
const LONGEST_URL: usize = 2_048;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where the webhook is to lead; checked by [`url`].
    pub url: String,
    /// The types that it is to be sent; empty: those that the normaliser knows.
    pub types: BTreeSet<String>,
    /// Whether one that is there is replaced.
    pub replace: bool,
}

/// What is stored here for the endpoint.
#[derive(Debug, Default)]
pub struct Stored {
    /// The current key, where there is one.
    pub key: Option<Secret>,
    /// The webhook whose key it is, where that is known.
    pub webhook_id: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    /// There is none: one is made, and its key is stored.
    Make,
    /// It is there, and its key is stored.
    Nothing {
        /// The webhook.
        webhook: String,
    },
    /// It is there, and its key is not stored: that is read again.
    StoreKey {
        /// The webhook.
        webhook: String,
    },
    /// Another one is made, its key is stored, and then those that are there are removed.
    Replace {
        /// The webhooks that go.
        webhooks: Vec<String>,
    },
    /// It is there, and its key is stored; others with its URL are left of a run that ended before its end, and are removed.
    RemoveOthers {
        /// The webhook that stays.
        webhook: String,
        /// Those that go.
        webhooks: Vec<String>,
    },
    /// It is there, its key was shown once, and nothing says that it is stored.
    KeyLost {
        /// The webhook, or several of its URL.
        webhooks: Vec<String>,
        /// Whether a key is stored; nobody knows of which webhook.
        has_key: bool,
    },
}

/// The types that a webhook is sent, beside those that the endpoint's normaliser knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Types {
    /// Whether it is sent all.
    pub is_all: bool,
    /// What it is sent.
    pub sent: BTreeSet<String>,
    /// What the normaliser reads and it is not sent: these events are missed.
    pub missed: BTreeSet<String>,
    /// What it is sent and the normaliser leaves unrecognised on purpose.
    pub ignored: BTreeSet<String>,
    /// What it is sent and nobody knows here: these events will be unrecognised.
    pub unknown: BTreeSet<String>,
}

/// What is there, and what is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its provider, as the catalogue calls it.
    pub provider: String,
    /// Where the webhook leads.
    pub url: String,
    /// What is to be done.
    #[serde(flatten)]
    pub step: Step,
    /// The types that it is sent, or is to be sent.
    pub types: Types,
    /// Whether the one that stays is switched off at the provider: it is sent nothing.
    pub is_off: bool,
    /// What else is to be known.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether events of a webhook that stays are missed, or refused because its key may be lost.
    pub fn is_amiss(&self) -> bool {
        match self.step {
            Step::KeyLost { .. } => true,
            Step::Make | Step::Replace { .. } => false,
            _ => self.is_off || !self.types.missed.is_empty(),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The webhook that was made.
    pub made: Option<String>,
    /// The webhook whose key was stored.
    pub stored: Option<String>,
    /// The webhooks that were removed.
    pub removed: Vec<String>,
    /// Why it ended before its end.
    pub error: Option<String>,
}

/// How webhooks are made at an endpoint's provider.
///
/// # Errors
///
/// When nobody knows that here: then the error says how it is done there.
pub fn api_of(endpoint: &Endpoint) -> anyhow::Result<&'static ProviderApi> {
    let provider = endpoint.provider().as_str();
    let api = provider_api::all()?.iter().find(|api| api.name == provider && api.register.is_some());
    let by_hand =
        catalogue::find(provider).map(|row| row.register.as_str()).unwrap_or("where its sender wants it");
    api.with_context(|| {
        format!("nobody knows here how to make a webhook at {provider} by its API. {by_hand}")
    })
}

/// The URL that the webhook is to have: the one that is asked for, or the one that the endpoint's scheme signs.
///
/// # Errors
///
/// When there is none, it is not of this endpoint, or the scheme signs another one.
pub fn url(endpoint: &Endpoint, asked: Option<&str>) -> anyhow::Result<String> {
    let signed = endpoint.config().notification_url.as_deref();
    if let (Some(signed), Some(asked)) = (signed, asked) {
        ensure!(signed == asked, "the endpoint's notification_url is {signed}: the provider signs that");
    }
    let Some(url) = asked.or(signed) else {
        bail!("--url says where the webhook is to lead: https://HOST/webhook/{}", endpoint.id());
    };
    let is_of_endpoint = url.strip_prefix("https://").is_some_and(|rest| {
        let path = rest.strip_suffix(endpoint.id().as_str()).and_then(|rest| rest.strip_suffix("/webhook/"));
        path.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
    });
    let is_plain =
        url.len() <= LONGEST_URL && url.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/%".contains(&b));
    ensure!(
        is_of_endpoint && is_plain,
        "{url}: it has to be https://HOST/webhook/{}, with the stage before it where there is one",
        endpoint.id()
    );
    Ok(url.to_owned())
}

/// Looks at what is there.
///
/// # Errors
///
/// When the provider does not answer, has several such webhooks, or replacing is asked for where that cannot be done.
pub async fn plan(
    client: &mut Client,
    endpoint: &Endpoint,
    wanted: &Wanted,
    stored: &Stored,
) -> anyhow::Result<Plan> {
    let api = client.api();
    let asking = || format!("asking {} for its webhooks", api.name);
    let webhooks = client.webhooks().await.with_context(asking)?;
    let available = client.available().await.with_context(asking)?;
    let is_there = |webhook: &&Webhook| webhook.url == wanted.url;
    let mut notes: Vec<String> = webhooks
        .iter()
        .filter(|webhook| !is_there(webhook) && webhook.leads_to(endpoint.id().as_str()))
        .map(|webhook| {
            format!("webhook {} leads to an endpoint of this name elsewhere: {}", webhook.id, webhook.url)
        })
        .collect();
    let there: Vec<&Webhook> = webhooks.iter().filter(is_there).collect();
    let known = known(endpoint);
    let Some(first) = there.first() else {
        let sent =
            if wanted.types.is_empty() { usual(&known, available.as_ref()) } else { wanted.types.clone() };
        ensure!(!sent.is_empty(), "none of the types that are known here is there: say --type");
        let types = compare(sent, &known, available.as_ref());
        return Ok(of(endpoint, wanted, Step::Make, types, notes));
    };
    let ids = || there.iter().map(|webhook| webhook.id.clone()).collect::<Vec<_>>();
    let has_key =
        |webhook: &&&Webhook| stored.key.is_some() && stored.webhook_id.as_ref() == Some(&webhook.id);
    let mut here = *first;
    let step = match client.key_again(&first.id).await.with_context(asking)? {
        Some(_) if there.len() > 1 => {
            bail!("{} webhooks of {} have this URL: remove all but one there", there.len(), api.name)
        }
        Some(_) if wanted.replace => {
            bail!("{} shows the key of webhook {} again: there is nothing to replace", api.name, first.id)
        }
        Some(key) => {
            let is_stored =
                stored.key.as_ref().is_some_and(|stored| stored.is_same(&Secret::new(key.text())));
            let webhook = first.id.clone();
            if is_stored { Step::Nothing { webhook } } else { Step::StoreKey { webhook } }
        }
        None => match there.iter().find(has_key) {
            Some(own) => {
                here = *own;
                let webhook = own.id.clone();
                let mut webhooks = ids();
                webhooks.retain(|id| *id != webhook);
                match (wanted.replace, webhooks.is_empty()) {
                    (true, true) => Step::Replace { webhooks: ids() },
                    (true, false) => Step::RemoveOthers { webhook, webhooks },
                    (false, is_alone) => {
                        if !is_alone {
                            notes.push(format!("others have this URL, too, and keys that are lost: {}. --replace removes them", webhooks.join(", ")));
                        }
                        Step::Nothing { webhook }
                    }
                }
            }
            None if wanted.replace => Step::Replace { webhooks: ids() },
            None => Step::KeyLost { webhooks: ids(), has_key: stored.key.is_some() },
        },
    };
    if here.is_off {
        notes.push(format!("webhook {} is switched off at the provider", here.id));
    }
    if let Step::Replace { webhooks } | Step::RemoveOthers { webhooks, .. } = &step {
        // "If your endpoint has been disabled or deleted when Stripe attempts a retry, future retries of that event are prevented"
        // (Stripe, "Receive Stripe events in your webhook endpoint", Retry behavior).
        notes.push(format!(
            "what {} was sent and was not taken, as all that a lost key signed, is sent again no more once it is removed: \
             afterwards say `tollgate reconcile {} --ingest`",
            webhooks.join(", "),
            endpoint.id()
        ));
    }
    let sent = match (&step, wanted.types.is_empty()) {
        (Step::Replace { .. }, true) => usual(&known, available.as_ref()),
        (Step::Replace { .. }, false) => wanted.types.clone(),
        _ => {
            if !wanted.types.is_empty() && wanted.types != here.types {
                notes.push("its types are left as they are: change them at the provider".to_owned());
            }
            here.types.clone()
        }
    };
    let types = compare(sent, &known, available.as_ref());
    let is_off = here.is_off && !matches!(step, Step::Replace { .. });
    Ok(Plan { is_off, ..of(endpoint, wanted, step, types, notes) })
}

/// Does it. `once` is a text of this run alone; `store` keeps a key, and says of which webhook it is.
pub async fn carry_out(
    client: &mut Client,
    endpoint: &Endpoint,
    plan: &Plan,
    once: &str,
    store: impl AsyncFn(&str, &WebhookKey) -> anyhow::Result<()>,
) -> Done {
    let mut done = Done::default();
    done.error = carried_out(client, endpoint, plan, once, store, &mut done)
        .await
        .err()
        .map(|problem| format!("{problem:#}"));
    done
}

async fn carried_out(
    client: &mut Client,
    endpoint: &Endpoint,
    plan: &Plan,
    once: &str,
    store: impl AsyncFn(&str, &WebhookKey) -> anyhow::Result<()>,
    done: &mut Done,
) -> anyhow::Result<()> {
    let made = match &plan.step {
        Step::StoreKey { webhook } => {
            let key = client.key_again(webhook).await?.context("the provider shows no key")?;
            Some((webhook.clone(), key))
        }
        Step::Make | Step::Replace { .. } => {
            let (url, name) = (plan.url.clone(), endpoint.id().to_string());
            let webhook = NewWebhook { url, name, types: plan.types.sent.clone() };
            let made = client.make(&webhook, once).await.with_context(|| {
                format!(
                    "asking {} to make a webhook; if it did, it is found by its URL next time",
                    plan.provider
                )
            })?;
            done.made = Some(made.0.clone());
            Some(made)
        }
        Step::Nothing { .. } | Step::RemoveOthers { .. } | Step::KeyLost { .. } => None,
    };
    if let Some((id, key)) = made {
        let lost = || format!("the key of webhook {id} is not stored: say it again");
        let material = KeyMaterial::unnamed("current", Secret::new(key.text()));
        let usable = endpoint.keys(vec![material]);
        usable.context("the endpoint's scheme does not take it").with_context(lost)?;
        store(&id, &key).await.with_context(lost)?;
        done.stored = Some(id);
    }
    if let Step::Replace { webhooks } | Step::RemoveOthers { webhooks, .. } = &plan.step {
        for webhook in webhooks {
            let removed = client.remove(webhook).await;
            removed.with_context(|| format!("webhook {webhook} is still there: --replace removes it"))?;
            done.removed.push(webhook.clone());
        }
    }
    Ok(())
}

fn of(endpoint: &Endpoint, wanted: &Wanted, step: Step, types: Types, notes: Vec<String>) -> Plan {
    Plan {
        endpoint: *endpoint.id(),
        provider: endpoint.provider().to_string(),
        url: wanted.url.clone(),
        step,
        types,
        is_off: false,
        notes,
    }
}

/// What the endpoint's normaliser knows.
fn known(endpoint: &Endpoint) -> EventTypes {
    let provider = endpoint.provider().as_str();
    let config = endpoint.config().normaliser.as_deref();
    let row = || catalogue::find(provider).and_then(|row| row.normaliser.as_deref());
    EventTypes::of(config.or_else(row).unwrap_or(provider)).cloned().unwrap_or_default()
}

/// What it reads, of what there is.
fn usual(known: &EventTypes, available: Option<&BTreeSet<String>>) -> BTreeSet<String> {
    let is_there = |name: &&&str| available.is_none_or(|available| available.contains(**name));
    known.mapped.iter().filter(is_there).map(|name| (*name).to_owned()).collect()
}

fn compare(sent: BTreeSet<String>, known: &EventTypes, available: Option<&BTreeSet<String>>) -> Types {
    let is_all = sent.contains("*");
    let named = || sent.iter().map(String::as_str).filter(|name| *name != "*");
    let unknown = |name: &&str| !known.mapped.contains(name) && !known.ignored.contains(name);
    let mut missed = BTreeSet::new();
    if !is_all {
        missed = usual(known, available).difference(&sent).cloned().collect();
    }
    Types {
        is_all,
        missed,
        ignored: named().filter(|name| known.ignored.contains(name)).map(str::to_owned).collect(),
        unknown: named().filter(unknown).map(str::to_owned).collect(),
        sent,
    }
}
