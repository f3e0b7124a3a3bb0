//! The decision on one payment.

use serde::{Deserialize, Serialize};
use tollgate_core::PaymentEvent;

use crate::rules::{Reason, Rules};

/// The customer's earlier payments, from the transactions table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Other payments of the same customer in the [`Rules::velocity_window_seconds`] up to this one. `None` where
    /// the event names no customer; velocity is then no reason. If the table cannot be read, fail and retry: a
    /// failed read is not a count of zero.
    pub recent_count: Option<u32>,
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

/// The result: `{"score":65,"decision":"review","reasons":["amount_high","country_mismatch"]}`.
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
    let holds = |reason: &Reason| reason.holds(event, history.recent_count, rules);
    Decision::from_reasons(Reason::ALL.into_iter().filter(holds).collect(), rules)
}
