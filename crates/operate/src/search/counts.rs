//! How many webhooks there were over time.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::{Span, Unit, tz::TimeZone};
use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_core::Timestamp;

use super::{Query, found::text};

/// Times of one answer, at most: a year of days and a bit.
const MOST: usize = 400;

/// The webhooks of a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// From when on.
    pub from: Timestamp,
    /// Until when, that moment left out.
    pub to: Timestamp,
    /// How many had each outcome.
    pub webhooks: BTreeMap<String, u64>,
}

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Width {
    /// Of a time as the engines write it: so many of its first characters are the same within one.
    digits: usize,
    unit: Unit,
    seconds: i64,
}

/// The shortest first.
const WIDTHS: [Width; 4] = [
    Width { digits: 19, unit: Unit::Second, seconds: 1 },
    Width { digits: 16, unit: Unit::Minute, seconds: 60 },
    Width { digits: 13, unit: Unit::Hour, seconds: 3_600 },
    Width { digits: 10, unit: Unit::Day, seconds: 86_400 },
];

impl Query {
    /// The statement for [`buckets`](Self::buckets). It reads what a page's reads.
    pub fn counts_sql(&self) -> String {
        self.counts(self.width().digits)
    }

    /// Every time of the query, those with nothing included, of the rows of [`counts_sql`](Self::counts_sql).
    ///
    /// # Errors
    ///
    /// When a row is not as it was asked for.
    pub fn buckets(&self, rows: &[Map<String, Value>]) -> anyhow::Result<Vec<Bucket>> {
        let width = self.width();
        let mut counted: BTreeMap<Timestamp, BTreeMap<String, u64>> = BTreeMap::new();
        for row in rows {
            let (moment, outcome) = (text(row, "moment")?, text(row, "outcome")?);
            let whole = format!("{moment}{}", "0000-01-01 00:00:00".get(moment.len()..).unwrap_or_default());
            let at: Timestamp =
                format!("{}Z", whole.replacen(' ', "T", 1)).parse().context("a bucket's time")?;
            let count = text(row, "webhooks")?.parse().context("a bucket's number")?;
            counted.entry(at).or_default().insert(outcome, count);
        }
        let first = self
            .from
            .to_zoned(TimeZone::UTC)
            .round(jiff::ZonedRound::new().smallest(width.unit).mode(jiff::RoundMode::Trunc))?;
        let mut buckets = Vec::new();
        let mut from = first.timestamp();
        while from < self.to && buckets.len() < MOST {
            let to = from.checked_add(Span::new().try_seconds(width.seconds)?)?;
            buckets.push(Bucket { from, to, webhooks: counted.remove(&from).unwrap_or_default() });
            from = to;
        }
        Ok(buckets)
    }

    /// Which times are looked through: from the first on, before the second.
    pub fn period(&self) -> (Timestamp, Timestamp) {
        (self.from, self.to)
    }

    fn width(&self) -> Width {
        let seconds = self.to.as_second() - self.from.as_second();
        let [second, minute, hour, day] = WIDTHS;
        let widths = [(180, second), (4 * 3_600, minute), (14 * 86_400, hour)];
        widths.into_iter().find(|(most, _)| seconds <= *most).map_or(day, |(_, width)| width)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::Filters;

    fn query(from: &str, to: &str) -> Query {
        let filters = Filters { from: Some(from.to_owned()), to: Some(to.to_owned()), ..Filters::default() };
        filters.query("2026-01-31T12:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn every_time_has_its_bucket() {
        let row = |value: Value| value.as_object().unwrap().clone();
        let rows = [
            row(json!({ "moment": "2026-01-31 10:01", "outcome": "processed", "webhooks": "12" })),
            row(json!({ "moment": "2026-01-31 10:01", "outcome": "set_aside", "webhooks": "1" })),
        ];
        let buckets = query("2026-01-31T10:00:30Z", "2026-01-31T10:03:31Z").buckets(&rows).unwrap();
        let shown: Vec<String> =
            buckets.iter().map(|bucket| format!("{} {:?}", bucket.from, bucket.webhooks)).collect();
        assert_eq!(
            shown,
            [
                "2026-01-31T10:00:00Z {}",
                "2026-01-31T10:01:00Z {\"processed\": 12, \"set_aside\": 1}",
                "2026-01-31T10:02:00Z {}",
                "2026-01-31T10:03:00Z {}",
            ]
        );
        let wrong = [row(json!({ "moment": "x", "outcome": "processed", "webhooks": "12" }))];
        assert!(query("1d", "0m").buckets(&wrong).is_err());
    }

    #[test]
    fn no_plot_has_too_many_buckets() {
        for (from, to, count) in [
            ("2026-01-31T10:00:00Z", "2026-01-31T10:00:02Z", 2),
            ("2026-01-31", "2026-01-31", 24),
            ("7d", "2026-01-31T12:00:00Z", 168),
            ("2026-01-01", "2026-01-31", 31),
            ("2020-01-01", "2026-01-31", MOST),
        ] {
            assert_eq!(query(from, to).buckets(&[]).unwrap().len(), count, "{from} {to}");
        }
    }
}
