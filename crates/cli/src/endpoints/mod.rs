//! `tollgate endpoints`: their configuration in SSM, their keys in Secrets Manager.

mod file;
mod keys;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use aws_sdk_ssm::types::{ParameterTier, ParameterType};
use clap::Subcommand;
use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_providers::{Endpoint, catalogue::KeyMaker};

use crate::{
    aws::{Aws, Target},
    table::Table,
};

pub(crate) use file::read as from_text;
pub(crate) use keys::{KeyStore, KeyText, Reference, random as random_key};

/// The largest value of a standard SSM parameter, in bytes; beyond it the advanced tier is asked for.
const STANDARD_PARAMETER_BYTES: usize = 4096;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every endpoint of a file, then write them all
    Apply {
        /// A TOML file of [[endpoints]]; {suffix} stands for the environment's suffix
        file: PathBuf,
        /// Make a random key for each endpoint that has none yet
        #[arg(long)]
        generate_secrets: bool,
        /// Check only, write nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        target: Target,
    },
    /// List the endpoints of an environment
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Give an endpoint its first or a new key; the old one stays valid as the previous one
    Rotate {
        /// The endpoint's name
        id: String,
        /// The new key's text, as the provider issued it; - for stdin [default: a random key]
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// The old keys leaked: none of them stays valid
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Take endpoints out of service; their keys are kept
    Remove {
        /// The endpoint's name
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Apply { file, generate_secrets, dry_run, target } => {
            apply(&file, generate_secrets, dry_run, &target).await
        }
        Command::List { json, target } => list(json, &target.connect().await?).await,
        Command::Rotate { id, secret_file, revoke, target } => {
            rotate(&id, secret_file.as_deref(), revoke, &target.connect().await?).await
        }
        Command::Remove { id, target } => remove(&id, &target.connect().await?).await,
    }
}

async fn apply(
    file: &std::path::Path,
    generate: bool,
    dry_run: bool,
    target: &Target,
) -> anyhow::Result<ExitCode> {
    let aws = target.connect().await?;
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let endpoints = match file::read(&text, aws.names.suffix()) {
        Ok(endpoints) => endpoints,
        Err(problems) => {
            for problem in &problems {
                complain!("{}: {problem}", file.display());
            }
            complain!("nothing was written: {} of the endpoints' settings are wrong", problems.len());
            return Ok(ExitCode::FAILURE);
        }
    };
    let store = KeyStore::new(&aws);
    let ssm = aws_sdk_ssm::Client::new(&aws.config);
    let mut table = Table::new(["endpoint", "provider", "delivery", "key"]);
    for endpoint in &endpoints {
        let key = if dry_run {
            "not looked at".to_owned()
        } else {
            // The key first: a function must never find an endpoint whose key is still to come.
            let key = key_state(&store, endpoint, generate).await?;
            write(&ssm, &aws, endpoint.config()).await?;
            key
        };
        let delivery = serde_json::to_value(endpoint.delivery())?;
        table.row([
            endpoint.id().as_str(),
            endpoint.provider().as_str(),
            delivery.as_str().unwrap_or_default(),
            &key,
        ]);
    }
    show!("{table}");
    say!(
        "{} endpoints {} under {}",
        endpoints.len(),
        if dry_run { "checked, none written" } else { "written" },
        aws.names.endpoints_path()
    );
    Ok(ExitCode::SUCCESS)
}

async fn key_state(store: &KeyStore, endpoint: &Endpoint, generate: bool) -> anyhow::Result<String> {
    let id = endpoint.id();
    let reference = Reference::parse(&endpoint.config().secret)?;
    let restored = store.restore(&reference).await.with_context(|| format!("endpoint {id}"))?;
    if store.current(&reference).await?.is_some() {
        return Ok(if restored { "restored: it waited for its deletion" } else { "kept" }.to_owned());
    }
    if !generate {
        return Ok(format!("missing: `tollgate endpoints rotate {id} --secret-file FILE` stores it"));
    }
    let Some(key) = keys::random(endpoint)? else {
        return Ok(format!(
            "missing: the provider issues it; `tollgate endpoints rotate {id} --secret-file FILE` stores it"
        ));
    };
    store.put(&reference, &key).await.with_context(|| format!("endpoint {id}: storing its key"))?;
    Ok(match keys::made_by(endpoint.provider().as_str()) {
        KeyMaker::You => "generated: give it to the provider".to_owned(),
        _ => "generated: for tests, until `tollgate endpoints rotate` stores the provider's".to_owned(),
    })
}

async fn write(ssm: &aws_sdk_ssm::Client, aws: &Aws, config: &EndpointConfig) -> anyhow::Result<()> {
    let value = serde_json::to_string(config)?;
    let tier = if value.len() > STANDARD_PARAMETER_BYTES {
        ParameterTier::Advanced
    } else {
        ParameterTier::Standard
    };
    ssm.put_parameter()
        .name(aws.names.endpoint_parameter(&config.id))
        .r#type(ParameterType::String)
        .tier(tier)
        .overwrite(true)
        .value(value)
        .send()
        .await
        .map_err(aws_sdk_ssm::Error::from)
        .with_context(|| format!("endpoint {}: writing its parameter", config.id))?;
    Ok(())
}

