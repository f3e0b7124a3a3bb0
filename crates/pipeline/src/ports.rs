//! What the use cases need from outside: one trait for one capability, so that a function, like its IAM role, holds
//! only what it uses. [`IngestPorts`] and [`ProcessPorts`] name the ports of one use case together.

use std::{fmt, future::Future, time::Duration};

use serde::{Deserialize, Serialize};
use tollgate_core::{
    Authenticity, Delivery, EffectId, EndpointConfig, EndpointId, EventId, LedgerKey, PaymentEvent,
    ProviderId, Timestamp, WebhookId, event::Position,
};
use tollgate_providers::{ApiKey, KeyMaterial, Material, MaterialRequest, NamedObject, Revision};
use tollgate_risk::Decision;

use crate::intake::{IntakeMessage, Seal, attribute};

/// Why an external call failed. The two kinds are handled differently, so they are different variants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Throttled, timed out, 5xx, or not tried: trying again later can help.
    #[error("{service}: {detail}")]
    Retryable {
        /// Which service.
        service: &'static str,
        /// The service's error code or a fixed phrase; never data.
        detail: String,
    },
    /// Permanent: repeating the same call cannot help.
    #[error("{service}: {detail}")]
    Permanent {
        /// Which service.
        service: &'static str,
        /// The service's error code or a fixed phrase; never data.
        detail: String,
    },
}

impl PortError {
    /// A failure that a later try may not meet.
    pub fn retryable(service: &'static str, detail: impl Into<String>) -> Self {
        Self::Retryable { service, detail: detail.into() }
    }

    /// A failure that every later try will meet.
    pub fn permanent(service: &'static str, detail: impl Into<String>) -> Self {
        Self::Permanent { service, detail: detail.into() }
    }
}

/// A port's answer.
pub type PortResult<T> = Result<T, PortError>;

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// What a function passes: `tollgate_lambda::clock::SYSTEM_CLOCK`.
impl Clock for fn() -> Timestamp {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// What is configured under an endpoint's name: its configuration, or something that cannot serve.
pub type Configured = Result<EndpointConfig, CannotServe>;

/// An endpoint that exists and cannot serve, as this version reads its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CannotServe {
    /// Its name.
    pub id: EndpointId,
}

/// Every endpoint, as one reading found them.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Names what was read: what has another version may say something else.
    pub version: String,
    /// Every endpoint; why one cannot serve is logged.
    pub endpoints: Vec<Configured>,
}

/// Where the endpoints are configured, for those who read them.
pub trait EndpointSource: Send + Sync {
    /// Every endpoint, in one call; `None` where they are still those of the version `known`. Where nothing is configured
    /// at all this fails: a platform without endpoints would tell every provider that it is unknown.
    fn endpoints(&self, known: Option<&str>) -> impl Future<Output = PortResult<Option<Listing>>> + Send;
}

/// How many genuine webhooks (accepted, or duplicates of accepted ones) each endpoint heard in each hour.
pub trait Hearing: Send + Sync {
    /// For each of the endpoints, in their order, its webhooks in each of `hours` full hours, the first from `from` on: a
    /// full hour of UTC. Either all of it or an error: what is missing or cut short is neither silence nor hearing.
    fn heard(
        &self,
        endpoints: &[EndpointId],
        from: Timestamp,
        hours: usize,
    ) -> impl Future<Output = PortResult<Vec<Vec<u64>>>> + Send;
}

/// The document of all endpoints ([`crate::endpoints`]) as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEndpoints {
    /// Names it; another document has another one.
    pub version: String,
    /// Its bytes.
    pub document: Vec<u8>,
}

/// Where the endpoints are configured, for those who change them.
pub trait EndpointStore: Send + Sync {
    /// The document; `None` where there is none.
    fn load(&self) -> impl Future<Output = PortResult<Option<StoredEndpoints>>> + Send;

    /// Stores a document in the place of the version `replaced`, or of none. `false`, and nothing is stored, where
    /// another one is there by now.
    fn replace(
        &self,
        document: Vec<u8>,
        replaced: Option<&str>,
    ) -> impl Future<Output = PortResult<bool>> + Send;
}

