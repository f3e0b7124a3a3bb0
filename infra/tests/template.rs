//! What the template gives each function, against what its code reads and calls.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tollgate_infra::{read, root};
use tollgate_pipeline::{fraud::FraudError, ports::PortError};
use yaml_rust2::{Yaml, YamlLoader};

/// A function, by crate, logical name, and what it does through which adapter of `crates/aws`.
struct Function {
    name: &'static str,
    logical: &'static str,
    /// The adapters that its `context.rs` makes.
    adapters: &'static [Adapter],
    /// The queues whose batches it is given.
    consumes: &'static [&'static str],
}

/// The adapter, and what the ports through which the function uses it call: each action with the resource's logical
/// name, or the kind of what has none.
struct Adapter(&'static str, &'static [(&'static str, &'static str)]);

const S3_ENDPOINTS: Adapter =
    Adapter("S3Endpoints", &[("s3:GetObject", "Endpoints"), ("s3:ListBucket", "Endpoints")]);
/// What the version before calls, which serves with the same roles while the aliases move: it has each endpoint in a parameter.
const BEFORE: [(&str, &str, &str); 3] = [
    ("validator", "ssm:GetParametersByPath", "parameter"),
    ("validator", "ssm:GetParameter", "parameter"),
    ("processor", "ssm:GetParametersByPath", "parameter"),
];
const FUNCTIONS: [Function; 5] = [
    Function {
        name: "validator",
        logical: "Validator",
        adapters: &[
            S3_ENDPOINTS,
            Adapter(
                "AwsSecrets",
                &[("secretsmanager:GetSecretValue", "secret"), ("ssm:GetParameter", "parameter")],
            ),
            Adapter("DynamoLedger", &[("dynamodb:PutItem", "Ledger"), ("dynamodb:UpdateItem", "Ledger")]),
            Adapter("DynamoRejected", &[("dynamodb:UpdateItem", "Ledger")]),
            Adapter(
                "SqsIntake",
                &[
                    ("sqs:GetQueueAttributes", "Intake"),
                    ("sqs:GetQueueAttributes", "IntakeOrdered"),
                    ("sqs:SendMessage", "Intake"),
                    ("sqs:SendMessage", "IntakeOrdered"),
                ],
            ),
            Adapter("S3Payloads", &[("s3:GetObject", "Payloads"), ("s3:PutObject", "Payloads")]),
            Adapter("HttpsMaterials", &[]),
            Adapter(
                "S3Materials",
                &[("s3:GetObject", "Payloads"), ("s3:ListBucket", "Payloads"), ("s3:PutObject", "Payloads")],
            ),
        ],
        consumes: &[],
    },
    Function {
        name: "processor",
        logical: "Processor",
        adapters: &[
            S3_ENDPOINTS,
            // On no resource: CloudWatch has none to name.
            Adapter("CloudWatchHearing", &[("cloudwatch:GetMetricData", "")]),
            Adapter("AwsApiKeys", &[("secretsmanager:GetSecretValue", "secret")]),
            Adapter("HttpsObjects", &[]),
            Adapter(
                "DynamoLedger",
                &[("dynamodb:BatchGetItem", "Ledger"), ("dynamodb:PartiQLUpdate", "Ledger")],
            ),
            Adapter(
                "DynamoEffects",
                &[
                    ("dynamodb:BatchGetItem", "Ledger"),
                    ("dynamodb:PartiQLInsert", "Ledger"),
                    ("dynamodb:PartiQLUpdate", "Ledger"),
                ],
            ),
            Adapter(
                "DynamoTransactions",
                &[
                    ("dynamodb:BatchGetItem", "Transactions"),
                    ("dynamodb:BatchWriteItem", "Transactions"),
                    ("dynamodb:PartiQLInsert", "Transactions"),
                    ("dynamodb:PartiQLUpdate", "Transactions"),
                ],
            ),
            Adapter("EventBridgeBus", &[("events:PutEvents", "Bus")]),
            Adapter("SqsArchiveQueue", &[("sqs:SendMessage", "Archive")]),
            Adapter(
                "SqsQuarantine",
                &[("sqs:SendMessage", "IntakeDlq"), ("sqs:SendMessage", "IntakeOrderedDlq")],
            ),
            Adapter(
                "S3Payloads",
                &[("s3:GetObject", "Payloads"), ("s3:ListBucket", "Payloads"), ("s3:PutObject", "Payloads")],
            ),
        ],
        consumes: &["Intake", "IntakeOrdered"],
    },
    Function {
        name: "archival",
        logical: "Archival",
        adapters: &[
            Adapter("S3Archive", &[("s3:PutObject", "Audit")]),
            Adapter("S3Payloads", &[("s3:GetObject", "Payloads"), ("s3:ListBucket", "Payloads")]),
        ],
        consumes: &["Archive"],
    },
    Function {
        name: "fraud-detector",
        logical: "FraudDetector",
        adapters: &[
            Adapter(
                "DynamoHistory",
                &[
                    ("dynamodb:GetItem", "Transactions"),
                    ("dynamodb:PutItem", "Transactions"),
                    ("dynamodb:Query", "Transactions"),
                ],
            ),
            Adapter("EventBridgeBus", &[("events:PutEvents", "Bus")]),
        ],
        consumes: &[],
    },
    Function {
        name: "reconciler",
        logical: "Reconciler",
        adapters: &[Adapter("S3Archive", &[("s3:PutObject", "Audit")])],
        consumes: &[],
    },
];
/// What the reconciler has `tollgate_operate::reconcile` do, through the adapters that its files name, and itself. `refused.rs` is for
/// operators alone.
const RECONCILED: [(&str, &str); 6] = [
    ("dynamodb:BatchGetItem", "Ledger"),
    ("dynamodb:BatchGetItem", "Transactions"),
    ("dynamodb:Query", "Transactions"),
    ("s3:GetObject", "Endpoints"),
    ("s3:ListBucket", "Endpoints"),
    ("secretsmanager:GetSecretValue", "secret"),
];
/// What Lambda's poller does in the function's name.
const CONSUMING: [&str; 4] =
    ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];
