//! One batch in, the list of its failures out. Once an hour a task in: to find silent endpoints.

use std::{collections::HashSet, sync::Arc};

use serde::Serialize;
use tollgate_aws::LONGEST_CALL;
use tollgate_batch::{Deadline, Kind, Response, Unreportable};
use tollgate_lambda::{
    clock,
    metrics::{Durations, Record as LogRecord, Unit},
    sqs::{self, Buffer, NotSqs, SqsRecord},
    start::{Invocation, Payload},
};
use tollgate_pipeline::{
    intake::{attribute, is_taken_later},
    ports::PortError,
    process::{Record, Report},
    silence::{self, Checked},
};
use tracing::{Instrument, Level, error_span};

use crate::context::Context;

/// Kept free at the end of an invocation, in milliseconds: what a section has published is archived and marked as processed
/// in that time, whatever the services do. Each of the three is a list of calls that ends within [`LONGEST_CALL`]; the rest
/// is for the response.
const RESERVE_MS: u64 = 40_000;
/// An invocation that is too short for both has so much time for work, and the rest, at least a quarter, as its reserve: one as
/// long as the invocation would leave no time for any work, ever.
const WORK_MS: u64 = 20_000;

const _: () = assert!(3 * LONGEST_CALL.as_millis() < RESERVE_MS as u128);

/// Why an invocation fails as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    #[error(transparent)]
    NotSqs(#[from] NotSqs),
    #[error(transparent)]
    Unreportable(#[from] Unreportable),
    #[error("silent endpoints cannot be told: {0}")]
    Silence(PortError),
}

/// What an invocation is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Batch(Response),
    Silence { endpoints: usize, silent: usize },
}

pub(crate) async fn handle(
    context: Arc<Context>,
    invocation: Invocation,
    payload: Payload,
) -> Result<Answer, BatchError> {
    let started_at = clock::now();
    if silence::is_task(payload.bytes()) {
        return find_silence(&context, &invocation.request_id, started_at).await;
    }
    // One for each invocation under way: on Lambda Managed Instances there are several in one process.
    let mut buffer = context.buffers.take();
    let span = error_span!("batch", request_id = invocation.request_id);
    let work = process(&context, &invocation, payload.bytes(), &mut buffer, started_at);
    let result = work.instrument(span).await;
    context.buffers.give_back(buffer);
    result.map(Answer::Batch)
}

async fn process(
    context: &Context,
    invocation: &Invocation,
    payload: &[u8],
    buffer: &mut Buffer,
    started_at: tollgate_core::Timestamp,
) -> Result<Response, BatchError> {
    let event = sqs::read(payload, buffer, context.process.is_parallel)?;
    let kind = Kind::of_queue(event.first().map(|record| record.event_source_arn).unwrap_or_default());
    let records: Vec<Record<'_>> = event.iter().map(record).collect();
    let now_ms = u64::try_from(started_at.as_millisecond()).unwrap_or(0);
    let remaining_ms = invocation.deadline_ms.saturating_sub(now_ms);
    let reserve_ms = remaining_ms.saturating_sub(WORK_MS).max(remaining_ms / 4).min(RESERVE_MS);
    let deadline = Deadline::new(now_ms, remaining_ms, reserve_ms);
    let report = context.process.run(kind, &records, deadline).await?;
    log_and_count(context, &invocation.request_id, kind, &report, started_at);
    log_durations(context, &records, &report.response, started_at);
    Ok(report.response)
}

fn record<'a>(record: &'a SqsRecord<'a>) -> Record<'a> {
    Record {
        message_id: record.message_id,
        group: record.group,
        receive_count: record.receive_count,
        body: record.body,
        escaped_body: Some(record.escaped_body),
        attributes: record.attributes().into(),
    }
}

