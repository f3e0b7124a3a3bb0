//! Keys and documents that are read as they were, as AWS's own clients read them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::json;
use tollgate_testkit::aws::Server;

use crate::support::{Faults, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_the_one_before_its_rotation() {
    let rotated = Arc::new(AtomicUsize::new(1));
    let version = Arc::clone(&rotated);
    let aws = Server::start(move |operation, request| {
        assert_eq!(operation, "GetSecretValue");
        let name = request["SecretId"].as_str().unwrap();
        json!({"Name": name, "SecretString": format!("{name} {}", version.load(SeqCst))})
    });
    let faults = Faults::before("stale-key", &aws.url(), "http://127.0.0.1:1");
    let client = aws_sdk_secretsmanager::Client::new(&faults.config().await);
    let read = async |name: &str| {
        let answer = client.get_secret_value().secret_id(name).version_stage("AWSCURRENT").send().await;
        answer.unwrap().secret_string.unwrap()
    };
    faults.rule("stale", &json!({}));
    assert_eq!([read("a").await, read("b").await], ["a 1", "b 1"], "there is no older one");
    rotated.store(2, SeqCst);
    faults.ask("DELETE", "/rules", &serde_json::Value::Null);
    assert_eq!(read("a").await, "a 2");
    faults.rule("stale", &json!({"limit": 1}));
    assert_eq!([read("a").await, read("a").await], ["a 1", "a 2"]);
    assert_eq!(faults.log().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_the_one_before_its_last_change() {
    let changes = Arc::new(AtomicUsize::new(1));
    let version = Arc::clone(&changes);
    let (aws, _) = server(move |_| {
        let version = version.load(SeqCst);
        (200, vec![("ETag", format!("\"v{version}\""))], format!("document {version}").into_bytes())
    });
    let faults = Faults::before("stale-object", &aws, "http://127.0.0.1:1");
    let config = faults.config().await;
    let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let read = async |known: Option<&str>| {
        let get = client.get_object().bucket("b").key("endpoints.json");
        get.set_if_none_match(known.map(str::to_owned)).send().await
    };
    read(None).await.unwrap();
    changes.store(2, SeqCst);
    let fresh = read(None).await.unwrap();
    assert_eq!(fresh.e_tag(), Some("\"v2\""));
    faults.rule("stale", &json!({"operation": "GetObject", "contains": "endpoints.json"}));
    let stale = read(Some("\"v2\"")).await.unwrap();
    assert_eq!(stale.e_tag(), Some("\"v1\""));
    assert_eq!(&stale.body.collect().await.unwrap().to_vec()[..], b"document 1");
    let unchanged = read(Some("\"v1\"")).await.unwrap_err();
    assert_eq!(unchanged.raw_response().unwrap().status().as_u16(), 304);
}
