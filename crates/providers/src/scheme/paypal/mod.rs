//! PayPal: an RSA signature by a certificate that PayPal publishes, of the transmission's id, time, the webhook's
//! id and the body's CRC-32.
//!
//! paypalrestsdk/notifications.py (PyPI `paypalrestsdk`), SSLUtil.java (PayPal-Java-SDK). A CRC-32 is easy to
//! match with another body: a good signature proves who sent a transmission, not what it says. So the verdict is
//! `Authenticated`, and a transmission is to be accepted once.

mod name;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject as _};
use std::{borrow::Cow, collections::BTreeMap, time::Duration};
use tollgate_core::{Authenticity, Timestamp};

use super::{
    declared::spec::SpecError,
    interface::{Coded, MAX_SIGNATURE_TEXT, Proof, Request, Scheme, SchemeInfo, Steps},
    sign::{SignError, SignedWebhook, ToSign},
};
use crate::{
    asymmetric,
    key::{Algorithm, algorithm::Strength, decoded::Key, ring::KeyRing, secret::Secret},
    material::MaterialRequest,
    refusal::Refusal,
    request::Received,
    text::{Encoding, Unit},
};

/// Its parameters: `environment` (`production`, the default, or `sandbox`), `trust_roots` (PEM, instead of DigiCert's),
/// `intermediates` (PEM, added), `certificate` (PEM chain, leaf first; then nothing is fetched).
pub(super) const CODED: Coded = Coded {
    name: "paypal",
    parameters: &["environment", "trust_roots", "intermediates", "certificate"],
    build: |parameters| Ok(Box::new(PayPal::new(parameters)?)),
};

const TRANSMISSION_ID: &str = "PAYPAL-TRANSMISSION-ID";
const TRANSMISSION_TIME: &str = "PAYPAL-TRANSMISSION-TIME";
const TRANSMISSION_SIG: &str = "PAYPAL-TRANSMISSION-SIG";
const CERT_URL: &str = "PAYPAL-CERT-URL";
const AUTH_ALGO: &str = "PAYPAL-AUTH-ALGO";

/// Every header that verifying reads.
const HEADERS: [&str; 5] = [TRANSMISSION_ID, TRANSMISSION_TIME, TRANSMISSION_SIG, CERT_URL, AUTH_ALGO];

/// The only algorithm PayPal uses, as it writes it.
const ALGORITHM: &str = "SHA256withRSA";

/// One of PayPal's environments. Anyone can have an account in the sandbox and make it sign what is worth nothing, under the
/// same roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Environment {
    Production,
    Sandbox,
}

impl Environment {
    /// Where it publishes its certificates.
    const fn cert_url_prefix(self) -> &'static str {
        match self {
            Self::Production => "https://api.paypal.com/v1/notifications/certs/",
            Self::Sandbox => "https://api.sandbox.paypal.com/v1/notifications/certs/",
        }
    }

    /// Whether a certificate of that name may sign for it: `messageverificationcerts.paypal.com` alone in production; with
    /// `.sandbox` or another label between in the sandbox too (PayPal-Java-SDK takes any).
    fn is_name(self, name: &str) -> bool {
        let middle =
            name.strip_prefix("messageverificationcerts").and_then(|rest| rest.strip_suffix(".paypal.com"));
        let is_label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        middle.is_some_and(|middle| match self {
            Self::Production => middle.is_empty(),
            Self::Sandbox => middle.bytes().all(is_label),
        })
    }
}

/// How old a transmission may be, in seconds: half a day. PayPal states no window. It tries again for three days
/// (<https://developer.paypal.com/api/rest/webhooks/rest/>) and does not say whether a retry has a transmission time of its
/// own. With the first one's, a narrow window would refuse what PayPal sends after an outage. A wide one accepts a copy of
/// an old transmission, which has no effect: the transmission's id and the event's are both known.
const WINDOW: u32 = 43_200;

/// How far ahead of our clock a transmission may be, in seconds: no retry is. The width of most providers' windows.
const AHEAD: u32 = 300;

/// DigiCert's roots that PayPal's certificates have been issued under, from Mozilla's list.
const ROOTS: &str = include_str!("roots.pem");

/// DigiCert's intermediate, which PayPal's certificate files do not always hold; the SDK ships it too.
const INTERMEDIATES: &str = include_str!("intermediates.pem");

/// How many certificates a fetched chain may hold.
const MAX_CHAIN: usize = 8;

/// PayPal's scheme with its trust roots.
#[derive(Debug, Clone)]
struct PayPal {
    environment: Environment,
    roots: Vec<TrustAnchor<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
    /// A chain that was supplied, so that nothing need be fetched.
    pinned: Option<Vec<u8>>,
}