/// Where signing keys are kept.
pub trait Secrets: Send + Sync {
    /// Every active key behind a reference (`secretsmanager:NAME`, `ssm:NAME`), the current one first.
    fn keys(&self, reference: &str) -> impl Future<Output = PortResult<Vec<KeyMaterial>>> + Send;
}

/// Public material that some schemes need: PayPal's certificates, Plaid's JSON Web Keys.
pub trait Materials: Send + Sync {
    /// Fetches it. The request names only hosts that the scheme allows.
    fn fetch(&self, request: &MaterialRequest) -> impl Future<Output = PortResult<Material>> + Send;
}

/// Public material that was good, or its name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMaterial {
    /// [`MaterialRequest::name`].
    pub name: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// The certificate chain in PEM. It is checked whenever it is used; the store is not trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// Where good material outlives an instance.
pub trait MaterialStore: Send + Sync {
    /// What is kept for an endpoint; nothing where nothing is.
    fn load(&self, endpoint: &EndpointId) -> impl Future<Output = PortResult<Vec<StoredMaterial>>> + Send;

    /// Replaces what is kept for an endpoint.
    fn save(
        &self,
        endpoint: &EndpointId,
        materials: &[StoredMaterial],
    ) -> impl Future<Output = PortResult<()>> + Send;
}

/// How far an event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// Claimed; perhaps in the queue, perhaps not.
    Received,
    /// Its effects are done.
    Processed,
}

impl LedgerState {
    /// The text in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processed => "processed",
        }
    }
}

/// What the delivery that claims an event puts into the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Endpoint and provider event id.
    pub key: LedgerKey,
    /// How far it has come.
    pub state: LedgerState,
    /// The delivery that claimed it.
    pub webhook_id: WebhookId,
    /// [`tollgate_core::Facts::fingerprint`] of the claiming delivery.
    pub fingerprint: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What the processor holds the event's messages to.
    pub terms: Terms,
}

impl LedgerEntry {
    /// When it is forgotten, in seconds since 1970: [`LEDGER_RETENTION_SECONDS`] after it arrived or, where it is dated
    /// later, after its date. So an event that the ledger has forgotten is always dated before its memory.
    pub fn expires_at(&self) -> i64 {
        let dated = self.terms.occurred_at.unwrap_or(self.received_at);
        self.received_at.max(dated).as_second().saturating_add(LEDGER_RETENTION_SECONDS)
    }
}

/// What was accepted of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Those of the deliveries that were accepted, in no order. At most [`MAX_SEALS`].
    pub seals: Vec<Seal>,
    /// When the event happened, where the first delivery says it. Every copy takes it.
    pub occurred_at: Option<Timestamp>,
    /// What the first delivery's signature proved. A published event is at most as authentic.
    pub authenticity: Authenticity,
    /// How the facts of the entry's fingerprint were read.
    pub revision: Revision,
}

/// How long the ledger remembers an event: 30 days, past any provider's retry horizon (Stripe: 3 days).
pub const LEDGER_RETENTION_SECONDS: i64 = 30 * 24 * 60 * 60;

/// From this age at its arrival on, an event may have been done before the ledger's memory begins: 23 days, a week less than
/// [`LEDGER_RETENTION_SECONDS`], because some providers date each of their tries of an event, for some days (Adyen: a week).
pub const TOO_OLD_SECONDS: i64 = LEDGER_RETENTION_SECONDS - 7 * 24 * 60 * 60;

/// So long after it arrived a webhook of the archive can be sent again: 16 days. A claim that it makes ends 30 days after its
/// arrival, as that of its first delivery did ([`LEDGER_RETENTION_SECONDS`]), and until then what is set aside of it is among the
/// dead letters, which are kept for 14 days.
pub const REPLAY_SECONDS: i64 = LEDGER_RETENTION_SECONDS - 14 * 24 * 60 * 60;

/// How long a claim says that a message is set aside: 13 days, a day less than dead letters are kept. Then a further copy is a
/// message again, so that one that is acknowledged can always be found.
pub const ASIDE_SECONDS: i64 = 13 * 24 * 60 * 60;

