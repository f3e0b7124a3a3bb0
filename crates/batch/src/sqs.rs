//! The types of the crate `aws_lambda_events`: an event in, its partial response out.

use std::future::Future;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};

use crate::{
    batch::{Batch, Kind, Unreportable},
    guard::Panic,
    outcome::{Outcome, Summary},
    response::Response,
};

/// The result of [`handle_event`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handled {
    /// What the function returns to Lambda. Its event source mapping needs `ReportBatchItemFailures`; without it Lambda
    /// takes any response as success and deletes the whole batch.
    pub response: SqsBatchResponse,
    /// How many messages ended in which way.
    pub summary: Summary,
    /// The panics, for the log, each with its message's index in the event. These messages are in the response.
    pub panics: Vec<(usize, Panic)>,
}

/// Handles every message of an event and returns the response for Lambda.
///
/// `handle` is called at most once for each message, for at most `at_once` of them at the same time (0 counts as 1). On
/// a FIFO queue the messages of one group are handled one after the other, and none after a failure. No message is
/// begun after `has_time` has returned false. A panic is the failure of its message only.
///
/// # Errors
///
/// [`Unreportable`]: a message failed that has no message id. Return it as the function's error.
pub async fn handle_event<'e, F>(
    event: &'e SqsEvent,
    at_once: usize,
    has_time: impl FnMut() -> bool,
    mut handle: impl FnMut(&'e SqsMessage) -> F,
) -> Result<Handled, Unreportable>
where
    F: Future<Output = Outcome>,
{
    let mut batch = Batch::from(event);
    #[expect(clippy::indexing_slicing, reason = "the batch was made of these records")]
    let panics = batch.run_async(at_once, has_time, |index| handle(&event.records[index])).await;
    Ok(Handled { response: batch.response()?.into(), summary: batch.summary(), panics })
}

/// A batch of the event's messages, of the kind of its queue. Where no message says which queue, messages with a group
/// are kept in the order of their groups.
impl<'e> From<&'e SqsEvent> for Batch<'e> {
    fn from(event: &'e SqsEvent) -> Self {
        // Lambda sends messages of one queue in an event.
        let queue = event.records.iter().find_map(|message| message.event_source_arn.as_deref());
        let has_groups =
            || event.records.iter().any(|message| message.attributes.contains_key("MessageGroupId"));
        let kind = match queue {
            Some(queue) => Kind::of_queue(queue),
            None if has_groups() => Kind::Fifo,
            None => Kind::Standard,
        };
        let ids = event.records.iter().map(|message| {
            let group = message.attributes.get("MessageGroupId").map(String::as_str);
            (message.message_id.as_deref().unwrap_or_default(), group)
        });
        Self::new(kind, ids)
    }
}

impl From<Response> for SqsBatchResponse {
    fn from(response: Response) -> Self {
        let mut converted = Self::default();
        converted.set_failures(response.failures());
        converted
    }
}
