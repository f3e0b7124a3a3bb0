//! What is searched for, as people write it.

use anyhow::{Context, ensure};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tollgate_archive::{IDS, read::Wanted};
use tollgate_core::{Timestamp, WebhookId};

use crate::times::moment;

/// The days that are searched where nothing is said.
const USUAL_DAYS: i64 = 7;
/// A webhook's id has the millisecond at which its invocation began, and it is received within the validator's time of 30 seconds.
const TAKEN_MINUTES: i64 = 1;
/// Digits of an amount before and after the point: what `DECIMAL(38, 8)` holds, with which both engines compare.
const WHOLE_DIGITS: usize = 30;
pub(super) const FRACTION_DIGITS: usize = 8;
/// The longest text of a filter, in bytes. A query of Athena has 256 KB at most ("Service Quotas", Athena user guide).
const LONGEST: usize = 1_024;
/// Values of one filter.
const MOST_VALUES: usize = 50;

/// Filters as they are typed and saved. What is empty filters nothing; several values of one filter are alternatives, but
/// each metadata and each text must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Filters {
    /// Any id: of a webhook, an event (ours or the provider's), a transaction, a movement or an effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it arrived.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint: Vec<String>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provider: Vec<String>,
    /// An event's type, ours or the provider's.
    #[serde(rename = "type", skip_serializing_if = "Vec::is_empty")]
    pub kind: Vec<String>,
    /// How the webhook ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcome: Vec<String>,
    /// `49.90`, `10..20`, `100..`, `..5`: of major units, the bounds included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// The currency's code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub currency: Vec<String>,
    /// The customer's id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub customer: Vec<String>,
    /// `key=value` of the merchant's own data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<String>,
    /// Text in the body, as it was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
    /// From when on: a time, a day, or so long ago (`36h`, `7d`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Until when, that moment left out; a day is included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What is searched for. Made of [`Filters`], so that each value is of its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub(super) id: Option<Id>,
    pub(super) endpoints: Vec<String>,
    pub(super) providers: Vec<String>,
    pub(super) kinds: Vec<String>,
    pub(super) outcomes: Vec<&'static str>,
    pub(super) least: Option<String>,
    pub(super) most: Option<String>,
    pub(super) currencies: Vec<String>,
    pub(super) customers: Vec<String>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) texts: Vec<String>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// An id, by what it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Id {
    /// A webhook's, which says when it arrived.
    Webhook(WebhookId),
    /// Any other.
    Other(String),
}

impl Filters {
    /// What they ask for.
    ///
    /// # Errors
    ///
    /// When one is not of its form.
    pub fn query(&self, now: Timestamp) -> anyhow::Result<Query> {
        let id = self.id.as_ref().map(|id| match WebhookId::parse(id) {
            Some(id) => Id::Webhook(id),
            None => Id::Other(id.clone()),
        });
        let (from, to) = self.times(id.as_ref(), now)?;
        let (least, most) = self.amount.as_deref().map(range).transpose()?.unwrap_or_default();
        let metadata = self.metadata.iter().map(|pair| {
            let pair = pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            pair.context("metadata is asked for as key=value")
        });
        let query = Query {
            id,
            endpoints: self.endpoint.clone(),
            providers: self.provider.clone(),
            kinds: self.kind.clone(),
            outcomes: self.outcome.iter().map(|text| outcome(text)).collect::<anyhow::Result<_>>()?,
            least,
            most,
            currencies: self.currency.iter().map(|code| code.to_ascii_uppercase()).collect(),
            customers: self.customer.clone(),
            metadata: metadata.collect::<anyhow::Result<_>>()?,
            texts: self.text.clone(),
            from,
            to,
        };
        query.check()?;
        Ok(query)
    }

    /// From when until when: what is said, else the day of the webhook's id, else the last days.
    fn times(&self, id: Option<&Id>, now: Timestamp) -> anyhow::Result<(Timestamp, Timestamp)> {
        let arrived = match id {
            Some(Id::Webhook(id)) => Some(id.arrived_at()),
            _ => None,
        };
        let from = match &self.from {
            Some(text) => moment(text, now, false)?,
            None => arrived.unwrap_or(now.saturating_sub((USUAL_DAYS * 24).hours())?),
        };
        let to = match &self.to {
            Some(text) => moment(text, now, true)?,
            None => arrived.map_or(Ok(now), |at| at.checked_add(TAKEN_MINUTES.minutes()))?,
        };
        ensure!(from < to, "--from is not before --to");
        Ok((from, to))
    }
}

impl Query {
    fn check(&self) -> anyhow::Result<()> {
        let lists =
            [&self.endpoints, &self.providers, &self.kinds, &self.currencies, &self.customers, &self.texts];
        let id = match &self.id {
            Some(Id::Other(id)) => Some(id),
            _ => None,
        };
        let pairs = self.metadata.iter().flat_map(|(key, value)| [key, value]);
        for text in lists.into_iter().flatten().chain(id).chain(pairs) {
            ensure!(text.len() <= LONGEST, "a filter's text has {LONGEST} bytes at most");
        }
        for text in self.texts.iter().chain(id) {
            ensure!(!text.is_empty(), "an empty text is in every body");
        }
        for number in lists.into_iter().map(Vec::len).chain([self.metadata.len(), self.outcomes.len()]) {
            ensure!(number <= MOST_VALUES, "a filter has {MOST_VALUES} values at most");
        }
        Ok(())
    }

