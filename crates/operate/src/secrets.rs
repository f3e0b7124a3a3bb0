//! Whether an endpoint's key is there, as far as that is seen without reading it.

use anyhow::{Context, bail};
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretError;
use aws_sdk_ssm::types::ParameterStringFilter;
use tollgate_core::{EndpointConfig, Timestamp};

use crate::aws::Aws;

/// Where keys are kept.
#[derive(Debug)]
pub struct Store {
    secrets: aws_sdk_secretsmanager::Client,
    ssm: aws_sdk_ssm::Client,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has a value.
    There {
        /// When it was changed last: the key of before has been the previous one since then.
        changed_at: Option<Timestamp>,
        /// Whether there is a previous one, which still verifies; not known of Parameter Store, which always keeps it.
        has_previous: bool,
        /// The KMS key that encrypts it, by its id, ARN or alias; `None`: AWS's own.
        kms_key: Option<String>,
    },
    /// It is there and has no value.
    Empty,
    /// It waits for its deletion.
    Deleted,
    /// It is not there.
    Missing,
}

impl State {
    /// [`as_str`](Self::as_str) of what can be read.
    pub const THERE: &'static str = "there";

    /// In a word: `there`, `empty`, `deleted` or `missing`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::There { .. } => Self::THERE,
            Self::Empty => "empty",
            Self::Deleted => "deleted",
            Self::Missing => "missing",
        }
    }
}

/// Where the key of its provider's API is kept, by which the processor fetches what an endpoint's webhooks only name; `None`
/// where the endpoint does not ask for that.
pub fn enriching_key(aws: &Aws, endpoint: &EndpointConfig) -> Option<String> {
    endpoint.enrich.then(|| format!("secretsmanager:{}", aws.names.api_secret(&endpoint.id)))
}

impl Store {
    /// Those of an account.
    pub fn of(aws: &Aws) -> Self {
        Self {
            secrets: aws_sdk_secretsmanager::Client::new(&aws.config),
            ssm: aws_sdk_ssm::Client::new(&aws.config),
        }
    }

    /// Looks at the key of a reference (`secretsmanager:NAME` or `ssm:NAME`).
    ///
    /// # Errors
    ///
    /// When AWS does not answer or refuses, or the reference is none.
    pub async fn look(&self, reference: &str) -> anyhow::Result<State> {
        match reference.split_once(':') {
            Some(("secretsmanager", name)) => self.secret(name).await,
            Some(("ssm", name)) => self.parameter(name).await,
            _ => bail!("a key is kept at secretsmanager:NAME or ssm:NAME"),
        }
    }

    async fn secret(&self, name: &str) -> anyhow::Result<State> {
        let found = match self.secrets.describe_secret().secret_id(name).send().await {
            Ok(found) => found,
            Err(problem) => {
                let is_missing = DescribeSecretError::is_resource_not_found_exception;
                return if problem.as_service_error().is_some_and(is_missing) {
                    Ok(State::Missing)
                } else {
                    Err(aws_sdk_secretsmanager::Error::from(problem))
                        .with_context(|| format!("looking at the secret {name}"))
                };
            }
        };
        if found.deleted_date().is_some() {
            return Ok(State::Deleted);
        }
        let has = |stage: &str| {
            let stages = found.version_ids_to_stages().into_iter().flat_map(|versions| versions.values());
            stages.flatten().any(|one| one == stage)
        };
        if !has("AWSCURRENT") {
            return Ok(State::Empty);
        }
        let changed_at = found.last_changed_date().and_then(moment);
        let kms_key = found.kms_key_id().map(str::to_owned);
        Ok(State::There { changed_at, has_previous: has("AWSPREVIOUS"), kms_key })
    }

    async fn parameter(&self, name: &str) -> anyhow::Result<State> {
        let filter = ParameterStringFilter::builder().key("Name").option("Equals").values(name).build();
        let filter = filter.context("asking for a parameter")?;
        let answer = self.ssm.describe_parameters().parameter_filters(filter).send().await;
        let answer = answer.map_err(aws_sdk_ssm::Error::from);
        let answer = answer.with_context(|| format!("looking at the parameter {name}"))?;
        Ok(match answer.parameters().first() {
            Some(found) => State::There {
                changed_at: found.last_modified_date().and_then(moment),
                has_previous: found.version() > 1,
                kms_key: found.key_id().map(str::to_owned),
            },
            None => State::Missing,
        })
    }
}

fn moment(at: &aws_sdk_ssm::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}
