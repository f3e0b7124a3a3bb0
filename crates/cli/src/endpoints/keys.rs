//! Signing keys: made, stored, rotated and read, never shown.

use std::{fmt, path::Path};

use anyhow::{Context, bail};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_sdk_secretsmanager::operation::{
    describe_secret::DescribeSecretError, get_secret_value::GetSecretValueError,
    put_secret_value::PutSecretValueError,
};
use aws_sdk_ssm::{operation::get_parameter::GetParameterError, types::ParameterType};
use base64::{Engine, engine::general_purpose};
use serde::Deserialize;
use tokio::sync::OnceCell;
use tollgate_aws::secrets::AwsSecrets;
use tollgate_core::id::to_hex;
use tollgate_pipeline::ports::Secrets;
use tollgate_providers::{
    Endpoint, KeyMaterial, Secret,
    catalogue::{self, KeyMaker},
};

use tollgate_operate::aws::Aws;

/// Where an endpoint's key is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    SecretsManager(String),
    Ssm(String),
}

impl Reference {
    /// Reads `secretsmanager:NAME` or `ssm:NAME`. The text is not repeated in the error: people paste keys.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        match text.split_once(':') {
            Some(("secretsmanager", name)) if !name.is_empty() => Ok(Self::SecretsManager(name.to_owned())),
            Some(("ssm", name)) if !name.is_empty() => Ok(Self::Ssm(name.to_owned())),
            _ => bail!("must be secretsmanager:NAME or ssm:NAME, where the key is kept; never a key itself"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager(name) => write!(f, "secretsmanager:{name}"),
            Self::Ssm(name) => write!(f, "ssm:{name}"),
        }
    }
}

/// A key's text. Not printable.
#[derive(Clone)]
pub(crate) struct KeyText(String);

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(..)")
    }
}

impl KeyText {
    /// Takes a stored value's or a file's text; the line's end that editors add is no part of it.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Takes a file's text; that of stdin, for `-`.
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = if path.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(path)
        };
        Ok(Self::new(&text.with_context(|| format!("reading {}", path.display()))?))
    }

    /// The text itself, which belongs in no output.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The keys in it: the bare text, or `{"keys":[{"id":"...","value":"..."}]}`.
    pub(crate) fn keys(&self, default_id: &str) -> Vec<KeyMaterial> {
        let listed: Option<Stored> = serde_json::from_str(&self.0).ok();
        match listed {
            Some(stored) => {
                let key = |one: StoredKey| KeyMaterial::new(one.id, Secret::new(one.value));
                stored.keys.into_iter().map(key).collect()
            }
            None => vec![KeyMaterial::unnamed(default_id, Secret::new(self.0.clone()))],
        }
    }
}

#[derive(Deserialize)]
struct Stored {
    keys: Vec<StoredKey>,
}

#[derive(Deserialize)]
struct StoredKey {
    id: String,
    value: String,
}

/// What the description of a secret begins with that has a webhook's key. The webhook's id follows.
const OF_WEBHOOK: &str = "key of webhook ";
/// The key of Secrets Manager's own, where a deployment has none (Secrets Manager API reference, UpdateSecret).
const AWS_KEY: &str = "alias/aws/secretsmanager";

/// Secrets Manager and SSM's secure strings.
#[derive(Debug, Clone)]
pub(crate) struct KeyStore {
    secrets: aws_sdk_secretsmanager::Client,
    ssm: aws_sdk_ssm::Client,
    key_parameter: String,
    /// Read once.
    encryption_key: OnceCell<Option<String>>,
}

impl KeyStore {
    pub(crate) fn new(aws: &Aws) -> Self {
        Self {
            secrets: aws_sdk_secretsmanager::Client::new(&aws.config),
            ssm: aws_sdk_ssm::Client::new(&aws.config),
            key_parameter: aws.names.key_parameter(),
            encryption_key: OnceCell::new(),
        }
    }

