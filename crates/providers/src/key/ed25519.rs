//! Ed25519 public keys with which anything, or more than one text, verifies.

/// The numbers y, little-endian, of the points whose order divides eight: of the curve's eight such points two share each,
/// but for 1 and -1. With a key among them a signature can be made that verifies for any text, without a private key.
/// The list of libsodium (`ge25519_has_small_order`), whose other entries are spellings that [`is_canonical`] refuses.
const SMALL_ORDER: [[u8; 32]; 5] = [
    // 0, of order 4.
    [0; 32],
    // 1, the neutral element.
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    // Two of order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    // -1, of order 2.
    {
        let mut minus_one = P;
        minus_one[0] = 0xec;
        minus_one
    },
];

/// The field's prime, 2^255 - 19, little-endian.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// The bit of the last byte that is the sign of x and no part of y.
const SIGN: u8 = 0x80;

/// What stands before the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410, 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Whether `key`, 32 bytes or a `SubjectPublicKeyInfo` in DER, is a public key that serves: in its one spelling, and not of
/// small order.
pub(super) fn is_sound(key: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(key.strip_prefix(&SPKI).unwrap_or(key)) else { return false };
    if let Some(last) = y.last_mut() {
        *last &= !SIGN;
    }
    is_canonical(&y) && !SMALL_ORDER.contains(&y)
}

/// Whether y is below the prime: a larger one is another spelling of a smaller one.
fn is_canonical(y: &[u8; 32]) -> bool {
    y.iter().rev().lt(P.iter().rev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_small_order_in_any_spelling_are_unsound() {
        // Every y of small order, as it is and with the prime added where that fits, with both signs.
        let mut bad: Vec<[u8; 32]> = SMALL_ORDER.to_vec();
        bad.extend([0xed, 0xee].map(|first| {
            let mut y = P;
            y[0] = first;
            y
        }));
        for y in bad {
            for sign in [0, SIGN] {
                let mut key = y;
                key[31] |= sign;
                assert!(!is_sound(&key), "{key:x?}");
                assert!(!is_sound(&[&SPKI[..], &key].concat()), "{key:x?}");
            }
        }
        let largest: [u8; 32] = [0xff; 32];
        assert!(!is_sound(&largest));
    }

    #[test]
    fn usual_keys_are_sound() {
        // The base point, and the key of RFC 8032's first test.
        let base = [&[0x58][..], &[0x66; 31]].concat();
        let rfc = [
            0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
            0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
        ];
        for key in [&base[..], &rfc] {
            assert!(is_sound(key), "{key:x?}");
            assert!(is_sound(&[&SPKI[..], key].concat()), "{key:x?}");
            assert!(!is_sound(&key[1..]));
        }
    }
}
