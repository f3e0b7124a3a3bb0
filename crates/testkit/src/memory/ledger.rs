//! The ledger in memory, with the table's own semantics: a conditional put, expiry that counts before removal.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tollgate_core::{LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::{
    intake::Seal,
    ports::{
        ASIDE_SECONDS, Allowance, Allowances, Answers, Claim, Claims, Known, LEDGER_RETENTION_SECONDS,
        Ledger, LedgerEntry, LedgerState, MAX_SEALS, Mark, PortError, PortResult, Sealing,
    },
};

use super::table;

/// Entries by key, and the conflicts that were recorded.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    entries: Mutex<BTreeMap<LedgerKey, LedgerEntry>>,
    /// Entries as a version left them that knew no terms.
    without_terms: Mutex<BTreeSet<LedgerKey>>,
    conflicts: Mutex<Vec<(LedgerKey, WebhookId, String)>>,
    allowances: Mutex<BTreeMap<Seal, Allowance>>,
    /// Until when.
    asides: Mutex<BTreeMap<LedgerKey, i64>>,
}

impl MemoryLedger {
    /// The entry of `key`, expired or not.
    pub fn entry(&self, key: &LedgerKey) -> Option<LedgerEntry> {
        self.entries().get(key).cloned()
    }

    /// Changes the entry of `key`, as another version of ours may have written it.
    pub fn edit(&self, key: &LedgerKey, edit: impl FnOnce(&mut LedgerEntry)) {
        edit(self.entries().get_mut(key).expect("an entry"));
    }

    /// Puts an entry back as it was.
    pub fn restore(&self, entry: LedgerEntry) {
        self.entries().insert(entry.key.clone(), entry);
    }

    /// Makes the entry of `key` one of a version that knew no terms.
    pub fn strip_terms(&self, key: &LedgerKey) {
        self.without_terms.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
    }

    /// Removes the entry of `key`, as the table's time to live does.
    pub fn forget(&self, key: &LedgerKey) {
        self.entries().remove(key);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<LedgerKey, LedgerEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asides(&self) -> MutexGuard<'_, BTreeMap<LedgerKey, i64>> {
        self.asides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_of(&self, entry: &LedgerEntry, now: Timestamp) -> Known {
        let stripped = self.without_terms.lock().unwrap_or_else(PoisonError::into_inner);
        Known {
            webhook_id: Some(entry.webhook_id),
            state: entry.state,
            received_at: entry.received_at,
            fingerprint: entry.fingerprint.clone(),
            terms: (!stripped.contains(&entry.key)).then(|| entry.terms.clone()),
            is_aside: self.asides().get(&entry.key).is_some_and(|until| *until > now.as_second()),
        }
    }

    /// Every recorded conflict: the key, the delivery that contradicted it, and the facts it had.
    pub fn conflicts(&self) -> Vec<(LedgerKey, WebhookId, String)> {
        self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An entry, as far as its length depends on a sender.
fn row(entry: &LedgerEntry) -> Value {
    json!({"event_key": {"S": entry.key.as_str()}, "fingerprint": {"S": entry.fingerprint}})
}

fn is_expired(entry: &LedgerEntry, now: Timestamp) -> bool {
    entry.expires_at() <= now.as_second()
}

impl Answers for &MemoryLedger {
    async fn answers(&self) -> PortResult<()> {
        Ok(())
    }
}

impl Claims for &MemoryLedger {
    async fn claim(&self, entry: &LedgerEntry, now: Timestamp) -> PortResult<Claim> {
        table::check(&row(entry))?;
        let mut entries = self.entries();
        match entries.get(&entry.key) {
            Some(known) if !is_expired(known, now) && !is_same_claim(known, entry) => {
                Ok(Claim::Known(self.known_of(known, now)))
            }
            _ => {
                entries.insert(entry.key.clone(), entry.clone());
                self.asides().remove(&entry.key);
                Ok(Claim::New)
            }
        }
    }

    async fn seal(&self, key: &LedgerKey, seal: Seal, now: Timestamp) -> PortResult<Sealing> {
        let mut entries = self.entries();
        let entry = entries.get_mut(key).filter(|entry| !is_expired(entry, now));
        let entry = entry.ok_or_else(|| PortError::retryable("memory", "the claim is gone"))?;
        if entry.state == LedgerState::Processed {
            return Ok(Sealing::Processed);
        }
        let seals = &mut entry.terms.seals;
        if seals.contains(&seal) {
            return Ok(Sealing::Sealed);
        }
        if seals.len() >= MAX_SEALS {
            let given_way = seals.iter().min().copied();
            seals.retain(|seal| Some(*seal) != given_way);
        }
        seals.push(seal);
        Ok(Sealing::Sealed)
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
        && entry.terms.seals.iter().all(|seal| known.terms.seals.contains(seal))
}

impl Allowances for &MemoryLedger {
    async fn allow(&self, allowance: &Allowance) -> PortResult<()> {
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        allowances.insert(allowance.seal, allowance.clone());
        Ok(())
    }
}

impl Ledger for &MemoryLedger {
    async fn allowed(&self, seals: &[Seal], now: Timestamp) -> Vec<PortResult<bool>> {
        table::each_once(seals);
        let allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = |allowance: &Allowance| {
            allowance.allowed_at.as_second() + LEDGER_RETENTION_SECONDS > now.as_second()
        };
        seals.iter().map(|seal| Ok(allowances.get(seal).is_some_and(stands))).collect()
    }

    async fn known(&self, keys: &[LedgerKey], now: Timestamp) -> Vec<PortResult<Option<Known>>> {
        table::each_once(keys);
        let entries = self.entries();
        let known = |key| {
            let entry = entries.get(key).filter(|entry| !is_expired(entry, now))?;
            Some(self.known_of(entry, now))
        };
        keys.iter().map(|key| Ok(known(key))).collect()
    }

    async fn put_aside(&self, keys: &[LedgerKey], now: Timestamp) -> Vec<PortResult<()>> {
        table::each_once(keys);
        let entries = self.entries();
        let until = now.as_second() + ASIDE_SECONDS;
        let known = keys.iter().filter(|key| entries.contains_key(*key));
        self.asides().extend(known.map(|key| (key.clone(), until)));
        keys.iter().map(|_| Ok(())).collect()
    }

    async fn mark(&self, marks: &[Mark]) -> Vec<PortResult<()>> {
        table::each_once(marks.iter().map(|mark| &mark.key));
        let mut entries = self.entries();
        for mark in marks {
            if let Some(entry) = entries.get_mut(&mark.key) {
                entry.state = LedgerState::Processed;
                entry.webhook_id = mark.webhook_id;
            }
        }
        marks.iter().map(|_| Ok(())).collect()
    }
}
