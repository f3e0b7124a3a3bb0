//! The processor's settings.

use tollgate_lambda::{
    settings::{Reader, SettingsError, Source},
    start,
};
use tollgate_pipeline::{directory::Freshness, process::Receives};
use tollgate_provider_api::is_loopback;
use tollgate_risk::Thresholds;

/// What the environment says.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) environment: String,
    pub(crate) ledger_table: String,
    pub(crate) transactions_table: String,
    pub(crate) event_bus_name: String,
    pub(crate) archive_queue_url: String,
    pub(crate) quarantine_queue_url: String,
    pub(crate) quarantine_ordered_queue_url: String,
    pub(crate) payload_bucket: String,
    pub(crate) endpoints_bucket: String,
    /// CloudWatch in this region, where what endpoints heard is read.
    pub(crate) metrics_url: String,
    /// Secrets Manager in this region, where the keys of providers' APIs are.
    pub(crate) secrets_url: String,
    /// A server on this machine that is asked instead of every provider: for tests alone.
    pub(crate) provider_apis_url: Option<String>,
    pub(crate) freshness: Freshness,
    pub(crate) thresholds: Thresholds,
    pub(crate) receives: Receives,
    /// Whether a batch has more than one processor to itself.
    pub(crate) is_parallel: bool,
    /// Whether an invocation waits for the start.
    pub(crate) is_on_demand_start: bool,
}

/// From so much memory on, in MB, a function has a second processor ("Configure Lambda function memory", developer
/// guide: one vCPU at 1,769 MB).
const TWO_PROCESSORS_MB: u32 = 2 * 1_769;

/// The local platform sets it, and no template has it.
const TEST_URL: &str = "TEST_PROVIDER_APIS_URL";

/// A key must not be sent elsewhere than to its provider.
fn test_url(text: &str) -> Result<Option<String>, String> {
    if is_loopback(text) { Ok(Some(text.to_owned())) } else { Err("is not on this machine".to_owned()) }
}

impl Settings {
    pub(crate) fn read(source: &dyn Source) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(source);
        let freshness = Freshness::default();
        let thresholds = |text: &str| Thresholds::from_json(text).map_err(|problem| problem.to_string());
        let settings = Self {
            environment: reader.text("ENVIRONMENT"),
            ledger_table: reader.text("LEDGER_TABLE"),
            transactions_table: reader.text("TRANSACTIONS_TABLE"),
            event_bus_name: reader.text("EVENT_BUS_NAME"),
            archive_queue_url: reader.text("ARCHIVE_QUEUE_URL"),
            quarantine_queue_url: reader.text("QUARANTINE_QUEUE_URL"),
            quarantine_ordered_queue_url: reader.text("QUARANTINE_ORDERED_QUEUE_URL"),
            payload_bucket: reader.text("PAYLOAD_BUCKET"),
            endpoints_bucket: reader.text("ENDPOINTS_BUCKET"),
            metrics_url: reader.text("METRICS_URL"),
            secrets_url: reader.text("SECRETS_URL"),
            provider_apis_url: reader.checked(TEST_URL, None, test_url),
            freshness: Freshness {
                endpoints_ttl_seconds: reader
                    .parsed("ENDPOINTS_TTL_SECONDS", freshness.endpoints_ttl_seconds),
                keys_ttl_seconds: reader.parsed("SECRET_TTL_SECONDS", freshness.keys_ttl_seconds),
                ..freshness
            },
            thresholds: reader.checked("RISK_THRESHOLDS", Thresholds::default(), thresholds),
            receives: Receives {
                tries: reader.parsed("SET_ASIDE_RECEIVES", 3),
                last: reader.parsed("MAX_RECEIVES", u32::MAX),
            },
            // Where several invocations run at once, they have the processors.
            is_parallel: reader.parsed("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0_u32) >= TWO_PROCESSORS_MB
                && reader.parsed("AWS_LAMBDA_MAX_CONCURRENCY", 1_u32) <= 1,
            is_on_demand_start: start::is_on_demand_start(source),
        };
        reader.finish(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn bad_thresholds_and_another_place_for_keys_are_bad_settings() {
        let mut source = BTreeMap::from([
            ("ENVIRONMENT", "dev"),
            ("LEDGER_TABLE", "t"),
            ("TRANSACTIONS_TABLE", "t"),
            ("EVENT_BUS_NAME", "b"),
            ("ARCHIVE_QUEUE_URL", "q"),
            ("QUARANTINE_QUEUE_URL", "q"),
            ("QUARANTINE_ORDERED_QUEUE_URL", "q.fifo"),
            ("PAYLOAD_BUCKET", "b"),
            ("ENDPOINTS_BUCKET", "b"),
            ("METRICS_URL", "https://monitoring"),
            ("SECRETS_URL", "https://secretsmanager"),
        ]);
        assert!(Settings::read(&source).is_ok());
        source.insert(TEST_URL, "http://127.0.0.1:1");
        assert!(Settings::read(&source).is_ok());
        source.insert(TEST_URL, "https://api.example.com");
        assert!(Settings::read(&source).unwrap_err().to_string().contains(TEST_URL));
        source.remove(TEST_URL);
        source.insert("RISK_THRESHOLDS", r#"{"default":{"medium":"2","high":"1"}}"#);
        assert!(Settings::read(&source).unwrap_err().to_string().contains("RISK_THRESHOLDS"));
    }
}
