//! Coinbase Commerce. <https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-fields>
//!
//! Event id: `event.id` (the outer id is the attempt's). Transaction: the charge, by `id`, else `code`; where it has
//! both, the code is an alias. Movement: the charge. It is paid once, perhaps in several transfers, which are not told
//! apart.
//!
//! Money: decimal texts in major units of the local currency. Of a charge that is created or has failed: its price, and
//! one without a price has no amount. Of one that is paid: what was paid, `payments[].value.local` together
//! (<https://docs.cdp.coinbase.com/commerce/accepting-payment/faq>), else its price. A charge that a person resolved was
//! not paid as priced, so that its price is never its amount.
//!
//! Time: the event's own. Signed: the whole body.

use serde::{Deserialize, Deserializer};
use tollgate_core::{EventType, EventType::*, Facts, Money, PaymentMethod};

use super::{
    content::{ContentError, required, transaction, unknown},
    fields::{Number, Object, Pairs, Text, each},
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "coinbase_commerce",
    aliases: &[],
    headers: &[],
    query: &[],
    read: Read::Body(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attempt<'a> {
    #[serde(borrow)]
    event: Object<Event<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    created_at: Text<'a>,
    data: Object<Charge<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Charge<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    code: Text<'a>,
    pricing: Object<Value<'a>>,
    #[serde(deserialize_with = "paid")]
    payments: Paid,
    #[serde(deserialize_with = "is_unresolved")]
    timeline: bool,
    metadata: Pairs<'a>,
}

/// A charge's price, or what one payment of it is worth.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Value<'a> {
    #[serde(borrow)]
    local: Object<Local<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Local<'a> {
    #[serde(borrow)]
    amount: Number<'a>,
    currency: Text<'a>,
}

impl Value<'_> {
    fn amount(self) -> Amount {
        let local = self.local.or_default();
        money::decimal(local.amount, &local.currency)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payment<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    value: Object<Value<'a>>,
}

/// What the payments of a charge are worth together.
#[derive(Clone, Copy, Default)]
enum Paid {
    /// There is no payment.
    #[default]
    Nothing,
    Sum(Money),
    /// A payment has no amount, or one of another currency.
    Unknown,
    /// An amount cannot be held exactly.
    Bad(&'static str),
}

impl Paid {
    fn and(self, payment: Amount) -> Self {
        let payment = match payment {
            Ok(Some(payment)) => payment,
            Ok(None) | Err(money::NO_CURRENCY) => return Self::Unknown,
            Err(why) => return Self::Bad(why),
        };
        match self {
            Self::Nothing => Self::Sum(payment),
            Self::Sum(sum) => money::sum(sum, payment).map_or(Self::Unknown, Self::Sum),
            Self::Unknown | Self::Bad(_) => self,
        }
    }
}

fn paid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Paid, D::Error> {
    let mut paid = Paid::default();
    each(deserializer, |payment: Object<Payment<'de>>| {
        let payment = payment.or_default();
        if !payment.status.as_str().eq_ignore_ascii_case("failed") {
            paid = paid.and(payment.value.or_default().amount());
        }
    })?;
    Ok(paid)
}

/// Whether the last state of a charge's timeline is that a person must decide about it.
fn is_unresolved<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Step<'a> {
        #[serde(borrow)]
        status: Text<'a>,
    }
    let mut last = false;
    each(deserializer, |step: Object<Step<'de>>| last = step.or_default().status.as_str() == "UNRESOLVED")?;
    Ok(last)
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let attempt: Attempt<'_> = json::read(body)?;
    let event = attempt.event.or_default();
    let event_id = required(event.id, "event.id")?;
    let event_type = event.kind.some().unwrap_or_default();
    let occurred_at = event.created_at.moment();
    let charge = event.data.or_default();
    let facts = match kind(&event_type) {
        // Money came, too little or too late: it did not fail for want of a payer.
        Some(PaymentFailed) if charge.timeline => Facts::new(event_id, event_type, PaymentRequiresAction),
        Some(kind) => Facts::new(event_id, event_type, kind),
        None => unknown(event_id, event_type),
    };
    let price = charge.pricing.or_default();
    let amount = match (facts.kind, charge.payments) {
        (PaymentCreated | PaymentFailed, _) => price.amount(),
        (_, Paid::Sum(sum)) => Ok(Some(sum)),
        (_, Paid::Unknown) => Ok(None),
        (_, Paid::Bad(why)) => Err(why),
        (_, Paid::Nothing) if facts.event_type == "charge:resolved" => Ok(None),
        (_, Paid::Nothing) => price.amount(),
    };
    let (transaction_id, aliases) = transaction([charge.id.some(), charge.code.some()]);
    let facts = Facts {
        movement_id: transaction_id.clone(),
        transaction_id,
        aliases,
        occurred_at,
        method: PaymentMethod { kind: Some("crypto".into()), ..PaymentMethod::default() },
        metadata: charge.metadata.into_vec(),
        ..facts
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str) -> Option<EventType> {
    Some(match event_type {
        "charge:created" => PaymentCreated,
        "charge:pending" => PaymentPending,
        // Resolved: a person accepted what was paid late or in another amount.
        "charge:confirmed" | "charge:resolved" => PaymentSucceeded,
        // Paid late or in another amount: a person decides.
        "charge:delayed" => PaymentRequiresAction,
        "charge:failed" => PaymentFailed,
        _ => return None,
    })
}
