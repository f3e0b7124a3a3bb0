//! The platform's template against the list of queues in `crates/core/src/queue.rs`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_core::{Queue, Reader};
use tollgate_infra::{read, section};
use yaml_rust2::Yaml;

const TEMPLATE: &str = "infra/tollgate.yaml";
const DEPLOYER: &str = "infra/policies/deployer/data.json";

/// The template, as far as queues go, and what it lacks.
struct Check {
    resources: BTreeMap<String, Yaml>,
    outputs: BTreeMap<String, Yaml>,
    missing: Vec<String>,
}

impl Check {
    fn is(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.missing.push(what.into());
        }
    }

    fn property(&self, resource: &str, property: &str) -> Yaml {
        let resource = self.resources.get(resource).unwrap_or(&Yaml::BadValue);
        resource["Properties"][property].clone()
    }

    /// Whether the queues of a policy are `logical` among others.
    fn policy_has(&self, policy: &str, logical: &str) -> bool {
        let queues = self.property(policy, "Queues");
        queues.as_vec().is_some_and(|queues| queues.iter().any(|queue| queue.as_str() == Some(logical)))
    }

    fn queue(&mut self, logical: &str, name: &str, output: &str, policy: &str) {
        let named = self.property(logical, "QueueName");
        self.is(named.as_str() == Some(name), format!("a queue {logical} with the name {name}"));
        let is_fifo = self.property(logical, "FifoQueue").as_bool() == Some(true);
        self.is(is_fifo == name.ends_with(".fifo"), format!("{logical}: FifoQueue as its name says"));
        self.is(self.policy_has(policy, logical), format!("{policy}: {logical}"));
        let value = self.outputs.get(output).map(|output| output["Value"].clone());
        self.is(
            value.as_ref().and_then(Yaml::as_str) == Some(logical),
            format!("an output {output} of {logical}"),
        );
    }

    fn redrive(&mut self, logical: &str, name: &str) {
        let dlq = format!("{logical}Dlq");
        let target = self.property(logical, "RedrivePolicy")["deadLetterTargetArn"].clone();
        self.is(target.as_str() == Some(&format!("{dlq}.Arn")), format!("{logical}: RedrivePolicy to {dlq}"));
        let sources = self.property(&dlq, "RedriveAllowPolicy")["sourceQueueArns"].clone();
        let allowed = sources[0].as_str().is_some_and(|arn| arn.ends_with(&format!(":{name}")));
        self.is(allowed, format!("{dlq}: RedriveAllowPolicy for {name}"));
    }

    fn rule(&mut self, logical: &str, category: &str) {
        let rule = format!("{logical}Rule");
        // With restatements, as an object; without, as a text.
        let patterns = self.property(&rule, "EventPattern");
        let all = &patterns[1];
        let is_all = all["source"][0].as_str() == Some("tollgate")
            && all["detail"]["category"][0].as_str() == Some(category);
        let first = json!({"source": ["tollgate"], "detail": {"category": [category], "restates": [null, {"exists": false}]}});
        let is_first = patterns[2].as_str().and_then(|text| serde_json::from_str(text).ok()) == Some(first);
        self.is(is_all && is_first, format!("a rule {rule} for the category {category}"));
        let target = self.property(&rule, "Targets")[0].clone();
        let is_target = target["Arn"].as_str() == Some(&format!("{logical}.Arn"))
            && target["DeadLetterConfig"]["Arn"].as_str() == Some("EventBridgeDlq.Arn");
        self.is(is_target, format!("{rule}: {logical} as its target, with dead letters"));
    }
}

#[test]
fn the_template_has_every_queue_with_all_that_belongs_to_it() {
    let mut check = Check {
        resources: section(TEMPLATE, "Resources").into_iter().collect(),
        outputs: section(TEMPLATE, "Outputs").into_iter().collect(),
        missing: Vec::new(),
    };
    for queue in Queue::ALL {
        let (logical, stem, ending) = (queue.logical(), queue.stem(), queue.ending());
        let name = format!("{stem}-${{EnvironmentSuffix}}{ending}");
        let dead_letters = format!("{stem}-dlq-${{EnvironmentSuffix}}{ending}");
        // By who may send to it; of dead letters, beside SQS itself.
        let (policy, of_dead_letters) = match queue {
            Queue::Intake | Queue::IntakeOrdered => ("IntakesPolicy", "QuarantinePolicy"),
            Queue::Archive => ("ArchiveQueuePolicy", "DeadLettersPolicy"),
            _ => ("RoutedQueuesPolicy", "DeadLettersPolicy"),
        };
        check.queue(logical, &name, &format!("{logical}QueueUrl"), policy);
        check.queue(&format!("{logical}Dlq"), &dead_letters, &format!("{logical}DlqUrl"), of_dead_letters);
        check.redrive(logical, &name);
        if let Reader::Consumer(category) = queue.reader() {
            check.rule(logical, category.as_str());
        }
    }
    assert!(
        check.missing.is_empty(),
        "{TEMPLATE} lacks, of what crates/core/src/queue.rs asks for:\n{}",
        check.missing.join("\n")
    );
}

#[test]
fn the_template_has_no_other_queue_that_is_redriven() {
    for (logical, resource) in section(TEMPLATE, "Resources") {
        if !resource["Properties"]["RedrivePolicy"].is_badvalue() {
            let is_known = Queue::ALL.iter().any(|queue| queue.logical() == logical);
            assert!(is_known, "{logical} is not in crates/core/src/queue.rs");
        }
    }
}

/// Who deploys may make the queues.
#[test]
fn the_deployer_may_make_every_queue() {
    let policy: Value = serde_json::from_str(&read(DEPLOYER)).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let queues = statements.iter().find(|statement| statement["Sid"] == "Queues").unwrap();
    let allowed: Vec<&str> =
        queues["Resource"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap()).collect();
    for queue in Queue::ALL {
        let arn = format!("arn:PARTITION:sqs:*:ACCOUNT:{}*-SUFFIX{}", queue.stem(), queue.ending());
        let prefixes = |allowed: &&&str| {
            let (begin, end) = allowed.split_once("*-SUFFIX").unwrap_or((allowed, "none"));
            arn.starts_with(begin) && queue.ending() == end
        };
        assert!(allowed.iter().any(|one| prefixes(&one)), "{DEPLOYER} has nothing for {arn}");
    }
}
