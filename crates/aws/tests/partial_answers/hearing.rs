//! What endpoints heard, of a CloudWatch that answers as its API reference says: by pages, in part, with an error inside.

use super::*;
use tollgate_aws::hearing::CloudWatchHearing;
use tollgate_pipeline::ports::Hearing;

const HOUR: i64 = 3_600;
/// A full hour.
const FROM: i64 = 1_767_355_200;

fn ids(count: usize) -> Vec<EndpointId> {
    (0..count).map(|number| EndpointId::new(format!("e{number}")).unwrap()).collect()
}

async fn heard(server: &Server, endpoints: usize, hours: usize) -> PortResult<Vec<Vec<u64>>> {
    let hearing = CloudWatchHearing::new(config(server).await, "https://nowhere.invalid", "dev");
    hearing.heard(&ids(endpoints), Timestamp::from_second(FROM).unwrap(), hours).await
}

/// A query's endpoint and outcome.
fn asked_for(query: &Value) -> (String, String) {
    let dimensions = query["MetricStat"]["Metric"]["Dimensions"].as_array().unwrap();
    let of = |name: &str| {
        let one = dimensions.iter().find(|one| one["Name"] == name).unwrap();
        one["Value"].as_str().unwrap().to_owned()
    };
    (of("endpoint"), of("outcome"))
}

fn series(id: &Value, status: &str, points: &[(i64, f64)]) -> Value {
    json!({
        "Id": id, "Label": "webhooks", "StatusCode": status,
        "Timestamps": points.iter().map(|(hour, _)| FROM + hour * HOUR).collect::<Vec<_>>(),
        "Values": points.iter().map(|(_, value)| value).collect::<Vec<_>>(),
    })
}

/// All queries of a request, each with the same points.
fn all(request: &Value, status: &str, points: &[(i64, f64)]) -> Vec<Value> {
    let queries = request["MetricDataQueries"].as_array().unwrap();
    queries.iter().map(|query| series(&query["Id"], status, points)).collect()
}

#[tokio::test]
async fn each_endpoint_is_asked_for_by_the_metric_that_the_validator_writes() {
    let requests: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&requests);
    let server = Server::start(move |operation, request| {
        assert_eq!(operation, "GetMetricData");
        seen.lock().unwrap().push(request.clone());
        let queries = request["MetricDataQueries"].as_array().unwrap();
        let results: Vec<Value> = queries
            .iter()
            .map(|query| match asked_for(query) {
                (endpoint, outcome) if endpoint == "e0" && outcome == "accepted" => {
                    series(&query["Id"], "Complete", &[(0, 2.0), (3, 5.0)])
                }
                (endpoint, outcome) if endpoint == "e1" && outcome == "duplicate" => {
                    series(&query["Id"], "Complete", &[(3, 1.0)])
                }
                (endpoint, _) if endpoint == "e2" => series(&query["Id"], "Complete", &[(1, 1.0)]),
                _ => series(&query["Id"], "Complete", &[]),
            })
            .collect();
        json!({"MetricDataResults": results, "Messages": []})
    });
    let counts = heard(&server, 4, 4).await.unwrap();
    assert_eq!(counts, [[2, 0, 0, 5], [0, 0, 0, 1], [0, 2, 0, 0], [0, 0, 0, 0]]);
    let requests = requests.lock().unwrap();
    let [request] = requests.as_slice() else { panic!("one call: {requests:?}") };
    assert_eq!((&request["StartTime"], &request["EndTime"]), (&json!(FROM), &json!(FROM + 4 * HOUR)));
    let first = &request["MetricDataQueries"][0];
    assert!(first["Id"].as_str().unwrap().starts_with(|c: char| c.is_ascii_lowercase()), "{first}");
    assert_eq!(
        first["MetricStat"],
        json!({"Stat": "Sum", "Period": 3_600, "Metric": {
            "Namespace": "Tollgate", "MetricName": "webhooks", "Dimensions": [
                {"Name": "environment", "Value": "dev"}, {"Name": "function", "Value": "validator"},
                {"Name": "endpoint", "Value": "e0"}, {"Name": "outcome", "Value": "accepted"},
                {"Name": "reason", "Value": "none"},
            ],
        }})
    );
}

/// GetMetricData takes 500 queries a call and gives 100,800 points a page.
#[tokio::test]
async fn no_call_asks_for_more_than_cloudwatch_gives() {
    let points: Arc<Mutex<Vec<usize>>> = Arc::default();
    for (endpoints, hours, calls) in [(600, 1, 3), (60, 2_016, 3), (1, 2_016, 1), (0, 2_016, 0)] {
        let seen = Arc::clone(&points);
        let server = Server::start(move |_, request| {
            let queries = request["MetricDataQueries"].as_array().unwrap().len();
            assert!(queries <= 500 && queries * hours <= 100_800, "{queries}");
            assert!(request["MaxDatapoints"].as_u64().unwrap() <= 100_800);
            seen.lock().unwrap().push(queries);
            json!({"MetricDataResults": all(request, "Complete", &[(0, 1.0)])})
        });
        let counts = heard(&server, endpoints, hours).await.unwrap();
        assert_eq!(counts.len(), endpoints);
        assert!(counts.iter().all(|counts| counts[0] == 2 && counts.len() == hours), "{endpoints}");
        let asked = std::mem::take(&mut *points.lock().unwrap());
        assert_eq!((asked.len(), asked.iter().sum::<usize>()), (calls, 2 * endpoints));
    }
}

