//! Handles each effect once: by the message, and with the feature `batch` by the batch.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tollgate_core::Timestamp;

use crate::{
    parse::{Event, parse},
    state::{Decision, Row},
    store::{BoxError, Store},
};

/// Compare-and-swaps that fail one after another, each because another process made one. Then the message comes back.
const ATTEMPTS: usize = 10;
const LEASE: Duration = Duration::from_secs(60);
/// `maxReceiveCount` of Tollgate's queues.
const MAX_RECEIVES: u32 = 3;

/// Why a handler did not do it.
#[derive(Debug)]
pub enum Failure {
    /// What the event is about is not there yet, such as the order's own row. The message comes back.
    NotYet,
    /// Anything else. The message comes back.
    Failed(BoxError),
}

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The handler was called and succeeded.
    Handled,
    /// This event was handled before.
    Repeat,
    /// Its effect was handled before, told by another event.
    Restated,
    /// Its movement is past this state: not handled.
    Stale,
    /// Another event of its movement is being handled. The message comes back.
    Busy,
    /// The handler returned [`Failure::NotYet`]. The message comes back.
    NotYet,
    /// The same at the last receive. The message goes to the queue's dead letters.
    GaveUp,
    /// The handler or the store failed. The message comes back.
    Failed,
    /// No payment event of this schema. The message comes back, and goes to the queue's dead letters in the end.
    Refused,
}

impl Outcome {
    /// Whether the message can be deleted.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Handled | Self::Repeat | Self::Restated | Self::Stale)
    }

    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Repeat => "repeat",
            Self::Restated => "restated",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::NotYet => "not_yet",
            Self::GaveUp => "gave_up",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// How a message ended, and what it was.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Absent where it could not be read.
    pub event: Option<Event>,
    /// Of the handler, the store or the parser.
    pub error: Option<BoxError>,
}

/// Calls `handle` once for each effect, with events of every type that its queue has. An error of it is a failure of that
/// message alone.
pub struct Consumer<H, S> {
    handle: H,
    store: S,
    clock: fn() -> Timestamp,
    lease: Duration,
    max_receives: u32,
    report: fn(&Ended),
    owners: RandomState,
    calls: AtomicU64,
}

impl<H, S> fmt::Debug for Consumer<H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").finish_non_exhaustive()
    }
}

impl<H: AsyncFn(&Event) -> Result<(), Failure>, S: Store> Consumer<H, S> {
    /// `clock` says the time, such as `Timestamp::now`.
    pub fn new(handle: H, store: S, clock: fn() -> Timestamp) -> Self {
        Self {
            handle,
            store,
            clock,
            lease: LEASE,
            max_receives: MAX_RECEIVES,
            report: |_| {},
            owners: RandomState::new(),
            calls: AtomicU64::new(0),
        }
    }

    /// How long a handler may take: 60 seconds by default. No other event of its movement is handled meanwhile; where the
    /// process dies, the event is handled again after that time. At least the function's timeout.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// `maxReceiveCount` of the queue, at which [`Failure::NotYet`] becomes [`Outcome::GaveUp`]: 3 by default.
    #[must_use]
    pub fn max_receives(self, max_receives: u32) -> Self {
        Self { max_receives, ..self }
    }

    /// Called with the end of each message, for logs and metrics.
    #[must_use]
    pub fn report(self, report: fn(&Ended)) -> Self {
        Self { report, ..self }
    }

    /// Handles the event of one message's body, unless its effect is done. `receives`: how often the message was received,
    /// this time included.
    pub async fn consume(&self, text: &str, receives: u32) -> Ended {
        let ended = match parse(text) {
            Err(error) => Ended { outcome: Outcome::Refused, event: None, error: Some(error.into()) },
            Ok(event) => {
                let (outcome, error) = match self.once(&event, receives).await {
                    Ok(outcome) => (outcome, None),
                    Err(error) => (Outcome::Failed, Some(error)),
                };
                Ended { outcome, event: Some(event), error }
            }
        };
        (self.report)(&ended);
        ended
    }

