//! Where a consumer keeps its rows: one for each movement, changed by compare-and-swap.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Any error of a store or a handler.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A row's text and how often it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// JSON.
    pub text: String,
    /// From 1.
    pub version: u64,
}

/// Two calls, which any database with a conditional write can serve. After an error the message comes back.
pub trait Store {
    /// The last row that was saved, never an older one.
    fn load(&self, key: &str) -> impl Future<Output = Result<Option<Stored>, BoxError>> + Send;

    /// Puts the row with version `expected` + 1 if its version is `expected`; 0 stands for no row. False, and no change,
    /// where it is another one.
    fn save(
        &self,
        key: &str,
        text: &str,
        expected: u64,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;
}

impl<S: Store + Sync> Store for &S {
    fn load(&self, key: &str) -> impl Future<Output = Result<Option<Stored>, BoxError>> + Send {
        (**self).load(key)
    }

    fn save(
        &self,
        key: &str,
        text: &str,
        expected: u64,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send {
        (**self).save(key, text, expected)
    }
}

/// For tests, and for a single process whose repeats all come in its lifetime.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<HashMap<String, Stored>>,
}

impl MemoryStore {
    fn rows(&self) -> MutexGuard<'_, HashMap<String, Stored>> {
        // No call leaves a row half written.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn load(&self, key: &str) -> Result<Option<Stored>, BoxError> {
        Ok(self.rows().get(key).cloned())
    }

    async fn save(&self, key: &str, text: &str, expected: u64) -> Result<bool, BoxError> {
        let mut rows = self.rows();
        if rows.get(key).map_or(0, |stored| stored.version) != expected {
            return Ok(false);
        }
        rows.insert(key.to_owned(), Stored { text: text.to_owned(), version: expected.saturating_add(1) });
        Ok(true)
    }
}