    /// The current value, if there is one.
    pub(crate) async fn current(&self, reference: &Reference) -> anyhow::Result<Option<KeyText>> {
        match reference {
            Reference::SecretsManager(name) => {
                let answer = self.secrets.get_secret_value().secret_id(name).send().await;
                match answer {
                    Ok(found) => Ok(found.secret_string().map(KeyText::new)),
                    Err(problem)
                        if problem
                            .as_service_error()
                            .is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
                    {
                        Ok(None)
                    }
                    Err(problem) => Err(aws_sdk_secretsmanager::Error::from(problem))
                        .with_context(|| format!("reading {reference}")),
                }
            }
            Reference::Ssm(name) => {
                let answer = self.ssm.get_parameter().name(name).with_decryption(true).send().await;
                match answer {
                    Ok(found) => Ok(found.parameter().and_then(|p| p.value()).map(KeyText::new)),
                    Err(problem)
                        if problem
                            .as_service_error()
                            .is_some_and(GetParameterError::is_parameter_not_found) =>
                    {
                        Ok(None)
                    }
                    Err(problem) => {
                        Err(aws_sdk_ssm::Error::from(problem)).with_context(|| format!("reading {reference}"))
                    }
                }
            }
        }
    }

    /// Takes a secret's deletion back where it waits for it, as after `scripts/operate/destroy`, and says whether it did. Encrypts it
    /// with this deployment's key where it has another, which was another deployment's: no function may use that one, and what
    /// it encrypts is lost with it. That is looked at each time, since whoever restored it may not have come so far.
    ///
    /// # Errors
    ///
    /// When AWS does not answer, or refuses. To begin again does no harm.
    pub(crate) async fn restore(&self, reference: &Reference) -> anyhow::Result<bool> {
        let Reference::SecretsManager(name) = reference else { return Ok(false) };
        let described = match self.secrets.describe_secret().secret_id(name).send().await {
            Ok(found) => found,
            Err(problem)
                if problem
                    .as_service_error()
                    .is_some_and(DescribeSecretError::is_resource_not_found_exception) =>
            {
                return Ok(false);
            }
            Err(problem) => {
                return Err(aws_sdk_secretsmanager::Error::from(problem))
                    .with_context(|| format!("looking at {reference}"));
            }
        };
        let waits = described.deleted_date().is_some();
        if waits {
            self.secrets
                .restore_secret()
                .secret_id(name)
                .send()
                .await
                .map_err(aws_sdk_secretsmanager::Error::from)
                .with_context(|| format!("restoring {reference}, which waits for its deletion"))?;
        }
        let key = self.encryption_key().await?.unwrap_or_else(|| AWS_KEY.to_owned());
        // Secrets Manager names no key where it is its own ("DescribeSecret", API reference).
        if key_id(described.kms_key_id().unwrap_or(AWS_KEY)) == key_id(&key) {
            return Ok(waits);
        }
        self.secrets
            .update_secret()
            .secret_id(name)
            .kms_key_id(key)
            .send()
            .await
            .map_err(aws_sdk_secretsmanager::Error::from)
            .with_context(|| {
                format!(
                    "{reference} is there and cannot be encrypted with this deployment's key: is the key of before to be deleted? \
                     docs/runbook.md, A suffix is used again"
                )
            })?;
        Ok(waits)
    }

