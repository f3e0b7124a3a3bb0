//! Dead letters, received one batch after the other: what a redrive and an allowance share.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_sdk_sqs::{
    Client,
    types::{ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName as System},
};

/// Messages of one receive, and of one batch: SQS's most.
const TOGETHER: usize = 10;
/// How long a receive waits, the least that is: one that waits asks every server of the queue, so that an empty answer is one
/// (Amazon SQS Developer Guide, "Short and long polling").
const WAIT_SECONDS: i32 = 1;
/// How long a received message is kept from others, at least: ten messages at one a second, and their calls.
pub const HIDDEN_SECONDS: i32 = 120;

/// A queue's dead letters while they are looked at. Whoever stops it loses nothing: they are there again after
/// [`HIDDEN_SECONDS`].
#[derive(Debug)]
pub struct DeadLetters<'a> {
    sqs: &'a Client,
    url: &'a str,
    /// The newest receipt of each message that was received and not deleted, by the message's id.
    receipts: BTreeMap<String, String>,
}

/// What one receive brought.
#[derive(Debug)]
pub struct Batch {
    /// Messages that were not received before, by their ids.
    pub fresh: Vec<(String, Message)>,
    /// How many came once more, since nobody has taken them meanwhile.
    pub again: usize,
}

impl<'a> DeadLetters<'a> {
    /// The dead letters of the queue with this URL. No call is made yet.
    pub fn new(sqs: &'a Client, url: &'a str) -> Self {
        Self { sqs, url, receipts: BTreeMap::new() }
    }

    /// Receives `most` messages at most. Of a FIFO group those that come first.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn receive(&mut self, most: u64) -> anyhow::Result<Batch> {
        let room = usize::try_from(most).unwrap_or(TOGETHER).min(TOGETHER);
        let answer = self
            .sqs
            .receive_message()
            .queue_url(self.url)
            .max_number_of_messages(i32::try_from(room)?)
            .wait_time_seconds(WAIT_SECONDS)
            .visibility_timeout(HIDDEN_SECONDS)
            .message_attribute_names("All")
            .message_system_attribute_names(System::All)
            .send()
            .await;
        let answer = answer.map_err(aws_sdk_sqs::Error::from).context("receiving dead letters")?;
        let mut batch = Batch { fresh: Vec::new(), again: 0 };
        for message in answer.messages.unwrap_or_default() {
            let id = message.message_id().context("SQS gives a message no id")?.to_owned();
            let receipt = message.receipt_handle().context("SQS gives a message no receipt")?.to_owned();
            match self.receipts.insert(id.clone(), receipt) {
                Some(_) => batch.again += 1,
                None => batch.fresh.push((id, message)),
            }
        }
        Ok(batch)
    }

    /// Deletes a message that was received.
    ///
    /// # Errors
    ///
    /// When it was not received, or AWS does not answer.
    pub async fn delete(&mut self, id: &str) -> anyhow::Result<()> {
        let receipt = self.receipts.remove(id).context("a message that was not received")?;
        let deleted = self.sqs.delete_message().queue_url(self.url).receipt_handle(receipt).send().await;
        deleted.map_err(aws_sdk_sqs::Error::from).context("deleting what was sent")?;
        Ok(())
    }

    /// Shows to others what was not deleted. What cannot be shown is there again by itself: one whose time is over is already,
    /// and SQS refuses its receipt ("ChangeMessageVisibility", API reference).
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn give_back(self) -> anyhow::Result<()> {
        let receipts: Vec<String> = self.receipts.into_values().collect();
        for chunk in receipts.chunks(TOGETHER) {
            let entries = chunk.iter().enumerate().map(|(index, receipt)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(receipt)
                    .visibility_timeout(0)
                    .build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>()?;
            let request =
                self.sqs.change_message_visibility_batch().queue_url(self.url).set_entries(Some(entries));
            request.send().await.map_err(aws_sdk_sqs::Error::from).context("giving back what is left")?;
        }
        Ok(())
    }
}
