//! The closed lists of event types and of the categories that route them. A new type or category is one row here;
//! `infra/schema/payment-event.json` lists both for consumers, and a test compares the two.

use serde::{Deserialize, Serialize};

macro_rules! event_types {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $category:ident;)*) => {
        /// What happened: a closed list.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)*
        }

        impl EventType {
            /// Every type, in the order of this list.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text used on the bus, in tables and in the archive.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Reads [`as_str`](Self::as_str) back.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }

            /// What it means, in a short sentence for consumers: its documentation.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)* }
            }

            /// Its category, which decides where it is routed.
            pub fn category(self) -> Category {
                match self { $(Self::$name => Category::$category,)* }
            }
        }
    };
}

event_types! {
    /// A payment was begun. No money is promised yet.
    PaymentCreated = "payment.created", Payment;
    /// A payment is under way at the provider or the bank.
    PaymentPending = "payment.pending", Payment;
    /// A payment waits for the payer (3-D Secure, a transfer, a voucher).
    PaymentRequiresAction = "payment.requires_action", Payment;
    /// Money is reserved, not yet taken.
    PaymentAuthorized = "payment.authorized", Payment;
    /// Money was taken, or it is certain that it will be.
    PaymentSucceeded = "payment.succeeded", Payment;
    /// A payment was declined or broken off. No money moved.
    PaymentFailed = "payment.failed", Payment;
    /// An authorisation was released, or the payment was withdrawn.
    PaymentCanceled = "payment.canceled", Payment;
    /// A payment or an authorisation ran out of time.
    PaymentExpired = "payment.expired", Payment;
    /// Taking reserved money failed.
    PaymentCaptureFailed = "payment.capture_failed", Payment;
    /// Something of a payment changed that moves no money: its details, a step after its success, a refused cancellation.
    PaymentUpdated = "payment.updated", Payment;
    /// Tollgate's own: the fraud rules flagged an earlier event.
    PaymentFlagged = "payment.flagged", Payment;
    /// A refund was asked for and is under way.
    RefundPending = "refund.pending", Refund;
    /// A refund was paid.
    RefundSucceeded = "refund.succeeded", Refund;
    /// A refund failed or was reversed.
    RefundFailed = "refund.failed", Refund;
    /// A refund was withdrawn.
    RefundCanceled = "refund.canceled", Refund;
    /// Something of a refund changed that moves no money.
    RefundUpdated = "refund.updated", Refund;
    /// A retrieval request, inquiry or early fraud warning: no money has moved yet.
    DisputeWarning = "dispute.warning", Dispute;
    /// A chargeback or dispute was opened.
    DisputeOpened = "dispute.opened", Dispute;
    /// A dispute's state or evidence changed.
    DisputeUpdated = "dispute.updated", Dispute;
    /// A dispute was decided for the merchant, or reversed.
    DisputeWon = "dispute.won", Dispute;
    /// A dispute was decided against the merchant, or accepted.
    DisputeLost = "dispute.lost", Dispute;
    /// A dispute is over, and the provider does not say for whom.
    DisputeClosed = "dispute.closed", Dispute;
    /// A payout or transfer was begun.
    PayoutPending = "payout.pending", Payout;
    /// A payout was paid.
    PayoutSucceeded = "payout.succeeded", Payout;
    /// A payout failed or came back.
    PayoutFailed = "payout.failed", Payout;
    /// A payout was withdrawn.
    PayoutCanceled = "payout.canceled", Payout;
    /// Something of a payout changed that moves no money.
    PayoutUpdated = "payout.updated", Payout;
    /// A subscription began.
    SubscriptionCreated = "subscription.created", Other;
    /// A subscription's plan, price or state changed.
    SubscriptionUpdated = "subscription.updated", Other;
    /// A subscription ended.
    SubscriptionCanceled = "subscription.canceled", Other;
    /// An invoice or bill was paid.
    InvoicePaid = "invoice.paid", Other;
    /// Collecting an invoice failed.
    InvoicePaymentFailed = "invoice.payment_failed", Other;
    /// Anything else, and what cannot be read; `unrecognized` says why.
    PaymentUnrecognized = "payment.unrecognized", Other;
}

