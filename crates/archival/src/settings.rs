//! The archival function's settings.

use tollgate_lambda::settings::{Reader, SettingsError, Source};

/// What the environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) environment: String,
    pub(crate) archive_bucket: String,
    pub(crate) payload_bucket: String,
}

impl Settings {
    pub(crate) fn read(source: &dyn Source) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(source);
        let settings = Self {
            environment: reader.text("ENVIRONMENT"),
            archive_bucket: reader.text("ARCHIVE_BUCKET"),
            payload_bucket: reader.text("PAYLOAD_BUCKET"),
        };
        reader.finish(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_missing_is_reported_together() {
        let complete = BTreeMap::from([
            ("ENVIRONMENT", "dev"),
            ("ARCHIVE_BUCKET", "transaction-audit-logs-dev"),
            ("PAYLOAD_BUCKET", "webhook-payloads-dev"),
        ]);
        assert!(Settings::read(&complete).is_ok());
        let problems = Settings::read(&BTreeMap::new()).unwrap_err().to_string();
        for name in complete.keys() {
            assert!(problems.contains(name), "{problems}");
        }
    }
}
