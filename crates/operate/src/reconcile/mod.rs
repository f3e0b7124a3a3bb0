//! What a provider says it sent, beside what the ledger has of it.

pub mod adyen;
mod compare;
pub mod daily;
pub mod extra;
pub mod ingestion;
pub mod intake;
mod model;
pub mod past;
mod refused;
pub mod report;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};
use jiff::ToSpan;
use tollgate_core::{EndpointConfig, EndpointId, Timestamp};
use tollgate_pipeline::ports::LEDGER_RETENTION_SECONDS;
use tollgate_providers::Endpoint;

pub use model::{Finding, Plan, Summary, Types, Verdict};

use self::{
    compare::Comparison,
    extra::Listing,
    intake::{Handed, Intake},
    refused::Refused,
};
use crate::{
    aws::Aws,
    endpoints,
    provider_api::{self, ApiError, ApiKey, Client, Item, ProviderApi, Timing},
    search,
    tables::Tables,
};

/// What is younger is left out: it may be on its way, or the provider's first tries go on (Stripe, PayPal and Square try again within
/// minutes).
pub const SETTLED_AFTER_MINUTES: i64 = 15;

/// An endpoint, as it is configured.
///
/// # Errors
///
/// When there is none of this name, it cannot serve, or AWS does not answer.
pub async fn configured(aws: &Aws, endpoint: &EndpointId) -> anyhow::Result<Endpoint> {
    let all = endpoints::all(aws).await?;
    let config: Option<EndpointConfig> = all.into_iter().find(|config| config.id == *endpoint);
    Ok(Endpoint::new(config.with_context(|| format!("no endpoint is called {endpoint}"))?)?)
}

/// An endpoint's key of its provider's API.
async fn api_key(aws: &Aws, endpoint: &EndpointId) -> anyhow::Result<Option<ApiKey>> {
    let name = aws.names.api_secret(endpoint);
    let secrets = aws_sdk_secretsmanager::Client::new(&aws.config);
    match secrets.get_secret_value().secret_id(&name).send().await {
        Ok(value) => {
            let text = value.secret_string.with_context(|| format!("{name} holds no text"))?;
            Ok(Some(ApiKey::new(&text)?))
        }
        Err(problem)
            if problem.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
        {
            Ok(None)
        }
        Err(problem) => {
            Err(aws_sdk_secretsmanager::Error::from(problem)).with_context(|| format!("reading {name}"))
        }
    }
}

/// An endpoint and how its provider is asked.
#[derive(Debug)]
pub struct Asked {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// How its provider is asked.
    pub api: &'static ProviderApi,
    /// Whether webhooks that were refused and are kept are looked at, where the endpoint keeps them: not by who may not read them.
    pub looks_at_refused: bool,
}

impl Asked {
    /// Looks an endpoint up.
    ///
    /// # Errors
    ///
    /// When there is none of this name, nobody knows how to ask its provider, or AWS does not answer.
    pub async fn of(aws: &Aws, endpoint: &EndpointId) -> anyhow::Result<Self> {
        let endpoint = configured(aws, endpoint).await?;
        let api = provider_api::of(endpoint.provider().as_str())?;
        Ok(Self { endpoint, api, looks_at_refused: true })
    }

    /// The endpoint's key of its provider's API; `None` where there is none.
    ///
    /// # Errors
    ///
    /// When AWS does not give it, or it is no key.
    pub async fn key(&self, aws: &Aws) -> anyhow::Result<Option<ApiKey>> {
        api_key(aws, self.endpoint.id()).await
    }

    /// A client of its provider, with the endpoint's key of the provider's API. The provider's test environment is asked where the
    /// endpoint is of it, or `is_sandbox` says so.
    ///
    /// # Errors
    ///
    /// When there is no such key, or AWS does not give it.
    pub async fn client(
        &self,
        aws: &Aws,
        url: Option<&str>,
        is_sandbox: bool,
        timing: Timing,
    ) -> anyhow::Result<Client> {
        let Some(key) = self.key(aws).await? else {
            bail!(
                "there is no key to ask {} with: store {} by tollgate endpoints api-key {} --secret-file FILE",
                self.api.name,
                self.api.key_text,
                self.endpoint.id()
            );
        };
        self.client_with(key, url, is_sandbox, timing)
    }

