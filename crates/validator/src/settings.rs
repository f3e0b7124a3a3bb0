//! The validator's settings.

use tollgate_lambda::{
    settings::{Reader, SettingsError, Source},
    start,
};
use tollgate_pipeline::directory::Freshness;

/// 1 MiB. It is far below the limits of API Gateway (10 MB) and Lambda (6 MB), and far above what providers send
/// (Stripe's largest events are some 100 KB).
const DEFAULT_MAX_BODY_BYTES: usize = 1_048_576;
/// The limit of a synchronous invocation's payload (6 MB), less a third for base64 and some room for the headers.
const LARGEST_MAX_BODY_BYTES: usize = 4_000_000;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) environment: String,
    pub(crate) ledger_table: String,
    pub(crate) intake_queue_url: String,
    pub(crate) intake_ordered_queue_url: String,
    pub(crate) payload_bucket: String,
    pub(crate) endpoints_bucket: String,
    pub(crate) max_body_bytes: usize,
    /// Whether a generic endpoint is called at `/webhook/{endpoint}` too.
    pub(crate) is_generic_by_name: bool,
    pub(crate) freshness: Freshness,
    /// Whether an invocation waits for the start.
    pub(crate) is_on_demand_start: bool,
}

impl Settings {
    pub(crate) fn read(source: &dyn Source) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(source);
        let freshness = Freshness::default();
        let max_body_bytes = |text: &str| match text.parse() {
            Ok(bytes) if (1..=LARGEST_MAX_BODY_BYTES).contains(&bytes) => Ok(bytes),
            _ => Err(format!("is not a number of bytes from 1 to {LARGEST_MAX_BODY_BYTES}")),
        };
        let settings = Self {
            environment: reader.text("ENVIRONMENT"),
            ledger_table: reader.text("LEDGER_TABLE"),
            intake_queue_url: reader.text("INTAKE_QUEUE_URL"),
            intake_ordered_queue_url: reader.text("INTAKE_ORDERED_QUEUE_URL"),
            payload_bucket: reader.text("PAYLOAD_BUCKET"),
            endpoints_bucket: reader.text("ENDPOINTS_BUCKET"),
            max_body_bytes: reader.checked("MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES, max_body_bytes),
            // Not unless it is said: a gateway may let providers in with less than it asks of generic senders.
            is_generic_by_name: reader.parsed("GENERIC_BY_NAME", false),
            freshness: Freshness {
                endpoints_ttl_seconds: reader
                    .parsed("ENDPOINTS_TTL_SECONDS", freshness.endpoints_ttl_seconds),
                keys_ttl_seconds: reader.parsed("SECRET_TTL_SECONDS", freshness.keys_ttl_seconds),
                min_age_seconds: reader.parsed("SECRET_MIN_AGE_SECONDS", freshness.min_age_seconds),
                ..freshness
            },
            is_on_demand_start: start::is_on_demand_start(source),
        };
        reader.finish(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn complete() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            ("ENVIRONMENT", "dev"),
            ("LEDGER_TABLE", "webhook-events-dev"),
            ("INTAKE_QUEUE_URL", "https://q/1"),
            ("INTAKE_ORDERED_QUEUE_URL", "https://q/2"),
            ("PAYLOAD_BUCKET", "webhook-payloads-dev"),
            ("ENDPOINTS_BUCKET", "tollgate-endpoints-dev"),
        ])
    }

    #[test]
    fn defaults_fill_what_is_optional() {
        let settings = Settings::read(&complete()).unwrap();
        assert_eq!(settings.max_body_bytes, 1_048_576);
        assert_eq!(settings.freshness, Freshness::default());
        assert!(!settings.is_generic_by_name);
    }

    #[test]
    fn bad_values_are_reported_together() {
        let mut source = complete();
        source.insert("MAX_BODY_BYTES", "6000000");
        source.insert("SECRET_TTL_SECONDS", "-1");
        source.insert("GENERIC_BY_NAME", "yes");
        source.remove("LEDGER_TABLE");
        let problems = Settings::read(&source).unwrap_err().to_string();
        for name in ["MAX_BODY_BYTES", "SECRET_TTL_SECONDS", "GENERIC_BY_NAME", "LEDGER_TABLE"] {
            assert!(problems.contains(name), "{problems}");
        }
    }
}
