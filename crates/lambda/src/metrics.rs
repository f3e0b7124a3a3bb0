//! Metrics in CloudWatch's embedded metric format: a log line that CloudWatch counts, with no call made.
//!
//! Source: "Specification: Embedded metric format", Amazon CloudWatch user guide.

use std::io::Write;

use serde_json::{Map, Value, json};
use tollgate_core::Timestamp;

/// The namespace of every metric.
pub const NAMESPACE: &str = "Tollgate";

/// A metric's unit, in CloudWatch's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A duration.
    Milliseconds,
    /// A size.
    Bytes,
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
        }
    }
}

/// Where a function's metrics are written.
#[derive(Debug, Clone)]
pub struct Metrics {
    function: &'static str,
    environment: String,
}

impl Metrics {
    /// Metrics of `function` in `environment`, the two dimensions that every metric has.
    pub fn new(function: &'static str, environment: impl Into<String>) -> Self {
        Self { function, environment: environment.into() }
    }

    /// Writes metrics that share further `dimensions`, in one line on stdout.
    pub fn emit(&self, now: Timestamp, dimensions: &[(&str, &str)], metrics: &[(&str, Unit, u64)]) {
        // A closed stdout is no reason to fail a payment.
        let _ = writeln!(std::io::stdout().lock(), "{}", self.line(now, dimensions, metrics));
    }

    fn line(&self, now: Timestamp, dimensions: &[(&str, &str)], metrics: &[(&str, Unit, u64)]) -> Value {
        let mut line = Map::new();
        let names: Vec<&str> =
            ["environment", "function"].into_iter().chain(dimensions.iter().map(|d| d.0)).collect();
        let definitions: Vec<Value> =
            metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit.as_str()})).collect();
        line.insert(
            "_aws".into(),
            json!({
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions}],
            }),
        );
        line.insert("environment".into(), self.environment.as_str().into());
        line.insert("function".into(), self.function.into());
        line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
        line.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), Value::from(*value))));
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_follows_the_specification() {
        let metrics = Metrics::new("validator", "dev");
        let line = metrics.line(
            Timestamp::from_millisecond(1_760_000_000_000).unwrap(),
            &[("endpoint", "stripe")],
            &[("accepted", Unit::Count, 1), ("body", Unit::Bytes, 2_048)],
        );
        let expected = json!({
            "_aws": {
                "Timestamp": 1_760_000_000_000_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "Tollgate",
                    "Dimensions": [["environment", "function", "endpoint"]],
                    "Metrics": [
                        {"Name": "accepted", "Unit": "Count"},
                        {"Name": "body", "Unit": "Bytes"},
                    ],
                }],
            },
            "environment": "dev", "function": "validator", "endpoint": "stripe",
            "accepted": 1, "body": 2_048,
        });
        assert_eq!(line, expected);
    }
}
