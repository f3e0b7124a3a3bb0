//! A webhook of an archive that an operator hands over.

use tollgate_lambda::clock;
use tollgate_pipeline::{
    ingest::{Incoming, Replay},
    replay::{Answer, ArchivedWebhook, Handed},
};
use tracing::{info, warn};

use crate::context::Context;

/// What is handed over; `None` for any other event.
pub(crate) fn read(event: &str) -> Option<ArchivedWebhook> {
    serde_json::from_str::<Handed>(event).ok().map(|handed| handed.replay)
}

/// Takes it in, or checks it.
pub(crate) async fn handle(context: &Context, webhook: ArchivedWebhook) -> Answer {
    let ArchivedWebhook { act, mode, webhook_id, receipt, request, .. } = &webhook;
    let Ok(body) = base64_simd::STANDARD.decode_to_vec(webhook.body.as_bytes()) else {
        warn!(replayed = webhook_id.as_str(), act, "body of an archived webhook is no base64");
        let detail = "its body is no base64".to_owned();
        return Answer::Refused { reason: "not_base64".to_owned(), detail };
    };
    let incoming = Incoming {
        webhook_id,
        received_at: webhook.received_at,
        endpoint: Some(receipt.endpoint.as_str()),
        headers: &request.headers,
        query: &request.query,
        body: &body,
        source_ip: &webhook.source_ip,
        trace: None,
    };
    let replay = Replay { act, receipt, mode: *mode, now: clock::now() };
    let taken = context.ingest.replay(incoming, &replay).await;
    // Not among the metrics: they say what providers send, and an endpoint that hears nothing else is silent.
    match &taken {
        Ok(taken) => {
            let (duplicate, events, conflicts) = (taken.duplicate, taken.events, taken.conflicts);
            let (replayed, endpoint) = (webhook_id.as_str(), receipt.endpoint.as_str());
            info!(replayed, endpoint, act, ?mode, duplicate, events, conflicts, "replay taken");
        }
        Err(rejection) => {
            let (replayed, reason) = (webhook_id.as_str(), rejection.code());
            warn!(replayed, act, ?mode, reason, error = %rejection, "replay refused");
        }
    }
    Answer::of(taken, *mode)
}
