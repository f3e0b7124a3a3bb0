//! What thin webhooks only name, fetched from their providers' APIs.
//!
//! Nothing is fetched for what nobody accepted, and nothing for what is done. What was fetched first for an event is kept before
//! anything is decided by it, and every later try goes by it: an event has one set of facts, whatever becomes of the object.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use tollgate_batch::{Deadline, Outcome, guard};
use tollgate_core::{Authenticity, EndpointId, EventId, Facts, PaymentEvent};
use tollgate_providers::NamedObject;
use tracing::warn;

use crate::{
    intake::ClaimCheck,
    normalising::enriched,
    objects::NotFetched,
    ports::{ObjectStore, PayloadSource, PortError, ProcessPorts, Stored, Unfetched},
    process::{
        Process,
        open::Opened,
        record::{DEADLINE, PAUSED, PROVIDER_UNAVAILABLE, Tries, retry},
        stride::{EventIx, Part, Progress, Stride},
    },
};

const NOT_AS_DOCUMENTED: &str = "object_not_as_documented";
const NOT_KEPT: &str = "object_not_kept";
/// Requests to providers at once. Stripe allows an endpoint of its API 25 a second (<https://docs.stripe.com/rate-limits>); an
/// answer takes some 150 ms.
const REQUESTS_IN_FLIGHT: usize = 4;
/// Objects read from S3 or stored there at once.
const OBJECTS_IN_FLIGHT: usize = 16;
/// What is fetched for a batch and held in memory, in bytes, and as much again of what earlier tries kept: as much as a stride's
/// claim-checked bodies.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What a provider is asked for, for which of its endpoints.
type Asked = (EndpointId, NamedObject<'static>);

/// What was fetched for a batch: each object once, whichever events name it. They arrived before.
#[derive(Debug, Default)]
pub(in crate::process) struct Shared {
    objects: HashMap<Asked, Result<Arc<[u8]>, Unread>>,
    bytes: usize,
}

/// What was fetched for the events of a stride, which borrow from it.
#[derive(Debug, Default)]
pub(in crate::process) struct Fetched<'a>(Vec<(Place<'a>, Result<Found, Outcome>)>);

/// An event, and its message's place in the stride.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    message: usize,
    event: EventIx<'a>,
}

#[derive(Debug)]
struct Found {
    bytes: Arc<[u8]>,
    claim_check: ClaimCheck,
}

/// An event whose object is wanted.
struct Wanted<'s, 'a> {
    place: Place<'a>,
    opened: &'s Opened<'s>,
    object: NamedObject<'static>,
    /// Where what is fetched is kept.
    key: String,
    /// Whether a try before this one may have kept it.
    was_tried: bool,
}

/// Why there are no bytes.
#[derive(Debug, Clone, Copy)]
enum Unread {
    /// The endpoint has no key to ask with: the event says what its webhook says.
    NoKey,
    Failed(Outcome),
}

