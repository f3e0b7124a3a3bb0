//! Finding webhooks and their events: in the archive by one SQL text, which Athena runs on AWS and DuckDB on this machine, and by
//! an id in the tables, which know it before the archive does.

pub mod athena;
mod counts;
pub mod duckdb;
mod found;
mod objects;
mod query;
mod rows;
pub mod saved;
mod sql;
mod tables;

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use jiff::ToSpan;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollgate_core::{Queue, Timestamp, WebhookId, id::to_hex};

pub use counts::Bucket;
pub use found::{Found, Source, moment as time_of};
pub use objects::{Object, Objects};
pub use query::{Filters, Query};
pub use sql::{Position, TABLE};

use self::query::Id;
use crate::{aws::Aws, queues};

/// What runs a search in the archive.
#[derive(Debug, Clone)]
pub enum Engine {
    /// In AWS, by the environment's work group.
    Athena,
    /// On this machine, on copies of the objects.
    DuckDb(duckdb::DuckDb),
}

/// A page of what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The newest first.
    pub found: Vec<Found>,
    /// Where the next page begins, where there is one.
    pub next: Option<String>,
}

/// What a search cannot see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Messages of many webhooks each, on their way to the archive.
    pub waiting: u64,
    /// Those that the archive could not take.
    pub dead_letters: u64,
    /// Objects of the searched days in Glacier.
    pub frozen: u64,
}

impl Query {
    /// Narrows the time to what the tables say of an id, and gives what they have of it and the other filters find, but for the time:
    /// that is the archive's. A query without such an id is left as it is.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn look_up(
        &mut self,
        aws: &Aws,
        filters: &Filters,
        now: Timestamp,
    ) -> anyhow::Result<Vec<Found>> {
        let Some(Id::Other(id)) = &self.id else { return Ok(Vec::new()) };
        let mut found = tables::found(aws, id, &self.endpoints, now).await?;
        if filters.from.is_none() && filters.to.is_none() {
            let deliveries = found.iter().filter_map(|one| WebhookId::parse(&one.webhook_id));
            if let Some(first) = deliveries.map(|id| id.arrived_at()).min() {
                self.from = first;
                self.to = self.to.max(first.checked_add(1.millisecond())?);
            }
        }
        found.retain(|one| self.finds_of_tables(one));
        Ok(found)
    }

    /// The statement for a page of `limit`, behind `after`: one more, so that it is known whether there is another page.
    ///
    /// # Errors
    ///
    /// When `after` is no page's end of this query.
    pub fn page_sql(&self, limit: usize, after: Option<&str>) -> anyhow::Result<String> {
        let after = after.map(Position::read).transpose()?;
        Ok(self.sql(limit.saturating_add(1), after.as_ref()))
    }
}

impl Page {
    /// Of the rows of [`Query::page_sql`].
    ///
    /// # Errors
    ///
    /// When a row is not as it was asked for.
    pub fn of(rows: Vec<Map<String, Value>>, limit: usize) -> anyhow::Result<Self> {
        let is_cut = rows.len() > limit;
        let found = rows.iter().take(limit).map(Found::of_row).collect::<anyhow::Result<Vec<Found>>>()?;
        let mut page = Self { found, next: None };
        page.next = page.end().filter(|_| is_cut).map(|position| position.written()).transpose()?;
        Ok(page)
    }

