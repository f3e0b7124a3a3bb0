//! infra/policies/deployer.json against what the templates make. Needs no platform.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use yaml_rust2::YamlLoader;

use crate::platform::root;

/// What making and removing a resource of each type takes. A type that is missing here is a question to answer.
const NEEDED: [(&str, &[&str]); 51] = [
    ("AWS::ApiGateway::Account", &["apigateway:PATCH", "iam:PassRole"]),
    ("AWS::ApiGateway::ApiKey", HTTP),
    ("AWS::ApiGateway::BasePathMapping", HTTP),
    ("AWS::ApiGateway::Deployment", HTTP),
    ("AWS::ApiGateway::DomainName", HTTP),
    ("AWS::ApiGateway::GatewayResponse", HTTP),
    ("AWS::ApiGateway::Method", HTTP),
    ("AWS::ApiGateway::Model", HTTP),
    ("AWS::ApiGateway::RequestValidator", HTTP),
    ("AWS::ApiGateway::Resource", HTTP),
    ("AWS::ApiGateway::RestApi", HTTP),
    ("AWS::ApiGateway::Stage", HTTP),
    ("AWS::ApiGateway::UsagePlan", HTTP),
    ("AWS::ApiGateway::UsagePlanKey", HTTP),
    ("AWS::ApiGatewayV2::Api", HTTP),
    ("AWS::ApiGatewayV2::ApiMapping", HTTP),
    ("AWS::ApiGatewayV2::Integration", HTTP),
    ("AWS::ApiGatewayV2::Route", HTTP),
    ("AWS::ApiGatewayV2::Stage", HTTP),
    ("AWS::CloudWatch::Alarm", &["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"]),
    ("AWS::CloudWatch::CompositeAlarm", &["cloudwatch:PutCompositeAlarm", "cloudwatch:DeleteAlarms"]),
    ("AWS::CloudWatch::Dashboard", &["cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"]),
    ("AWS::CodeDeploy::Application", &["codedeploy:CreateApplication", "codedeploy:DeleteApplication"]),
    (
        "AWS::CodeDeploy::DeploymentGroup",
        &[
            "codedeploy:CreateDeploymentGroup",
            "codedeploy:DeleteDeploymentGroup",
            "codedeploy:CreateDeployment",
        ],
    ),
    (
        "AWS::DynamoDB::GlobalTable",
        &[
            "dynamodb:CreateTable",
            "dynamodb:CreateTableReplica",
            "dynamodb:DeleteTableReplica",
            "iam:CreateServiceLinkedRole",
        ],
    ),
    (
        "AWS::DynamoDB::Table",
        &[
            "dynamodb:CreateTable",
            "dynamodb:DeleteTable",
            "dynamodb:UpdateContinuousBackups",
            "dynamodb:UpdateTimeToLive",
        ],
    ),
    ("AWS::ECR::Repository", &["ecr:CreateRepository", "ecr:DeleteRepository", "ecr:PutLifecyclePolicy"]),
    ("AWS::Events::Archive", &["events:CreateArchive", "events:DeleteArchive"]),
    ("AWS::Events::EventBus", &["events:CreateEventBus", "events:DeleteEventBus"]),
    (
        "AWS::Events::Rule",
        &["events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:DeleteRule"],
    ),
    ("AWS::IAM::Role", &["iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:DeleteRole"]),
    ("AWS::KMS::Alias", &["kms:CreateAlias", "kms:DeleteAlias"]),
    (
        "AWS::KMS::Key",
        &["kms:CreateKey", "kms:PutKeyPolicy", "kms:EnableKeyRotation", "kms:ScheduleKeyDeletion"],
    ),
    ("AWS::Lambda::Alias", &["lambda:CreateAlias", "lambda:UpdateAlias", "lambda:DeleteAlias"]),
    (
        "AWS::Lambda::EventInvokeConfig",
        &["lambda:PutFunctionEventInvokeConfig", "lambda:DeleteFunctionEventInvokeConfig"],
    ),
    (
        "AWS::Lambda::EventSourceMapping",
        &["lambda:CreateEventSourceMapping", "lambda:DeleteEventSourceMapping"],
    ),
    (
        "AWS::Lambda::Function",
        &[
            "lambda:CreateFunction",
            "lambda:UpdateFunctionCode",
            "lambda:PutFunctionConcurrency",
            "lambda:DeleteFunction",
            "ecr:BatchGetImage",
            "iam:PassRole",
        ],
    ),
    ("AWS::Lambda::Permission", &["lambda:AddPermission", "lambda:RemovePermission"]),
    ("AWS::Lambda::Url", &["lambda:CreateFunctionUrlConfig", "lambda:DeleteFunctionUrlConfig"]),
    ("AWS::Lambda::Version", &["lambda:PublishVersion", "lambda:DeleteFunction"]),
    (
        "AWS::Logs::LogGroup",
        &["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:AssociateKmsKey", "logs:DeleteLogGroup"],
    ),
    ("AWS::Logs::ResourcePolicy", &["logs:PutResourcePolicy", "logs:DeleteResourcePolicy"]),
    (
        "AWS::S3::Bucket",
        &[
            "s3:CreateBucket",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutBucketVersioning",
            "s3:PutEncryptionConfiguration",
            "s3:PutLifecycleConfiguration",
            "s3:PutBucketObjectLockConfiguration",
            "s3:ListBucketVersions",
            "s3:DeleteObjectVersion",
            "s3:DeleteBucket",
        ],
    ),
    ("AWS::S3::BucketPolicy", &["s3:PutBucketPolicy", "s3:DeleteBucketPolicy"]),
    ("AWS::SNS::Subscription", &["sns:Subscribe", "sns:Unsubscribe"]),
    ("AWS::SNS::Topic", &["sns:CreateTopic", "sns:DeleteTopic"]),
    ("AWS::SNS::TopicPolicy", &["sns:SetTopicAttributes"]),
    ("AWS::SQS::Queue", &["sqs:CreateQueue", "sqs:SetQueueAttributes", "sqs:DeleteQueue"]),
    ("AWS::SQS::QueuePolicy", &["sqs:SetQueueAttributes"]),
    ("AWS::SSM::Parameter", &["ssm:PutParameter", "ssm:AddTagsToResource", "ssm:DeleteParameter"]),
    (
        "AWS::StepFunctions::StateMachine",
        &["states:CreateStateMachine", "states:DeleteStateMachine", "iam:PassRole"],
    ),
];
const HTTP: &[&str] = &["apigateway:POST", "apigateway:PATCH", "apigateway:DELETE"];
/// What the scripts call themselves, beside CloudFormation.
const SCRIPTS: [&str; 14] = [
    "cloudformation:CreateChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:DescribeStackEvents",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:GetTemplateSummary",
    "dynamodb:DescribeTable",
    "ecr:GetAuthorizationToken",
    "ecr:PutImage",
    "s3:PutObject",
    "secretsmanager:CreateSecret",
    "secretsmanager:DeleteSecret",
    "secretsmanager:ListSecrets",
    "ssm:DeleteParameter",
    "ssm:PutParameter",
];

