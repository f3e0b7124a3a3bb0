//! The running platform, as the tests of this crate see it.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::{config::Credentials, types::AttributeValue};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, value::RawValue};
use tollgate_aws::{
    effects::DynamoEffects, endpoints::S3Endpoints, ledger::DynamoLedger, secrets::AwsSecrets,
    transactions::DynamoTransactions,
};
use tollgate_core::{EndpointConfig, LedgerKey, PaymentEvent, Timestamp};
use tollgate_lambda::clock;
use tollgate_pipeline::{
    endpoints::change,
    fraud::read_event,
    ports::{EndpointSource, Known, Ledger, LedgerState, Secrets},
};
use tollgate_providers::{Headers, SignedWebhook};
use tollgate_testkit::{aws::Strict, provider_objects::Apis, schema, webhook::Sender};

/// From a webhook's answer to the last of its traces, on a busy machine.
const BOUND: Duration = Duration::from_secs(90);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(150);
/// What the keys of archived webhooks begin with.
const ARCHIVED: &str = "webhooks/";

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// By name, in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub text: String,
    /// Its JSON; null where it is none.
    pub body: Value,
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A message in a queue, looked at without receiving it.
#[derive(Debug, Clone)]
pub struct Peeked {
    /// The message body.
    pub body: String,
    /// The message attributes, as the peer shows them.
    pub attributes: Value,
}

/// The platform and this test's own name in it.
pub struct Platform {
    file: Value,
    config: SdkConfig,
    http: Client<HttpConnector, Full<Bytes>>,
    unique: String,
    since: Timestamp,
    strict: Option<Strict>,
    home: PathBuf,
    /// Held while the test runs: only one test stops processes, and then no other runs.
    _lock: File,
}

impl Platform {
    /// The platform that `make test` has started.
    pub async fn open() -> Self {
        Self::locked(|file| file.lock_shared()).await
    }

    /// The same, with no other test at the same time.
    pub async fn alone() -> Self {
        Self::locked(File::lock).await
    }

    #[allow(clippy::disallowed_methods, reason = "the tests' one setting; without it they cannot run")]
    async fn locked(lock: impl FnOnce(&File) -> std::io::Result<()>) -> Self {
        let path = std::env::var_os("TOLLGATE_PLATFORM").expect(
            "no platform: these tests run against the local platform, which `make test` starts \
             (or `scripts/local/platform run -- cargo test -p tollgate-e2e`)",
        );
        Self::at(Path::new(&path), lock).await
    }

