//! The fraud detector's settings.

use tollgate_lambda::settings::{Reader, SettingsError, Source};
use tollgate_risk::Rules;

/// What the environment says. The amount's tier comes with the event: the processor decides it, by the thresholds
/// that route it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) environment: String,
    pub(crate) transactions_table: String,
    pub(crate) event_bus_name: String,
    pub(crate) rules: Rules,
}

impl Settings {
    pub(crate) fn read(source: &dyn Source) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(source);
        let rules = |text: &str| Rules::from_json(text).map_err(|problem| format!("is malformed: {problem}"));
        let settings = Self {
            environment: reader.text("ENVIRONMENT"),
            transactions_table: reader.text("TRANSACTIONS_TABLE"),
            event_bus_name: reader.text("EVENT_BUS_NAME"),
            rules: reader.checked("FRAUD_RULES", Rules::default(), rules),
        };
        reader.finish(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn rules_are_optional_and_checked() {
        let mut source = BTreeMap::from([
            ("ENVIRONMENT", "dev"),
            ("TRANSACTIONS_TABLE", "transactions-dev"),
            ("EVENT_BUS_NAME", "payment-events-dev"),
        ]);
        assert_eq!(Settings::read(&source).unwrap().rules, Rules::default());
        source.insert("FRAUD_RULES", r#"{"block_at":95}"#);
        assert_eq!(Settings::read(&source).unwrap().rules.block_at, 95);
        source.insert("FRAUD_RULES", r#"{"blok_at":95}"#);
        source.remove("EVENT_BUS_NAME");
        let problems = Settings::read(&source).unwrap_err().to_string();
        assert!(problems.contains("FRAUD_RULES") && problems.contains("EVENT_BUS_NAME"), "{problems}");
    }
}
