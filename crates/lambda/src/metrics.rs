//! Metrics in CloudWatch's embedded metric format: log lines from which CloudWatch makes metrics, without a call.
//!
//! Source: "Specification: Embedded metric format", Amazon CloudWatch user guide.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};
use tracing::Level;

use crate::logging::print;

/// The namespace of every metric.
pub const NAMESPACE: &str = "Tollgate";

/// A metric's unit, by CloudWatch's name.
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

/// Metrics that share dimensions, and these dimensions without the two that every metric has.
pub type Group<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, Unit, u64)]);

/// The log record that a line is, besides its metrics.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its level. The line is written at every `LOG_LEVEL`, because of its metrics.
    pub level: Level,
    /// What happened.
    pub message: &'static str,
    /// More fields.
    pub fields: &'a [(&'static str, Value<'a>)],
}

/// A field of a [`Record`].
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u64),
}

/// Durations of one kind, in milliseconds, by how often each occurred: rounded up to two digits. CloudWatch takes them with
/// their counts, so that it knows percentiles of them (the form of `metrique-writer-format-emf`, awslabs; PutMetricData has the
/// same, "MetricDatum", CloudWatch API reference).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations(BTreeMap<u64, u64>);

/// The most different values of a metric in one line ("Specification: Embedded metric format", CloudWatch user guide).
const MOST_VALUES: usize = 100;

impl Durations {
    /// Adds one. What finds no room counts as the next longer one, or as the longest.
    pub fn add(&mut self, milliseconds: u64) {
        let mut scale = 1_u64;
        while milliseconds.div_ceil(scale) > 99 {
            scale = scale.saturating_mul(10);
        }
        let mut rounded = milliseconds.div_ceil(scale).saturating_mul(scale);
        if self.0.len() >= MOST_VALUES && !self.0.contains_key(&rounded) {
            let longer = self.0.range(rounded..).next().map(|one| *one.0);
            rounded = longer.or_else(|| self.0.keys().next_back().copied()).unwrap_or(rounded);
        }
        *self.0.entry(rounded).or_default() += 1;
    }
}

impl Serialize for Durations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(2))?;
        object.serialize_entry("Values", &self.0.keys().collect::<Vec<_>>())?;
        object.serialize_entry("Counts", &self.0.values().collect::<Vec<_>>())?;
        object.end()
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl Metrics {
    /// Metrics of `function` in `environment`, the two dimensions that every metric has. It counts a cold start: call
    /// it once, when the process starts.
    pub fn start(function: &'static str, environment: impl Into<String>, now: Timestamp) -> Self {
        let metrics = Self { function, environment: environment.into() };
        let record = Record { level: Level::INFO, message: "started", fields: &[] };
        metrics.emit(now, record, &[(&[], &[("cold_starts", Unit::Count, 1)])]);
        metrics
    }

    /// Writes one line to stdout: a log record with how long things took, of each kind all of them.
    pub fn emit_durations(
        &self,
        now: Timestamp,
        message: &'static str,
        kinds: &[(&'static str, &Durations)],
    ) {
        let metrics = kinds.iter().map(|kind| (kind.0, Unit::Milliseconds, 0)).collect::<Vec<_>>();
        let group: Group<'_> = (&[], &metrics);
        let line = DurationsLine {
            aws: Envelope {
                timestamp: now.as_millisecond(),
                cloud_watch_metrics: vec![Directive::new(&group)],
            },
            timestamp: now,
            level: Level::INFO.as_str(),
            message,
            environment: &self.environment,
            function: self.function,
            kinds: kinds.iter().copied().collect(),
        };
        if let Ok(mut line) = serde_json::to_vec(&line) {
            line.push(b'\n');
            print(&line);
        }
    }

    /// Writes one line to stdout: a log record with metrics. A name that occurs several times, in the record or in
    /// groups, has one value.
    ///
    /// AWS bills each combination of a metric's name and the values of its dimensions as one metric. So a metric that
    /// is only read as a total belongs in a group without dimensions.
    pub fn emit(&self, now: Timestamp, record: Record<'_>, groups: &[Group<'_>]) {
        // As long as the longest line of the functions.
        let mut line = Vec::with_capacity(1_536);
        if serde_json::to_writer(&mut line, &Line { metrics: self, now, record, groups }).is_ok() {
            line.push(b'\n');
            print(&line);
        }
    }
}

/// Serialised without a tree in between, which would cost several times as much: it is written for every webhook.
struct Line<'a> {
    metrics: &'a Metrics,
    now: Timestamp,
    record: Record<'a>,
    groups: &'a [Group<'a>],
}