impl EventType {
    /// Whether one movement of money may come to this state more than once: a payment that fails, is tried again and
    /// fails again. Each time is an effect of its own.
    pub fn may_recur(self) -> bool {
        use EventType::*;
        matches!(
            self,
            PaymentRequiresAction
                | PaymentFailed
                | PaymentCaptureFailed
                | PaymentUpdated
                | PaymentFlagged
                | RefundUpdated
                | DisputeUpdated
                | PayoutUpdated
                | SubscriptionUpdated
                | InvoicePaymentFailed
                | PaymentUnrecognized
        )
    }
}

impl EventType {
    /// How far a transaction is in this state. Events of one moment, and events that have no time, are in the order of
    /// their ranks: a payment's states, then those of what follows a payment. Two digits.
    pub fn rank(self) -> u8 {
        use EventType::*;
        match self {
            PaymentUnrecognized => 10,
            PaymentCreated | PayoutPending | SubscriptionCreated => 11,
            PaymentPending => 12,
            PaymentRequiresAction => 13,
            PaymentAuthorized => 14,
            // What failed may be tried again, and succeeds then.
            PaymentFailed | PaymentCaptureFailed | PayoutFailed | InvoicePaymentFailed => 15,
            PaymentSucceeded | PayoutSucceeded | InvoicePaid => 16,
            PaymentExpired => 17,
            PaymentCanceled | PayoutCanceled | SubscriptionCanceled => 18,
            PaymentUpdated | PayoutUpdated | SubscriptionUpdated => 19,
            PaymentFlagged => 20,
            RefundPending => 30,
            RefundFailed => 31,
            RefundSucceeded => 32,
            RefundCanceled => 33,
            RefundUpdated => 34,
            DisputeWarning => 40,
            DisputeOpened => 41,
            DisputeUpdated => 42,
            DisputeClosed => 43,
            DisputeWon => 44,
            DisputeLost => 45,
        }
    }

    /// Whether it says that something changed, and no state that a transaction is in.
    pub fn is_update(self) -> bool {
        use EventType::*;
        matches!(self, PaymentUpdated | RefundUpdated | DisputeUpdated | PayoutUpdated | SubscriptionUpdated)
    }
}

macro_rules! categories {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)*) => {
        /// Where an event is routed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Category {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)*
        }

        impl Category {
            /// Every category, in the order of this list.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text used on the bus.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it contains, in one short sentence: its documentation for consumers.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

categories! {
    /// Payments; to the payments queue.
    Payment = "payment";
    /// Refunds; to the refunds queue.
    Refund = "refund";
    /// Disputes and chargebacks; to the disputes queue.
    Dispute = "dispute";
    /// Money to the merchant or a third party; on the bus only.
    Payout = "payout";
    /// Everything else; on the bus only.
    Other = "other";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_payment_ranks_above_each_of_its_states() {
        let of = |category| EventType::ALL.iter().filter(move |kind| kind.category() == category);
        let payments = of(Category::Payment).map(|kind| kind.rank()).max().unwrap();
        let later = [Category::Refund, Category::Dispute].into_iter().flat_map(of);
        assert!(later.map(|kind| kind.rank()).all(|rank| rank > payments));
        assert!(EventType::ALL.iter().all(|kind| (10..100).contains(&kind.rank())), "two digits");
        let states = [
            EventType::PaymentCreated,
            EventType::PaymentPending,
            EventType::PaymentAuthorized,
            EventType::PaymentFailed,
            EventType::PaymentSucceeded,
            EventType::PaymentCanceled,
        ];
        assert!(states.is_sorted_by_key(|kind| kind.rank()));
    }

    #[test]
    fn types_read_back_and_are_routed() {
        for kind in EventType::ALL {
            assert_eq!(EventType::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(EventType::RefundFailed.category(), Category::Refund);
        assert_eq!(EventType::PaymentUnrecognized.category(), Category::Other);
    }
}
