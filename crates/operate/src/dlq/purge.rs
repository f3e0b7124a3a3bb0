//! Deleting dead letters: what nobody will send back.
//!
//! Nothing that was accepted may vanish. So a webhook's message, and rows for the archive, are deleted only where the archive
//! has the webhook, or the row. What else is deleted (an event that a consumer never took, an invocation that failed) is kept elsewhere: in
//! the archive, the transactions and the archive of the bus.
//!
//! It takes two passes. The first looks at what waits, gives it back, and then asks the archive, which may take longer than a message is
//! hidden from others. The second deletes those that the first has chosen, by their ids at SQS, and nothing that came since. What was
//! asked of the archive holds for them: a message of an id never changes.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use aws_sdk_sqs::Client;
use serde::Serialize;
use serde_json::json;
use tollgate_archive::read::ArchivedRow;
use tollgate_core::{Queue, WebhookId};
use tollgate_pipeline::{
    archive::{Line, Row, unpack},
    intake::attribute,
};

use super::{Dead, Filter, Letter, NOTHING_NEW, Opened, Source, forecast::Clock, look, redrive::named};
use crate::{archived::Archive, audit::Act, aws::Aws, dead_letters::DeadLetters};

/// Messages that one record names before they are deleted, at most.
const TOGETHER: usize = 100;
/// Receives after which those of them that are to go are deleted, however few: they are hidden for two minutes.
const RECEIVES: u32 = 30;

/// What is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Which.
    pub filter: Filter,
    /// So many of each queue are looked at, at most.
    pub most: u64,
}

/// A dead letter that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Which.
    #[serde(flatten)]
    pub letter: Letter,
    /// Why.
    pub why: String,
}

/// What may be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Each that the filter wants and that may go.
    pub letters: Vec<Letter>,
    /// Those that the filter wants and that stay; the first thousand of them.
    pub kept: Vec<Kept>,
    /// Queues in which there is more than was looked at.
    pub cut: Vec<String>,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// So many that are deleted, or would be.
    pub count: u64,
    /// Those that the filter wants and that stay; the first thousand of them.
    pub kept: Vec<Kept>,
    /// So many were to be deleted and were not met again: somebody else looks at them, or has taken them.
    pub missed: u64,
    /// It was stopped: what was not deleted is where it was.
    pub stopped: bool,
    /// Why it ended before its end.
    pub error: Option<String>,
}

impl From<Chosen> for Purged {
    fn from(Chosen { letters, kept, cut: _ }: Chosen) -> Self {
        Self { count: letters.len() as u64, kept, ..Self::default() }
    }
}

/// The most that [`Chosen::kept`] names.
const MOST_KEPT: usize = 1_000;

/// Looks which dead letters may be deleted, and deletes none.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn choose(aws: &Aws, plan: &Plan) -> anyhow::Result<Chosen> {
    let sqs = Client::new(&aws.config);
    let archive = Archive::of(aws).await?;
    let mut chosen = Chosen::default();
    let mut archived = HashMap::new();
    for source in plan.filter.sources() {
        let opened = Opened::of(aws, &sqs, source).await?;
        let mut wanted = Vec::new();
        let is_cut = look(&sqs, &opened, plan.most, |dead| {
            let letter = dead.letter(&opened)?;
            if plan.filter.wants(&letter) {
                wanted.push((letter, Needs::of(source, dead)));
            }
            Ok(true)
        })
        .await?;
        chosen.cut.extend(is_cut.then_some(opened.name));
        for (letter, needs) in wanted {
            match needs.lacking(&archive, &mut archived).await? {
                None => chosen.letters.push(letter),
                Some(why) if chosen.kept.len() < MOST_KEPT => chosen.kept.push(Kept { letter, why }),
                Some(_) => {}
            }
        }
    }
    Ok(chosen)
}

/// Deletes the dead letters that were chosen, and no other. Before a part of them is deleted, a record has their ids and the SHA-256 of
/// their bodies. `tell` is told of each that goes.
pub async fn purge(
    aws: &Aws,
    clock: Clock,
    plan: &Plan,
    chosen: Chosen,
    act: &mut Act,
    stop: &AtomicBool,
    tell: impl FnMut(&Letter),
) -> Purged {
    let Chosen { letters, kept, cut: _ } = chosen;
    let mut left: HashMap<String, HashMap<String, Letter>> = HashMap::new();
    for letter in letters {
        left.entry(letter.alike.queue.clone()).or_default().insert(letter.message_id.clone(), letter);
    }
    let purged = Purged { kept, ..Purged::default() };
    let mut run = Run { aws, clock, most: plan.most, act, stop, tell, purged };
    for source in plan.filter.sources() {
        let Some(own) = left.remove(&source.stem()) else { continue };
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Err(problem) = run.queue(source, own).await {
            run.purged.error = Some(format!("{problem:#}"));
            break;
        }
    }
    run.purged.stopped = stop.load(Ordering::Relaxed);
    run.purged
}