#[tokio::test]
async fn an_answer_of_several_pages_is_read_whole() {
    let server = Server::start(|_, request| match request["NextToken"].as_str() {
        None => json!({
            "MetricDataResults": [series(&json!("q0"), "PartialData", &[(0, 1.0)])], "NextToken": "second",
        }),
        Some("second") => json!({
            "MetricDataResults": [
                series(&json!("q0"), "Complete", &[(1, 10.0)]),
                series(&json!("q1"), "PartialData", &[]),
            ],
            "NextToken": "third",
        }),
        Some(_) => json!({"MetricDataResults": [series(&json!("q1"), "Complete", &[(2, 100.0)])]}),
    });
    assert_eq!(heard(&server, 1, 4).await.unwrap(), [[1, 10, 100, 0]]);
}

/// Each of these would read as silence, or as what was never heard.
#[tokio::test]
async fn an_answer_that_is_not_whole_is_a_failure() {
    let good = || series(&json!("q1"), "Complete", &[(0, 1.0)]);
    let unaligned = json!({"Id": "q0", "StatusCode": "Complete", "Timestamps": [FROM + 60], "Values": [1]});
    let uneven = json!({"Id": "q0", "StatusCode": "Complete", "Timestamps": [FROM], "Values": []});
    let q0 = |status: &str, points: &[(i64, f64)]| json!({"MetricDataResults": [series(&json!("q0"), status, points), good()]});
    let cases = [
        ("a metric is missing", json!({"MetricDataResults": [good()]}), "PartialData"),
        ("no metric", json!({"MetricDataResults": []}), "PartialData"),
        ("one is cut off, and there is no other page", q0("PartialData", &[(0, 1.0)]), "PartialData"),
        ("one failed", q0("InternalError", &[]), "InternalError"),
        ("one is forbidden", q0("Forbidden", &[]), "Forbidden"),
        ("a status of tomorrow", q0("Sampled", &[]), "unknown status"),
        (
            "a message about all of them",
            json!({"MetricDataResults": [series(&json!("q0"), "Complete", &[]), good()],
                "Messages": [{"Code": "MaxMetricsExceeded", "Value": "Maximum number of allowed metrics exceeded"}]}),
            "answered in part, with a message",
        ),
        (
            "another id",
            json!({"MetricDataResults": [series(&json!("q2"), "Complete", &[]), good()]}),
            "nobody asked for this id",
        ),
        ("an hour before", q0("Complete", &[(-1, 1.0)]), "a point of no period that was asked for"),
        ("an hour after", q0("Complete", &[(4, 1.0)]), "a point of no period that was asked for"),
        ("half a webhook", q0("Complete", &[(0, 0.5)]), "a point that is no count"),
        ("less than none", q0("Complete", &[(0, -1.0)]), "a point that is no count"),
        (
            "no full hour",
            json!({"MetricDataResults": [unaligned, good()]}),
            "a point of no period that was asked for",
        ),
        (
            "an hour twice",
            json!({"MetricDataResults": [series(&json!("q0"), "Complete", &[(0, 1.0), (0, 1.0)]), good()]}),
            "two points of one period",
        ),
        ("a value is missing", json!({"MetricDataResults": [uneven, good()]}), "not as many times as values"),
        (
            "pages without an end",
            json!({"MetricDataResults": [], "NextToken": "again"}),
            "pages without an end",
        ),
        ("no page", json!({}), "unreadable response"),
        (
            "throttled",
            json!({"__type": "com.amazonaws.cloudwatch#ThrottlingException", "message": "Rate exceeded"}),
            "ThrottlingException",
        ),
        ("refused", json!({"__type": "AccessDeniedException"}), "AccessDeniedException"),
    ];
    for (what, answer, detail) in cases {
        let server = Server::start(move |_, _| answer.clone());
        let problem = heard(&server, 1, 4).await.unwrap_err();
        let (PortError::Retryable { detail: found, .. } | PortError::Permanent { detail: found, .. }) =
            problem;
        assert_eq!(found, detail, "{what}");
    }
}

/// With the retries that every client has.
#[tokio::test]
async fn a_throttled_call_is_made_again() {
    let mut calls = 0;
    let server = Server::start(move |_, request| {
        calls += 1;
        if calls == 1 {
            return json!({"__type": "ThrottlingException"});
        }
        json!({"MetricDataResults": all(request, "Complete", &[(0, 1.0)])})
    });
    let config = config(&server).await.into_builder().retry_config(RetryConfig::standard()).build();
    let hearing = CloudWatchHearing::new(config, "https://nowhere.invalid", "dev");
    let from = Timestamp::from_second(FROM).unwrap();
    assert_eq!(hearing.heard(&ids(1), from, 1).await.unwrap(), [[2]]);
}