/// The most deliveries of one event whose messages the processor takes before the event is processed, those that could not
/// be sent included. Providers try again some 30 times at most; 256 seals make an item of 9 KB.
pub const MAX_SEALS: usize = 256;

/// What the ledger knows of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// How far it has come.
    pub state: LedgerState,
    /// The delivery that claimed it; of one that is processed, the delivery that did it.
    pub webhook_id: Option<WebhookId>,
    /// When the delivery that claimed it arrived.
    pub received_at: Timestamp,
    /// The facts it was claimed with.
    pub fingerprint: String,
    /// `None` where a version claimed it that knew no seals.
    pub terms: Option<Terms>,
    /// A message of it is set aside as too old, and another one would be too.
    pub is_aside: bool,
}

/// What claiming an event found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The event was not claimed before; now it is ours.
    New,
    /// It was there already.
    Known(Known),
}

/// What adding a seal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// The claim has the seal.
    Sealed,
    /// The event was processed meanwhile: nothing needs to be sent for it.
    Processed,
}

/// The ledger as the validator uses it.
pub trait Claims: Send + Sync {
    /// Puts `entry` if its key is absent or expired at `now`, atomically.
    fn claim(&self, entry: &LedgerEntry, now: Timestamp) -> impl Future<Output = PortResult<Claim>> + Send;

    /// Adds a seal to the claim of an event that is not processed yet, atomically. Where the claim has [`MAX_SEALS`] others,
    /// one of them gives way. A claim that is absent or expired at `now` is a retryable failure.
    fn seal(
        &self,
        key: &LedgerKey,
        seal: Seal,
        now: Timestamp,
    ) -> impl Future<Output = PortResult<Sealing>> + Send;

    /// Records on the entry that a delivery with other payment facts came.
    fn conflict(
        &self,
        key: &LedgerKey,
        webhook_id: &WebhookId,
        fingerprint: &str,
    ) -> impl Future<Output = PortResult<()>> + Send;
}

/// An event whose effects are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Endpoint and provider event id.
    pub key: LedgerKey,
    /// The delivery that did it.
    pub webhook_id: WebhookId,
}

/// An operator's decision that a message takes effect which was set aside as `too_old_to_tell`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The message's. What nobody accepted has none in any claim, and no allowance lets it through.
    pub seal: Seal,
    /// The delivery in it.
    pub webhook_id: WebhookId,
    /// Why, in the operator's words.
    pub reason: String,
    /// When it was decided. It is kept for [`LEDGER_RETENTION_SECONDS`] from then.
    pub allowed_at: Timestamp,
}

/// The ledger as an operator's tool uses it.
pub trait Allowances: Send + Sync {
    /// Records the decision. To record it again is no error: the later one stands.
    fn allow(&self, allowance: &Allowance) -> impl Future<Output = PortResult<()>> + Send;
}

/// The ledger as the processor uses it.
pub trait Ledger: Send + Sync {
    /// Whether an operator allows each message at `now`, by its seal, in the order asked. No seal is asked for twice.
    fn allowed(&self, seals: &[Seal], now: Timestamp) -> impl Future<Output = Vec<PortResult<bool>>> + Send;

    /// What is known of each key at `now`, in the order asked; `None` where absent or expired.
    fn known(
        &self,
        keys: &[LedgerKey],
        now: Timestamp,
    ) -> impl Future<Output = Vec<PortResult<Option<Known>>>> + Send;

    /// Notes of each event that a message of it is set aside as too old, until [`ASIDE_SECONDS`] from `now`. No key is named
    /// twice. A claim that is gone meanwhile is no failure.
    fn put_aside(
        &self,
        keys: &[LedgerKey],
        now: Timestamp,
    ) -> impl Future<Output = Vec<PortResult<()>>> + Send;

    /// Marks each event as processed, in the order given. Whatever else its claim says stays. A claim that is gone
    /// meanwhile is no failure: without it nothing more takes effect.
    fn mark(&self, marks: &[Mark]) -> impl Future<Output = Vec<PortResult<()>>> + Send;
}

