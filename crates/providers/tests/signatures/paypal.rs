//! PayPal with a certificate authority of our own.

use aws_lc_rs::{rand::SystemRandom, rsa::KeySize, signature::RSA_PKCS1_SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use tollgate_core::{Authenticity, EndpointConfig};
use tollgate_providers::{Endpoint, Headers, Material, MaterialRequest, Received, Refusal, SignedWebhook};

use crate::providers::{Case, JSON, NOW, at, config, ring};

const WEBHOOK_ID: &str = "1JE4291016473214C";
const CERT_URL: &str = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594";
const SANDBOX_URL: &str = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594";
const NOT_ITS_NAME: &str = "its name is not that of this environment of PayPal";

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

struct Leaf {
    pem: String,
    private: aws_lc_rs::rsa::KeyPair,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "An authority of ours");
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { params, key, pem }
}

fn leaf(authority: &Authority, name: &str, years: (i32, i32)) -> Leaf {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    let private = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = private.as_der().unwrap();
    let key = KeyPair::try_from(der.as_ref()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "PayPal, Inc.");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let issuer = rcgen::Issuer::from_params(&authority.params, &authority.key);
    let pem = params.signed_by(&key, &issuer).unwrap().pem();
    Leaf { pem, private }
}

fn transmission(leaf: &Leaf, body: &[u8]) -> Headers {
    let (id, time) = ("69cd13f0-d67a-11e5-baa3-778b53f4ae55", "2025-10-09T08:53:20Z");
    let content = format!("{id}|{time}|{WEBHOOK_ID}|{}", crc32fast::hash(body));
    let mut signature = vec![0; leaf.private.public_modulus_len()];
    leaf.private.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), content.as_bytes(), &mut signature).unwrap();
    [
        ("Paypal-Transmission-Id", id.to_owned()),
        ("Paypal-Transmission-Time", time.to_owned()),
        ("Paypal-Transmission-Sig", STANDARD.encode(signature)),
        ("Paypal-Cert-Url", CERT_URL.to_owned()),
        ("Paypal-Auth-Algo", "SHA256withRSA".to_owned()),
    ]
    .into_iter()
    .collect()
}

fn settings(parameters: &[(&str, &str)]) -> EndpointConfig {
    let mut config = config("paypal");
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    config.parameters = parameters.iter().map(owned).collect();
    config
}

/// A genuine transmission to an endpoint that has its certificate.
pub fn case() -> Case {
    let authority = authority();
    let leaf = leaf(&authority, "messageverificationcerts.paypal.com", (2025, 2027));
    let settings = settings(&[("trust_roots", &authority.pem), ("certificate", &leaf.pem)]);
    let endpoint = Endpoint::new(settings).unwrap();
    let keys = ring(&endpoint, &[("1", WEBHOOK_ID)]);
    let signed =
        SignedWebhook { headers: transmission(&leaf, JSON), query: String::new(), body: JSON.to_vec() };
    Case { endpoint, keys, signed }
}

fn check(
    endpoint: &Endpoint,
    headers: &Headers,
    body: &[u8],
    material: Option<&str>,
    second: i64,
) -> Result<Authenticity, Refusal> {
    let keys = ring(endpoint, &[("current", WEBHOOK_ID)]);
    let received = Received { headers, query: "", body };
    let material = material.map(|pem| Material(pem.as_bytes().to_vec()));
    endpoint.verify(received, &keys, material.as_ref(), at(second)).map(|verified| verified.authenticity())
}

fn changed(headers: &Headers, name: &str, value: &str) -> Headers {
    let mut headers = headers.clone();
    headers.remove(name);
    if !value.is_empty() {
        headers.push(name, value);
    }
    headers
}

