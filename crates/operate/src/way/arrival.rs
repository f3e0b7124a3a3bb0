//! The validator's log line of a webhook: the one trace of what was refused, and the first of what was taken.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::Context;
use serde::Deserialize;
use tollgate_core::{EndpointId, LedgerKey, Timestamp, WebhookId};

use crate::aws::Aws;

/// What the validator answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Arrival {
    webhook_id: WebhookId,
    pub(super) timestamp: Timestamp,
    pub(super) endpoint: String,
    pub(super) status: u16,
    /// `accepted`, `duplicate` or `rejected`.
    pub(super) outcome: String,
    /// Why it was rejected.
    pub(super) reason: String,
    /// The provider's id of its first event.
    #[serde(default)]
    event_id: Option<String>,
    #[serde(default)]
    pub(super) error: Option<String>,
}

impl Arrival {
    /// The key of its first event, where it was taken.
    pub(super) fn key(&self) -> Option<LedgerKey> {
        let endpoint = EndpointId::new(&self.endpoint).ok()?;
        Some(LedgerKey::new(&endpoint, self.event_id.as_deref()?))
    }

    /// Whether it was refused.
    pub(super) fn is_rejected(&self) -> bool {
        self.outcome == "rejected"
    }
}

/// The line of a webhook, where the log has it.
pub(super) fn of(aws: &Aws, webhook_id: &WebhookId) -> anyhow::Result<Option<Arrival>> {
    match aws.platform.as_ref().and_then(|platform| platform.log_dir.as_deref()) {
        Some(folder) => in_folder(folder, webhook_id),
        None => Ok(None),
    }
}

/// The local platform keeps the functions' logs in files.
fn in_folder(folder: &Path, webhook_id: &WebhookId) -> anyhow::Result<Option<Arrival>> {
    let files = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for file in files {
        let path = file?.path();
        let is_validators = path.file_name().is_some_and(|name| name.to_string_lossy().contains("validator"));
        if !is_validators {
            continue;
        }
        let mut lines = BufReader::new(File::open(&path)?).split(b'\n');
        while let Some(line) = lines.next().transpose()? {
            if let Some(arrival) = read(&line, webhook_id) {
                return Ok(Some(arrival));
            }
        }
    }
    Ok(None)
}

fn read(line: &[u8], webhook_id: &WebhookId) -> Option<Arrival> {
    let line = std::str::from_utf8(line).ok().filter(|line| line.contains(webhook_id.as_str()))?;
    let arrival: Arrival = serde_json::from_str(line.get(line.find('{')?..)?).ok()?;
    (arrival.webhook_id == *webhook_id).then_some(arrival)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_webhook_is_found_among_others() {
        let id = WebhookId::new(Timestamp::UNIX_EPOCH, 1);
        let line = format!(
            r#"{{"timestamp":"1970-01-01T00:00:00Z","message":"rejected","webhook_id":"{id}","status":401,"error":"invalid signature","endpoint":"acme","outcome":"rejected","reason":"signature_mismatch","duration":3}}"#
        );
        let arrival = read(line.as_bytes(), &id).unwrap();
        assert_eq!(
            (arrival.status, arrival.reason.as_str(), arrival.key()),
            (401, "signature_mismatch", None)
        );
        let other = WebhookId::new(Timestamp::UNIX_EPOCH, 2);
        // A warning that names it is no answer.
        let warning = format!(r#"{{"webhook_id":"{id}","message":"content not understood"}}"#);
        for (line, id) in [(line.as_str(), &other), (warning.as_str(), &id), ("text", &id)] {
            assert_eq!(read(line.as_bytes(), id), None);
        }
        let taken =
            line.replace("rejected", "accepted").replace("\"status\"", "\"event_id\":\"ev_1\",\"status\"");
        let key = read(taken.as_bytes(), &id).unwrap().key().unwrap();
        assert_eq!(key.as_str(), "acme#ev_1");
    }
}