    /// The webhook of the provider whose key is kept, where that was [noted](Self::note_webhook).
    pub(crate) async fn webhook(&self, name: &str) -> anyhow::Result<Option<String>> {
        match self.secrets.describe_secret().secret_id(name).send().await {
            Ok(found) => {
                Ok(found.description().and_then(|text| text.strip_prefix(OF_WEBHOOK)).map(str::to_owned))
            }
            Err(problem)
                if problem
                    .as_service_error()
                    .is_some_and(DescribeSecretError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(problem) => Err(aws_sdk_secretsmanager::Error::from(problem))
                .with_context(|| format!("looking at the secret {name}")),
        }
    }

    /// Notes of which webhook a key is, once the key is kept: in the secret's description.
    pub(crate) async fn note_webhook(&self, name: &str, webhook: &str) -> anyhow::Result<()> {
        let noted =
            self.secrets.update_secret().secret_id(name).description(format!("{OF_WEBHOOK}{webhook}"));
        let noted = noted.send().await.map_err(aws_sdk_secretsmanager::Error::from);
        noted.with_context(|| format!("noting at the secret {name} of which webhook it is"))?;
        Ok(())
    }

    /// Every key that verifies at present, the current one first, as the validator reads them.
    pub(crate) async fn active(&self, reference: &Reference) -> anyhow::Result<Vec<KeyMaterial>> {
        let secrets = AwsSecrets::new(self.secrets.clone(), self.ssm.clone());
        secrets.keys(&reference.to_string()).await.with_context(|| format!("reading {reference}"))
    }

    /// Stores a key where none is.
    pub(crate) async fn put(&self, reference: &Reference, key: &KeyText) -> anyhow::Result<()> {
        match reference {
            Reference::SecretsManager(name) => {
                let created = self
                    .secrets
                    .create_secret()
                    .name(name)
                    .secret_string(&key.0)
                    .set_kms_key_id(self.encryption_key().await?)
                    .send()
                    .await;
                match created {
                    Ok(_) => Ok(()),
                    // It may exist without a value, as a template makes it.
                    Err(problem)
                        if problem.as_service_error().is_some_and(|e| e.is_resource_exists_exception()) =>
                    {
                        self.rotate(reference, key).await
                    }
                    Err(problem) => Err(aws_sdk_secretsmanager::Error::from(problem).into()),
                }
            }
            Reference::Ssm(name) => self.put_parameter(name, &key.0).await,
        }
    }

    /// Makes `key` current and what was current the previous one.
    pub(crate) async fn rotate(&self, reference: &Reference, key: &KeyText) -> anyhow::Result<()> {
        match reference {
            Reference::SecretsManager(name) => {
                let put = self.secrets.put_secret_value().secret_id(name).secret_string(&key.0).send().await;
                match put {
                    Err(problem)
                        if problem
                            .as_service_error()
                            .is_some_and(PutSecretValueError::is_resource_not_found_exception) =>
                    {
                        bail!("{reference} does not exist")
                    }
                    other => {
                        other
                            .map_err(aws_sdk_secretsmanager::Error::from)
                            .with_context(|| format!("writing {reference}"))?;
                        Ok(())
                    }
                }
            }
            // Readers ask for the version before the current one by its number.
            Reference::Ssm(name) => self.put_parameter(name, &key.0).await,
        }
    }

    /// Makes `key` current, and withdraws every key that verified before: the version before the current one verifies too,
    /// so the key is written twice. Readers keep what they have read for their time to live.
    ///
    /// # Errors
    ///
    /// When `key` is one of those that are to be withdrawn, or AWS does not answer. To begin again does no harm.
    pub(crate) async fn replace(&self, reference: &Reference, key: &KeyText) -> anyhow::Result<()> {
        let withdrawn = self.active(reference).await?;
        let stands = |keys: &[KeyMaterial]| {
            keys.iter().any(|key| withdrawn.iter().any(|old| old.secret.is_same(&key.secret)))
        };
        if stands(&key.keys("current")) {
            bail!("the new key is one of those that are to be withdrawn");
        }
        for _ in 0..2 {
            self.rotate(reference, key).await?;
        }
        if stands(&self.active(reference).await?) {
            bail!(
                "{reference} still has a key of before: somebody else has rotated it; see, and revoke again"
            );
        }
        Ok(())
    }

    async fn put_parameter(&self, name: &str, value: &str) -> anyhow::Result<()> {
        self.ssm
            .put_parameter()
            .name(name)
            .r#type(ParameterType::SecureString)
            .overwrite(true)
            .value(value)
            .set_key_id(self.encryption_key().await?)
            .send()
            .await
            .map_err(aws_sdk_ssm::Error::from)
            .with_context(|| format!("writing ssm:{name}"))?;
        Ok(())
    }

    /// The deployment's own KMS key; `None` where AWS's keys are used.
    async fn encryption_key(&self) -> anyhow::Result<Option<String>> {
        self.encryption_key.get_or_try_init(|| self.read_encryption_key()).await.cloned()
    }

    async fn read_encryption_key(&self) -> anyhow::Result<Option<String>> {
        let answer = self.ssm.get_parameter().name(&self.key_parameter).send().await;
        match answer {
            Ok(found) => Ok(found.parameter.and_then(|parameter| parameter.value)),
            Err(problem)
                if problem.as_service_error().is_some_and(GetParameterError::is_parameter_not_found) =>
            {
                Ok(None)
            }
            Err(problem) => Err(aws_sdk_ssm::Error::from(problem))
                .with_context(|| format!("reading ssm:{}", self.key_parameter)),
        }
    }
}

/// What a key's id and its ARN have in common.
fn key_id(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// A random key in the form that the endpoint's scheme wants; `None` where only the provider can make one
/// (certificates, public keys, its own ids).
pub(crate) fn random(endpoint: &Endpoint) -> anyhow::Result<Option<KeyText>> {
    let mut bytes = [0; 64];
    SystemRandom::new().fill(&mut bytes).ok().context("the system has no random bytes")?;
    Ok(form(endpoint, &bytes))
}

/// A random key for a rotation: where the operator makes the keys alone. A provider that issues them would go on signing with its own, and
/// each of its webhooks be refused after the next rotation, with `--revoke` at once.
pub(crate) fn random_for_rotation(endpoint: &Endpoint) -> anyhow::Result<KeyText> {
    if made_by(endpoint.provider().as_str()) != KeyMaker::You {
        bail!("{}: its provider issues the key: hand it in with --secret-file", endpoint.id());
    }
    random(endpoint)?.with_context(|| format!("{}: no key can be made for it", endpoint.id()))
}

/// A key handed in as a file, if the scheme can use it.
pub(crate) fn from_file(path: &Path, endpoint: &Endpoint) -> anyhow::Result<KeyText> {
    let key = KeyText::from_file(path)?;
    endpoint.keys(key.keys("current"))?;
    Ok(key)
}

/// Who makes the keys of this provider; the operator makes those of a custom scheme.
pub(crate) fn made_by(provider: &str) -> KeyMaker {
    catalogue::find(provider).map_or(KeyMaker::You, |row| row.key_made_by)
}

fn form(endpoint: &Endpoint, random: &[u8; 64]) -> Option<KeyText> {
    let (half, _) = random.split_at(32);
    let text = general_purpose::URL_SAFE_NO_PAD.encode(half);
    let whsec = format!("whsec_{}", general_purpose::STANDARD.encode(half));
    // The first that the scheme takes. The bare text holds a `_`, which neither hex nor base64 does.
    let candidates = match endpoint.provider().as_str() {
        provider if made_by(provider) == KeyMaker::ProviderAlone => return None,
        // Stripe's keys look so, and are used as text.
        "stripe" => vec![format!("whsec_{}", to_hex(half))],
        "chargebee" | "phonepe" => vec![format!("tollgate:{text}")],
        _ => vec![format!("key_{text}"), whsec, to_hex(half), to_hex(random), format!("tollgate:{text}")],
    };
    candidates.into_iter().map(KeyText).find(|key| endpoint.keys(key.keys("current")).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_never_repeated() {
        let reference = Reference::parse("secretsmanager:tollgate/dev/a").unwrap();
        assert_eq!(reference.to_string(), "secretsmanager:tollgate/dev/a");
        assert_eq!(Reference::parse("ssm:/a/b").unwrap(), Reference::Ssm("/a/b".to_owned()));
        for bad in ["whsec_verysecret", "ssm:", "s3:whsec_verysecret"] {
            let problem = Reference::parse(bad).unwrap_err().to_string();
            assert!(!problem.contains("verysecret"), "{problem}");
        }
    }

    #[test]
    fn a_value_is_one_key_or_a_list() {
        let ids =
            |text: &str| KeyText::new(text).keys("current").into_iter().map(|k| k.id).collect::<Vec<_>>();
        assert_eq!(ids("whsec_abc\n"), ["current"]);
        assert_eq!(ids(r#"{"keys":[{"id":"a","value":"1"},{"id":"b","value":"2"}]}"#), ["a", "b"]);
        assert_eq!(format!("{:?}", KeyText::new("x")), "KeyText(..)");
    }

    #[test]
    fn a_made_up_key_fits_its_scheme() {
        let form_of = |scheme: &str| {
            let url = Some("https://example.com/hook");
            let endpoint = crate::signer::ad_hoc("x", scheme, url).unwrap();
            form(&endpoint, &std::array::from_fn(|index| index as u8)).map(|key| key.0)
        };
        for scheme in tollgate_samples::BUILT_IN {
            assert!(form_of(scheme).is_some_and(|key| key.len() >= 32), "{scheme}");
        }
        assert!(form_of("stripe").unwrap().starts_with("whsec_"));
        assert!(form_of("standard_webhooks").unwrap().starts_with("whsec_"));
        assert!(form_of("adyen").is_some_and(|key| key.len() == 64 && key.starts_with("000102")));
        for row in catalogue::providers() {
            let made = form_of(&row.name).is_some();
            assert_eq!(made, row.key_made_by != KeyMaker::ProviderAlone, "{}", row.name);
            let endpoint = crate::signer::ad_hoc("x", &row.name, Some("https://example.com/hook")).unwrap();
            let rotated = random_for_rotation(&endpoint);
            assert_eq!(rotated.is_ok(), row.key_made_by == KeyMaker::You, "{}: {rotated:?}", row.name);
        }
    }
}
