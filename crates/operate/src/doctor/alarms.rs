//! The alarms: whether they are there, tell somebody, and are red.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;
use tollgate_aws::{cloudwatch, error::port_error, json_service::Call};

use super::model::{Finding, told};
use crate::{aws::Aws, figures::Dimension};

const CHECK: &str = "alarms";
/// Pages of a hundred (DescribeAlarms, API reference).
const MAX_PAGES: usize = 50;
/// What the alarm on answers of 5xx is called before the suffix (infra/monitoring.yaml).
const FAILURES: &str = "tollgate-api-5xx";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    metric_alarms: Vec<Alarm>,
    #[serde(default)]
    composite_alarms: Vec<Alarm>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    alarm_name: String,
    #[serde(default)]
    alarm_description: Option<String>,
    #[serde(default)]
    state_value: String,
    #[serde(default)]
    state_reason: Option<String>,
    #[serde(default)]
    actions_enabled: Option<bool>,
    /// What a computed one is computed of.
    #[serde(default)]
    metrics: Vec<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    #[serde(default)]
    metric_stat: Option<Stat>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stat {
    metric: Metric,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

/// The id of the environment's HTTP API, as the alarm on its failures has it; `None` where the way in is another one, or the
/// alarm is not there (`ComputedAlarms`).
///
/// # Errors
///
/// When CloudWatch does not answer.
pub async fn http_api(aws: &Aws) -> anyhow::Result<Option<String>> {
    let name = format!("{FAILURES}-{}", aws.names.suffix());
    let alarms = described(aws).await?;
    let parts = alarms.into_iter().filter(|alarm| alarm.alarm_name == name).flat_map(|alarm| alarm.metrics);
    let dimensions = parts.filter_map(|part| part.metric_stat).flat_map(|stat| stat.metric.dimensions);
    Ok(dimensions.filter(|one| one.name == "ApiId").map(|one| one.value).next())
}

pub(super) async fn check(aws: &Aws) -> Vec<Finding> {
    told(CHECK, "all", of_all(aws).await)
}

async fn of_all(aws: &Aws) -> anyhow::Result<Vec<Finding>> {
    let alarms = described(aws).await?;
    if alarms.is_empty() {
        let remedy = "`make deploy` deploys them (infra/monitoring.yaml)";
        return Ok(vec![Finding::fail(CHECK, "all", "there are none: nobody is told of anything", remedy)]);
    }
    let mut found: Vec<Finding> = alarms.iter().filter_map(of_alarm).collect();
    if found.is_empty() {
        found.push(Finding::ok(CHECK, "all", format!("none of {} is red", alarms.len())));
    }
    Ok(found)
}

/// Those of the environment. Names of another one may begin alike.
async fn described(aws: &Aws) -> anyhow::Result<Vec<Alarm>> {
    let service = cloudwatch::service(aws.config.clone(), aws.url_of("monitoring"));
    let call: Call<Page> = service.call("DescribeAlarms")?;
    let ending = format!("-{}", aws.names.suffix());
    let (mut alarms, mut token) = (Vec::new(), None::<String>);
    for _ in 0..MAX_PAGES {
        let mut request = json!({ "AlarmNamePrefix": "tollgate-", "AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": 100 });
        if let (Some(token), Some(request)) = (token.take(), request.as_object_mut()) {
            request.insert("NextToken".to_owned(), token.into());
        }
        let page = call.invoke(request.to_string()).await;
        let page =
            page.map_err(|problem| port_error("cloudwatch", &problem)).context("asking for the alarms")?;
        let of_page = page.metric_alarms.into_iter().chain(page.composite_alarms);
        alarms.extend(of_page.filter(|alarm| alarm.alarm_name.ends_with(&ending)));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(alarms);
        }
    }
    bail!("CloudWatch lists alarms without an end")
}

fn of_alarm(alarm: &Alarm) -> Option<Finding> {
    let remedy = || runbook(alarm.alarm_description.as_deref().unwrap_or_default());
    if alarm.state_value == "ALARM" {
        let reason = alarm.state_reason.clone().unwrap_or_default();
        return Some(Finding::fail(CHECK, &alarm.alarm_name, format!("red: {reason}"), remedy()));
    }
    if alarm.actions_enabled == Some(false) {
        let remedy = "aws cloudwatch enable-alarm-actions, or `make deploy` again";
        return Some(Finding::warn(CHECK, &alarm.alarm_name, "its actions are switched off", remedy));
    }
    None
}

/// The section of the runbook that an alarm's description names.
fn runbook(description: &str) -> String {
    let words = description.split_whitespace();
    let page = words.map(|word| word.trim_end_matches('.')).find(|word| word.starts_with("docs/"));
    page.unwrap_or("docs/runbook.md").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_red_alarm_leads_to_its_section() {
        let alarm = |state: &str, actions| Alarm {
            alarm_name: "tollgate-age-webhook-intake-dev".to_owned(),
            alarm_description: Some(
                "The processor falls behind. See docs/runbook.md#old-messages".to_owned(),
            ),
            state_value: state.to_owned(),
            state_reason: Some("Threshold Crossed".to_owned()),
            actions_enabled: Some(actions),
            metrics: Vec::new(),
        };
        let red = of_alarm(&alarm("ALARM", true)).unwrap();
        assert_eq!(red.remedy.as_deref(), Some("docs/runbook.md#old-messages"));
        assert_eq!(of_alarm(&alarm("OK", true)), None);
        assert_eq!(of_alarm(&alarm("INSUFFICIENT_DATA", true)), None);
        assert!(of_alarm(&alarm("OK", false)).unwrap().detail.contains("switched off"));
    }
}
