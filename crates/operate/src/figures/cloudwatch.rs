//! Figures of CloudWatch's metrics.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;
use tollgate_aws::{
    cloudwatch::{self, CloudWatch, Query, Span, whole},
    hearing::{NAMESPACE, of_webhooks},
    json_service::Call,
};
use tollgate_core::Timestamp;

use super::{
    gathered::{Gathered, Grid, Outcome},
    histogram::{BOUNDS, BUCKETS},
    model::{Figures, Part, Source, Wanted},
};
use crate::{aws::Aws, endpoints};

/// How long CloudWatch keeps points of a minute and of five minutes, in days; those of an hour for 455 (GetMetricData, API
/// reference).
const DAYS_OF_MINUTES: i64 = 15;
const DAYS_OF_FIVE_MINUTES: i64 = 63;
const DAY_SECONDS: i64 = 86_400;
/// Pages of the list of metrics: 500 of an environment each (ListMetrics, API reference).
const MAX_PAGES: usize = 20;
/// Points of one answer, all metrics together: what is more takes longer steps.
const MOST_POINTS: usize = 2_000_000;
/// The processor's metrics by queue, as its handler writes them.
const OF_PROCESSOR: [&str; 7] =
    ["records", "processed", "duplicates", "quarantined", "failed", "published", "conflicts"];
const QUEUES: [&str; 2] = ["intake", "intake-ordered"];
/// The archival function's.
const OF_ARCHIVAL: [&str; 4] = ["rows", "objects", "bytes", "failures"];

/// A metric of webhooks: endpoint, outcome and reason.
type Ended = (String, String, String);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    metrics: Vec<Listed>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

/// A name and a value of a metric.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Dimension {
    pub(crate) name: String,
    pub(crate) value: String,
}

pub(super) async fn read(aws: &Aws, wanted: &Wanted, now: Timestamp) -> anyhow::Result<Figures> {
    let grid = Grid::of(wanted, shortest(wanted.from, now))?;
    let ended = ended(aws, wanted).await?;
    let mut gathered = Gathered::new(grid, wanted.endpoint);
    let environment = aws.names.suffix();
    let ranges = ranges();
    let mut queries: Vec<Query<'_>> = ended
        .iter()
        .map(|(endpoint, outcome, reason)| of_webhooks(environment, endpoint, outcome, reason))
        .collect();
    let of = |function, name, more: &[(&'static str, &'static str)], statistic| {
        let own = [("environment", environment), ("function", function)];
        let dimensions = own.into_iter().chain(more.iter().copied()).collect();
        Query { namespace: NAMESPACE, name, dimensions, statistic }
    };
    queries.push(of("validator", "webhooks", &[], "Sum"));
    for queue in QUEUES {
        queries.extend(OF_PROCESSOR.map(|name| of("processor", name, &[("queue", queue)], "Sum")));
    }
    queries.extend(OF_ARCHIVAL.map(|name| of("archival", name, &[], "Sum")));
    for part in Part::ALL {
        let (function, name) = metric_of(part);
        queries.extend(ranges.iter().map(|range| of(function, name, &[], range.as_str())));
        queries.push(of(function, name, &[], "Maximum"));
    }
    if queries.len() * grid.steps > MOST_POINTS {
        bail!("{} metrics in {} steps: ask for a shorter time, or longer steps", queries.len(), grid.steps);
    }
    let metrics = CloudWatch::new(aws.config.clone(), aws.url_of("monitoring"));
    let span = Span { from: grid.from, periods: grid.steps, period: grid.step };
    let values = metrics.values(&queries, span).await.context("reading the metrics")?;
    let mut values = values.into_iter();
    let mut next = || values.next().context("CloudWatch answers fewer metrics than it was asked for");

    for (endpoint, outcome, reason) in &ended {
        let values = next()?;
        let Some(outcome) = Outcome::of(outcome) else { continue };
        for (step, value) in values.into_iter().enumerate() {
            gathered.webhooks(step, endpoint, outcome, reason, count(value)?);
        }
    }
    let all = sum(&next()?)?;
    for queue in QUEUES {
        let of_queue = gathered.processed(queue);
        for one in [
            &mut of_queue.records,
            &mut of_queue.processed,
            &mut of_queue.duplicates,
            &mut of_queue.quarantined,
            &mut of_queue.failed,
            &mut of_queue.published,
            &mut of_queue.conflicts,
        ] {
            *one = sum(&next()?)?;
        }
    }
    let archived = &mut gathered.archived;
    for one in [&mut archived.rows, &mut archived.objects, &mut archived.bytes, &mut archived.failures] {
        *one = sum(&next()?)?;
    }
    for part in Part::ALL {
        for bucket in 0..BUCKETS {
            let in_bucket = sum(&next()?)?;
            gathered.latency(part).add_to(bucket, in_bucket);
        }
        for longest in next()?.into_iter().flatten() {
            gathered.latency(part).at_least(longest.max(0.0).ceil() as u64);
        }
    }
    let is_all = wanted.endpoint.is_none();
    let mut figures = gathered.figures(Source::Cloudwatch)?;
    let known = figures.webhooks.all();
    if is_all && all > known {
        figures.notes.push(format!(
            "{} webhooks ended in ways that CloudWatch does not list: for the first 15 minutes, and after two weeks without one",
            all - known
        ));
    }
    Ok(figures)
}

