//! Reports of the reconciler, as they are kept in the archive's bucket.

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use tollgate_core::Timestamp;

use super::daily::{Daily, FORM, PREFIX};
use crate::aws::Aws;

/// Reports that are fetched at once.
const AT_ONCE: usize = 8;

/// A report that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Its key in the archive's bucket.
    pub key: String,
    /// What it says, or why it cannot be read: one of a later version, for example.
    pub report: Result<Daily, String>,
}

/// The reports of runs that began within a time, the oldest first.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn all(aws: &Aws, from: Timestamp, to: Timestamp) -> anyhow::Result<Vec<Past>> {
    let s3 = tollgate_aws::s3_client(&aws.config);
    let bucket = aws.names.archive_bucket(&aws.account().await?);
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let (mut date, last) = (day(from), day(to));
    let mut keys = Vec::new();
    while date <= last {
        let mut pages = s3.list_objects_v2().bucket(&bucket).prefix(of_day(date)).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_sdk_s3::Error::from).context("listing the reports")?;
            let all = page.contents().iter().filter_map(|object| object.key());
            keys.extend(all.filter(|key| key.ends_with(".json")).map(str::to_owned));
        }
        date = date.checked_add(1.day()).context("the last day that there is")?;
    }
    let found = stream::iter(keys).map(async |key| {
        let object = s3.get_object().bucket(&bucket).key(&key).send().await;
        let object = object.map_err(aws_sdk_s3::Error::from).with_context(|| format!("reading {key}"))?;
        let bytes = object.body.collect().await.with_context(|| format!("reading {key}"))?.into_bytes();
        anyhow::Ok(Past { key, report: read(&bytes) })
    });
    let mut all: Vec<Past> = found.buffered(AT_ONCE).try_collect().await?;
    // A day has those of it that began before or after the time, too.
    all.retain(|one| one.report.as_ref().map_or(true, |report| (from..to).contains(&report.began)));
    Ok(all)
}

fn read(bytes: &[u8]) -> Result<Daily, String> {
    match serde_json::from_slice::<Daily>(bytes) {
        Ok(report) if report.form == FORM => Ok(report),
        Ok(report) => Err(format!("a report of the form {}, which this version does not know", report.form)),
        Err(problem) => Err(problem.to_string()),
    }
}

fn of_day(date: Date) -> String {
    format!("{PREFIX}date={date}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_writes_is_told() {
        let report = |form: &str| {
            let (began, ended) = ("2026-01-31T03:17:01Z", "2026-01-31T03:18:00Z");
            let text = format!(
                r#"{{"form":"{form}","began":"{began}","ended":"{ended}","endpoints":[],"others":0,"more":1}}"#
            );
            read(text.as_bytes())
        };
        assert!(report(FORM).is_ok(), "members may be added");
        assert!(report("tollgate.reconciliations/2").unwrap_err().contains("tollgate.reconciliations/2"));
        assert!(read(b"text").is_err());
    }
}
