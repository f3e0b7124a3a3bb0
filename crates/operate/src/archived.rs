//! Rows of the archive, found in its objects: the footers first, then the columns that are searched, then what was found.

use std::{ops::Range, sync::Arc};

use anyhow::Context;
use aws_sdk_s3::{Client, types::ObjectStorageClass};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tollgate_archive::read::{ArchivedRow, Finder, Next, Wanted};
use tollgate_core::{Timestamp, WebhookId};

use crate::aws::Aws;

/// Objects that are read at once.
const AT_ONCE: usize = 8;
/// Objects of a day that one webhook is looked for in: those whose first row is before it, the nearest first.
const FOR_A_WEBHOOK: usize = 400;
/// Objects of a day that an event is looked for in.
const FOR_AN_EVENT: usize = 4_000;
/// A message that cannot be read is dated when it was set aside: its last try, some 18 minutes after it arrived.
const UNTIL_SET_ASIDE_SECONDS: i64 = 60 * 60;
/// Two ranges with fewer bytes between them are one request.
const NEAR: u64 = 64 * 1024;

/// A row, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) key: String,
    /// When the object was written, as S3 says it.
    pub(crate) written_at: Option<Timestamp>,
    pub(crate) row: ArchivedRow,
}

/// What was found, and what was not looked through.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) rows: Vec<Found>,
    pub(crate) notes: Vec<String>,
}

/// The archive's bucket.
#[derive(Debug)]
pub(crate) struct Archive {
    s3: Client,
    bucket: String,
}

/// An object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) length: u64,
    /// As S3 says it.
    pub(crate) written_at: Option<Timestamp>,
}

impl Archive {
    pub(crate) async fn of(aws: &Aws) -> anyhow::Result<Self> {
        let bucket = aws.names.archive_bucket(&aws.account().await?);
        Ok(Self { s3: tollgate_aws::s3_client(&aws.config), bucket })
    }

    /// The rows of a webhook, and messages that could not be read and say that they are of it. Its id says when it arrived, so
    /// the objects of that day are looked through from there backwards, and an hour forwards.
    pub(crate) async fn of_webhook(&self, webhook_id: &WebhookId) -> anyhow::Result<Findings> {
        let at = webhook_id.arrived_at();
        let until = at.as_second() + UNTIL_SET_ASIDE_SECONDS;
        let until = Timestamp::from_second(until).unwrap_or(at);
        let wanted = Arc::new(Wanted::Webhook(webhook_id.as_str().to_owned()));
        let mut found = Findings::default();
        let day = day(at);
        let hour: i8 = at.strftime("%H").to_string().parse().unwrap_or(0);
        let mut objects = Vec::new();
        let mut is_cut = false;
        // The hour behind it too, and then from its own back to midnight.
        for hour in (0..=(hour + 1).min(23)).rev() {
            let mut of_hour =
                self.objects(&format!("{day}/{hour:02}"), FOR_A_WEBHOOK * 4, &mut found).await?;
            of_hour.retain(|object| is_before(&object.key, until));
            of_hour.reverse();
            objects.extend(of_hour);
            if objects.len() > FOR_A_WEBHOOK {
                is_cut = true;
                break;
            }
        }
        objects.truncate(FOR_A_WEBHOOK);
        if self::day(until) != day {
            let next = self.objects(&format!("{}/00", self::day(until)), FOR_A_WEBHOOK, &mut found).await?;
            objects.extend(next.into_iter().filter(|object| is_before(&object.key, until)));
        }
        found.rows = self.search(objects, &wanted).await?;
        if is_cut && found.rows.is_empty() {
            found.notes.push(format!(
                "{webhook_id} was looked for in the {FOR_A_WEBHOOK} objects of the archive that are next to its arrival; {day} has more"
            ));
        }
        Ok(found)
    }