fn log_and_count(
    context: &Context,
    request_id: &str,
    kind: Kind,
    report: &Report,
    started_at: tollgate_core::Timestamp,
) {
    let summary = &report.summary;
    let spent = u64::try_from(clock::now().duration_since(started_at).as_millis()).unwrap_or(0);
    let reasons = format!("{:?}", summary.reasons);
    let fields = [
        ("request_id", request_id.into()),
        ("unprocessed", summary.unprocessed.into()),
        ("reasons", reasons.as_str().into()),
    ];
    let record = LogRecord { level: Level::INFO, message: "batch done", fields: &fields };
    let queue = match kind {
        Kind::Standard => "intake",
        Kind::Fifo => "intake-ordered",
    };
    let count = |name, number: usize| (name, Unit::Count, number as u64);
    context.metrics.emit(
        started_at,
        record,
        &[(
            &[("queue", queue)],
            &[
                count("records", summary.records),
                count("processed", summary.ok),
                count("duplicates", summary.duplicates),
                count("quarantined", summary.quarantined),
                count("failed", summary.failed()),
                count("published", report.published),
                count("conflicts", report.conflicts),
                ("duration", Unit::Milliseconds, spent),
            ],
        )],
    );
}

/// How long the messages waited that are done with, and how long it took from their arrival until now.
fn log_durations(
    context: &Context,
    records: &[Record<'_>],
    response: &Response,
    started_at: tollgate_core::Timestamp,
) {
    let failed: HashSet<&str> = response.failures().collect();
    let ended_at = clock::now();
    let (mut queue_wait, mut end_to_end) = (Durations::default(), Durations::default());
    for record in records.iter().filter(|record| !failed.contains(record.message_id)) {
        let receipt = record.attributes.iter().find(|one| one.0 == attribute::RECEIPT);
        // Days may lie between: that says nothing of the queue.
        if receipt.is_some_and(|one| is_taken_later(one.1)) {
            continue;
        }
        let received_at = record.attributes.iter().find(|one| one.0 == attribute::RECEIVED_AT);
        let received_at = received_at.and_then(|one| one.1.parse::<tollgate_core::Timestamp>().ok());
        // Clocks of two machines may differ.
        let since = |at: tollgate_core::Timestamp| {
            received_at.map(|received| u64::try_from(at.duration_since(received).as_millis()).unwrap_or(0))
        };
        if let (Some(waited), Some(took)) = (since(started_at), since(ended_at)) {
            queue_wait.add(waited);
            end_to_end.add(took);
        }
    }
    if queue_wait != Durations::default() {
        let kinds = [("queue_wait", &queue_wait), ("end_to_end", &end_to_end)];
        context.metrics.emit_durations(started_at, "durations", &kinds);
    }
}

async fn find_silence(
    context: &Context,
    request_id: &str,
    started_at: tollgate_core::Timestamp,
) -> Result<Answer, BatchError> {
    let checked = context.silence.run().await.map_err(BatchError::Silence)?;
    report_silence(context, request_id, &checked, started_at);
    Ok(Answer::Silence { endpoints: checked.endpoints, silent: checked.silent.len() })
}

/// A line and a metric for each silent endpoint, and for no other: each is billed for the hours in which it has a value.
fn report_silence(
    context: &Context,
    request_id: &str,
    checked: &Checked,
    started_at: tollgate_core::Timestamp,
) {
    let until = checked.until.to_string();
    for (endpoint, silence) in &checked.silent {
        let usual = silence.usual.map_or_else(|| "by its setting".to_owned(), |count| count.to_string());
        let fields = [
            ("request_id", request_id.into()),
            ("until", until.as_str().into()),
            ("usual", usual.as_str().into()),
        ];
        let record = LogRecord { level: Level::WARN, message: "endpoint is silent", fields: &fields };
        context.metrics.emit(
            started_at,
            record,
            &[(&[("endpoint", endpoint.as_str())], &[("silent_hours", Unit::Count, silence.hours as u64)])],
        );
    }
    let fields = [("request_id", request_id.into()), ("until", until.as_str().into())];
    let record = LogRecord { level: Level::INFO, message: "silence looked for", fields: &fields };
    let count = |name, number: usize| (name, Unit::Count, number as u64);
    context.metrics.emit(
        started_at,
        record,
        &[(
            &[],
            &[count("endpoints_checked", checked.endpoints), count("endpoints_silent", checked.silent.len())],
        )],
    );
}
