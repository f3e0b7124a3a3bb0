//! Batch calls: splits items by count and bytes, keeps a few calls in flight, repeats items that a call did not
//! process within a budget, gives each item its own result, and ends in bounded time.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    pin::{Pin, pin},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{Either, select},
    stream,
};
use tollgate_pipeline::ports::{PortError, PortResult};
use tracing::error;

/// Calls in flight at once. At 10 ms a call that is 800 calls a second, past what one function needs.
const IN_FLIGHT: usize = 8;
/// The most calls for an item that successful calls did not process (`UnprocessedItems`, failed entries).
const ROUNDS: u32 = 4;
/// The first pause between rounds; it doubles, and half of it is random.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest that all calls for a list of items take together, pauses included: as long as one call may take alone. What
/// has no answer by then failed, and may have taken effect.
pub const PATIENCE: Duration = Duration::from_secs(12);

/// What one call takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) service: &'static str,
    pub(crate) items: usize,
    pub(crate) bytes: usize,
    /// The service's, so that all callers of this process share it.
    pub(crate) budget: &'static Budget,
}

/// How many more items this process may send to a service again. Each costs one, and each item that is done gives one
/// back: so all that is sent is at most twice what is done, the first sending of what fails, and [`BUDGET`]. Calls that fail as a
/// whole are repeated by the SDK, which has a budget of its own for each service (`TokenBucket` of aws-smithy-runtime).
#[derive(Debug)]
pub(crate) struct Budget(AtomicUsize);

/// A full budget, in items: as many as a stride of the processor has, so that a moment in which a service takes nothing
/// costs no message a receive.
pub(crate) const BUDGET: usize = 2_000;

impl Budget {
    pub(crate) const fn full() -> Self {
        Self(AtomicUsize::new(BUDGET))
    }

    /// Takes `items`, or what is left. Returns how many.
    fn take(&self, items: usize) -> usize {
        let update = |left: usize| Some(left.saturating_sub(items));
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        left.unwrap_or_else(|left| left).min(items)
    }

