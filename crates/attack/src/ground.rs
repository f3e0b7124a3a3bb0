//! What every attack stands on: the platform, functions of the attacker's own behind a proxy that counts, and the
//! operator's tool.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
    path::PathBuf,
    process::{Command, Output, Stdio},
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tollgate_core::PaymentEvent;
use tollgate_e2e::Platform;
use tollgate_faults::{Calls, Upstream};
use tollgate_pipeline::intake::attribute;
use tollgate_providers::{Headers, SignedWebhook};

use crate::proxy::Proxy;

/// From a message that was sent to the last of its traces, on a busy machine: a forged one is received three times, half a
/// minute apart (`IntakeVisibility` in infra/params/local.json).
const BOUND: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

/// The platform as one attack sees it, with names of its own.
pub(crate) struct Ground {
    platform: Platform,
    capture: Rc<Capture>,
}

impl Deref for Ground {
    type Target = Platform;

    fn deref(&self) -> &Platform {
        &self.platform
    }
}

/// The answer of a function that was handed a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u64,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Reply {
    /// A field of its JSON body.
    pub(crate) fn field(&self, name: &str) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body[name].as_str().unwrap_or_default().to_owned()
    }
}

/// A request as a front door hands it to the validator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knock<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: String,
    pub(crate) query: &'a str,
    pub(crate) headers: Headers,
    pub(crate) body: &'a [u8],
    /// What the gateway matched, where it says so.
    pub(crate) route: Option<&'a str>,
    /// The sender's address; that of an attacker where it is empty.
    pub(crate) source_ip: &'a str,
}

impl<'a> Knock<'a> {
    /// The webhook at an endpoint.
    pub(crate) fn webhook(endpoint: &str, webhook: &'a SignedWebhook) -> Self {
        Self {
            method: "POST",
            path: format!("/webhook/{endpoint}"),
            query: &webhook.query,
            headers: webhook.headers.clone(),
            body: &webhook.body,
            ..Self::default()
        }
    }

    /// HTTP API and function URL, payload format 2.0 ("Working with Lambda proxy integrations", API Gateway guide).
    fn event(&self) -> Value {
        let source_ip = if self.source_ip.is_empty() { "203.0.113.66" } else { self.source_ip };
        let headers: Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.into())).collect();
        json!({
            "version": "2.0", "routeKey": self.route.unwrap_or("$default"), "rawPath": self.path, "rawQueryString": self.query, "headers": headers,
            "requestContext": {"http": {"method": self.method, "sourceIp": source_ip}},
            "body": STANDARD.encode(self.body), "isBase64Encoded": true,
        })
    }
}

/// A real function that the attacker started, whose calls to AWS are counted.
pub(crate) struct Function {
    pub(crate) name: String,
    proxy: Proxy,
}

impl Function {
    /// What it has asked AWS for since the last question.
    pub(crate) fn calls(&self) -> Calls {
        self.proxy.take()
    }

    /// From now on AWS takes every call again.
    pub(crate) fn stop_throttling(&self) {
        self.proxy.throttle(None);
    }
}

/// What became of a message that was put into the intake queue.
#[derive(Debug)]
pub(crate) enum Trace {
    /// Set aside, with its reason.
    SetAside(String),
    /// It made these events of the transaction.
    Recorded(Vec<PaymentEvent<'static>>),
}

/// A message of the intake queue that the attacker holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Held {
    /// With another value of an attribute.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// With `change` made in the JSON of an attribute.
    pub(crate) fn edit(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut value: Value =
            serde_json::from_str(self.attributes.get(name).expect("an attribute")).expect("JSON");
        change(&mut value);
        self.with(name, value.to_string())
    }

    /// With another body, and the receipt of that body.
    pub(crate) fn with_body(mut self, body: String) -> Self {
        let sha256 = tollgate_core::id::hex_sha256(body.as_bytes());
        self.body = body;
        self.edit(attribute::RECEIPT, |receipt| receipt["body_sha256"] = sha256.into())
    }

    pub(crate) fn webhook_id(&self) -> &str {
        self.attributes.get(attribute::WEBHOOK_ID).expect("a webhook id")
    }
}

/// A real validator whose messages go to a queue of the attacker's: it claims in the real ledger, and what it sends can
/// be changed on its way.
pub(crate) struct Capture {
    function: Function,
    queue: String,
    held: Mutex<HashMap<String, Held>>,
}

