//! One batch of the archive queue in, the messages to keep out.

use std::sync::Arc;

use tollgate_archive::{Archived, Message};
use tollgate_aws::{LONGEST_CALL, archive};
use tollgate_batch::{Deadline, Response, Unreportable};
use tollgate_core::Timestamp;
use tollgate_lambda::{
    clock,
    metrics::{Record, Unit},
    sqs::{self, Buffer, NotSqs},
    start::{Invocation, Payload},
};
use tollgate_pipeline::ports::Stored;
use tracing::{Instrument, Level, error_span, info};

use crate::context::Context;

/// Kept free for a write under way to end, with the bodies that it fetches before, and the answer to be sent; at most half of the
/// time there is.
const RESERVE_MS: u64 = 100_000;
const _: () = assert!(
    archive::OPERATION_TIMEOUT.as_millis() + LONGEST_CALL.as_millis() < RESERVE_MS as u128,
    "a write that is begun in time outlives the invocation"
);

/// Why a whole batch failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchivalError {
    /// Its position, and nothing of its content.
    #[error(transparent)]
    Event(#[from] NotSqs),
    #[error(transparent)]
    Unreportable(#[from] Unreportable),
}

/// Archives a batch.
pub(crate) async fn handle(
    context: Arc<Context>,
    invocation: Invocation,
    payload: Payload,
) -> Result<Response, ArchivalError> {
    let span = error_span!("batch", request_id = invocation.request_id);
    let archive = async {
        // A batch is tens of rows to a message: the buffer is no cost beside the object that is made of it.
        let mut buffer = Buffer::default();
        let records = sqs::read(payload.bytes(), &mut buffer, false)?;
        let messages: Vec<Message<'_>> =
            records.iter().map(|record| Message { id: record.message_id, body: record.body }).collect();
        let now = unix_ms(clock::now());
        let remaining = invocation.deadline_ms.saturating_sub(now);
        let deadline = Deadline::new(now, remaining, RESERVE_MS.min(remaining / 2));
        let has_time = || deadline.has_time(unix_ms(clock::now()));
        let archived = context.archiver.archive(&messages, has_time).await?;
        report(&context, &invocation.request_id, &archived);
        Ok(archived.response)
    };
    archive.instrument(span).await
}

fn report(context: &Context, request_id: &str, archived: &Archived) {
    for object in &archived.objects {
        info!(
            key = object.key,
            rows = object.rows,
            bytes = object.bytes,
            existed = object.stored == Stored::Existed,
            "archived"
        );
    }
    let new = || archived.objects.iter().filter(|object| object.stored == Stored::New);
    let fields = [("request_id", request_id.into())];
    let record = Record { level: Level::INFO, message: "batch done", fields: &fields };
    context.metrics.emit(
        clock::now(),
        record,
        &[(
            &[],
            &[
                ("messages", Unit::Count, count(archived.summary.records)),
                ("rows", Unit::Count, new().map(|object| count(object.rows)).sum()),
                ("bytes", Unit::Bytes, new().map(|object| count(object.bytes)).sum()),
                ("objects", Unit::Count, count(new().count())),
                ("failures", Unit::Count, count(archived.summary.failed())),
            ],
        )],
    );
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}
