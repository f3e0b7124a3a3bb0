//! What each endpoint heard, by hour: the validator's metric `webhooks` in CloudWatch, read with GetMetricData.
//!
//! The SDK's client of CloudWatch would bring a dozen crates for this one call, CBOR and compression among them.

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_pipeline::ports::{Hearing, PortError, PortResult};

use crate::{
    error::{build_error, port_error},
    json_service::{Call, JsonService},
};

const SERVICE: &str = "cloudwatch";
/// The metric, as the validator's handler emits it: one for each endpoint, outcome and reason.
const METRIC: &str = "webhooks";
/// Of the metrics of ours (`tollgate_lambda::metrics`).
const NAMESPACE: &str = "Tollgate";
/// The outcomes of a genuine webhook. A duplicate is heard, too: its provider reaches us.
const OUTCOMES: [&str; 2] = ["accepted", "duplicate"];
/// An hour's points are kept for 455 days, shorter ones for 15 or 63 (GetMetricData, API reference).
const PERIOD_SECONDS: i64 = 3_600;
/// A call takes 500 metrics and gives 100,800 points a page (GetMetricData, API reference). So many points are asked for at
/// once, so that a page is one answer; the account may have 396,000 of them a second (CloudWatch user guide, "CloudWatch
/// service quotas").
const MAX_QUERIES: usize = 500;
const MAX_POINTS: usize = 100_800;
/// Pages of one call. One that has no end is a failure.
const MAX_PAGES: usize = 100;
/// In the service's JSON protocol: its name before Smithy and the version of its interface.
const TARGET: &str = "GraniteServiceVersion20100801";
/// What a series says of itself: all points were given, or more follow on the next page (MetricDataResult, API reference).
const COMPLETE: &str = "Complete";
const PARTIAL: &str = "PartialData";

/// The metrics of one environment.
#[derive(Debug, Clone)]
pub struct CloudWatchHearing {
    service: JsonService,
    environment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    start_time: i64,
    end_time: i64,
    max_datapoints: usize,
    metric_data_queries: &'a [Query<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Query<'a> {
    id: String,
    metric_stat: MetricStat<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat<'a> {
    metric: Metric<'a>,
    period: i64,
    stat: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric<'a> {
    namespace: &'static str,
    metric_name: &'static str,
    dimensions: [Dimension<'a>; 5],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension<'a> {
    name: &'static str,
    value: &'a str,
}

/// One page of an answer. Its messages' texts are not read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    metric_data_results: Vec<Series>,
    #[serde(default)]
    next_token: Option<String>,
    #[serde(default)]
    messages: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    id: String,
    status_code: String,
    #[serde(default)]
    timestamps: Vec<Number>,
    #[serde(default)]
    values: Vec<Number>,
}

impl CloudWatchHearing {
    /// The metrics of `environment`, at CloudWatch's `url` of the region, unless the configuration has an endpoint of its own.
    pub fn new(config: SdkConfig, url: impl Into<String>, environment: impl Into<String>) -> Self {
        let service = JsonService {
            config,
            name: SERVICE,
            signing_name: "monitoring",
            target: TARGET,
            json_version: "1.0",
            url: url.into(),
        };
        Self { service, environment: environment.into() }
    }

    /// Adds what the endpoints of one call heard from `from` on to their hours.
    async fn add(
        &self,
        call: &Call<Page>,
        endpoints: &[EndpointId],
        from: i64,
        heard: &mut [Vec<u64>],
    ) -> PortResult<()> {
        let hours = heard.first().map_or(0, Vec::len);
        let queries: Vec<Query<'_>> = endpoints
            .iter()
            .flat_map(|endpoint| OUTCOMES.map(|outcome| (endpoint, outcome)))
            .enumerate()
            .map(|(number, (endpoint, outcome))| self.query(number, endpoint, outcome))
            .collect();
        let mut is_complete = vec![false; queries.len()];
        let mut next_token = None;
        for _ in 0..MAX_PAGES {
            let request = Request {
                start_time: from,
                end_time: from + hours as i64 * PERIOD_SECONDS,
                max_datapoints: MAX_POINTS,
                metric_data_queries: &queries,
                next_token,
            };
            let request = serde_json::to_string(&request).map_err(|_| build_error(SERVICE))?;
            let page = call.invoke(request).await.map_err(|problem| port_error(SERVICE, &problem))?;
            // As that more metrics were asked for than are given.
            if !page.messages.is_empty() {
                return Err(PortError::permanent(SERVICE, "answered in part, with a message"));
            }
            for series in &page.metric_data_results {
                let number = series.id.strip_prefix('q').and_then(|number| number.parse::<usize>().ok());
                let number = number.ok_or_else(|| unusable("nobody asked for this id"))?;
                let heard = heard.get_mut(number / OUTCOMES.len());
                let (Some(is_complete), Some(heard)) = (is_complete.get_mut(number), heard) else {
                    return Err(unusable("nobody asked for this id"));
                };
                *is_complete = series.is_complete()?;
                series.add(from, heard)?;
            }
            next_token = page.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() {
                let all = is_complete.iter().all(|is_complete| *is_complete);
                return if all { Ok(()) } else { Err(PortError::retryable(SERVICE, PARTIAL)) };
            }
        }
        Err(unusable("pages without an end"))
    }

    fn query<'a>(&'a self, number: usize, endpoint: &'a EndpointId, outcome: &'a str) -> Query<'a> {
        let dimensions = [
            ("environment", self.environment.as_str()),
            ("function", "validator"),
            ("endpoint", endpoint.as_str()),
            ("outcome", outcome),
            ("reason", "none"),
        ];
        Query {
            id: format!("q{number}"),
            metric_stat: MetricStat {
                metric: Metric {
                    namespace: NAMESPACE,
                    metric_name: METRIC,
                    dimensions: dimensions.map(|(name, value)| Dimension { name, value }),
                },
                period: PERIOD_SECONDS,
                stat: "Sum",
            },
        }
    }
}