impl PayPal {
    /// # Errors
    ///
    /// An environment that PayPal does not have, or the first parameter that holds no certificates.
    fn new(parameters: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let read = |name: &str, pem: &str| {
            let found = certificates(pem.as_bytes());
            found
                .ok_or_else(|| SpecError::new(format!("parameters.{name}"), "certificates in PEM are wanted"))
        };
        let given = |name: &str| parameters.get(name).map(String::as_str);
        let environment = match given("environment") {
            None | Some("production") => Environment::Production,
            Some("sandbox") => Environment::Sandbox,
            Some(_) => {
                return Err(SpecError::new("parameters.environment", "production or sandbox is wanted"));
            }
        };
        let roots = read("trust_roots", given("trust_roots").unwrap_or(ROOTS))?;
        let roots = roots.iter().map(|root| {
            webpki::anchor_from_trusted_cert(root)
                .map(|anchor| anchor.to_owned())
                .map_err(|_| SpecError::new("parameters.trust_roots", "a certificate in it cannot be read"))
        });
        let mut intermediates = read("intermediates", INTERMEDIATES)?;
        if let Some(pem) = given("intermediates") {
            intermediates.extend(read("intermediates", pem)?);
        }
        let pinned =
            given("certificate").map(|pem| read("certificate", pem).map(|_| pem.as_bytes().to_vec()));
        let (roots, pinned) = (roots.collect::<Result<_, _>>()?, pinned.transpose()?);
        Ok(Self { environment, roots, intermediates, pinned })
    }

    /// Where the certificate is.
    fn certificate_url<'r>(&self, received: Received<'r>) -> Result<&'r str, Refusal> {
        let url = received.one_header(CERT_URL)?;
        let url = url.ok_or_else(|| Refusal::Missing(CERT_URL.to_ascii_lowercase()))?;
        let is_plain = |name: &str| {
            (1..=128).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        let name = url.strip_prefix(self.environment.cert_url_prefix());
        if name.is_some_and(is_plain) { Ok(url) } else { Err(Refusal::MaterialAddress) }
    }

    /// The certificate of the request and those with it, trusted.
    fn chain(&self, request: Request<'_>) -> Result<Vec<CertificateDer<'static>>, Refusal> {
        const NO_PEM: Refusal = Refusal::MaterialUntrusted("it is no certificate in PEM");
        let pem = self.pinned.as_deref().or(request.material.map(|material| material.0.as_slice()));
        let chain = certificates(pem.ok_or(Refusal::MaterialMissing)?).ok_or(NO_PEM)?;
        self.check_certificate(&leaf_of(&chain)?, &chain, request.now)?;
        Ok(chain)
    }

    fn check_certificate(
        &self,
        leaf: &webpki::EndEntityCert<'_>,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !name::common_name(leaf.subject()).is_some_and(|name| self.environment.is_name(name)) {
            return Err(Refusal::MaterialUntrusted("its name is not that of this environment of PayPal"));
        }
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let intermediates: Vec<_> = chain
            .iter()
            .skip(1)
            .chain(&self.intermediates)
            .map(|cert| CertificateDer::from(&**cert))
            .collect();
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.roots,
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .map(drop)
        .map_err(|error| {
            Refusal::MaterialUntrusted(match error {
                webpki::Error::CertExpired { .. } => "it has expired",
                webpki::Error::CertNotValidYet { .. } => "it is not valid yet",
                webpki::Error::UnknownIssuer => "its issuer is not trusted",
                _ => "its chain is not valid",
            })
        })
    }
}

impl Scheme for PayPal {
    fn info(&self) -> SchemeInfo {
        SchemeInfo {
            location: HEADERS.join(", "),
            algorithm: Algorithm::RsaPkcs1Sha256.as_str(),
            signed: "{header:PAYPAL-TRANSMISSION-ID}|{header:PAYPAL-TRANSMISSION-TIME}|{webhook id}|{crc32 of body}"
                .to_owned(),
            window: Some(WINDOW),
            signs_time: true,
            signs_url: false,
            names_keys: false,
            authenticity: Authenticity::Authenticated,
            headers: HEADERS.map(str::to_owned).to_vec(),
            required_headers: Vec::new(),
            secret_headers: Vec::new(),
            query: Vec::new(),
            signed_headers: Vec::new(),
        }
    }

    fn fetch(&self, request: Request<'_>, _keys: &KeyRing) -> Result<Option<MaterialRequest>, Refusal> {
        Transmission::read(request)?;
        let url = self.certificate_url(request.received)?;
        Ok(match self.pinned {
            Some(_) => None,
            None => Some(MaterialRequest::Certificate { url: url.to_owned() }),
        })
    }

