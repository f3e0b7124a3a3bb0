//! Without a rule nothing is seen of the proxy.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use tollgate_testkit::aws::Server;

use crate::support::{Faults, http, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_its_answer_pass_unchanged() {
    let aws = Server::start(|operation, request| {
        assert_eq!((operation, &request["TableName"]), ("GetItem", &json!("events")));
        json!({"Item": {"event_key": request["Key"]["event_key"], "n": {"N": "1"}}})
    });
    let faults = Faults::before("passes", &aws.url(), "http://127.0.0.1:1");
    let client = aws_sdk_dynamodb::Client::new(&faults.config().await);
    for key in ["a", "ü"] {
        let value = AttributeValue::S(key.to_owned());
        let item = client.get_item().table_name("events").key("event_key", value.clone()).send().await;
        assert_eq!(item.unwrap().item.unwrap()["event_key"], value);
    }
}

#[test]
fn an_objects_bytes_and_headers_pass_unchanged() {
    let (url, seen) =
        server(|_| (206, vec![("ETag", "\"e\"".into()), ("x-amz-meta-a", "ü".into())], vec![0, 255, 13]));
    let faults = Faults::before("bytes", &url, "http://127.0.0.1:1");
    let headers = [("if-none-match", "\"d\""), ("authorization", "x")];
    let answer = http(&faults.aws(), "PUT", "/bucket/a%2Fb?x-id=PutObject", &headers, &[1, 0, 2]);
    let seen = seen.lock().unwrap().clone();
    let [one] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((one.method.as_str(), one.target.as_str()), ("PUT", "/bucket/a%2Fb?x-id=PutObject"));
    assert_eq!(one.body, [1, 0, 2]);
    let header =
        |name: &str| one.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((header("if-none-match"), header("authorization")), (Some("\"d\""), Some("x")));
    let answer = answer.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (206, &[0, 255, 13][..]));
    for expected in [("etag", "\"e\""), ("x-amz-meta-a", "ü")] {
        assert!(answer.headers.contains(&(expected.0.into(), expected.1.into())), "{answer:?}");
    }
}

#[test]
fn an_invocation_reaches_the_runner_under_the_functions_name() {
    let (runner, seen) = server(|request| (200, Vec::new(), request.body.clone()));
    let faults = Faults::before("invocation", "http://127.0.0.1:1", &runner);
    let path = "/processor/functions/webhook-processor-test/invocations";
    let answer =
        http(&faults.invoke(), "POST", path, &[("x-amzn-lambda-request-id", "r")], b"{\"Records\":[]}");
    assert_eq!(answer.unwrap().body, b"{\"Records\":[]}");
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen[0].target, "/functions/webhook-processor-test/invocations");
    assert!(seen[0].headers.contains(&("x-amzn-lambda-request-id".into(), "r".into())));
    let unknown = http(&faults.invoke(), "POST", "/other/functions/x/invocations", &[], b"{}").unwrap();
    assert_eq!(unknown.status, 404);
}

#[test]
fn a_server_that_is_not_there_is_a_reset_connection() {
    let faults = Faults::before("absent", "http://127.0.0.1:1", "http://127.0.0.1:1");
    let answer = http(&faults.aws(), "GET", "/bucket", &[], b"");
    assert_eq!(answer.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn only_this_machine_may_be_behind_it() {
    let faults = Faults::before("elsewhere", "http://127.0.0.1:1", "http://127.0.0.1:1");
    for elsewhere in
        ["https://sqs.us-east-1.amazonaws.com", "http://127.0.0.1:80@example.com", "http://127.0.0.1:1/x"]
    {
        let told = faults.ask("PUT", "/upstream", &json!({"aws": elsewhere, "runner": "http://127.0.0.1:1"}));
        assert_eq!(told.status, 400, "{elsewhere}");
    }
}
