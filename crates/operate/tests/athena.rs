//! A query of Athena, by a server that answers as AWS documents ("StartQueryExecution", "GetQueryExecution", "GetQueryResults", API
//! reference): states one after the other, pages, null as a datum without a value, failures.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests only")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Value, json};
use tollgate_operate::{
    aws::{Aws, Place},
    search::athena::Athena,
};
use tollgate_testkit::aws::Server;

const SQL: &str = "SELECT a, b FROM archive";
const ID: &str = "0f2a3c4d-1111-2222-3333-444455556666";

async fn aws(server: &Server) -> Aws {
    let place =
        Place { suffix: Some("a-b".to_owned()), endpoint_url: Some(server.url()), ..Place::default() };
    place.connect().await.unwrap()
}

/// Only what is asked as AWS wants it gets an id.
fn started(body: &Value) -> Value {
    let token = body["ClientRequestToken"].as_str().unwrap_or_default();
    let wanted = json!({
        "QueryString": SQL, "QueryExecutionContext": { "Database": "tollgate_a_b" },
        "WorkGroup": "tollgate-archive-a-b", "ClientRequestToken": token,
    });
    if body == &wanted && (32..=128).contains(&token.len()) {
        json!({ "QueryExecutionId": ID })
    } else {
        json!({ "__type": "InvalidRequestException", "message": format!("not as AWS wants it: {body}") })
    }
}

fn in_state(state: &str, scanned: u64) -> Value {
    let status =
        json!({ "State": state, "StateChangeReason": "as the test says", "SubmissionDateTime": 1.7e9 });
    json!({ "QueryExecution": {
        "QueryExecutionId": ID, "Status": status, "Statistics": { "DataScannedInBytes": scanned } } })
}

fn page(rows: &[[Option<&str>; 2]], next: Option<&str>) -> Value {
    let datum = |text: &Option<&str>| text.map_or_else(|| json!({}), |text| json!({ "VarCharValue": text }));
    let rows: Vec<Value> =
        rows.iter().map(|row| json!({ "Data": row.iter().map(datum).collect::<Vec<_>>() })).collect();
    let columns = json!([{ "Name": "a", "Type": "varchar" }, { "Name": "b", "Type": "varchar" }]);
    let mut page = json!({ "ResultSet": { "Rows": rows, "ResultSetMetadata": { "ColumnInfo": columns } } });
    if let Some(next) = next {
        page["NextToken"] = json!(next);
    }
    page
}

fn refused(what: &str) -> Value {
    json!({ "__type": "InvalidRequestException", "message": what })
}

#[tokio::test]
async fn a_query_is_waited_for_and_read_page_by_page() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Server::start(move |operation, body| match operation {
        "StartQueryExecution" => started(body),
        "GetQueryExecution" if body["QueryExecutionId"] == ID => {
            in_state(["QUEUED", "RUNNING", "SUCCEEDED"][count.fetch_add(1, SeqCst).min(2)], 12_345)
        }
        "GetQueryResults" => match body.get("NextToken").and_then(Value::as_str) {
            None => page(&[[Some("a"), Some("b")], [Some("1"), None], [Some(""), Some("2")]], Some("more")),
            Some("more") => page(&[[Some("3"), Some("a")]], None),
            Some(_) => refused("a token that nobody gave"),
        },
        _ => refused("not to be called"),
    });
    let athena = Athena::of(&aws(&server).await);
    let query = athena.start(SQL, "now").await.unwrap();
    let rows = athena.rows(&query, 100).await.unwrap();
    let read: Vec<Value> = rows.rows.into_iter().map(Value::from).collect();
    let wanted =
        [json!({ "a": "1", "b": null }), json!({ "a": "", "b": "2" }), json!({ "a": "3", "b": "a" })];
    assert_eq!((read.as_slice(), rows.scanned), (wanted.as_slice(), 12_345));
    assert_eq!(asked.load(SeqCst), 3, "it is asked for until it has ended, and no more");
    assert_eq!(athena.rows(&query, 1).await.unwrap().rows.len(), 1, "no more than were asked for");
}

#[tokio::test]
async fn a_query_that_fails_says_why() {
    for state in ["FAILED", "CANCELLED", "UNKNOWN"] {
        let server = Server::start(move |operation, body| match operation {
            "StartQueryExecution" => started(body),
            "GetQueryExecution" => in_state(state, 0),
            _ => page(&[[Some("a"), Some("b")], [Some("1"), None]], None),
        });
        let athena = Athena::of(&aws(&server).await);
        let query = athena.start(SQL, "now").await.unwrap();
        let problem = format!("{:#}", athena.rows(&query, 100).await.unwrap_err());
        let said = if state == "UNKNOWN" { "not known here" } else { "as the test says" };
        assert!(problem.contains(said), "{state}: {problem}");
    }
    let server = Server::start(|_, _| refused("no such table"));
    let athena = Athena::of(&aws(&server).await);
    let problem = format!("{:#}", athena.start(SQL, "now").await.unwrap_err());
    assert!(problem.contains("InvalidRequestException: no such table"), "{problem}");
}
