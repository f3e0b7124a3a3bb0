//! Events as the bus delivers them, while somebody listens: by a rule and a queue that are made for that and removed afterwards.
//!
//! Both have one name, which says until when they are wanted. What was left behind, by a machine that lost its power, say, is
//! found by the name and removed by whoever listens next; until then the queue keeps what it was sent since then.

use std::{collections::HashMap, ops::ControlFlow, time::Duration};

use anyhow::{Context, bail, ensure};
use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tollgate_core::{Timestamp, id::to_hex};

use crate::{
    archived::Archive,
    aws::Aws,
    known::Known,
    search::{Filters, Query},
    walk::{Walk, second},
};

/// What the names of rules and queues begin with.
const STEM: &str = "tollgate-listen-";
/// A queue keeps an event so long at least, in seconds (SetQueueAttributes, API reference).
const LEAST_RETENTION_SECONDS: i64 = 60;
/// After so long a rule that was made takes effect: AWS says "a short period of time" (PutRule, API reference).
const TAKES_EFFECT: Duration = Duration::from_secs(60);
/// Objects that were written so long before the newest one may be listed after it: their writing took longer.
const OVERLAP: Duration = Duration::from_secs(60);
/// How long an event that was taken is nobody else's, in seconds: it is deleted once it was forwarded.
const VISIBILITY_SECONDS: u32 = 120;
/// A queue is asked for so long, in seconds: the longest that SQS waits (ReceiveMessage, API reference).
const WAIT_SECONDS: i32 = 20;
/// From making a queue until it is used.
const FIRST_USE: Duration = Duration::from_secs(1);
/// The most values of one field that a rule compares: far fewer than its pattern of 2,048 characters holds (Amazon EventBridge
/// quotas).
const MOST_VALUES: usize = 20;
/// Events that are known to be told, of those that may be both archived and heard.
const KNOWN: usize = 100_000;

/// What the bus is asked for. What is empty asks for all; the values of one field are alternatives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Our types.
    pub kinds: Vec<String>,
    /// Where they arrived.
    pub endpoints: Vec<String>,
    /// Whose they are.
    pub providers: Vec<String>,
}

impl Asked {
    /// Whether an event is among them.
    fn is(&self, event: &Value) -> bool {
        let is_one = |values: &[String], field: &str| {
            let found = event.get(field).and_then(Value::as_str);
            values.is_empty() || found.is_some_and(|found| values.iter().any(|one| one == found))
        };
        is_one(&self.kinds, "type")
            && is_one(&self.endpoints, "endpoint")
            && is_one(&self.providers, "provider")
    }
}

/// What was published before somebody listened, out of the archive.
#[derive(Debug)]
pub struct Past {
    asked: Asked,
    query: Query,
    /// When the newest object that was read was written, by S3's clock.
    newest: Option<Timestamp>,
}

impl Past {
    /// The events of webhooks that arrived from `from` on, for a listener that was there at `opened`.
    ///
    /// # Errors
    ///
    /// When `from` is not before it.
    pub fn new(asked: &Asked, from: Timestamp, opened: Timestamp) -> anyhow::Result<Self> {
        ensure!(from < opened, "--from is not past");
        let filters = Filters {
            endpoint: asked.endpoints.clone(),
            provider: asked.providers.clone(),
            kind: asked.kinds.clone(),
            from: Some(from.to_string()),
            to: Some(opened.checked_add(TAKES_EFFECT)?.to_string()),
            ..Filters::default()
        };
        Ok(Self { asked: asked.clone(), query: filters.query(opened)?, newest: None })
    }

    /// Events of webhooks that arrived from this moment on are heard: those before it may be archived, heard, or both.
    pub fn until(&self) -> Timestamp {
        self.query.to()
    }

    /// Nothing was told yet.
    pub fn told(&self) -> Told {
        Told { until: self.until(), ids: Known::new(KNOWN) }
    }

