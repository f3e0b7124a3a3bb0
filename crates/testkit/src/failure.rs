//! Failures around any port: the call before its effect, the answer after it, or the whole process.
//!
//! [`Failing`] wraps a port, in memory or on AWS, and asks its [`Faults`] at every call what to do.

use std::{
    future::{Future, poll_fn},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
};

use tokio::sync::Notify;
use tollgate_core::{EndpointId, LedgerKey, ProviderId, Timestamp, WebhookId};
use tollgate_pipeline::{
    intake::{IntakeMessage, Seal},
    ports::{
        Answers, ApiKeys, Archive, ArchiveQueue, Claim, Claims, Document, EffectClaim, Effects,
        EndpointSource, EventBus, IntakeQueue, Known, Latest, Ledger, LedgerEntry, Link, Listing, Mark,
        ObjectStore, PayloadSource, PayloadStore, Poison, PortError, PortResult, ProviderObjects, Quarantine,
        Recorded, RejectedBudget, Sealing, Secrets, Stored, Transactions, Unfetched,
    },
};
use tollgate_providers::{ApiKey, KeyMaterial, NamedObject};

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has had no effect.
    Before,
    /// It takes effect, and its answer is lost: the caller sees a failure.
    LostAnswer,
    /// A batch call: only every other item takes effect, the rest fail. A single call: as [`Before`](Self::Before).
    Partial,
    /// A batch call: it takes effect, and its answer lacks the last item's. A single call: as
    /// [`LostAnswer`](Self::LostAnswer).
    Short,
    /// The process dies before the effect: the call never returns, and [`Faults::death`] resolves.
    DieBefore,
    /// The process dies after the effect.
    DieAfter,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 6] =
        [Self::Before, Self::LostAnswer, Self::Partial, Self::Short, Self::DieBefore, Self::DieAfter];
}

#[derive(Debug)]
enum Plan {
    Never,
    /// The call of this number, counted from 0.
    Nth(usize, Fault),
    /// So many calls in a thousand, by a generator's state.
    Chance(u64, u64),
    /// Every call of this name.
    Away(&'static str),
    /// Each call waits for its turn.
    ByHand,
}

/// The call that waits, and what is to become of it once that is decided.
#[derive(Debug, Default)]
struct Turn {
    waiting: Option<(&'static str, Waker)>,
    decided: Option<Option<Fault>>,
}

/// Decides about the calls of all ports that share it.
#[derive(Debug)]
pub struct Faults {
    plan: Mutex<Plan>,
    calls: AtomicUsize,
    death: Notify,
    /// Whether a call lets other tasks run first, by the plan's generator.
    interleaves: bool,
    is_by_hand: bool,
    turn: Mutex<Turn>,
}

impl Faults {
    /// None.
    pub fn none() -> Self {
        Self::new(Plan::Never, false)
    }

    /// `fault` at the call of number `nth`, counted from 0 over all ports.
    pub fn nth(nth: usize, fault: Fault) -> Self {
        Self::new(Plan::Nth(nth, fault), false)
    }

    /// Every call of `call`, a `port.call`, fails and has had no effect.
    pub fn away(call: &'static str) -> Self {
        Self::new(Plan::Away(call), false)
    }

    /// Any fault at so many calls in a thousand, and tasks interleaved at the calls; the same for the same seed.
    pub fn chance(per_thousand: u64, seed: u64) -> Self {
        Self::new(Plan::Chance(per_thousand, seed), true)
    }

    /// Each call waits until it is [let go](Self::let_go). For a process that makes one call at a time.
    pub fn by_hand() -> Self {
        Self::new(Plan::ByHand, false)
    }

    fn new(plan: Plan, interleaves: bool) -> Self {
        Self {
            is_by_hand: matches!(plan, Plan::ByHand),
            plan: Mutex::new(plan),
            calls: AtomicUsize::new(0),
            death: Notify::new(),
            interleaves,
            turn: Mutex::default(),
        }
    }

    /// The call that waits to be let go, as `port.call`.
    pub fn waiting(&self) -> Option<&'static str> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.waiting.as_ref().map(|(call, _)| *call)
    }

