//! `tollgate dlq`: dead letters looked at, foreseen, sent back and deleted, on the real queues.

use std::process::{Child, Command, Output, Stdio};

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Value, json};
use tollgate_core::{EndpointId, LedgerKey, Timestamp, id::hex_sha256};
use tollgate_e2e::{Peeked, Platform};
use tollgate_testkit::webhook::Payment;

use crate::tool::{said, tollgate};

/// Why it is done, as the records have it.
const WHY: &str = "its cause is mended";

fn dlq(arguments: &[&str]) -> Output {
    tollgate(&[&["dlq"], arguments].concat()).output().unwrap()
}

/// Sends back, whatever becomes of it, and does not wait for what comes back.
fn redrive(queue: &str, arguments: &[&str]) -> Output {
    let always = ["redrive", "--queue", queue, "--all", "--yes", "--reason", WHY, "--watch", "0"];
    dlq(&[&always, arguments].concat())
}

/// A command's answer, an object a line.
fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is foreseen of the dead letters of a queue that name an id: each end, and how many have it.
fn foreseen(queue: &str, id: &str) -> Vec<(String, u64)> {
    let output = dlq(&["redrive", "--queue", queue, "--id", id, "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let groups = lines(&output);
    let predictions = groups.iter().flat_map(|group| group["predictions"].as_array().unwrap());
    let end = |one: &Value| match &one["prediction"]["why"] {
        Value::String(why) => why.clone(),
        _ => one["prediction"]["end"].as_str().unwrap().to_owned(),
    };
    predictions.map(|one| (end(one), one["count"].as_u64().unwrap())).collect()
}

async fn put(platform: &Platform, queue: &str, body: &str, attributes: &[(&str, &str)]) {
    let url = platform.output(queue);
    let mut request = platform.sqs().send_message().queue_url(url).message_body(body);
    for (name, value) in attributes {
        let value =
            MessageAttributeValue::builder().data_type("String").string_value(*value).build().unwrap();
        request = request.message_attributes(*name, value);
    }
    if url.ends_with(".fifo") {
        request = request.message_group_id(body).message_deduplication_id(body);
    }
    request.send().await.unwrap();
}

/// Whether and how a message waits there, without receiving it.
async fn waits(platform: &Platform, queue: &str, body: &str) -> Option<Value> {
    platform
        .peek(queue)
        .await
        .into_iter()
        .find(|message| message.body == body)
        .map(|message| message.attributes)
}

/// A move task takes none of these: `eventbridge-dlq` is no dead-letter queue of a queue.
#[tokio::test]
async fn what_eventbridge_could_not_deliver_goes_to_the_target_that_it_names() {
    let platform = Platform::alone().await;
    let suffix = platform.suffix();
    let rule =
        format!("arn:aws:events:us-east-1:000000000000:rule/payment-events-{suffix}/payments-{suffix}");
    let queue = |name: &str| format!("arn:aws:sqs:us-east-1:000000000000:{name}-{suffix}");
    let topic = format!("arn:aws:sns:us-east-1:000000000000:transaction-alerts-{suffix}");
    let cases = [
        ("payment", Some(queue("payments-queue")), Some("PaymentsQueueUrl")),
        ("refund", Some(queue("refunds-queue")), Some("RefundsQueueUrl")),
        ("alert", Some(topic), None),
        ("intake", Some(queue("webhook-intake")), None),
        ("another-account", Some(queue("payments-queue").replace("000000000000", "111111111111")), None),
        ("no-target", None, None),
    ];
    let bodies: Vec<String> = cases.iter().map(|(name, ..)| platform.unique(name)).collect();
    for ((_, target, _), body) in cases.iter().zip(&bodies) {
        let mut attributes = vec![("RULE_ARN", rule.as_str()), ("ERROR_CODE", "NO_PERMISSIONS")];
        attributes.extend(target.as_deref().map(|target| ("TARGET_ARN", target)));
        put(&platform, "EventBridgeDlqUrl", body, &attributes).await;
    }
    let output = dlq(&["redrive", "--queue", "eventbridge-dlq"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("2 would be sent"), "{}", said(&output));
    assert!(said(&output).contains("stays: no TARGET_ARN"), "{}", said(&output));
    for body in &bodies {
        assert!(waits(&platform, "EventBridgeDlqUrl", body).await.is_some(), "nothing is done without --yes");
    }
    for run in 0..2 {
        let output = redrive("eventbridge-dlq", &[]);
        assert_eq!(output.status.code(), Some(1), "some are left: {}", said(&output));
        assert_eq!(said(&output).contains("1 sent to payments-queue"), run == 0, "{}", said(&output));
        assert!(said(&output).contains("replay the time to arn:aws:events"), "{}", said(&output));
        for ((name, _, wanted), body) in cases.iter().zip(&bodies) {
            let left = waits(&platform, "EventBridgeDlqUrl", body).await;
            assert_eq!(left.is_some(), wanted.is_none(), "{name}");
            if let Some(url) = wanted {
                let attributes = waits(&platform, url, body).await.expect(name).to_string();
                assert!(!attributes.contains("RULE_ARN"), "as the rule would have sent it: {attributes}");
            }
        }
    }
    let url = platform.output("EventBridgeDlqUrl");
    platform.sqs().purge_queue().queue_url(url).send().await.unwrap();
}

/// With its key disabled, the bus sends events here that no rule has seen.
#[tokio::test]
async fn what_the_bus_could_not_decrypt_goes_to_the_queue_of_its_category() {
    let platform = Platform::alone().await;
    // Not with this test's mark as it is: these are no events, whose form would be looked at.
    let mark: String = platform.unique("bus").chars().rev().collect();
    let event = |source: &str, category: &str, restates: Value| {
        json!({"source": source, "detail": {"category": category, "restates": restates, "mark": mark}})
            .to_string()
    };
    let cases = [
        (event("tollgate", "refund", Value::Null), Some("RefundsQueueUrl")),
        (event("tollgate", "dispute", Value::Null), Some("DisputesQueueUrl")),
        (event("tollgate", "other", Value::Null), None),
        (event("tollgate", "payment", json!("evt")), None),
        (event("other", "payment", Value::Null), None),
    ];
    for (body, _) in &cases {
        put(&platform, "EventBridgeDlqUrl", body, &[("ERROR_CODE", "SDK_CLIENT_ERROR")]).await;
    }
    let output = redrive("eventbridge-dlq", &[]);
    assert_eq!(output.status.code(), Some(1), "some are left: {}", said(&output));
    for (body, wanted) in &cases {
        assert_eq!(waits(&platform, "EventBridgeDlqUrl", body).await.is_some(), wanted.is_none(), "{body}");
        if let Some(queue) = wanted {
            assert!(waits(&platform, queue, body).await.is_some(), "{body}");
        }
    }
    let url = platform.output("EventBridgeDlqUrl");
    platform.sqs().purge_queue().queue_url(url).send().await.unwrap();
}

/// Of every queue that has dead letters; the attributes go along, and `--limit` holds.
#[tokio::test]
async fn dead_letters_of_every_queue_go_back_to_it() {
    let platform = Platform::alone().await;
    for (queue, from, to) in [
        ("payments-queue-dlq", "PaymentsDlqUrl", Some("PaymentsQueueUrl")),
        ("refunds-queue-dlq", "RefundsDlqUrl", Some("RefundsQueueUrl")),
        ("disputes-queue-dlq", "DisputesDlqUrl", Some("DisputesQueueUrl")),
        // The processor takes these, and sets them aside again, with the reason: no webhook is in them.
        ("webhook-intake-dlq", "IntakeDlqUrl", None),
        ("webhook-intake-ordered-dlq", "IntakeOrderedDlqUrl", None),
    ] {
        platform.sqs().purge_queue().queue_url(platform.output(from)).send().await.unwrap();
        let bodies = ["one", "two"].map(|name| platform.unique(&format!("{name}{queue}")));
        for body in &bodies {
            put(&platform, from, body, &[("note", "kept")]).await;
        }
        let output = redrive(queue, &["--limit", "1"]);
        assert!(
            output.status.success() && said(&output).starts_with("1 sent to"),
            "{queue}: {}",
            said(&output)
        );
        let output = redrive(queue, &["--limit", "1"]);
        assert!(output.status.success(), "{queue}: {}", said(&output));
        for body in &bodies {
            let found = platform
                .until("the message is where it was to go", async || match to {
                    Some(to) => waits(&platform, to, body).await,
                    None => {
                        let found = waits(&platform, from, body).await?;
                        found.to_string().contains("not_an_intake_message").then_some(found)
                    }
                })
                .await;
            assert!(to.is_none() || found.to_string().contains("kept"), "{queue}: {found}");
            assert!(to.is_none() || waits(&platform, from, body).await.is_none(), "{queue}: not deleted");
        }
    }
}

#[tokio::test]
async fn the_former_command_still_sends_back_and_asks_for_a_reason() {
    let platform = Platform::alone().await;
    platform.sqs().purge_queue().queue_url(platform.output("PaymentsDlqUrl")).send().await.unwrap();
    let body = platform.unique("former");
    put(&platform, "PaymentsDlqUrl", &body, &[]).await;
    let former = |arguments: &[&str]| {
        tollgate(&[&["redrive", "payments-queue-dlq"], arguments].concat()).output().unwrap()
    };
    assert_eq!(former(&["--yes"]).status.code(), Some(2), "no reason");
    assert!(waits(&platform, "PaymentsDlqUrl", &body).await.is_some());
    let output = former(&["--yes", "--reason", WHY, "--watch", "0"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(waits(&platform, "PaymentsQueueUrl", &body).await.is_some());
    for queue in ["payments-queue", "other"] {
        let output = dlq(&["redrive", "--queue", queue]);
        assert_eq!(output.status.code(), Some(2), "{queue}");
        assert!(said(&output).contains("is no dead-letter queue"), "{queue}: {}", said(&output));
    }
}

/// What was in no queue: the workflow is started again, and a failed invocation stays.
#[tokio::test]
async fn the_workflow_is_started_again_and_an_invocation_stays() {
    let platform = Platform::alone().await;
    for queue in ["WorkflowDlqUrl", "FunctionsDlqUrl"] {
        platform.sqs().purge_queue().queue_url(platform.output(queue)).send().await.unwrap();
    }
    let sender = platform.sender("stripe-eu").await;
    let id = platform.unique("high");
    let payment = Payment { amount: "10000000".to_owned(), ..Payment::new(&id, &id, platform.now()) };
    let answer = platform.send(Some("stripe-eu"), &sender.payment(&payment, platform.now())).await;
    assert_eq!(answer.status, 200);
    let event = platform.until("it is published", async || {
        platform.routed("PaymentsQueueUrl").await.into_iter().find(|event| event.transaction_id == id)
    });
    let mut event = serde_json::to_value(event.await).unwrap();
    event["workflow_error"] = json!({"Error": "States.Timeout", "Cause": "{}"});
    put(&platform, "WorkflowDlqUrl", &event.to_string(), &[]).await;
    let invocation = json!({"requestContext": {"condition": "RetriesExhausted"}, "mark": id}).to_string();
    put(&platform, "FunctionsDlqUrl", &invocation, &[]).await;
    let output = dlq(&["list", "--json"]);
    let groups = lines(&output);
    for (queue, reason) in
        [("transaction-workflow-dlq", "States.Timeout"), ("asynchronous-invocations-dlq", "RetriesExhausted")]
    {
        assert!(
            groups.iter().any(|group| group["queue"] == queue && group["reason"] == reason),
            "{groups:?}"
        );
    }
    let output = redrive("transaction-workflow-dlq", &["--json"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("transaction-workflow-"), "{}", said(&output));
    assert!(platform.peek("WorkflowDlqUrl").await.is_empty());
    let output = redrive("asynchronous-invocations-dlq", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("1 left in asynchronous-invocations-dlq"), "{}", said(&output));
    platform.sqs().purge_queue().queue_url(platform.output("FunctionsDlqUrl")).send().await.unwrap();
}

/// From the look to the record: what is foreseen is what happens, before the cause is mended and after.
#[tokio::test]
async fn what_is_foreseen_of_an_intakes_dead_letter_is_what_happens() {
    let platform = Platform::alone().await;
    let endpoint = "razorpay";
    let sender = platform.sender(endpoint).await;
    let id = platform.unique("mended");
    let at = Timestamp::from_second(platform.now().as_second() - 45 * 24 * 60 * 60).unwrap();
    let answer =
        platform.send(Some(endpoint), &sender.payment(&Payment::new(&id, &id, at), platform.now())).await;
    let webhook_id = answer.body["webhook_id"].as_str().unwrap().to_owned();
    let is_there = async || {
        let all = platform.peek("IntakeDlqUrl").await;
        u64::try_from(all.iter().filter(|one| one.attributes.to_string().contains(&webhook_id)).count())
            .unwrap()
    };
    platform.until("it is set aside", async || (is_there().await == 1).then_some(())).await;

    let listed = lines(&dlq(&["list", "--queue", "webhook-intake-dlq", "--id", &webhook_id, "--json"]));
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["reason"], &listed[0]["count"]), (&"too_old_to_tell".into(), &1.into()));
    assert_eq!(listed[0]["endpoint"], endpoint);
    assert_eq!(is_there().await, 1, "to look takes nothing away");
    let shown = dlq(&["show", &webhook_id]);
    assert!(
        shown.status.success() && said(&shown).contains("fails again: too_old_to_tell"),
        "{}",
        said(&shown)
    );
    assert!(said(&shown).contains(&format!("{endpoint}#")), "its event: {}", said(&shown));

    assert_eq!(foreseen("webhook-intake-dlq", &webhook_id), [("too_old_to_tell".to_owned(), 1)]);
    let how = ["redrive", "--queue", "webhook-intake-dlq", "--id", &webhook_id, "--yes", "--reason", WHY];
    let output = dlq(&[&how[..], &["--watch", "60"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("1 left in webhook-intake-dlq"), "{}", said(&output));
    let output = dlq(&[&how[..], &["--watch", "60", "--all"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("1 came back"), "as was foreseen: {}", said(&output));

    let allowed = tollgate(&["allow", &webhook_id, "--yes", "--reason", WHY]).output().unwrap();
    assert!(allowed.status.success(), "{}", said(&allowed));
    assert_eq!(foreseen("webhook-intake-dlq", &webhook_id), [("takes_effect".to_owned(), 1)]);
    let copy = platform.peek("IntakeDlqUrl").await;
    let copy = copy.into_iter().find(|one| one.attributes.to_string().contains(&webhook_id)).unwrap();
    let output = dlq(&[&how[..], &["--watch", "60"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    platform
        .until("it takes effect", async || {
            let events = platform.routed("PaymentsQueueUrl").await;
            events.iter().any(|event| event.transaction_id == id).then_some(())
        })
        .await;
    assert_eq!(is_there().await, 0);

    // A copy that is found later.
    let receipt: Value =
        serde_json::from_str(copy.attributes["receipt"]["StringValue"].as_str().unwrap()).unwrap();
    let claimed = receipt["claimed"].as_str().unwrap();
    platform.until_processed(&[LedgerKey::new(&EndpointId::new(endpoint).unwrap(), claimed)]).await;
    put_again(&platform, "IntakeDlqUrl", &copy).await;
    assert_eq!(foreseen("webhook-intake-dlq", &webhook_id), [("already_processed".to_owned(), 1)]);
    let output = dlq(&[&how[..], &["--watch", "60"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(is_there().await, 0, "dropped as a duplicate");

    let records = lines(
        &tollgate(&["audit", "--action", "dlq redrive", "--id", &webhook_id, "--json"]).output().unwrap(),
    );
    assert!(!records.is_empty() && records.iter().all(|record| record["reason"] == WHY), "{records:?}");
}

/// A group goes whole and in its order, or as far as the filter wants it: nothing overtakes what stays.
#[tokio::test]
async fn nothing_overtakes_what_stays_of_its_payment() {
    let platform = Platform::alone().await;
    let url = platform.output("IntakeOrderedDlqUrl");
    platform.sqs().purge_queue().queue_url(url).send().await.unwrap();
    let mark = platform.unique("ordered");
    let body = |name: &str| format!("{mark} {name}");
    for (name, group, reason) in
        [("a1", "a", "one"), ("a2", "a", "other"), ("a3", "a", "one"), ("b1", "b", "one"), ("b2", "b", "one")]
    {
        let reason =
            MessageAttributeValue::builder().data_type("String").string_value(reason).build().unwrap();
        let request = platform.sqs().send_message().queue_url(url).message_body(body(name));
        let request = request.message_group_id(group).message_deduplication_id(body(name));
        request.message_attributes("reason", reason).send().await.unwrap();
    }
    let output = redrive("webhook-intake-ordered-dlq", &["--for", "one", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let done = &lines(&output)[0];
    let moved = done["moved"].as_array().unwrap();
    let left: u64 = moved.iter().map(|moved| moved["left"].as_u64().unwrap()).sum();
    assert_eq!(left, 1, "a3 waits behind a2: {done}");
    // The processor finds no webhook in those that were sent, and sets them aside again.
    let here = async |reason: &str| {
        let all = platform.peek("IntakeOrderedDlqUrl").await;
        let own = all.into_iter().filter(|one| one.attributes["reason"]["StringValue"] == reason);
        own.filter_map(|one| one.body.strip_prefix(&mark).map(|name| name.trim().to_owned()))
            .collect::<Vec<_>>()
    };
    let back = platform.until("they are set aside again", async || {
        let back = here("not_an_intake_message").await;
        (back.len() == 3).then_some(back)
    });
    let back = back.await;
    let position = |name: &str| back.iter().position(|one| one == name);
    assert!(position("a1").is_some() && position("b1") < position("b2"), "{back:?}");
    assert_eq!((here("one").await, here("other").await), (vec!["a3".to_owned()], vec!["a2".to_owned()]));
    platform.sqs().purge_queue().queue_url(url).send().await.unwrap();
}

/// Ctrl-C in the middle, and once more.
#[tokio::test]
async fn a_second_run_goes_on_where_a_stopped_one_ended() {
    let platform = Platform::alone().await;
    platform.sqs().purge_queue().queue_url(platform.output("PaymentsDlqUrl")).send().await.unwrap();
    let bodies: Vec<String> = (0..8).map(|number| platform.unique(&format!("stopped-{number}-"))).collect();
    for body in &bodies {
        put(&platform, "PaymentsDlqUrl", body, &[]).await;
    }
    let always =
        ["dlq", "redrive", "--queue", "payments-queue-dlq", "--yes", "--reason", WHY, "--watch", "0"];
    let sent = async || {
        let all = platform.peek("PaymentsQueueUrl").await;
        all.into_iter().filter(|one| bodies.contains(&one.body)).map(|one| one.body).collect::<Vec<_>>()
    };
    let child = tollgate(&[&always[..], &["--rate", "1"]].concat());
    let child = started(child);
    platform.until("some are sent", async || (sent().await.len() >= 2).then_some(())).await;
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("say it again"), "{}", said(&output));
    let first = sent().await.len();
    assert!(first < bodies.len(), "it was stopped too late: {first}");
    for body in &bodies {
        let is_sent = sent().await.contains(body);
        assert_ne!(is_sent, waits(&platform, "PaymentsDlqUrl", body).await.is_some(), "once: {body}");
    }
    let output = tollgate(&always).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut all = sent().await;
    all.sort_unstable();
    let mut wanted = bodies.clone();
    wanted.sort_unstable();
    assert_eq!(all, wanted, "each once");
    let records = lines(&tollgate(&["audit", "--action", "dlq", "--json"]).output().unwrap());
    let stopped = records.iter().filter(|record| record["details"]["stopped"] == true);
    assert!(stopped.count() > 0, "the record says so");
}

/// What was accepted is deleted only where the archive has it.
#[tokio::test]
async fn what_is_not_archived_is_not_purged() {
    let platform = Platform::alone().await;
    for queue in ["IntakeDlqUrl", "RefundsDlqUrl"] {
        platform.sqs().purge_queue().queue_url(platform.output(queue)).send().await.unwrap();
    }
    let sender = platform.sender("stripe-eu").await;
    let id = platform.unique("archived");
    let answer = platform
        .send(Some("stripe-eu"), &sender.payment(&Payment::new(&id, &id, platform.now()), platform.now()))
        .await;
    let archived = answer.body["webhook_id"].as_str().unwrap().to_owned();
    platform.archived(std::slice::from_ref(&archived)).await;
    // Of another day than any webhook of this platform.
    let lost = "wh_01K00000000000000000000000";
    let mark = platform.unique("purged");
    for webhook_id in [archived.as_str(), lost] {
        let attributes = [("webhook_id", webhook_id), ("reason", "altered"), ("endpoint", mark.as_str())];
        put(&platform, "IntakeDlqUrl", &format!("{mark} {webhook_id}"), &attributes).await;
    }
    let which = ["purge", "--queue", "webhook-intake-dlq", "--endpoint", &mark];
    let output = dlq(&which);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("1 would be deleted"), "{}", said(&output));
    assert!(said(&output).contains(&format!("{lost} is not in the archive")), "{}", said(&output));
    let yes = ["--yes", "--reason", "a forged copy", "--expect"];
    let output = dlq(&[&which[..], &yes, &["2"]].concat());
    assert_eq!(output.status.code(), Some(1), "not as many as expected: {}", said(&output));
    assert_eq!(platform.peek("IntakeDlqUrl").await.len(), 2);
    let output = dlq(&[&which[..], &yes, &["1"]].concat());
    assert_eq!(output.status.code(), Some(1), "one is kept: {}", said(&output));
    let left = platform.peek("IntakeDlqUrl").await;
    assert_eq!(left.len(), 1);
    assert!(left[0].body.contains(lost));
    let records =
        lines(&tollgate(&["audit", "--action", "dlq purge", "--id", &archived, "--json"]).output().unwrap());
    assert_eq!(records.len(), 1, "{records:?}");
    let digest = hex_sha256(format!("{mark} {archived}").as_bytes());
    assert_eq!(records[0]["details"]["messages"][0]["body_sha256"], digest);

    // A whole queue is never meant; what a consumer did not take is its own to give up.
    assert_eq!(dlq(&["purge", "--queue", "refunds-queue-dlq"]).status.code(), Some(2));
    assert_eq!(dlq(&["redrive", "--yes", "--reason", WHY]).status.code(), Some(2), "nor is every queue");
    put(&platform, "RefundsDlqUrl", &mark, &[]).await;
    let which = ["purge", "--queue", "refunds-queue-dlq", "--since", "2026-01-01T00:00:00Z"];
    let output = dlq(&[&which[..], &yes, &["1"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert!(waits(&platform, "RefundsDlqUrl", &mark).await.is_none());
    platform.sqs().purge_queue().queue_url(platform.output("IntakeDlqUrl")).send().await.unwrap();
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A message as it was, once more.
async fn put_again(platform: &Platform, queue: &str, message: &Peeked) {
    let texts = message.attributes.as_object().unwrap().iter();
    let texts: Vec<(&str, &str)> =
        texts.map(|(name, value)| (name.as_str(), value["StringValue"].as_str().unwrap())).collect();
    put(platform, queue, &message.body, &texts).await;
}
