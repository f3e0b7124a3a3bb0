//! The fraud check: the workflow passes a payment event and gets the decision on the payment.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tollgate_core::{EffectId, EventType, PaymentEvent, event::SCHEMA};
use tollgate_risk::{Decision, Rules, assess};

use crate::ports::{Clock, Decisions, Document, EventBus, History, PortError, PortResult, Recent};

/// Metadata keys of a [`flagged`] event.
pub mod metadata {
    /// The id of the event that was assessed.
    pub const EVENT_ID: &str = "flagged_event_id";
    /// The score, 0 to 100.
    pub const SCORE: &str = "fraud_score";
    /// `review` or `block`.
    pub const DECISION: &str = "fraud_decision";
    /// The reasons, with commas between them.
    pub const REASONS: &str = "fraud_reasons";
}

/// The answer to the workflow: `{"score":65,"decision":"review","reasons":["amount_high"],"event_id":"evt_…",
/// "transaction_id":"pi_1","flagged":true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// What stands on the transaction.
    #[serde(flatten)]
    pub decision: Decision,
    /// The event that was assessed.
    pub event_id: String,
    /// Its payment.
    pub transaction_id: String,
    /// Whether `payment.flagged` was published.
    pub flagged: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FraudError {
    /// The input is no payment event. Trying again cannot help.
    #[error("input is not a payment event of schema {SCHEMA}")]
    Malformed,
    /// The input is what this check itself publishes: a rule sends flagged payments back to it.
    #[error("a payment.flagged event is not assessed")]
    Flagged,
    /// The event is not in the transaction history (yet). Trying again can help.
    #[error("event is not in the transaction history")]
    NotRecorded,
    /// An external call failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl FraudError {
    /// The error's name, which the workflow's `Retry` and `Catch` go by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed => "MalformedEvent",
            Self::Flagged => "FlaggedEvent",
            Self::NotRecorded => "TransactionNotRecorded",
            Self::Port(PortError::Retryable { .. }) => "DependencyUnavailable",
            Self::Port(PortError::Permanent { .. }) => "DependencyRefused",
        }
    }
}

/// Reads the workflow's input: a payment event, or an EventBridge envelope with one as its `detail`.
///
/// # Errors
///
/// [`FraudError::Malformed`]; it holds nothing of the input.
pub fn read_event(input: &str) -> Result<PaymentEvent<'static>, FraudError> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        detail: Option<&'a RawValue>,
    }
    let envelope: Envelope<'_> = serde_json::from_str(input).map_err(|_| FraudError::Malformed)?;
    let event = envelope.detail.map_or(input, RawValue::get);
    let event: PaymentEvent<'static> = serde_json::from_str(event).map_err(|_| FraudError::Malformed)?;
    if event.schema == SCHEMA { Ok(event) } else { Err(FraudError::Malformed) }
}

/// Assesses payments.
#[derive(Debug)]
pub struct FraudCheck<H, D, B, C> {
    /// The customer's past.
    pub history: H,
    /// Where decisions are recorded.
    pub decisions: D,
    /// Where flagged payments are published.
    pub bus: B,
    /// The time of a decision.
    pub clock: C,
    /// What counts as suspicious.
    pub rules: Rules,
}

impl<H: History, D: Decisions, B: EventBus, C: Clock> FraudCheck<H, D, B, C> {
    /// Assesses one event: score, record, publish if flagged. In that order, so that a repeat after a crash
    /// publishes what the first run decided. The first decision recorded stands: an event that arrives late and
    /// would count into the velocity does not change it.
    ///
    /// # Errors
    ///
    /// [`FraudError`].
    pub async fn check(&self, event: &PaymentEvent<'_>) -> Result<Assessment, FraudError> {
        if event.kind == EventType::PaymentFlagged {
            return Err(FraudError::Flagged);
        }
        let history = tollgate_risk::History { recent_count: self.velocity(event).await? };
        let decision = assess(event, &history, &self.rules);
        let recorded = self.decisions.record(event, &decision, self.clock.now()).await?;
        let decision = recorded.ok_or(FraudError::NotRecorded)?;
        let is_flagged = decision.is_flagged();
        if is_flagged {
            let flagged = flagged(event, &decision);
            let unwritable = |_| PortError::permanent("bus", "event cannot be written");
            let json = serde_json::to_string(&flagged).map_err(unwritable)?;
            let missing = || Err(PortError::retryable("bus", "no result"));
            let published = self.bus.publish(&[Document { event: &flagged, json: &json }]).await.pop();
            published.unwrap_or_else(missing)?;
        }
        Ok(Assessment {
            decision,
            event_id: event.id.as_str().to_owned(),
            transaction_id: event.transaction_id.as_ref().to_owned(),
            flagged: is_flagged,
        })
    }

    /// The customer's other payments in the window that ends with this event, its own moment included; `None`
    /// where it names no customer.
    async fn velocity(&self, event: &PaymentEvent<'_>) -> PortResult<Option<u32>> {
        let Some(customer_key) = event.customer_key() else { return Ok(None) };
        let window = SignedDuration::from_secs(i64::from(self.rules.velocity_window_seconds));
        let recent = Recent {
            customer_key: &customer_key,
            since: event.occurred_at.checked_sub(window).unwrap_or(tollgate_core::Timestamp::MIN),
            until: event.occurred_at,
            except: &event.transaction_key(),
            at_most: self.rules.velocity.high,
        };
        self.history.recent(&recent).await.map(Some)
    }
}

/// The `payment.flagged` event of an assessed one: the same payment, an id and an effect of its own that are functions of
/// the original's id, and the decision in the metadata.
pub fn flagged<'a>(event: &PaymentEvent<'a>, decision: &Decision) -> PaymentEvent<'a> {
    let provider_event_id = format!("{}:flagged", event.provider_event_id);
    let reasons: Vec<&str> = decision.reasons.iter().map(|reason| reason.code()).collect();
    let ours = [
        (metadata::EVENT_ID, event.id.to_string()),
        (metadata::SCORE, decision.score.to_string()),
        (metadata::DECISION, decision.verdict.as_str().to_owned()),
        (metadata::REASONS, reasons.join(",")),
    ];
    let mut pairs = event.metadata.clone();
    // A merchant's pair must not pass for the decision.
    pairs.retain(|(key, _)| !ours.iter().any(|(our, _)| key == our));
    pairs.extend(ours.map(|(key, value)| (key.into(), value.into())));
    let id = event.id.derived("flagged");
    let kind = EventType::PaymentFlagged;
    PaymentEvent {
        id,
        // It restates nothing: a consumer that has done the assessed event's effect must not drop it.
        effect_id: EffectId::new(&event.endpoint, &event.movement_id, kind, id.as_str()),
        restates: None,
        kind,
        category: kind.category(),
        provider_event_id: provider_event_id.into(),
        metadata: pairs,
        unrecognized: None,
        ..event.clone()
    }
}
