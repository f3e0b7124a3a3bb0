//! What each endpoint heard, by hour: the validator's metric `webhooks` in CloudWatch.

use aws_config::SdkConfig;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_pipeline::ports::{Hearing, PortError, PortResult};

use crate::cloudwatch::{CloudWatch, Query, Span, whole};

/// The metric, as the validator's handler emits it: one for each endpoint, outcome and reason.
const METRIC: &str = "webhooks";
/// Of the metrics of ours (`tollgate_lambda::metrics`).
pub const NAMESPACE: &str = "Tollgate";
/// The outcomes of a genuine webhook. A duplicate is heard, too: its provider reaches us.
const OUTCOMES: [&str; 2] = ["accepted", "duplicate"];
const PERIOD_SECONDS: u32 = 3_600;

/// The metrics of one environment.
#[derive(Debug, Clone)]
pub struct CloudWatchHearing {
    metrics: CloudWatch,
    environment: String,
}

impl CloudWatchHearing {
    /// The metrics of `environment`, at CloudWatch's `url` of the region, unless the configuration has an endpoint of its own.
    pub fn new(config: SdkConfig, url: impl Into<String>, environment: impl Into<String>) -> Self {
        Self { metrics: CloudWatch::new(config, url), environment: environment.into() }
    }
}

impl Hearing for CloudWatchHearing {
    async fn heard(
        &self,
        endpoints: &[EndpointId],
        from: Timestamp,
        hours: usize,
    ) -> PortResult<Vec<Vec<u64>>> {
        let queries: Vec<Query<'_>> = endpoints
            .iter()
            .flat_map(|endpoint| OUTCOMES.map(|outcome| (endpoint.as_str(), outcome)))
            .map(|(endpoint, outcome)| of_webhooks(&self.environment, endpoint, outcome, "none"))
            .collect();
        let span = Span { from: from.as_second(), periods: hours, period: PERIOD_SECONDS };
        let values = self.metrics.values(&queries, span).await?;
        values.chunks(OUTCOMES.len()).map(|of_endpoint| sum(of_endpoint, hours)).collect()
    }
}

/// How many webhooks of an endpoint ended so.
pub fn of_webhooks<'a>(
    environment: &'a str,
    endpoint: &'a str,
    outcome: &'a str,
    reason: &'a str,
) -> Query<'a> {
    Query {
        namespace: NAMESPACE,
        name: METRIC,
        dimensions: vec![
            ("environment", environment),
            ("function", "validator"),
            ("endpoint", endpoint),
            ("outcome", outcome),
            ("reason", reason),
        ],
        statistic: "Sum",
    }
}

fn sum(outcomes: &[Vec<Option<f64>>], hours: usize) -> PortResult<Vec<u64>> {
    let mut heard = vec![0_u64; hours];
    for values in outcomes {
        for (hour, value) in heard.iter_mut().zip(values) {
            let count = whole(value.unwrap_or(0.0)).and_then(|value| u64::try_from(value).ok());
            let count =
                count.ok_or_else(|| PortError::permanent("cloudwatch", "a point that is no count"))?;
            *hour = hour.saturating_add(count);
        }
    }
    Ok(heard)
}
