//! Plain hashes of a text that holds the key: what can be made of one without the key.

use sha2::block_api::compress256;
use tollgate_core::{Authenticity, id::to_hex};
use tollgate_providers::{Refusal, catalogue, scheme::Algorithm};

use crate::providers::{case, key_text, now, received, signable};

/// What SHA-256 appends to a text of `len` bytes.
fn padding(len: usize) -> Vec<u8> {
    let zeros = (119 - len % 64) % 64;
    let bits = u64::try_from(len).unwrap() * 8;
    [&[0x80][..], &vec![0; zeros], &bits.to_be_bytes()].concat()
}

/// The SHA-256 of a text of `len` bytes whose hash is `hash`, its padding, and `more`: made without the text.
fn lengthened(hash: &[u8], len: usize, more: &[u8]) -> Vec<u8> {
    let words = hash.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
    let mut state: [u32; 8] = words.collect::<Vec<_>>().try_into().unwrap();
    let before = len + padding(len).len();
    let rest = [more, &padding(before + more.len())].concat();
    let (blocks, ends) = rest.as_chunks::<64>();
    assert_eq!((before % 64, ends.len()), (0, 0));
    compress256(&mut state, blocks);
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn a_hash_is_made_longer_without_its_text() {
    use sha2::{Digest as _, Sha256};
    for len in 0..200 {
        let text: Vec<u8> = (0..=255).cycle().take(len).collect();
        let whole = [&text[..], &padding(len), b"and more"].concat();
        let made = lengthened(&Sha256::digest(&text), len, b"and more");
        assert_eq!(made, Sha256::digest(whole).to_vec(), "{len}");
    }
}

#[test]
fn pagbanks_lengthened_signature_is_refused() {
    let row = catalogue::find("pagbank").unwrap();
    let genuine = case(row);
    let hash = genuine.signed.headers.get("x-authenticity-token").unwrap();
    let hash: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&hash[at..at + 2], 16).unwrap()).collect();
    // Keys have a known length: nothing else of it is needed.
    let len = key_text(row, 1).len() + 1 + genuine.signed.body.len();
    for more in [&b""[..], b"}", br#"{"id":"CHAR_2","status":"PAID","amount":{"value":1,"currency":"BRL"}}"#]
    {
        let mut forged = genuine.signed.clone();
        forged.body.extend(padding(len));
        forged.body.extend_from_slice(more);
        forged.headers.remove("x-authenticity-token");
        forged.headers.push("x-authenticity-token", to_hex(&lengthened(&hash, len, more)));
        let verdict = genuine.endpoint.verify(received(&forged), &genuine.keys, None, now());
        assert!(matches!(verdict, Err(Refusal::Malformed(_))), "{verdict:?}");
    }
    // Nor is anything else that is not PagBank's, however well it is signed.
    for body in [&b""[..], b"[]", b"id=1", b"{}{}", b"{\"a\":\"\xff\"}"] {
        let signed = crate::providers::sign(&genuine.endpoint, &genuine.keys, body, crate::providers::NOW);
        let verdict = genuine.endpoint.verify(received(&signed), &genuine.keys, None, now());
        assert!(matches!(verdict, Err(Refusal::Malformed(_))), "{body:?}: {verdict:?}");
    }
}

#[test]
fn a_hash_whose_key_does_not_come_last_verifies_nothing() {
    let mut rows = Vec::new();
    for row in signable() {
        let Some(scheme) = &row.scheme else { continue };
        if !matches!(scheme.algorithm, Algorithm::Sha256 | Algorithm::Sha512)
            || scheme.signed.ends_with("{secret}")
        {
            continue;
        }
        rows.push(row.name.as_str());
        assert_eq!(row.info().unwrap().authenticity, Authenticity::Authenticated, "{}", row.name);
        assert!(scheme.require_json || !scheme.signed.contains("{body}"), "{}", row.name);
    }
    assert_eq!(rows, ["pagbank", "nuvei"]);
}
