//! What waits in the queues, and since when.

use anyhow::Context;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tollgate_aws::cloudwatch::{CloudWatch, Query, Span};
use tollgate_core::Timestamp;

use super::peer;
use crate::{
    aws::Aws,
    queues::{self, Depth},
};

/// How far back the age of a queue's oldest message is looked for, in minutes: SQS reports it each minute, and a few minutes
/// late at times.
const MINUTES: usize = 10;
/// Queues of the local peer that are looked at at once.
const AT_ONCE: usize = 4;

/// What waits in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// The queue, and how many messages it has.
    #[serde(flatten)]
    pub depth: Depth,
    /// How old its oldest message is, in seconds. `None`: it is empty, or nothing says it.
    pub oldest_seconds: Option<u64>,
}

/// Every queue with what waits in it. SQS counts approximately. Of a message that failed three times, the age of a queue on AWS
/// goes by the messages behind it ("Available CloudWatch metrics for Amazon SQS", SQS developer guide).
///
/// # Errors
///
/// When a queue is missing or AWS does not answer.
pub async fn backlogs(aws: &Aws, now: Timestamp) -> anyhow::Result<Vec<Backlog>> {
    let depths = queues::depths(aws).await?;
    let oldest = match &aws.platform {
        Some(platform) => {
            let ages: Vec<_> = depths.iter().map(|depth| peer::oldest(platform, depth, now)).collect();
            stream::iter(ages).buffered(AT_ONCE).collect().await
        }
        None => of_cloudwatch(aws, &depths, now).await?,
    };
    let backlogs = depths.into_iter().zip(oldest).map(|(depth, oldest_seconds)| {
        let oldest_seconds = oldest_seconds.filter(|_| depth.all() > 0);
        Backlog { depth, oldest_seconds }
    });
    Ok(backlogs.collect())
}

async fn of_cloudwatch(aws: &Aws, depths: &[Depth], now: Timestamp) -> anyhow::Result<Vec<Option<u64>>> {
    let queries: Vec<Query<'_>> = depths
        .iter()
        .map(|depth| Query {
            namespace: "AWS/SQS",
            name: "ApproximateAgeOfOldestMessage",
            dimensions: vec![("QueueName", depth.name.as_str())],
            statistic: "Maximum",
        })
        .collect();
    let end = now.as_second() - now.as_second().rem_euclid(60) + 60;
    let span = Span { from: end - MINUTES as i64 * 60, periods: MINUTES, period: 60 };
    let metrics = CloudWatch::new(aws.config.clone(), aws.url_of("monitoring"));
    let values = metrics.values(&queries, span).await.context("reading the queues' ages")?;
    let last = |values: Vec<Option<f64>>| values.into_iter().flatten().next_back();
    Ok(values.into_iter().map(|values| last(values).map(|age| age.max(0.0) as u64)).collect())
}
