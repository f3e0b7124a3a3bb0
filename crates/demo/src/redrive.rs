//! Dead letters back to their queue, as an operator would send them after killing functions too often.

use aws_sdk_sqs::Client;
use tollgate_core::Queue;
use tollgate_pipeline::intake::attribute;

use tollgate_operate::{
    aws::Aws,
    queues,
    redrive::{Bounds, Onward, send_back},
};

/// Sends back what was dead-lettered by too many receives; what was quarantined with a reason stays. How many.
pub(crate) async fn redrive(aws: &Aws) -> anyhow::Result<u64> {
    let sqs = Client::new(&aws.config);
    let mut moved = 0;
    for &queue in Queue::ALL.iter().filter(|queue| !queue.is_for_consumers()) {
        let from = queues::url(&sqs, &aws.names.dead_letters(queue)).await?;
        let url = queues::url(&sqs, &aws.names.queue(queue)).await?;
        let bounds = Bounds { most: u64::MAX, rate: 500 };
        let done = send_back(&sqs, &from, bounds, |message| {
            let attributes = message.message_attributes();
            match attributes.and_then(|all| all.get(attribute::REASON)) {
                None => Ok(Onward { url: url.clone(), with_attributes: true }),
                Some(_) => Err("it was set aside with a reason".to_owned()),
            }
        });
        moved += done.await?.sent.values().sum::<u64>();
    }
    Ok(moved)
}
