//! What a time cost, of a CloudWatch and a Lambda that answer as their API references say, and refuse what these refuse.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests only")]

mod account;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_core::Timestamp;
use tollgate_operate::{
    cost::{self, Cost, Line},
    figures::Source,
};
use tollgate_testkit::loopback::{Request, Response, Server};

const FROM: &str = "2026-01-02T11:00:00Z";
const TO: &str = "2026-01-02T12:00:00Z";
const FUNCTIONS: [&str; 5] = [
    "webhook-validator-dev",
    "webhook-processor-dev",
    "transaction-archival-dev",
    "fraud-detector-dev",
    "reconciler-dev",
];
/// Points of one answer (GetMetricData, API reference).
const MOST_POINTS: i64 = 100_800;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What the account is: the dimensions of the alarm on the API's failures, what each metric counts in each of two periods, by its
/// namespace, name and the values of its dimensions, and which operation is refused.
#[derive(Default, Clone)]
struct Account {
    alarm: Option<Value>,
    counts: BTreeMap<&'static str, f64>,
    refused: Option<&'static str>,
}

fn refused(code: &str, why: &str) -> Response {
    Response::json(400, &json!({ "__type": code, "message": why }))
}

fn answer(account: &Account, request: &Request) -> Response {
    let scope = request.header("authorization").unwrap_or_default();
    let signed_for = |service: &str| scope.contains(&format!("/us-east-1/{service}/aws4_request"));
    if request.method == "GET" && signed_for("lambda") {
        let name = request.path().strip_prefix("/2015-03-31/functions/").unwrap_or_default();
        if !FUNCTIONS.contains(&name)
            || request.target.split_once('?').map(|it| it.1) != Some("Qualifier=live")
        {
            return refused("ResourceNotFoundException", name);
        }
        let memory = if name == "webhook-validator-dev" { 1_024 } else { 2_048 };
        let configuration = json!({ "FunctionName": name, "MemorySize": memory, "LastModified": FROM });
        return Response::json(200, &json!({ "Configuration": configuration, "Code": {} }));
    }
    if !signed_for("monitoring") {
        assert!(request.method == "GET" && request.path().ends_with("/endpoints.json"), "{request:?}");
        let document = json!({ "format": "tollgate.endpoints/1", "endpoints": {} });
        return Response::json(200, &document).with("ETag", "\"1\"");
    }
    let operation = request.header("x-amz-target").unwrap_or_default();
    let operation = operation.strip_prefix("GraniteServiceVersion20100801.").unwrap_or_default();
    if account.refused == Some(operation) {
        return refused("AccessDeniedException", operation);
    }
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    match operation {
        "ListMetrics" => Response::json(200, &json!({ "Metrics": [] })),
        "DescribeAlarms" => {
            let Some(dimensions) = &account.alarm else { return Response::json(200, &json!({})) };
            let alarm = |name: &str| {
                let metric =
                    json!({ "Namespace": "AWS/ApiGateway", "MetricName": "5xx", "Dimensions": dimensions });
                let stat = json!({ "Metric": metric, "Period": 300, "Stat": "Sum" });
                let parts = json!([{ "Id": "rate", "Expression": "failures" }, { "Id": "failures", "MetricStat": stat, "ReturnData": false }]);
                json!({ "AlarmName": name, "StateValue": "OK", "ActionsEnabled": true, "Metrics": parts })
            };
            Response::json(
                200,
                &json!({ "MetricAlarms": [alarm("tollgate-api-5xx-dev")], "CompositeAlarms": [] }),
            )
        }
        "GetMetricData" => metric_data(account, &asked),
        other => refused("UnknownOperationException", other),
    }
}

/// "GetMetricData", API reference.
fn metric_data(account: &Account, asked: &Value) -> Response {
    const INVALID: &str = "InvalidParameterValueException";
    let (Some(start), Some(end)) = (asked["StartTime"].as_i64(), asked["EndTime"].as_i64()) else {
        return refused("MissingRequiredParameterException", "StartTime and EndTime");
    };
    let queries = asked["MetricDataQueries"].as_array().unwrap();
    if start >= end || !(1..=500).contains(&queries.len()) {
        return refused(INVALID, "the time, or the queries");
    }
    let (mut results, mut ids, mut points) = (Vec::new(), Vec::new(), 0);
    for query in queries {
        let (id, stat) = (query["Id"].as_str().unwrap(), &query["MetricStat"]);
        let (period, metric) = (stat["Period"].as_i64().unwrap(), &stat["Metric"]);
        let is_id = id.starts_with(|c: char| c.is_ascii_lowercase()) && !ids.contains(&id);
        if !is_id || period % 60 != 0 || start % period != 0 || stat["Stat"].as_str().is_none() {
            return refused(INVALID, "a query");
        }
        ids.push(id);
        points += (end - start) / period;
        let dimensions = metric["Dimensions"].as_array().unwrap();
        if dimensions.len() > 30
            || dimensions.iter().any(|one| !one["Name"].is_string() || !one["Value"].is_string())
        {
            return refused(INVALID, "dimensions");
        }
        let words: Vec<&str> = [&metric["Namespace"], &metric["MetricName"]]
            .into_iter()
            .chain(dimensions.iter().map(|one| &one["Value"]))
            .map(|word| word.as_str().unwrap())
            .collect();
        let count = account.counts.get(words.join(" ").as_str()).copied();
        // So much in each of two periods, the newest first.
        let (times, values) = match count {
            Some(count) => (vec![start + period, start], vec![count, count]),
            None => (Vec::new(), Vec::new()),
        };
        results.push(
            json!({ "Id": id, "Label": id, "StatusCode": "Complete", "Timestamps": times, "Values": values }),
        );
    }
    if points > MOST_POINTS {
        return refused(INVALID, "too many points");
    }
    Response::json(200, &json!({ "MetricDataResults": results, "Messages": [] }))
}

