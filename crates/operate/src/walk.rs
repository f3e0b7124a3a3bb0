//! The archive, object by object.

use anyhow::ensure;
use jiff::{ToSpan, tz::TimeZone};
use tollgate_archive::read::ArchivedRow;

use crate::{
    archived::{Archive, Findings, Object},
    search::Query,
};

/// Objects of one listing.
const LISTED: usize = 1_000_000;

/// Where the archive has a query's webhooks.
pub(crate) struct Walk<'a> {
    pub(crate) archive: Archive,
    pub(crate) query: &'a Query,
}

impl Walk<'_> {
    /// The folders of the days.
    pub(crate) fn days(&self) -> Vec<String> {
        self.query.days().iter().map(|day| format!("webhooks/date={day}/")).collect()
    }

    /// The objects of a day that begin before the query's end, in the order of their keys.
    pub(crate) async fn objects(&self, day: &str) -> anyhow::Result<Vec<Object>> {
        let mut found = Findings::default();
        let mut objects = self.archive.objects(day, LISTED, &mut found).await?;
        ensure!(found.notes.is_empty(), "{}", found.notes.join("; "));
        ensure!(objects.len() < LISTED, "{day} has more objects than are listed");
        let last = self.query.to().saturating_sub(1.nanosecond()).unwrap_or(self.query.to());
        let last = last.to_zoned(TimeZone::UTC);
        let end = format!("webhooks/date={}/{}-~", last.date(), last.strftime("%H%M%S"));
        objects.retain(|object| object.key < end);
        Ok(objects)
    }

    /// The rows of some objects that are sought, in the order in which they arrived.
    pub(crate) async fn rows(&self, objects: &[Object]) -> anyhow::Result<Vec<ArchivedRow>> {
        let mut rows = Vec::new();
        for object in objects {
            rows.extend(self.archive.of_object(object.clone(), self.query.from(), self.query.to()).await?);
        }
        rows.retain(|row| self.query.finds(row));
        rows.sort_by_cached_key(|row| (row.received_at, row.webhook_id.clone(), row.part));
        Ok(rows)
    }
}

/// The name of an object without its digest: the second of its first row.
pub(crate) fn second(key: &str) -> &str {
    key.rsplit_once('-').map_or(key, |(second, _)| second)
}
