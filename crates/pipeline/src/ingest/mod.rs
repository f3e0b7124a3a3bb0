//! Taking a webhook in: verify, claim, make durable, answer. In that order, so that an answer of success is never
//! earlier than the webhook's safety, and a crash at any point loses nothing that was acknowledged.

mod claimed;
mod health;
mod messages;
mod replay;
mod request;

use std::{collections::HashSet, iter::once, sync::Arc};

use futures_util::{
    StreamExt,
    future::{join, join3},
    stream,
};
use tollgate_core::{Authenticity, Facts, Fingerprint, LedgerKey, Timestamp};
use tollgate_providers::{Endpoint, HandshakeReply, KeyRing, Received, Refusal, Trusted, Verified};
use tracing::{error, info, warn};

use self::{
    claimed::Claimed,
    messages::{EVENT_ID_BYTES, SLICE_BYTES, Slices, messages, template},
};
use crate::{
    directory::Directory,
    intake::{ClaimCheck, Encoding, IntakeMessage, MAX_MESSAGE_BYTES},
    keys::Keys,
    materials::{Asker, KeptMaterials},
    normalising::{read_facts, unrecognized_facts},
    ports::{
        Answers, Claim, Claims, IngestPorts, IntakeQueue, LedgerEntry, LedgerState, PayloadStore, PortError,
        PortResult, Sealing, Terms,
    },
    replay::Mode,
    retrieved::{self, Sealed},
};

pub use self::health::Health;
pub use self::replay::Replay;
pub use self::request::{Incoming, Judged, PROVIDER_HEADER, Rejection, Taken};

/// How many events of one delivery are claimed at once.
const CLAIMS_IN_FLIGHT: usize = 16;

/// How many messages of one delivery are sent at once.
const SENDS_IN_FLIGHT: usize = 8;

/// The use case and the ports it needs.
#[derive(Debug)]
pub struct Ingest<P: IngestPorts> {
    /// The endpoints.
    pub directory: Directory<P::Endpoints, P::Clock>,
    /// Their keys.
    pub keys: Keys<P::Secrets, P::Clock>,
    /// Public material that some schemes need.
    pub materials: KeptMaterials<P::Materials, P::MaterialStore, P::Clock>,
    /// The ledger.
    pub ledger: P::Claims,
    /// The intake queues.
    pub queue: P::Queue,
    /// For bodies too large for a message.
    pub payloads: P::Payloads,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// Whether generic endpoints are called by their name in the path too. Not where a gateway asks for less there.
    pub is_generic_by_name: bool,
    /// Whether webhooks could be accepted when that was last asked.
    pub health: Health,
}

impl<P: IngestPorts> Ingest<P> {
    /// Whether the endpoints are known and the ledger and both intake queues answer. Keys of single endpoints, certificates and the
    /// payload bucket are not asked: without one of those, other webhooks are accepted. Whoever asks within five seconds has the same
    /// answer.
    pub async fn can_accept(&self, now: Timestamp) -> bool {
        let ask = async {
            let (endpoints, ledger, queues) =
                join3(self.directory.is_read(), self.ledger.answers(), self.queue.answers()).await;
            [endpoints.err(), ledger.err(), queues.err()].into_iter().flatten().collect()
        };
        self.health.answer(now, ask).await
    }

