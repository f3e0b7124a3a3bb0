//! The deployment's own KMS key.

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;
use tollgate_aws::{
    error::port_error,
    json_service::{Call, JsonService},
};
use tollgate_pipeline::ports::PortError;

use super::model::Finding;
use crate::aws::Aws;

const CHECK: &str = "kms key";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    key_metadata: Own,
}

/// A key.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Own {
    key_id: String,
    #[serde(default)]
    arn: String,
    #[serde(default)]
    key_state: String,
}

impl Own {
    /// Whether an id or an ARN is this key's.
    pub(super) fn is(&self, key: &str) -> bool {
        key == self.key_id || key == self.arn || key.ends_with(&format!(":key/{}", self.key_id))
    }
}

/// The key behind the environment's alias; `None` where it has none of its own.
pub(super) async fn find(aws: &Aws) -> anyhow::Result<Option<Own>> {
    let service = JsonService {
        config: aws.config.clone(),
        name: "kms",
        signing_name: "kms",
        target: "TrentService",
        json_version: "1.1",
        url: aws.url_of("kms"),
    };
    let call: Call<Described> = service.call("DescribeKey")?;
    let asked = json!({ "KeyId": aws.names.key_alias() }).to_string();
    match call.invoke(asked).await.map_err(|problem| port_error("kms", &problem)) {
        Ok(found) => Ok(Some(found.key_metadata)),
        Err(PortError::Retryable { detail, .. } | PortError::Permanent { detail, .. })
            if detail == "NotFoundException" =>
        {
            Ok(None)
        }
        Err(problem) => Err(problem).context("asking for the key"),
    }
}

/// Whether it can be used.
pub(super) async fn check(aws: &Aws) -> Vec<Finding> {
    let alias = aws.names.key_alias();
    vec![match find(aws).await {
        Ok(None) => Finding::ok(CHECK, alias, "no key of its own: AWS's keys encrypt"),
        Ok(Some(own)) if own.key_state == "Enabled" => Finding::ok(CHECK, alias, "enabled"),
        Ok(Some(own)) => Finding::fail(
            CHECK,
            alias,
            format!("{}: nothing can be read or written", own.key_state),
            "docs/runbook.md#key-disabled",
        ),
        Err(problem) => Finding::unknown(CHECK, alias, &problem),
    }]
}