    /// Lets the call go that waits, with a fault or without. It is made when its process is polled next.
    pub fn let_go(&self, fault: Option<Fault>) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, waker) = turn.waiting.take().expect("a call that waits");
        turn.decided = Some(fault);
        waker.wake();
    }

    async fn turn(&self, call: &'static str) -> Option<Fault> {
        poll_fn(|context| {
            let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            match turn.decided.take() {
                Some(fault) => Poll::Ready(fault),
                None => {
                    let other = turn.waiting.replace((call, context.waker().clone()));
                    assert!(other.is_none_or(|(other, _)| other == call), "one call at a time");
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// How many calls were made.
    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// Resolves when a fault has killed the process that makes the calls.
    pub async fn death(&self) {
        self.death.notified().await;
    }

    async fn next(&self, name: &'static str) -> Option<Fault> {
        let call = self.calls.fetch_add(1, SeqCst);
        let (fault, pauses) = match &mut *self.plan.lock().unwrap_or_else(PoisonError::into_inner) {
            Plan::Never => (None, 0),
            Plan::Nth(nth, fault) => ((*nth == call).then_some(*fault), 0),
            Plan::Chance(per_thousand, state) => {
                let drawn = draw(state);
                let fault = Fault::ALL.get(usize::try_from(drawn >> 32).unwrap_or(0) % Fault::ALL.len());
                (fault.copied().filter(|_| drawn % 1_000 < *per_thousand), draw(state) % 4)
            }
            Plan::Away(away) => ((*away == name).then_some(Fault::Before), 0),
            Plan::ByHand => (None, 0),
        };
        if self.is_by_hand {
            return self.turn(name).await;
        }
        if self.interleaves {
            for _ in 0..pauses {
                tokio::task::yield_now().await;
            }
        }
        fault
    }

    async fn die(&self) -> ! {
        self.death.notify_one();
        std::future::pending().await
    }

    async fn one<T>(&self, name: &'static str, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        match self.next(name).await {
            None => call.await,
            Some(Fault::Before | Fault::Partial) => Err(failed()),
            Some(Fault::LostAnswer | Fault::Short) => call.await.and(Err(lost())),
            Some(Fault::DieBefore) => self.die().await,
            Some(Fault::DieAfter) => {
                let _ = call.await;
                self.die().await
            }
        }
    }

    async fn many<T: Clone, R, F: Future<Output = Vec<PortResult<R>>>>(
        &self,
        name: &'static str,
        items: &[T],
        call: impl FnOnce(Vec<T>) -> F,
    ) -> Vec<PortResult<R>> {
        if items.is_empty() {
            return call(Vec::new()).await;
        }
        let fill = |problem: PortError| items.iter().map(|_| Err(problem.clone())).collect();
        match self.next(name).await {
            None => call(items.to_vec()).await,
            Some(Fault::Before) => fill(failed()),
            Some(Fault::LostAnswer) => {
                call(items.to_vec()).await;
                fill(lost())
            }
            Some(Fault::Partial) => {
                let mut results = call(items.iter().step_by(2).cloned().collect()).await.into_iter();
                let mut result = |index| if index % 2 == 0 { results.next() } else { None };
                (0..items.len()).map(|index| result(index).unwrap_or_else(|| Err(failed()))).collect()
            }
            Some(Fault::Short) => {
                let mut results = call(items.to_vec()).await;
                results.pop();
                results
            }
            Some(Fault::DieBefore) => self.die().await,
            Some(Fault::DieAfter) => {
                call(items.to_vec()).await;
                self.die().await
            }
        }
    }
}

/// The next number of a SplitMix64 generator.
pub fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn failed() -> PortError {
    PortError::retryable("injected", "failed")
}

fn lost() -> PortError {
    PortError::retryable("injected", "answer lost")
}

/// A port, with failures.
#[derive(Debug, Clone, Copy)]
pub struct Failing<'f, P> {
    inner: P,
    faults: &'f Faults,
}

impl<'f, P> Failing<'f, P> {
    /// `inner`, when `faults` lets it.
    pub fn new(inner: P, faults: &'f Faults) -> Self {
        Self { inner, faults }
    }
}

impl<P: EndpointSource> EndpointSource for Failing<'_, P> {
    async fn endpoints(&self, known: Option<&str>) -> PortResult<Option<Listing>> {
        self.faults.one("endpoints.endpoints", self.inner.endpoints(known)).await
    }
}

impl<P: Secrets> Secrets for Failing<'_, P> {
    async fn keys(&self, reference: &str) -> PortResult<Vec<KeyMaterial>> {
        self.faults.one("secrets.keys", self.inner.keys(reference)).await
    }
}

impl<P: Claims> Claims for Failing<'_, P> {
    async fn claim(&self, entry: &LedgerEntry, now: Timestamp) -> PortResult<Claim> {
        self.faults.one("ledger.claim", self.inner.claim(entry, now)).await
    }

    async fn seal(&self, key: &LedgerKey, seal: Seal, now: Timestamp) -> PortResult<Sealing> {
        self.faults.one("ledger.seal", self.inner.seal(key, seal, now)).await
    }

    async fn conflict(&self, key: &LedgerKey, webhook_id: &WebhookId, fingerprint: &str) -> PortResult<()> {
        self.faults.one("ledger.conflict", self.inner.conflict(key, webhook_id, fingerprint)).await
    }
}

impl<P: Ledger> Ledger for Failing<'_, P> {
    async fn allowed(&self, seals: &[Seal], now: Timestamp) -> Vec<PortResult<bool>> {
        self.faults.many("ledger.allowed", seals, async |seals| self.inner.allowed(&seals, now).await).await
    }

    async fn known(&self, keys: &[LedgerKey], now: Timestamp) -> Vec<PortResult<Option<Known>>> {
        self.faults.many("ledger.known", keys, async |keys| self.inner.known(&keys, now).await).await
    }

    async fn put_aside(&self, keys: &[LedgerKey], now: Timestamp) -> Vec<PortResult<()>> {
        self.faults.many("ledger.put_aside", keys, async |keys| self.inner.put_aside(&keys, now).await).await
    }

    async fn mark(&self, marks: &[Mark]) -> Vec<PortResult<()>> {
        self.faults.many("ledger.mark", marks, async |marks| self.inner.mark(&marks).await).await
    }
}