    /// The endpoint that the webhook is for. Until it is found nothing is known of the sender but text of their own, which
    /// belongs in no log and no metric.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub async fn endpoint(&self, incoming: &Incoming<'_>) -> Result<Arc<Endpoint>, Rejection> {
        if incoming.body.len() > self.max_body_bytes {
            return Err(Rejection::TooLarge { limit: self.max_body_bytes });
        }
        let on_generic_path = incoming.endpoint.is_none();
        let name = incoming
            .endpoint
            .or_else(|| incoming.headers.get(PROVIDER_HEADER))
            .ok_or(Rejection::NoProvider)?;
        let endpoint = self.directory.endpoint(name).await?.ok_or(Rejection::UnknownEndpoint)?;
        // The generic path is for senders of our own schema only, and may be the only one for them.
        let is_here =
            if endpoint.is_generic() { on_generic_path || self.is_generic_by_name } else { !on_generic_path };
        if !is_here {
            return Err(Rejection::UnknownEndpoint);
        }
        Ok(endpoint)
    }

    /// Takes a webhook in at the [endpoint](Self::endpoint) that it is for. When this returns `Ok`, its exact bytes are in
    /// the intake queue, or in S3 with a pointer in the queue, or were there before and have been processed.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub async fn take(&self, endpoint: &Arc<Endpoint>, incoming: Incoming<'_>) -> Result<Taken, Rejection> {
        self.take_with(endpoint, incoming, None).await
    }

    /// Takes a webhook of an archive in. `incoming` is as it first arrived: its id, its time, its bytes, and of headers and query
    /// what was kept. It is verified with the endpoint's keys as they are now, and its age is judged by the time at which it
    /// arrived. Its receipt must be of these bytes and of the time that is signed. Then its events are claimed and sent as
    /// those of any delivery: what is processed has no effect again.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; of what the archive says [`Rejection::Archived`].
    pub async fn replay(&self, incoming: Incoming<'_>, replay: &Replay<'_>) -> Result<Taken, Rejection> {
        if incoming.body.len() > self.max_body_bytes {
            return Err(Rejection::TooLarge { limit: self.max_body_bytes });
        }
        replay.is_of(&incoming)?;
        let name = incoming.endpoint.ok_or(Rejection::NoProvider)?;
        let endpoint = self.directory.endpoint(name).await?.ok_or(Rejection::UnknownEndpoint)?;
        self.take_with(&endpoint, incoming, Some(replay)).await
    }

    /// The same, of a first delivery or of a webhook that is sent again.
    async fn take_with(
        &self,
        endpoint: &Arc<Endpoint>,
        incoming: Incoming<'_>,
        replay: Option<&Replay<'_>>,
    ) -> Result<Taken, Rejection> {
        let ring = self.keys.of(endpoint).await?;
        let newer;
        let verified = match self.verify(endpoint, &incoming, &ring).await {
            // The provider may have begun to sign with a key that is newer than our reading.
            Err(Rejection::Signature(refusal)) if refusal.may_be_stale_key() => {
                newer = self.keys.newer(endpoint, &ring).await?.ok_or(Rejection::Signature(refusal))?;
                self.verify(endpoint, &incoming, &newer).await?
            }
            verdict => verdict?,
        };
        if let Some(replay) = replay {
            replay.agrees(&verified)?;
        }
        self.take_verified(endpoint, incoming, verified, replay.map(Again::Replay)).await
    }

    /// What [`take`](Self::take) would say of a webhook that was refused when it arrived, as the endpoint and its keys are now:
    /// the ids of its events. The time by which it is judged is that of its arrival. With `taken_in_at`, it is taken in.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub async fn take_late(
        &self,
        endpoint: &Endpoint,
        incoming: Incoming<'_>,
        taken_in_at: Option<Timestamp>,
    ) -> Result<Judged, Rejection> {
        let ring = self.keys.read_now(endpoint).await?;
        let verified = self.verify(endpoint, &incoming, &ring).await?;
        if let Some(now) = taken_in_at {
            let taken =
                self.take_verified(endpoint, incoming, verified, Some(Again::Refused { now })).await?;
            return Ok(Judged::Taken(taken));
        }
        let facts = facts_of(endpoint, verified.into())?;
        let event_ids = facts.iter().map(|facts| facts.event_id.as_ref().to_owned()).collect();
        Ok(Judged::Genuine { event_ids, authenticity: verified.authenticity() })
    }

    async fn take_verified(
        &self,
        endpoint: &Endpoint,
        incoming: Incoming<'_>,
        verified: Verified<'_>,
        again: Option<Again<'_>>,
    ) -> Result<Taken, Rejection> {
        let facts = facts_of(endpoint, verified.into())?;
        self.take_in(endpoint, &incoming, &verified, &facts, again).await
    }

    /// Takes in an event that nobody sent and the provider's API told an operator: as a webhook that verified, but for its
    /// authenticity. `incoming` says when and by which id; who may say that the event was retrieved has signed it, and it must be
    /// that event alone.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    #[allow(clippy::disallowed_methods, reason = "the one place where what was retrieved is taken in")]
    pub async fn take_retrieved(&self, incoming: Incoming<'_>, sealed: &Sealed) -> Result<Taken, Rejection> {
        let endpoint = self.directory.endpoint(sealed.endpoint().as_str()).await?;
        let endpoint = endpoint.ok_or(Rejection::UnknownEndpoint)?;
        let signer =
            retrieved::key_reference(&endpoint.config().secret).and_then(|key| retrieved::signer(&key));
        let signer = signer.ok_or(Rejection::NotRetrievable)?;
        let ring = self.keys.once(&signer).await?;
        let opened = sealed.open(&signer, &ring, incoming.received_at).map_err(Rejection::Signature)?;
        if opened.body.len() > self.max_body_bytes {
            return Err(Rejection::TooLarge { limit: self.max_body_bytes });
        }
        let incoming = Incoming { body: &opened.body, ..incoming };
        let received = Received { headers: incoming.headers, query: incoming.query, body: incoming.body };
        let verified = endpoint.retrieved(received).ok_or(Rejection::NotRetrievable)?;
        let mut facts = Vec::new();
        read_facts(&endpoint, verified.into(), &mut facts).map_err(|_| Rejection::OtherEvent)?;
        if facts.len() != 1 || facts.iter().any(|facts| facts.event_id != opened.event_id) {
            return Err(Rejection::OtherEvent);
        }
        self.take_in(&endpoint, &incoming, &verified, &facts, None).await
    }

    async fn take_in(
        &self,
        endpoint: &Endpoint,
        incoming: &Incoming<'_>,
        verified: &Verified<'_>,
        facts: &[Facts<'_>],
        again: Option<Again<'_>>,
    ) -> Result<Taken, Rejection> {
        let mut template = template(endpoint, incoming, verified, facts);
        let now = match again {
            None => incoming.received_at,
            Some(Again::Refused { now }) => {
                template.notes.taken_in_at = Some(now);
                now
            }
            Some(Again::Replay(replay)) => {
                replay.mark(&mut template.notes);
                replay.now
            }
        };
        let taken = Taken {
            event_id: facts.first().map(|f| f.event_id.as_ref().to_owned()).unwrap_or_default(),
            events: facts.len(),
            duplicate: false,
            on_duplicate: endpoint.on_duplicate(),
            authenticity: template.notes.authenticity,
            conflicts: 0,
        };
        if let Some(Again::Replay(Replay { mode: Mode::Foresee | Mode::Verify, .. })) = again {
            return Ok(taken);
        }
        if let Some(id) = verified.transmission_id() {
            self.claim_transmission(endpoint, &template, id, now).await?;
        }
        let claims = self.claim(endpoint, &template, facts, now).await?;
        if !claims.unfinished.is_empty() {
            self.enqueue(messages(template, incoming.body, facts, &claims), incoming.body).await?;
        }
        Ok(Taken { duplicate: !claims.any_new, conflicts: claims.conflicts.len(), ..taken })
    }

    /// Reads again what requests find due: endpoints, keys, certificates. It never returns, and runs beside the requests.
    pub async fn keep_current(&self) {
        let keys = self.keys.keep_current();
        join(self.directory.keep_current(), join(keys, self.materials.keep_current())).await;
    }

    /// Answers a provider that checks an endpoint before it uses it; `None` when the request is no such check.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub async fn handshake(
        &self,
        endpoint: &str,
        method: &str,
        query: &str,
    ) -> Result<Option<HandshakeReply>, Rejection> {
        let endpoint = self.directory.endpoint(endpoint).await?.ok_or(Rejection::UnknownEndpoint)?;
        let ring = self.keys.of(&endpoint).await?;
        endpoint.handshake(method, query, &ring).map_err(Rejection::Signature)
    }

    async fn verify<'a>(
        &self,
        endpoint: &Endpoint,
        incoming: &Incoming<'a>,
        ring: &'a KeyRing,
    ) -> Result<Verified<'a>, Rejection> {
        let received = Received { headers: incoming.headers, query: incoming.query, body: incoming.body };
        let now = incoming.received_at;
        let request = endpoint.material_for(received, ring, now).map_err(Rejection::Signature)?;
        let material = match &request {
            Some(request) => {
                let asker = Asker { endpoint: endpoint.id(), source_ip: incoming.source_ip };
                match self.materials.fetch(asker, request).await {
                    Ok(material) => Some(material),
                    // The provider says that it does not exist. Without it, verification refuses the webhook.
                    Err(PortError::Permanent { .. }) => None,
                    Err(problem) => return Err(problem.into()),
                }
            }
            None => None,
        };
        let verified =
            endpoint.verify(received, ring, material.as_deref(), now).map_err(Rejection::Signature)?;
        if let Some(request) = &request {
            self.materials.proved(endpoint.id(), request);
        }
        Ok(verified)
    }

    /// A transmission whose signature does not cover its body stands for the first body that came with it.
    async fn claim_transmission(
        &self,
        endpoint: &Endpoint,
        template: &IntakeMessage,
        id: &str,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let entry = LedgerEntry {
            key: LedgerKey::of_transmission(endpoint.id(), id),
            // Of itself it has no effects that could be outstanding.
            state: LedgerState::Processed,
            webhook_id: template.webhook_id,
            fingerprint: template.notes.body_sha256.clone().into_owned(),
            received_at: template.received_at,
            terms: terms(endpoint, template),
        };
        match self.ledger.claim(&entry, now).await? {
            Claim::Known(known) if Fingerprint::contradict(&known.fingerprint, &entry.fingerprint) => {
                error!(key = %entry.key, "known transmission came with another body");
                self.ledger.conflict(&entry.key, &template.webhook_id, &entry.fingerprint).await?;
                Err(Rejection::Signature(Refusal::TransmissionReused))
            }
            _ => Ok(()),
        }
    }

    async fn claim(
        &self,
        endpoint: &Endpoint,
        template: &IntakeMessage,
        facts: &[Facts<'_>],
        now: Timestamp,
    ) -> Result<Claimed, Rejection> {
        let of_delivery = terms(endpoint, template);
        let terms_of = |facts: &Facts<'_>| Terms {
            occurred_at: facts.occurred_at,
            authenticity: match facts.is_unsigned {
                true => Authenticity::Authenticated,
                false => of_delivery.authenticity,
            },
            ..of_delivery.clone()
        };
        let mut seen = HashSet::new();
        let entries: Vec<LedgerEntry> = facts
            .iter()
            .map(|facts| LedgerEntry {
                key: LedgerKey::new(endpoint.id(), &facts.event_id),
                state: LedgerState::Received,
                webhook_id: template.webhook_id,
                fingerprint: facts.fingerprint().to_string(),
                received_at: template.received_at,
                terms: terms_of(facts),
            })
            .filter(|entry| seen.insert((entry.key.clone(), entry.fingerprint.clone())))
            .collect();
        // Made before any is awaited: a closure kept across an await would bar the whole from moving between threads.
        let claiming: Vec<_> = entries.iter().map(|entry| self.claim_one(entry, now)).collect();
        let found: Vec<PortResult<Found>> = stream::iter(claiming).buffered(CLAIMS_IN_FLIGHT).collect().await;
        let mut claimed = Claimed::default();
        for (entry, found) in entries.iter().zip(found) {
            let event_id = entry.key.event_id();
            match found? {
                Found::Settled => continue,
                Found::Received => {}
                Found::New => claimed.any_new = true,
                Found::Conflict => claimed.conflicts.push(event_id),
            }
            claimed.unfinished.insert(event_id);
        }
        Ok(claimed)
    }

    /// Claims one event. Where it is known already, the delivery's seal is added to its claim, so that the processor
    /// takes its message too: the first message was perhaps never sent, and a duplicate answer must be as durable as an
    /// acceptance.
    async fn claim_one(&self, entry: &LedgerEntry, now: Timestamp) -> PortResult<Found> {
        let Claim::Known(known) = self.ledger.claim(entry, now).await? else {
            return Ok(Found::New);
        };
        // What was read in another way says nothing about these facts.
        let is_comparable = known.terms.as_ref().is_none_or(|terms| terms.revision == entry.terms.revision);
        if is_comparable && Fingerprint::contradict(&known.fingerprint, &entry.fingerprint) {
            error!(event_id = entry.key.event_id().as_str(), "known event came with other payment facts");
            self.ledger.conflict(&entry.key, &entry.webhook_id, &entry.fingerprint).await?;
            return Ok(Found::Conflict);
        }
        match (known.state, known.terms) {
            // What is set aside as too old is where operators look, and every copy of it would be.
            (LedgerState::Received, _) if known.is_aside => Ok(Found::Settled),
            (LedgerState::Processed, _) => Ok(Found::Settled),
            // One seal on a claim that has none would shut out the messages that were sent before.
            (LedgerState::Received, None) => Ok(Found::Received),
            (LedgerState::Received, Some(_)) => self.seal(entry, now).await,
        }
    }

    async fn seal(&self, entry: &LedgerEntry, now: Timestamp) -> PortResult<Found> {
        for seal in &entry.terms.seals {
            if self.ledger.seal(&entry.key, *seal, now).await? == Sealing::Processed {
                return Ok(Found::Settled);
            }
        }
        Ok(Found::Received)
    }

    /// Sends every message of the delivery; the body goes to S3 once where a message cannot hold it, or where so
    /// many would that together they are longer than one may be.
    async fn enqueue(&self, slices: Slices, body: &[u8]) -> Result<(), PortError> {
        let Slices { mut template, slices, is_of_several } = slices;
        let of_slice = if is_of_several { SLICE_BYTES } else { EVENT_ID_BYTES };
        let is_long = template.size() + of_slice > MAX_MESSAGE_BYTES;
        if is_long || template.body.len().saturating_mul(slices.len()) > 2 * MAX_MESSAGE_BYTES {
            let claim_check = ClaimCheck::of(&template.webhook_id, template.received_at, body);
            self.payloads.put(&claim_check.key, body.to_vec()).await?;
            template.encoding = Encoding::ClaimCheck;
            template.body = serde_json::to_string(&claim_check)
                .map_err(|_| PortError::permanent("intake", "claim check cannot be written"))?;
            info!(bytes = claim_check.bytes, "body stored in the payload bucket");
        }
        let mut slices = slices.into_iter();
        let (Some(first), rest) = (slices.next(), slices) else {
            return Err(PortError::permanent("intake", "delivery makes no message"));
        };
        if !is_of_several {
            return self.queue.send(&first.alone(template)).await;
        }
        let template = &template;
        let sent: Vec<Result<(), PortError>> =
            stream::iter(once(first).chain(rest).enumerate())
                .map(|(position, slice)| async move {
                    self.queue.send(&slice.of_several(position, template)).await
                })
                .buffered(SENDS_IN_FLIGHT)
                .collect()
                .await;
        sent.into_iter().collect()
    }
}