    /// The same with a key that is known.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn client_with(
        &self,
        key: ApiKey,
        url: Option<&str>,
        is_sandbox: bool,
        timing: Timing,
    ) -> anyhow::Result<Client> {
        let is_sandbox = is_sandbox || provider_api::is_sandbox(self.endpoint.config());
        Client::new(self.api, key, url, is_sandbox, timing)
    }

    /// The time that is asked for, without what is not settled yet.
    ///
    /// # Errors
    ///
    /// When nothing is left of it, or neither the provider nor the ledger remembers its beginning.
    pub fn plan(
        &self,
        from: Timestamp,
        to: Timestamp,
        types: Vec<String>,
        now: Timestamp,
    ) -> anyhow::Result<Plan> {
        let to = to.min(now.checked_sub(SETTLED_AFTER_MINUTES.minutes())?);
        ensure!(
            from < to,
            "nothing is left of that time: what is younger than {SETTLED_AFTER_MINUTES} minutes may still be on its way"
        );
        let days = i64::from(self.api.reach_days).min(LEDGER_RETENTION_SECONDS / (24 * 60 * 60));
        let first = now.checked_sub((days * 24).hours())?;
        ensure!(
            from >= first,
            "{} and the ledger together remember {days} days: ask from {first} on",
            self.api.name
        );
        Ok(Plan { endpoint: *self.endpoint.id(), from, to, types, asked_at: now })
    }

    /// Which types count: those of the plan, else those that the provider's webhook is sent.
    ///
    /// # Errors
    ///
    /// When the provider does not answer.
    pub async fn types(&self, client: &mut Client, plan: &Plan) -> anyhow::Result<Types> {
        if !plan.types.is_empty() {
            return Ok(Types::These(plan.types.iter().cloned().collect()));
        }
        match client.subscribed(self.endpoint.id().as_str()).await {
            Ok(types) => Ok(types.map_or(Types::All, Types::These)),
            Err(problem @ (ApiError::Refused(_) | ApiError::NotAsDocumented(_))) => {
                Ok(Types::Unknown(problem.to_string()))
            }
            Err(problem) => Err(anyhow::Error::from(problem).context(self.api.name.clone())),
        }
    }

    /// Has the event taken in that nobody sent: by the provider, where it sends events again when it is asked to, else by the
    /// intake. `at` is now.
    ///
    /// # Errors
    ///
    /// When the provider or the intake does not answer.
    pub async fn ingest(
        &self,
        client: &mut Client,
        intake: &Intake,
        item: &Item,
        at: Timestamp,
    ) -> anyhow::Result<Handed> {
        if self.api.resend.is_some() {
            client.resend(&item.id).await?;
            return Ok(Handed::Resent);
        }
        intake.hand_over(self.endpoint.id(), &item.id, &item.body(&self.api.list), at).await
    }

    /// Compares what the provider lists with the ledger, a page at a time. `each` has every event that was compared, page by page.
    /// `listing` gets all that is listed, where that is to be known.
    ///
    /// # Errors
    ///
    /// When the provider or AWS does not answer: then nothing is known of the whole.
    pub async fn compare(
        &self,
        aws: &Aws,
        client: &mut Client,
        plan: &Plan,
        listing: &mut Listing,
        stop: &AtomicBool,
        mut each: impl AsyncFnMut(&mut Client, Vec<(Finding, Item)>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Summary> {
        let mut summary = Summary::default();
        let Listing { types, listed } = listing;
        if let Types::Unknown(why) = types {
            summary.notes.push(format!(
                "which types the webhook is sent is not known ({why}): every event counts. --type says which do"
            ));
        }
        let now = plan.asked_at;
        let tables = Tables::of(aws, now);
        let refused = self.refused(aws, plan.from, now, &mut summary).await;
        let comparison =
            Comparison { endpoint: &self.endpoint, tables: &tables, list: &self.api.list, refused: &refused };
        let done = client.list(plan.from, plan.to, async |client, mut items| {
            if let Some(listed) = listed.as_mut() {
                items.iter().for_each(|item| listed.add(&item.id));
            }
            let all = items.len();
            items.retain(|item| types.has(&item.kind));
            summary.not_subscribed += u64::try_from(all - items.len())?;
            if self.api.list.is_summary {
                for item in &mut items {
                    if let Some(whole) = client.one(&item.id).await? {
                        *item = whole;
                    }
                }
            }
            let page = comparison.page(items).await?;
            for (finding, _) in &page {
                *summary.counts.entry(finding.verdict).or_default() += 1;
            }
            each(client, page).await?;
            summary.stopped = stop.load(Ordering::Relaxed);
            Ok(!summary.stopped)
        });
        done.await.with_context(|| format!("asking {} what it sent", self.api.name))?;
        Ok(summary)
    }

    /// Of a page of the archive, what its provider has not sent: of the types and the time that were listed, by what the event itself
    /// says, not listed, and not known to the provider by its id, where it is asked by that. `stop` ends it between two of them.
    ///
    /// # Errors
    ///
    /// When the provider does not answer.
    pub async fn extra(
        &self,
        client: &mut Client,
        plan: &Plan,
        listing: &Listing,
        page: Vec<search::Found>,
        stop: &AtomicBool,
    ) -> anyhow::Result<Vec<Finding>> {
        let mut extra = Vec::new();
        for found in page {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let Some(finding) = extra::candidate(found, plan, listing) else { continue };
            if self.api.one.is_some() && client.one(&finding.provider_event_id).await?.is_some() {
                continue;
            }
            extra.push(finding);
        }
        Ok(extra)
    }

    /// What was refused and is kept, where the endpoint keeps it. It only says why something is missing, so that whoever may not read it
    /// is told so and no more.
    async fn refused(&self, aws: &Aws, since: Timestamp, now: Timestamp, summary: &mut Summary) -> Refused {
        if !self.looks_at_refused || self.endpoint.config().keep_rejected.is_none() {
            return Refused::default();
        }
        match Refused::of(aws, &self.endpoint, since, now).await {
            Ok((refused, note)) => {
                summary.notes.extend(note);
                refused
            }
            Err(problem) => {
                summary.notes.push(format!("what was refused and is kept was not read: {problem:#}"));
                Refused::default()
            }
        }
    }
}
