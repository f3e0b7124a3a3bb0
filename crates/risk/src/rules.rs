//! What counts as suspicious, and how much.

use std::collections::BTreeMap;

use serde::Deserialize;
use tollgate_core::ProviderId;

/// Two levels of one measure, each reached at its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels<T> {
    /// From here on it is unusual.
    pub elevated: T,
    /// From here on it is suspicious. Not below `elevated`.
    pub high: T,
}

/// Points of each reason, 0 to 100. Of a measure with two levels only the one reached counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// The amount is in the medium tier. Default 15.
    pub amount_medium: u8,
    /// The amount is in the high tier. Default 40: not enough for a review by itself.
    pub amount_high: u8,
    /// The customer's payments in the window reach the elevated level. Default 20.
    pub velocity_elevated: u8,
    /// They reach the high level. Default 40.
    pub velocity_high: u8,
    /// Card and billing country differ. Default 25.
    pub country_mismatch: u8,
    /// The provider's score reaches the elevated level. Default 20.
    pub provider_score_elevated: u8,
    /// It reaches the high level. Default 50: a review by itself.
    pub provider_score_high: u8,
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
    /// Other levels for providers whose scale is another.
    pub provider_scores: BTreeMap<ProviderId, Levels<u16>>,
    /// The score from which a payment is to be reviewed. Default 50.
    pub review_at: u8,
    /// The score from which it is to be blocked. Default 85. Not below `review_at`; above 100 for never.
    pub block_at: u8,
}

/// Why a text does not hold rules.
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
    /// Reads rules; what the text does not name keeps its default.
    ///
    /// # Errors
    ///
    /// [`RulesError`].
    pub fn from_json(text: &str) -> Result<Self, RulesError> {
        let rules: Self = serde_json::from_str(text)?;
        rules.validate()?;
        Ok(rules)
    }

    /// Whether every weight is a percentage and every lower level is the lower one, in value and in weight: what
    /// makes a score never fall when a payment grows more suspicious.
    ///
    /// # Errors
    ///
    /// The first [`RulesError`] found.
    pub fn validate(&self) -> Result<(), RulesError> {
        let weights = &self.weights;
        let pairs = [
            ("amount_medium", weights.amount_medium, "amount_high", weights.amount_high),
            ("velocity_elevated", weights.velocity_elevated, "velocity_high", weights.velocity_high),
            (
                "provider_score_elevated",
                weights.provider_score_elevated,
                "provider_score_high",
                weights.provider_score_high,
            ),
            ("country_mismatch", weights.country_mismatch, "country_mismatch", weights.country_mismatch),
        ];
        for (low_name, low, high_name, high) in pairs {
            for (name, weight) in [(low_name, low), (high_name, high)] {
                if weight > 100 {
                    return Err(RulesError::Weight(name));
                }
            }
            if low > high {
                return Err(RulesError::Levels(low_name));
            }
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

impl Default for Weights {
    fn default() -> Self {
        Self {
            amount_medium: 15,
            amount_high: 40,
            velocity_elevated: 20,
            velocity_high: 40,
            country_mismatch: 25,
            provider_score_elevated: 20,
            provider_score_high: 50,
        }
    }
}
