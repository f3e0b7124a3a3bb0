//! The invocations that wait for a function's copies.

use std::{cell::RefCell, collections::VecDeque};

use tokio::sync::Notify;

use crate::invocation::Invocation;

/// Invocations that may wait for a copy; more are throttled.
pub const MAX_WAITING: usize = 1_000;

/// Invocations that wait for a copy, in the order they came.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: RefCell<VecDeque<Invocation>>,
    arrived: Notify,
}

impl Queue {
    /// The next invocation whose caller still waits.
    pub async fn next(&self) -> Invocation {
        loop {
            if let Some(invocation) = self.pop() {
                return invocation;
            }
            self.arrived.notified().await;
        }
    }

    /// The same, if there is one now.
    pub fn pop(&self) -> Option<Invocation> {
        let mut waiting = self.waiting.borrow_mut();
        std::iter::from_fn(|| waiting.pop_front()).find(|invocation| !invocation.reply.is_closed())
    }

    /// Adds an invocation; false when too many wait already.
    pub fn push(&self, invocation: Invocation) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|invocation| !invocation.reply.is_closed());
        if waiting.len() >= MAX_WAITING {
            return false;
        }
        waiting.push_back(invocation);
        self.arrived.notify_one();
        true
    }

    /// Drops every invocation; each caller that waits gets an error.
    pub fn clear(&self) {
        self.waiting.borrow_mut().clear();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.borrow().len()
    }
}