struct Run<'a, T> {
    aws: &'a Aws,
    clock: Clock,
    most: u64,
    act: &'a mut Act,
    stop: &'a AtomicBool,
    tell: T,
    purged: Purged,
}

impl<T: FnMut(&Letter)> Run<'_, T> {
    async fn queue(&mut self, source: Source, own: HashMap<String, Letter>) -> anyhow::Result<()> {
        let sqs = Client::new(&self.aws.config);
        let opened = Opened::of(self.aws, &sqs, source).await?;
        let mut letters = DeadLetters::new(&sqs, &opened.url);
        let deleted = self.letters(&opened, &mut letters, own).await;
        let given_back = letters.give_back().await;
        deleted.and(given_back).with_context(|| format!("purging {}", opened.name))
    }

    /// Receives those that wait until it has met `own`.
    async fn letters(
        &mut self,
        opened: &Opened,
        letters: &mut DeadLetters<'_>,
        mut own: HashMap<String, Letter>,
    ) -> anyhow::Result<()> {
        let (mut count, mut nothing_new, mut receives) = (0, 0, 0);
        let mut together: Vec<Letter> = Vec::new();
        loop {
            let batch = letters.receive(self.most.saturating_sub(count)).await?;
            let is_empty = batch.fresh.is_empty() && batch.again == 0;
            nothing_new = if batch.fresh.is_empty() { nothing_new + 1 } else { 0 };
            count += batch.fresh.len() as u64;
            receives += 1;
            together.extend(batch.fresh.into_iter().filter_map(|(id, _)| own.remove(&id)));
            let is_stopped = self.stop.load(Ordering::Relaxed);
            let is_last =
                is_empty || nothing_new >= NOTHING_NEW || count >= self.most || own.is_empty() || is_stopped;
            if is_last || together.len() >= TOGETHER || receives >= RECEIVES {
                receives = 0;
                self.delete(opened, letters, std::mem::take(&mut together)).await?;
            }
            if is_last {
                if !self.stop.load(Ordering::Relaxed) {
                    self.purged.missed += own.len() as u64;
                }
                return Ok(());
            }
        }
    }

    async fn delete(
        &mut self,
        opened: &Opened,
        letters: &mut DeadLetters<'_>,
        together: Vec<Letter>,
    ) -> anyhow::Result<()> {
        if together.is_empty() || self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let ids = together.iter().flat_map(named).collect();
        let each = |letter: &Letter| json!({ "message_id": letter.message_id, "ids": letter.ids, "body_sha256": letter.body_sha256 });
        let messages: Vec<_> = together.iter().map(each).collect();
        let details = json!({ "queue": opened.name, "messages": messages });
        self.act.part((self.clock)(), ids, details).await?;
        for letter in together {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            letters.delete(&letter.message_id).await?;
            self.purged.count += 1;
            (self.tell)(&letter);
        }
        Ok(())
    }
}

/// What the archive must have before a dead letter may go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Needs {
    /// Nothing: it is kept elsewhere.
    Nothing,
    /// Nobody knows, since it does not name its webhook.
    Unknown,
    /// Each of these webhooks: any row of it, or this one.
    Rows(Vec<(WebhookId, Option<Part>)>),
}

/// Which of a webhook's rows: it may have one for each payment and each part of its events, and others of how it ended before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    outcome: String,
    part: i64,
    only_transaction: Option<String>,
}

impl From<&ArchivedRow> for Part {
    fn from(row: &ArchivedRow) -> Self {
        Self {
            outcome: row.outcome.clone(),
            part: row.part.into(),
            only_transaction: row.only_transaction.clone(),
        }
    }
}

impl From<&Row<'_>> for Part {
    fn from(row: &Row<'_>) -> Self {
        Self {
            outcome: row.outcome.as_str().to_owned(),
            part: row.part.into(),
            only_transaction: row.only_transaction.clone(),
        }
    }
}

impl Needs {
    fn of(source: Source, dead: &Dead) -> Self {
        match source {
            Source::Of(Queue::Intake | Queue::IntakeOrdered) => {
                match dead.attribute(attribute::WEBHOOK_ID).and_then(WebhookId::parse) {
                    Some(id) => Self::Rows(vec![(id, None)]),
                    // What the processor could not read: it has the archive keep it before it sets it aside with a reason.
                    None if dead.attribute(attribute::REASON).is_some() => Self::Nothing,
                    None => Self::Unknown,
                }
            }
            // It may be the only place where the row is: that the archive has another one of the webhook is not enough.
            Source::Of(Queue::Archive) => {
                let row = |line| match line {
                    Ok(Line::Webhook(row)) => Some((row.webhook_id, Some(Part::from(&*row)))),
                    Ok(Line::Unread(_)) | Err(_) => None,
                };
                let rows: Option<Vec<_>> = unpack(dead.body()).map(|(_, line)| row(line)).collect();
                rows.map_or(Self::Unknown, Self::Rows)
            }
            Source::Of(_) | Source::EventBridge | Source::Workflow | Source::Functions => Self::Nothing,
        }
    }

