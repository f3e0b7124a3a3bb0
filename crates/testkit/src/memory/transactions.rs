//! The transaction history in memory, as the processor writes it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tollgate_core::PaymentEvent;
use tollgate_pipeline::ports::{Latest, Link, PortError, PortResult, Recorded, Transactions};

/// Events by transaction and sort key, and what was last known of each transaction.
#[derive(Debug, Default)]
pub struct MemoryTransactions {
    records: Mutex<BTreeMap<(String, String), PaymentEvent<'static>>>,
    latest: Mutex<BTreeMap<String, Latest>>,
}

impl MemoryTransactions {
    /// Every record, by transaction and then by time.
    pub fn records(&self) -> BTreeMap<(String, String), PaymentEvent<'static>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Transactions for &MemoryTransactions {
    async fn latest(&self, transaction_keys: &[&str]) -> Vec<PortResult<Latest>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        transaction_keys.iter().map(|key| Ok(latest.get(*key).cloned().unwrap_or_default())).collect()
    }

    async fn link(&self, links: &[Link]) -> Vec<PortResult<()>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        for Link { alias, of, position } in links {
            latest.insert(alias.clone(), Latest { position: *position, alias_of: Some(of.clone()) });
        }
        links.iter().map(|_| Ok(())).collect()
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = |recorded: &Recorded<'_>| {
            let key = (recorded.document.event.transaction_key(), recorded.document.event.sort_key());
            if recorded.is_latest {
                let position = Some(recorded.document.event.position(recorded.is_dated));
                latest.insert(key.0.clone(), Latest { position, alias_of: None });
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