#[test]
fn the_deployer_may_make_and_remove_what_the_templates_hold() {
    let granted = granted();
    let may = |action: &str| {
        granted.iter().any(|one| match one.strip_suffix('*') {
            Some(start) => action.starts_with(start),
            None => one == action,
        })
    };
    for kind in kinds() {
        let (_, needed) =
            NEEDED.iter().find(|(one, _)| *one == kind).unwrap_or_else(|| panic!("what does {kind} take?"));
        for action in *needed {
            assert!(may(action), "{kind} takes {action}");
        }
    }
    for action in SCRIPTS {
        assert!(may(action), "the scripts call {action}");
    }
}

#[test]
fn the_deployer_may_not_do_everything_to_everything() {
    for statement in statements() {
        let id = statement["Sid"].as_str().unwrap();
        for resource in texts(&statement["Resource"]) {
            assert_eq!(resource == "*", id == "Unnamed", "{id}: {resource}");
        }
    }
    for action in granted() {
        assert!(action != "*" && !action.ends_with(":*"), "{action}");
    }
    let passing = statements()
        .into_iter()
        .find(|one| texts(&one["Action"]).contains(&"iam:PassRole".to_owned()))
        .unwrap();
    assert!(passing["Condition"]["StringEquals"]["iam:PassedToService"].is_array());
}

/// The quota of a role's inline policies, without white space (IAM user guide, "IAM and AWS STS quotas").
#[test]
fn the_deployers_policy_fits_a_role() {
    let text = fs::read_to_string(root().join("infra/policies/deployer.json")).unwrap();
    let longest = text.replace("ACCOUNT", "000000000000").replace("SUFFIX", &"x".repeat(20));
    let length = longest.chars().filter(|c| !c.is_whitespace()).count();
    assert!(length <= 10_240, "{length} characters");
}

fn kinds() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("infra")).unwrap().map(|file| file.unwrap().path());
    let templates = files.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    templates
        .flat_map(|path| {
            let template = YamlLoader::load_from_str(&fs::read_to_string(path).unwrap()).unwrap().remove(0);
            let resources = template["Resources"].as_hash().unwrap().clone();
            resources.into_iter().map(|(_, resource)| resource["Type"].as_str().unwrap().to_owned())
        })
        .collect()
}

fn statements() -> Vec<Value> {
    let text = fs::read_to_string(root().join("infra/policies/deployer.json")).unwrap();
    let policy: Value = serde_json::from_str(&text).unwrap();
    policy["Statement"].as_array().unwrap().clone()
}

fn granted() -> BTreeSet<String> {
    statements().iter().flat_map(|statement| texts(&statement["Action"])).collect()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
