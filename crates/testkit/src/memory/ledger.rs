//! The ledger in memory, with the table's own semantics: a conditional put, expiry that counts before removal.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tollgate_core::{LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::ports::{
    Claim, Claims, Known, LEDGER_RETENTION_SECONDS, Ledger, LedgerEntry, LedgerState, PortResult,
};

/// Entries by key, and the conflicts that were recorded.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    entries: Mutex<BTreeMap<LedgerKey, LedgerEntry>>,
    conflicts: Mutex<Vec<(LedgerKey, WebhookId, String)>>,
}

impl MemoryLedger {
    /// The entry of `key`, expired or not.
    pub fn entry(&self, key: &LedgerKey) -> Option<LedgerEntry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Every recorded conflict: the key, the delivery that contradicted it, and the facts it had.
    pub fn conflicts(&self) -> Vec<(LedgerKey, WebhookId, String)> {
        self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_expired(entry: &LedgerEntry, now: Timestamp) -> bool {
    entry.received_at.as_second() + LEDGER_RETENTION_SECONDS <= now.as_second()
}

impl Claims for &MemoryLedger {
    async fn claim(&self, entry: &LedgerEntry, now: Timestamp) -> PortResult<Claim> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.get(&entry.key) {
            Some(known) if !is_expired(known, now) && !is_same_claim(known, entry) => {
                Ok(Claim::Known { state: known.state, fingerprint: known.fingerprint.clone() })
            }
            _ => {
                entries.insert(entry.key.clone(), entry.clone());
                Ok(Claim::New)
            }
        }
    }

    async fn conflict(&self, key: &LedgerKey, webhook_id: &WebhookId, fingerprint: &str) -> PortResult<()> {
        let conflict = (key.clone(), *webhook_id, fingerprint.to_owned());
        let mut conflicts = self.conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        if !conflicts.contains(&conflict) {
            conflicts.push(conflict);
        }
        Ok(())
    }
}

/// The same call made again, after its first answer was lost.
fn is_same_claim(known: &LedgerEntry, entry: &LedgerEntry) -> bool {
    known.state == LedgerState::Received
        && known.webhook_id == entry.webhook_id
        && known.fingerprint == entry.fingerprint
}

impl Ledger for &MemoryLedger {
    async fn known(&self, keys: &[LedgerKey], now: Timestamp) -> Vec<PortResult<Option<Known>>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |key| {
            let entry = entries.get(key).filter(|entry| !is_expired(entry, now))?;
            Some(Known { state: entry.state, received_at: entry.received_at })
        };
        keys.iter().map(|key| Ok(known(key))).collect()
    }

    async fn put(&self, entries: &[LedgerEntry]) -> Vec<PortResult<()>> {
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            known.insert(entry.key.clone(), entry.clone());
        }
        entries.iter().map(|_| Ok(())).collect()
    }
}