impl Capture {
    /// Starts it.
    pub(crate) async fn start() -> Rc<Self> {
        let platform = Platform::open().await;
        let name = format!("attack-capture-{}", platform.suffix());
        let queue = platform.sqs().create_queue().queue_name(&name).send().await.expect("a queue");
        let queue = queue.queue_url.expect("a queue's URL");
        let function = start(&platform, "attack-capture", &[("INTAKE_QUEUE_URL", &queue)], None).await;
        Rc::new(Self { function, queue, held: Mutex::default() })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ground {
    pub(crate) async fn new(capture: Rc<Capture>) -> Self {
        Self { platform: Platform::open().await, capture }
    }

    /// A validator of the attacker's own: the real binary, with the deployed one's settings but for `settings`.
    pub(crate) async fn validator(&self, name: &str, settings: &[(&str, &str)]) -> Function {
        start(&self.platform, name, settings, None).await
    }

    /// The same, while AWS throttles one operation from the beginning.
    pub(crate) async fn throttled_validator(&self, name: &str, operation: &str) -> Function {
        start(&self.platform, name, &[], Some(operation)).await
    }

    /// What a function of the attacker's has written to its log.
    pub(crate) fn log(&self, function: &Function) -> String {
        let path = format!("{}/{}.log", self.setting("log_dir"), function.name);
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Hands a function a request.
    pub(crate) async fn knock(&self, function: &Function, knock: &Knock<'_>) -> Reply {
        self.hand(&function.name, knock).await
    }

    /// Hands the deployed validator a request, past the front door.
    pub(crate) async fn knock_deployed(&self, knock: &Knock<'_>) -> Reply {
        self.hand(self.function("validator"), knock).await
    }

    async fn hand(&self, function: &str, knock: &Knock<'_>) -> Reply {
        let answer = self.invoke_named(function, &knock.event()).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Reply {
            status: answer["statusCode"].as_u64().unwrap_or_default(),
            content_type: text(&answer["headers"]["Content-Type"]),
            body: text(&answer["body"]),
        }
    }

    /// Sends a genuine webhook to the capturing validator: it is claimed, and its message is in the attacker's hands.
    /// None where the validator refused it.
    pub(crate) async fn capture(&self, endpoint: &str, webhook: &SignedWebhook) -> Option<Held> {
        let reply = self.knock(&self.capture.function, &Knock::webhook(endpoint, webhook)).await;
        if reply.status == 200 { self.captured(&reply.field("webhook_id")).await } else { None }
    }

    /// The same at an endpoint that was deployed a moment ago.
    pub(crate) async fn capture_anew(&self, endpoint: &str, webhook: &SignedWebhook) -> Option<Held> {
        let function = format!("attack-{endpoint}");
        let function = self.validator(&function, &[("INTAKE_QUEUE_URL", &self.capture.queue)]).await;
        let reply = self.knock(&function, &Knock::webhook(endpoint, webhook)).await;
        if reply.status == 200 { self.captured(&reply.field("webhook_id")).await } else { None }
    }

    async fn captured(&self, webhook_id: &str) -> Option<Held> {
        self.within(async || {
            let answer = self
                .sqs()
                .receive_message()
                .queue_url(&self.capture.queue)
                .max_number_of_messages(10)
                .message_attribute_names("All")
                .send()
                .await
                .expect("messages");
            for message in answer.messages.unwrap_or_default() {
                let attributes = message.message_attributes.unwrap_or_default().into_iter();
                let attributes: BTreeMap<String, String> =
                    attributes.map(|(name, value)| (name, value.string_value.unwrap_or_default())).collect();
                let held = Held { body: message.body.unwrap_or_default(), attributes };
                self.capture.held().insert(held.webhook_id().to_owned(), held);
            }
            self.capture.held().remove(webhook_id)
        })
        .await
    }

    /// Calls an operation of AWS for which no client is here, in JSON.
    pub(crate) async fn aws(&self, target: &str, request: &Value) -> Value {
        let mut headers = Headers::new();
        headers.push("x-amz-target", target);
        headers.push("content-type", "application/x-amz-json-1.1");
        let service = if target.starts_with("AWSStepFunctions.") { "states" } else { "logs" };
        headers.push(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential=test/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0",
                self.setting("region")
            ),
        );
        let answer = self
            .http("POST", &format!("{}/", self.setting("aws_endpoint")), &headers, request.to_string().into())
            .await;
        assert!(answer.is_success(), "{target}: {answer:?}");
        answer.body
    }

    /// What is deployed as a function (`validator`, …): the answer of `GetFunction`.
    pub(crate) async fn deployed(&self, function: &str) -> Value {
        deployed(&self.platform, function).await
    }

    /// The policy of a queue, by the output that holds its URL.
    pub(crate) async fn queue_policy(&self, queue: &str) -> Value {
        let attributes = self
            .sqs()
            .get_queue_attributes()
            .queue_url(self.output(queue))
            .attribute_names(QueueAttributeName::Policy)
            .send()
            .await
            .expect("a queue's attributes");
        let policy = attributes.attributes.unwrap_or_default().remove(&QueueAttributeName::Policy);
        serde_json::from_str(&policy.expect("a policy")).expect("JSON")
    }

    /// Puts a message into the real intake queue.
    pub(crate) async fn inject(&self, message: &Held) {
        let mut request =
            self.sqs().send_message().queue_url(self.output("IntakeQueueUrl")).message_body(&message.body);
        for (name, value) in &message.attributes {
            let text = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            request = request.message_attributes(name, text.expect("an attribute"));
        }
        request.send().await.expect("the peer takes the message");
    }

    /// Waits until the message of this webhook is set aside, or the transaction has an event.
    pub(crate) async fn trace(&self, message: &Held, endpoint: &str, transaction: &str) -> Option<Trace> {
        self.within(async || {
            let events = self.recorded(endpoint, transaction).await;
            if !events.is_empty() {
                return Some(Trace::Recorded(events));
            }
            self.set_aside(message.webhook_id()).await.map(Trace::SetAside)
        })
        .await
    }

    /// Why the message of this webhook is in the dead-letter queue of the intake; None where it is not.
    pub(crate) async fn set_aside(&self, webhook_id: &str) -> Option<String> {
        let text = |value: &Value| value["StringValue"].as_str().map(str::to_owned);
        let messages = self.peek("IntakeDlqUrl").await.into_iter();
        let mut mine = messages.filter(|message| {
            text(&message.attributes[attribute::WEBHOOK_ID]).as_deref() == Some(webhook_id)
        });
        mine.find_map(|message| text(&message.attributes[attribute::REASON]))
    }

    /// Stores a new value of an endpoint's secret.
    pub(crate) async fn put_secret(&self, endpoint: &str, value: &str) {
        let manager = aws_sdk_secretsmanager::Client::new(self.config());
        let name = format!("tollgate/{}/{endpoint}", self.suffix());
        if manager.put_secret_value().secret_id(&name).secret_string(value).send().await.is_err() {
            manager
                .create_secret()
                .name(&name)
                .secret_string(value)
                .send()
                .await
                .expect("a secret is stored");
        }
    }

    /// The address of a server that answers every request with this JSON.
    pub(crate) async fn answering(&self, body: String) -> String {
        crate::proxy::answering(body).await
    }

    /// Whether the message of this webhook is in the intake queue still; it leaves it last.
    pub(crate) async fn is_waiting(&self, webhook_id: &str) -> bool {
        let messages = self.peek("IntakeQueueUrl").await;
        messages.iter().any(|message| {
            message.attributes[attribute::WEBHOOK_ID]["StringValue"].as_str() == Some(webhook_id)
        })
    }

    /// Runs `tollgate`, the operator's tool.
    pub(crate) async fn tollgate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(sibling("tollgate"));
        let file = self.setting("log_dir").replace("/logs", "/platform.json");
        command.args(arguments).env("TOLLGATE_PLATFORM", file).stdin(Stdio::null());
        let done = tokio::task::spawn_blocking(move || command.output()).await.expect("the tool runs");
        done.expect("the tool is built")
    }

    /// Looks until there is an answer, for a bounded time.
    pub(crate) async fn within<T>(&self, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
        let wait = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(BOUND, wait).await.ok()
    }
}

/// Starts the real validator with the deployed one's settings but for `settings`, behind a proxy to the peer.
async fn start(
    platform: &Platform,
    name: &str,
    settings: &[(&str, &str)],
    throttled: Option<&str>,
) -> Function {
    let name = format!("{name}-{}", platform.suffix());
    let [aws, runner] = ["aws_endpoint", "runner_url"].map(|name| platform.setting(name).to_owned());
    let proxy = Proxy::start(Upstream { aws, runner }).await;
    proxy.throttle(throttled);
    let deployed = deployed(platform, "validator").await;
    let deployed = &deployed["Configuration"];
    let mut environment =
        deployed["Environment"]["Variables"].as_object().expect("the deployed function's settings").clone();
    let own = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", platform.setting("region")),
        ("AWS_ENDPOINT_URL", proxy.url()),
    ];
    for (name, value) in own.iter().chain(settings) {
        environment.insert((*name).to_owned(), (*value).into());
    }
    let spec = json!({
        "binary": sibling("validator"), "copies": 1, "memory_mb": deployed["MemorySize"],
        "timeout_seconds": deployed["Timeout"], "environment": environment,
    });
    let url = format!("{}/functions/{name}", platform.setting("runner_url"));
    let answer = platform.http("PUT", &url, &Headers::new(), spec.to_string().into_bytes()).await;
    assert!(answer.is_success(), "{name} does not start: {answer:?}");
    Function { name, proxy }
}

/// The answer of `GetFunction`.
async fn deployed(platform: &Platform, function: &str) -> Value {
    let name = platform.function(function);
    let url = format!("{}/2015-03-31/functions/{name}", platform.setting("aws_endpoint"));
    platform.http("GET", &url, &Headers::new(), Vec::new()).await.body
}

/// A program that was built beside this one.
fn sibling(name: &str) -> PathBuf {
    std::env::current_exe().expect("this program has a path").with_file_name(name)
}
