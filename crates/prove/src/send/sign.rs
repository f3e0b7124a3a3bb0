//! A webhook as its sender signs it, or somebody who is not its sender.

use std::path::Path;

use anyhow::Context;
use tollgate_cli::signer::Signer;
use tollgate_core::Timestamp;
use tollgate_providers::{Endpoint, Headers, SignedWebhook, ToSign};
use tollgate_samples::Draft;

use crate::{
    endpoints,
    record::{Signing, Webhook},
};

/// Signs with the key that the endpoint's file has now.
///
/// # Errors
///
/// When the scheme does not sign such a body, or the key does not read.
pub(super) fn signed(
    webhook: &Webhook,
    endpoint: &Endpoint,
    folder: &Path,
    at: Timestamp,
) -> anyhow::Result<SignedWebhook> {
    let content = &webhook.content;
    let headers: Headers = content.headers.iter().map(|(name, value)| (name, value)).collect();
    let mut draft = Draft { headers, body: content.body.bytes()?, event_ids: Vec::new() };
    if let Some(bytes) = content.pad_to {
        draft.pad_to(bytes);
    }
    let unsigned = SignedWebhook {
        headers: draft.headers.clone(),
        query: content.query.clone(),
        body: draft.body.clone(),
    };
    let keys = match webhook.signing {
        Signing::Unsigned => return Ok(unsigned),
        Signing::Forged => endpoints::forgers_key(endpoint)?,
        _ => endpoints::key(folder, endpoint)?,
    };
    let at = match webhook.signing {
        Signing::Aged(seconds) => at - jiff::SignedDuration::from_secs(seconds),
        _ => at,
    };
    let ring = endpoint.keys(keys.clone()).with_context(|| format!("the key of {}", endpoint.id()))?;
    let to_sign = ToSign { headers: &draft.headers, query: &content.query, body: &draft.body, url: None };
    let mut signed =
        endpoint.sign(to_sign, &ring, at).with_context(|| format!("signing for {}", endpoint.id()))?;
    if webhook.signing == Signing::Tampered {
        Signer::new(Endpoint::new(endpoint.config().clone())?, keys)?.tamper(&mut signed, at)?;
    }
    if webhook.signing == Signing::Respelled {
        signed.body.insert(signed.body.len().min(1), b' ');
    }
    Ok(signed)
}
