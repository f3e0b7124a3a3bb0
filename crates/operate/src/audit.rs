//! Who did what to which ids, and why: records in the archive's bucket, which nobody replaces.

use std::ops::ControlFlow;

use anyhow::Context;
use aws_sdk_s3::{Client, primitives::ByteStream, types::ChecksumAlgorithm};
use futures_util::{StreamExt, stream};
use jiff::{Span, ToSpan, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_core::Timestamp;

use crate::aws::Aws;

/// Version of the record's form.
pub const FORMAT: &str = "tollgate.audit/1";
/// What the keys of records begin with, in the archive's bucket.
pub const PREFIX: &str = "audit/";
/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;
/// Records that are fetched at once.
const AT_ONCE: usize = 8;

/// Why somebody does something: 1 to [`MAX_REASON`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// A reason that says nothing, or too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason has 1 to {MAX_REASON} characters")]
pub struct ReasonError;

impl Reason {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Reason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Reason {
    type Error = ReasonError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.trim().is_empty() || text.chars().count() > MAX_REASON {
            Err(ReasonError)
        } else {
            Ok(Self(text))
        }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A record of an act. The first says what is to be done, and the last what was done: an act without the last one was
/// stopped. What is done to many has records in between, each of them written before its part is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: String,
    /// The act: all of its records have it.
    pub act: String,
    /// When, by the clock of the operator's machine.
    pub at: Timestamp,
    /// Who, as AWS knows the credentials: an ARN.
    pub actor: String,
    /// What: the command.
    pub action: String,
    /// Why.
    pub reason: Reason,
    /// Which of the act's records it is.
    pub step: Step,
    /// Whose: ids of webhooks, events or messages.
    pub ids: Vec<String>,
    /// What the command says of it.
    pub details: Value,
}

impl Record {
    /// Whether it is of this act, or names this id. An act's other records need not: the last one names none.
    pub fn names(&self, id: &str) -> bool {
        self.act == id || self.ids.iter().any(|one| one == id)
    }

    /// Whether it is of this command, as `dlq redrive`, or of one of a command's all, as `dlq`.
    pub fn is_of(&self, action: &str) -> bool {
        let rest = self.action.strip_prefix(action);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

/// Which of an act's records it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is about to be done.
    Begun,
    /// A part of it is about to be done: that of these ids. From 1.
    Part(u32),
    /// It was done, or a part of it was and it ended by an error that the details have.
    Ended,
}

/// An act that was begun.
#[derive(Debug)]
pub struct Act {
    s3: Client,
    bucket: String,
    begun: Record,
    parts: u32,
}

impl Act {
    /// Records that something is about to be done. `at` is now.
    ///
    /// # Errors
    ///
    /// When AWS does not say who asks, or does not take the record: then nothing may be done.
    pub async fn begin(
        aws: &Aws,
        at: Timestamp,
        action: &str,
        reason: Reason,
        ids: Vec<String>,
        details: Value,
    ) -> anyhow::Result<Self> {
        let begun = Record {
            format: FORMAT.to_owned(),
            act: random_name()?,
            at,
            actor: aws.actor().await?,
            action: action.to_owned(),
            reason,
            step: Step::Begun,
            ids,
            details,
        };
        let (s3, bucket) = bucket(aws).await?;
        let act = Self { s3, bucket, begun, parts: 0 };
        act.put(&act.begun).await.context("recording what is to be done; nothing was done")?;
        Ok(act)
    }

    /// The same act, recorded at another environment that it changes as well: before anything is done there.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin)'s.
    pub async fn at_another(&self, aws: &Aws) -> anyhow::Result<Self> {
        let begun = Record { actor: aws.actor().await?, ..self.begun.clone() };
        let (s3, bucket) = bucket(aws).await?;
        let act = Self { s3, bucket, begun, parts: 0 };
        act.put(&act.begun).await.context("recording what is to be done; nothing was done")?;
        Ok(act)
    }

    /// The act's name, which all of its records have.
    pub fn name(&self) -> &str {
        &self.begun.act
    }

    /// When it began, which says where its records are.
    pub fn began(&self) -> Timestamp {
        self.begun.at
    }

    /// Records that a part of it is about to be done. `at` is now.
    ///
    /// # Errors
    ///
    /// When AWS does not take the record: then the part may not be done.
    pub async fn part(&mut self, at: Timestamp, ids: Vec<String>, details: Value) -> anyhow::Result<()> {
        self.parts += 1;
        let part = Record { at, step: Step::Part(self.parts), ids, details, ..self.begun.clone() };
        self.put(&part).await.context("recording a part of what is to be done; it was not done")
    }

    /// Records what was done. `at` is now.
    ///
    /// # Errors
    ///
    /// When AWS does not take the record.
    pub async fn end(&self, at: Timestamp, ids: Vec<String>, details: Value) -> anyhow::Result<()> {
        let ended = Record { at, step: Step::Ended, ids, details, ..self.begun.clone() };
        self.put(&ended).await.context("recording what was done; it was done")
    }

    async fn put(&self, record: &Record) -> anyhow::Result<()> {
        let request = self
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(key(record))
            // The bucket's policy asks for it: what is there is never replaced.
            .if_none_match("*")
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .content_type("application/json")
            .body(ByteStream::from(serde_json::to_vec(record)?));
        request.send().await.map_err(aws_sdk_s3::Error::from)?;
        Ok(())
    }
}

/// Which records are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub to: Timestamp,
    /// Of this command, as `dlq redrive`; of a command's all, as `dlq`.
    pub action: Option<String>,
    /// Of this act, or with this id: an act's other records are not among them.
    pub id: Option<String>,
}

impl Wanted {
    fn is(&self, record: &Record) -> bool {
        (self.from..self.to).contains(&record.at)
            && self.action.as_ref().is_none_or(|action| record.is_of(action))
            && self.id.as_ref().is_none_or(|id| record.names(id))
    }

    /// The first and the last day (UTC) whose records are listed. The end itself is left out.
    fn days(&self) -> (Date, Date) {
        let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        (day(self.from), day(self.to.saturating_sub(1.nanosecond()).unwrap_or(self.to)))
    }
}

/// An object among the records.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its key in the archive's bucket.
    pub key: String,
    /// What it says, or why it cannot be read: one of a later version, for example.
    pub record: Result<Record, String>,
}

/// Looks through the records of a time, one day after the other, in the order of time, and hands over what is wanted and what
/// cannot be read. `each` says whether to go on.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn each(
    aws: &Aws,
    wanted: &Wanted,
    mut each: impl FnMut(Found) -> ControlFlow<()>,
) -> anyhow::Result<()> {
    let (s3, bucket) = bucket(aws).await?;
    let (first, last) = wanted.days();
    let mut date = first;
    while date <= last {
        let listed = s3.list_objects_v2().bucket(&bucket).prefix(of_day(date));
        // What is before the time need not be listed: keys are in the order of time.
        let listed = if date == first { listed.start_after(before(wanted.from)) } else { listed };
        let mut pages = listed.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_sdk_s3::Error::from).context("listing the records")?;
            let keys: Vec<String> =
                page.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect();
            let mut found = stream::iter(keys).map(|key| read(&s3, &bucket, key)).buffered(AT_ONCE);
            while let Some(found) = found.next().await {
                let found = found?;
                let is_wanted = found.record.as_ref().map_or(true, |record| wanted.is(record));
                if is_wanted && each(found).is_break() {
                    return Ok(());
                }
            }
        }
        date = date.checked_add(Span::new().days(1)).context("the last day that there is")?;
    }
    Ok(())
}