/// What a delivery claims before it publishes an event. The first claim of a subject stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The effect itself, for the first event that tells it. A verified event and one that is only authenticated claim
    /// apart: what a sender can forge never makes a verified event a restatement. Its [class](Authenticity::class).
    Effect(EffectId, Authenticity),
    /// Telling the effect once more, for an event that restates another one.
    Telling(EventId),
}

/// Its key in the ledger's table. No endpoint's name holds a colon, so it is no event's key.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Effect(effect, Authenticity::Verified | Authenticity::Retrieved) => {
                write!(f, "effect:{effect}")
            }
            Self::Effect(effect, Authenticity::Authenticated) => write!(f, "effect:authenticated:{effect}"),
            Self::Telling(event) => write!(f, "telling:{event}"),
        }
    }
}

/// The claim of a subject, for one event, by one delivery of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectClaim {
    /// What is claimed.
    pub subject: Subject,
    /// The event that is told.
    pub event_id: EventId,
    /// The delivery that does the work.
    pub webhook_id: WebhookId,
    /// When the claim was made or renewed, by our clock.
    pub claimed_at: Timestamp,
}

/// How long a claim of an effect is remembered: 90 days, three times [`LEDGER_RETENTION_SECONDS`]. Providers tell refunds
/// and disputes again, as other events, for weeks after they began.
pub const EFFECT_RETENTION_SECONDS: i64 = 90 * 24 * 60 * 60;

/// From this age on, a claim is given to another delivery of the same event: one hour. Its own delivery renews it in
/// half that time ([`EFFECT_RENEWAL_SECONDS`]), and no invocation runs for longer than 15 minutes (Lambda's quota), so
/// whoever has held it for so long is not at work.
pub const EFFECT_LEASE_SECONDS: i64 = 60 * 60;

/// From this age on, the delivery that holds a claim renews it before it goes on: half of [`EFFECT_LEASE_SECONDS`], so
/// that at least twice the time of the longest invocation is left.
pub const EFFECT_RENEWAL_SECONDS: i64 = EFFECT_LEASE_SECONDS / 2;

impl EffectClaim {
    /// As it is once it is [released](Effects::release): its lease is over.
    pub fn released(&self) -> Self {
        let second = self.claimed_at.as_second() - EFFECT_LEASE_SECONDS;
        Self { claimed_at: Timestamp::from_second(second).unwrap_or(self.claimed_at), ..*self }
    }

    /// When it is forgotten, in seconds since 1970.
    pub fn expires_at(&self) -> i64 {
        self.claimed_at.as_second() + EFFECT_RETENTION_SECONDS
    }

    /// Whether it takes the place of `standing`, the claim that is there: that one is forgotten, or it is for the same
    /// event and old enough. It must then still be there when it is replaced.
    pub fn replaces(&self, standing: &Self) -> bool {
        let age = self.claimed_at.as_second() - standing.claimed_at.as_second();
        let is_same_delivery = self.webhook_id == standing.webhook_id;
        let lease = if is_same_delivery { EFFECT_RENEWAL_SECONDS } else { EFFECT_LEASE_SECONDS };
        standing.expires_at() <= self.claimed_at.as_second()
            || (self.event_id == standing.event_id && age >= lease)
    }
}

/// Who tells which effect.
pub trait Effects: Send + Sync {
    /// Makes each claim whose subject is not claimed yet, and each that [replaces](EffectClaim::replaces) the one that
    /// is there, atomically. Returns the claim that stands then, in the order asked. Each subject is asked for at most
    /// once.
    fn claim(&self, claims: &[EffectClaim]) -> impl Future<Output = Vec<PortResult<EffectClaim>>> + Send;

    /// Ends the lease of each claim that still stands for this event and delivery: another delivery of the event may
    /// then have it at once. One that does not stand is no failure.
    fn release(&self, claims: &[EffectClaim]) -> impl Future<Output = Vec<PortResult<()>>> + Send;
}

