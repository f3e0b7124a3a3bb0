//! What the template of the image repositories promises. Needs no platform.

use std::fs;

use yaml_rust2::{Yaml, YamlLoader};

use crate::platform::root;

/// The logical name, the repository's name without the suffix, and the parameter that its image becomes.
const REPOSITORIES: [(&str, &str, &str); 4] = [
    ("Validator", "webhook-validator", "ValidatorImage"),
    ("Processor", "webhook-processor", "ProcessorImage"),
    ("Archival", "transaction-archival", "ArchivalImage"),
    ("FraudDetector", "fraud-detector", "FraudDetectorImage"),
];

fn template() -> Yaml {
    let text = fs::read_to_string(root().join("infra/repositories.yaml")).unwrap();
    YamlLoader::load_from_str(&text).unwrap().remove(0)
}

#[test]
fn there_is_a_repository_for_each_image_and_no_other() {
    let template = template();
    let resources = template["Resources"].as_hash().unwrap();
    assert_eq!(resources.len(), REPOSITORIES.len());
    let push = fs::read_to_string(root().join("scripts/push")).unwrap();
    for (logical, name, parameter) in REPOSITORIES {
        let repository = &template["Resources"][logical];
        assert_eq!(repository["Type"].as_str(), Some("AWS::ECR::Repository"), "{logical}");
        let given = repository["Properties"]["RepositoryName"].as_str().unwrap();
        assert_eq!(given, format!("{name}-${{EnvironmentSuffix}}"));
        assert!(push.contains(&format!("(\"{name}\", \"{parameter}\")")), "scripts/push pushes to {name}");
    }
}

#[test]
fn tags_do_not_move_pushes_are_scanned_and_images_encrypted() {
    let template = template();
    for (logical, ..) in REPOSITORIES {
        let properties = &template["Resources"][logical]["Properties"];
        assert_eq!(properties["ImageTagMutability"].as_str(), Some("IMMUTABLE"), "{logical}");
        assert_eq!(properties["ImageScanningConfiguration"]["ScanOnPush"].as_bool(), Some(true), "{logical}");
        // With the key and without.
        let [condition, with, without] = properties["EncryptionConfiguration"].as_vec().unwrap().as_slice()
        else {
            panic!("{logical}: encryption is not a choice of two")
        };
        assert_eq!(condition.as_str(), Some("HasKey"));
        assert_eq!(
            (with["EncryptionType"].as_str(), with["KmsKey"].as_str()),
            (Some("KMS"), Some("KmsKeyArn"))
        );
        assert_eq!(without["EncryptionType"].as_str(), Some("AES256"), "{logical}");
    }
}

#[test]
fn the_last_ten_images_are_kept() {
    let template = template();
    assert_eq!(template["Parameters"]["KeepImages"]["Default"].as_i64(), Some(10));
    for (logical, ..) in REPOSITORIES {
        let text =
            template["Resources"][logical]["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"].as_str();
        let policy: serde_json::Value =
            serde_json::from_str(&text.unwrap().replace("${KeepImages}", "10")).unwrap();
        let [rule] = policy["rules"].as_array().unwrap().as_slice() else { panic!("{logical}: one rule") };
        assert_eq!(rule["action"]["type"], "expire");
        assert_eq!(
            rule["selection"],
            serde_json::json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10})
        );
    }
}

#[test]
fn only_lambda_of_this_account_reads_and_only_for_its_functions() {
    let template = template();
    for (logical, ..) in REPOSITORIES {
        let policy = &template["Resources"][logical]["Properties"]["RepositoryPolicyText"]["Statement"];
        let [statement] = policy.as_vec().unwrap().as_slice() else { panic!("{logical}: one statement") };
        assert_eq!(statement["Principal"]["Service"].as_str(), Some("lambda.amazonaws.com"));
        let actions: Vec<_> =
            statement["Action"].as_vec().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        assert_eq!(actions, ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
        let condition = &statement["Condition"];
        assert_eq!(condition["StringEquals"]["aws:SourceAccount"].as_str(), Some("AWS::AccountId"));
        let functions = condition["ArnLike"]["aws:SourceArn"].as_str().unwrap();
        assert!(functions.ends_with(":function:*-${EnvironmentSuffix}"), "{functions}");
    }
}
