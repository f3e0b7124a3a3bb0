//! Once a day a task in; what is missing goes to a report, to the log and to metrics.

use std::sync::Arc;

use serde::Serialize;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_lambda::{
    clock,
    metrics::{Record, Unit},
    start::{Invocation, Payload},
};
use tollgate_operate::reconcile::{
    daily::{self, Daily, Looked, State},
    report::Report,
};
use tollgate_pipeline::ports::{Archive, PortError};
use tracing::{Instrument, Level, error_span, info, warn};

use crate::context::Context;

/// Kept free for the report to be written and the answer to be sent; at most a quarter of the time there is. A put takes 70 s at most,
/// and there are two.
const RESERVE_MS: u64 = 150_000;

/// Why an invocation fails as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("{0:#}")]
    Task(anyhow::Error),
    #[error("nothing was compared: {0:#}")]
    Compare(anyhow::Error),
    #[error("the report cannot be made: {0:#}")]
    Report(anyhow::Error),
    #[error("the report cannot be written: {0}")]
    Write(#[from] PortError),
    #[error("it ended early: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

/// What an invocation is answered.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    report: String,
    finished: bool,
    missing: u64,
    unfinished: u64,
    differing: u64,
    reconciled: u64,
    not_reconciled: u64,
    without_key: u64,
}

/// Compares every endpoint whose provider can be asked, and reports.
pub(crate) async fn handle(
    context: Arc<Context>,
    invocation: Invocation,
    payload: Payload,
) -> Result<Answer, ReconcileError> {
    let span = error_span!("reconciliation", request_id = invocation.request_id);
    // What compares is not proved to be `Send` by the compiler, as the runtime's handlers are: it stays on one thread.
    let runtime = tokio::runtime::Handle::current();
    let work = move || runtime.block_on(reconcile(&context, &invocation, payload.text()).instrument(span));
    tokio::task::spawn_blocking(work).await?
}

async fn reconcile(
    context: &Context,
    invocation: &Invocation,
    payload: &str,
) -> Result<Answer, ReconcileError> {
    let url = daily::task(payload).map_err(ReconcileError::Task)?;
    let mut table = Report::new(Vec::new()).map_err(ReconcileError::Report)?;
    let each = |endpoint: &EndpointId, finding: &_| table.add(endpoint.as_str(), finding);
    let until = until(invocation.deadline_ms, clock::now());
    let compared = daily::compare(&context.aws, &context.timing, url.as_deref(), until, each);
    let daily = compared.await.map_err(ReconcileError::Compare)?;
    daily.endpoints.iter().for_each(tell);
    let key = daily.key(&invocation.request_id);
    let written = write(context, &key, &daily, table).await;
    report(context, &invocation.request_id, &daily, written.is_ok());
    written?;
    Ok(Answer {
        report: format!("{key}.json"),
        finished: daily.is_finished(),
        missing: daily.missing(),
        unfinished: daily.unfinished(),
        differing: daily.differing(),
        reconciled: daily.of_state(State::Compared),
        not_reconciled: daily.of_state(State::NotCompared),
        without_key: daily.of_state(State::NoKey),
    })
}

/// When comparing ends.
fn until(deadline_ms: u64, now: Timestamp) -> Timestamp {
    let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let remaining = deadline_ms.saturating_sub(now_ms);
    let until = now_ms.saturating_add(remaining - RESERVE_MS.min(remaining / 4));
    i64::try_from(until).ok().and_then(|until| Timestamp::from_millisecond(until).ok()).unwrap_or(now)
}

/// The table first: a report says that its table is whole.
async fn write(
    context: &Context,
    key: &str,
    daily: &Daily,
    table: Report<Vec<u8>>,
) -> Result<(), ReconcileError> {
    let table = table.finish().map_err(ReconcileError::Report)?;
    let report = serde_json::to_vec(daily).map_err(|problem| ReconcileError::Report(problem.into()))?;
    context.reports.put_new(&format!("{key}.parquet"), table).await?;
    context.reports.put_new(&format!("{key}.json"), report).await?;
    Ok(())
}

fn tell(looked: &Looked) {
    let (endpoint, provider, state) =
        (looked.endpoint.as_str(), looked.provider.as_str(), looked.state.as_str());
    let counts = serde_json::to_string(&looked.counts).unwrap_or_default();
    match (looked.state, &looked.why) {
        (State::NotCompared, why) => {
            let why = why.as_deref().unwrap_or_default();
            warn!(endpoint, provider, state, why, counts, "endpoint was not reconciled");
        }
        (State::Compared, _) => info!(endpoint, provider, state, counts, "endpoint was reconciled"),
        (State::NoKey, None) => info!(endpoint, provider, state, "endpoint has no key of its provider's API"),
        (State::NoKey, Some(why)) => {
            info!(endpoint, provider, state, why = why.as_str(), "endpoint is not to be reconciled");
        }
    }
}

fn report(context: &Context, request_id: &str, daily: &Daily, is_written: bool) {
    let fields = [("request_id", request_id.into())];
    let record = Record { level: Level::INFO, message: "reconciled", fields: &fields };
    context.metrics.emit(
        clock::now(),
        record,
        &[(
            &[],
            &[
                ("missing", Unit::Count, daily.missing()),
                ("unfinished", Unit::Count, daily.unfinished()),
                ("differing", Unit::Count, daily.differing()),
                ("reconciled", Unit::Count, daily.of_state(State::Compared)),
                ("not_reconciled", Unit::Count, daily.of_state(State::NotCompared)),
                ("finished", Unit::Count, u64::from(is_written && daily.is_finished())),
            ],
        )],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_time_left_for_the_report() {
        let now = Timestamp::from_millisecond(1_760_000_000_000).unwrap();
        for (remaining, expected) in [(900_000, 750_000), (40_000, 30_000), (0, 0)] {
            let until = until(1_760_000_000_000 + remaining, now);
            assert_eq!(until.as_millisecond(), 1_760_000_000_000 + expected, "{remaining}");
        }
    }
}