#[test]
fn a_transmission_is_checked_whole() {
    let authority = authority();
    let leaf = leaf(&authority, "messageverificationcerts.paypal.com", (2025, 2027));
    let endpoint = Endpoint::new(settings(&[("trust_roots", &authority.pem)])).unwrap();
    let headers = transmission(&leaf, JSON);
    let pem = Some(leaf.pem.as_str());
    let verdict = |headers: &Headers| check(&endpoint, headers, JSON, pem, NOW);

    assert_eq!(verdict(&headers), Ok(Authenticity::Authenticated));
    assert_eq!(check(&endpoint, &headers, JSON, None, NOW), Err(Refusal::MaterialMissing));
    assert_eq!(check(&endpoint, &headers, b"{}", pem, NOW), Err(Refusal::Mismatch));
    for (name, value, expected) in [
        ("paypal-auth-algo", "sha256withrsa", Refusal::Malformed("algorithm")),
        ("paypal-auth-algo", "", Refusal::Missing("paypal-auth-algo".to_owned())),
        ("paypal-transmission-sig", "", Refusal::HeaderMissing),
        ("paypal-transmission-sig", "!", Refusal::Malformed("signature")),
        ("paypal-transmission-id", "69cd13f1", Refusal::Mismatch),
        ("paypal-transmission-time", "2025-10-09T08:53:21Z", Refusal::Mismatch),
        ("paypal-transmission-time", "1760000000", Refusal::Malformed("timestamp")),
    ] {
        assert_eq!(verdict(&changed(&headers, name, value)), Err(expected), "{name}: {value}");
    }
}

#[test]
fn a_transmission_may_be_as_old_as_is_set_and_never_far_ahead() {
    const HALF_A_DAY: u32 = 43_200;
    let authority = authority();
    let leaf = leaf(&authority, "messageverificationcerts.paypal.com", (2025, 2027));
    let headers = transmission(&leaf, JSON);
    let usual = settings(&[("trust_roots", &authority.pem)]);
    for (set, past, ahead) in [
        (None, HALF_A_DAY, 300),
        (Some(60), 60, 60),
        (Some(300), 300, 300),
        // The three days for which PayPal tries again.
        (Some(259_200), 259_200, 300),
        (Some(604_800), 604_800, 300),
    ] {
        let settings = EndpointConfig { tolerance_seconds: set, ..usual.clone() };
        let endpoint = Endpoint::new(settings).unwrap();
        let verdict = |second| check(&endpoint, &headers, JSON, Some(&leaf.pem), second);
        let (past, ahead) = (i64::from(past), i64::from(ahead));
        assert_eq!(verdict(NOW + past), Ok(Authenticity::Authenticated), "{set:?}");
        assert_eq!(verdict(NOW - ahead), Ok(Authenticity::Authenticated), "{set:?}");
        assert!(matches!(verdict(NOW + past + 1), Err(Refusal::TooOld { .. })), "{set:?}");
        assert!(matches!(verdict(NOW - ahead - 1), Err(Refusal::TooNew { .. })), "{set:?}");
    }
}

#[test]
fn certificates_come_from_paypal_only() {
    let authority = authority();
    let leaf = leaf(&authority, "messageverificationcerts.paypal.com", (2025, 2027));
    let endpoint = Endpoint::new(settings(&[("trust_roots", &authority.pem)])).unwrap();
    let headers = transmission(&leaf, JSON);
    let keys = ring(&endpoint, &[("current", WEBHOOK_ID)]);
    let asked_at = |headers: &Headers, second| {
        endpoint.material_for(Received { headers, query: "", body: JSON }, &keys, at(second))
    };
    let asked = |headers: &Headers| asked_at(headers, NOW);
    assert_eq!(asked(&headers), Ok(Some(MaterialRequest::Certificate { url: CERT_URL.to_owned() })));
    assert!(matches!(asked_at(&headers, NOW + 43_201), Err(Refusal::TooOld { .. })));
    for bad in [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../oauth2",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?x=1",
        "https://api.paypal.com/v1/notifications/certs/",
        "https://www.paypal.com/v1/notifications/certs/CERT-1",
        "HTTPS://API.PAYPAL.COM/v1/notifications/certs/CERT-1",
        SANDBOX_URL,
    ] {
        let headers = changed(&headers, "paypal-cert-url", bad);
        assert_eq!(asked(&headers), Err(Refusal::MaterialAddress), "{bad}");
        assert_eq!(check(&endpoint, &headers, JSON, Some(&leaf.pem), NOW), Err(Refusal::MaterialAddress));
    }
}

