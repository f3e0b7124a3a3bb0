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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Record;

    #[test]
    fn a_stride_has_so_many_records_and_so_many_claim_checks() {
        const CLAIM_CHECK: Encoding = Encoding::ClaimCheck;
        const TEXT: Encoding = Encoding::Text;
        for (wave, expected) in [
            (&[(1, TEXT)][..], &[1][..]),
            (&[(2_000, TEXT)], &[2_000]),
            (&[(2_001, TEXT)], &[2_000, 1]),
            (&[(4_001, TEXT)], &[2_000, 2_000, 1]),
            (&[(16, CLAIM_CHECK)], &[16]),
            (&[(17, CLAIM_CHECK)], &[16, 1]),
            (&[(33, CLAIM_CHECK)], &[16, 16, 1]),
            (&[(10, TEXT), (16, CLAIM_CHECK), (10, TEXT), (1, CLAIM_CHECK)], &[36, 1]),
        ] {
            let record = |encoding: Encoding| Record {
                message_id: "m",
                group: None,
                receive_count: 1,
                body: "",
                escaped_body: None,
                attributes: vec![(attribute::KEY_ID, "k"), (attribute::ENCODING, encoding.as_str())].into(),
            };
            let records: Vec<Record<'_>> = wave
                .iter()
                .flat_map(|(count, encoding)| std::iter::repeat_n(record(*encoding), *count))
                .collect();
            let indexed: Vec<Indexed<'_, '_>> =
                records.iter().enumerate().map(|(index, record)| Indexed { index, record }).collect();
            let strides = strides(&indexed);
            assert_eq!(strides.iter().map(|stride| stride.len()).collect::<Vec<_>>(), expected, "{wave:?}");
            let order: Vec<usize> = strides.concat().iter().map(|record| record.index).collect();
            assert!(order.into_iter().eq(0..records.len()), "{wave:?}: each once, in order");
        }
    }
}
