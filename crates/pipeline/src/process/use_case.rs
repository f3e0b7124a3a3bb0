//! What the processor needs.

use tollgate_risk::Thresholds;

use super::record::Receives;
use crate::{
    directory::Directory,
    objects::Objects,
    ports::{Clock, ProcessPorts},
};

/// The use case and the ports it needs.
#[derive(Debug)]
pub struct Process<P: ProcessPorts> {
    /// The endpoints, for their normalisers.
    pub directory: Directory<P::Endpoints, P::Clock>,
    /// The time.
    pub clock: P::Clock,
    /// The ledger.
    pub ledger: P::Ledger,
    /// Who tells which effect.
    pub effects: P::Effects,
    /// The transaction history.
    pub transactions: P::Transactions,
    /// The event bus.
    pub bus: P::Bus,
    /// The archive queue.
    pub archive: P::ArchiveQueue,
    /// Large bodies.
    pub payloads: P::Payloads,
    /// Providers' APIs, for what webhooks only name.
    pub objects: Objects<P::ApiKeys, P::Objects, P::Clock>,
    /// Where messages go that are set aside.
    pub quarantine: P::Quarantine,
    /// How often a message is received before it is set aside.
    pub receives: Receives,
    /// What makes an amount medium or high.
    pub thresholds: Thresholds,
    /// Whether there is more than one processor to work on.
    pub is_parallel: bool,
}

impl<P: ProcessPorts> Process<P> {
    pub(super) fn now_ms(&self) -> u64 {
        // Before 1970 there is no deadline either.
        u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0)
    }
}