    async fn at(path: &Path, lock: impl FnOnce(&File) -> std::io::Result<()>) -> Self {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let text = std::fs::read(path)
            .expect("TOLLGATE_PLATFORM names the platform.json of `scripts/local/platform up`");
        let file: Value = serde_json::from_slice(&text).expect("platform.json is JSON");
        let held = File::create(path.with_file_name("tests.lock")).unwrap();
        lock(&held).unwrap();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(file["region"].as_str().unwrap().to_owned()))
            .credentials_provider(Credentials::new("test", "test", None, None, "local"))
            .endpoint_url(file["aws_endpoint"].as_str().unwrap())
            .load()
            .await;
        let since = clock::now();
        let unique =
            format!("{:x}{:x}{}", since.as_microsecond(), std::process::id(), TESTS.fetch_add(1, SeqCst));
        let http = Client::builder(TokioExecutor::new()).build_http();
        let home = path.parent().unwrap().to_owned();
        Self { file, config, http, unique, since, strict: None, home, _lock: held }
    }

    /// Another platform on this machine, with the same endpoints and keys, until it is dropped. It starts in half a minute.
    pub async fn second(&self) -> Second {
        let suffix = format!("{}-b", self.suffix().get(..18).unwrap_or(self.suffix()));
        let script = root().join("scripts/local/platform");
        let mut up = Command::new(&script);
        up.current_dir(root());
        up.args([
            "up",
            "--no-build",
            "--suffix",
            &suffix,
            "--copies",
            "validator=1",
            "--copies",
            "processor=1",
        ]);
        let done = up.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let path = root().join(".local/run").join(&suffix).join("platform.json");
        let stopping = Stopping { script, suffix };
        let other = Self::at(&path, |_| Ok(()));
        let platform = Self { unique: self.unique.clone(), ..other.await };
        let listing = platform.endpoints().endpoints(None).await.unwrap().unwrap();
        for endpoint in listing.endpoints.into_iter().flatten() {
            let own = endpoint.secret.strip_prefix("secretsmanager:").unwrap().to_owned();
            let theirs = own.replace(platform.suffix(), self.suffix());
            let key = aws_sdk_secretsmanager::Client::new(&self.config).get_secret_value().secret_id(theirs);
            let key = key.send().await.unwrap().secret_string.unwrap();
            let put = aws_sdk_secretsmanager::Client::new(&platform.config).put_secret_value();
            put.secret_id(own).secret_string(key).send().await.unwrap();
        }
        Second { platform, path, _stopping: stopping }
    }

    /// The same, where the AWS peer is as strict as AWS: it refuses what AWS refuses, and answers batch calls in part.
    /// Not for S3.
    pub fn strict(mut self) -> Self {
        let strict = Strict::before(self.file["aws_endpoint"].as_str().unwrap(), 1);
        self.config = self.config.into_builder().endpoint_url(strict.url()).build();
        self.strict = Some(strict);
        self
    }

    /// A unique name that ends in `name`.
    pub fn unique(&self, name: &str) -> String {
        format!("it{}{name}", self.unique)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        clock::now()
    }

    /// The AWS SDK's configuration for the peer.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// One of the stack's outputs.
    pub fn output(&self, name: &str) -> &str {
        self.file["outputs"][name].as_str().unwrap_or_else(|| panic!("the stack has no output {name}"))
    }

    /// A setting of platform.json that is a text (`aws_endpoint`, `runner_url`, …).
    pub fn setting(&self, name: &str) -> &str {
        self.file[name].as_str().unwrap_or_else(|| panic!("platform.json has no {name}"))
    }

    /// The name of a deployed function (`validator`, …).
    pub fn function(&self, name: &str) -> &str {
        self.file["functions"][name]
            .as_str()
            .unwrap_or_else(|| panic!("platform.json has no function {name}"))
    }

    /// What the functions have written to their logs so far.
    pub fn logs(&self) -> String {
        let files = std::fs::read_dir(self.setting("log_dir")).unwrap();
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        files.map(|file| read(file.unwrap().path())).collect()
    }

    /// The environment's suffix.
    pub fn suffix(&self) -> &str {
        self.setting("suffix")
    }

    /// The ledger table.
    pub fn ledger(&self) -> DynamoLedger {
        DynamoLedger::new(aws_sdk_dynamodb::Client::new(&self.config), self.output("LedgerTable"))
    }

    /// The claims of effects, in the ledger's table.
    pub fn effects(&self) -> DynamoEffects {
        DynamoEffects::new(aws_sdk_dynamodb::Client::new(&self.config), self.output("LedgerTable"))
    }

    /// The transaction table.
    pub fn transactions(&self) -> DynamoTransactions {
        DynamoTransactions::new(aws_sdk_dynamodb::Client::new(&self.config), self.output("TransactionsTable"))
    }

    /// The providers' APIs as the processor asks them here: this test's alone, as long as it holds them. They take one key.
    pub fn provider_apis(&self, key: &str) -> ProviderApis {
        let lock = File::create(self.home.join("provider-apis.lock")).unwrap();
        lock.lock().unwrap();
        let address = self.setting("provider_apis_url").strip_prefix("http://").unwrap();
        ProviderApis { apis: Apis::at(address, key), _lock: lock }
    }

    /// A client of SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    /// A client of S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        tollgate_aws::s3_client(&self.config)
    }

    /// The stores of keys.
    pub fn secrets(&self) -> AwsSecrets {
        let manager = aws_sdk_secretsmanager::Client::new(&self.config);
        AwsSecrets::new(manager, aws_sdk_ssm::Client::new(&self.config))
    }

    /// The endpoints' document.
    pub fn endpoints(&self) -> S3Endpoints {
        S3Endpoints::new(self.config.clone(), self.output("EndpointsBucket"), self.suffix())
    }

    /// The provider behind a deployed endpoint, with its real key.
    pub async fn sender(&self, endpoint: &str) -> Sender {
        let listing = self.endpoints().endpoints(None).await.unwrap().unwrap();
        let config = listing.endpoints.into_iter().flatten().find(|one| one.id.as_str() == endpoint);
        let config =
            config.unwrap_or_else(|| panic!("{endpoint} is not deployed: infra/endpoints/demo.toml"));
        let keys = self.secrets().keys(&config.secret).await.unwrap();
        Sender::with_keys(config, keys)
    }

    /// Deploys an endpoint; the functions learn of it when they next read the configuration.
    pub async fn put_endpoint(&self, config: &EndpointConfig) {
        change(&self.endpoints(), |document| document.put(config)).await.unwrap();
    }

    /// Sends a webhook through the API, once. `None` is the generic path.
    pub async fn send(&self, endpoint: Option<&str>, webhook: &SignedWebhook) -> Answer {
        let path = endpoint.map(|name| format!("/{name}")).unwrap_or_default();
        let query = if webhook.query.is_empty() { String::new() } else { format!("?{}", webhook.query) };
        let url = format!("{}/webhook{path}{query}", self.setting("api_url"));
        self.http("POST", &url, &webhook.headers, webhook.body.clone()).await
    }

    /// Hands an event to the real binary of a function (`validator`, …), past every front door.
    pub async fn invoke(&self, function: &str, event: &Value) -> Value {
        self.invoke_named(self.function(function), event).await
    }

    /// The same for a function of the runner by its own name.
    pub async fn invoke_named(&self, name: &str, event: &Value) -> Value {
        let url = format!("{}/functions/{name}/invocations", self.setting("runner_url"));
        self.http("POST", &url, &Headers::new(), event.to_string().into_bytes()).await.body
    }

    /// Kills one copy of a function, a busy one if there is any. False where none is alive at the moment.
    pub async fn kill(&self, function: &str) -> bool {
        let url = format!("{}/functions/{}/kill", self.setting("runner_url"), self.function(function));
        self.http("POST", &url, &Headers::new(), Vec::new()).await.is_success()
    }

    /// Sends an HTTP request.
    pub async fn http(&self, method: &str, url: &str, headers: &Headers, body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers.iter() {
            request = request.header(name, value);
        }
        let answer = self.http.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned(), body }
    }

    /// Everything in a queue, by the output that holds its URL. Payment events of this test are checked against their
    /// schema, whichever queue they are in: queues are read nowhere else.
    pub async fn peek(&self, queue: &str) -> Vec<Peeked> {
        let endpoint = self.setting("aws_endpoint");
        let url = format!("{endpoint}/_ministack/sqs/messages?QueueUrl={}", self.output(queue));
        let answer = self.http("GET", &url, &Headers::new(), Vec::new()).await;
        let regions = answer.body["messages"].as_object().unwrap().values().filter_map(Value::as_object);
        let queues = regions.flat_map(|regions| regions.values()).filter_map(Value::as_object);
        let messages = queues.flat_map(|queues| queues.values()).filter_map(Value::as_array).flatten();
        let messages: Vec<Peeked> = messages
            .map(|message| Peeked {
                body: message["Body"].as_str().unwrap_or_default().to_owned(),
                attributes: message["MessageAttributes"].clone(),
            })
            .collect();
        for message in messages.iter().filter(|message| message.body.contains(&self.unique)) {
            if let Some(event) = published_event(&message.body) {
                schema::check(&event);
            }
        }
        messages
    }

    /// The events of this test that a rule has sent to a queue.
    pub async fn routed(&self, queue: &str) -> Vec<PaymentEvent<'static>> {
        let messages = self.peek(queue).await;
        let mine = messages.iter().filter(|message| message.body.contains(&self.unique));
        mine.map(|message| {
            let event =
                published_event(&message.body).unwrap_or_else(|| panic!("no event: {}", message.body));
            read_event(&event).unwrap_or_else(|problem| panic!("{problem}: {event}"))
        })
        .collect()
    }

    /// What people were told, of whichever test's events.
    pub async fn alerts(&self) -> Vec<Value> {
        let messages = self.peek("AlertsTapQueueUrl").await;
        let told = messages.iter().map(|message| {
            let notification: Value = serde_json::from_str(&message.body).unwrap();
            serde_json::from_str(notification["Message"].as_str().unwrap()).unwrap()
        });
        told.collect()
    }

    /// The items of a transaction's history: its events, and the decisions on them. Not what its latest state is.
    pub async fn history(&self, endpoint: &str, transaction: &str) -> Vec<HashMap<String, AttributeValue>> {
        let items = aws_sdk_dynamodb::Client::new(&self.config)
            .query()
            .table_name(self.output("TransactionsTable"))
            .consistent_read(true)
            .key_condition_expression("transaction_id = :t")
            .expression_attribute_values(":t", AttributeValue::S(format!("{endpoint}#{transaction}")))
            .send()
            .await
            .unwrap();
        let items = items.items.unwrap_or_default();
        items.into_iter().filter(|item| item["sort_key"].as_s().unwrap() != "latest").collect()
    }

    /// The events of a transaction's history, in its order.
    pub async fn recorded(&self, endpoint: &str, transaction: &str) -> Vec<PaymentEvent<'static>> {
        let items = self.history(endpoint, transaction).await;
        let events = items.iter().filter_map(|item| item.get("event"));
        events.map(|event| serde_json::from_str(event.as_s().unwrap()).unwrap()).collect()
    }

    /// Waits until the ledger knows the events as processed.
    pub async fn until_processed(&self, keys: &[LedgerKey]) {
        self.until("events are processed", async || {
            let states = self.ledger().known(keys, self.now()).await;
            states
                .iter()
                .all(|known| matches!(known, Ok(Some(Known { state: LedgerState::Processed, .. }))))
                .then_some(())
        })
        .await;
    }

    /// The archive's rows of these deliveries, by webhook id, as DuckDB reads them.
    pub async fn archived(&self, webhook_ids: &[String]) -> BTreeMap<String, Value> {
        let folder = tempfile::tempdir().unwrap();
        let mut known = BTreeSet::new();
        self.until("webhooks are archived", async || {
            if !self.download(folder.path(), &mut known).await {
                return None;
            }
            let rows = read_archive(folder.path());
            let mine: BTreeMap<String, Value> = rows
                .into_iter()
                .map(|row| (row["webhook_id"].as_str().unwrap().to_owned(), row))
                .filter(|(id, _)| webhook_ids.contains(id))
                .collect();
            (mine.len() == webhook_ids.len()).then_some(mine)
        })
        .await
    }

    /// Waits until each of these provider event ids is in the archive, by whichever delivery brought it.
    pub async fn until_archived_events(&self, bound: Duration, event_ids: &[String]) {
        let folder = tempfile::tempdir().unwrap();
        let mut known = BTreeSet::new();
        self.until_within(bound, "events are archived", async || {
            if !self.download(folder.path(), &mut known).await {
                return None;
            }
            let rows = read_archive(folder.path());
            let events = rows.iter().filter_map(|row| row["events"].as_array()).flatten();
            let archived: BTreeSet<&str> =
                events.filter_map(|event| event["provider_event_id"].as_str()).collect();
            event_ids.iter().all(|id| archived.contains(id.as_str())).then_some(())
        })
        .await;
    }

    /// Fetches what was written since this test began; whether anything new was.
    async fn download(&self, folder: &Path, known: &mut BTreeSet<String>) -> bool {
        let (s3, bucket) = (self.s3(), self.output("AuditBucket"));
        let mut pages = s3.list_objects_v2().bucket(bucket).prefix(ARCHIVED).into_paginator().send();
        let mut is_new = false;
        while let Some(page) = pages.next().await {
            for object in page.unwrap().contents() {
                let key = object.key().unwrap().to_owned();
                let written = object.last_modified().map_or(i64::MAX, |at| at.secs());
                if written < self.since.as_second() - 1
                    || !key.ends_with(".parquet")
                    || !known.insert(key.clone())
                {
                    continue;
                }
                let object = s3.get_object().bucket(bucket).key(&key).send().await.unwrap();
                let bytes = object.body.collect().await.unwrap().to_vec();
                let path = folder.join(&key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
                is_new = true;
            }
        }
        is_new
    }

    /// Looks until there is an answer, within a bound.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
        self.until_within(BOUND, what, look).await
    }

    /// Likewise, within `bound`.
    pub async fn until_within<T>(
        &self,
        bound: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let wait = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(bound, wait).await {
            Ok(found) => found,
            Err(_) => panic!("after {} s still waiting until {what}", bound.as_secs()),
        }
    }
}

