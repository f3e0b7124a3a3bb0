//! The parts of Stripe's events that are read.

use serde::Deserialize;

use crate::normalise::fields::{First, Flag, Number, Object, Pairs, Reference, Text};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) api_version: Text<'a>,
    pub(super) created: Number<'a>,
    pub(super) livemode: Flag,
    #[serde(rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    pub(super) object: Object<Subject<'a>>,
    pub(super) previous_attributes: Object<Previous<'a>>,
}

/// What the changed fields were before. Only the fields that changed are there.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Previous<'a> {
    #[serde(borrow)]
    pub(super) status: Text<'a>,
    pub(super) captured: Flag,
    pub(super) amount_capturable: Number<'a>,
    pub(super) amount_captured: Number<'a>,
    pub(super) amount_refunded: Number<'a>,
    pub(super) amount_reversed: Number<'a>,
}

impl Previous<'_> {
    /// Something of the charge had been captured before this event, and the event captured something more, or less.
    pub(super) fn had_captured(&self) -> bool {
        self.amount_captured.integer::<i128>().is_some_and(|before| before != 0)
    }
}

/// The fields that are read of every kind of object. Which of them are there depends on the event's type.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Subject<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) payment_intent: Reference<'a>,
    pub(super) charge: Reference<'a>,
    pub(super) latest_charge: Reference<'a>,
    pub(super) last_payment_error: Object<LastError<'a>>,
    pub(super) invoice: Reference<'a>,
    pub(super) subscription: Reference<'a>,
    pub(super) payment: Object<Payment<'a>>,
    pub(super) payments: Object<List<InvoicePayment<'a>>>,
    pub(super) refunds: Object<List<Reversal<'a>>>,
    pub(super) reversals: Object<List<Reversal<'a>>>,
    pub(super) customer: Reference<'a>,
    pub(super) status: Text<'a>,
    pub(super) currency: Text<'a>,
    pub(super) amount: Number<'a>,
    pub(super) amount_capturable: Number<'a>,
    pub(super) amount_captured: Number<'a>,
    pub(super) amount_due: Number<'a>,
    pub(super) amount_paid: Number<'a>,
    pub(super) amount_received: Number<'a>,
    pub(super) amount_refunded: Number<'a>,
    pub(super) amount_reversed: Number<'a>,
    pub(super) amount_total: Number<'a>,
    pub(super) captured: Flag,
    pub(super) refunded: Flag,
    pub(super) reason: Text<'a>,
    pub(super) mode: Text<'a>,
    pub(super) payment_status: Text<'a>,
    pub(super) payment_method_details: Object<MethodDetails<'a>>,
    pub(super) outcome: Object<Outcome<'a>>,
    pub(super) billing_details: Object<Billing<'a>>,
    pub(super) customer_details: Object<Billing<'a>>,
    pub(super) customer_address: Object<Address<'a>>,
    pub(super) metadata: Pairs<'a>,
}

/// A list within an object: the newest of its elements come first.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct List<T> {
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    pub(super) data: First<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { data: First::default() }
    }
}

impl<T> List<T> {
    pub(super) fn newest(self) -> Option<T> {
        self.data.value
    }
}

/// A refund of a charge, or a reversal of a transfer.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Reversal<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) amount: Number<'a>,
    pub(super) status: Text<'a>,
}

/// What paid an invoice, or a part of it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct InvoicePayment<'a> {
    #[serde(borrow)]
    pub(super) payment: Object<Payment<'a>>,
}

/// The payment of an invoice's payment: one of three kinds.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Payment<'a> {
    #[serde(borrow)]
    pub(super) payment_intent: Reference<'a>,
    pub(super) charge: Reference<'a>,
    pub(super) payment_record: Reference<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LastError<'a> {
    #[serde(borrow)]
    pub(super) charge: Reference<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct MethodDetails<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Card<'a> {
    #[serde(borrow)]
    pub(super) brand: Text<'a>,
    pub(super) country: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome<'a> {
    #[serde(borrow)]
    pub(super) risk_score: Number<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Billing<'a> {
    #[serde(borrow)]
    pub(super) address: Object<Address<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Address<'a> {
    #[serde(borrow)]
    pub(super) country: Text<'a>,
}
