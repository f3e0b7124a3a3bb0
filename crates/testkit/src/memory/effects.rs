//! Who tells which effect, in memory, with the table's own semantics: an insert, and a replacement of what was read.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tollgate_pipeline::ports::{EffectClaim, Effects, PortResult, Subject};

use super::table;

/// Claims by subject.
#[derive(Debug, Default)]
pub struct MemoryEffects(Mutex<BTreeMap<Subject, EffectClaim>>);

impl MemoryEffects {
    /// The claim of `subject`, expired or not.
    pub fn standing(&self, subject: Subject) -> Option<EffectClaim> {
        self.lock().get(&subject).copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, EffectClaim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Effects for &MemoryEffects {
    async fn claim(&self, claims: &[EffectClaim]) -> Vec<PortResult<EffectClaim>> {
        table::each_once(claims.iter().map(|claim| claim.subject));
        let mut standing = self.lock();
        let mut claim = |claim: &EffectClaim| {
            let known = standing.entry(claim.subject).or_insert(*claim);
            if claim.replaces(known) {
                *known = *claim;
            }
            Ok(*known)
        };
        claims.iter().map(&mut claim).collect()
    }

    async fn release(&self, claims: &[EffectClaim]) -> Vec<PortResult<()>> {
        table::each_once(claims.iter().map(|claim| claim.subject));
        let mut standing = self.lock();
        for claim in claims {
            if let Some(known) = standing.get_mut(&claim.subject)
                && known.event_id == claim.event_id
                && known.webhook_id == claim.webhook_id
            {
                *known = claim.released();
            }
        }
        claims.iter().map(|_| Ok(())).collect()
    }
}