    /// Why it may not go. Each webhook is looked up once.
    async fn lacking(
        self,
        archive: &Archive,
        archived: &mut HashMap<WebhookId, Vec<Part>>,
    ) -> anyhow::Result<Option<String>> {
        let rows = match self {
            Self::Nothing => return Ok(None),
            Self::Unknown => {
                return Ok(Some("it names no webhook that could be looked for in the archive".to_owned()));
            }
            Self::Rows(rows) => rows,
        };
        for (id, part) in rows {
            let known = match archived.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let found = archive.of_webhook(&id).await.context("looking into the archive")?;
                    vacant.insert(found.rows.iter().map(|found| Part::from(&found.row)).collect())
                }
            };
            if let Some(why) = lacks(&id, part.as_ref(), known) {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }
}

fn lacks(id: &WebhookId, part: Option<&Part>, archived: &[Part]) -> Option<String> {
    match part {
        _ if archived.is_empty() => Some(format!("{id} is not in the archive")),
        Some(part) if !archived.contains(part) => {
            Some(format!("the archive has another row of {id}, and not this one, which is {}", part.outcome))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::{Message, MessageAttributeValue};
    use serde_json::Value;
    use tollgate_core::Timestamp;

    use super::*;

    fn dead(body: &str, attributes: &[(&str, &str)]) -> Dead {
        let mut message = Message::builder().body(body);
        for (name, text) in attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(*text).build();
            message = message.message_attributes(*name, value.unwrap());
        }
        Dead { id: "m1".to_owned(), message: message.build() }
    }

    /// A row on its way to the archive.
    fn row(id: &WebhookId, outcome: &str, part: u32, only_transaction: Option<&str>) -> Value {
        let at = id.arrived_at();
        let receipt = json!({
            "body_sha256": "00", "endpoint": "acme", "provider": "generic", "authenticity": "verified", "key_id": "current",
            "signed_at": null, "verified_at": at,
        });
        json!({
            "webhook_id": id, "received_at": at, "source_ip": "203.0.113.9", "request": {"headers": []}, "encoding": "text",
            "body": "{}", "receipt": receipt, "only_transaction": only_transaction, "events": [], "outcome": outcome, "part": part,
        })
    }

    #[test]
    fn a_row_on_its_way_to_the_archive_goes_only_where_the_archive_has_that_row() {
        let [one, other] = [1, 2].map(|number| WebhookId::new(Timestamp::UNIX_EPOCH, number));
        let part = |outcome: &str, part: i64, only_transaction: Option<&str>| Part {
            outcome: outcome.to_owned(),
            part,
            only_transaction: only_transaction.map(str::to_owned),
        };
        let body =
            format!("{}\n{}", row(&one, "processed", 1, Some("pay_1")), row(&other, "set_aside", 0, None));
        let needs = Needs::of(Source::Of(Queue::Archive), &dead(&body, &[]));
        let processed = part("processed", 1, Some("pay_1"));
        let expected = vec![(one, Some(processed.clone())), (other, Some(part("set_aside", 0, None)))];
        assert_eq!(needs, Needs::Rows(expected));
        for (archived, goes) in [
            (vec![processed.clone()], true),
            (vec![part("set_aside", 0, None), processed.clone()], true),
            (vec![], false),
            // That it was set aside before; another part of its events; another payment of it.
            (vec![part("set_aside", 0, None)], false),
            (vec![part("processed", 0, Some("pay_1"))], false),
            (vec![part("processed", 1, Some("pay_2"))], false),
            (vec![part("processed", 1, None)], false),
        ] {
            let lacks = lacks(&one, Some(&processed), &archived);
            assert_eq!(lacks.is_none(), goes, "{archived:?}");
            assert!(lacks.is_none_or(|why| why.contains(one.as_str())));
        }
    }

    #[test]
    fn what_must_be_archived_is_said_by_each_message() {
        let id = WebhookId::new(Timestamp::UNIX_EPOCH, 1);
        let intake = Source::Of(Queue::Intake);
        let of_webhook = [("webhook_id", id.as_str()), ("reason", "altered")];
        assert_eq!(Needs::of(intake, &dead("", &of_webhook)), Needs::Rows(vec![(id, None)]));
        assert_eq!(lacks(&id, None, &[]), Some(format!("{id} is not in the archive")));
        assert_eq!(Needs::of(intake, &dead("", &[("reason", "not_an_intake_message")])), Needs::Nothing);
        assert_eq!(Needs::of(intake, &dead("", &[])), Needs::Unknown);
        assert_eq!(Needs::of(Source::Of(Queue::Archive), &dead("no row", &[])), Needs::Unknown);
        assert_eq!(Needs::of(Source::Of(Queue::Payments), &dead("", &[])), Needs::Nothing);
    }
}
