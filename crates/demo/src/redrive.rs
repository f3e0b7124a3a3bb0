//! Dead letters back to their queue, as an operator would send them after killing functions too often.

use anyhow::Context;
use aws_sdk_sqs::{
    Client,
    types::{Message, MessageSystemAttributeName as System},
};
use tollgate_core::Queue;
use tollgate_pipeline::intake::attribute;

use tollgate_cli::{aws::Aws, status};

/// Sends back what was dead-lettered by too many receives; what was quarantined with a reason stays. How many.
pub(crate) async fn redrive(aws: &Aws) -> anyhow::Result<u64> {
    let sqs = Client::new(&aws.config);
    let mut moved = 0;
    for &queue in Queue::ALL.iter().filter(|queue| !queue.is_for_consumers()) {
        let from = status::queue_url(&sqs, &aws.names.dead_letters(queue)).await?;
        let to = status::queue_url(&sqs, &aws.names.queue(queue)).await?;
        loop {
            let messages = receive(&sqs, &from).await?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                let attributes = message.message_attributes();
                if attributes.is_some_and(|all| all.contains_key(attribute::REASON)) {
                    continue;
                }
                send(&sqs, &to, &message).await?;
                let handle = message.receipt_handle().unwrap_or_default();
                let deleted = sqs.delete_message().queue_url(&from).receipt_handle(handle).send().await;
                deleted.map_err(aws_sdk_sqs::Error::from).context("deleting a dead letter")?;
                moved += 1;
            }
        }
    }
    Ok(moved)
}

async fn receive(sqs: &Client, url: &str) -> anyhow::Result<Vec<Message>> {
    let answer = sqs
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(10)
        .message_attribute_names("All")
        .message_system_attribute_names(System::All)
        .send()
        .await;
    let answer = answer.map_err(aws_sdk_sqs::Error::from).context("receiving dead letters")?;
    Ok(answer.messages.unwrap_or_default())
}

async fn send(sqs: &Client, url: &str, message: &Message) -> anyhow::Result<()> {
    let known = |name: &System| message.attributes().and_then(|all| all.get(name)).cloned();
    let group = known(&System::MessageGroupId);
    // Within five minutes the queue would swallow a message with the id that it had before.
    let id = message.message_id().unwrap_or_default();
    let deduplication = group.as_ref().map(|_| format!("redrive-{id}"));
    let sent = sqs
        .send_message()
        .queue_url(url)
        .message_body(message.body().unwrap_or_default())
        .set_message_attributes(message.message_attributes().cloned())
        .set_message_group_id(group)
        .set_message_deduplication_id(deduplication)
        .send()
        .await;
    sent.map_err(aws_sdk_sqs::Error::from).context("sending a dead letter back")?;
    Ok(())
}