/// The intake queues, as the validator uses them.
pub trait IntakeQueue: Send + Sync {
    /// Returns once the message is durable.
    fn send(&self, message: &IntakeMessage) -> impl Future<Output = PortResult<()>> + Send;
}

/// Where bodies too large for a message are put.
pub trait PayloadStore: Send + Sync {
    /// Stores `bytes` under `key`; storing the same again is no error.
    fn put(&self, key: &str, bytes: Vec<u8>) -> impl Future<Output = PortResult<()>> + Send;
}

/// How many refused webhooks may be kept today.
pub trait RejectedBudget: Send + Sync {
    /// Takes one of the `parts` into which the endpoint's budget of the day of `now` (UTC) is divided, atomically; `false` where
    /// all are taken.
    fn take_part(
        &self,
        endpoint: &EndpointId,
        parts: u32,
        now: Timestamp,
    ) -> impl Future<Output = PortResult<bool>> + Send;
}

/// Where such bodies are fetched from.
pub trait PayloadSource: Send + Sync {
    /// The bytes under `key`.
    fn get(&self, key: &str) -> impl Future<Output = PortResult<Vec<u8>>> + Send;
}

/// Where what was fetched for an event is kept: the first of its tries decides what it says.
pub trait ObjectStore: Send + Sync {
    /// Stores `bytes` under `key` if nothing is there.
    fn keep(&self, key: &str, bytes: Vec<u8>) -> impl Future<Output = PortResult<Stored>> + Send;
}

/// Where the keys of providers' APIs are.
pub trait ApiKeys: Send + Sync {
    /// The endpoint's key of its provider's API; `None` where it has none.
    fn api_key(&self, endpoint: &EndpointId) -> impl Future<Output = PortResult<Option<ApiKey>>> + Send;
}

/// Why an object was not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfetched {
    /// The provider does not answer, answers that it cannot, or that it is asked too often. How long it asks to wait.
    #[error("it does not answer for now")]
    Unavailable(Option<Duration>),
    /// It takes the key for nothing, or not for this.
    #[error("it refuses the key ({0})")]
    Refused(u16),
    /// It knows no such object: not yet, no more, or not for this key.
    #[error("it knows no such object")]
    NotFound,
    /// Its answer is not as it is documented.
    #[error("its answer is not as it is documented: {0}")]
    NotAsDocumented(&'static str),
}

/// A provider's API, as far as it tells objects.
pub trait ProviderObjects: Send + Sync {
    /// The object as the provider tells it now: its exact bytes. One request, to the provider's own host, of bounded time and
    /// length.
    fn fetch(
        &self,
        provider: &ProviderId,
        key: &ApiKey,
        object: &NamedObject<'_>,
    ) -> impl Future<Output = Result<Vec<u8>, Unfetched>> + Send;
}

/// The transaction history.
pub trait Transactions: Send + Sync {
    /// What is known of each transaction, in the order asked; nothing where it is not known. Keys are
    /// [`PaymentEvent::transaction_key`] or those of aliases, each at most once.
    fn latest(&self, transaction_keys: &[&str]) -> impl Future<Output = Vec<PortResult<Latest>>> + Send;

    /// Writes each link and leaves what else is known of the alias as it is. An alias has at most one link of each
    /// authenticity among these.
    fn link(&self, links: &[Link]) -> impl Future<Output = Vec<PortResult<()>>> + Send;