    /// Hands over what is archived: objects in the order of their first webhooks, those that begin in one second together, and
    /// in them webhooks in the order of arrival. Read again, it hands over what was archived since, and some of what was
    /// archived just before it was read first. `each` says whether to go on.
    ///
    /// # Errors
    ///
    /// When AWS does not answer, objects of the time are in Glacier, or `each` fails.
    pub async fn read(
        &mut self,
        aws: &Aws,
        mut each: impl AsyncFnMut(&str) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<()> {
        let walk = Walk { archive: Archive::of(aws).await?, query: &self.query };
        let since = self.newest.map(|newest| newest.checked_sub(OVERLAP)).transpose()?;
        let mut newest = self.newest;
        for day in walk.days() {
            let mut objects = walk.objects(&day).await?;
            newest = newest.max(objects.iter().filter_map(|object| object.written_at).max());
            objects.retain(|object| object.written_at.is_none_or(|at| Some(at) >= since));
            for together in objects.chunk_by(|one, other| second(&one.key) == second(&other.key)) {
                for json in walk.rows(together).await?.into_iter().flat_map(|row| row.events) {
                    let event: Value = serde_json::from_str(&json).context("an event of the archive")?;
                    if self.asked.is(&event) && each(&json).await?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        self.newest = newest;
        Ok(())
    }
}

/// Which events were told, of webhooks that arrived before [a moment](Past::until). Those of later ones are heard alone.
#[derive(Debug)]
pub struct Told {
    until: Timestamp,
    ids: Known<String>,
}

impl Told {
    /// Whether an event was told before; from now on it was. It is known for a hundred thousand others.
    pub fn has(&mut self, id: &str, arrived_at: Option<Timestamp>) -> bool {
        arrived_at.is_none_or(|at| at < self.until) && !self.ids.is_new(id.to_owned())
    }
}

/// An event that was heard.
#[derive(Debug)]
pub struct Heard {
    /// The payment event's JSON, as it was published.
    pub json: String,
    receipt: String,
}

/// A rule and a queue of one's own.
#[derive(Debug)]
pub struct Listener {
    sqs: aws_sdk_sqs::Client,
    events: aws_sdk_eventbridge::Client,
    bus: String,
    /// Of both.
    name: String,
    queue_url: String,
}

impl Listener {
    /// Makes them, wanted until `until`, after what others have left behind is removed.
    ///
    /// # Errors
    ///
    /// When AWS refuses; what was made by then is removed.
    pub async fn open(aws: &Aws, asked: &Asked, now: Timestamp, until: Timestamp) -> anyhow::Result<Self> {
        for values in [&asked.kinds, &asked.endpoints, &asked.providers] {
            if values.len() > MOST_VALUES {
                bail!("a filter has {MOST_VALUES} values at most");
            }
        }
        let sqs = aws_sdk_sqs::Client::new(&aws.config);
        let events = aws_sdk_eventbridge::Client::new(&aws.config);
        let bus = aws.names.bus();
        remove_left_behind(aws, &sqs, &events, now).await?;
        let name = Name { until: until.as_second(), random: random()? }.written(aws);
        let account = aws.account().await?;
        let arn = |service: &str, rest: &str| {
            let region = aws.config.region().map_or("us-east-1", |region| region.as_ref());
            format!("arn:{}:{service}:{region}:{account}:{rest}", partition(region))
        };
        let (queue_arn, rule_arn) = (arn("sqs", &name), arn("events", &format!("rule/{bus}/{name}")));
        // The rule alone sends to it.
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "events.amazonaws.com" },
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": rule_arn } },
            }],
        });
        // As long as somebody listens: catching up may take most of it.
        let retention = (until.as_second() - now.as_second()).max(LEAST_RETENTION_SECONDS);
        let made = sqs
            .create_queue()
            .queue_name(&name)
            .attributes(QueueAttributeName::MessageRetentionPeriod, retention.to_string())
            .attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_SECONDS.to_string())
            .attributes(QueueAttributeName::SqsManagedSseEnabled, "true")
            .attributes(QueueAttributeName::Policy, policy.to_string());
        let made = made.send().await.map_err(aws_sdk_sqs::Error::from).context("making the queue")?;
        // "After you create a queue, you must wait at least one second" (CreateQueue, API reference).
        tokio::time::sleep(FIRST_USE).await;
        let queue_url = made.queue_url().context("SQS does not say the queue's URL")?.to_owned();
        let listener = Self { sqs, events, bus, name, queue_url };
        match listener.start(asked, &queue_arn).await {
            Ok(()) => Ok(listener),
            Err(problem) => {
                let closed = listener.close().await;
                Err(match closed {
                    Ok(()) => problem,
                    Err(more) => problem.context(format!("{more:#}")),
                })
            }
        }
    }

    async fn start(&self, asked: &Asked, queue_arn: &str) -> anyhow::Result<()> {
        let rule = self
            .events
            .put_rule()
            .event_bus_name(&self.bus)
            .name(&self.name)
            .description("Made by `tollgate listen`, and removed by it.")
            .event_pattern(pattern(asked));
        rule.send().await.map_err(aws_sdk_eventbridge::Error::from).context("making the rule")?;
        let target = Target::builder().id("listener").arn(queue_arn).build()?;
        let put = self.events.put_targets().event_bus_name(&self.bus).rule(&self.name).targets(target);
        let put =
            put.send().await.map_err(aws_sdk_eventbridge::Error::from).context("making the rule's target")?;
        if put.failed_entry_count() > 0 {
            bail!("EventBridge does not take the rule's target");
        }
        Ok(())
    }

    /// What was heard since, up to ten events; none where nothing came for 20 seconds.
    ///
    /// # Errors
    ///
    /// When AWS does not answer, or a message is no event.
    pub async fn next(&self) -> anyhow::Result<Vec<Heard>> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(10)
            .wait_time_seconds(WAIT_SECONDS);
        let received = received.send().await.map_err(aws_sdk_sqs::Error::from).context("asking the queue")?;
        let mut heard = Vec::new();
        for message in received.messages.unwrap_or_default() {
            let (Some(body), Some(receipt)) = (message.body, message.receipt_handle) else { continue };
            heard.push(Heard { json: event_of(&body)?, receipt });
        }
        Ok(heard)
    }

    /// Says that an event was dealt with: it does not come again.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn done(&self, heard: &Heard) -> anyhow::Result<()> {
        let delete = self.sqs.delete_message().queue_url(&self.queue_url).receipt_handle(&heard.receipt);
        delete.send().await.map_err(aws_sdk_sqs::Error::from).context("deleting a message")?;
        Ok(())
    }

    /// Removes both.
    ///
    /// # Errors
    ///
    /// When AWS does not answer: who listens next removes them, once they are wanted no more.
    pub async fn close(&self) -> anyhow::Result<()> {
        remove(&self.sqs, &self.events, &self.bus, &self.name, &self.queue_url)
            .await
            .with_context(|| format!("removing the rule and the queue {}", self.name))
    }
}

