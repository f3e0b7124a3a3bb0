//! The archive's objects of some days: which there are, how large, and which of them can be read.

use anyhow::Context;
use aws_sdk_s3::types::{Object as Listed, ObjectStorageClass};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{civil::Date, tz::TimeZone};
use tollgate_core::Timestamp;

use super::query::Query;
use crate::aws::Aws;

/// Days that are listed at once.
const AT_ONCE: usize = 8;
/// The name of an object: the digits of its earliest row's time, and of its rows' digest.
const TIME_DIGITS: usize = 6;
const DIGEST_DIGITS: usize = 32;

/// An object of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `webhooks/date=2026-01-31/235959-0f3a….parquet`, and nothing else.
    pub key: String,
    /// Its size.
    pub bytes: u64,
}

/// The objects in which a query's webhooks can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// Those that can be read.
    pub readable: Vec<Object>,
    /// How many are in Glacier: nothing reads them until they are restored.
    pub frozen: u64,
    /// Days that have any.
    pub days: usize,
}

impl Objects {
    /// Of all that can be read.
    pub fn bytes(&self) -> u64 {
        self.readable.iter().map(|object| object.bytes).sum()
    }

    /// Lists them.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn of(aws: &Aws, bucket: &str, query: &Query) -> anyhow::Result<Self> {
        let s3 = tollgate_aws::s3_client(&aws.config);
        let days = stream::iter(query.days()).map(|day| of_day(&s3, bucket, day, query.to));
        let days: Vec<Self> = days.buffered(AT_ONCE).try_collect().await?;
        let mut all = Self::default();
        for day in days {
            all.readable.extend(day.readable);
            all.frozen += day.frozen;
            all.days += day.days;
        }
        Ok(all)
    }
}

async fn of_day(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    day: Date,
    until: Timestamp,
) -> anyhow::Result<Objects> {
    let prefix = format!("webhooks/date={day}/");
    let mut pages = s3.list_objects_v2().bucket(bucket).prefix(&prefix).into_paginator().send();
    let mut objects = Objects::default();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(aws_sdk_s3::Error::from).with_context(|| format!("listing {bucket}/{prefix}"))?;
        for listed in page.contents() {
            let Some(key) = listed.key().filter(|key| begins(key, day).is_some_and(|at| at < until)) else {
                continue;
            };
            if is_frozen(listed) {
                objects.frozen += 1;
            } else {
                let bytes = listed.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                objects.readable.push(Object { key: key.to_owned(), bytes });
            }
        }
    }
    objects.days = usize::from(objects.frozen > 0 || !objects.readable.is_empty());
    Ok(objects)
}

/// The second of an object's earliest row; `None` for a key that is not of the archive's form.
fn begins(key: &str, day: Date) -> Option<Timestamp> {
    let name = key.strip_prefix("webhooks/date=")?.strip_prefix(&day.to_string())?.strip_prefix('/')?;
    let (time, digest) = name.strip_suffix(".parquet")?.split_once('-')?;
    let is_digest = digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_hexdigit());
    if time.len() != TIME_DIGITS || !is_digest {
        return None;
    }
    let time = jiff::civil::Time::strptime("%H%M%S", time).ok()?;
    Some(day.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Athena leaves such objects out, and S3 refuses to give them ("Query restored Amazon S3 Glacier objects", Athena user guide).
fn is_frozen(object: &Listed) -> bool {
    matches!(object.storage_class(), Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_the_archive_are_taken() {
        let day = jiff::civil::date(2026, 1, 31);
        let digest = "0123456789abcdef0123456789abcdef";
        let at = begins(&format!("webhooks/date=2026-01-31/235959-{digest}.parquet"), day).unwrap();
        assert_eq!(at.to_string(), "2026-01-31T23:59:59Z");
        for key in [
            format!("webhooks/date=2026-01-30/235959-{digest}.parquet"),
            format!("webhooks/date=2026-01-31/246060-{digest}.parquet"),
            format!("webhooks/date=2026-01-31/../../235959-{digest}.parquet"),
            format!("webhooks/date=2026-01-31/235959-{}.parquet", &digest[1..]),
            format!("webhooks/date=2026-01-31/235959-../{}.parquet", &digest[3..]),
            format!("other/date=2026-01-31/235959-{digest}.parquet"),
        ] {
            assert_eq!(begins(&key, day), None, "{key}");
        }
    }
}