    /// Writes each event into its transaction's history, idempotent by (transaction, [`PaymentEvent::sort_key`]). Where
    /// the event is ahead of what was known of its transaction, it is what is known from then on, unless another writer
    /// was faster with an event that is not behind it: what is known moves forwards only, and loses no link.
    fn record(&self, events: &[Recorded<'_>]) -> impl Future<Output = Vec<PortResult<()>>> + Send;

    /// The JSON of each event as it was recorded, by its transaction's key and its [`PaymentEvent::sort_key`], in the order asked;
    /// `None` where there is no such record. Each sort key is asked for at most once.
    fn recorded(
        &self,
        events: &[(String, String)],
    ) -> impl Future<Output = Vec<PortResult<Option<String>>>> + Send;
}

/// What is known of a transaction's key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Latest {
    /// How far it is.
    pub state: Option<State>,
    /// The key of the transaction that it is another name of, as a verified event said.
    pub alias_of: Option<String>,
    /// The same, as an event said that is only authenticated.
    pub authenticated_alias_of: Option<String>,
}

impl Latest {
    /// The key of the transaction that it is another name of, for an event of this authenticity. What a sender can forge
    /// never says which transaction a verified event is of.
    pub fn alias_of(&self, authenticity: Authenticity) -> Option<&str> {
        let verified = self.alias_of.as_deref();
        match authenticity {
            Authenticity::Verified | Authenticity::Retrieved => verified,
            Authenticity::Authenticated => verified.or(self.authenticated_alias_of.as_deref()),
        }
    }

    /// Whether anything is known.
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Its latest event's position.
    pub position: Position,
    /// Its latest event.
    pub event_id: EventId,
}

/// That a key is another name of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The other name's key.
    pub alias: String,
    /// The transaction's key.
    pub of: String,
    /// The [class](Authenticity::class) of the event that says so.
    pub authenticity: Authenticity,
    /// Whether anything was known of the alias when it was read.
    pub is_known: bool,
}

/// An event and its JSON, which is written once for all the places it goes to.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The event.
    pub event: &'a PaymentEvent<'a>,
    /// Its JSON.
    pub json: &'a str,
}

/// An event to be written into its transaction's history.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The event.
    pub document: Document<'a>,
    /// Whether its provider says when it happened.
    pub is_dated: bool,
    /// What was known of its transaction, where the event is ahead of that.
    pub ahead_of: Option<&'a Latest>,
}

impl Recorded<'_> {
    /// The state that its transaction is in once it is known.
    pub fn state(&self) -> State {
        let event = self.document.event;
        State { position: event.position(self.is_dated), event_id: event.id }
    }
}

/// The event bus.
pub trait EventBus: Send + Sync {
    /// Publishes each event; each one's own result, in the order given.
    fn publish(&self, events: &[Document<'_>]) -> impl Future<Output = Vec<PortResult<()>>> + Send;
}

/// The archive queue, as the processor uses it.
pub trait ArchiveQueue: Send + Sync {
    /// Sends each message body; each one's own result, in the order given.
    fn send(&self, messages: Vec<String>) -> impl Future<Output = Vec<PortResult<()>>> + Send;
}

/// A message that can never be processed, as it was received.
#[derive(Debug, Clone, Copy)]
pub struct Poison<'a> {
    /// The queue's id of it.
    pub message_id: &'a str,
    /// Which intake it is of.
    pub delivery: Delivery,
    /// Its message group.
    pub group: Option<&'a str>,
    /// The message body.
    pub body: &'a str,
    /// The message attributes' texts.
    pub attributes: &'a [(&'a str, &'a str)],
    /// Why it cannot be processed.
    pub reason: &'a str,
}

impl Poison<'_> {
    /// The attributes that it has in the quarantine. Ten are SQS's limit and an intake message has ten: the reason takes
    /// the place of the one that only people read. A message that comes back from there has a reason already.
    pub fn kept_attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_replaced = |name: &str| name == attribute::EVENT_ID || name == attribute::REASON;
        let kept = self.attributes.iter().copied().filter(move |(name, _)| !is_replaced(name));
        kept.chain([(attribute::REASON, self.reason)])
    }
}

/// Where poison goes, with its reason, to be redriven once its cause is mended.
pub trait Quarantine: Send + Sync {
    /// Returns once the message is durable there: with its group, where it has one, so that it goes back in order.
    fn send(&self, poison: Poison<'_>) -> impl Future<Output = PortResult<()>> + Send;
}

/// What storing an object found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Nothing was there: it is stored now.
    New,
    /// The key was taken, and what was there is untouched.
    Existed,
}

/// Where the archive's objects are written: once each, never over another.
pub trait Archive: Send + Sync {
    /// Stores `bytes` under `key` if nothing is there.
    fn put_new(&self, key: &str, bytes: Vec<u8>) -> impl Future<Output = PortResult<Stored>> + Send;
}

