//! Signing keys from Secrets Manager and SSM Parameter Store: the current version and the one before it, so that a
//! rotation never refuses a webhook.

use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use serde_json::Value;
use tollgate_pipeline::ports::{PortError, PortResult, Secrets};
use tollgate_providers::{KeyMaterial, Secret};
use tracing::warn;

use crate::error::{is_forbidden, port_error};

/// What Secrets Manager and Parameter Store answer where the key that encrypts a value is disabled or gone.
const UNREADABLE: [&str; 2] = ["DecryptionFailure", "InvalidKeyId"];

/// Keys by reference: `secretsmanager:NAME` or `ssm:NAME`.
#[derive(Debug, Clone)]
pub struct AwsSecrets {
    manager: aws_sdk_secretsmanager::Client,
    ssm: aws_sdk_ssm::Client,
}

impl AwsSecrets {
    /// Keys from both services.
    pub fn new(manager: aws_sdk_secretsmanager::Client, ssm: aws_sdk_ssm::Client) -> Self {
        Self { manager, ssm }
    }

    async fn manager_keys(&self, name: &str) -> PortResult<Vec<KeyMaterial>> {
        let (current, previous) =
            futures_util::join!(self.stage(name, "AWSCURRENT"), self.stage(name, "AWSPREVIOUS"));
        let current = current?.ok_or_else(|| PortError::permanent("secretsmanager", "secret not found"))?;
        let mut keys = parse("current", &current);
        match previous {
            Ok(Some(previous)) => add(&mut keys, parse("previous", &previous)),
            Ok(None) => {}
            Err(problem) => without_previous(name, problem)?,
        }
        Ok(keys)
    }

    async fn stage(&self, name: &str, stage: &str) -> PortResult<Option<String>> {
        let answer = self.manager.get_secret_value().secret_id(name).version_stage(stage).send().await;
        match answer {
            Ok(answer) => Ok(answer.secret_string),
            Err(problem) => match problem.as_service_error() {
                Some(GetSecretValueError::ResourceNotFoundException(_)) => Ok(None),
                _ => Err(port_error("secretsmanager", &problem)),
            },
        }
    }

    async fn parameter_keys(&self, name: &str) -> PortResult<Vec<KeyMaterial>> {
        let (current, version) = self.parameter(name).await?;
        let mut keys = parse("current", &current);
        if version > 1 {
            match self.parameter(&format!("{name}:{}", version - 1)).await {
                Ok((previous, _)) => add(&mut keys, parse("previous", &previous)),
                // Parameter Store keeps a hundred versions: an older one may be gone.
                Err(PortError::Permanent { .. }) => {}
                Err(problem) => without_previous(name, problem)?,
            }
        }
        Ok(keys)
    }

    async fn parameter(&self, name: &str) -> PortResult<(String, i64)> {
        let answer = self.ssm.get_parameter().name(name).with_decryption(true).send().await;
        let parameter = answer.map_err(|problem| port_error("ssm", &problem))?.parameter;
        parameter
            .and_then(|parameter| Some((parameter.value?, parameter.version)))
            .ok_or_else(|| PortError::permanent("ssm", "parameter has no value"))
    }
}

impl Secrets for AwsSecrets {
    async fn keys(&self, reference: &str) -> PortResult<Vec<KeyMaterial>> {
        match reference.split_once(':') {
            Some(("secretsmanager", name)) => self.manager_keys(name).await,
            Some(("ssm", name)) => self.parameter_keys(name).await,
            _ => Err(PortError::permanent("secrets", "reference is neither secretsmanager: nor ssm:")),
        }
    }
}

/// Goes on with the current version, which is enough, where the one before it stays unreadable: it is encrypted under a key
/// that we may no longer use, or that is gone.
///
/// # Errors
///
/// `problem`, where it may pass.
fn without_previous(name: &str, problem: PortError) -> PortResult<()> {
    let stays = match &problem {
        PortError::Permanent { .. } => true,
        PortError::Retryable { detail, .. } => {
            is_forbidden(&problem) || UNREADABLE.contains(&detail.as_str())
        }
    };
    if !stays {
        return Err(problem);
    }
    warn!(error = %problem, name, "a key's previous version cannot be read");
    Ok(())
}