    /// What an object must have in it for one of its rows to be found; `None` where the rows alone can say that.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        self.id.as_ref().map(|id| match id {
            Id::Webhook(id) => Wanted::Webhook(id.to_string()),
            Id::Other(id) => Wanted::Event { fields: &IDS, text: id.clone() },
        })
    }

    /// The days, in UTC, that are looked at.
    pub fn days(&self) -> Vec<Date> {
        let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        // The end itself is left out.
        let last = day(self.to.saturating_sub(1.nanosecond()).unwrap_or(self.to));
        day(self.from).series(1.day()).take_while(|day| *day <= last).collect()
    }
}

fn outcome(text: &str) -> anyhow::Result<&'static str> {
    let known = ["processed", "conflict", "duplicate", "set_aside"];
    let known = known.into_iter().find(|known| *known == text);
    known.context("an outcome is processed, conflict, duplicate or set_aside")
}

/// The bounds of an amount, both included.
fn range(text: &str) -> anyhow::Result<(Option<String>, Option<String>)> {
    let bound = |text: &str| if text.is_empty() { Ok(None) } else { decimal(text).map(Some) };
    match text.split_once("..") {
        Some((least, most)) => Ok((bound(least)?, bound(most)?)),
        None => Ok((bound(text)?, bound(text)?)),
    }
}

fn decimal(text: &str) -> anyhow::Result<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let is_one = are_digits(whole, WHOLE_DIGITS) && are_digits(fraction, FRACTION_DIGITS);
    ensure!(is_one, "{text}: an amount is 49.90, 10..20, 100.. or ..5");
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-31T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn times(from: Option<&str>, to: Option<&str>, id: Option<&str>) -> Option<(String, String)> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let filters = Filters { from: owned(from), to: owned(to), id: owned(id), ..Filters::default() };
        let query = filters.query(at(NOW)).ok()?;
        Some((query.from.to_string(), query.to.to_string()))
    }

    #[test]
    fn times_are_moments_days_and_spans() {
        let webhook = WebhookId::new(at("2026-01-02T03:04:05.678Z"), 7).to_string();
        let cases = [
            ((None, None, None), Some(("2026-01-24T12:00:00Z", NOW))),
            ((Some("36h"), None, None), Some(("2026-01-30T00:00:00Z", NOW))),
            (
                (Some("2026-01-01"), Some("2026-01-01"), None),
                Some(("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")),
            ),
            (
                (Some("2026-01-01T01:00:00Z"), Some("1d"), None),
                Some(("2026-01-01T01:00:00Z", "2026-01-30T12:00:00Z")),
            ),
            (
                (None, None, Some(webhook.as_str())),
                Some(("2026-01-02T03:04:05.678Z", "2026-01-02T03:05:05.678Z")),
            ),
            ((Some("2026-02-01"), None, None), None),
            ((Some("yesterday"), None, None), None),
            ((Some("-1d"), None, None), None),
        ];
        for ((from, to, id), expected) in cases {
            let expected = expected.map(|(from, to)| (from.to_owned(), to.to_owned()));
            assert_eq!(times(from, to, id), expected, "{from:?} {to:?} {id:?}");
        }
    }

    #[test]
    fn days_are_those_between() {
        let days = |from: &str, to: &str| -> Vec<String> {
            let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
            let query = Filters { from, to, ..Filters::default() }.query(at(NOW)).unwrap();
            query.days().iter().map(ToString::to_string).collect()
        };
        assert_eq!(days("2025-12-31", "2026-01-01"), ["2025-12-31", "2026-01-01"]);
        assert_eq!(days("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), ["2026-01-01"]);
        assert_eq!(days("2026-01-01T23:59:59Z", "2026-01-02T00:00:01Z"), ["2026-01-01", "2026-01-02"]);
    }

    #[test]
    fn amounts_are_decimals() {
        let range = |text| range(text).ok();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(range("49.90"), Some((some("49.90"), some("49.90"))));
        assert_eq!(range("-1..20"), Some((some("-1"), some("20"))));
        assert_eq!(range("100.."), Some((some("100"), None)));
        assert_eq!(range("..5"), Some((None, some("5"))));
        for wrong in ["1e3", "49,90", "1.", ".5", "0x1", "1'", "--1", "1.123456789", "1;2"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let one = |text: &str| vec![text.to_owned()];
        for filters in [
            Filters { outcome: one("lost"), ..Filters::default() },
            Filters { metadata: one("order"), ..Filters::default() },
            Filters { text: one(""), ..Filters::default() },
            Filters { text: one(&"x".repeat(LONGEST + 1)), ..Filters::default() },
            Filters { endpoint: vec![String::new(); MOST_VALUES + 1], ..Filters::default() },
        ] {
            assert!(filters.query(at(NOW)).is_err(), "{filters:?}");
        }
    }
}
