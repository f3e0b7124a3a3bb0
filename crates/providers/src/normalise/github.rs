//! GitHub, and senders who sign like it. <https://docs.github.com/webhooks/webhook-events-and-payloads>
//!
//! Event id: the body's SHA-256. GitHub's `X-GitHub-Delivery` is not signed, and nothing depends on it. Provider's
//! type: of sponsorships and Marketplace purchases the object in the body and its `action` (`sponsorship.created`),
//! else the `X-GitHub-Event` header, which is not signed either and decides nothing: such an event is always
//! unrecognized. A sender of our schema takes the endpoint setting `normaliser = "generic"`.
//!
//! Transaction and movement: the sponsorship, or the account that bought the plan.
//!
//! Money: cents of a dollar, of one-time sponsorships alone: their tier's price. Prices of plans and tiers are no
//! movements.
//!
//! Signed: the whole body, not the headers. Time: of a purchase its `effective_date`, of a new sponsorship its
//! creation.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, id::hex_sha256};

use super::{
    content::{ContentError, unknown},
    fields::{Flag, Id, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "github",
    aliases: &[],
    headers: &["x-github-event"],
    query: &[],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    effective_date: Text<'a>,
    sponsorship: Object<Sponsorship<'a>>,
    marketplace_purchase: Object<Purchase<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sponsorship<'a> {
    #[serde(borrow)]
    node_id: Text<'a>,
    created_at: Text<'a>,
    sponsor: Object<Account<'a>>,
    tier: Object<Tier<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tier<'a> {
    #[serde(borrow)]
    monthly_price_in_cents: Number<'a>,
    is_one_time: Flag,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Purchase<'a> {
    #[serde(borrow)]
    account: Object<Account<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Account<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event_id = format!("sha256-{}", hex_sha256(received.body));
    let Body { action, effective_date, sponsorship, marketplace_purchase } =
        json::read(received.body).unwrap_or_default();
    let action = action.as_str();
    if let Object::Value(sponsorship) = sponsorship {
        return Ok(sponsored(event_id, action, sponsorship));
    }
    if let Object::Value(purchase) = marketplace_purchase {
        return Ok(purchased(event_id, action, &effective_date, purchase));
    }
    let event_type = received.headers.get("x-github-event").unwrap_or_default();
    Ok(unknown(event_id, event_type))
}

fn sponsored<'a>(event_id: String, action: &str, sponsorship: Sponsorship<'a>) -> Facts<'a> {
    let event_type = ["sponsorship", action].join(".");
    let tier = sponsorship.tier.or_default();
    let is_one_time = tier.is_one_time.some() == Some(true);
    let id = sponsorship.node_id.some();
    let kind = match action {
        "created" if is_one_time => EventType::PaymentSucceeded,
        "created" => EventType::SubscriptionCreated,
        "cancelled" => EventType::SubscriptionCanceled,
        "edited" | "tier_changed" | "pending_cancellation" | "pending_tier_change" => {
            EventType::SubscriptionUpdated
        }
        _ => return Facts { transaction_id: id, ..unknown(event_id, event_type) },
    };
    let amount = match kind {
        EventType::PaymentSucceeded => {
            money::minor(tier.monthly_price_in_cents, &Text::Value("USD".into()), money::iso)
        }
        _ => Ok(None),
    };
    let facts = Facts {
        transaction_id: id.clone(),
        movement_id: id,
        occurred_at: if action == "created" { sponsorship.created_at.moment() } else { None },
        customer: Customer { id: sponsorship.sponsor.or_default().id.some(), country: None },
        ..Facts::new(event_id, event_type, kind)
    };
    money::with_amount(facts, amount)
}

fn purchased<'a>(event_id: String, action: &str, date: &Text<'a>, purchase: Purchase<'a>) -> Facts<'a> {
    let event_type = ["marketplace_purchase", action].join(".");
    let account = purchase.account.or_default().id.some();
    let kind = match action {
        "purchased" => EventType::SubscriptionCreated,
        "cancelled" => EventType::SubscriptionCanceled,
        "changed" | "pending_change" | "pending_change_cancelled" => EventType::SubscriptionUpdated,
        _ => return Facts { transaction_id: account, ..unknown(event_id, event_type) },
    };
    Facts {
        transaction_id: account.clone(),
        movement_id: account.clone(),
        // An account may buy, cancel and buy again.
        occurrence: date.clone().some().filter(|_| !kind.may_recur()),
        occurred_at: date.moment(),
        customer: Customer { id: account, country: None },
        ..Facts::new(event_id, event_type, kind)
    }
}