    /// The rows of a day (UTC) that have an event with this text in one of these fields.
    pub(crate) async fn of_event(
        &self,
        on: Timestamp,
        fields: &'static [&'static str],
        text: &str,
    ) -> anyhow::Result<Findings> {
        let mut found = Findings::default();
        let day = day(on);
        let objects = self.objects(&format!("{day}/"), FOR_AN_EVENT, &mut found).await?;
        let is_cut = objects.len() == FOR_AN_EVENT;
        let wanted = Arc::new(Wanted::Event { fields, text: text.to_owned() });
        found.rows = self.search(objects, &wanted).await?;
        if is_cut {
            found.notes.push(format!(
                "of {day}, the first {FOR_AN_EVENT} objects of the archive were looked through"
            ));
        }
        Ok(found)
    }

    /// The rows of an object that arrived in a time.
    pub(crate) async fn of_object(
        &self,
        object: Object,
        from: Timestamp,
        to: Timestamp,
    ) -> anyhow::Result<Vec<ArchivedRow>> {
        let found = self.search_one(object, Arc::new(Wanted::Received { from, to })).await?;
        Ok(found.into_iter().map(|found| found.row).collect())
    }

    /// The objects whose keys begin so, `most` at most, in the order of their first rows.
    pub(crate) async fn objects(
        &self,
        prefix: &str,
        most: usize,
        found: &mut Findings,
    ) -> anyhow::Result<Vec<Object>> {
        let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = list.into_paginator().send();
        let (mut objects, mut in_glacier) = (Vec::new(), 0_usize);
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_sdk_s3::Error::from);
            let page = page.with_context(|| format!("listing the archive, {prefix}"))?;
            for object in page.contents() {
                let is_away = matches!(
                    object.storage_class(),
                    Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive)
                );
                in_glacier += usize::from(is_away);
                let (Some(key), Some(length)) = (object.key(), object.size()) else { continue };
                if key.ends_with(".parquet") && !is_away {
                    let written_at = object.last_modified().map(|at| Timestamp::from_second(at.secs()));
                    objects.push(Object {
                        key: key.to_owned(),
                        length: u64::try_from(length).unwrap_or(0),
                        written_at: written_at.and_then(Result::ok),
                    });
                }
            }
            if objects.len() >= most {
                objects.truncate(most);
                break;
            }
        }
        if in_glacier > 0 {
            found.notes.push(format!(
                "{in_glacier} objects of the archive under {prefix} are in Glacier and were not read: restore them first"
            ));
        }
        Ok(objects)
    }

    async fn search(&self, objects: Vec<Object>, wanted: &Arc<Wanted>) -> anyhow::Result<Vec<Found>> {
        let rows = stream::iter(objects).map(|object| self.search_one(object, Arc::clone(wanted)));
        let rows: Vec<Vec<Found>> = rows.buffered(AT_ONCE).try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn search_one(&self, object: Object, wanted: Arc<Wanted>) -> anyhow::Result<Vec<Found>> {
        let about = || format!("reading {} of the archive", object.key);
        let mut finder = Finder::new(object.length, wanted).with_context(about)?;
        let mut rows = Vec::new();
        let mut ranges = vec![Finder::tail(object.length)];
        loop {
            for range in joined(ranges) {
                let bytes = self.get(&object.key, &range).await.with_context(about)?;
                finder.give(range, bytes).with_context(about)?;
            }
            ranges = loop {
                match finder.advance().with_context(about)? {
                    Next::Needs(ranges) => break ranges,
                    Next::Rows(more) => {
                        let found =
                            |row| Found { key: object.key.clone(), written_at: object.written_at, row };
                        rows.extend(more.into_iter().map(found));
                    }
                    Next::Nothing => return Ok(rows),
                }
            };
        }
    }

    async fn get(&self, key: &str, range: &Range<u64>) -> anyhow::Result<Bytes> {
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let object = self.s3.get_object().bucket(&self.bucket).key(key).range(bytes).send().await;
        let object = object.map_err(aws_sdk_s3::Error::from)?;
        Ok(object.body.collect().await.context("the body was cut off")?.into_bytes())
    }
}

/// The folder of a day.
fn day(at: Timestamp) -> String {
    format!("webhooks/date={}", at.strftime("%Y-%m-%d"))
}

/// Whether an object's first row is before a moment. The key has its day and, behind the slash, the time of day.
fn is_before(key: &str, at: Timestamp) -> bool {
    key.get(..).is_some_and(|key| key < format!("{}/{}-~", day(at), at.strftime("%H%M%S")).as_str())
}

/// Ranges that are next to each other, as one.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(NEAR) => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_are_near_are_read_together() {
        let far = NEAR * 4;
        assert_eq!(joined(vec![far..far + 1, 10..20, 0..10, 30..40]), [0..40, far..far + 1]);
        assert_eq!(joined(Vec::new()), [] as [Range<u64>; 0]);
    }

    #[test]
    fn objects_are_in_the_order_of_their_first_rows() {
        let at = "2026-01-31T23:59:58.9Z".parse().unwrap();
        assert!(is_before("webhooks/date=2026-01-31/235958-ffff.parquet", at));
        assert!(is_before("webhooks/date=2026-01-30/235959-00.parquet", at));
        assert!(!is_before("webhooks/date=2026-01-31/235959-00.parquet", at));
        assert!(!is_before("webhooks/date=2026-02-01/000000-00.parquet", at));
    }
}
