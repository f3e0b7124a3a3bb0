//! The closed list of the bus's rules, and which events each takes. A test holds `infra/tollgate.yaml` against it.

use crate::{Category, EventType, PaymentEvent, Queue, RiskTier};

/// Where a rule sends what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleTarget {
    /// A consumers' queue.
    Queue(Queue),
    /// The fraud workflow.
    Workflow,
    /// The topic of alerts.
    Alerts,
    /// A log group, by what its name ends with before the environment's suffix.
    Log(&'static str),
    /// Nowhere: it is there to be counted.
    Nowhere,
}

/// A rule of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Events of the category payment.
    Payments,
    /// Events of the category refund.
    Refunds,
    /// Events of the category dispute.
    Disputes,
    /// Events of the tier high.
    HighValue,
    /// Events of the tier medium.
    MediumValue,
    /// Events of the tier low.
    LowValue,
    /// What the fraud detector flags.
    Flagged,
    /// Stripe's events.
    StripeLog,
    /// Adyen's events.
    AdyenLog,
    /// PayPal's events.
    PaypalLog,
    /// The other providers' events.
    OtherLog,
}

/// Providers with a log group of their own.
const LOGGED: [&str; 3] = ["stripe", "adyen", "paypal"];

impl Rule {
    /// Every rule.
    pub const ALL: &[Self] = &[
        Self::Payments,
        Self::Refunds,
        Self::Disputes,
        Self::HighValue,
        Self::MediumValue,
        Self::LowValue,
        Self::Flagged,
        Self::StripeLog,
        Self::AdyenLog,
        Self::PaypalLog,
        Self::OtherLog,
    ];

    /// Its name before the environment's suffix.
    pub fn stem(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Refunds => "refunds",
            Self::Disputes => "disputes",
            Self::HighValue => "high-value",
            Self::MediumValue => "medium-value",
            Self::LowValue => "low-value",
            Self::Flagged => "flagged",
            Self::StripeLog => "stripe-log",
            Self::AdyenLog => "adyen-log",
            Self::PaypalLog => "paypal-log",
            Self::OtherLog => "other-log",
        }
    }

    /// Where it sends what it takes.
    pub fn target(self) -> RuleTarget {
        match self {
            Self::Payments => RuleTarget::Queue(Queue::Payments),
            Self::Refunds => RuleTarget::Queue(Queue::Refunds),
            Self::Disputes => RuleTarget::Queue(Queue::Disputes),
            Self::HighValue => RuleTarget::Workflow,
            Self::MediumValue | Self::Flagged => RuleTarget::Alerts,
            Self::LowValue => RuleTarget::Nowhere,
            Self::StripeLog => RuleTarget::Log("stripe"),
            Self::AdyenLog => RuleTarget::Log("adyen"),
            Self::PaypalLog => RuleTarget::Log("paypal"),
            Self::OtherLog => RuleTarget::Log("other"),
        }
    }

    /// Whether the event is one of those that it is for, whatever the event restates.
    pub fn is_for(self, event: &PaymentEvent<'_>) -> bool {
        let is_of = |category| event.category == category;
        let is_worth = |tier| event.risk_tier == tier && event.kind != EventType::PaymentFlagged;
        let provider = event.provider.as_str();
        match self {
            Self::Payments => is_of(Category::Payment),
            Self::Refunds => is_of(Category::Refund),
            Self::Disputes => is_of(Category::Dispute),
            Self::HighValue => is_worth(RiskTier::High),
            Self::MediumValue => is_worth(RiskTier::Medium),
            Self::LowValue => is_worth(RiskTier::Low),
            Self::Flagged => event.kind == EventType::PaymentFlagged,
            Self::StripeLog => provider == "stripe",
            Self::AdyenLog => provider == "adyen",
            Self::PaypalLog => provider == "paypal",
            Self::OtherLog => !LOGGED.contains(&provider),
        }
    }

    /// Whether it leaves out events that restate another one, unless the parameter `RouteRestatements` is true.
    pub fn leaves_out_restatements(self) -> bool {
        !matches!(self, Self::Flagged | Self::StripeLog | Self::AdyenLog | Self::PaypalLog | Self::OtherLog)
    }
}