/// Why a webhook is taken in later than it arrived.
#[derive(Debug, Clone, Copy)]
enum Again<'a> {
    /// It was refused then.
    Refused { now: Timestamp },
    /// It is sent again from an archive.
    Replay(&'a Replay<'a>),
}

/// What the ledger says of an event that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It was not known.
    New,
    /// It was claimed before; its message was perhaps never sent, and a second copy in the queue is harmless.
    Received,
    /// It is done, or set aside: nothing needs to be sent for it.
    Settled,
    /// It was claimed with other payment facts.
    Conflict,
}

/// The terms of a delivery, before anything is read of its events.
fn terms(endpoint: &Endpoint, template: &IntakeMessage) -> Terms {
    Terms {
        seals: vec![template.seal()],
        occurred_at: None,
        authenticity: template.notes.authenticity,
        revision: endpoint.revision(),
    }
}

/// What the webhook says; at a provider's endpoint always at least one event, understood or not.
fn facts_of<'a>(endpoint: &Endpoint, trusted: Trusted<'a>) -> Result<Vec<Facts<'a>>, Rejection> {
    let mut facts = Vec::new();
    if let Err(problem) = read_facts(endpoint, trusted, &mut facts) {
        if endpoint.is_generic() {
            return Err(Rejection::Content(problem));
        }
        warn!(reason = %problem, "content not understood; kept as payment.unrecognized");
        facts.push(unrecognized_facts(trusted.received().body, &problem));
    }
    Ok(facts)
}
