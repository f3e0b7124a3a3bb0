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
/// Objects of a day that one webhook is looked for in: so many of those that begin before it, and of those behind it, the nearest first.
const FOR_A_WEBHOOK: usize = 400;
/// Names that are listed before a webhook's arrival, from which on no earlier hour is listed: twenty calls.
const NAMES: usize = 20_000;
/// How far S3's clock may be behind that of the function that took the webhook in, in seconds.
const CLOCKS_SECONDS: i64 = 60;
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

    /// The rows of a webhook, and messages that could not be read and say that they are of it.
    pub(crate) async fn of_webhook(&self, webhook_id: &WebhookId) -> anyhow::Result<Findings> {
        let at = webhook_id.arrived_at();
        let wanted = Arc::new(Wanted::Webhook(webhook_id.as_str().to_owned()));
        let mut found = Findings::default();
        let (objects, is_cut) = self.near(at, &mut found).await?;
        found.rows = self.search(objects, &wanted).await?;
        if is_cut && found.rows.is_empty() {
            found.notes.push(format!(
                "{webhook_id} was looked for in the {FOR_A_WEBHOOK} objects of the archive that begin next before its arrival, and as \
                 many behind it; {} has more",
                day(at)
            ));
        }
        Ok(found)
    }

    /// The objects that may have what arrived then, and whether there are more of them. Its row is in one that begins before it, and that
    /// was written after it; a message that could not be read is in one that begins up to an hour later. Each of the two is looked for
    /// by itself, so that however many objects there are of the one, those of the other are found.
    async fn near(&self, at: Timestamp, found: &mut Findings) -> anyhow::Result<(Vec<Object>, bool)> {
        let (day, arrival) = (day(at), behind(at));
        let written_from = at.as_second() - CLOCKS_SECONDS;
        let hour: i8 = at.strftime("%H").to_string().parse().unwrap_or(0);
        let (mut objects, mut listed, mut is_cut) = (Vec::new(), 0, false);
        // From its own hour back to midnight. Of an hour all names: a listing begins with the earliest, and the latest are sought.
        for hour in (0..=hour).rev() {
            let bounds = Bounds { end: Some(&arrival), ..Bounds::of(usize::MAX) };
            let mut of_hour = self.list(&format!("{day}/{hour:02}"), bounds, found).await?;
            listed += of_hour.len();
            of_hour.retain(|object| object.written_at.is_none_or(|at| at.as_second() >= written_from));
            of_hour.reverse();
            objects.extend(of_hour);
            if objects.len() > FOR_A_WEBHOOK || (listed > NAMES && hour > 0) {
                is_cut = true;
                break;
            }
        }
        objects.truncate(FOR_A_WEBHOOK);
        let until = Timestamp::from_second(at.as_second() + UNTIL_SET_ASIDE_SECONDS).unwrap_or(at);
        let end = behind(until);
        let bounds = Bounds { after: Some(&arrival), end: Some(&end), most: FOR_A_WEBHOOK + 1 };
        let mut later = self.list(&format!("{day}/"), bounds, found).await?;
        if self::day(until) != day {
            let bounds = Bounds { end: Some(&end), ..Bounds::of(FOR_A_WEBHOOK + 1) };
            later.extend(self.list(&format!("{}/00", self::day(until)), bounds, found).await?);
        }
        is_cut |= later.len() > FOR_A_WEBHOOK;
        objects.extend(later.into_iter().take(FOR_A_WEBHOOK));
        Ok((objects, is_cut))
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
        self.list(prefix, Bounds::of(most), found).await
    }

    /// The same within bounds.
    async fn list(
        &self,
        prefix: &str,
        Bounds { after, end, most }: Bounds<'_>,
        found: &mut Findings,
    ) -> anyhow::Result<Vec<Object>> {
        let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = list.set_start_after(after.map(str::to_owned)).into_paginator().send();
        let (mut objects, mut in_glacier) = (Vec::new(), 0_usize);
        'pages: while let Some(page) = pages.next().await {
            let page = page.map_err(aws_sdk_s3::Error::from);
            let page = page.with_context(|| format!("listing the archive, {prefix}"))?;
            for object in page.contents() {
                // Names come in their order.
                if end.is_some_and(|end| object.key().is_some_and(|key| key >= end)) {
                    break 'pages;
                }
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

/// Which names of a listing: behind the one, before the other, and so many at most.
struct Bounds<'a> {
    after: Option<&'a str>,
    end: Option<&'a str>,
    most: usize,
}

impl Bounds<'_> {
    fn of(most: usize) -> Self {
        Self { after: None, end: None, most }
    }
}

/// The folder of a day.
fn day(at: Timestamp) -> String {
    format!("webhooks/date={}", at.strftime("%Y-%m-%d"))
}