impl Series {
    /// Whether these are its last points. More follow on another page where they are not.
    fn is_complete(&self) -> PortResult<bool> {
        match self.status_code.as_str() {
            COMPLETE => Ok(true),
            PARTIAL => Ok(false),
            code @ ("InternalError" | "Forbidden") => Err(PortError::retryable(SERVICE, code)),
            _ => Err(unusable("unknown status")),
        }
    }

    /// Adds its points to the hours from `from` on.
    fn add(&self, from: i64, hours: &mut [u64]) -> PortResult<()> {
        if self.timestamps.len() != self.values.len() {
            return Err(unusable("not as many times as values"));
        }
        for (at, value) in self.timestamps.iter().zip(&self.values) {
            let since = whole(at).map(|at| at - from).filter(|since| since % PERIOD_SECONDS == 0);
            let hour = since.and_then(|since| usize::try_from(since / PERIOD_SECONDS).ok());
            let hour = hour.and_then(|hour| hours.get_mut(hour));
            let count = whole(value).and_then(|value| u64::try_from(value).ok());
            let (Some(hour), Some(count)) = (hour, count) else {
                return Err(unusable("a point that is no count of an hour"));
            };
            *hour = hour.saturating_add(count);
        }
        Ok(())
    }
}

impl Hearing for CloudWatchHearing {
    async fn heard(
        &self,
        endpoints: &[EndpointId],
        from: Timestamp,
        hours: usize,
    ) -> PortResult<Vec<Vec<u64>>> {
        let call = self.service.call("GetMetricData")?;
        let mut heard = vec![vec![0; hours]; endpoints.len()];
        let queries = (MAX_POINTS / hours.max(1)).min(MAX_QUERIES);
        let size = (queries / OUTCOMES.len()).max(1);
        for (endpoints, heard) in endpoints.chunks(size).zip(heard.chunks_mut(size)) {
            self.add(&call, endpoints, from.as_second(), heard).await?;
        }
        Ok(heard)
    }
}

/// CloudWatch writes whole numbers as they are or as `5.0`.
fn whole(number: &Number) -> Option<i64> {
    /// Up to here each whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = |value: &f64| value.trunc() == *value && value.abs() < EXACT;
    number.as_i64().or_else(|| number.as_f64().filter(whole).map(|value| value as i64))
}

fn unusable(what: &str) -> PortError {
    PortError::permanent(SERVICE, what)
}
