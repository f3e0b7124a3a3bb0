//! Counting at the destinations: what is really in tables, queues, the workflow and the archive.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use tollgate_core::Queue;

use tollgate_operate::{aws::Aws, queues};

/// Between two looks at a queue that is not complete yet.
const PAUSE: Duration = Duration::from_millis(200);
/// Downloads and questions at once.
const AT_ONCE: usize = 8;

/// How many copies of each event were found somewhere.
pub(crate) type Copies = BTreeMap<String, u64>;

/// What was found where.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Ledger state by ledger key.
    pub(crate) ledger: BTreeMap<String, String>,
    /// Transaction records by event id.
    pub(crate) transactions: Copies,
    /// Messages by event id in each of the consumers' queues.
    pub(crate) routed: BTreeMap<Queue, Copies>,
    /// Those messages themselves.
    pub(crate) messages: Vec<(Queue, String)>,
    /// The events in the consumers' queues that tell an effect, by its id.
    pub(crate) effects: BTreeMap<String, BTreeSet<String>>,
    /// Payments that the fraud workflow flagged: a message each in the payments queue.
    pub(crate) flagged: Copies,
    /// Alerts of medium value, and notices of high value, by event id.
    pub(crate) medium_alerts: Copies,
    pub(crate) high_notices: Copies,
    pub(crate) flagged_alerts: Copies,
    /// Workflow runs by event id; and those that failed.
    pub(crate) runs: Copies,
    pub(crate) failed_runs: u64,
    /// Archive rows by endpoint and SHA-256 of the body read back.
    pub(crate) archive: BTreeMap<(String, String), u64>,
    /// Rows whose body is not what their receipt says.
    pub(crate) altered_rows: u64,
    pub(crate) archive_objects: u64,
    pub(crate) payload_objects: u64,
    /// Depth of each dead-letter queue that is not empty.
    pub(crate) dead_letters: BTreeMap<String, u64>,
    /// What was found of the example, hop by hop.
    pub(crate) example: BTreeMap<&'static str, Value>,
}

/// The event that is followed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Example {
    pub(crate) event_id: String,
    pub(crate) ledger_key: String,
    pub(crate) body_sha256: String,
}

/// What queues must hold before they are believed to be complete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// By event id, in each of the consumers' queues.
    pub(crate) routed: BTreeMap<Queue, BTreeSet<String>>,
    /// Effects that several payment events tell, each with the ids of these: one of them is in the payments queue.
    pub(crate) effects: BTreeMap<u64, BTreeSet<String>>,
    pub(crate) medium: BTreeSet<String>,
    pub(crate) high: BTreeSet<String>,
}

impl Census {
    /// Reads both tables.
    pub(crate) async fn count_tables(&mut self, aws: &Aws, example: &Example) -> anyhow::Result<()> {
        let dynamodb = aws_sdk_dynamodb::Client::new(&aws.config);
        for item in scan(&dynamodb, &aws.names.ledger_table()).await? {
            let (Some(key), Some(state)) = (text(&item, "event_key"), text(&item, "state")) else { continue };
            if key == example.ledger_key {
                self.example.insert("ledger", plain(&item));
            }
            self.ledger.insert(key.to_owned(), state.to_owned());
        }
        for item in scan(&dynamodb, &aws.names.transactions_table()).await? {
            // Beside a transaction's events stand its latest state and the decisions on them.
            if !item.contains_key("event") {
                continue;
            }
            // The sort key ends in the event's id.
            let Some(id) = text(&item, "sort_key").and_then(|key| key.rsplit('#').next()) else { continue };
            if id == example.event_id {
                self.example.insert("transaction", plain(&item));
            }
            *self.transactions.entry(id.to_owned()).or_default() += 1;
        }
        Ok(())
    }