    fn verify<'k>(&self, request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
        let Transmission { id, time, sent, signature } = Transmission::read(request)?;
        self.certificate_url(request.received)?;
        let chain = self.chain(request)?;
        let leaf = leaf_of(&chain)?;
        for key in keys.iter() {
            let Some(webhook_id) = key.key.token() else { continue };
            let content = signed_content(id, time, webhook_id, request.received.body);
            if asymmetric::certificate_verifies(&leaf, &content, &signature) {
                return Ok(Proof {
                    authenticity: Authenticity::Authenticated,
                    key_id: &key.id,
                    signed_at: Some(sent),
                });
            }
        }
        Err(Refusal::Mismatch)
    }

    fn form(&self) -> String {
        format!(
            "PAYPAL-TRANSMISSION-ID (without `|`), PAYPAL-TRANSMISSION-TIME ({}), PAYPAL-AUTH-ALGO ({ALGORITHM}), \
             PAYPAL-CERT-URL and PAYPAL-TRANSMISSION-SIG ({})",
            Unit::Rfc3339.in_words(),
            Encoding::Base64.in_words(None)
        )
    }

    fn steps(&self, request: Request<'_>, keys: &KeyRing) -> Steps {
        let mut steps = Steps {
            checks: Vec::new(),
            signature: None,
            content: None,
            mismatch: Cow::Borrowed(
                "another webhook's id is kept here, or the body was changed: written anew, or decoded",
            ),
        };
        let read = Transmission::read(request);
        if let (Ok(Transmission { id, time, .. }), Some(key)) =
            (&read, keys.iter().find_map(|it| it.key.token()))
        {
            steps.content = Some(signed_content(id, time, key, request.received.body));
        }
        let is_whole = read.is_ok();
        let sent = read.map(|read| format!("sent at {}, within the window", read.sent));
        steps.checks.push(("headers are whole, well-formed and recent", sent));
        if is_whole {
            let trusted = self.certificate_url(request.received).and_then(|_| self.chain(request));
            let trusted = trusted.map(|_| "PayPal's, and issued by a trusted authority".to_owned());
            steps.checks.push(("certificate is PayPal's", trusted));
        }
        steps
    }

    /// Only PayPal has the private key.
    fn sign(&self, _: ToSign<'_>, _: &KeyRing, _: Timestamp) -> Result<SignedWebhook, SignError> {
        Err(SignError::NoPrivateKey)
    }

    /// The webhook's id at PayPal is the key: it is signed as the audience.
    fn decode_key(&self, secret: &Secret, _strength: Strength) -> Result<Key, &'static str> {
        asymmetric::is_built()?;
        let text = secret.expose();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err("it is not the id of a PayPal webhook");
        }
        Ok(Key::Secret(std::sync::Arc::new(zeroize::Zeroizing::new(text.as_bytes().to_vec()))))
    }

    fn transmission_id<'a>(&self, received: Received<'a>) -> Option<&'a str> {
        received.headers.get(TRANSMISSION_ID)
    }
}

/// What the headers say, in form and in time.
struct Transmission<'a> {
    id: &'a str,
    time: &'a str,
    sent: Timestamp,
    signature: Vec<u8>,
}

impl<'a> Transmission<'a> {
    fn read(request: Request<'a>) -> Result<Self, Refusal> {
        let received = request.received;
        let field = |name: &str| {
            received.one_header(name)?.ok_or_else(|| Refusal::Missing(name.to_ascii_lowercase()))
        };
        let signature = received.one_header(TRANSMISSION_SIG)?.ok_or(Refusal::HeaderMissing)?;
        let (id, time) = (field(TRANSMISSION_ID)?, field(TRANSMISSION_TIME)?);
        if field(AUTH_ALGO)? != ALGORITHM {
            return Err(Refusal::Malformed("algorithm"));
        }
        if id.contains('|') {
            return Err(Refusal::Malformed("signed value (it holds the separator)"));
        }
        if signature.len() > MAX_SIGNATURE_TEXT {
            return Err(Refusal::Malformed("signature (too long)"));
        }
        let signature = Encoding::Base64.decode(signature).ok_or(Refusal::Malformed("signature"))?;
        let sent = Unit::Rfc3339.read(time).ok_or(Refusal::Malformed("timestamp"))?;
        let window = request.window.unwrap_or(WINDOW);
        Unit::Rfc3339.check(
            sent,
            request.now,
            if sent > request.now { window.min(AHEAD) } else { window },
        )?;
        Ok(Self { id, time, sent, signature })
    }
}

/// What PayPal signs.
fn signed_content(id: &str, time: &str, webhook_id: &[u8], body: &[u8]) -> Vec<u8> {
    let mut content = format!("{id}|{time}|").into_bytes();
    content.extend_from_slice(webhook_id);
    content.extend_from_slice(format!("|{}", crc32fast::hash(body)).as_bytes());
    content
}

fn leaf_of<'c>(chain: &'c [CertificateDer<'_>]) -> Result<webpki::EndEntityCert<'c>, Refusal> {
    const UNREADABLE: Refusal = Refusal::MaterialUntrusted("it cannot be read");
    webpki::EndEntityCert::try_from(chain.first().ok_or(UNREADABLE)?).map_err(|_| UNREADABLE)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).take(MAX_CHAIN).collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}
