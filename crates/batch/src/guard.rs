//! Panics as values.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook},
    pin::pin,
    sync::Once,
    task::Poll,
};

use crate::outcome::{Outcome, PANICKED};

/// A panic that was caught. It names the place in the code and nothing of the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Panic {
    /// `file:line:column`; absent when another panic hook was installed over ours.
    pub location: Option<String>,
    /// The message, when it is a literal of the source. A formatted one (`unwrap` on an error, an index out of
    /// bounds) may repeat what the record holds and is withheld.
    pub message: Option<&'static str>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = self.location.as_deref().unwrap_or("an unknown place");
        let message = self.message.unwrap_or("message withheld");
        write!(f, "panicked at {location}: {message}")
    }
}

/// A panic is its record's failure. It is tried again: what a panic comes from cannot be known, and the queue's
/// receive count ends it.
impl From<Panic> for Outcome {
    fn from(_: Panic) -> Self {
        Self::Retry(PANICKED)
    }
}

/// Runs `work` and turns its panic into a value.
///
/// The first call installs a panic hook for the process. It is silent for panics under a guard, whose message
/// would otherwise reach standard error, and with it the log, data and all; any other panic goes to the hook
/// that was there before.
///
/// What `work` shares with the rest of the program must bear being left half-changed, as after an early return
/// with `?`. Not caught, as nothing can: `panic = "abort"` (this function does not exist there), a panic while
/// another unwinds, a stack overflow.
///
/// # Errors
///
/// [`Panic`], when `work` panicked.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(install_hook);

    let outer = GUARDED.replace(Some(None));
    let result = catch_unwind(AssertUnwindSafe(work));
    let location = GUARDED.replace(Some(None)).flatten();
    let result = result.map_err(|payload| Panic { location, message: literal(payload) });
    GUARDED.set(outer);
    result
}

/// [`guard`] for a future: every poll is guarded, and a future that panicked is not polled again.
///
/// # Errors
///
/// [`Panic`], when a poll panicked.
pub async fn guard_async<F: Future>(work: F) -> Result<F::Output, Panic> {
    let mut work = pin!(work);
    poll_fn(move |context| match guard(|| work.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

thread_local! {
    /// `None`: no guard on this thread. `Some(place)`: under a guard, and where it panicked, if it did.
    static GUARDED: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

fn install_hook() {
    let previous = take_hook();
    set_hook(Box::new(move |info| {
        if !record(info) {
            previous(info);
        }
    }));
}

/// Keeps the place of a panic under a guard; false when there is no guard. A hook must not panic itself, hence
/// `try_with` (the thread may be ending) and `try_borrow_mut`.
fn record(info: &PanicHookInfo<'_>) -> bool {
    let keep = |guarded: &RefCell<Option<Option<String>>>| match guarded.try_borrow_mut() {
        Ok(mut guarded) => match guarded.as_mut() {
            Some(place) => {
                *place = info.location().map(ToString::to_string);
                true
            }
            None => false,
        },
        Err(_) => false,
    };
    GUARDED.try_with(keep).unwrap_or(false)
}

/// The message, if it is a literal. A payload is any value, and dropping it may panic in turn.
fn literal(payload: Box<dyn Any + Send>) -> Option<&'static str> {
    let message = payload.downcast_ref::<&'static str>().copied();
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    message
}
