//! The normal intake, for an event that nobody sent: the validator claims it, makes it durable and answers, as for a webhook.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_aws::lambda::Function;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_pipeline::retrieved::{self, Sealed};
use tollgate_providers::{Endpoint, KeyMaterial, KeyRing, Secret};

use crate::aws::Aws;

/// Where events are handed over: the validator, which believes what is signed with the environment's own key for that. Only the role
/// has the key to which `infra/policies/ingesters.json` is given.
#[derive(Debug)]
pub struct Intake {
    function: Function,
    signer: Endpoint,
    keys: KeyRing,
}

/// What came of handing an event over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Handed {
    /// It was new, and is in the intake.
    TakenIn {
        /// The delivery that it became.
        webhook_id: String,
    },
    /// It was known meanwhile: nothing changed but that its message was made sure of, where it was not processed yet.
    Known {
        /// The delivery that it became.
        webhook_id: String,
    },
    /// The provider was asked to send it again.
    Resent,
    /// It was not taken in.
    Refused {
        /// Why.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    body: String,
}

impl Intake {
    /// The environment's.
    ///
    /// # Errors
    ///
    /// When there is no key to sign with, or AWS does not give it.
    pub async fn of(aws: &Aws) -> anyhow::Result<Self> {
        let name = retrieved::key_name(aws.names.suffix());
        let signer =
            retrieved::signer(&format!("secretsmanager:{name}")).context("no scheme to sign with")?;
        let secrets = aws_sdk_secretsmanager::Client::new(&aws.config);
        let value = secrets.get_secret_value().secret_id(&name).send().await;
        let value = value.map_err(aws_sdk_secretsmanager::Error::from);
        let value =
            value.with_context(|| format!("reading {name}, which tollgate endpoints api-key makes"))?;
        let text = value.secret_string.with_context(|| format!("{name} has no text"))?;
        let keys = signer.keys(vec![KeyMaterial::unnamed("current", Secret::new(text))])?;
        let function = Function::new(&aws.config, &aws.url_of("lambda"), &aws.names.validator())?;
        Ok(Self { function, signer, keys })
    }

    /// Hands an event over. `at` is now.
    ///
    /// # Errors
    ///
    /// When the function was not reached, or gives no answer of its own: whether the event was taken is then not known, and to hand
    /// it over again does no harm.
    pub async fn hand_over(
        &self,
        endpoint: &EndpointId,
        event_id: &str,
        body: &[u8],
        at: Timestamp,
    ) -> anyhow::Result<Handed> {
        let sealed = Sealed::new(&self.signer, &self.keys, *endpoint, event_id, body, at)?;
        let answer = self.function.invoke(serde_json::to_string(&sealed)?).await?;
        handed(serde_json::from_slice(&answer).unwrap_or_default())
    }
}

fn handed(answer: Value) -> anyhow::Result<Handed> {
    let Ok(answer) = serde_json::from_value::<Answer>(answer) else {
        bail!("the validator failed: see its log")
    };
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_known = text("message") == "Duplicate event" || text("error") == "Duplicate event";
    let webhook_id = text("webhook_id");
    Ok(match answer.status_code {
        200 | 409 if is_known => Handed::Known { webhook_id },
        200 => Handed::TakenIn { webhook_id },
        503 => bail!("the validator is not available: say it again"),
        status => Handed::Refused { why: format!("{status}: {}", text("error")) },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_validators_answer_is_read() {
        let answer = |status: u16, body: Value| json!({ "statusCode": status, "headers": {}, "body": body.to_string() });
        let webhook_id = || "wh_1".to_owned();
        let taken = json!({ "message": "Event validated and queued for processing", "webhook_id": "wh_1" });
        assert_eq!(handed(answer(200, taken)).unwrap(), Handed::TakenIn { webhook_id: webhook_id() });
        for (status, name) in [(200, "message"), (409, "error")] {
            let known = json!({ name: "Duplicate event", "webhook_id": "wh_1" });
            assert_eq!(handed(answer(status, known)).unwrap(), Handed::Known { webhook_id: webhook_id() });
        }
        let refused = handed(answer(404, json!({ "error": "unknown endpoint" }))).unwrap();
        assert_eq!(refused, Handed::Refused { why: "404: unknown endpoint".to_owned() });
        assert!(handed(answer(503, json!({}))).is_err());
        assert!(handed(json!({ "errorMessage": "timed out" })).is_err());
    }
}