    /// Puts what the tables have and the archive has not where it stands on this page of `limit`, which begins behind `after`. What
    /// stands before or behind it is on another page.
    ///
    /// # Errors
    ///
    /// When `after` is no page's end.
    pub fn add(&mut self, of_tables: Vec<Found>, limit: usize, after: Option<&str>) -> anyhow::Result<()> {
        let after = after.map(Position::read).transpose()?;
        let end = self.end().filter(|_| self.next.is_some());
        let known: BTreeSet<(String, Option<String>)> =
            self.found.iter().map(|one| (one.webhook_id.clone(), one.event_id.clone())).collect();
        let is_of_it = |one: &Found| {
            after.as_ref().is_none_or(|after| one.is_behind(after))
                && end.as_ref().is_none_or(|end| !one.is_behind(end) && one.webhook_id != end.webhook_id)
                && !known.contains(&(one.webhook_id.clone(), one.event_id.clone()))
        };
        let mut others: Vec<Found> = of_tables.into_iter().filter(is_of_it).collect();
        others.append(&mut self.found);
        others.sort_by_cached_key(Found::order);
        self.found = others;
        if self.found.len() > limit {
            self.found.truncate(limit);
            self.next = self.end().map(|position| position.written()).transpose()?;
        }
        Ok(())
    }

    /// Where its last one stands.
    fn end(&self) -> Option<Position> {
        self.found.last().map(Found::place)
    }
}

impl Position {
    fn written(&self) -> anyhow::Result<String> {
        Ok(to_hex(&serde_json::to_vec(self)?))
    }

    fn read(cursor: &str) -> anyhow::Result<Self> {
        let wrong = "--after is not where a page ended";
        ensure!(cursor.is_ascii() && cursor.len().is_multiple_of(2), wrong);
        let pairs = cursor.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        let bytes: Vec<u8> = pairs.collect::<Option<_>>().context(wrong)?;
        serde_json::from_slice(&bytes).context(wrong)
    }
}

impl Unseen {
    /// Asks what is on its way.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn of(aws: &Aws, objects: &Objects) -> anyhow::Result<Self> {
        let sqs = aws_sdk_sqs::Client::new(&aws.config);
        let alive = queues::depth(&sqs, aws.names.queue(Queue::Archive), false).await?;
        let dead = queues::depth(&sqs, aws.names.dead_letters(Queue::Archive), true).await?;
        let waiting = alive.visible + alive.in_flight + alive.delayed;
        Ok(Self { waiting, dead_letters: dead.visible, frozen: objects.frozen })
    }
}

/// What reading so many bytes costs at most, in millionths of a dollar of the price list's region: Athena bills the columns that
/// are read, of 10 MB at least ("Amazon Athena pricing").
pub fn cost_micros(bytes: u64) -> anyhow::Result<u64> {
    #[derive(Deserialize)]
    struct Prices {
        price: std::collections::BTreeMap<String, Price>,
    }
    #[derive(Deserialize)]
    struct Price {
        usd: f64,
    }
    let prices: Prices =
        toml::from_str(include_str!("../../../../infra/prices.toml")).context("the price list")?;
    let price = prices.price.get("athena_gb").context("the price list has no athena_gb")?;
    // Digits, since money is never counted in binary fractions here.
    let per_gb: u64 = format!("{:.6}", price.usd).replace('.', "").parse().context("a price")?;
    Ok(u64::try_from(u128::from(bytes.max(LEAST_BILLED)) * u128::from(per_gb) / 1_000_000_000)?)
}

