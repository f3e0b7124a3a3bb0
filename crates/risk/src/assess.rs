//! One payment against the rules.

use serde::{Deserialize, Serialize};
use tollgate_core::{PaymentEvent, RiskTier};

use crate::rules::{Levels, Rules, Weights};

/// What the caller knows of the customer's past, from the transactions table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Other payments of the same customer in the [`Rules::velocity_window_seconds`] up to this one. `None` where
    /// the event names no customer; velocity is then no reason. Where the table could not be read, fail and try
    /// again instead: absent is not the same as few.
    pub recent_count: Option<u32>,
}

/// Why a payment is suspicious: a closed list, in the order of a [`Decision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The amount is in its currency's medium tier.
    AmountMedium,
    /// The amount is in its currency's high tier.
    AmountHigh,
    /// The customer pays unusually often.
    VelocityElevated,
    /// The customer pays suspiciously often.
    VelocityHigh,
    /// The card's country is not the billing country.
    CountryMismatch,
    /// The provider's own score is elevated.
    ProviderScoreElevated,
    /// The provider's own score is high.
    ProviderScoreHigh,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::AmountMedium,
        Self::AmountHigh,
        Self::VelocityElevated,
        Self::VelocityHigh,
        Self::CountryMismatch,
        Self::ProviderScoreElevated,
        Self::ProviderScoreHigh,
    ];

    /// The text in tables, events and metrics; also its JSON form.
    pub fn code(self) -> &'static str {
        match self {
            Self::AmountMedium => "amount_medium",
            Self::AmountHigh => "amount_high",
            Self::VelocityElevated => "velocity_elevated",
            Self::VelocityHigh => "velocity_high",
            Self::CountryMismatch => "country_mismatch",
            Self::ProviderScoreElevated => "provider_score_elevated",
            Self::ProviderScoreHigh => "provider_score_high",
        }
    }

    /// Its points.
    pub fn weight(self, weights: &Weights) -> u8 {
        match self {
            Self::AmountMedium => weights.amount_medium,
            Self::AmountHigh => weights.amount_high,
            Self::VelocityElevated => weights.velocity_elevated,
            Self::VelocityHigh => weights.velocity_high,
            Self::CountryMismatch => weights.country_mismatch,
            Self::ProviderScoreElevated => weights.provider_score_elevated,
            Self::ProviderScoreHigh => weights.provider_score_high,
        }
    }
}

/// What to do with a payment, from mildest to strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Let it go on.
    Approve,
    /// A person should look at it.
    Review,
    /// It should not go on.
    Block,
}

impl Verdict {
    /// The text in tables, events and metrics; also its JSON form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Review => "review",
            Self::Block => "block",
        }
    }
}

/// The answer: `{"score":65,"decision":"review","reasons":["amount_high","country_mismatch"]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The points of all reasons, 0 to 100.
    pub score: u8,
    /// What to do.
    #[serde(rename = "decision")]
    pub verdict: Verdict,
    /// Every reason that holds, each once, in the order of [`Reason`]. Those without points are listed too.
    pub reasons: Vec<Reason>,
}

impl Decision {
    /// Whether the payment is to be flagged: anything but approved.
    pub fn is_flagged(&self) -> bool {
        self.verdict != Verdict::Approve
    }

    fn from_reasons(reasons: Vec<Reason>, rules: &Rules) -> Self {
        let points = reasons.iter().map(|reason| u32::from(reason.weight(&rules.weights))).sum::<u32>();
        let score = u8::try_from(points.min(100)).unwrap_or(100);
        let verdict = if score >= rules.block_at {
            Verdict::Block
        } else if score >= rules.review_at {
            Verdict::Review
        } else {
            Verdict::Approve
        };
        Self { score, verdict, reasons }
    }
}

/// Weighs one payment. A function of its arguments alone; what is absent (no amount, no customer, no country, no
/// score) is no reason.
pub fn assess(event: &PaymentEvent<'_>, history: &History, rules: &Rules) -> Decision {
    let amount = match event.risk_tier {
        RiskTier::Unrated | RiskTier::Low => None,
        RiskTier::Medium => Some(Reason::AmountMedium),
        RiskTier::High => Some(Reason::AmountHigh),
    };
    let velocity =
        reached(history.recent_count, rules.velocity, Reason::VelocityElevated, Reason::VelocityHigh);
    let countries = differ(event.method.country.as_deref(), event.customer.country.as_deref())
        .then_some(Reason::CountryMismatch);
    let levels = rules.provider_scores.get(&event.provider).copied().unwrap_or(rules.provider_score);
    let score =
        reached(event.provider_risk_score, levels, Reason::ProviderScoreElevated, Reason::ProviderScoreHigh);
    Decision::from_reasons([amount, velocity, countries, score].into_iter().flatten().collect(), rules)
}

fn reached<T: PartialOrd + Copy>(
    value: Option<T>,
    levels: Levels<T>,
    elevated: Reason,
    high: Reason,
) -> Option<Reason> {
    let value = value?;
    if value >= levels.high {
        Some(high)
    } else if value >= levels.elevated {
        Some(elevated)
    } else {
        None
    }
}

/// Whether two countries are certainly not the same. Only two alpha-2 codes are compared: a name or an alpha-3
/// code beside one proves nothing.
fn differ(card: Option<&str>, billing: Option<&str>) -> bool {
    match (card.and_then(alpha2), billing.and_then(alpha2)) {
        (Some(card), Some(billing)) => card != billing,
        _ => false,
    }
}

/// ISO 3166 alpha-2 in upper case. `UK` and `EL`, which ISO reserves for the United Kingdom and the European
/// Union uses for Greece, are read as `GB` and `GR`.
fn alpha2(text: &str) -> Option<[u8; 2]> {
    let mut code: [u8; 2] = text.trim().as_bytes().try_into().ok()?;
    code.make_ascii_uppercase();
    match &code {
        b"UK" => Some(*b"GB"),
        b"EL" => Some(*b"GR"),
        _ if code.iter().all(u8::is_ascii_uppercase) => Some(code),
        _ => None,
    }
}
