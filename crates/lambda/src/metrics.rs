//! Metrics in CloudWatch's embedded metric format: a log line that CloudWatch counts, with no call made.
//!
//! Source: "Specification: Embedded metric format", Amazon CloudWatch user guide.

use std::io::Write;

use serde::{Serialize, Serializer, ser::SerializeMap};
use tollgate_core::Timestamp;

/// The namespace of every metric.
pub const NAMESPACE: &str = "Tollgate";

/// A metric's unit, in CloudWatch's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A duration.
    Milliseconds,
    /// A size.
    Bytes,
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
        let line = Line { metrics: self, now, groups };
        if let Ok(mut line) = serde_json::to_vec(&line) {
            line.push(b'\n');
            // A closed stdout is no reason to fail a payment.
            let _ = std::io::stdout().lock().write_all(&line);
        }
    }
}

/// Written as it goes: it is written for every webhook, and a tree of it would cost several times as much.
struct Line<'a> {
    metrics: &'a Metrics,
    now: Timestamp,
    groups: &'a [Group<'a>],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    timestamp: i64,
    cloud_watch_metrics: Vec<Directive<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'static str,
    dimensions: [Vec<&'a str>; 1],
    metrics: Vec<Definition<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition<'a> {
    name: &'a str,
    unit: Unit,
}

impl<'a> Directive<'a> {
    fn of((dimensions, metrics): &Group<'a>) -> Self {
        let names = ["environment", "function"].into_iter().chain(dimensions.iter().map(|d| d.0));
        let definition = |&(name, unit, _): &(&'a str, Unit, u64)| Definition { name, unit };
        Self {
            namespace: NAMESPACE,
            dimensions: [names.collect()],
            metrics: metrics.iter().map(definition).collect(),
        }
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        let cloud_watch_metrics = self.groups.iter().map(Directive::of).collect();
        let timestamp = self.now.as_millisecond();
        line.serialize_entry("_aws", &Envelope { timestamp, cloud_watch_metrics })?;
        line.serialize_entry("environment", &self.metrics.environment)?;
        line.serialize_entry("function", self.metrics.function)?;
        for (index, (dimensions, metrics)) in self.groups.iter().enumerate() {
            let before = || self.groups.iter().take(index);
            for (name, value) in *dimensions {
                if !before().any(|group| group.0.iter().any(|known| known.0 == *name)) {
                    line.serialize_entry(name, value)?;
                }
            }
            for (name, _, value) in *metrics {
                if !before().any(|group| group.1.iter().any(|known| known.0 == *name)) {
                    line.serialize_entry(name, value)?;
                }
            }
        }
        line.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_follows_the_specification() {
        let metrics = Metrics { function: "validator", environment: "dev".to_owned() };
        let groups: [Group<'_>; 2] = [
            (&[("endpoint", "stripe")], &[("accepted", Unit::Count, 1)]),
            (&[], &[("accepted", Unit::Count, 1), ("body", Unit::Bytes, 2_048)]),
        ];
        let now = Timestamp::from_millisecond(1_760_000_000_000).unwrap();
        let line = serde_json::to_string(&Line { metrics: &metrics, now, groups: &groups }).unwrap();
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
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert_eq!(line.matches(r#""accepted":"#).count(), 1, "{line}");
    }
}
