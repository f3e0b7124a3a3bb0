//! The parts of PayPal's events that are read.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use crate::normalise::fields::{First, Number, Object, Text, each};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) event_type: Text<'a>,
    pub(super) create_time: Text<'a>,
    pub(super) resource_type: Text<'a>,
    pub(super) resource: Object<Resource<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) status: Text<'a>,
    pub(super) state: Text<'a>,
    pub(super) amount: Object<Amount<'a>>,
    pub(super) order_id: Text<'a>,
    pub(super) parent_payment: Text<'a>,
    pub(super) sale_id: Text<'a>,
    pub(super) capture_id: Text<'a>,
    pub(super) supplementary_data: Object<Supplement<'a>>,
    pub(super) links: Links<'a>,
    pub(super) purchase_units: First<Unit<'a>>,
    pub(super) transactions: First<Unit<'a>>,
    pub(super) payer: Object<Payer<'a>>,
    pub(super) subscriber: Object<Payer<'a>>,
    pub(super) billing_info: Object<Billing<'a>>,
    pub(super) dispute_id: Text<'a>,
    pub(super) dispute_amount: Object<Amount<'a>>,
    pub(super) dispute_life_cycle_stage: Text<'a>,
    pub(super) dispute_outcome: Object<Outcome<'a>>,
    pub(super) disputed_transactions: First<Disputed<'a>>,
    pub(super) item_id: Text<'a>,
    pub(super) payout_amount: Object<Amount<'a>>,
    pub(super) payout_item_id: Text<'a>,
    pub(super) payout_item: Object<Unit<'a>>,
    pub(super) batch_header: Object<Batch<'a>>,
    pub(super) invoice: Object<Invoice<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Amount<'a> {
    #[serde(borrow)]
    pub(super) value: Number<'a>,
    pub(super) total: Number<'a>,
    pub(super) currency_code: Text<'a>,
    pub(super) currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Supplement<'a> {
    #[serde(borrow)]
    pub(super) related_ids: Object<Related<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Related<'a> {
    #[serde(borrow)]
    pub(super) order_id: Text<'a>,
    pub(super) authorization_id: Text<'a>,
    pub(super) capture_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Unit<'a> {
    #[serde(borrow)]
    pub(super) amount: Object<Amount<'a>>,
    pub(super) payments: Object<Payments<'a>>,
}

/// What was done for a part of an order.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Payments<'a> {
    #[serde(borrow)]
    pub(super) captures: First<Part<'a>>,
    pub(super) authorizations: First<Part<'a>>,
}

/// One capture, authorisation, or payment or refund of an invoice.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Part<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) payment_id: Text<'a>,
    pub(super) refund_id: Text<'a>,
    pub(super) status: Text<'a>,
    pub(super) amount: Object<Amount<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Payer<'a> {
    #[serde(borrow)]
    pub(super) payer_id: Text<'a>,
    pub(super) address: Object<Address<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Address<'a> {
    #[serde(borrow)]
    pub(super) country_code: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Billing<'a> {
    #[serde(borrow)]
    pub(super) last_failed_payment: Object<Part<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome<'a> {
    #[serde(borrow)]
    pub(super) outcome_code: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Disputed<'a> {
    #[serde(borrow)]
    pub(super) seller_transaction_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Batch<'a> {
    #[serde(borrow)]
    pub(super) payout_batch_id: Text<'a>,
    pub(super) amount: Object<Amount<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Invoice<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) status: Text<'a>,
    pub(super) amount: Object<Amount<'a>>,
    pub(super) total_amount: Object<Amount<'a>>,
    pub(super) payments: Object<Settled<'a>>,
    pub(super) refunds: Object<Settled<'a>>,
}

/// An invoice's payments or refunds.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Settled<'a> {
    #[serde(borrow)]
    pub(super) paid_amount: Object<Amount<'a>>,
    pub(super) refund_amount: Object<Amount<'a>>,
    pub(super) transactions: First<Part<'a>>,
}

/// The objects that this one belongs to, by the last two parts of the links to them.
#[derive(Default)]
pub(super) struct Links<'a> {
    pub(super) order: Option<Cow<'a, str>>,
    pub(super) payment: Option<Cow<'a, str>>,
    pub(super) authorization: Option<Cow<'a, str>>,
    pub(super) capture: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Links<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Link<'a> {
            #[serde(borrow)]
            href: Text<'a>,
            rel: Text<'a>,
        }
        let mut links = Self::default();
        each(deserializer, |link: Object<Link<'de>>| {
            let link = link.or_default();
            if !matches!(
                link.rel.as_str(),
                "up" | "parent_payment" | "order" | "authorization" | "capture" | "sale"
            ) {
                return;
            }
            let href = link.href.as_str();
            let mut parts = href.rsplit('/');
            let (id, collection) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let place = match collection {
                "orders" => &mut links.order,
                "payment" => &mut links.payment,
                "authorization" | "authorizations" => &mut links.authorization,
                "capture" | "captures" | "sale" => &mut links.capture,
                _ => return,
            };
            let begin = href.len() - id.len();
            *place = match &link.href {
                Text::Value(Cow::Borrowed(href)) => href.get(begin..).map(Cow::Borrowed),
                _ => Some(Cow::Owned(id.to_owned())),
            }
            .filter(|id| !id.is_empty());
        })?;
        Ok(links)
    }
}