/// Adds the older version's keys. A list may keep an id from one version to the next: with the same key it is one
/// key; with another, the older stays under a name of its own, since webhooks signed with it may still arrive.
fn add(keys: &mut Vec<KeyMaterial>, older: Vec<KeyMaterial>) {
    for mut key in older.into_iter().map(KeyMaterial::previous) {
        match keys.iter().find(|known| known.id == key.id) {
            Some(known) if known.secret.is_same(&key.secret) => continue,
            Some(_) => key.id.push_str(" (previous)"),
            None => {}
        }
        keys.push(key);
    }
}

/// A secret's value is the key itself, or `{"keys":[{"id":"2026-01","value":"…"}]}` for several at once.
fn parse(stage: &str, value: &str) -> Vec<KeyMaterial> {
    let listed = value.starts_with('{').then(|| serde_json::from_str::<Value>(value).ok()).flatten();
    let keys = listed.as_ref().and_then(|value| value.get("keys")).and_then(Value::as_array);
    let Some(keys) = keys else {
        return vec![KeyMaterial::unnamed(stage, Secret::new(value))];
    };
    keys.iter()
        .enumerate()
        .filter_map(|(index, key)| {
            let secret = Secret::new(key.get("value")?.as_str()?);
            Some(match key.get("id").and_then(Value::as_str) {
                Some(id) => KeyMaterial::new(id, secret),
                None => KeyMaterial::unnamed(format!("{stage}-{index}"), secret),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_kept_for_another_key_keeps_both() {
        let mut keys = parse("current", r#"{"keys":[{"id":"a","value":"1"},{"id":"b","value":"2"}]}"#);
        add(&mut keys, parse("previous", r#"{"keys":[{"id":"a","value":"1"},{"id":"b","value":"0"}]}"#));
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "b (previous)"]);
        let provider_ids: Vec<_> = keys.iter().filter_map(|key| key.provider_id.as_deref()).collect();
        assert_eq!(provider_ids, ["a", "b", "b"], "the provider calls both by the one id");
    }

    #[test]
    fn only_the_older_versions_keys_are_previous() {
        let mut keys = parse("current", r#"{"keys":[{"id":"a","value":"1"},{"id":"b","value":"2"}]}"#);
        add(&mut keys, parse("previous", r#"{"keys":[{"id":"b","value":"0"},{"id":"c","value":"3"}]}"#));
        let previous: Vec<_> = keys.iter().filter(|key| key.is_previous).map(|key| key.id.as_str()).collect();
        assert_eq!(previous, ["b (previous)", "c"]);
    }

    #[test]
    fn a_previous_version_that_stays_unreadable_is_done_without() {
        for stays in ["AccessDeniedException", "DecryptionFailure", "InvalidKeyId"] {
            assert!(without_previous("x", PortError::retryable("secretsmanager", stays)).is_ok(), "{stays}");
        }
        assert!(without_previous("x", PortError::permanent("secretsmanager", "no value")).is_ok());
        for passes in ["ThrottlingException", "InternalServiceError", "timed out", "not reached"] {
            assert!(
                without_previous("x", PortError::retryable("secretsmanager", passes)).is_err(),
                "{passes}"
            );
        }
    }

    #[test]
    fn a_secret_is_a_key_or_a_list_of_keys() {
        let ids = |value| parse("current", value).into_iter().map(|key| key.id).collect::<Vec<_>>();
        assert_eq!(ids("whsec_abc"), ["current"]);
        assert_eq!(ids(r#"{"keys":[{"id":"a","value":"x"},{"value":"y"},{"id":"z"}]}"#), ["a", "current-1"]);
        // A JSON Web Key is JSON too, and is the key itself.
        assert_eq!(ids(r#"{"kty":"EC"}"#), ["current"]);
    }
}