impl<P: ProcessPorts> Process<P> {
    /// Fetches what the events of a stride only name, where their endpoints ask for it.
    pub(in crate::process) async fn fetch_objects<'a>(
        &self,
        stride: &Stride<'a>,
        opened: &[Opened<'_>],
        tries: &Tries<'_, '_>,
        shared: &mut Shared,
        deadline: Deadline,
    ) -> Fetched<'a> {
        if !opened.iter().any(|opened| opened.endpoint.enriches()) {
            return Fetched::default();
        }
        // What is held is of events that came before: those of the next stride may ask again.
        if shared.bytes > MOST_BYTES / 2 {
            *shared = Shared::default();
        }
        let wanted = wanted(stride, opened, tries);
        let kept = self.kept(&wanted, deadline).await;
        let asked: HashSet<_> = wanted
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| matches!(kept, Ok(None)))
            .map(|(one, _)| one.shared_by())
            .collect();
        self.ask(asked, &wanted, shared, self.half_way_to(deadline)).await;
        // Made before any is awaited: a closure that lives across an await would make the future not `Send`.
        let settled: Vec<_> = wanted
            .iter()
            .zip(kept)
            .map(|(one, kept)| {
                let asked = shared.objects.get(&one.shared_by()).cloned();
                async move { (one.place, self.settle(one, kept, asked, deadline).await) }
            })
            .collect();
        let settled: Vec<_> = stream::iter(settled).buffer_unordered(OBJECTS_IN_FLIGHT).collect().await;
        Fetched(settled.into_iter().filter_map(|(place, found)| Some((place, found.transpose()?))).collect())
    }

    /// What earlier tries kept, for each that is wanted.
    async fn kept(
        &self,
        wanted: &[Wanted<'_, '_>],
        deadline: Deadline,
    ) -> Vec<Result<Option<Vec<u8>>, Outcome>> {
        let reads: Vec<_> = wanted.iter().map(|one| self.kept_by_a_try(one, deadline)).collect();
        let mut reads = stream::iter(reads).buffered(OBJECTS_IN_FLIGHT);
        let (mut kept, mut bytes) = (Vec::with_capacity(wanted.len()), 0);
        while let Some(read) = reads.next().await {
            bytes += read.as_ref().map_or(0, |read| read.as_ref().map_or(0, Vec::len));
            kept.push(read);
            if bytes > MOST_BYTES {
                break;
            }
        }
        kept.resize(wanted.len(), Err(Outcome::Retry(DEADLINE)));
        kept
    }

    async fn kept_by_a_try(
        &self,
        wanted: &Wanted<'_, '_>,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, Outcome> {
        if !wanted.was_tried {
            return Ok(None);
        }
        self.in_time(deadline)?;
        match self.payloads.get(&wanted.key).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(PortError::Permanent { .. }) => Ok(None),
            Err(problem) => Err(retry(NOT_KEPT, &problem)),
        }
    }

    /// Asks providers for what is not known yet.
    async fn ask(
        &self,
        asked: HashSet<Asked>,
        wanted: &[Wanted<'_, '_>],
        shared: &mut Shared,
        deadline: Deadline,
    ) {
        let mut to_ask: Vec<&Wanted<'_, '_>> = Vec::new();
        let mut named = HashSet::new();
        for one in wanted {
            let key = one.shared_by();
            if asked.contains(&key) && !shared.objects.contains_key(&key) && named.insert(key) {
                to_ask.push(one);
            }
        }
        let requests: Vec<_> = to_ask
            .into_iter()
            .map(|one| async move { (one.shared_by(), self.ask_for(one, deadline).await) })
            .collect();
        let mut requests = stream::iter(requests).buffer_unordered(REQUESTS_IN_FLIGHT);
        while let Some((key, answer)) = requests.next().await {
            shared.bytes += answer.as_ref().map_or(0, |bytes| bytes.len());
            shared.objects.insert(key, answer);
            if shared.bytes > MOST_BYTES {
                break;
            }
        }
    }

    async fn ask_for(&self, wanted: &Wanted<'_, '_>, deadline: Deadline) -> Result<Arc<[u8]>, Unread> {
        self.in_time(deadline).map_err(Unread::Failed)?;
        let endpoint = &wanted.opened.endpoint;
        let fetched = self.objects.fetch(endpoint, &wanted.object).await;
        fetched.map(Arc::from).map_err(|problem| {
            let reason = match &problem {
                NotFetched::NoKey => return Unread::NoKey,
                NotFetched::KeyUnavailable(problem) => {
                    return Unread::Failed(retry("provider_key_unavailable", problem));
                }
                NotFetched::Paused => return Unread::Failed(Outcome::Retry(PAUSED)),
                NotFetched::Unfetched(Unfetched::Unavailable(_)) => PROVIDER_UNAVAILABLE,
                NotFetched::Unfetched(Unfetched::Refused(_)) => "provider_refuses_key",
                NotFetched::Unfetched(Unfetched::NotFound) => "object_not_found",
                NotFetched::Unfetched(Unfetched::NotAsDocumented(_)) => NOT_AS_DOCUMENTED,
            };
            if let NotFetched::Unfetched(problem) = problem {
                let (endpoint, kind) = (endpoint.id(), wanted.object.kind);
                warn!(error = %problem, %endpoint, kind, reason, "object not fetched; record will be retried");
            }
            Unread::Failed(Outcome::Retry(reason))
        })
    }

    /// What an event goes by: what was kept of it first. `None` where there is no key to ask with.
    async fn settle(
        &self,
        wanted: &Wanted<'_, '_>,
        kept: Result<Option<Vec<u8>>, Outcome>,
        asked: Option<Result<Arc<[u8]>, Unread>>,
        deadline: Deadline,
    ) -> Result<Option<Found>, Outcome> {
        if let Some(bytes) = kept? {
            return wanted.found(bytes.into()).map(Some);
        }
        // There was no room for it.
        let asked = asked.unwrap_or(Err(Unread::Failed(Outcome::Retry(DEADLINE))));
        let bytes = match asked {
            Ok(bytes) => bytes,
            Err(Unread::NoKey) => return Ok(None),
            Err(Unread::Failed(outcome)) => return Err(outcome),
        };
        // What cannot be read is not kept: the provider may tell it better the next time.
        let found = wanted.found(bytes)?;
        self.in_time(deadline)?;
        let not_kept = |problem| retry(NOT_KEPT, &problem);
        match self.payloads.keep(&wanted.key, found.bytes.to_vec()).await.map_err(not_kept)? {
            Stored::New => Ok(Some(found)),
            Stored::Existed => {
                let first = self.payloads.get(&wanted.key).await.map_err(not_kept)?;
                wanted.found(first.into()).map(Some)
            }
        }
    }

    /// Half of the time that is left: the rest is for those of the stride for which nothing is fetched, however slow a provider is.
    fn half_way_to(&self, deadline: Deadline) -> Deadline {
        let now = self.now_ms();
        let left = u64::try_from(deadline.time_left(now).as_millis()).unwrap_or(0);
        Deadline::new(now, left, left / 2)
    }

    fn in_time(&self, deadline: Deadline) -> Result<(), Outcome> {
        if deadline.has_time(self.now_ms()) { Ok(()) } else { Err(Outcome::Retry(DEADLINE)) }
    }

    /// Has each event say what was fetched for it. One whose object was not fetched comes back.
    pub(in crate::process) fn enrich<'a>(
        &self,
        stride: &mut Stride<'a>,
        opened: &'a [Opened<'_>],
        fetched: &'a Fetched<'_>,
    ) {
        if fetched.0.is_empty() {
            return;
        }
        let opened = by_record(opened);
        let mut told_with = HashMap::new();
        for (Place { message, event }, found) in &fetched.0 {
            let Some(message) = stride.messages.get_mut(*message) else { continue };
            let event = &mut stride.events[*event];
            let unread = || Err(Outcome::Retry(NOT_AS_DOCUMENTED));
            let told = found.as_ref().map_err(|outcome| *outcome).and_then(|found| {
                let facts =
                    opened.get(&message.index).map_or_else(unread, |opened| read(opened, &found.bytes))?;
                Ok((facts, found))
            });
            match told {
                Ok((facts, found)) => {
                    let tier = self.thresholds.tier_of(facts.amount.as_ref());
                    event.payment = enriched(&event.payment, facts, tier);
                    message.object = Some(found.claim_check.clone());
                    told_with.insert(event.payment.id, &found.claim_check);
                }
                Err(outcome) => event.progress = Progress::Failed(outcome),
            }
        }
        stride.tell_repeats(&told_with);
    }
}

