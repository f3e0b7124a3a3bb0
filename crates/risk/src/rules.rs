//! What counts as suspicious, and how much: a table of the fraud rules, and the settings that they read.
//!
//! A new rule is one row of [`fraud_rules!`] and its case in `tests/it/decisions.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_core::{PaymentEvent, ProviderId, RiskTier};

use crate::countries::differ;

/// What a rule looks at, and when it holds.
enum Test {
    /// The event alone.
    Event(fn(&PaymentEvent<'_>, &Rules) -> bool),
    /// The customer's recent payments. Without a customer there is no count, and the rule does not hold.
    History(fn(u32, &Rules) -> bool),
}

/// One row for each rule: its reason, the name of its weight (and of the reason in JSON), its default weight, the reason
/// that replaces it at a higher level, and its test.
macro_rules! fraud_rules {
    ($($(#[doc = $doc:literal])+ $reason:ident, $code:ident: $weight:literal, $stricter:expr, $test:expr;)*) => {
        /// Why a payment is suspicious: a closed list, in the order of a [`Decision`](crate::Decision).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $($(#[doc = $doc])+ $reason,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: [Self; [$(stringify!($code)),*].len()] = [$(Self::$reason),*];

            /// The text in tables, events and metrics; also its JSON form.
            pub fn code(self) -> &'static str {
                match self { $(Self::$reason => stringify!($code),)* }
            }

            /// Its points.
            pub fn weight(self, weights: &Weights) -> u8 {
                match self { $(Self::$reason => weights.$code,)* }
            }

            /// The reason that replaces this one at a higher level of the same measure.
            fn stricter(self) -> Option<Self> {
                match self { $(Self::$reason => $stricter,)* }
            }

            fn test(self) -> Test {
                match self { $(Self::$reason => $test,)* }
            }
        }

        /// Points of each reason, 0 to 100. Of a measure with two levels only the one reached counts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Weights {
            $($(#[doc = $doc])+ #[doc = concat!(" Default ", stringify!($weight), ".")] pub $code: u8,)*
        }

        impl Default for Weights {
            fn default() -> Self {
                Self { $($code: $weight,)* }
            }
        }
    };
}

fraud_rules! {
    /// The amount is in its currency's medium tier.
    AmountMedium, amount_medium: 15, Some(Self::AmountHigh),
        Test::Event(|event, _| event.risk_tier == RiskTier::Medium);

    /// The amount is in its currency's high tier: not enough for a review by itself.
    AmountHigh, amount_high: 40, None,
        Test::Event(|event, _| event.risk_tier == RiskTier::High);

    /// The customer's payments in the window reach the elevated level.
    VelocityElevated, velocity_elevated: 20, Some(Self::VelocityHigh),
        Test::History(|recent, rules| rules.velocity.is_elevated(recent));

    /// The customer's payments in the window reach the high level.
    VelocityHigh, velocity_high: 40, None,
        Test::History(|recent, rules| rules.velocity.is_high(recent));

    /// The card's country is not the billing country.
    CountryMismatch, country_mismatch: 25, None,
        Test::Event(|event, _| differ(event.method.country.as_deref(), event.customer.country.as_deref()));

    /// The provider's own score reaches the elevated level.
    ProviderScoreElevated, provider_score_elevated: 20, Some(Self::ProviderScoreHigh),
        Test::Event(|event, rules| {
            event.provider_risk_score.is_some_and(|score| rules.score_levels(event).is_elevated(score))
        });

    /// The provider's own score reaches the high level: a review by itself.
    ProviderScoreHigh, provider_score_high: 50, None,
        Test::Event(|event, rules| {
            event.provider_risk_score.is_some_and(|score| rules.score_levels(event).is_high(score))
        });
}

impl Reason {
    /// Whether it holds. `recent_count` is the customer's recent payments, `None` without a customer.
    pub(crate) fn holds(self, event: &PaymentEvent<'_>, recent_count: Option<u32>, rules: &Rules) -> bool {
        match self.test() {
            Test::Event(holds) => holds(event, rules),
            Test::History(holds) => recent_count.is_some_and(|recent| holds(recent, rules)),
        }
    }
}

/// Two levels of one measure, each reached at its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels<T> {
    /// From here on it is unusual.
    pub elevated: T,
    /// From here on it is suspicious. Not below `elevated`.
    pub high: T,
}

impl<T: PartialOrd> Levels<T> {
    fn is_elevated(&self, value: T) -> bool {
        value >= self.elevated && value < self.high
    }

    fn is_high(&self, value: T) -> bool {
        value >= self.high
    }
}

/// The rules: levels, weights, and the scores from which a payment is looked at or blocked.
///
/// ```
/// use tollgate_risk::Rules;
///
/// let rules = Rules::from_json(r#"{"block_at":95,"velocity":{"elevated":3,"high":8}}"#)?;
/// assert_eq!((rules.review_at, rules.block_at), (50, 95));
/// assert!(Rules::from_json(r#"{"blok_at":95}"#).is_err());
/// # Ok::<(), tollgate_risk::RulesError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Points of each reason.
    pub weights: Weights,
    /// How far back [`History`](crate::History) counts, in seconds. Default 3,600.
    pub velocity_window_seconds: u32,
    /// Earlier payments of the customer within the window. Default 5 and 15.
    pub velocity: Levels<u32>,
    /// The provider's own risk score. Default 65 and 75, where Stripe Radar's "elevated" and "highest" begin.
    pub provider_score: Levels<u16>,
    /// The levels of providers that use another scale.
    pub provider_scores: BTreeMap<ProviderId, Levels<u16>>,
    /// The score from which a payment is to be reviewed. Default 50.
    pub review_at: u8,
    /// The score from which it is to be blocked. Default 85. Not below `review_at`; above 100 for never.
    pub block_at: u8,
}

/// Why rules cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Not JSON, an unknown field, or a value of the wrong type or out of its type's range.
    #[error("rules: {0}")]
    Json(#[from] serde_json::Error),
    /// A weight above 100.
    #[error("rules: weight {0} is above 100")]
    Weight(&'static str),
    /// A lower level that is above, or weighs more than, the higher one.
    #[error("rules: the lower level of {0} is above the higher one")]
    Levels(&'static str),
    /// `review_at` above `block_at`.
    #[error("rules: review_at is above block_at")]
    Verdicts,
}

impl Rules {
    /// Reads rules. A setting that the text does not name keeps its default.
    ///
    /// # Errors
    ///
    /// [`RulesError`].
    pub fn from_json(text: &str) -> Result<Self, RulesError> {
        let rules: Self = serde_json::from_str(text)?;
        rules.validate()?;
        Ok(rules)
    }

    /// Checks that every weight is at most 100 and that no lower level is above its higher one, in value or in weight.
    /// A score then never falls when a payment becomes more suspicious.
    ///
    /// # Errors
    ///
    /// The first [`RulesError`] found.
    pub fn validate(&self) -> Result<(), RulesError> {
        let weight = |reason: Reason| reason.weight(&self.weights);
        if let Some(reason) = Reason::ALL.into_iter().find(|reason| weight(*reason) > 100) {
            return Err(RulesError::Weight(reason.code()));
        }
        let is_above = |reason: &Reason| reason.stricter().is_some_and(|high| weight(*reason) > weight(high));
        if let Some(reason) = Reason::ALL.into_iter().find(is_above) {
            return Err(RulesError::Levels(reason.code()));
        }
        if self.velocity.elevated > self.velocity.high {
            return Err(RulesError::Levels("velocity"));
        }
        if self.provider_score.elevated > self.provider_score.high {
            return Err(RulesError::Levels("provider_score"));
        }
        if self.provider_scores.values().any(|levels| levels.elevated > levels.high) {
            return Err(RulesError::Levels("provider_scores"));
        }
        if self.review_at > self.block_at { Err(RulesError::Verdicts) } else { Ok(()) }
    }

    fn score_levels(&self, event: &PaymentEvent<'_>) -> Levels<u16> {
        self.provider_scores.get(&event.provider).copied().unwrap_or(self.provider_score)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            weights: Weights::default(),
            velocity_window_seconds: 3_600,
            velocity: Levels { elevated: 5, high: 15 },
            provider_score: Levels { elevated: 65, high: 75 },
            provider_scores: BTreeMap::new(),
            review_at: 50,
            block_at: 85,
        }
    }
}