/// A name: until when it is wanted, in seconds since 1970, and what tells it from others.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    until: i64,
    random: String,
}

impl Name {
    fn written(&self, aws: &Aws) -> String {
        format!("{STEM}{}-{}-{}", self.until, self.random, aws.names.suffix())
    }

    /// Reads a name of this environment back.
    fn read(name: &str, suffix: &str) -> Option<Self> {
        let rest = name.strip_prefix(STEM)?.strip_suffix(suffix)?.strip_suffix('-')?;
        let (until, random) = rest.split_once('-')?;
        let is_plain = random.len() == RANDOM_DIGITS && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_plain.then_some(Self { until: until.parse().ok()?, random: random.to_owned() })
    }
}

const RANDOM_DIGITS: usize = 8;

fn random() -> anyhow::Result<String> {
    let mut bytes = [0; RANDOM_DIGITS / 2];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("the system has no random bytes")?;
    Ok(to_hex(&bytes))
}

/// China's and the government's regions have partitions of their own ("AWS service endpoints", AWS general reference).
fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

fn pattern(asked: &Asked) -> String {
    let mut pattern = json!({ "source": ["tollgate"] });
    let mut detail = serde_json::Map::new();
    for (field, values) in [("endpoint", &asked.endpoints), ("provider", &asked.providers)] {
        if !values.is_empty() {
            detail.insert(field.to_owned(), json!(values));
        }
    }
    if let Some(pattern) = pattern.as_object_mut() {
        if !asked.kinds.is_empty() {
            pattern.insert("detail-type".to_owned(), json!(asked.kinds));
        }
        if !detail.is_empty() {
            pattern.insert("detail".to_owned(), detail.into());
        }
    }
    pattern.to_string()
}

/// The event in the bus's envelope, as it is written there: amounts of any length stay exact.
fn event_of(body: &str) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        detail: &'a RawValue,
    }
    let envelope: Envelope<'_> = serde_json::from_str(body).context("a message of the bus has no event")?;
    Ok(envelope.detail.get().to_owned())
}

async fn remove_left_behind(
    aws: &Aws,
    sqs: &aws_sdk_sqs::Client,
    events: &aws_sdk_eventbridge::Client,
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut pages = sqs.list_queues().queue_name_prefix(STEM).into_paginator().page_size(1_000).send();
    let mut left = HashMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws_sdk_sqs::Error::from).context("listing what others have left behind")?;
        for url in page.queue_urls() {
            let name = url.rsplit('/').next().unwrap_or_default();
            let is_over =
                Name::read(name, aws.names.suffix()).is_some_and(|name| name.until < now.as_second());
            if is_over {
                left.insert(name.to_owned(), url.clone());
            }
        }
    }
    for (name, url) in left {
        remove(sqs, events, &aws.names.bus(), &name, &url)
            .await
            .with_context(|| format!("removing {name}, which was left behind"))?;
    }
    Ok(())
}

