//! From records to messages with everything that decoding them needs: endpoint and exact bytes.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use tollgate_batch::Outcome;
use tollgate_core::EndpointId;
use tollgate_providers::Endpoint;

use super::{
    parallel::SHARES,
    record::{Ended, Indexed, keep_ok, poison, retry},
    refusal::Refusal,
    use_case::Process,
};
use crate::{
    intake::{ClaimCheck, Content, Dequeued, IntakeError, QueuedBody, QueuedMessage, Seal},
    ports::{PayloadSource, PortError, ProcessPorts},
};

/// Claim-checked bodies fetched at once.
const FETCHES_IN_FLIGHT: usize = 8;

/// A message that can be decoded.
#[derive(Debug)]
pub(super) struct Opened<'r> {
    /// Its index in the batch.
    pub(super) index: usize,
    pub(super) message: QueuedMessage<'r>,
    pub(super) seal: Seal,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) webhook: Dequeued<'r>,
}

/// A message whose body is not fetched yet if it is claim-checked.
struct Read<'r> {
    index: usize,
    message_id: &'r str,
    message: QueuedMessage<'r>,
    seal: Seal,
    content: Content<QueuedBody<'r>>,
}

impl<P: ProcessPorts> Process<P> {
    /// Opens records. Those that cannot be opened are added to `ended`.
    pub(super) async fn open<'r>(
        &self,
        records: &[Indexed<'r, '_>],
        ended: &mut Vec<Ended>,
    ) -> Vec<Opened<'r>> {
        let read = self.shares(records, SHARES, |share| {
            let read = |&record: &Indexed<'r, '_>| read(record).map_err(|outcome| (record.index, outcome));
            share.iter().map(read).collect::<Vec<_>>()
        });
        let read: Vec<Read<'r>> = keep_ok(read.into_iter().flatten(), ended);
        let mut endpoints = HashMap::new();
        for Read { message, .. } in &read {
            if let Entry::Vacant(entry) = endpoints.entry(message.endpoint) {
                entry.insert(self.endpoint(&message.endpoint).await);
            }
        }
        let mut fetched = self.fetch_all(&read).await;
        let opened = read.into_iter().map(|Read { index, message_id, message, seal, content }| {
            let open = || {
                let unread = || Err(Outcome::Retry("endpoints_unavailable"));
                let endpoint = endpoints.get(&message.endpoint).cloned().unwrap_or_else(unread)?;
                let body = match content {
                    Content::Inline(body) => body,
                    Content::ClaimCheck(_) => {
                        let unfetched = || Err(Outcome::Retry("payload_unavailable"));
                        fetched.remove(&index).unwrap_or_else(unfetched)?
                    }
                };
                let webhook = message
                    .webhook(body, &endpoint)
                    .map_err(|problem| poison("not_an_intake_message", &problem, message_id))?;
                Ok(Opened { index, message, seal, endpoint, webhook })
            };
            open().map_err(|outcome| (index, outcome))
        });
        keep_ok(opened, ended)
    }

    /// The claim-checked bodies, by their record's index.
    async fn fetch_all(&self, read: &[Read<'_>]) -> HashMap<usize, Result<QueuedBody<'static>, Outcome>> {
        let claim_checks = read.iter().filter_map(|read| match &read.content {
            Content::ClaimCheck(claim_check) => Some((read, claim_check)),
            Content::Inline(_) => None,
        });
        // Made before any is awaited: a closure that lives across an await would make the future not `Send`.
        let fetches: Vec<_> = claim_checks
            .map(|(read, claim_check)| async move { (read.index, self.fetch(claim_check, read).await) })
            .collect();
        stream::iter(fetches).buffer_unordered(FETCHES_IN_FLIGHT).collect().await
    }

    async fn fetch(&self, claim_check: &ClaimCheck, read: &Read<'_>) -> Result<QueuedBody<'static>, Outcome> {
        let bytes = self.payloads.get(&claim_check.key).await.map_err(|problem| match problem {
            PortError::Retryable { .. } => retry("payload_unavailable", &problem),
            PortError::Permanent { .. } => poison("payload_missing", &problem, read.message_id),
        })?;
        let body = read.message.claim_checked_body(claim_check, bytes);
        body.map_err(|problem| unreadable(&problem, read.message_id))
    }

    async fn endpoint(&self, id: &EndpointId) -> Result<Arc<Endpoint>, Outcome> {
        match self.directory.listed(id).await {
            Ok(Some(endpoint)) => Ok(endpoint),
            // The validator knew it: our reading is old, or it was removed and may come back.
            Ok(None) => Err(Outcome::Retry("unknown_endpoint")),
            Err(problem) => Err(retry("endpoints_unavailable", &problem)),
        }
    }
}

fn read<'r>(Indexed { index, record }: Indexed<'r, '_>) -> Result<Read<'r>, Outcome> {
    let message_id = record.message_id;
    let message = record.read().map_err(|problem| poison("not_an_intake_message", &problem, message_id))?;
    let content = message.content().map_err(|problem| unreadable(&problem, message_id))?;
    Ok(Read { index, message_id, seal: message.seal(), message, content })
}

fn unreadable(problem: &IntakeError, message_id: &str) -> Outcome {
    match problem {
        IntakeError::Altered => poison(Refusal::Altered.reason(), problem, message_id),
        IntakeError::Body | IntakeError::Attribute(_) => poison("body_undecodable", problem, message_id),
    }
}