/// Which payments of a customer are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent<'a> {
    /// [`PaymentEvent::customer_key`].
    pub customer_key: &'a str,
    /// The earliest `occurred_at` that counts.
    pub since: Timestamp,
    /// The latest that counts.
    pub until: Timestamp,
    /// [`PaymentEvent::transaction_key`] of the payment that does not count.
    pub except: &'a str,
    /// Counting may stop here.
    pub at_most: u32,
}

/// A customer's past, as the fraud check uses it.
pub trait History: Send + Sync {
    /// How many payments had an event of category payment in that time, each counted once, up to [`Recent::at_most`].
    fn recent(&self, recent: &Recent<'_>) -> impl Future<Output = PortResult<u32>> + Send;
}

/// The sort key of the decision on an event, an item of its own in the event's transaction: a repeat that writes the
/// event again does not touch it. No event's [`PaymentEvent::sort_key`] begins with a letter.
pub fn decision_sort_key(event: &PaymentEvent<'_>) -> String {
    format!("decision#{}", event.id)
}

/// Where fraud decisions are recorded: beside the transaction's events.
pub trait Decisions: Send + Sync {
    /// Records `decision` on the event unless it has one, and returns the one that stands. `None` where the event
    /// is not in the history.
    fn record(
        &self,
        event: &PaymentEvent<'_>,
        decision: &Decision,
        at: Timestamp,
    ) -> impl Future<Output = PortResult<Option<Decision>>> + Send;
}

/// What can be asked whether it answers.
pub trait Answers: Send + Sync {
    /// Makes a call that has no effect. It does not prove every right that accepting a webhook takes: SQS tells a queue's attributes
    /// without the right to send and without its key.
    fn answers(&self) -> impl Future<Output = PortResult<()>> + Send;
}

/// The ports of [`crate::ingest`].
pub trait IngestPorts {
    /// The endpoints' configuration.
    type Endpoints: EndpointSource;
    /// The endpoints' keys.
    type Secrets: Secrets;
    /// The time of day.
    type Clock: Clock;
    /// Certificates and public keys that some schemes need.
    type Materials: Materials;
    /// Where those that were good are kept.
    type MaterialStore: MaterialStore;
    /// The ledger.
    type Claims: Claims + Answers;
    /// The intake queues.
    type Queue: IntakeQueue + Answers;
    /// Bodies that are too large for a message.
    type Payloads: PayloadStore;
}

/// The ports of [`crate::process`].
pub trait ProcessPorts {
    /// The endpoints' configuration.
    type Endpoints: EndpointSource;
    /// The time of day.
    type Clock: Clock;
    /// The ledger.
    type Ledger: Ledger;
    /// Who tells which effect.
    type Effects: Effects;
    /// The transaction history.
    type Transactions: Transactions;
    /// The event bus.
    type Bus: EventBus;
    /// The archive queue.
    type ArchiveQueue: ArchiveQueue;
    /// Bodies that are too large for a message, and what was fetched.
    type Payloads: PayloadSource + PayloadStore + ObjectStore;
    /// Where poison goes.
    type Quarantine: Quarantine;
    /// The keys of providers' APIs.
    type ApiKeys: ApiKeys;
    /// Providers' APIs.
    type Objects: ProviderObjects;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_takes_the_place_of_what_only_people_read() {
        let (endpoint, event_id) = ((attribute::ENDPOINT, "acme"), (attribute::EVENT_ID, "ev_1"));
        let reason = |reason| (attribute::REASON, reason);
        for (attributes, expected) in [
            (&[][..], &[reason("new")][..]),
            (&[endpoint, event_id], &[endpoint, reason("new")]),
            (&[reason("old"), endpoint], &[endpoint, reason("new")]),
        ] {
            let (delivery, group) = (Delivery::Fast, None);
            let poison = Poison { message_id: "m", delivery, group, body: "", attributes, reason: "new" };
            assert_eq!(poison.kept_attributes().collect::<Vec<_>>(), expected, "{attributes:?}");
        }
    }
}