    fn give_back(&self, items: usize) {
        let update = |left: usize| Some(left.saturating_add(items).min(BUDGET));
        // The update is always made.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }
}

/// The result of one item in a call.
#[derive(Debug)]
pub(crate) enum Item<T> {
    Done(PortResult<T>),
    /// The call went through without this item: send it again, as far as the budget goes.
    LeftOver(PortError),
}

/// Calls `call` with lists of indices into `sizes` until every item is done, or the rounds or the budget are used up.
/// `call` answers for each index that it was given, in that order. What is still left over has the failure that the last
/// call gave for it.
pub(crate) async fn batched<T, F, C>(limits: Limits, sizes: &[usize], call: C) -> Vec<PortResult<T>>
where
    C: Fn(Vec<usize>) -> F,
    F: Future<Output = Vec<Item<T>>>,
{
    within(pin!(tokio::time::sleep(PATIENCE)), limits, sizes, call).await
}

/// [`batched`], until `patience` ends.
async fn within<T, F, C>(
    mut patience: Pin<&mut impl Future<Output = ()>>,
    limits: Limits,
    sizes: &[usize],
    call: C,
) -> Vec<PortResult<T>>
where
    C: Fn(Vec<usize>) -> F,
    F: Future<Output = Vec<Item<T>>>,
{
    let mut results: Vec<Option<PortResult<T>>> = sizes.iter().map(|_| None).collect();
    let mut pending: Vec<usize> = (0..sizes.len()).collect();
    let mut suspects: Vec<usize> = Vec::new();
    for round in 0..ROUNDS {
        if round > 0 {
            pending.truncate(limits.budget.take(pending.len()));
            let is_over = pending.is_empty() && suspects.is_empty();
            if is_over || matches!(select(pin!(pause(round)), patience.as_mut()).await, Either::Right(_)) {
                break;
            }
        }
        let mut chunks = chunks(&pending, sizes, limits);
        chunks.extend(suspects.drain(..).map(|index| vec![index]));
        let mut answers = stream::iter(chunks)
            .map(|chunk| {
                let answer = call(chunk.clone());
                async move { (chunk, answer.await) }
            })
            .buffer_unordered(IN_FLIGHT);
        pending.clear();
        loop {
            let (chunk, items) = match select(pin!(answers.next()), patience.as_mut()).await {
                Either::Left((Some(answer), _)) => answer,
                Either::Left((None, _)) => break,
                Either::Right(_) => return finish(results, limits, "not answered in time"),
            };
            // It is unknown which answer is missing, so all items stay unanswered.
            if items.len() != chunk.len() {
                error!(
                    asked = chunk.len(),
                    answered = items.len(),
                    service = limits.service,
                    "a call's answers do not match its items"
                );
                continue;
            }
            // A call that is refused permanently has a bad item in it: each item is sent by itself, so that
            // the bad one does not make its neighbours fail.
            let is_refused = |item: &Item<T>| matches!(item, Item::Done(Err(PortError::Permanent { .. })));
            if chunk.len() > 1 && round + 1 < ROUNDS && items.iter().all(is_refused) {
                suspects.extend(chunk);
                continue;
            }
            limits.budget.give_back(items.iter().filter(|item| matches!(item, Item::Done(Ok(_)))).count());
            for (index, item) in chunk.into_iter().zip(items) {
                let Some(result) = results.get_mut(index) else { continue };
                *result = Some(match item {
                    Item::Done(done) => done,
                    Item::LeftOver(problem) => {
                        pending.push(index);
                        Err(problem)
                    }
                });
            }
        }
    }
    finish(results, limits, "no answer for an item")
}

/// The results, and for items without one a failure.
fn finish<T>(
    results: Vec<Option<PortResult<T>>>,
    limits: Limits,
    unanswered: &'static str,
) -> Vec<PortResult<T>> {
    let unanswered = || Err(PortError::retryable(limits.service, unanswered));
    results.into_iter().map(|result| result.unwrap_or_else(unanswered)).collect()
}

fn chunks(pending: &[usize], sizes: &[usize], limits: Limits) -> Vec<Vec<usize>> {
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for &index in pending {
        let size = sizes.get(index).copied().unwrap_or(0);
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < limits.items && bytes + size <= limits.bytes => {
                chunk.push(index);
                bytes += size;
            }
            _ => {
                chunks.push(vec![index]);
                bytes = size;
            }
        }
    }
    chunks
}