const LEAST_BILLED: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(webhook_id: &str, received_at: &str) -> Map<String, Value> {
        let mut row: Map<String, Value> =
            sql::COLUMNS.iter().map(|name| ((*name).to_owned(), json!("x"))).collect();
        row.insert("webhook_id".to_owned(), json!(webhook_id));
        row.insert("received_at".to_owned(), json!(received_at));
        row.insert("amount".to_owned(), Value::Null);
        row
    }

    #[test]
    fn a_page_says_where_the_next_begins() {
        let rows = || vec![row("wh_2", "2026-01-31 12:00:00.5+00"), row("wh_1", "2026-01-31 12:00:00+00")];
        let whole = Page::of(rows(), 2).unwrap();
        assert_eq!((whole.found.len(), &whole.next), (2, &None));
        assert_eq!(whole.found[0].received_at, "2026-01-31T12:00:00.5Z");
        assert_eq!(whole.found[0].amount, None);
        let cut = Page::of(rows(), 1).unwrap();
        assert_eq!(cut.found.len(), 1);
        let position = Position::read(&cut.next.unwrap()).unwrap();
        assert_eq!(
            (position.webhook_id.as_str(), position.received_at.as_str()),
            ("wh_2", "2026-01-31 12:00:00.5+00")
        );
        for wrong in ["", "zz", "7b7d", "abc", "é"] {
            assert!(Position::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_of_both_engines_are_the_same() {
        for text in ["2026-01-31 12:00:00.25+00", "2026-01-31 12:00:00.250", "2026-01-31 12:00:00.250000 UTC"]
        {
            assert_eq!(found::moment(text), "2026-01-31T12:00:00.25Z");
        }
    }

    #[test]
    fn what_the_archive_has_is_not_told_twice() {
        let of = |webhook_id: &str, source| Found {
            webhook_id: webhook_id.to_owned(),
            event_id: Some("evt".to_owned()),
            source,
            ..Found::default()
        };
        let mut page = Page { found: vec![of("wh_1", Source::Archive)], next: None };
        page.add(vec![of("wh_1", Source::Transactions), of("wh_2", Source::Ledger)], 50, None).unwrap();
        let sources: Vec<Source> = page.found.iter().map(|one| one.source).collect();
        assert_eq!(sources, [Source::Ledger, Source::Archive]);
    }

    /// The pages of a payment whose first `archived` events the archive has, the oldest of them, in pages of `limit`.
    fn pages(all: usize, archived: usize, limit: usize, of_tables: bool) -> Vec<Vec<String>> {
        let at = |number: usize| format!("2026-01-31 12:{:02}:{:02}.25+00", number / 60, number % 60);
        let id = |number: usize| format!("wh_{number:03}");
        let rows: Vec<Map<String, Value>> =
            (0..archived).rev().map(|number| row(&id(number), &at(number))).collect();
        let told = |number: usize| Found {
            webhook_id: id(number),
            received_at: found::moment(&at(number)),
            event_id: Some("x".to_owned()),
            source: Source::Transactions,
            ..Found::default()
        };
        let (mut after, mut pages) = (None::<String>, Vec::new());
        loop {
            // What the statement gives.
            let place = after.as_deref().map(|after| Position::read(after).unwrap());
            let is_behind = |row: &&Map<String, Value>| {
                let own = (row["received_at"].as_str().unwrap(), row["webhook_id"].as_str().unwrap());
                place
                    .as_ref()
                    .is_none_or(|place| own < (place.received_at.as_str(), place.webhook_id.as_str()))
            };
            let behind: Vec<_> = rows.iter().filter(is_behind).take(limit + 1).cloned().collect();
            let mut page = Page::of(behind, limit).unwrap();
            if of_tables {
                page.add((0..all).map(told).collect(), limit, after.as_deref()).unwrap();
            }
            pages.push(page.found.iter().map(|one| one.webhook_id.clone()).collect());
            after = page.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn what_the_tables_have_is_on_one_page_in_its_place() {
        // Nothing is archived yet, a part of it is, all of it is; the last page is full, and is not.
        for (all, archived) in [(120, 0), (120, 60), (120, 119), (120, 120), (100, 50), (7, 3), (1, 0)] {
            let pages = pages(all, archived, 50, true);
            assert!(pages.iter().rev().skip(1).all(|page| page.len() == 50), "{all} {archived}: {pages:?}");
            let shown: Vec<String> = pages.into_iter().flatten().collect();
            let expected: Vec<String> = (0..all).rev().map(|number| format!("wh_{number:03}")).collect();
            assert_eq!(shown, expected, "{all}, of which {archived} are archived");
        }
        assert_eq!(pages(120, 120, 50, true), pages(120, 120, 50, false), "the archive's own pages");
    }

    #[test]
    fn a_scan_costs_what_the_price_list_says() {
        assert_eq!(cost_micros(1_000_000_000_000).unwrap(), 5_000_000);
        assert_eq!(cost_micros(0).unwrap(), cost_micros(LEAST_BILLED).unwrap(), "the least that is billed");
    }
}