impl Stride<'_> {
    /// Has the copies of other deliveries say the same: one of them may be the delivery that has claimed the event, and its copy
    /// becomes the event then.
    fn tell_repeats(&mut self, told_with: &HashMap<EventId, &ClaimCheck>) {
        let Self { messages, parts, events } = self;
        let mut rest = parts.as_mut_slice();
        for message in messages {
            let (own, after) = mem::take(&mut rest).split_at_mut(message.parts);
            rest = after;
            let [Part::Repeats(event, copy)] = own else { continue };
            let payment = &events[*event].payment;
            let Some(object) = told_with.get(&payment.id) else { continue };
            **copy = PaymentEvent {
                webhook_id: copy.webhook_id,
                received_at: copy.received_at,
                occurred_at: copy.occurred_at,
                authenticity: copy.authenticity.weaker(Authenticity::Retrieved),
                ..payment.clone()
            };
            message.object = Some((*object).clone());
        }
    }
}

/// Where what was fetched for an event is kept, in the payload bucket. Bodies' keys begin with a year.
fn key_of(payment: &PaymentEvent<'_>) -> String {
    format!("objects/{}/{}", payment.endpoint, payment.id)
}

fn by_record<'o, 'r>(opened: &'o [Opened<'r>]) -> HashMap<usize, &'o Opened<'r>> {
    opened.iter().map(|opened| (opened.index, opened)).collect()
}

/// The events that are to be done and whose webhooks only name an object.
fn wanted<'s, 'a>(
    stride: &Stride<'a>,
    opened: &'s [Opened<'_>],
    tries: &Tries<'_, '_>,
) -> Vec<Wanted<'s, 'a>> {
    let opened = by_record(opened);
    let mut wanted = Vec::new();
    for (message, (told, parts)) in stride.messages().enumerate() {
        let Some(opened) = opened.get(&told.index).copied() else { continue };
        // A thin webhook tells one event.
        let [Part::Owns(event)] = parts else { continue };
        let payment = &stride.events[*event].payment;
        let named =
            guard(|| opened.endpoint.named_object(opened.webhook.trusted()).map(NamedObject::into_owned));
        if let Ok(Some(object)) = named {
            let place = Place { message, event: *event };
            let was_tried = tries.was_tried(told.index);
            wanted.push(Wanted { place, opened, object, key: key_of(payment), was_tried });
        }
    }
    wanted
}

impl Wanted<'_, '_> {
    /// What other events of the batch may share.
    fn shared_by(&self) -> Asked {
        (*self.opened.endpoint.id(), self.object.clone())
    }

    /// The bytes, if they are the object that the webhook names.
    fn found(&self, bytes: Arc<[u8]>) -> Result<Found, Outcome> {
        read(self.opened, &bytes)?;
        let claim_check = ClaimCheck::at(self.key.clone(), &bytes);
        Ok(Found { bytes, claim_check })
    }
}

/// What a webhook's event says with what was fetched.
fn read<'a>(opened: &'a Opened<'_>, bytes: &'a [u8]) -> Result<Facts<'a>, Outcome> {
    let facts = guard(|| opened.endpoint.enriched(opened.webhook.trusted(), bytes));
    facts.map_err(Outcome::from)?.map_err(|problem| {
        let (endpoint, reason) = (opened.endpoint.id(), NOT_AS_DOCUMENTED);
        warn!(error = %problem, %endpoint, reason, "object not read; record will be retried");
        Outcome::Retry(reason)
    })
}