/// What is behind the keys of the objects that begin within a moment's second, and before those of the next one. A key has the day of
/// the object's first row and, behind the slash, its time of day.
fn behind(at: Timestamp) -> String {
    format!("{}/{}-~", day(at), at.strftime("%H%M%S"))
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
    use tollgate_testkit::loopback::{Request, Response, Server};

    use super::*;
    use crate::aws::Place;

    #[test]
    fn ranges_that_are_near_are_read_together() {
        let far = NEAR * 4;
        assert_eq!(joined(vec![far..far + 1, 10..20, 0..10, 30..40]), [0..40, far..far + 1]);
        assert_eq!(joined(Vec::new()), [] as [Range<u64>; 0]);
    }

    #[test]
    fn objects_are_in_the_order_of_their_first_rows() {
        let is_before = |key: &str| key < behind("2026-01-31T23:59:58.9Z".parse().unwrap()).as_str();
        assert!(is_before("webhooks/date=2026-01-31/235958-ffff.parquet"));
        assert!(is_before("webhooks/date=2026-01-30/235959-00.parquet"));
        assert!(!is_before("webhooks/date=2026-01-31/235959-00.parquet"));
        assert!(!is_before("webhooks/date=2026-02-01/000000-00.parquet"));
    }

    /// An S3 that has objects of these names, each with the time at which it was written.
    fn s3(names: Vec<(String, Timestamp)>) -> Server {
        Server::start(move |request: &Request| {
            let field = |name: &str| request.field(name).unwrap_or_default();
            // The token is the name to go on behind, as `start-after` is.
            let (prefix, after) = (field("prefix"), field("start-after").max(field("continuation-token")));
            let mut listed: Vec<&(String, Timestamp)> = names
                .iter()
                .filter(|(name, _)| name.starts_with(&prefix) && name.as_str() > after.as_str())
                .collect();
            listed.sort();
            let is_truncated = listed.len() > 1_000;
            listed.truncate(1_000);
            let mut xml = format!("<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>");
            if let Some((name, _)) = listed.last().filter(|_| is_truncated) {
                xml.push_str(&format!("<NextContinuationToken>{name}</NextContinuationToken>"));
            }
            for (name, at) in listed {
                xml.push_str(&format!(
                    "<Contents><Key>{name}</Key><Size>1</Size><LastModified>{at}</LastModified></Contents>"
                ));
            }
            xml.push_str("</ListBucketResult>");
            Response { status: 200, headers: Vec::new(), body: xml.into_bytes() }
        })
    }

    #[tokio::test]
    async fn a_webhook_is_looked_for_where_it_arrived_however_many_objects_there_are() {
        let at: Timestamp = "2026-01-31T10:30:00Z".parse().unwrap();
        let after = |seconds: i64| Timestamp::from_second(at.as_second() + seconds).unwrap();
        let named = |begins: i64, written: i64| {
            let begins = after(begins);
            (format!("{}/{}-{written:08}.parquet", day(begins), begins.strftime("%H%M%S")), after(written))
        };
        // One a second, each written a minute later: from two hours before on, and two hours behind.
        let mut names: Vec<_> = (-7_200..7_200).map(|second| named(second, second + 60)).collect();
        // Its own begins somewhat before it. One of rows that were archived late begins long before it.
        let own = named(-30, 31);
        let late = named(-3_600, 86_400);
        names.extend([own.clone(), late.clone()]);
        let server = s3(names);
        let place = Place { endpoint_url: Some(server.url()), ..Place::default() };
        let aws = place.connect().await.unwrap();
        let archive = Archive { s3: tollgate_aws::s3_client(&aws.config), bucket: "archive".to_owned() };
        let mut found = Findings::default();
        let (objects, is_cut) = archive.near(at, &mut found).await.unwrap();
        let place = |key: &str| objects.iter().position(|object| object.key == key);
        assert!(place(&own.0).is_some_and(|place| place < 40), "{:?}", place(&own.0));
        assert!(place(&late.0).is_some(), "those that were written before it arrived are not looked at");
        assert!(place(&named(1_080, 1_140).0).is_none() && is_cut, "of those behind it the nearest");
        assert!(place(&named(300, 360).0).is_some());
        assert_eq!(found.notes, [] as [String; 0]);

        // Shortly before midnight, where there are few.
        let late_at: Timestamp = "2026-01-31T23:59:30Z".parse().unwrap();
        let server = s3(vec![
            ("webhooks/date=2026-01-31/000000-first.parquet".to_owned(), late_at),
            ("webhooks/date=2026-01-31/235930-own.parquet".to_owned(), late_at),
            ("webhooks/date=2026-02-01/001800-aside.parquet".to_owned(), late_at),
            ("webhooks/date=2026-02-01/010000-other.parquet".to_owned(), late_at),
        ]);
        let place = Place { endpoint_url: Some(server.url()), ..Place::default() };
        let aws = place.connect().await.unwrap();
        let archive = Archive { s3: tollgate_aws::s3_client(&aws.config), bucket: "archive".to_owned() };
        let (objects, is_cut) = archive.near(late_at, &mut found).await.unwrap();
        let keys: Vec<&str> = objects.iter().filter_map(|object| object.key.get(19..)).collect();
        let expected =
            ["01-31/235930-own.parquet", "01-31/000000-first.parquet", "02-01/001800-aside.parquet"];
        assert_eq!((keys, is_cut), (expected.to_vec(), false));
    }
}