/// The providers' APIs, for one test.
pub struct ProviderApis {
    apis: Apis,
    _lock: File,
}

impl std::ops::Deref for ProviderApis {
    type Target = Apis;

    fn deref(&self) -> &Apis {
        &self.apis
    }
}

/// A second platform.
pub struct Second {
    platform: Platform,
    path: PathBuf,
    _stopping: Stopping,
}

impl Second {
    /// Its platform file.
    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

impl std::ops::Deref for Second {
    type Target = Platform;

    fn deref(&self) -> &Platform {
        &self.platform
    }
}

/// Stops a platform when it is dropped.
struct Stopping {
    script: PathBuf,
    suffix: String,
}

impl Drop for Stopping {
    fn drop(&mut self) {
        let down =
            Command::new(&self.script).args(["down", "--suffix", &self.suffix]).current_dir(root()).output();
        assert!(
            down.is_ok_and(|done| done.status.success()) || std::thread::panicking(),
            "{} stays up",
            self.suffix
        );
    }
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The payment event in a message that the bus sent: bare, or in the bus's envelope.
fn published_event(body: &str) -> Option<String> {
    // Parts are kept as text, so that amounts of any length stay exact.
    let mut object: BTreeMap<String, &RawValue> = serde_json::from_str(body).ok()?;
    if let Some(detail) = object.get("detail") {
        return Some(detail.get().to_owned());
    }
    if !object.get("schema")?.get().starts_with("\"tollgate.payment-event/") {
        return None;
    }
    // The workflow's dead letter is the event with the error beside its fields.
    match object.remove("workflow_error") {
        Some(_) => serde_json::to_string(&object).ok(),
        None => Some(body.to_owned()),
    }
}

fn read_archive(folder: &Path) -> Vec<Value> {
    let output = Command::new(root().join("scripts/operate/read-archive")).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_event_is_found_in_whatever_the_bus_sends() {
    let event =
        r#"{"amount":{"minor_units":123456789012345678901234567},"schema":"tollgate.payment-event/1"}"#;
    let dead_letter = event.replace("{\"amount\"", "{\"workflow_error\":{},\"amount\"");
    let envelope = format!(r#"{{"source":"tollgate","detail":{event}}}"#);
    let notify = |text: &str| serde_json::json!({ "Type": "Notification", "Message": text }).to_string();
    for body in [event, &envelope, &dead_letter] {
        assert_eq!(published_event(body).as_deref(), Some(event), "{body}");
    }
    for body in ["", "text", "[]", "{}", r#"{"schema":"other/1"}"#, &notify("an alarm"), &notify(event)] {
        assert_eq!(published_event(body), None, "{body}");
    }
}