/// Every endpoint of the environment, by name.
///
/// # Errors
///
/// When AWS does not answer, or a parameter is no configuration.
pub async fn stored(aws: &Aws) -> anyhow::Result<Vec<EndpointConfig>> {
    let parameters = parameters(aws).await?;
    let read = |(name, config): (String, Result<_, _>)| config.with_context(|| format!("parameter {name}"));
    let mut endpoints = parameters.into_iter().map(read).collect::<anyhow::Result<Vec<EndpointConfig>>>()?;
    endpoints.sort_by_key(|endpoint| endpoint.id);
    Ok(endpoints)
}

/// Every parameter of an endpoint: its name, and what it holds.
async fn parameters(aws: &Aws) -> anyhow::Result<Vec<(String, serde_json::Result<EndpointConfig>)>> {
    let ssm = aws_sdk_ssm::Client::new(&aws.config);
    let mut pages = ssm.get_parameters_by_path().path(aws.names.endpoints_path()).into_paginator().send();
    let mut parameters = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws_sdk_ssm::Error::from).context("reading the endpoints")?;
        parameters.extend(page.parameters().iter().map(|one| {
            (one.name().unwrap_or_default().to_owned(), serde_json::from_str(one.value().unwrap_or_default()))
        }));
    }
    Ok(parameters)
}

/// One endpoint of the environment, checked.
pub(crate) async fn find(aws: &Aws, id: &str) -> anyhow::Result<Endpoint> {
    let endpoints = stored(aws).await?;
    let config = endpoints.into_iter().find(|config| config.id.as_str() == id).with_context(|| {
        format!("no endpoint {id} under {}: see `tollgate endpoints list`", aws.names.endpoints_path())
    })?;
    Ok(Endpoint::new(config)?)
}

async fn list(json: bool, aws: &Aws) -> anyhow::Result<ExitCode> {
    if json {
        for config in stored(aws).await? {
            say!("{}", serde_json::to_string(&config)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut parameters = parameters(aws).await?;
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    let store = KeyStore::new(aws);
    let mut table = Table::new(["endpoint", "provider", "delivery", "secret", "keys", "configuration"]);
    let mut exit = ExitCode::SUCCESS;
    for (name, config) in parameters {
        let config = match config {
            Ok(config) => config,
            Err(problem) => {
                let id = name.rsplit('/').next().unwrap_or_default().to_owned();
                let unknown = String::new;
                table.row([id, unknown(), unknown(), unknown(), unknown(), problem.to_string()]);
                exit = ExitCode::FAILURE;
                continue;
            }
        };
        let keys = match Reference::parse(&config.secret) {
            Ok(_) if !aws.names.is_own_secret(&config.secret) => "not looked at".to_owned(),
            Ok(reference) => match store.current(&reference).await? {
                Some(_) => store.active(&reference).await?.len().to_string(),
                None => "missing".to_owned(),
            },
            Err(problem) => problem.to_string(),
        };
        let (id, secret) = (config.id.to_string(), config.secret.clone());
        let delivery = serde_json::to_value(config.delivery)?.as_str().unwrap_or_default().to_owned();
        let (provider, state) = match file::check_config(config, &aws.names) {
            Ok(endpoint) => (endpoint.provider().to_string(), "ok".to_owned()),
            Err(problem) => {
                exit = ExitCode::FAILURE;
                (String::new(), problem)
            }
        };
        table.row([id, provider, delivery, secret, keys, state]);
    }
    show!("{table}");
    Ok(exit)
}

async fn rotate(
    id: &str,
    secret_file: Option<&std::path::Path>,
    revoke: bool,
    aws: &Aws,
) -> anyhow::Result<ExitCode> {
    let endpoint = find(aws, id).await?;
    let reference = Reference::parse(&endpoint.config().secret)?;
    let key = match secret_file {
        Some(path) => keys::from_file(path, &endpoint)?,
        None => keys::random(&endpoint)?
            .with_context(|| format!("{id}: the provider issues its key; hand it in with --secret-file"))?,
    };
    let store = KeyStore::new(aws);
    store.restore(&reference).await?;
    if store.current(&reference).await?.is_none() {
        store.put(&reference, &key).await?;
        say!("{id}: its first key is stored");
    } else if revoke {
        store.replace(&reference, &key).await?;
        say!(
            "{id}: a new key is current, and no key of before is valid. Validators that run keep what they have read for \
             SecretTtlSeconds (300), or until a signature fails with the new key. Webhooks signed with an old key are \
             refused (401), and most providers send them again: let yours sign with the new key"
        );
    } else {
        store.rotate(&reference, &key).await?;
        say!("{id}: a new key is current; the one before it still verifies");
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(id: &str, aws: &Aws) -> anyhow::Result<ExitCode> {
    let id = EndpointId::new(id)?;
    aws_sdk_ssm::Client::new(&aws.config)
        .delete_parameter()
        .name(aws.names.endpoint_parameter(&id))
        .send()
        .await
        .map_err(aws_sdk_ssm::Error::from)
        .with_context(|| format!("removing {id}"))?;
    say!("{id}: removed; its key is kept");
    Ok(ExitCode::SUCCESS)
}