impl<P: Effects> Effects for Failing<'_, P> {
    async fn claim(&self, claims: &[EffectClaim]) -> Vec<PortResult<EffectClaim>> {
        self.faults.many("effects.claim", claims, async |claims| self.inner.claim(&claims).await).await
    }

    async fn release(&self, claims: &[EffectClaim]) -> Vec<PortResult<()>> {
        self.faults.many("effects.release", claims, async |claims| self.inner.release(&claims).await).await
    }
}

impl<P: IntakeQueue> IntakeQueue for Failing<'_, P> {
    async fn send(&self, message: &IntakeMessage) -> PortResult<()> {
        self.faults.one("intake.send", self.inner.send(message)).await
    }
}

impl<P: Answers> Answers for Failing<'_, P> {
    async fn answers(&self) -> PortResult<()> {
        self.faults.one("health.answers", self.inner.answers()).await
    }
}

impl<P: PayloadStore> PayloadStore for Failing<'_, P> {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> PortResult<()> {
        self.faults.one("payloads.put", self.inner.put(key, bytes)).await
    }
}

impl<P: RejectedBudget> RejectedBudget for Failing<'_, P> {
    async fn take_part(&self, endpoint: &EndpointId, parts: u32, now: Timestamp) -> PortResult<bool> {
        self.faults.one("rejected.take_part", self.inner.take_part(endpoint, parts, now)).await
    }
}

impl<P: PayloadSource> PayloadSource for Failing<'_, P> {
    async fn get(&self, key: &str) -> PortResult<Vec<u8>> {
        self.faults.one("payloads.get", self.inner.get(key)).await
    }
}

impl<P: Transactions> Transactions for Failing<'_, P> {
    async fn latest(&self, transaction_keys: &[&str]) -> Vec<PortResult<Latest>> {
        self.faults
            .many("transactions.latest", transaction_keys, async |keys| self.inner.latest(&keys).await)
            .await
    }

    async fn link(&self, links: &[Link]) -> Vec<PortResult<()>> {
        self.faults.many("transactions.link", links, async |links| self.inner.link(&links).await).await
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        self.faults.many("transactions.record", events, async |events| self.inner.record(&events).await).await
    }

    async fn recorded(&self, events: &[(String, String)]) -> Vec<PortResult<Option<String>>> {
        self.faults
            .many("transactions.recorded", events, async |events| self.inner.recorded(&events).await)
            .await
    }
}

impl<P: EventBus> EventBus for Failing<'_, P> {
    async fn publish(&self, events: &[Document<'_>]) -> Vec<PortResult<()>> {
        self.faults.many("bus.publish", events, async |events| self.inner.publish(&events).await).await
    }
}

impl<P: ArchiveQueue> ArchiveQueue for Failing<'_, P> {
    async fn send(&self, messages: Vec<String>) -> Vec<PortResult<()>> {
        self.faults
            .many("archive_queue.send", &messages, async |messages| self.inner.send(messages).await)
            .await
    }
}

impl<P: Quarantine> Quarantine for Failing<'_, P> {
    async fn send(&self, poison: Poison<'_>) -> PortResult<()> {
        self.faults.one("quarantine.send", self.inner.send(poison)).await
    }
}

impl<P: ObjectStore> ObjectStore for Failing<'_, P> {
    async fn keep(&self, key: &str, bytes: Vec<u8>) -> PortResult<Stored> {
        self.faults.one("payloads.keep", self.inner.keep(key, bytes)).await
    }
}

impl<P: ApiKeys> ApiKeys for Failing<'_, P> {
    async fn api_key(&self, endpoint: &EndpointId) -> PortResult<Option<ApiKey>> {
        self.faults.one("api_keys.api_key", self.inner.api_key(endpoint)).await
    }
}

impl<P: ProviderObjects> ProviderObjects for Failing<'_, P> {
    async fn fetch(
        &self,
        provider: &ProviderId,
        key: &ApiKey,
        object: &NamedObject<'_>,
    ) -> Result<Vec<u8>, Unfetched> {
        // The answer is handed through as one of a port.
        let fetched = async { Ok(self.inner.fetch(provider, key, object).await) };
        self.faults.one("objects.fetch", fetched).await.unwrap_or(Err(Unfetched::Unavailable(None)))
    }
}

impl<P: Archive> Archive for Failing<'_, P> {
    async fn put_new(&self, key: &str, bytes: Vec<u8>) -> PortResult<Stored> {
        self.faults.one("archive.put_new", self.inner.put_new(key, bytes)).await
    }
}
