//! Public keys that prove nothing are refused where keys are read.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tollgate_providers::{Endpoint, KeyMaterial, Material, Received, Refusal, Secret};

use crate::providers::{JSON, NOW, config, endpoint, jwk, now, ring, sign};

fn problem(endpoint: &Endpoint, key: &str) -> Option<&'static str> {
    endpoint.keys(vec![KeyMaterial::new("current", Secret::new(key))]).err().map(|error| error.problem)
}

/// A custom scheme whose keys are PEM.
fn of_pem(algorithm: &str) -> Endpoint {
    let scheme = json!({
        "signature": { "header": "X-Acme" }, "signed": "{body}", "algorithm": algorithm, "encoding": "base64",
        "key": { "form": "pem" },
    });
    Endpoint::new(config(scheme)).unwrap()
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

/// One element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    let len: &[u8] = match content.len() {
        0..=0x7f => &len[1..],
        0x80..=0xff => &[0x81, len[1]],
        _ => &[0x82, len[0], len[1]],
    };
    [&[tag], len, content].concat()
}

fn ed25519_spki(key: &[u8; 32]) -> Vec<u8> {
    let algorithm = element(0x30, &element(0x06, &[0x2b, 0x65, 0x70]));
    element(0x30, &[algorithm, element(0x03, &[&[0][..], key].concat())].concat())
}

/// A key of RSA: a modulus of `bytes` bytes, which ends in `last`, and an exponent.
fn rsa_spki(bytes: usize, last: u8, exponent: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| element(0x02, &[&[0][..], bytes].concat());
    let modulus = [&vec![0xc5; bytes - 1][..], &[last]].concat();
    let key = element(0x30, &[number(&modulus), element(0x02, exponent)].concat());
    let oid = element(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]);
    let algorithm = element(0x30, &[oid, vec![5, 0]].concat());
    element(0x30, &[algorithm, element(0x03, &[&[0][..], &key].concat())].concat())
}

#[test]
fn a_key_for_which_anyone_can_sign_is_refused() {
    // The neutral element: a signature that nobody made is good for every text.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let signature = [neutral, [0; 32]].concat();
    for text in [JSON, b"", b"anything"] {
        assert!(UnparsedPublicKey::new(&ED25519, neutral).verify(text, &signature).is_ok());
    }
    let (raw, of_pem) = (endpoint("standard_webhooks_ed25519"), of_pem("ed25519"));
    let minus_one = [&[0xec][..], &[0xff; 30], &[0x7f]].concat().try_into().unwrap();
    let prime = [&[0xed][..], &[0xff; 30], &[0x7f]].concat().try_into().unwrap();
    for key in [neutral, [0; 32], minus_one, prime, [0xff; 32]] {
        let expected = Some("anyone can sign for it: it is of small order, or not in its one spelling");
        assert_eq!(problem(&raw, &format!("whpk_{}", STANDARD.encode(key))), expected, "{key:x?}");
        assert_eq!(problem(&of_pem, &pem(&ed25519_spki(&key))), expected, "{key:x?}");
    }
    let base = [&[0x58][..], &[0x66; 31]].concat().try_into().unwrap();
    assert_eq!(problem(&of_pem, &pem(&ed25519_spki(&base))), None);
}

#[test]
fn a_weak_rsa_key_is_refused() {
    for endpoint in [endpoint("wise"), of_pem("rsa-pkcs1-sha256")] {
        let check = |bytes, last, exponent: &[u8]| problem(&endpoint, &pem(&rsa_spki(bytes, last, exponent)));
        for (bytes, exponent) in [(256, &[3][..]), (256, &[1, 0, 1]), (512, &[1, 0, 1]), (1024, &[1, 0, 1])] {
            assert_eq!(check(bytes, 0xc5, exponent), None, "{bytes} bytes, {exponent:x?}");
        }
        for (bytes, last, exponent) in [
            (128, 0xc5, &[1, 0, 1][..]),
            (255, 0xc5, &[1, 0, 1]),
            (1025, 0xc5, &[1, 0, 1]),
            (256, 0xc4, &[1, 0, 1]),
            (256, 0xc5, &[1]),
            (256, 0xc5, &[0]),
            (256, 0xc5, &[2]),
            (256, 0xc5, &[1, 0, 0]),
            (256, 0xc5, &[0x7f, 0, 0, 0, 0, 1]),
        ] {
            let expected = Some("it is not a key of this algorithm");
            assert_eq!(check(bytes, last, exponent), expected, "{bytes} bytes, {last:x}, {exponent:x?}");
        }
    }
}