#[derive(Serialize)]
struct DurationsLine<'a> {
    #[serde(rename = "_aws")]
    aws: Envelope<'a>,
    timestamp: Timestamp,
    level: &'static str,
    message: &'static str,
    environment: &'a str,
    function: &'static str,
    #[serde(flatten)]
    kinds: BTreeMap<&'static str, &'a Durations>,
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
    fn new((dimensions, metrics): &Group<'a>) -> Self {
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
        let cloud_watch_metrics = self.groups.iter().map(Directive::new).collect();
        let timestamp = self.now.as_millisecond();
        line.serialize_entry("_aws", &Envelope { timestamp, cloud_watch_metrics })?;
        line.serialize_entry("timestamp", &self.now)?;
        line.serialize_entry("level", self.record.level.as_str())?;
        line.serialize_entry("message", self.record.message)?;
        line.serialize_entry("environment", &self.metrics.environment)?;
        line.serialize_entry("function", self.metrics.function)?;
        for (name, value) in self.record.fields {
            line.serialize_entry(name, value)?;
        }
        for (index, (dimensions, metrics)) in self.groups.iter().enumerate() {
            let is_new = |name: &str| {
                let mut before = self.groups.iter().take(index);
                self.record.fields.iter().all(|known| known.0 != name)
                    && before.all(|group| {
                        group.0.iter().all(|known| known.0 != name)
                            && group.1.iter().all(|known| known.0 != name)
                    })
            };
            for (name, value) in dimensions.iter().filter(|dimension| is_new(dimension.0)) {
                line.serialize_entry(name, value)?;
            }
            for (name, _, value) in metrics.iter().filter(|metric| is_new(metric.0)) {
                line.serialize_entry(name, value)?;
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
        let fields = [("event_id", "evt_1".into()), ("body", 2_048_usize.into())];
        let record = Record { level: Level::INFO, message: "taken", fields: &fields };
        let line = serde_json::to_string(&Line { metrics: &metrics, now, record, groups: &groups }).unwrap();
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
            "timestamp": "2025-10-09T08:53:20Z", "level": "INFO", "message": "taken", "event_id": "evt_1",
            "environment": "dev", "function": "validator", "endpoint": "stripe", "accepted": 1, "body": 2_048,
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        for name in ["accepted", "body"] {
            assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{line}");
        }
    }

    #[test]
    fn durations_are_rounded_up_to_two_digits_and_counted() {
        let mut durations = Durations::default();
        for milliseconds in [0, 7, 7, 99, 100, 101, 1_234, 99_001, u64::MAX] {
            durations.add(milliseconds);
        }
        let json = serde_json::to_value(&durations).unwrap();
        assert_eq!(json["Values"], json!([0, 7, 99, 100, 110, 1_300, 100_000, u64::MAX]));
        assert_eq!(json["Counts"], json!([1, 2, 1, 1, 1, 1, 1, 1]));
        let mut many = Durations::default();
        for milliseconds in (0..5_000).chain([90_000]) {
            many.add(milliseconds);
        }
        let json = serde_json::to_value(&many).unwrap();
        let counts: Vec<u64> = json["Counts"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (MOST_VALUES, 5_001));
    }
}
