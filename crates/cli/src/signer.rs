//! Signing as an endpoint's provider would, and spoiling what was signed.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;
use tollgate_core::{EndpointConfig, Timestamp};
use tollgate_providers::{Endpoint, KeyRing, Received, SignedWebhook, ToSign};
use tollgate_samples::Draft;

use tollgate_operate::aws::Aws;

use crate::endpoints::{self, KeyStore, KeyText, Reference};

/// Where a signing key comes from when it is not the environment's own.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct KeySource {
    /// No longer: it is taken, to say so without repeating it.
    #[arg(long, hide = true, num_args = 0..)]
    pub(crate) secret: Option<Vec<String>>,
    /// A file with the signing key, as the provider gives it; - for stdin [default: the environment's TOLLGATE_SECRET]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
}

impl KeySource {
    /// The key, if one was handed in.
    pub(crate) fn read(&self) -> anyhow::Result<Option<KeyText>> {
        if self.secret.is_some() {
            bail!(
                "--secret is not taken: every process here sees the command line, and shells keep it. \
                 --secret-file FILE reads a file, --secret-file - stdin; TOLLGATE_SECRET is read too"
            );
        }
        match &self.secret_file {
            Some(path) => KeyText::from_file(path).map(Some),
            None => Ok(environment().map(|text| KeyText::new(&text))),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "an option of the command line that is no argument of it")]
fn environment() -> Option<String> {
    std::env::var("TOLLGATE_SECRET").ok().filter(|text| !text.is_empty())
}

/// An endpoint of catalogue row `scheme` that no environment knows of.
pub(crate) fn ad_hoc(id: &str, scheme: &str, url: Option<&str>) -> anyhow::Result<Endpoint> {
    let config = json!({
        "id": id, "scheme": scheme, "secret": "secretsmanager:none", "notification_url": url,
    });
    let config: EndpointConfig = serde_json::from_value(config)?;
    Ok(Endpoint::new(config)?)
}

/// One endpoint with its keys.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The endpoint.
    pub endpoint: std::sync::Arc<Endpoint>,
    ring: std::sync::Arc<KeyRing>,
}

impl Signer {
    /// Signs for `endpoint` with the first of `keys`.
    ///
    /// # Errors
    ///
    /// When the scheme cannot use them.
    pub fn new(endpoint: Endpoint, keys: Vec<tollgate_providers::KeyMaterial>) -> anyhow::Result<Self> {
        let ring = endpoint.keys(keys).with_context(|| format!("endpoint {}", endpoint.id()))?;
        Ok(Self { endpoint: endpoint.into(), ring: ring.into() })
    }

    /// The signer of an endpoint of an environment, with the environment's current key.
    pub(crate) async fn of(aws: &Aws, id: &str) -> anyhow::Result<Self> {
        let endpoint = endpoints::find(aws, id).await?;
        Self::from_store(aws, endpoint).await
    }

    /// Likewise, for an endpoint already read.
    ///
    /// # Errors
    ///
    /// When the key is missing, or does not read.
    pub async fn from_store(aws: &Aws, endpoint: Endpoint) -> anyhow::Result<Self> {
        let reference = Reference::parse(&endpoint.config().secret)?;
        let keys = KeyStore::new(aws).active(&reference).await?;
        Self::new(endpoint, keys)
    }

    /// A signer with a key that is not the endpoint's.
    ///
    /// # Errors
    ///
    /// No key can be generated for the scheme.
    pub fn forger(&self) -> anyhow::Result<Self> {
        let key = endpoints::random_key(&self.endpoint)?.context("no key can be made up for this scheme")?;
        let ring = self.endpoint.keys(key.keys("forged"))?;
        Ok(Self { endpoint: self.endpoint.clone(), ring: ring.into() })
    }

    /// Signs at `at`.
    ///
    /// # Errors
    ///
    /// When the scheme does not sign such a body.
    pub fn sign(&self, draft: &Draft, at: Timestamp) -> anyhow::Result<SignedWebhook> {
        let to_sign = ToSign { headers: &draft.headers, query: "", body: &draft.body, url: None };
        Ok(self.endpoint.sign(to_sign, &self.ring, at)?)
    }

    /// Whether the scheme signs the time, so that a webhook can be too old.
    pub fn signs_time(&self, draft: &Draft, at: Timestamp) -> bool {
        let hour_ago = at.checked_sub(jiff::SignedDuration::from_hours(1)).unwrap_or(at);
        match self.sign(draft, hour_ago) {
            Ok(signed) => !self.accepts(&signed, at),
            Err(_) => false,
        }
    }

    /// Changes one digit of the body so that the signature no longer holds.
    ///
    /// # Errors
    ///
    /// When the scheme does not sign the body.
    pub fn tamper(&self, signed: &mut SignedWebhook, at: Timestamp) -> anyhow::Result<()> {
        let digits: Vec<usize> =
            (0..signed.body.len()).filter(|i| signed.body.get(*i).is_some_and(u8::is_ascii_digit)).collect();
        // From the middle, where the facts are; most schemes sign every byte, Adyen's a few fields.
        for index in digits.iter().skip(digits.len() / 2).chain(&digits) {
            let Some(byte) = signed.body.get_mut(*index) else { continue };
            let was = *byte;
            *byte = if was == b'9' { b'1' } else { was + 1 };
            if !self.accepts(signed, at) {
                return Ok(());
            }
            if let Some(byte) = signed.body.get_mut(*index) {
                *byte = was;
            }
        }
        bail!("this scheme does not sign the body: nothing in it can be altered so that it is noticed")
    }

    fn accepts(&self, signed: &SignedWebhook, at: Timestamp) -> bool {
        self.verifies(Received { headers: &signed.headers, query: &signed.query, body: &signed.body }, at)
    }

    /// Whether the endpoint takes it for genuine.
    pub fn verifies(&self, received: Received<'_>, at: Timestamp) -> bool {
        self.endpoint.verify(received, &self.ring, None, at).is_ok()
    }
}
