//! The queues: who reads them, where what fails goes, what waits and for how long.

use anyhow::Context;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use futures_util::{future::join_all, join};
use serde::Deserialize;
use tollgate_core::{Queue, Timestamp};

use super::{
    functions,
    model::{Finding, told},
};
use crate::{aws::Aws, figures, queues};

const QUEUES: &str = "queues";
const CONSUMERS: &str = "consumers";
const WAITING: &str = "waiting";
const DEAD: &str = "dead letters";
/// So old a queue's oldest message may be: the alarm's own bound, where nothing else is set (`MessageAgeSeconds`).
const OLD_SECONDS: u64 = 600;
/// A dead letter is kept for 14 days (infra/tollgate.yaml): so many days before that, it is a failure.
const KEPT_DAYS: u64 = 14;
const LAST_DAYS: u64 = 3;
const DAY_SECONDS: u64 = 86_400;

pub(super) async fn check(aws: &Aws, now: Timestamp) -> Vec<Finding> {
    let sqs = aws_sdk_sqs::Client::new(&aws.config);
    let of_queues = join_all(Queue::ALL.iter().map(async |&queue| {
        let found = of_queue(aws, &sqs, queue).await;
        told(QUEUES, aws.names.queue(queue), found)
    }));
    let (of_queues, waiting) = join!(of_queues, waiting(aws, now));
    let waiting = told(WAITING, "all queues", waiting);
    of_queues.into_iter().flatten().chain(waiting).collect()
}

async fn of_queue(aws: &Aws, sqs: &aws_sdk_sqs::Client, queue: Queue) -> anyhow::Result<Vec<Finding>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Redrive {
        dead_letter_target_arn: String,
    }
    let name = aws.names.queue(queue);
    let url = queues::url(sqs, &name).await?;
    let asked = [Attribute::QueueArn, Attribute::RedrivePolicy];
    let answer = sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(asked.to_vec())).send();
    let answer = answer.await.map_err(aws_sdk_sqs::Error::from).with_context(|| format!("queue {name}"))?;
    let attribute = |attribute: &Attribute| answer.attributes().and_then(|all| all.get(attribute)).cloned();
    let policy =
        attribute(&Attribute::RedrivePolicy).and_then(|text| serde_json::from_str::<Redrive>(&text).ok());
    let target = policy.map(|policy| policy.dead_letter_target_arn).unwrap_or_default();
    let dead_letters = aws.names.dead_letters(queue);
    let goes_there = target.rsplit(':').next() == Some(dead_letters.as_str());
    let said = ["what fails goes to its dead letters", "what fails goes nowhere, or elsewhere"];
    let mut found = vec![Finding::of_property(QUEUES, &name, goes_there, said, "`make deploy` again")];
    if !queue.is_for_consumers() {
        let arn = attribute(&Attribute::QueueArn).with_context(|| format!("queue {name} has no ARN"))?;
        found.extend(told(CONSUMERS, &name, mapped(aws, &name, &arn).await));
    }
    Ok(found)
}

/// Whether a function is called with its messages.
async fn mapped(aws: &Aws, name: &str, arn: &str) -> anyhow::Result<Vec<Finding>> {
    let mappings = functions::mappings(aws, arn).await?;
    if mappings.is_empty() {
        let remedy = "`make deploy` again: docs/runbook.md#old-messages";
        return Ok(vec![Finding::fail(CONSUMERS, name, "no function reads it", remedy)]);
    }
    let of = |mapping: &functions::Mapping| {
        if mapping.state != "Enabled" {
            let detail = format!("its mapping is {}: {}", mapping.state, mapping.state_transition_reason);
            return Finding::fail(CONSUMERS, name, detail, "docs/runbook.md#old-messages");
        }
        let reports = mapping.function_response_types.iter().any(|one| one == "ReportBatchItemFailures");
        let said = ["a function reads it", "one failure of a batch brings all of it back"];
        Finding::of_property(CONSUMERS, name, reports, said, "`make deploy` again")
    };
    Ok(mappings.iter().map(of).collect())
}

async fn waiting(aws: &Aws, now: Timestamp) -> anyhow::Result<Vec<Finding>> {
    let mut found = Vec::new();
    for one in figures::backlogs(aws, now).await? {
        let (depth, age) = (&one.depth, one.oldest_seconds.unwrap_or(0));
        if depth.all() == 0 {
            continue;
        }
        if depth.dead_letters {
            let days = age / DAY_SECONDS;
            let detail = format!("{} wait for a decision, the oldest for {days} days", depth.all());
            let remedy = "`tollgate dlq list`, docs/runbook.md#waiting";
            if days + LAST_DAYS >= KEPT_DAYS {
                let detail = format!("{detail}: SQS deletes it after {KEPT_DAYS}");
                found.push(Finding::fail(DEAD, &depth.name, detail, remedy));
            } else {
                found.push(Finding::warn(DEAD, &depth.name, detail, remedy));
            }
        } else if age > OLD_SECONDS {
            let detail = format!("its oldest message waits for {} minutes", age / 60);
            found.push(Finding::warn(WAITING, &depth.name, detail, "docs/runbook.md#old-messages"));
        }
    }
    if found.is_empty() {
        found.push(Finding::ok(WAITING, "all queues", "no dead letters, and nothing is old"));
    }
    Ok(found)
}
