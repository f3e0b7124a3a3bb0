//! What forms ask for: each goes on to its end, whether or not a browser waits for the answer. Half of an act would have no record
//! of its end.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_local},
};

use crate::begun::held;

/// Those that go on.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Held by an act that changes something before its page is shown: one after the other.
    pub(crate) alone: tokio::sync::Mutex<()>,
    /// Says that the console ends: an act of many parts ends after the one at hand.
    pub(crate) stop: AtomicBool,
}

impl Acts {
    /// Does it to its end, also where the answer is waited for no longer; within a `LocalSet`. `None`: it panicked, which was told
    /// already.
    pub(crate) async fn whole<T: 'static>(&self, act: impl Future<Output = T> + 'static) -> Option<T> {
        let (done, answer) = oneshot::channel();
        let task = spawn_local(async move {
            // Where nobody waits, nobody is told: the audit has it.
            let _ = done.send(act.await);
        });
        {
            let mut tasks = held(&self.tasks);
            tasks.retain(|task| !task.is_finished());
            tasks.push(task);
        }
        answer.await.ok()
    }

    /// Has them end where nothing is lost, and waits for that.
    pub(crate) async fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let tasks = std::mem::take(&mut *held(&self.tasks));
        for task in tasks {
            // That it panicked was told already.
            let _ = task.await;
        }
    }
}