async fn read(s3: &Client, bucket: &str, key: String) -> anyhow::Result<Found> {
    let object = s3.get_object().bucket(bucket).key(&key).send().await;
    let object = object.map_err(aws_sdk_s3::Error::from).with_context(|| format!("reading {key}"))?;
    let bytes = object.body.collect().await.with_context(|| format!("reading {key}"))?.into_bytes();
    let record = match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) if record.format == FORMAT => Ok(record),
        Ok(record) => {
            Err(format!("a record of the form {}, which this version does not know", record.format))
        }
        Err(problem) => Err(problem.to_string()),
    };
    Ok(Found { key, record })
}

async fn bucket(aws: &Aws) -> anyhow::Result<(Client, String)> {
    Ok((tollgate_aws::s3_client(&aws.config), aws.names.archive_bucket(&aws.account().await?)))
}

/// 80 random bits, in hexadecimal.
fn random_name() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 10];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A day's records stand together, in the order of time.
fn key(record: &Record) -> String {
    let step = match record.step {
        Step::Begun => "begun".to_owned(),
        Step::Part(number) => format!("part-{number:06}"),
        Step::Ended => "ended".to_owned(),
    };
    format!("{}-{}-{step}.json", before(record.at), record.act)
}

/// What the keys of a second begin with. All of them come behind it.
fn before(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    format!("{}{}", of_day(at.date()), at.strftime("%H%M%S"))
}

