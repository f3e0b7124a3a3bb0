//! Figures of a CloudWatch that answers as its API reference says: a list of metrics in pages, a value for each statistic.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests only")]

mod account;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_operate::{
    aws::Aws,
    figures::{self, Figures, Source, Wanted},
};
use tollgate_testkit::aws::Server;

const TO: &str = "2026-01-02T12:00:00Z";

async fn aws(server: &Server) -> Aws {
    account::at(server.url()).await
}

fn wanted(endpoint: Option<&str>) -> Wanted {
    Wanted {
        from: "2026-01-02T11:00:30Z".parse().unwrap(),
        to: TO.parse().unwrap(),
        endpoint: endpoint.map(|name| tollgate_core::EndpointId::new(name).unwrap()),
        step_seconds: None,
    }
}

async fn read(server: &Server, wanted: &Wanted) -> anyhow::Result<Figures> {
    figures::read(&aws(server).await, wanted, TO.parse().unwrap()).await
}

/// A page of ListMetrics: each with the dimensions of a way in which webhooks ended.
fn listed(ended: &[[&str; 3]], next: Option<&str>) -> Value {
    let metric = |[endpoint, outcome, reason]: &[&str; 3]| {
        let pairs = [
            ("environment", "dev"),
            ("function", "validator"),
            ("endpoint", endpoint),
            ("outcome", outcome),
            ("reason", reason),
        ];
        let dimensions = pairs.map(|(name, value)| json!({ "Name": name, "Value": value }));
        json!({ "Namespace": "Tollgate", "MetricName": "webhooks", "Dimensions": dimensions })
    };
    let mut page = json!({ "Metrics": ended.iter().map(metric).collect::<Vec<_>>() });
    if let Some(next) = next {
        page["NextToken"] = next.into();
    }
    page
}

/// The values of a metric by its words: its name, the values of its dimensions but for the environment, and the statistic.
fn data(request: &Value, value: impl Fn(&str) -> f64) -> Value {
    let at = request["StartTime"].as_i64().unwrap();
    let one = |query: &Value| {
        let (stat, metric) = (&query["MetricStat"], &query["MetricStat"]["Metric"]);
        let values = metric["Dimensions"].as_array().unwrap().iter().skip(1);
        let mut words = vec![metric["MetricName"].as_str().unwrap()];
        words.extend(values.map(|one| one["Value"].as_str().unwrap()));
        words.push(stat["Stat"].as_str().unwrap());
        let value = value(&words.join(" "));
        let (times, values) =
            if value > 0.0 { (vec![at, at + 60], vec![value, 1.0]) } else { (vec![], vec![]) };
        json!({ "Id": query["Id"], "StatusCode": "Complete", "Timestamps": times, "Values": values })
    };
    let results: Vec<Value> = request["MetricDataQueries"].as_array().unwrap().iter().map(one).collect();
    json!({ "MetricDataResults": results })
}

fn no_endpoints() -> Value {
    json!({ "format": "tollgate.endpoints/1", "endpoints": {} })
}

#[tokio::test]
async fn each_way_to_end_is_a_metric_and_durations_are_counted_by_range() {
    let server = Server::start(|operation, request| match operation {
        "ListMetrics" => {
            assert_eq!(request["Dimensions"], json!([{ "Name": "environment", "Value": "dev" }]));
            match request["NextToken"].as_str() {
                None => {
                    listed(&[["stripe", "accepted", "none"], ["stripe", "rejected", "too_old"]], Some("2"))
                }
                Some("2") => listed(&[["adyen", "duplicate", "none"], ["stripe", "other", "none"]], None),
                Some(other) => panic!("{other}"),
            }
        }
        "GetMetricData" => data(request, |words| match words {
            "webhooks validator stripe accepted none Sum" => 40.0,
            "webhooks validator stripe rejected too_old Sum" => 3.0,
            "webhooks validator adyen duplicate none Sum" => 2.0,
            "webhooks validator Sum" => 60.0,
            "records processor intake Sum" => 50.0,
            "rows archival Sum" => 45.0,
            "duration validator TC(5:7)" => 98.0,
            "duration validator TC(200:300)" => 1.0,
            "duration validator Maximum" => 251.0,
            _ => 0.0,
        }),
        _ => no_endpoints(),
    });
    let found = read(&server, &wanted(None)).await.unwrap();
    assert_eq!((found.source, found.step_seconds), (Source::Cloudwatch, 60));
    assert_eq!(
        (found.from.to_string(), found.to.to_string()),
        ("2026-01-02T11:00:00Z".to_owned(), TO.to_owned())
    );
    // A further one of each in the second minute.
    let counts = found.webhooks;
    assert_eq!((counts.accepted, counts.refused, counts.duplicates), (41, 4, 3));
    assert_eq!((found.steps[0].counts.accepted, found.steps[1].counts.accepted), (40, 1));
    assert_eq!(found.steps.len(), 60);
    assert_eq!(found.endpoints.len(), 2);
    assert_eq!(found.refused_by, BTreeMap::from([("too_old".to_owned(), 4)]));
    assert_eq!((found.processed[0].records, found.archived.rows), (51, 46));
    let validator = &found.latency[0];
    assert_eq!((validator.count, validator.max), (101, Some(251)));
    assert!(validator.p90.is_some_and(|p90| (5..=7).contains(&p90)), "{validator:?}");
    assert!(validator.p99.is_some_and(|p99| (200..=251).contains(&p99)), "{validator:?}");
    // 61 in all, of which 48 are listed.
    assert!(found.notes[0].starts_with("13 webhooks"), "{:?}", found.notes);
}

#[tokio::test]
async fn of_one_endpoint_only_its_own_is_asked_for() {
    let server = Server::start(|operation, request| match operation {
        "ListMetrics" => {
            assert_eq!(request["Dimensions"][1], json!({ "Name": "endpoint", "Value": "stripe" }));
            listed(&[["stripe", "accepted", "none"]], None)
        }
        "GetMetricData" => data(request, |words| if words.contains("stripe") { 5.0 } else { 0.0 }),
        _ => no_endpoints(),
    });
    let found = read(&server, &wanted(Some("stripe"))).await.unwrap();
    assert_eq!((found.webhooks.accepted, found.notes.len()), (6, 0));
}

/// A figure that is not whole is none.
#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_never_a_figure() {
    let answers = [
        ("half a webhook", json!(null), "no count"),
        ("forbidden", json!({ "__type": "AccessDeniedException" }), "AccessDenied"),
        ("a part", json!({ "MetricDataResults": [] }), "PartialData"),
    ];
    for (what, answer, why) in answers {
        let server = Server::start(move |operation, request| match operation {
            "ListMetrics" => listed(&[["stripe", "accepted", "none"]], None),
            "GetMetricData" if answer.is_null() => data(request, |_| 0.5),
            "GetMetricData" => answer.clone(),
            _ => no_endpoints(),
        });
        let problem = read(&server, &wanted(None)).await.unwrap_err();
        assert!(format!("{problem:#}").contains(why), "{what}: {problem:#}");
    }
    let endless = Server::start(|operation, _| match operation {
        "ListMetrics" => listed(&[], Some("again")),
        _ => no_endpoints(),
    });
    let problem = read(&endless, &wanted(None)).await.unwrap_err();
    assert!(format!("{problem:#}").contains("ask for one --endpoint"), "{problem:#}");
}
