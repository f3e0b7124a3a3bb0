//! One endpoint of every provider, with keys and a body that it can sign.

use std::collections::BTreeMap;

use aws_lc_rs::{
    encoding::AsBigEndian as _,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use tollgate_core::{EndpointConfig, EndpointId, Timestamp};
use tollgate_providers::{
    Endpoint, Headers, KeyMaterial, KeyRing, Received, Refusal, Secret, SignedWebhook, ToSign,
    catalogue::{self, Provider},
    scheme::{Algorithm, KeyForm},
};

/// The receiver's clock: 2025-10-09T08:53:20Z.
pub const NOW: i64 = 1_760_000_000;

pub const URL: &str = "https://hooks.example.com/webhook/square";

pub const JSON: &[u8] = br#"{"id":"evt_1","amount":"10.00","note":"caf\u00e9 \/ a \n b"}"#;

pub fn now() -> Timestamp {
    at(NOW)
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// An endpoint, its keys and the webhook that its provider would send.
pub struct Case {
    pub endpoint: Endpoint,
    pub keys: KeyRing,
    pub signed: SignedWebhook,
}

/// Every row that can be signed for: all but PayPal, whose private keys nobody else has.
pub fn signable() -> impl Iterator<Item = &'static Provider> {
    catalogue::providers().iter().filter(|row| row.name != "paypal")
}

pub fn config(scheme: impl Into<serde_json::Value>) -> EndpointConfig {
    EndpointConfig {
        id: EndpointId::new("test").unwrap(),
        scheme: scheme.into(),
        secret: "ssm:test".to_owned(),
        delivery: Default::default(),
        on_duplicate: None,
        tolerance_seconds: None,
        metadata: None,
        ids_hold_no_cards: false,
        require_signed_time: false,
        quiet_after_hours: None,
        keep_rejected: None,
        enrich: false,
        normaliser: None,
        notification_url: Some(URL.to_owned()),
        parameters: BTreeMap::new(),
    }
}

pub fn endpoint(name: &str) -> Endpoint {
    Endpoint::new(config(name)).unwrap()
}

pub fn ring(endpoint: &Endpoint, keys: &[(&str, &str)]) -> KeyRing {
    let material = |(id, text): &(&str, &str)| KeyMaterial::new(*id, Secret::new(*text));
    endpoint.keys(keys.iter().map(material).collect()).unwrap()
}

/// The provider's webhook, signed at [`NOW`].
pub fn case(row: &Provider) -> Case {
    let endpoint = endpoint(&row.name);
    let keys = ring(&endpoint, &[("1", &key_text(row, 1))]);
    let signed = sign(&endpoint, &keys, body(&row.name), NOW);
    Case { endpoint, keys, signed }
}

pub fn sign(endpoint: &Endpoint, keys: &KeyRing, body: &[u8], second: i64) -> SignedWebhook {
    let headers: Headers = [("Content-Type", "text/plain"), ("x-request-id", "r-1")].into_iter().collect();
    let to_sign = ToSign { headers: &headers, query: "data.id=ord01&type=order", body, url: None };
    endpoint.sign(to_sign, keys, at(second)).unwrap()
}

pub fn received(signed: &SignedWebhook) -> Received<'_> {
    Received { headers: &signed.headers, query: &signed.query, body: &signed.body }
}

impl Case {
    pub fn verify(&self) -> Result<String, Refusal> {
        self.verify_at(NOW)
    }

    pub fn verify_at(&self, second: i64) -> Result<String, Refusal> {
        let verified = self.endpoint.verify(received(&self.signed), &self.keys, None, at(second));
        verified.map(|verified| verified.key_id().to_owned())
    }
}

/// A key of the form that this provider gives; `seed` makes different ones.
pub fn key_text(row: &Provider, seed: u8) -> String {
    let bytes = |len: u8| (0..len).map(|i| i.wrapping_mul(7).wrapping_add(seed)).collect::<Vec<u8>>();
    let Some(scheme) = &row.scheme else {
        return match row.name.as_str() {
            "adyen" => hex(&bytes(32)),
            "plaid" => jwk("1"),
            _ => format!("private-key-{seed}"),
        };
    };
    match (scheme.key.form, scheme.algorithm) {
        (KeyForm::Pem, _) => rsa_pem(),
        (KeyForm::Base64, Algorithm::Ed25519) => format!("whsk_{}", STANDARD.encode(bytes(32))),
        (KeyForm::Base64, _) => format!("whsec_{}", STANDARD.encode(bytes(24))),
        (KeyForm::Hex, _) => hex(&bytes(scheme.key.bytes.unwrap_or(32).try_into().unwrap())),
        (KeyForm::Utf8, _) => format!("user:a signing secret of ours {seed}"),
    }
}

pub fn body(name: &str) -> &'static [u8] {
    match name {
        "adyen" => {
            br#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"PSP1",
                "merchantAccountCode":"Shop","merchantReference":"a:b\\c/d","amount":{"value":1099,
                "currency":"EUR"},"eventCode":"AUTHORISATION","success":"true","reason":"x"}},
                {"NotificationRequestItem":{"pspReference":"PSP2","originalReference":"PSP1",
                "merchantAccountCode":"Shop","merchantReference":"2","amount":{"value":5,"currency":"JPY"},
                "eventCode":"REFUND","success":"false"}}]}"#
        }
        "nuvei" => {
            b"totalAmount=11.50&currency=USD&responseTimeStamp=2025-10-09.08%3A53%3A20&PPP_TransactionID=7\
              &Status=APPROVED&productId="
        }
        "midtrans" => {
            br#"{"order_id":"o-1","status_code":"200","gross_amount":"24145.00","transaction_status":"pending"}"#
        }
        "braintree" => b"<notification><kind>check</kind></notification>",
        _ => JSON,
    }
}

fn hex(bytes: &[u8]) -> String {
    tollgate_core::id::to_hex(bytes)
}

/// One RSA key for the whole run: making one takes a moment.
fn rsa_pem() -> String {
    static PEM: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
    });
    PEM.clone()
}

pub fn jwk(key_id: &str) -> String {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let d = pair.private_key().as_be_bytes().unwrap();
    let point = pair.public_key().as_ref();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    serde_json::json!({
        "kid": key_id, "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "expired_at": null,
        "x": text(&point[1..33]), "y": text(&point[33..]), "d": text(d.as_ref()),
    })
    .to_string()
}
