//! The items of a notification, read in one way by the check of their signatures and by the normaliser: what verified is
//! what is told.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::super::{
    adyen_platform::Amount,
    content::ContentError,
    fields::{Flag, Object, Pairs, Text, each, entries},
    json,
};

/// The most items in one notification. Adyen sends one by JSON and few by SOAP.
pub(crate) const MAX_ITEMS: usize = 100;

/// What takes the items of a notification, in their order.
pub(crate) trait Sink<'a>: Default {
    /// Takes one; an element of the list that is no item has no field.
    fn take(&mut self, item: Item<'a>);
}

/// A notification, its items taken as they were read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "S: Sink<'de>"))]
pub(crate) struct Notification<S> {
    pub(super) live: Flag,
    notification_items: Items<S>,
}

#[derive(Default)]
struct Items<S>(S);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wrapper<'a> {
    #[serde(borrow, rename = "NotificationRequestItem")]
    item: Object<Item<'a>>,
}

/// One item.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Item<'a> {
    #[serde(borrow)]
    pub(super) additional_data: Additional<'a>,
    pub(super) amount: Object<Amount<'a>>,
    pub(super) event_code: Text<'a>,
    pub(super) event_date: Text<'a>,
    merchant_account_code: Text<'a>,
    merchant_reference: Text<'a>,
    pub(super) operations: Operations,
    pub(super) original_reference: Text<'a>,
    pub(super) payment_method: Text<'a>,
    pub(super) psp_reference: Text<'a>,
    pub(super) success: Flag,
}

/// What is used of `additionalData`, a flat object with dotted names.
#[derive(Default)]
pub(super) struct Additional<'a> {
    signature: Text<'a>,
    pub(super) fraud_score: Option<u16>,
    pub(super) issuer_country: Option<Cow<'a, str>>,
    pub(super) billing_country: Option<Cow<'a, str>>,
    pub(super) shopper_reference: Option<Cow<'a, str>>,
    pub(super) modification: Option<Cow<'a, str>>,
    pub(super) metadata: Pairs<'a>,
}

/// What can still be done to an authorised payment.
#[derive(Default)]
pub(super) struct Operations {
    pub(super) any: bool,
    pub(super) capture: bool,
}

impl<S> Notification<S> {
    /// Reads a notification.
    ///
    /// # Errors
    ///
    /// A body that is no JSON object, or one that names a field twice.
    pub(crate) fn read<'a>(body: &'a [u8]) -> Result<Self, ContentError>
    where
        S: Sink<'a>,
    {
        json::read(body)
    }

    /// What took the items.
    pub(crate) fn into_items(self) -> S {
        self.notification_items.0
    }
}

impl<'a> Sink<'a> for Vec<Item<'a>> {
    fn take(&mut self, item: Item<'a>) {
        // One more than may come says that there are too many. Nothing is verified yet: a megabyte could hold half a
        // million.
        if self.len() <= MAX_ITEMS {
            self.push(item);
        }
    }
}

impl Item<'_> {
    /// The fields that Adyen signs, in its order; an optional one that is absent is empty. `None` where one is missing or
    /// not of its form: a text, a whole number in its one spelling, true or false.
    pub(crate) fn signed(&self) -> Option<[&str; 8]> {
        let Object::Value(amount) = &self.amount else { return None };
        Some([
            required(&self.psp_reference)?,
            optional(&self.original_reference)?,
            optional(&self.merchant_account_code)?,
            optional(&self.merchant_reference)?,
            amount.value.text().filter(|text| is_whole(text))?,
            required(&amount.currency)?,
            required(&self.event_code)?,
            if self.success.some()? { "true" } else { "false" },
        ])
    }

    /// Its signature, where it has one.
    pub(crate) fn signature(&self) -> Option<&str> {
        required(&self.additional_data.signature)
    }
}

fn required<'t>(text: &'t Text<'_>) -> Option<&'t str> {
    match text {
        Text::Value(text) => Some(text),
        Text::Absent | Text::Wrong => None,
    }
}

fn optional<'t>(text: &'t Text<'_>) -> Option<&'t str> {
    match text {
        Text::Absent => Some(""),
        text => required(text),
    }
}

/// Digits without leading zeros, with at most a minus before them.
fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_canonical = !digits.starts_with('0') || text == "0";
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && is_canonical
}

impl<'de, S: Sink<'de>> Deserialize<'de> for Items<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = S::default();
        each(deserializer, |wrapper: Object<Wrapper<'de>>| {
            items.take(wrapper.or_default().item.or_default())
        })?;
        Ok(Self(items))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Additional<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        entries(deserializer, |name, value| match &*name {
            // A second one is none: it would not be known which one counts.
            "hmacSignature" if data.signature != Text::Absent => data.signature = Text::Wrong,
            "hmacSignature" => data.signature = value,
            _ => {
                if let Some(value) = value.some() {
                    data.set(name, value);
                }
            }
        })?;
        Ok(data)
    }
}

impl<'a> Additional<'a> {
    fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        match &*name {
            "totalFraudScore" => self.fraud_score = value.parse().ok(),
            "issuerCountry" | "cardIssuingCountry" => self.issuer_country = Some(value),
            "billingAddress.country" => self.billing_country = Some(value),
            "shopperReference" | "recurring.shopperReference" => self.shopper_reference = Some(value),
            "modification.action" => self.modification = Some(value),
            _ => {
                let own = match &name {
                    Cow::Borrowed(name) => name.strip_prefix("metadata.").map(Cow::Borrowed),
                    Cow::Owned(name) => name.strip_prefix("metadata.").map(|own| Cow::Owned(own.to_owned())),
                };
                if let Some(own) = own {
                    self.metadata.push(own, value);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Operations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut operations = Self::default();
        each(deserializer, |operation: Text<'de>| {
            operations.any = true;
            operations.capture |= operation.as_str() == "CAPTURE";
        })?;
        Ok(operations)
    }
}
