//! The transaction history in memory, as the processor writes it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tollgate_core::{PaymentEvent, event::Position};
use tollgate_pipeline::ports::{PortError, PortResult, Recorded, Transactions};

/// Events by transaction and sort key, and what was last known of each transaction.
#[derive(Debug, Default)]
pub struct MemoryTransactions {
    records: Mutex<BTreeMap<(String, String), PaymentEvent<'static>>>,
    latest: Mutex<BTreeMap<String, Position>>,
}

impl MemoryTransactions {
    /// Every record, by transaction and then by time.
    pub fn records(&self) -> BTreeMap<(String, String), PaymentEvent<'static>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Transactions for &MemoryTransactions {
    async fn latest(&self, transaction_keys: &[&str]) -> Vec<PortResult<Option<Position>>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        transaction_keys.iter().map(|key| Ok(latest.get(*key).copied())).collect()
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = |recorded: &Recorded<'_>| {
            let key = (recorded.document.event.transaction_key(), recorded.document.event.sort_key());
            if recorded.is_latest {
                latest.insert(key.0.clone(), recorded.document.event.position(recorded.is_dated));
            }
            records.insert(key, owned(recorded.document.event)?);
            Ok(())
        };
        events.iter().map(&mut record).collect()
    }
}

/// By way of JSON, as the table holds it.
pub(super) fn owned(event: &PaymentEvent<'_>) -> PortResult<PaymentEvent<'static>> {
    let unwritable = |_| PortError::permanent("memory", "event cannot be written");
    let json = serde_json::to_string(event).map_err(unwritable)?;
    serde_json::from_str(&json).map_err(unwritable)
}
