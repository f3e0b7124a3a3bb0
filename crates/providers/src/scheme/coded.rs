//! The schemes that are code.

use super::{adyen, braintree, interface::Coded, paypal, plaid};

static CODED: [Coded; 4] = [adyen::CODED, braintree::CODED, paypal::CODED, plaid::CODED];

/// The scheme that the catalogue calls `name`.
pub(crate) fn find(name: &str) -> Option<&'static Coded> {
    CODED.iter().find(|scheme| scheme.name == name)
}
