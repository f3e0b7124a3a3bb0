//! CloudWatch's metrics, read with GetMetricData.
//!
//! The SDK's client of CloudWatch would bring a dozen crates for this one call, CBOR and compression among them.

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use tollgate_pipeline::ports::{PortError, PortResult};

use crate::{
    error::{build_error, port_error},
    json_service::{Call, JsonService},
};

const SERVICE: &str = "cloudwatch";
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

/// The metrics of an account in a region.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    service: JsonService,
}

/// One metric, and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// All of its dimensions: a metric with one more is another metric.
    pub dimensions: Vec<(&'a str, &'a str)>,
    /// A statistic ("CloudWatch statistics definitions", CloudWatch user guide): `Sum`, `Maximum`, `p99`, `TC(10:20)`.
    pub statistic: &'a str,
}

/// The time that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From this second on: a multiple of the period.
    pub from: i64,
    /// How many periods.
    pub periods: usize,
    /// How long one is, in seconds. Points of a minute are kept for 15 days, of five minutes for 63, of an hour for 455
    /// (GetMetricData, API reference).
    pub period: u32,
}

impl Span {
    fn end(&self) -> i64 {
        self.from + self.periods as i64 * i64::from(self.period)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    start_time: i64,
    end_time: i64,
    max_datapoints: usize,
    metric_data_queries: &'a [MetricDataQuery<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDataQuery<'a> {
    id: String,
    metric_stat: MetricStat<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat<'a> {
    metric: Metric<'a>,
    period: u32,
    stat: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric<'a> {
    namespace: &'a str,
    metric_name: &'a str,
    dimensions: Vec<Dimension<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension<'a> {
    name: &'a str,
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

impl CloudWatch {
    /// CloudWatch at the `url` of the region, unless the configuration has an endpoint of its own.
    pub fn new(config: SdkConfig, url: impl Into<String>) -> Self {
        Self { service: service(config, url) }
    }

    /// The values of each query in their order, by period; `None` where a period has no point. Either all of it or an error:
    /// what is missing or cut short is no value.
    ///
    /// # Errors
    ///
    /// When CloudWatch does not answer, answers in part, or with a point that is of no period.
    pub async fn values(&self, queries: &[Query<'_>], span: Span) -> PortResult<Vec<Vec<Option<f64>>>> {
        let call = self.service.call("GetMetricData")?;
        let mut values = vec![vec![None; span.periods]; queries.len()];
        let size = (MAX_POINTS / span.periods.max(1)).clamp(1, MAX_QUERIES);
        for (queries, values) in queries.chunks(size).zip(values.chunks_mut(size)) {
            add(&call, queries, span, values).await?;
        }
        Ok(values)
    }
}

/// CloudWatch in its JSON protocol, for its other calls.
pub fn service(config: SdkConfig, url: impl Into<String>) -> JsonService {
    JsonService {
        config,
        name: SERVICE,
        signing_name: "monitoring",
        target: TARGET,
        json_version: "1.0",
        url: url.into(),
    }
}

/// Puts the points of one call's queries into their periods.
async fn add(
    call: &Call<Page>,
    queries: &[Query<'_>],
    span: Span,
    values: &mut [Vec<Option<f64>>],
) -> PortResult<()> {
    let queries: Vec<MetricDataQuery<'_>> =
        queries.iter().enumerate().map(|(number, query)| wire(number, query, span.period)).collect();
    let mut is_complete = vec![false; queries.len()];
    let mut next_token = None;
    for _ in 0..MAX_PAGES {
        let request = Request {
            start_time: span.from,
            end_time: span.end(),
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
            let (Some(is_complete), Some(values)) = (is_complete.get_mut(number), values.get_mut(number))
            else {
                return Err(unusable("nobody asked for this id"));
            };
            *is_complete = series.is_complete()?;
            series.add(span, values)?;
        }
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            let all = is_complete.iter().all(|is_complete| *is_complete);
            return if all { Ok(()) } else { Err(PortError::retryable(SERVICE, PARTIAL)) };
        }
    }
    Err(unusable("pages without an end"))
}

fn wire<'a>(number: usize, query: &Query<'a>, period: u32) -> MetricDataQuery<'a> {
    let dimensions = query.dimensions.iter().map(|&(name, value)| Dimension { name, value }).collect();
    let metric = Metric { namespace: query.namespace, metric_name: query.name, dimensions };
    MetricDataQuery {
        id: format!("q{number}"),
        metric_stat: MetricStat { metric, period, stat: query.statistic },
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

    /// Puts its points into their periods.
    fn add(&self, span: Span, periods: &mut [Option<f64>]) -> PortResult<()> {
        if self.timestamps.len() != self.values.len() {
            return Err(unusable("not as many times as values"));
        }
        let length = i64::from(span.period);
        for (at, value) in self.timestamps.iter().zip(&self.values) {
            let since = at.as_f64().and_then(whole).map(|at| at - span.from);
            let period = since.filter(|since| length > 0 && since % length == 0);
            let period = period.and_then(|since| usize::try_from(since / length).ok());
            let period = period.and_then(|period| periods.get_mut(period));
            let (Some(period), Some(value)) = (period, value.as_f64()) else {
                return Err(unusable("a point of no period that was asked for"));
            };
            if period.replace(value).is_some() {
                return Err(unusable("two points of one period"));
            }
        }
        Ok(())
    }
}

/// A whole number. CloudWatch writes it as it is or as `5.0`; other numbers are none.
pub fn whole(value: f64) -> Option<i64> {
    /// Up to here each whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (value.trunc() == value && value.abs() < EXACT).then_some(value as i64)
}

fn unusable(what: &str) -> PortError {
    PortError::permanent(SERVICE, what)
}
