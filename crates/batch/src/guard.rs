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

/// A panic that was caught. It has the place in the code and no data of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Panic {
    /// `file:line:column`; absent when another panic hook was installed over ours.
    pub location: Option<String>,
    /// The message, if it is a literal in the source. A formatted message (`unwrap` on an error, an index out of
    /// bounds) may contain data of the record and is left out.
    pub message: Option<&'static str>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = self.location.as_deref().unwrap_or("an unknown location");
        let message = self.message.unwrap_or("message left out");
        write!(f, "panicked at {location}: {message}")
    }
}

/// A panic is its record's failure. The record is tried again, because the cause may be temporary; the queue's receive
/// count limits the tries.
impl From<Panic> for Outcome {
    fn from(_: Panic) -> Self {
        Self::Retry(PANICKED)
    }
}

/// Runs `work` and turns its panic into a value.
///
/// The first call installs a panic hook for the process. The hook prints nothing for panics under a guard, because the
/// message, which may contain data, would go to standard error and so to the log. Any other panic goes to the hook that
/// was installed before.
///
/// `work` may stop at any point. What it shares with the rest of the program must stay usable then, as after an early
/// return with `?`. Not caught: a panic while another one unwinds, and a stack overflow. With `panic = "abort"` this
/// function does not exist.
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
    /// `None`: no guard on this thread. `Some(location)`: under a guard, with the location of its panic, if there was
    /// one.
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

/// Stores the location of a panic under a guard; false when there is no guard. A hook must not panic, therefore
/// `try_with` (the thread may be ending) and `try_borrow_mut`.
fn record(info: &PanicHookInfo<'_>) -> bool {
    let keep = |guarded: &RefCell<Option<Option<String>>>| match guarded.try_borrow_mut() {
        Ok(mut guarded) => match guarded.as_mut() {
            Some(location) => {
                *location = info.location().map(ToString::to_string);
                true
            }
            None => false,
        },
        Err(_) => false,
    };
    GUARDED.try_with(keep).unwrap_or(false)
}

/// The message, if it is a literal. A payload can be any value, and its drop may panic too.
fn literal(payload: Box<dyn Any + Send>) -> Option<&'static str> {
    let message = payload.downcast_ref::<&'static str>().copied();
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    message
}