#[test]
fn a_point_that_is_not_on_the_curve_is_no_key() {
    let plaid = endpoint("plaid");
    let good: Value = serde_json::from_str(&jwk("1")).unwrap();
    let changed = |name: &str, to: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = URL_SAFE_NO_PAD.decode(good[name].as_str().unwrap()).unwrap();
        to(&mut bytes);
        let mut key = good.clone();
        key.as_object_mut().unwrap().remove("d");
        key[name] = json!(URL_SAFE_NO_PAD.encode(bytes));
        key
    };
    assert_eq!(problem(&plaid, &changed("x", &|_| {}).to_string()), None);
    let mut bad = vec![
        changed("x", &|bytes| bytes[31] ^= 1),
        changed("y", &|bytes| bytes[0] ^= 0x80),
        changed("x", &|bytes| bytes.fill(0)),
        changed("x", &|bytes| bytes.fill(0xff)),
        changed("y", &|bytes| bytes.truncate(31)),
        changed("y", &|bytes| bytes.push(0)),
    ];
    for (name, value) in [("kty", "oct"), ("kty", "OKP"), ("crv", "P-384"), ("alg", "HS256"), ("alg", "none")]
    {
        let mut key = changed("x", &|_| {});
        key[name] = json!(value);
        bad.push(key);
    }
    for key in bad {
        assert_eq!(problem(&plaid, &key.to_string()), Some("it is not a JSON Web Key for ES256"), "{key}");
    }
}

/// A token with another header, over the claims and with the signature of a good one, or signed as `signed` says.
fn token(good: &str, header: &Value, signed: &dyn Fn(&str) -> String) -> String {
    let claims = good.split('.').nth(1).unwrap();
    let content = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()));
    let signature = signed(&content);
    format!("{content}.{signature}")
}

#[test]
fn a_token_says_nothing_of_how_it_is_checked() {
    let plaid = endpoint("plaid");
    let key: Value = serde_json::from_str(&jwk("1")).unwrap();
    let keys = ring(&plaid, &[("1", &key.to_string())]);
    let webhook = sign(&plaid, &keys, JSON, NOW);
    let good = webhook.headers.get("plaid-verification").unwrap();
    let verify = |token: &str| {
        let mut headers = webhook.headers.clone();
        headers.remove("plaid-verification");
        headers.push("Plaid-Verification", token);
        let received = Received { headers: &headers, query: "", body: JSON };
        let fetched = Material(key.to_string().into_bytes());
        let asked = plaid.material_for(received, &keys, now()).map(|asked| asked.is_some());
        (asked, plaid.verify(received, &keys, Some(&fetched), now()).map(drop))
    };
    assert_eq!(verify(good), (Ok(false), Ok(())));
    let same = |_: &str| good.rsplit_once('.').unwrap().1.to_owned();
    // The public key's bytes as the key of an HMAC.
    let hmac = |content: &str| {
        let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
        let public = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
        URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&public, content.as_bytes()))
    };
    let none = |_: &str| String::new();
    let algorithm = Refusal::Malformed("token's algorithm");
    for alg in ["none", "None", "NONE", "HS256", "RS256", "ES384", "es256", "ES256 ", ""] {
        for signed in [&same as &dyn Fn(&str) -> String, &hmac, &none] {
            let forged = token(good, &json!({ "alg": alg, "kid": "1", "typ": "JWT" }), signed);
            assert_eq!(verify(&forged), (Err(algorithm.clone()), Err(algorithm.clone())), "{alg}");
        }
    }
    let key_id = Refusal::Malformed("token's key id");
    for kid in [
        "../1",
        "/etc/passwd",
        "1\"",
        "1,\"x\":\"",
        "1 ",
        "",
        "http://x",
        "1\u{0}",
        "\u{661}",
        &"1".repeat(129),
    ] {
        let forged = token(good, &json!({ "alg": "ES256", "kid": kid }), &same);
        assert_eq!(verify(&forged), (Err(key_id.clone()), Err(key_id.clone())), "{kid:?}");
    }
    // A key, or where to find one, that the token brings along is not read.
    for more in ["jwk", "jku", "x5u", "x5c", "crit"] {
        let mut header = json!({ "alg": "ES256", "kid": "1" });
        header[more] = key.clone();
        let (asked, verdict) = verify(&token(good, &header, &same));
        assert_eq!((asked, verdict), (Ok(false), Err(Refusal::Mismatch)), "{more}");
    }
    assert!(verify(&token(good, &json!({ "alg": "ES256", "kid": "1" }), &none)).1.is_err());
    let twice = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","alg":"none","kid":"1"}"#);
    assert!(verify(&format!("{twice}.{}", good.split_once('.').unwrap().1)).1.is_err());
}

#[test]
fn an_ed25519_signature_has_one_spelling() {
    // The order of the group, little-endian: with it added, the second number of a signature says the same.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let case =
        crate::providers::case(tollgate_providers::catalogue::find("standard_webhooks_ed25519").unwrap());
    let good = case.signed.headers.get("webhook-signature").unwrap().strip_prefix("v1a,").unwrap();
    let mut bytes = STANDARD.decode(good).unwrap();
    let mut carry = 0;
    for (byte, added) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(added) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    let verify = |bytes: &[u8]| {
        let mut signed = case.signed.clone();
        signed.headers.remove("webhook-signature");
        signed.headers.push("webhook-signature", format!("v1a,{}", STANDARD.encode(bytes)));
        case.endpoint.verify(crate::providers::received(&signed), &case.keys, None, now()).map(drop)
    };
    assert_eq!(verify(&STANDARD.decode(good).unwrap()), Ok(()));
    assert_eq!(verify(&bytes), Err(Refusal::Mismatch));
}