    async fn once(&self, event: &Event, receives: u32) -> Result<Outcome, BoxError> {
        let (key, owner) = (event.movement_key(), self.owner());
        match self.claim(&key, event, &owner).await? {
            Decision::Handle => {}
            Decision::Repeat => return Ok(Outcome::Repeat),
            Decision::Restated => return Ok(Outcome::Restated),
            Decision::Stale => return Ok(Outcome::Stale),
            Decision::Busy => return Ok(Outcome::Busy),
        }
        let Err(failure) = (self.handle)(event).await else {
            let finish = |row: &mut Row| {
                row.release(&owner);
                row.finish(event);
            };
            self.change(&key, finish).await?;
            return Ok(Outcome::Handled);
        };
        // What cannot be released now is free when the lease ends.
        let _ = self.change(&key, |row| row.release(&owner)).await;
        match failure {
            Failure::NotYet if receives < self.max_receives => Ok(Outcome::NotYet),
            Failure::NotYet => Ok(Outcome::GaveUp),
            Failure::Failed(error) => Err(error),
        }
    }

    async fn claim(&self, key: &str, event: &Event, owner: &str) -> Result<Decision, BoxError> {
        for _ in 0..ATTEMPTS {
            let (mut row, version) = self.load(key).await?;
            // Ours after a write whose answer was lost.
            if row.owner.as_deref() == Some(owner) {
                return Ok(Decision::Handle);
            }
            let now = (self.clock)().as_millisecond();
            let decision = row.decide(event, now);
            if decision != Decision::Handle {
                return Ok(decision);
            }
            row.lease(owner, now.saturating_add(i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)));
            if self.store.save(key, &serde_json::to_string(&row)?, version).await? {
                return Ok(Decision::Handle);
            }
        }
        Ok(Decision::Busy)
    }

    async fn change(&self, key: &str, change: impl Fn(&mut Row)) -> Result<(), BoxError> {
        for _ in 0..ATTEMPTS {
            let (old, version) = self.load(key).await?;
            let mut row = old.clone();
            change(&mut row);
            if row == old || self.store.save(key, &serde_json::to_string(&row)?, version).await? {
                return Ok(());
            }
        }
        Err("the row of a movement changed too often".into())
    }

    async fn load(&self, key: &str) -> Result<(Row, u64), BoxError> {
        match self.store.load(key).await? {
            Some(stored) => Ok((serde_json::from_str(&stored.text)?, stored.version)),
            None => Ok((Row::default(), 0)),
        }
    }

    /// Different for each call of each consumer: the standard library's random keys, over a count.
    fn owner(&self) -> String {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}{:016x}", self.owners.hash_one((call, 0)), self.owners.hash_one((call, 1)))
    }
}

#[cfg(feature = "batch")]
mod batch {
    use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
    use tollgate_batch::{Handled, Unreportable, handle_event};

    use super::{Consumer, Event, Failure, Outcome};
    use crate::store::Store;

    impl<H: AsyncFn(&Event) -> Result<(), Failure>, S: Store> Consumer<H, S> {
        /// Handles an SQS event of Lambda, message by message. No message is begun after `has_time` has returned false.
        /// Return the `response` to Lambda, with `ReportBatchItemFailures`. On a FIFO queue a group ends at its first
        /// failure.
        ///
        /// # Errors
        ///
        /// [`Unreportable`]: a message that must come back has no id. Return it as the function's error.
        pub async fn batch(
            &self,
            event: &SqsEvent,
            has_time: impl FnMut() -> bool,
        ) -> Result<Handled, Unreportable> {
            handle_event(event, 1, has_time, |message| self.record(message)).await
        }

        async fn record(&self, message: &SqsMessage) -> tollgate_batch::Outcome {
            let receives = message.attributes.get("ApproximateReceiveCount");
            let receives = receives.and_then(|count| count.parse().ok()).unwrap_or(1);
            let outcome = self.consume(message.body.as_deref().unwrap_or_default(), receives).await.outcome;
            match outcome {
                Outcome::Handled => tollgate_batch::Outcome::Ok,
                outcome if outcome.is_done() => tollgate_batch::Outcome::Duplicate,
                Outcome::Refused => tollgate_batch::Outcome::Poison(outcome.as_str()),
                outcome => tollgate_batch::Outcome::Retry(outcome.as_str()),
            }
        }
    }
}
