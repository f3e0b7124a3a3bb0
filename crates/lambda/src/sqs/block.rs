//! Finds the ends and escapes in 64 bytes of a JSON text at once: one bit for each byte, the lowest for the first.

use wide::u8x16;

/// Bytes in a block.
pub(super) const BLOCK: usize = 64;
/// Bytes in one vector of it.
pub(super) const VECTOR: usize = 16;

/// Whether each byte ends plain text: a quote, a backslash, or a control character, which JSON forbids in a text
/// (RFC 8259, section 7).
pub(super) fn stops(bytes: [u8; VECTOR]) -> u32 {
    let bytes = u8x16::new(bytes);
    (is(bytes, b'"') | is(bytes, b'\\') | is_control(bytes)).to_bitmask()
}

/// The end of the text in a block, and the escapes before it.
pub(super) struct Marks {
    /// Backslashes that begin an escape, before the end.
    pub(super) escapes: u64,
    /// The quote that ends the text.
    pub(super) end: Option<usize>,
    /// Whether a control character stands before the end.
    pub(super) has_control: bool,
}

impl Marks {
    /// Scans a block that begins inside a text and not inside an escape.
    pub(super) fn scan(block: &[u8; BLOCK]) -> Self {
        let (mut quotes, mut backslashes, mut controls) = (0, 0, 0);
        for (position, vector) in block.as_chunks::<VECTOR>().0.iter().enumerate() {
            let bytes = u8x16::new(*vector);
            let bits = |found: u8x16| u64::from(found.to_bitmask()) << (position * VECTOR);
            quotes |= bits(is(bytes, b'"'));
            backslashes |= bits(is(bytes, b'\\'));
            controls |= bits(is_control(bytes));
        }
        let (escapes, escaped) = escapes(backslashes);
        let ends = quotes & !escaped;
        // All ones where there is no end.
        let before = (ends & ends.wrapping_neg()).wrapping_sub(1);
        Self {
            escapes: escapes & before,
            end: (ends != 0).then(|| ends.trailing_zeros() as usize),
            has_control: controls & before != 0,
        }
    }
}

/// The backslashes that begin an escape, and the bytes that they escape. In a run of backslashes every second one is
/// escaped itself.
///
/// A subtraction's borrow runs through each run of ones and tells odd from even places ("Parsing Gigabytes of JSON per
/// Second", Langdale and Lemire 2019, section 3.1.1).
fn escapes(backslashes: u64) -> (u64, u64) {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let codes = ((backslashes << 1) | ODD).wrapping_sub(backslashes) ^ ODD;
    (codes & backslashes, codes ^ backslashes)
}

fn is(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

fn is_control(bytes: u8x16) -> u8x16 {
    bytes.max(u8x16::splat(0x1f)).simd_eq(u8x16::splat(0x1f))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_are_those_of_a_walk(text in "[\"\\\\a\u{1}]{64}") {
            let block: [u8; BLOCK] = text.as_bytes().try_into().unwrap();
            let (mut escapes, mut end, mut has_control, mut at) = (0_u64, None, false, 0);
            while at < BLOCK && end.is_none() {
                match block[at] {
                    b'"' => end = Some(at),
                    b'\\' => {
                        escapes |= 1 << at;
                        at += 1;
                        // The reader checks the escaped byte, except for this.
                        has_control |= at < BLOCK && block[at] < 0x20;
                    }
                    byte => has_control |= byte < 0x20,
                }
                at += 1;
            }
            let marks = Marks::scan(&block);
            prop_assert_eq!((marks.escapes, marks.end, marks.has_control), (escapes, end, has_control));
            let first = block.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(16);
            let found = stops(*block.first_chunk().unwrap()).trailing_zeros().min(16) as usize;
            prop_assert_eq!(found, first.min(16));
        }
    }
}
