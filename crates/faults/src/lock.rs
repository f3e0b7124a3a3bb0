//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a panic left is as good as before: every change here is one assignment.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
