//! A row of the archive as a webhook that can be sent again.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tollgate_archive::read::ArchivedRow;
use tollgate_core::{Authenticity, EndpointId, ProviderId, Receipt, Timestamp, WebhookId};
use tollgate_pipeline::{
    intake::RequestParts,
    replay::{ArchivedWebhook, Handed, Mode},
};

/// What stands for the value of a header that must only be there.
const ONLY_THERE: &str = "-";

/// What an outcome begins with where a webhook was refused; its reason follows.
pub const REFUSED: &str = "refused: ";
/// What becomes of a row that is no webhook: there is nothing to send.
pub const NO_WEBHOOK: &str = "no webhook that was let in";

/// A webhook of the archive.
#[derive(Debug, Clone)]
pub struct Webhook {
    id: WebhookId,
    received_at: Timestamp,
    source_ip: String,
    request: RequestParts,
    body: Vec<u8>,
    receipt: Receipt,
}

/// Why a row is no webhook that can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A message that nobody let in, or that contradicts what was claimed: nothing that it says can be relied on.
    #[error("{NO_WEBHOOK}")]
    Unread,
    /// Its bytes are not those that were checked.
    #[error("{REFUSED}altered")]
    Altered,
}

impl Webhook {
    /// Of a row.
    ///
    /// # Errors
    ///
    /// [`Unusable`].
    pub fn of(row: &ArchivedRow) -> Result<Self, Unusable> {
        let read = || {
            let receipt = Receipt {
                body_sha256: row.body_sha256.clone(),
                endpoint: EndpointId::new(&row.endpoint).ok()?,
                provider: ProviderId::new(&row.provider).ok()?,
                authenticity: Authenticity::parse(&row.authenticity)?,
                key_id: row.key_id.clone(),
                signed_at: row.signed_at,
                verified_at: row.verified_at,
                taken_in_at: row.taken_in_at,
            };
            Some((WebhookId::parse(&row.webhook_id)?, receipt))
        };
        let (id, receipt) = read().ok_or(Unusable::Unread)?;
        if !receipt.is_of(&row.body) {
            return Err(Unusable::Altered);
        }
        let headers = row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Ok(Self {
            id,
            received_at: row.received_at,
            source_ip: row.source_ip.clone(),
            request: RequestParts { headers, query: row.query.clone() },
            body: row.body.clone(),
            receipt,
        })
    }

    /// Its id.
    pub fn id(&self) -> &WebhookId {
        &self.id
    }

    /// Where it arrived.
    pub fn endpoint(&self) -> &str {
        self.receipt.endpoint.as_str()
    }

    /// Its exact bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The fields of the query that were kept, as they were sent.
    pub fn query(&self) -> &str {
        &self.request.query
    }

    /// The headers that were kept with their values.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.request.headers.iter().filter(|(_, value)| *value != ONLY_THERE)
    }

    /// As the validator takes it.
    pub(super) fn handed(&self, act: &str, mode: Mode) -> Handed {
        Handed {
            replay: ArchivedWebhook {
                act: act.to_owned(),
                mode,
                webhook_id: self.id,
                received_at: self.received_at,
                source_ip: self.source_ip.clone(),
                request: self.request.clone(),
                body: STANDARD.encode(&self.body),
                receipt: self.receipt.clone(),
            },
        }
    }

    /// As a line of a file: one that `tollgate verify` takes, with what the archive says of it.
    pub(super) fn line(&self) -> String {
        let mut headers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in self.headers() {
            headers.entry(name).or_default().push(value);
        }
        let line = json!({
            "webhook_id": self.id,
            "received_at": self.received_at,
            "source_ip": self.source_ip,
            "receipt": self.receipt,
            "headers": headers,
            "query": self.request.query,
            "body_base64": STANDARD.encode(&self.body),
        });
        format!("{line}\n")
    }
}