async fn cost(account: &Account) -> anyhow::Result<Cost> {
    let account = account.clone();
    let server = Server::start(move |request| answer(&account, request));
    let aws = account::at(server.url()).await;
    cost::of(&aws, at(FROM), at(TO), at(TO)).await
}

fn account() -> Account {
    let counts = [
        ("AWS/ApiGateway Count tollgate-dev", 500.0),
        ("AWS/ApiGateway Count a1b2c3d4e5", 200.0),
        ("AWS/Lambda Invocations webhook-validator-dev", 500.0),
        ("AWS/Lambda Invocations webhook-processor-dev", 5.0),
        // 20 and 40 s: of 1 GB and of 2 GB.
        ("AWS/Lambda Duration webhook-validator-dev", 10_000.0),
        ("AWS/Lambda Duration webhook-processor-dev", 20_000.25),
        ("AWS/DynamoDB ConsumedWriteCapacityUnits webhook-events-dev", 1_500.0),
        ("AWS/DynamoDB ConsumedWriteCapacityUnits transactions-dev", 1_000.0),
        ("AWS/DynamoDB ConsumedWriteCapacityUnits transactions-dev by-customer", 500.0),
        ("AWS/DynamoDB ConsumedReadCapacityUnits transactions-dev", 250.5),
        ("AWS/Logs IncomingBytes /aws/lambda/webhook-validator-dev", 1e9),
        ("AWS/Logs IncomingBytes /aws/events/payment-events-stripe-dev", 5e8),
        ("Tollgate records dev processor intake", 500.0),
        ("Tollgate published dev processor intake", 450.0),
        ("Tollgate objects dev archival", 2.0),
    ];
    Account { counts: BTreeMap::from(counts), ..Account::default() }
}

fn line<'a>(cost: &'a Cost, price: &str) -> &'a Line {
    cost.lines.iter().find(|line| line.price == price).unwrap_or_else(|| panic!("{price}"))
}

#[tokio::test]
async fn each_service_is_asked_what_it_counted() {
    let cost = cost(&account()).await.unwrap();
    assert_eq!(cost.source, Source::Cloudwatch);
    // Thousandths of a unit, and millionths of a dollar by infra/prices.toml.
    for (price, milli_units, micro_usd) in [
        ("rest_request", 1_000_000, 3_500),
        ("lambda_request", 1_010_000, 202),
        ("lambda_gb_second", 100_000, 1_333),
        ("dynamodb_write_unit", 6_000_000, 3_750),
        ("dynamodb_read_unit", 502_000, 62),
        ("log_gb", 3_000, 1_500_000),
        ("bus_event", 900_000, 900),
        ("s3_put", 4_000, 20),
    ] {
        let line = line(&cost, price);
        assert_eq!((line.milli_units, line.micro_usd), (Some(milli_units), Some(micro_usd)), "{price}");
    }
    for price in ["sqs_request", "kms_request", "waf_request", "s3_gb_month"] {
        let line = line(&cost, price);
        assert!(line.micro_usd.is_none() && line.counted.starts_with("not counted"), "{line:?}");
    }
    assert!(cost.lines.iter().all(|line| line.price != "http_api_request"));
    let sum: u64 = cost.lines.iter().filter_map(|line| line.micro_usd).sum();
    assert!((sum..sum + 10).contains(&cost.micro_usd), "{cost:?}");
}

#[tokio::test]
async fn an_http_apis_requests_are_counted_by_its_id() {
    let http = json!([{ "Name": "ApiId", "Value": "a1b2c3d4e5" }]);
    let found = cost(&Account { alarm: Some(http), ..account() }).await.unwrap();
    let requests = line(&found, "http_api_request");
    assert_eq!((requests.milli_units, requests.micro_usd), (Some(400_000), Some(400)));
    assert_eq!(requests.design_micro_usd_a_million, 1_000_000, "and the design's is that of an HTTP API");
    // What the REST API before it counted in that time was paid as well.
    assert_eq!(line(&found, "rest_request").micro_usd, Some(3_500));
    assert_eq!(line(&found, "rest_request").design_micro_usd_a_million, 0);

    let rest = json!([{ "Name": "ApiName", "Value": "tollgate-dev" }, { "Name": "Stage", "Value": "v1" }]);
    let found = cost(&Account { alarm: Some(rest), ..account() }).await.unwrap();
    assert_eq!(line(&found, "rest_request").design_micro_usd_a_million, 3_500_000);
}

/// A sum of a part is no sum.
#[tokio::test]
async fn what_cannot_be_counted_is_an_error() {
    for operation in ["GetMetricData", "DescribeAlarms", "ListMetrics"] {
        let problem = cost(&Account { refused: Some(operation), ..account() }).await.unwrap_err();
        assert!(format!("{problem:#}").contains("AccessDenied"), "{operation}: {problem:#}");
    }
}
