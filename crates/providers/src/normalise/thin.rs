//! Thin webhooks: they say that an object of the provider's changed, and what it is now has to be fetched.
//!
//! What is asked for is decided here, of the signed parts of a webhook alone: a kind of object that the provider's file names, and
//! an id of a form that is no part of a path but itself. How it is asked for is data of `tollgate-provider-api`.

use std::{borrow::Cow, fmt};

use tollgate_core::{EndpointConfig, Facts};

use super::content::ContentError;
use crate::request::Received;

/// The longest id of an object, in bytes: Stripe's bound (<https://docs.stripe.com/upgrades>, "at most 255 characters").
const MAX_ID_LEN: usize = 255;

/// An object that a webhook only names. Its parts are signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedObject<'a> {
    /// What it is, as `tollgate-provider-api` knows it.
    pub kind: &'static str,
    /// Its id: letters, digits and underscores.
    pub id: Cow<'a, str>,
    /// On whose behalf it is asked for, where the webhook says so (Stripe's `context`): letters, digits, underscores and slashes.
    pub context: Option<Cow<'a, str>>,
}

impl<'a> NamedObject<'a> {
    /// An object of this id; `None` where the id is of another form.
    pub(super) fn new(kind: &'static str, id: Cow<'a, str>) -> Option<Self> {
        is_plain(&id, |_| false).then_some(Self { kind, id, context: None })
    }

    /// The same on somebody's behalf; `None` where that is of another form.
    pub(super) fn on_behalf_of(self, context: Option<Cow<'a, str>>) -> Option<Self> {
        let is_good = context.as_deref().is_none_or(|context| is_plain(context, |byte| byte == b'/'));
        is_good.then_some(Self { context, ..self })
    }

    /// The same, kept.
    pub fn into_owned(self) -> NamedObject<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        NamedObject { kind: self.kind, id: owned(self.id), context: self.context.map(owned) }
    }
}

fn is_plain(text: &str, is_more: impl Fn(u8) -> bool) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || is_more(byte);
    (1..=MAX_ID_LEN).contains(&text.len()) && text.bytes().all(is_good)
}

/// How a provider's thin webhooks are read.
#[derive(Clone, Copy)]
pub(crate) struct Thin {
    /// The normaliser's name.
    pub(super) name: &'static str,
    /// Every kind of object that it asks for.
    pub(super) kinds: &'static [&'static str],
    /// The object that is to be fetched; `None` where the webhook says all there is to say.
    pub(super) named: for<'a> fn(Received<'a>) -> Option<NamedObject<'a>>,
    /// The facts of the webhook's event, with what was fetched. Its id, its provider's type and its time are the webhook's.
    pub(super) read: for<'a> fn(Received<'a>, &'a [u8], &EndpointConfig) -> Result<Facts<'a>, ContentError>,
}

impl Thin {
    pub(crate) fn named<'a>(&self, received: Received<'a>) -> Option<NamedObject<'a>> {
        (self.named)(received)
    }

    pub(crate) fn read<'a>(
        &self,
        received: Received<'a>,
        object: &'a [u8],
        config: &EndpointConfig,
    ) -> Result<Facts<'a>, ContentError> {
        (self.read)(received, object, config)
    }
}

impl fmt::Debug for Thin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Thin").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_no_part_of_a_path_but_itself() {
        for good in ["pi_3MtwBwLkdIwHu7ix28a3tqPa", "123", "cs_test_a1"] {
            assert!(NamedObject::new("x", good.into()).is_some(), "{good}");
        }
        let long = "a".repeat(MAX_ID_LEN + 1);
        for bad in
            ["", "..", "../events", "a/b", "a%2fb", "a?b", "a#b", "a b", "a\r\nb", "a.b", "\u{e9}", &long]
        {
            assert!(NamedObject::new("x", bad.into()).is_none(), "{bad}");
        }
        let object = || NamedObject::new("x", "pi_1".into()).unwrap();
        assert!(object().on_behalf_of(None).is_some());
        assert!(object().on_behalf_of(Some("org_1/acct_2".into())).is_some());
        for bad in ["", "acct_1\r\nx: y", "acct 1"] {
            assert!(object().on_behalf_of(Some(bad.into())).is_none(), "{bad}");
        }
    }
}
