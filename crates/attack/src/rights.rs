//! A colleague's rights: who the deployed queues' policies let in. The peer keeps them and enforces none, so they are
//! evaluated here as IAM does, for the conditions that they use ("Policy evaluation logic" and "IAM JSON policy elements:
//! Condition operators", IAM user guide). The bus's policy it does not even keep: scripts/check/access reads all of them
//! in the template.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    attack::{Attack, Verdict, held, twin},
    ground::Ground,
};

pub(crate) const ATTACKS: &[Attack] = &[Attack {
    area: "rights",
    tried: "a role that may do everything, sending to the intakes and to the archive queue",
    run: |ground| Box::pin(queues(ground)),
}];

/// What a request is, by condition key.
type Request<'a> = BTreeMap<&'a str, &'a str>;

/// A colleague's role in the same account, whose own policies allow everything.
const MALLORY: &str = "arn:aws:iam::000000000000:role/mallory";

fn request(principal: &str) -> Request<'_> {
    BTreeMap::from([
        ("aws:PrincipalArn", principal),
        ("aws:PrincipalIsAWSService", "false"),
        ("aws:SecureTransport", "true"),
    ])
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

/// Whether a policy denies the action outright. What it allows does not matter to a role whose own policies allow it.
fn denies(policy: &Value, action: &str, request: &Request<'_>) -> bool {
    let statements = policy["Statement"].as_array().into_iter().flatten();
    statements.filter(|statement| statement["Effect"] == "Deny").any(|statement| {
        let is_meant = texts(&statement["Action"]).iter().any(|pattern| matches(pattern, action));
        let is_anybody = statement["Principal"] == "*" || statement["Principal"]["AWS"] == "*";
        let conditions = statement["Condition"].as_object();
        let holds = conditions.into_iter().flatten().all(|(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.into_iter()
                .all(|(key, values)| condition(operator, request.get(key.as_str()).copied(), &texts(values)))
        });
        is_meant && is_anybody && holds
    })
}

/// Whether one condition holds. An operator that is not known here never does, so that nothing passes for denied by it.
fn condition(operator: &str, asked: Option<&str>, values: &[&str]) -> bool {
    let any = |matching: fn(&str, &str) -> bool| {
        asked.is_some_and(|asked| values.iter().any(|value| matching(value, asked)))
    };
    match operator {
        "Bool" | "StringEquals" => any(|value, asked| value == asked),
        "StringNotEquals" => !any(|value, asked| value == asked),
        "StringLike" | "ArnLike" | "ArnEquals" => any(matches),
        "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => !any(matches),
        _ => false,
    }
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).filter_map(|at| text.get(at..)).any(|text| matches(rest, text))
        }),
    }
}

/// The role of a deployed function.
async fn role(ground: &Ground, function: &str) -> String {
    let deployed = ground.deployed(function).await;
    deployed["Configuration"]["Role"].as_str().expect("a role").to_owned()
}

async fn queues(ground: Ground) -> Verdict {
    let cases = [
        ("IntakeQueueUrl", "validator"),
        ("IntakeOrderedQueueUrl", "validator"),
        ("ArchiveQueueUrl", "processor"),
    ];
    for (queue, sender) in cases {
        let policy = ground.queue_policy(queue).await;
        let others = ["validator", "processor", "archival", "fraud-detector", "reconciler"];
        let mut strangers = vec![MALLORY.to_owned()];
        for function in others.into_iter().filter(|function| *function != sender) {
            strangers.push(role(&ground, function).await);
        }
        for stranger in &strangers {
            let denied = denies(&policy, "sqs:SendMessage", &request(stranger));
            held(denied, || format!("{queue}: {stranger} may send"))?;
        }
        let own = role(&ground, sender).await;
        twin(!denies(&policy, "sqs:SendMessage", &request(&own)), || format!("{queue}: {own} may not send"))?;
        let mut plain = request(&own);
        plain.insert("aws:SecureTransport", "false");
        held(denies(&policy, "sqs:SendMessage", &plain), || format!("{queue}: without TLS"))?;
    }
    Ok("denied on three queues; the one function that sends to each may".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deny_holds_where_all_its_conditions_do() {
        let policy = json!({"Statement": [{
            "Effect": "Deny", "Principal": "*", "Action": "sqs:Send*",
            "Condition": {
                "Bool": {"aws:PrincipalIsAWSService": "false"},
                "StringNotEquals": {"aws:PrincipalArn": ["arn:a"]}, "StringNotLike": {"aws:PrincipalArn": "arn:ops/*"},
            },
        }]});
        let of = |principal| denies(&policy, "sqs:SendMessage", &request(principal));
        assert!(of("arn:b") && of("arn:ops") && !of("arn:a") && !of("arn:ops/x"));
        assert!(!denies(&policy, "sqs:ReceiveMessage", &request("arn:b")));
        let unknown = json!({"Statement": {"Effect": "Deny"}});
        assert!(!denies(&unknown, "sqs:SendMessage", &request("arn:b")));
    }
}
