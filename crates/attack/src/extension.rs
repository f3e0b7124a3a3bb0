//! Length extension: who knows SHA-256(secret ‖ body) and how long the two are can compute
//! SHA-256(secret ‖ body ‖ padding ‖ more) without the secret (FIPS 180-4, sections 5 and 6: the digest is the state).

const BLOCK: usize = 64;

/// FIPS 180-4, section 4.2.2.
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// What was hashed, padded as SHA-256 pads `length` bytes: the padding alone.
fn padding(length: usize) -> Vec<u8> {
    let mut padding = vec![0x80];
    padding.resize(1 + (BLOCK - (length + 9) % BLOCK) % BLOCK, 0);
    padding.extend((length as u64 * 8).to_be_bytes());
    padding
}

/// The body after `known`, of which only the digest with its secret is known, and the digest of both: `hidden` bytes stand
/// before `known` in what is hashed.
pub(crate) fn extend(digest: [u8; 32], hidden: usize, known: &[u8], more: &[u8]) -> (Vec<u8>, [u8; 32]) {
    let glue = padding(hidden + known.len());
    let before = hidden + known.len() + glue.len();
    let mut rest = more.to_vec();
    rest.extend(padding(before + more.len()));
    let mut state = [0_u32; 8];
    for (word, bytes) in state.iter_mut().zip(digest.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    rest.chunks_exact(BLOCK).for_each(|block| compress(&mut state, block));
    let mut extended = [0; 32];
    for (bytes, word) in extended.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    ([known, &glue, more].concat(), extended)
}

/// FIPS 180-4, section 6.2.2.
fn compress(state: &mut [u32; 8], block: &[u8]) {
    let mut w = [0_u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for t in 16..64 {
        let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
        let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for t in 0..64 {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(K[t]).wrapping_add(w[t]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e, d, c, b, a) =
            (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(s0.wrapping_add(majority)));
    }
    for (word, more) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(more);
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_digest_is_extended_without_the_secret() {
        for hidden in [0, 1, 8, 32, 37, 54, 55, 56, 63, 64, 65, 119, 200] {
            let secret = vec![b's'; hidden];
            let digest = Sha256::digest([secret.as_slice(), b"{\"a\":1}"].concat()).into();
            let (body, extended) = extend(digest, hidden, b"{\"a\":1}", b"more");
            let real: [u8; 32] = Sha256::digest([secret, body].concat()).into();
            assert_eq!(extended, real, "{hidden}");
        }
    }
}
