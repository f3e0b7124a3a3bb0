//! HMACs and digests, in Rust alone, and comparison in constant time.
//!
//! `sha2` and `sha1` choose the processor's SHA instructions when they run: SHA-NI on x86, the SHA-2 extension on arm64.
//! `benches/COMPARE.md` compares them with aws-lc.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    /// For providers that never moved on.
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    /// The digest of `pieces`, one after the other.
    pub(crate) fn digest<'p>(self, pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
        fn of<'p, D: Digest>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
            pieces.into_iter().fold(D::new(), D::chain_update).finalize().to_vec()
        }
        match self {
            Self::Sha1 => of::<Sha1>(pieces),
            Self::Sha256 => of::<Sha256>(pieces),
            Self::Sha512 => of::<Sha512>(pieces),
        }
    }
}

/// An HMAC: its key, and the content that it was given so far. Wiped when dropped, since its state is as good as the key
/// (feature `zeroize` of the three crates).
#[derive(Clone)]
pub(crate) enum Mac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Mac {
    /// An HMAC of no content yet. `None` is never seen: HMAC takes keys of any length.
    pub(crate) fn new(hash: Hash, key: &[u8]) -> Option<Self> {
        match hash {
            Hash::Sha1 => Hmac::new_from_slice(key).ok().map(Self::Sha1),
            Hash::Sha256 => Hmac::new_from_slice(key).ok().map(Self::Sha256),
            Hash::Sha512 => Hmac::new_from_slice(key).ok().map(Self::Sha512),
        }
    }

    /// Adds `bytes` to the content.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    /// Whether `tag` is the whole MAC of the content, in constant time.
    pub(crate) fn verify(&self, tag: &[u8]) -> bool {
        let verified = match self {
            Self::Sha1(mac) => mac.clone().verify_slice(tag),
            Self::Sha256(mac) => mac.clone().verify_slice(tag),
            Self::Sha512(mac) => mac.clone().verify_slice(tag),
        };
        verified.is_ok()
    }

    /// The MAC of the content, to sign with.
    pub(crate) fn into_tag(self) -> Vec<u8> {
        match self {
            Self::Sha1(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha256(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha512(mac) => mac.finalize().into_bytes().to_vec(),
        }
    }
}

/// Whether both are the same bytes. The time it takes depends on their lengths alone.
pub(crate) fn are_equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use tollgate_core::id::to_hex;

    use super::*;

    /// RFC 2202 (SHA-1) and RFC 4231 (SHA-2): test case 2, and the one with a key longer than a block.
    #[test]
    fn macs_are_those_of_the_standards() {
        let check = |hash, key: &[u8], content: [&str; 2], expected: &str| {
            let mut mac = Mac::new(hash, key).unwrap();
            content.iter().for_each(|piece| mac.update(piece.as_bytes()));
            let tag = mac.clone().into_tag();
            assert_eq!(to_hex(&tag), expected);
            assert!(mac.verify(&tag));
            for len in 0..tag.len() {
                assert!(!mac.verify(&tag[..len]), "{len} bytes of {hash:?}");
                let mut other = tag.clone();
                other[len] ^= 1;
                assert!(!mac.verify(&other), "byte {len} of {hash:?}");
            }
            assert!(!mac.verify(&[&tag[..], &[0]].concat()));
        };
        let jefe = ["what do ya want ", "for nothing?"];
        check(Hash::Sha1, b"Jefe", jefe, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        check(
            Hash::Sha256,
            b"Jefe",
            jefe,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(
            Hash::Sha512,
            b"Jefe",
            jefe,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        );
        let long = ["Test Using Larger Than Block-Size Key - ", "Hash Key First"];
        check(Hash::Sha1, &[0xaa; 80], long, "aa4ae5e15272d00e95705637ce8a3b55ed402112");
        check(
            Hash::Sha256,
            &[0xaa; 131],
            long,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
        check(
            Hash::Sha512,
            &[0xaa; 131],
            long,
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352\
             6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
        );
    }

    #[test]
    fn digests_are_of_all_pieces() {
        let abc = |hash: Hash| to_hex(&hash.digest(["a", "", "bc"].map(str::as_bytes)));
        assert_eq!(abc(Hash::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(abc(Hash::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(
            abc(Hash::Sha512),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
    }

    #[test]
    fn only_the_same_bytes_are_equal() {
        assert!(are_equal(b"", b""));
        assert!(are_equal(b"secret", b"secret"));
        for other in ["", "secre", "secrets", "Secret"] {
            assert!(!are_equal(b"secret", other.as_bytes()), "{other}");
        }
    }
}