/// What every function has: its log, its traces, and the key behind the rest.
const COMMON: [&str; 3] = ["kms:", "logs:", "xray:"];
/// What Lambda does with every function's role when an asynchronous invocation has failed after all retries.
const FAILING: (&str, &str) = ("sqs:SendMessage", "FunctionsDlq");
/// The calls that are made without their service's client: their files, and how these name them.
const BY_NAME: [(&str, &str); 2] =
    [("api_keys.rs", r#".call("GetSecretValue")"#), ("cloudwatch.rs", r#".call("GetMetricData")"#)];
/// The calls of each adapter's file, as the SDK names them.
const CALLS: [(&str, &[&str]); 14] = [
    ("archive.rs", &["put_object"]),
    ("bus.rs", &["put_events"]),
    ("dynamodb.rs", &["batch_get_item", "batch_write_item"]),
    ("effects.rs", &[]),
    ("endpoints.rs", &["get_object", "put_object"]),
    ("history.rs", &["get_item", "put_item", "query"]),
    ("ledger.rs", &["put_item", "update_item"]),
    ("materials.rs", &["get_object", "put_object"]),
    ("payloads.rs", &["get_object", "put_object"]),
    ("queues.rs", &["get_queue_attributes", "send_message", "send_message_batch"]),
    ("rejected.rs", &["update_item"]),
    ("secrets.rs", &["get_parameter", "get_secret_value"]),
    ("statements.rs", &["batch_execute_statement"]),
    ("transactions.rs", &[]),
];

/// What settings begin with that the local platform alone gives.
const TEST: &str = "TEST_";

/// A source file without its unit tests: only what is built into the function counts.
fn code(path: &str) -> String {
    read(path).split("#[cfg(test)]").next().unwrap().to_owned()
}

fn resources() -> Yaml {
    YamlLoader::load_from_str(&read("infra/tollgate.yaml")).unwrap().remove(0)["Resources"].clone()
}

#[test]
fn each_function_is_given_the_variables_that_it_reads() {
    let resources = resources();
    for function in &FUNCTIONS {
        let variables = &resources[function.logical]["Properties"]["Environment"]["Variables"];
        let given: BTreeSet<String> =
            variables.as_hash().unwrap().keys().map(|name| name.as_str().unwrap().to_owned()).collect();
        let settings = code(&format!("crates/{}/src/settings.rs", function.name));
        let is_name = |text: &&str| {
            // Lambda itself sets those of its own prefix.
            let is_ours = text.len() > 3 && !text.starts_with("AWS_LAMBDA_") && !text.starts_with(TEST);
            is_ours && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
        };
        let mut wanted: BTreeSet<String> =
            settings.split('"').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect();
        assert!(code("crates/lambda/src/start.rs").contains(r#""LOG_LEVEL""#));
        wanted.insert("LOG_LEVEL".to_owned());
        assert!(!given.iter().any(|name| name.starts_with(TEST)), "{}", function.name);
        assert_eq!(given, wanted, "{}: the template on the left, settings.rs on the right", function.name);
    }
}

/// `make bench-function` starts them as Lambda does, and ends at a setting that it does not know.
#[test]
fn the_bench_of_the_functions_gives_them_what_they_cannot_start_without() {
    let given = read("benches/drivers/functions");
    for function in &FUNCTIONS {
        let settings = code(&format!("crates/{}/src/settings.rs", function.name));
        let wanted: Vec<&str> =
            settings.split(r#"reader.text(""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(!wanted.is_empty(), "{}", function.name);
        for name in wanted {
            assert!(given.contains(&format!(r#""{name}": "#)), "{}: {name}", function.name);
        }
    }
}

/// Otherwise SQS would move a message that the processor has not set aside yet, without a reason.
/// Who reads messages of a new form is released before who writes them (docs/deploy.md, Releases).
#[test]
fn archive_messages_are_read_by_the_new_version_before_it_writes_them() {
    assert_eq!(resources()["ProcessorAlias"]["DependsOn"].as_str(), Some("ArchivalAlias"));
}

#[test]
fn the_processor_knows_how_often_the_intakes_hand_a_message_out() {
    let resources = resources();
    let variables = &resources["Processor"]["Properties"]["Environment"]["Variables"];
    let number = |name: &str| variables[name].as_str().unwrap().parse::<i64>().unwrap();
    for queue in ["Intake", "IntakeOrdered"] {
        let receives = &resources[queue]["Properties"]["RedrivePolicy"]["maxReceiveCount"];
        assert_eq!(receives.as_i64(), Some(number("MAX_RECEIVES")), "{queue}");
    }
    // A FIFO batch has ten messages at most: so many may be set aside one after the other.
    assert!(number("SET_ASIDE_RECEIVES") + 10 < number("MAX_RECEIVES"));
}

#[test]
fn each_function_may_do_what_it_does_and_no_more() {
    let resources = resources();
    for function in &FUNCTIONS {
        let role = &resources[format!("{}Role", function.logical).as_str()]["Properties"]["Policies"];
        let mut granted = BTreeSet::new();
        let policies = role.as_vec().unwrap().iter();
        let statements = policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_vec().unwrap());
        for statement in statements {
            for action in texts(&statement["Action"]) {
                for resource in texts(&statement["Resource"]) {
                    if !COMMON.iter().any(|common| action.starts_with(common)) {
                        granted.insert((action.clone(), resource_name(&resource)));
                    }
                }
            }
        }
        let own = function.adapters.iter().flat_map(|adapter| adapter.1.iter().copied());
        let before = BEFORE.iter().filter(|(name, ..)| *name == function.name);
        let own = own.chain(before.map(|(_, action, on)| (*action, *on)));
        let reconciled = RECONCILED.iter().filter(|_| function.name == "reconciler");
        let own = own.chain(reconciled.copied());
        let consumed = function.consumes.iter().flat_map(|queue| CONSUMING.map(|action| (action, *queue)));
        let used: BTreeSet<(String, String)> = own
            .chain(consumed)
            .chain([FAILING])
            .map(|(action, name)| (action.to_owned(), name.to_owned()))
            .collect();
        assert_eq!(granted, used, "{}: the template on the left, the code on the right", function.name);
        let key = format!("{role:?}");
        assert!(!key.contains("String(\"*:*\")"), "{}", function.name);
    }
}

#[test]
fn the_code_makes_the_calls_that_this_test_knows_of() {
    for function in &FUNCTIONS {
        let context = code(&format!("crates/{}/src/context.rs", function.name));
        let made: BTreeSet<&str> = context
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| {
                let is_adapter = ["Aws", "CloudWatch", "Dynamo", "EventBridge", "S3", "Sqs", "Https"];
                is_adapter.iter().any(|prefix| word.len() > prefix.len() && word.starts_with(prefix))
            })
            .collect();
        let known: BTreeSet<&str> = function.adapters.iter().map(|adapter| adapter.0).collect();
        assert_eq!(made, known, "{}: context.rs on the left", function.name);
    }
    for (file, calls) in CALLS {
        let source = code(&format!("crates/aws/src/{file}"));
        let known: BTreeSet<&str> = calls.iter().copied().collect();
        let made: BTreeSet<&str> =
            OPERATIONS.into_iter().filter(|operation| source.contains(&format!(".{operation}()"))).collect();
        assert_eq!(made, known, "crates/aws/src/{file} on the left");
    }
    let files: BTreeSet<String> = fs::read_dir(root().join("crates/aws/src"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| code(&format!("crates/aws/src/{name}")).contains(".send()"))
        .collect();
    let known: BTreeSet<String> =
        CALLS.iter().filter(|(_, calls)| !calls.is_empty()).map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(files, known, "files with calls");
    let by_name = |name: &String| code(&format!("crates/aws/src/{name}")).matches(r#".call(""#).count();
    let files = fs::read_dir(root().join("crates/aws/src")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<(String, usize)> =
        files.map(|name| (name.clone(), by_name(&name))).filter(|(_, calls)| *calls > 0).collect();
    assert_eq!(files, BY_NAME.map(|(file, _)| (file.to_owned(), 1)).into());
    for (file, call) in BY_NAME {
        assert!(code(&format!("crates/aws/src/{file}")).contains(call), "{file}");
    }
}

/// The reconciler has the operator's code compare. Of that, these files are what it runs; their adapters only read.
#[test]
fn what_compares_calls_nothing_but_what_this_test_knows_of() {
    for (file, calls) in [
        ("mod", &["get_secret_value"][..]),
        ("daily", &[]),
        ("compare", &[]),
        ("extra", &[]),
        ("report", &[]),
    ] {
        let source = code(&format!("crates/operate/src/reconcile/{file}.rs"));
        let made: Vec<&str> =
            OPERATIONS.into_iter().filter(|operation| source.contains(&format!(".{operation}()"))).collect();
        assert_eq!(made, calls, "crates/operate/src/reconcile/{file}.rs on the left");
        // Taking in is another file's, which none of these has but the command's own way.
        assert!(file == "mod" || !source.contains("hand_over"), "{file}");
    }
    let handler = code("crates/reconciler/src/handler.rs");
    for taking_in in ["ingest", "Intake", "resend"] {
        assert!(!handler.contains(taking_in), "{taking_in}");
        assert!(!code("crates/operate/src/reconcile/daily.rs").contains(taking_in), "{taking_in}");
    }
}

/// Only senders of our own schema are answered by the gateway itself: it knows nothing of providers' bodies.
#[test]
fn the_gateway_checks_generic_requests_alone() {
    let resources = resources();
    let method = |name: &str| resources[name]["Properties"].clone();
    let generic = method("WebhookPost");
    assert_eq!(generic["RequestValidatorId"].as_str(), Some("WebhookValidator"));
    let headers = ["X-Provider-ID", "X-Webhook-Signature"];
    for header in headers.map(|name| format!("method.request.header.{name}")) {
        assert_eq!(generic["RequestParameters"][header.as_str()].as_bool(), Some(true), "{header}");
    }
    assert_eq!(generic["RequestModels"]["application/json"].as_str(), Some("WebhookModel"));
    for provider in ["EndpointPost", "EndpointGet"].map(method) {
        assert!(provider["HttpMethod"].as_str().is_some());
        assert!(provider["RequestValidatorId"].is_badvalue() && provider["RequestModels"].is_badvalue());
    }
    for refusal in ["BadBody", "BadHeaders"].map(method) {
        assert_eq!(refusal["StatusCode"].as_str(), Some("400"));
        let body = refusal["ResponseTemplates"]["application/json"].as_str().unwrap();
        assert!(body.contains("error") && !body.contains("webhook_id"), "{body}");
    }
}

/// A query may hold a token. What is asked of a log or a trace of the gateway (X-Ray: "Understanding AWS X-Ray traces", API
/// Gateway developer guide: `http.request.url` has the query) is asked by name here.
#[test]
fn no_log_or_trace_of_the_gateway_holds_a_query_or_a_body() {
    const LOGGED: [&str; 12] = [
        "requestId",
        "requestTimeEpoch",
        "domainName",
        "identity.sourceIp",
        "httpMethod",
        "path",
        "status",
        "responseLength",
        "responseLatency",
        "integrationLatency",
        "integrationStatus",
        "error.message",
    ];
    let resources = resources();
    for (stage, log) in [("Stage", "AccessLogSetting"), ("HttpStage", "AccessLogSettings")] {
        let properties = &resources[stage]["Properties"];
        let format = properties[log]["Format"].as_str().unwrap();
        for variable in format.split('$').skip(1) {
            let name = variable.strip_prefix("context.").unwrap_or(variable);
            let name = name.split('"').next().unwrap();
            assert!(LOGGED.contains(&name), "{stage}: {name}");
        }
        // The execution log has bodies and headers.
        for settings in properties["MethodSettings"].as_vec().into_iter().flatten() {
            assert!(settings["DataTraceEnabled"].is_badvalue() && settings["LoggingLevel"].is_badvalue());
        }
    }
    assert_eq!(resources["Stage"]["Properties"]["TracingEnabled"].as_bool(), Some(false));
}

/// What the workflow does not try again is what the fraud detector calls hopeless, by the names that it gives to Lambda.
#[test]
fn the_workflow_tries_again_what_the_fraud_detector_can_still_do() {
    let resources = resources();
    let definition = resources["Workflow"]["Properties"]["DefinitionString"].as_str().unwrap();
    let definition: Value = serde_json::from_str(definition).unwrap();
    let retries =
        &definition["States"]["Examine"]["Branches"][0]["States"]["DetectFraud"]["Retry"].as_array().unwrap();
    let given_up: BTreeSet<&str> = retries
        .iter()
        .filter(|retry| retry["MaxAttempts"] == 0)
        .flat_map(|retry| retry["ErrorEquals"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    let hopeless = [FraudError::Malformed, FraudError::Flagged, PortError::permanent("any", "any").into()];
    assert_eq!(given_up, hopeless.iter().map(FraudError::name).collect());
    let hopeful = [FraudError::NotRecorded, PortError::retryable("any", "any").into()];
    assert!(hopeful.iter().all(|problem| !given_up.contains(problem.name())));
    // A function that is not ready yet, as Lambda calls it: until it is, and not as often as one that fails.
    let not_ready = ["Lambda.CodeArtifactUserPendingException", "Lambda.ResourceNotReadyException"];
    for name in not_ready {
        let retrier = retries.iter().find(|retry| {
            let errors = retry["ErrorEquals"].as_array().unwrap();
            errors.iter().any(|error| error == name || error == "States.ALL")
        });
        let retrier = retrier.unwrap();
        let number = |field: &str| retrier[field].as_u64().unwrap();
        assert_eq!(number("BackoffRate"), 1, "{name}");
        assert!(number("IntervalSeconds") * number("MaxAttempts") >= 40, "{name}");
    }
}

/// Operations of the services here that code could come to call.
const OPERATIONS: [&str; 33] = [
    "batch_execute_statement",
    "batch_get_item",
    "batch_write_item",
    "change_message_visibility",
    "delete_item",
    "delete_message",
    "delete_object",
    "execute_statement",
    "get_item",
    "get_object",
    "get_parameter",
    "get_parameters",
    "get_parameters_by_path",
    "get_queue_attributes",
    "get_queue_url",
    "get_secret_value",
    "head_object",
    "list_objects_v2",
    "list_secret_version_ids",
    "put_events",
    "put_item",
    "put_object",
    "put_parameter",
    "put_secret_value",
    "query",
    "receive_message",
    "scan",
    "send_message",
    "send_message_batch",
    "start_execution",
    "transact_get_items",
    "transact_write_items",
    "update_item",
];

fn texts(value: &Yaml) -> Vec<String> {
    match value {
        Yaml::String(text) => vec![text.clone()],
        Yaml::Array(values) => values.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// A resource's logical name, or the kind of what the template does not make.
fn resource_name(resource: &str) -> String {
    if resource.contains(":parameter/") {
        return "parameter".to_owned();
    }
    if resource.contains(":secret:") {
        return "secret".to_owned();
    }
    // Tables are named, since either of two resources makes them; the bus, since its policy names the roles.
    let named = [
        (":table/webhook-events-", "Ledger"),
        (":table/transactions-", "Transactions"),
        (":event-bus/payment-events-", "Bus"),
    ];
    for (name, logical) in named {
        if resource.contains(name) {
            return logical.to_owned();
        }
    }
    let name = resource.trim_start_matches("${");
    name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(name).to_owned()
}