    /// Empties the consumers' queues and the alerts' tap, until all that is wanted was found or `deadline`.
    pub(crate) async fn drain(
        &mut self,
        aws: &Aws,
        wanted: &Wanted,
        example: &Example,
        deadline: Instant,
    ) -> anyhow::Result<()> {
        let sqs = aws_sdk_sqs::Client::new(&aws.config);
        let all_effects = &wanted.effects;
        for queue in consumers() {
            let url = queues::url(&sqs, &aws.names.queue(queue)).await?;
            loop {
                let bodies = receive_all(&sqs, &url).await?;
                for body in bodies {
                    self.count_routed(queue, &body, example);
                    self.messages.push((queue, body));
                }
                let mut wanted = wanted.routed.get(&queue).into_iter().flatten();
                let mut effects = all_effects.values().filter(|_| queue == Queue::Payments);
                let is_told = |ids: &BTreeSet<String>| ids.iter().any(|id| self.copies(queue, id) > 0);
                let complete = wanted.all(|id| self.copies(queue, id) > 0) && effects.all(is_told);
                if complete || Instant::now() >= deadline {
                    break;
                }
                sleep(PAUSE).await;
            }
        }
        let url = queues::url(&sqs, &aws.names.alerts_tap()).await?;
        loop {
            for body in receive_all(&sqs, &url).await? {
                self.alert(&body, example);
            }
            let complete = wanted.medium.iter().all(|id| self.medium_alerts.contains_key(id))
                && wanted.high.iter().all(|id| self.high_notices.contains_key(id));
            if complete || Instant::now() >= deadline {
                break;
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// How often an event was found in a queue.
    pub(crate) fn copies(&self, queue: Queue, id: &str) -> u64 {
        self.routed.get(&queue).and_then(|found| found.get(id)).copied().unwrap_or_default()
    }

    fn count_routed(&mut self, queue: Queue, body: &str, example: &Example) {
        let envelope: Value = serde_json::from_str(body).unwrap_or_default();
        let detail = envelope.get("detail").unwrap_or(&Value::Null);
        let id = field(detail, "id").to_owned();
        if id == example.event_id {
            self.example.insert("queue", envelope.clone());
        }
        let copies = match field(detail, "type") {
            "payment.flagged" => &mut self.flagged,
            _ => {
                let effect = field(detail, "effect_id").to_owned();
                self.effects.entry(effect).or_default().insert(id.clone());
                self.routed.entry(queue).or_default()
            }
        };
        *copies.entry(id).or_default() += 1;
    }

    /// What people are told of an event, not the event itself.
    fn alert(&mut self, body: &str, example: &Example) {
        let notification: Value = serde_json::from_str(body).unwrap_or_default();
        let message: Value = serde_json::from_str(field(&notification, "Message")).unwrap_or_default();
        let copies = match field(&message, "alert") {
            "flagged" => &mut self.flagged_alerts,
            "high_value" => &mut self.high_notices,
            _ => &mut self.medium_alerts,
        };
        let id = field(&message, "id").to_owned();
        *copies.entry(id.clone()).or_default() += 1;
        if id == example.event_id {
            self.example.insert("alert", notification);
        }
    }

    /// Lists the workflow's runs and what each was for.
    pub(crate) async fn count_runs(
        &mut self,
        aws: &Aws,
        wanted: &BTreeSet<String>,
        example: &Example,
        deadline: Instant,
    ) -> anyhow::Result<()> {
        let sfn = aws_sdk_sfn::Client::new(&aws.config);
        let machine = state_machine(&sfn, &aws.names.state_machine()).await?;
        let mut known: HashMap<String, ()> = HashMap::new();
        loop {
            let mut running = false;
            let mut arns = Vec::new();
            let mut pages = sfn.list_executions().state_machine_arn(&machine).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(aws_sdk_sfn::Error::from).context("listing the workflow's runs")?;
                for run in page.executions() {
                    running |= run.status().as_str() == "RUNNING";
                    if run.status().as_str() != "RUNNING"
                        && known.insert(run.execution_arn().to_owned(), ()).is_none()
                    {
                        arns.push(run.execution_arn().to_owned());
                    }
                }
            }
            let described: Vec<_> = stream::iter(arns)
                .map(|arn| sfn.describe_execution().execution_arn(arn).send())
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await
                .map_err(aws_sdk_sfn::Error::from)
                .context("reading the workflow's runs")?;
            for run in described {
                let input: Value = serde_json::from_str(run.input().unwrap_or_default()).unwrap_or_default();
                let id = field(&input, "id").to_owned();
                let succeeded = run.status().as_str() == "SUCCEEDED";
                self.failed_runs += u64::from(!succeeded);
                if id == example.event_id {
                    let output = serde_json::from_str(run.output().unwrap_or_default()).unwrap_or_default();
                    let mut hop = Map::new();
                    hop.insert("status".to_owned(), run.status().as_str().into());
                    hop.insert("output".to_owned(), output);
                    self.example.insert("workflow", hop.into());
                }
                *self.runs.entry(id).or_default() += 1;
            }
            let complete = !running && wanted.iter().all(|id| self.runs.contains_key(id));
            if complete || Instant::now() >= deadline {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Fetches the archive and reads it back with `reader`, a program that prints a JSON line a row.
    pub(crate) async fn read_archive(
        &mut self,
        aws: &Aws,
        reader: &Path,
        folder: &Path,
        example: &Example,
    ) -> anyhow::Result<()> {
        let account = aws.account().await?;
        let s3 = tollgate_aws::s3_client(&aws.config);
        let bucket = aws.names.archive_bucket(&account);
        let keys = keys(&s3, &bucket).await?;
        self.archive_objects = u64::try_from(keys.len())?;
        self.payload_objects =
            u64::try_from(self::keys(&s3, &aws.names.payload_bucket(&account)).await?.len())?;
        stream::iter(keys)
            .map(|key| download(&s3, &bucket, key, folder))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        self.archive.clear();
        self.altered_rows = 0;
        if self.archive_objects == 0 {
            return Ok(());
        }
        let mut command = Command::new(reader);
        command.arg(folder).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = tokio::task::spawn_blocking(move || command.output()).await?;
        let output = output.with_context(|| format!("running {}", reader.display()))?;
        if !output.status.success() {
            bail!("{} failed: {}", reader.display(), output.status);
        }
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let row: ArchiveRow = serde_json::from_slice(line).context("a row of the archive")?;
            // A copy that had nothing to do has a row as well.
            if !matches!(row.outcome.as_str(), "processed" | "conflict") {
                continue;
            }
            self.altered_rows += u64::from(row.sha256 != row.body_sha256);
            if row.sha256 == example.body_sha256 {
                let mut row: Value = serde_json::from_slice(line)?;
                if let Value::Object(row) = &mut row {
                    row.remove("body");
                }
                self.example.insert("archive", row);
            }
            *self.archive.entry((row.endpoint, row.sha256)).or_default() += 1;
        }
        Ok(())
    }
}

/// The consumers' queues.
pub(crate) fn consumers() -> impl Iterator<Item = Queue> {
    Queue::ALL.iter().copied().filter(|queue| queue.is_for_consumers())
}

#[derive(Debug, Deserialize)]
struct ArchiveRow {
    endpoint: String,
    /// What the receipt says.
    body_sha256: String,
    /// Of the bytes read back.
    sha256: String,
    outcome: String,
}

async fn scan(
    dynamodb: &aws_sdk_dynamodb::Client,
    table: &str,
) -> anyhow::Result<Vec<HashMap<String, AttributeValue>>> {
    let items = dynamodb.scan().table_name(table).consistent_read(true).into_paginator().items().send();
    let items: Result<Vec<_>, _> = items.collect().await;
    items.map_err(aws_sdk_dynamodb::Error::from).with_context(|| format!("reading table {table}"))
}

/// Receives and deletes until the queue gives nothing more.
async fn receive_all(sqs: &aws_sdk_sqs::Client, url: &str) -> anyhow::Result<Vec<String>> {
    let mut bodies = Vec::new();
    loop {
        let answer = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await;
        let messages =
            answer.map_err(aws_sdk_sqs::Error::from).context("receiving")?.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(bodies);
        }
        let mut batch = sqs.delete_message_batch().queue_url(url);
        for (index, message) in messages.into_iter().enumerate() {
            let entry = aws_sdk_sqs::types::DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(message.receipt_handle.unwrap_or_default())
                .build()?;
            batch = batch.entries(entry);
            bodies.push(message.body.unwrap_or_default());
        }
        let deleted = batch.send().await.map_err(aws_sdk_sqs::Error::from).context("deleting")?;
        // A message left behind would be counted again.
        if !deleted.failed().is_empty() {
            bail!("{} messages could not be deleted", deleted.failed().len());
        }
    }
}

async fn state_machine(sfn: &aws_sdk_sfn::Client, name: &str) -> anyhow::Result<String> {
    let mut machines = sfn.list_state_machines().into_paginator().items().send();
    while let Some(machine) = machines.next().await {
        let machine = machine.map_err(aws_sdk_sfn::Error::from).context("listing the state machines")?;
        if machine.name() == name {
            return Ok(machine.state_machine_arn().to_owned());
        }
    }
    bail!("no state machine {name}")
}

async fn keys(s3: &aws_sdk_s3::Client, bucket: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws_sdk_s3::Error::from).with_context(|| format!("bucket {bucket}"))?;
        keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
    }
    Ok(keys)
}

async fn download(s3: &aws_sdk_s3::Client, bucket: &str, key: String, folder: &Path) -> anyhow::Result<()> {
    // A key is a path of ours; one that leads elsewhere is not written.
    let relative: PathBuf = key.split('/').filter(|part| !part.is_empty() && *part != "..").collect();
    let path = folder.join(relative);
    if path.exists() {
        return Ok(());
    }
    let object = s3.get_object().bucket(bucket).key(&key).send().await;
    let object = object.map_err(aws_sdk_s3::Error::from).with_context(|| format!("{bucket}/{key}"))?;
    let bytes = object.body.collect().await.with_context(|| format!("{bucket}/{key}"))?.into_bytes();
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// An item as JSON for people.
fn plain(item: &HashMap<String, AttributeValue>) -> Value {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => Value::from(text.as_str()),
        AttributeValue::Bool(truth) => Value::from(*truth),
        other => Value::from(format!("{other:?}")),
    };
    item.iter().map(|(name, attribute)| (name.clone(), value(attribute))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn alerts_are_told_apart() {
        let mut census = Census::default();
        for (alert, id) in [("medium_value", "evt_1"), ("high_value", "evt_1"), ("flagged", "evt_2")] {
            let message = json!({"alert": alert, "id": id});
            let body = json!({"Type": "Notification", "Message": message.to_string()});
            census.alert(&body.to_string(), &Example::default());
        }
        let one = |id: &str| Copies::from([(id.to_owned(), 1)]);
        assert_eq!(census.medium_alerts, one("evt_1"));
        assert_eq!(census.high_notices, one("evt_1"));
        assert_eq!(census.flagged_alerts, one("evt_2"));
    }

    #[test]
    fn flagged_payments_are_counted_for_themselves() {
        let mut census = Census::default();
        let message = |id: &str, kind: &str| json!({"detail": {"id": id, "type": kind}}).to_string();
        for (queue, id, kind) in [
            (Queue::Payments, "evt_1", "payment.succeeded"),
            (Queue::Payments, "evt_1", "payment.succeeded"),
            (Queue::Payments, "evt_2", "payment.flagged"),
            (Queue::Refunds, "evt_3", "refund.succeeded"),
        ] {
            census.count_routed(queue, &message(id, kind), &Example::default());
        }
        assert_eq!(census.copies(Queue::Payments, "evt_1"), 2);
        assert_eq!(census.copies(Queue::Payments, "evt_2"), 0);
        assert_eq!(census.copies(Queue::Refunds, "evt_3"), 1);
        assert_eq!(census.flagged, Copies::from([("evt_2".to_owned(), 1)]));
    }
}