/// The queue last: by its name the others are found. What is gone already is no failure.
async fn remove(
    sqs: &aws_sdk_sqs::Client,
    events: &aws_sdk_eventbridge::Client,
    bus: &str,
    name: &str,
    queue_url: &str,
) -> anyhow::Result<()> {
    use aws_sdk_eventbridge::Error::ResourceNotFoundException;
    let targets = events.remove_targets().event_bus_name(bus).rule(name).ids("listener").send().await;
    match targets.map_err(aws_sdk_eventbridge::Error::from) {
        Ok(_) | Err(ResourceNotFoundException(_)) => {}
        Err(problem) => return Err(problem.into()),
    }
    let rule = events.delete_rule().event_bus_name(bus).name(name).send().await;
    match rule.map_err(aws_sdk_eventbridge::Error::from) {
        Ok(_) | Err(ResourceNotFoundException(_)) => {}
        Err(problem) => return Err(problem.into()),
    }
    match sqs.delete_queue().queue_url(queue_url).send().await.map_err(aws_sdk_sqs::Error::from) {
        Ok(_) | Err(aws_sdk_sqs::Error::QueueDoesNotExist(_)) => Ok(()),
        Err(problem) => Err(problem.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_until_when_and_is_of_one_environment() {
        let name = "tollgate-listen-1767323045-0a1b2c3d-dev";
        let read = Name { until: 1_767_323_045, random: "0a1b2c3d".to_owned() };
        assert_eq!(Name::read(name, "dev"), Some(read));
        for (name, suffix) in [
            (name, "prod"),
            (name, "v"),
            ("tollgate-listen-1767323045-0a1b2c3d-eu-dev", "dev"),
            ("tollgate-listen-never-0a1b2c3d-dev", "dev"),
            ("payments-queue-dev", "dev"),
        ] {
            assert_eq!(Name::read(name, suffix), None, "{name} {suffix}");
        }
    }

    #[test]
    fn what_may_be_archived_and_heard_is_told_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let past = Past::new(&Asked::default(), at(1_000), at(2_000)).unwrap();
        let (mut told, until) = (past.told(), past.until());
        assert_eq!(until, at(2_060), "until the rule has taken effect");
        for (id, arrived_at, has) in [
            ("evt_1", Some(at(1_500)), false),
            ("evt_1", Some(at(1_500)), true),
            ("evt_2", Some(at(2_059)), false),
            ("evt_2", Some(at(2_059)), true),
            // Nobody knows when: it may be either.
            ("evt_3", None, false),
            ("evt_3", None, true),
            // Those are heard alone.
            ("evt_4", Some(until), false),
            ("evt_4", Some(until), false),
            ("evt_1", Some(at(1_500)), true),
        ] {
            assert_eq!(told.has(id, arrived_at), has, "{id} {arrived_at:?}");
        }
        for number in 0..KNOWN {
            assert!(!told.has(&number.to_string(), Some(at(1_500))), "{number}");
        }
        assert!(!told.has("evt_1", Some(at(1_500))), "a hundred thousand others ago");
        assert!(told.has(&(KNOWN - 1).to_string(), Some(at(1_500))));
    }

    #[test]
    fn a_rule_asks_for_what_is_wanted() {
        let texts = |values: &[&str]| values.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(pattern(&Asked::default()), r#"{"source":["tollgate"]}"#);
        let asked = Asked {
            kinds: texts(&["payment.succeeded", "refund.succeeded"]),
            endpoints: texts(&["shop"]),
            providers: Vec::new(),
        };
        let pattern: Value = serde_json::from_str(&pattern(&asked)).unwrap();
        assert_eq!(
            pattern,
            json!({
                "source": ["tollgate"],
                "detail-type": ["payment.succeeded", "refund.succeeded"],
                "detail": { "endpoint": ["shop"] },
            })
        );
    }

    #[test]
    fn an_event_is_as_it_was_published() {
        let event = r#"{"amount":{"minor_units":123456789012345678901234567},"id":"evt_1"}"#;
        let body = format!(r#"{{"version":"0","source":"tollgate","detail":{event}}}"#);
        assert_eq!(event_of(&body).unwrap(), event);
        assert!(event_of("{}").is_err());
    }
}