async fn pause(round: u32) {
    let full = FIRST_PAUSE * 2_u32.saturating_pow(round.saturating_sub(1));
    // The hasher's own random seed is all the randomness that jitter needs.
    let random = RandomState::new().hash_one(round) % 1_000;
    let jitter = full / 2 * u32::try_from(random).unwrap_or(0) / 1_000;
    tokio::time::sleep(full / 2 + jitter).await;
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Mutex};

    use tokio::sync::Notify;

    use super::*;

    /// With a budget of its own.
    fn limits() -> Limits {
        Limits { service: "test", items: 3, bytes: 100, budget: Box::leak(Box::new(Budget::full())) }
    }

    #[test]
    fn chunks_hold_at_most_so_many_items_and_bytes() {
        let sizes = [10, 10, 10, 10, 95, 10, 200, 1];
        let all: Vec<usize> = (0..sizes.len()).collect();
        assert_eq!(
            chunks(&all, &sizes, limits()),
            [vec![0, 1, 2], vec![3], vec![4], vec![5], vec![6], vec![7]]
        );
    }

    #[tokio::test]
    async fn leftovers_alone_are_sent_again() {
        let calls = Mutex::new(Vec::new());
        let results = batched(limits(), &[1; 4], |chunk| {
            let first_time = {
                let mut calls = calls.lock().unwrap();
                calls.push(chunk.clone());
                calls.len() <= 2
            };
            async move {
                let item = |index| match index {
                    1 if first_time => Item::LeftOver(PortError::retryable("test", "throttled")),
                    2 => Item::Done(Err(PortError::permanent("test", "bad"))),
                    _ => Item::Done(Ok(index)),
                };
                chunk.into_iter().map(item).collect()
            }
        })
        .await;
        assert_eq!(results, [Ok(0), Ok(1), Err(PortError::permanent("test", "bad")), Ok(3)]);
        assert_eq!(*calls.lock().unwrap(), [vec![0, 1, 2], vec![3], vec![1]]);
    }

    #[tokio::test]
    async fn one_bad_item_does_not_take_its_call_along() {
        let refused = || PortError::permanent("test", "ValidationException");
        let results = batched(limits(), &[1; 3], |chunk| async move {
            let is_bad = chunk.contains(&1);
            chunk.into_iter().map(|i| Item::Done(if is_bad { Err(refused()) } else { Ok(i) })).collect()
        })
        .await;
        assert_eq!(results, [Ok(0), Err(refused()), Ok(2)]);
    }

    #[tokio::test]
    async fn what_is_always_left_over_is_reported() {
        let throttled = PortError::retryable("test", "throttled");
        let answer = Err::<(), _>(throttled.clone());
        let results = batched(limits(), &[1], |_| {
            let throttled = throttled.clone();
            async { vec![Item::<()>::LeftOver(throttled)] }
        })
        .await;
        assert_eq!(results, [answer]);
    }

    /// There is no further call that could tell them apart.
    #[tokio::test]
    async fn a_refusal_of_the_last_call_is_that_of_its_items() {
        let calls = Cell::new(0);
        let results = batched(limits(), &[1; 2], |chunk| {
            calls.set(calls.get() + 1);
            let item = |_| match calls.get() {
                ROUNDS => Item::<()>::Done(Err(PortError::permanent("test", "ValidationException"))),
                _ => Item::LeftOver(PortError::retryable("test", "throttled")),
            };
            let items = chunk.into_iter().map(item).collect();
            async { items }
        })
        .await;
        let refused = || Err(PortError::permanent("test", "ValidationException"));
        assert_eq!((results, calls.get()), (vec![refused(), refused()], ROUNDS));
    }

    #[tokio::test]
    async fn what_is_not_answered_in_time_failed_and_the_rest_stands() {
        let (answered, patience) = (Cell::new(0), Notify::new());
        let results = within(pin!(patience.notified()), limits(), &[60; 4], |chunk| {
            let (answered, patience) = (&answered, &patience);
            async move {
                // The second is never answered, and time is over when the others are.
                if chunk == [1] {
                    std::future::pending::<()>().await;
                }
                answered.set(answered.get() + 1);
                if answered.get() == 3 {
                    patience.notify_one();
                }
                chunk.into_iter().map(|index| Item::Done(Ok(index))).collect()
            }
        })
        .await;
        let late = Err(PortError::retryable("test", "not answered in time"));
        assert_eq!(results, [Ok(0), late, Ok(2), Ok(3)]);
    }

    /// The items that `limits` has sent, first sendings and all, for `items` of which all but `done` a call are left over.
    async fn sent(limits: Limits, items: usize, done: usize) -> usize {
        let sent = Cell::new(0);
        batched(limits, &vec![1; items], |chunk| {
            sent.set(sent.get() + chunk.len());
            let item = |place: usize| match place < done {
                true => Item::Done(Ok(())),
                false => Item::LeftOver(PortError::retryable("test", "throttled")),
            };
            let answers = (0..chunk.len()).map(item).collect();
            async { answers }
        })
        .await;
        sent.get()
    }

    #[tokio::test]
    async fn what_a_service_leaves_over_is_sent_again_as_often_as_the_process_may() {
        let limits = Limits { items: 1_000, bytes: usize::MAX, ..limits() };
        // A service that takes nothing is sent everything once, and of it a budget's worth again.
        assert_eq!(sent(limits, 1_000, 0).await, 1_000 + BUDGET);
        assert_eq!(sent(limits, 1_000, 0).await, 1_000);
        // As soon as it takes something, so much is sent again.
        assert_eq!(sent(limits, 1_000, 30).await, 1_000 + 30);
        assert_eq!(sent(limits, 1_000, 1_000).await, 1_000);
        assert_eq!(sent(limits, 1_000, 0).await, 1_000 + 1_000 + 30);
    }

    #[test]
    fn a_budget_is_never_more_than_full_nor_less_than_empty() {
        let budget = Budget::full();
        budget.give_back(usize::MAX);
        assert_eq!(budget.take(BUDGET + 1), BUDGET);
        assert_eq!(budget.take(1), 0);
        budget.give_back(3);
        assert_eq!((budget.take(2), budget.take(2)), (2, 1));
    }
}
