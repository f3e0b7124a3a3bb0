// Written by consumers/generate from infra/schema/payment-event.json and consumers/states.json: change those, not this.
//! How far a state is in the life of its movement.

use tollgate_core::EventType;

/// A higher rank is later. `None`: such a state never comes too late and changes nothing.
pub fn rank(state: EventType) -> Option<u8> {
    use EventType::*;
    match state {
        PaymentCreated
        | RefundPending
        | DisputeWarning
        | PayoutPending
        | SubscriptionCreated
        | InvoicePaymentFailed => Some(1),
        PaymentPending
        | PaymentRequiresAction
        | RefundSucceeded
        | DisputeOpened
        | PayoutSucceeded
        | SubscriptionCanceled
        | InvoicePaid => Some(2),
        PaymentAuthorized
        | PaymentFailed
        | RefundFailed
        | RefundCanceled
        | DisputeWon
        | DisputeLost
        | DisputeClosed
        | PayoutFailed
        | PayoutCanceled => Some(3),
        PaymentCanceled
        | PaymentExpired
        | PaymentCaptureFailed => Some(4),
        PaymentSucceeded => Some(5),
        PaymentUpdated
        | PaymentFlagged
        | RefundUpdated
        | DisputeUpdated
        | PayoutUpdated
        | SubscriptionUpdated
        | PaymentUnrecognized => None,
    }
}

/// Nothing is settled yet. Such a state never follows a settled one, whatever its time.
pub fn begins(state: EventType) -> bool {
    use EventType::*;
    matches!(
        state,
        PaymentCreated
            | PaymentPending
            | PaymentRequiresAction
            | PaymentAuthorized
            | RefundPending
            | PayoutPending
    )
}

/// The money moved.
pub fn settled(state: EventType) -> bool {
    use EventType::*;
    matches!(
        state,
        PaymentSucceeded
            | RefundSucceeded
            | PayoutSucceeded
    )
}