fn of_day(date: Date) -> String {
    format!("{PREFIX}date={date}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: &str, step: Step) -> Record {
        Record {
            format: FORMAT.to_owned(),
            act: "0a0b".to_owned(),
            at: at.parse().unwrap(),
            actor: "arn:aws:iam::111122223333:root".to_owned(),
            action: "dlq redrive".to_owned(),
            reason: "mended".parse().unwrap(),
            step,
            ids: vec!["wh_1".to_owned()],
            details: Value::Null,
        }
    }

    #[test]
    fn keys_are_in_the_order_of_time_and_each_record_has_its_own() {
        let records = [
            record("2026-01-02T03:04:05.9Z", Step::Begun),
            record("2026-01-02T03:04:06Z", Step::Part(1)),
            record("2026-01-02T03:04:06Z", Step::Part(2)),
            record("2026-01-02T23:59:59Z", Step::Ended),
            record("2026-01-03T00:00:00Z", Step::Ended),
        ];
        let keys = records.each_ref().map(key);
        assert_eq!(keys[0], "audit/date=2026-01-02/030405-0a0b-begun.json");
        assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
        assert!(before(records[0].at) < keys[0]);
    }

    #[test]
    fn a_record_is_wanted_by_its_time_its_command_and_its_ids() {
        let all = Wanted {
            from: "2026-01-02T03:04:05Z".parse().unwrap(),
            to: "2026-01-02T03:04:06Z".parse().unwrap(),
            action: None,
            id: None,
        };
        let action = |text: &str| Wanted { action: Some(text.to_owned()), ..all.clone() };
        let id = |text: &str| Wanted { id: Some(text.to_owned()), ..all.clone() };
        let one = record("2026-01-02T03:04:05.5Z", Step::Begun);
        for wanted in [all.clone(), action("dlq"), action("dlq redrive"), id("0a0b"), id("wh_1")] {
            assert!(wanted.is(&one), "{wanted:?}");
        }
        for wanted in [action("dl"), action("dlq purge"), id("wh_"), Wanted { to: all.from, ..all.clone() }] {
            assert!(!wanted.is(&one), "{wanted:?}");
        }
    }

    #[test]
    fn a_day_ends_where_the_next_begins() {
        let days = |from: &str, to: &str| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let (first, last) = Wanted { from, to, action: None, id: None }.days();
            format!("{first} {last}")
        };
        assert_eq!(days("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"), "2026-01-02 2026-01-02");
        assert_eq!(days("2026-01-02T23:59:59Z", "2026-01-03T00:00:00.1Z"), "2026-01-02 2026-01-03");
    }

    #[test]
    fn a_reason_says_something() {
        for bad in [String::new(), "  \n".to_owned(), "x".repeat(MAX_REASON + 1)] {
            assert!(bad.parse::<Reason>().is_err(), "{bad}");
            assert!(serde_json::from_value::<Reason>(bad.into()).is_err());
        }
        assert!("x".repeat(MAX_REASON).parse::<Reason>().is_ok());
    }
}