/// The metric of a part's duration: its function and its name.
fn metric_of(part: Part) -> (&'static str, &'static str) {
    match part {
        Part::Validator => ("validator", "duration"),
        Part::QueueWait => ("processor", "queue_wait"),
        Part::EndToEnd => ("processor", "end_to_end"),
    }
}

/// The statistics that count what is in each bucket: above the one bound, and at most as long as the other ("CloudWatch
/// statistics definitions", CloudWatch user guide, trimmed count).
fn ranges() -> Vec<String> {
    let bounds: Vec<String> = BOUNDS.iter().map(u64::to_string).collect();
    let lower = std::iter::once("").chain(bounds.iter().map(String::as_str));
    let upper = bounds.iter().map(String::as_str).chain(std::iter::once(""));
    lower.zip(upper).map(|(lower, upper)| format!("TC({lower}:{upper})")).collect()
}

/// The shortest period of which CloudWatch still has points, in seconds.
fn shortest(from: Timestamp, now: Timestamp) -> u32 {
    match (now.as_second() - from.as_second()) / DAY_SECONDS {
        ..DAYS_OF_MINUTES => 60,
        DAYS_OF_MINUTES..DAYS_OF_FIVE_MINUTES => 300,
        _ => 3_600,
    }
}

/// Every way in which webhooks ended, as CloudWatch lists it, and those of each endpoint that are usual: a new metric is listed
/// within 15 minutes only (ListMetrics, API reference).
async fn ended(aws: &Aws, wanted: &Wanted) -> anyhow::Result<BTreeSet<Ended>> {
    let service = cloudwatch::service(aws.config.clone(), aws.url_of("monitoring"));
    let call: Call<Page> = service.call("ListMetrics")?;
    let mut dimensions = vec![json!({ "Name": "environment", "Value": aws.names.suffix() })];
    dimensions.extend(wanted.endpoint.map(|endpoint| json!({ "Name": "endpoint", "Value": endpoint })));
    let (mut found, mut token) = (BTreeSet::new(), None::<String>);
    for _ in 0..MAX_PAGES {
        let mut request =
            json!({ "Namespace": NAMESPACE, "MetricName": "webhooks", "Dimensions": dimensions });
        if let (Some(token), Some(request)) = (token.take(), request.as_object_mut()) {
            request.insert("NextToken".to_owned(), token.into());
        }
        let page = call.invoke(request.to_string()).await;
        let page = page.map_err(|problem| tollgate_aws::error::port_error("cloudwatch", &problem));
        let page = page.context("listing the metrics")?;
        found.extend(page.metrics.iter().filter_map(|metric| {
            let of =
                |name| metric.dimensions.iter().find(|one| one.name == name).map(|one| one.value.clone());
            Some((of("endpoint")?, of("outcome")?, of("reason")?))
        }));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    if token.is_some() {
        bail!("CloudWatch lists more than {} metrics of webhooks: ask for one --endpoint", MAX_PAGES * 500);
    }
    for endpoint in endpoints::all(aws).await? {
        if wanted.endpoint.is_none_or(|only| only == endpoint.id) {
            let usual = |outcome: &str| (endpoint.id.to_string(), outcome.to_owned(), "none".to_owned());
            found.extend(["accepted", "duplicate"].map(usual));
        }
    }
    Ok(found)
}

fn count(value: Option<f64>) -> anyhow::Result<u64> {
    let whole = whole(value.unwrap_or(0.0)).and_then(|value| u64::try_from(value).ok());
    whole.context("CloudWatch answers with a number that is no count")
}

fn sum(values: &[Option<f64>]) -> anyhow::Result<u64> {
    values.iter().try_fold(0_u64, |sum, value| Ok(sum.saturating_add(count(*value)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_one_range() {
        let ranges = ranges();
        assert_eq!(ranges.len(), BUCKETS);
        assert_eq!((ranges[0].as_str(), ranges[1].as_str()), ("TC(:1)", "TC(1:2)"));
        assert_eq!(ranges[BUCKETS - 1], "TC(1000000:)");
    }

    #[test]
    fn what_is_old_has_longer_periods() {
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        for (from, shortest_period) in [
            ("2026-11-29T23:00:00Z", 60),
            ("2026-11-15T00:00:01Z", 60),
            ("2026-11-15T00:00:00Z", 300),
            ("2026-09-28T00:00:00Z", 3_600),
        ] {
            assert_eq!(shortest(from.parse().unwrap(), now), shortest_period, "{from}");
        }
    }
}
