//! Cutting a wave of records into strides.

use super::record::Indexed;
use crate::intake::{Encoding, attribute};

/// Records that go through the steps together. Enough to fill every batch call many times over, and few enough that the
/// deadline is checked every second or so.
const STRIDE: usize = 2_000;

/// Claim-checked bodies of one stride, all in memory together: 16 of the largest that the validator takes (4 MB) are
/// 64 MB.
const CLAIM_CHECKS_A_STRIDE: usize = 16;

/// Cuts a wave into strides.
pub(super) fn strides<'w, 'r, 'b>(wave: &'w [Indexed<'r, 'b>]) -> Vec<&'w [Indexed<'r, 'b>]> {
    let (mut length, mut claim_checks) = (0, 0);
    let mut strides = Vec::new();
    let mut rest = wave;
    for record in wave {
        let adds = usize::from(is_claim_check(record));
        if length == STRIDE || claim_checks + adds > CLAIM_CHECKS_A_STRIDE {
            let (stride, after) = rest.split_at(length);
            strides.push(stride);
            (rest, length, claim_checks) = (after, 0, 0);
        }
        length += 1;
        claim_checks += adds;
    }
    strides.push(rest);
    strides
}

fn is_claim_check(Indexed { record, .. }: &Indexed<'_, '_>) -> bool {
    let encoding = record.attributes.iter().find(|(name, _)| *name == attribute::ENCODING);
    encoding.is_some_and(|(_, text)| *text == Encoding::ClaimCheck.as_str())
}
