//! Bodies of which more is to be chosen than a case of the normalisers leaves open.

use anyhow::Context;
use tollgate_core::{Currency, Money};
use tollgate_providers::Endpoint;
use tollgate_samples::{Draft, Kind, Sample};

use super::{
    Planner,
    planted::{FIELD, NOTE},
};
use crate::record::{Body, Content, Event};

/// From the least to the most minor units of a tier: below the medium threshold, up to the high one, above it
/// (`infra/tollgate.yaml`, parameters `MediumValue…` and `HighValue…`).
const CURRENCIES: [(&str, [(u64, u64); 3]); 5] = [
    ("USD", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
    ("EUR", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
    ("GBP", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
    ("JPY", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
    ("KWD", [(1_000, 299_999), (300_000, 3_000_000), (3_000_001, 9_000_000)]),
];

/// A sample with its body.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) draft: Draft,
    pub(super) sample: Sample,
}

impl Planner<'_> {
    /// A sample of an endpoint's provider.
    pub(super) fn made(&mut self, endpoint: &Endpoint, kind: Option<Kind>) -> anyhow::Result<Made> {
        let kind = kind.unwrap_or(match self.choices.below(10) {
            0..2 => Kind::Refund,
            2 => Kind::Dispute,
            _ => Kind::Payment,
        });
        let size = match self.choices.below(20) {
            0..2 => 1,
            2 => 2,
            _ => 0,
        };
        let (code, ranges) = self.choices.pick(&CURRENCIES).context("no currency")?;
        let (low, high) = *ranges.get(size).context("no range")?;
        let units = low + self.choices.below(high - low + 1);
        let items = usize::try_from(1 + self.choices.below(4))?;
        let sample = Sample {
            kind,
            money: Money::from_minor(i128::from(units), Currency::new(code)?)?,
            id: tollgate_samples::id(self.seed, self.serial()),
            at: jiff::Timestamp::from_second(self.now.as_second() - 60)?,
            items,
        };
        let draft = sample.draft(endpoint.provider().as_str()).context("no body is built in")?;
        Ok(Made { draft, sample })
    }
}

impl Made {
    /// The same id with another amount.
    pub(super) fn of_another_amount(&self, endpoint: &Endpoint) -> anyhow::Result<Self> {
        let money = Money::from_minor(self.sample.money.minor_units() + 1, self.sample.money.currency())?;
        let sample = Sample { money, ..self.sample.clone() };
        let draft = sample.draft(endpoint.provider().as_str()).context("no body is built in")?;
        Ok(Self { draft, sample })
    }

    pub(super) fn content(&self) -> Content {
        content(&self.draft)
    }

    /// With card numbers, a name and an address in fields that are read and in fields that are not.
    pub(super) fn planted(&self) -> Content {
        let text = String::from_utf8_lossy(&self.draft.body).into_owned();
        let text = text.replace(r#""cart":"#, &format!(r#""note":"{NOTE}","cart":"#));
        let text = text.strip_suffix('}').map_or(text.clone(), |inside| format!("{inside}{FIELD}"));
        Content { body: Body::Text(text), ..self.content() }
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.draft.event_ids.iter().map(|id| self.event(id)).collect()
    }

    /// What an event of it says. Its time is left open: it is the body's.
    pub(super) fn event(&self, id: &str) -> Event {
        let kind = match self.sample.kind {
            Kind::Payment => "payment.succeeded",
            Kind::Refund => "refund.succeeded",
            Kind::Dispute => "dispute.opened",
        };
        Event {
            id: id.to_owned(),
            kind: kind.to_owned(),
            amount: self.sample.money.to_string(),
            ..Event::default()
        }
    }
}

pub(super) fn content(draft: &Draft) -> Content {
    let headers = draft.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Content { headers, body: Body::new(&draft.body), ..Content::default() }
}

/// What is known by its body alone.
pub(super) fn unread() -> Event {
    Event {
        id: "sha256:{sha256}".to_owned(),
        kind: "payment.unrecognized".to_owned(),
        amount: "-".to_owned(),
        ..Event::default()
    }
}