#[test]
fn a_certificate_is_trusted_for_its_name_time_and_issuer() {
    let authority = authority();
    let trusting = Endpoint::new(settings(&[("trust_roots", &authority.pem)])).unwrap();
    let usual = Endpoint::new(settings(&[])).unwrap();
    let paypal = "messageverificationcerts.paypal.com";
    for (endpoint, name, years, expected) in [
        (&trusting, paypal, (2025, 2027), Ok(Authenticity::Authenticated)),
        (&trusting, "messageverificationcerts.sandbox.paypal.com", (2025, 2027), Err(NOT_ITS_NAME)),
        (&trusting, "messageverificationcerts-sandbox.paypal.com", (2025, 2027), Err(NOT_ITS_NAME)),
        (&trusting, "evil.example.com", (2025, 2027), Err(NOT_ITS_NAME)),
        (&trusting, "messageverificationcerts.evil@x.paypal.com", (2025, 2027), Err(NOT_ITS_NAME)),
        (&trusting, "messageverificationcerts.paypal.com.evil.example", (2025, 2027), Err(NOT_ITS_NAME)),
        (&trusting, paypal, (2020, 2021), Err("it has expired")),
        (&trusting, paypal, (2026, 2027), Err("it is not valid yet")),
        (&usual, paypal, (2025, 2027), Err("its issuer is not trusted")),
    ] {
        let leaf = leaf(&authority, name, years);
        let verdict = check(endpoint, &transmission(&leaf, JSON), JSON, Some(&leaf.pem), NOW);
        assert_eq!(verdict, expected.map_err(Refusal::MaterialUntrusted), "{name} {years:?}");
    }
}

#[test]
fn what_the_sandbox_signs_is_nothing_in_production() {
    let authority = authority();
    let of = |environment: &[(&str, &str)]| {
        let parameters = [&[("trust_roots", authority.pem.as_str())], environment].concat();
        Endpoint::new(settings(&parameters)).unwrap()
    };
    let (usual, production) = (of(&[]), of(&[("environment", "production")]));
    let sandbox = of(&[("environment", "sandbox")]);
    let (here, elsewhere) = (Ok(Authenticity::Authenticated), Err(Refusal::MaterialAddress));
    let (live, test) = ("messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com");
    for (name, url, in_production, in_sandbox) in [
        (live, CERT_URL, here.clone(), elsewhere.clone()),
        (test, SANDBOX_URL, elsewhere.clone(), here.clone()),
        // A certificate of the sandbox under a live address: only PayPal itself could put it there.
        (test, CERT_URL, Err(Refusal::MaterialUntrusted(NOT_ITS_NAME)), elsewhere.clone()),
        (live, SANDBOX_URL, elsewhere.clone(), here.clone()),
        (
            "messageverificationcerts.evil@x.paypal.com",
            SANDBOX_URL,
            elsewhere,
            Err(Refusal::MaterialUntrusted(NOT_ITS_NAME)),
        ),
    ] {
        let leaf = leaf(&authority, name, (2025, 2027));
        let headers = changed(&transmission(&leaf, JSON), "paypal-cert-url", url);
        for (endpoint, expected) in
            [(&usual, &in_production), (&production, &in_production), (&sandbox, &in_sandbox)]
        {
            assert_eq!(&check(endpoint, &headers, JSON, Some(&leaf.pem), NOW), expected, "{name} at {url}");
        }
    }
    // Nor is it fetched, or taken from the settings.
    let leaf = leaf(&authority, test, (2025, 2027));
    let headers = changed(&transmission(&leaf, JSON), "paypal-cert-url", SANDBOX_URL);
    let keys = ring(&usual, &[("current", WEBHOOK_ID)]);
    let asked = usual.material_for(Received { headers: &headers, query: "", body: JSON }, &keys, at(NOW));
    assert_eq!(asked, Err(Refusal::MaterialAddress));
    let pinned = of(&[("certificate", leaf.pem.as_str())]);
    let verdict = check(&pinned, &transmission(&leaf, JSON), JSON, None, NOW);
    assert_eq!(verdict, Err(Refusal::MaterialUntrusted(NOT_ITS_NAME)));
}

#[test]
fn a_supplied_certificate_needs_no_network() {
    let authority = authority();
    let leaf = leaf(&authority, "messageverificationcerts.paypal.com", (2025, 2027));
    let settings = settings(&[("trust_roots", &authority.pem), ("certificate", &leaf.pem)]);
    let endpoint = Endpoint::new(settings).unwrap();
    let headers = transmission(&leaf, JSON);
    let keys = ring(&endpoint, &[("current", WEBHOOK_ID)]);
    let received = Received { headers: &headers, query: "", body: JSON };
    assert_eq!(endpoint.material_for(received, &keys, at(NOW)), Ok(None));
    assert_eq!(check(&endpoint, &headers, JSON, None, NOW), Ok(Authenticity::Authenticated));
}
