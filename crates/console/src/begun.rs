//! What was begun here and goes on while nobody looks: one of a kind at a time. The last ones are remembered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

/// Those of one process that are remembered. The audit has all that did something.
const MOST: usize = 50;

/// Something that goes on until its end.
pub(crate) trait Begun: 'static {
    fn is_under_way(&self) -> bool;

    /// Has it end where nothing is lost.
    fn stop(&self);
}

/// Those of a kind, the oldest first.
#[derive(Debug)]
pub(crate) struct All<T> {
    all: Mutex<Vec<(usize, Arc<T>)>>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Held while one is begun, where it is recorded first.
    pub(crate) beginning: tokio::sync::Mutex<()>,
}

impl<T> Default for All<T> {
    fn default() -> Self {
        Self { all: Mutex::default(), task: Mutex::default(), beginning: tokio::sync::Mutex::default() }
    }
}

impl<T: Begun> All<T> {
    pub(crate) fn all(&self) -> Vec<(usize, Arc<T>)> {
        held(&self.all).clone()
    }

    pub(crate) fn one(&self, number: &str) -> Option<Arc<T>> {
        let number: usize = number.parse().ok()?;
        self.all().into_iter().find(|(other, _)| *other == number).map(|(_, one)| one)
    }

    pub(crate) fn last(&self) -> Option<Arc<T>> {
        self.all().pop().map(|(_, one)| one)
    }

    pub(crate) fn is_one_under_way(&self) -> bool {
        self.all().iter().any(|(_, one)| one.is_under_way())
    }

    /// Remembers it and lets it go on; `None`: another one does.
    pub(crate) fn begin(&self, one: Arc<T>, going: impl Future<Output = ()> + 'static) -> Option<usize> {
        if self.is_one_under_way() {
            return None;
        }
        let mut all = held(&self.all);
        let number = all.last().map_or(1, |(last, _)| last + 1);
        if all.len() == MOST {
            all.remove(0);
        }
        all.push((number, one));
        *held(&self.task) = Some(tokio::task::spawn_local(going));
        Some(number)
    }

    /// Has it end, and waits for that.
    pub(crate) async fn end(&self) {
        for (_, one) in self.all() {
            one.stop();
        }
        let task = held(&self.task).take();
        if let Some(task) = task {
            // That it panicked was told already.
            let _ = task.await;
        }
    }
}

/// A lock whose holder ended early still holds a whole value.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
