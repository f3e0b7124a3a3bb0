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

/// Metrics that share dimensions beside the two that every metric has.
pub type Group<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, Unit, u64)]);

impl Metrics {
    /// Metrics of `function` in `environment`, the two dimensions that every metric has. Counts a cold start: a
    /// process calls this once, when it starts.
    pub fn start(function: &'static str, environment: impl Into<String>, now: Timestamp) -> Self {
        let metrics = Self { function, environment: environment.into() };
        metrics.emit(now, &[(&[], &[("cold_starts", Unit::Count, 1)])]);
        metrics
    }

    /// Writes one line on stdout. A name that is in several groups has one value.
    ///
    /// Each combination of a metric's name and its dimensions' values is billed as a metric of its own: what is only
    /// looked at as a whole belongs in a group without further dimensions.
    pub fn emit(&self, now: Timestamp, groups: &[Group<'_>]) {
        // A closed stdout is no reason to fail a payment.
        let _ = writeln!(std::io::stdout().lock(), "{}", self.line(now, groups));
    }

    fn line(&self, now: Timestamp, groups: &[Group<'_>]) -> Value {
        let mut line = Map::new();
        let mut directives = Vec::with_capacity(groups.len());
        for (dimensions, metrics) in groups {
            let names: Vec<&str> =
                ["environment", "function"].into_iter().chain(dimensions.iter().map(|d| d.0)).collect();
            let definitions: Vec<Value> =
                metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit.as_str()})).collect();
            directives.push(json!({"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions}));
            line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
            line.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), Value::from(*value))));
        }
        line.insert("environment".into(), self.environment.as_str().into());
        line.insert("function".into(), self.function.into());
        line.insert(
            "_aws".into(),
            json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": directives}),
        );
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_follows_the_specification() {
        let metrics = Metrics { function: "validator", environment: "dev".to_owned() };
        let line = metrics.line(
            Timestamp::from_millisecond(1_760_000_000_000).unwrap(),
            &[
                (&[("endpoint", "stripe")], &[("accepted", Unit::Count, 1)]),
                (&[], &[("accepted", Unit::Count, 1), ("body", Unit::Bytes, 2_048)]),
            ],
        );
        let expected = json!({
            "_aws": {
                "Timestamp": 1_760_000_000_000_u64,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "Tollgate",
                        "Dimensions": [["environment", "function", "endpoint"]],
                        "Metrics": [{"Name": "accepted", "Unit": "Count"}],
                    },
                    {
                        "Namespace": "Tollgate",
                        "Dimensions": [["environment", "function"]],
                        "Metrics": [{"Name": "accepted", "Unit": "Count"}, {"Name": "body", "Unit": "Bytes"}],
                    },
                ],
            },
            "environment": "dev", "function": "validator", "endpoint": "stripe",
            "accepted": 1, "body": 2_048,
        });
        assert_eq!(line, expected);
    }
}
