//! `tollgate endpoints`: their configuration in one document, their keys in Secrets Manager.

mod check;
mod file;
mod keys;
mod migrate;
mod new;
mod register;
mod store;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Subcommand;
use tollgate_core::EndpointId;
use tollgate_pipeline::retrieved;
use tollgate_providers::{Endpoint, catalogue::KeyMaker};

use self::store::Store;
use tollgate_operate::{
    aws::Aws,
    provider_api::{self, ApiKey},
    reconcile::configured,
    secrets::{self, State},
};

use crate::{table::Table, target::Target};

pub(crate) use file::{of_file, read as from_text};
pub(crate) use keys::{KeyStore, KeyText, Reference, random as random_key};
pub(crate) use store::find;
pub use store::stored;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every endpoint of a file, then write them all in one step
    Apply {
        /// A TOML file of [[endpoints]]; {suffix} stands for the environment's suffix
        file: PathBuf,
        /// Make a random key for each endpoint that has none yet
        #[arg(long)]
        generate_secrets: bool,
        /// Check only, write nothing
        #[arg(long)]
        dry_run: bool,
        /// Make the environment's document of endpoints, where there is none yet
        #[arg(long)]
        new: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Write the row of one endpoint, of options or of answers on a terminal
    New(Box<new::Args>),
    /// Say which keys verify, which rotation can be finished, and how the environment differs from a file
    Check(Box<check::Args>),
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
        /// The new key's text, as the provider issued it; - for stdin [default: a random key, where you make the keys]
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// The old keys leaked: none of them stays valid
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Store the key of the provider's API by which `tollgate reconcile` asks, and the processor where the endpoint says `enrich`; it
    /// verifies nothing
    ApiKey {
        /// The endpoint's name
        id: String,
        /// The key's text; - for stdin
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Make the endpoint's webhook at its provider, and store its key
    Register(Box<register::Args>),
    /// Take endpoints out of service; their keys are kept
    Remove {
        /// The endpoint's name
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Copy endpoints that are SSM parameters, as until version 0.1; waits for the deployment that makes their bucket
    Migrate {
        #[command(flatten)]
        target: Target,
    },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Apply { file, generate_secrets, dry_run, new, target } => {
            let how = Apply { generate: generate_secrets, dry_run, new };
            apply(&file, how, &target).await
        }
        Command::New(args) => new::run(*args),
        Command::Check(args) => check::run(*args).await,
        Command::List { json, target } => list(json, &target.connect().await?).await,
        Command::Rotate { id, secret_file, revoke, target } => {
            rotate(&id, secret_file.as_deref(), revoke, &target.connect().await?).await
        }
        Command::ApiKey { id, secret_file, target } => {
            api_key(&id, &secret_file, &target.connect().await?).await
        }
        Command::Register(args) => register::run(*args).await,
        Command::Remove { id, target } => remove(&id, &target.connect().await?).await,
        Command::Migrate { target } => migrate::run(&target.connect().await?).await,
    }
}

/// How a file is applied.
struct Apply {
    generate: bool,
    dry_run: bool,
    new: bool,
}

async fn api_key(id: &str, file: &std::path::Path, aws: &Aws) -> anyhow::Result<ExitCode> {
    let endpoint = configured(aws, &EndpointId::new(id)?).await?;
    let provider = endpoint.provider().as_str();
    let asked = provider_api::of(provider);
    let key_text = match (&asked, provider_api::objects_of(provider)) {
        (Ok(api), _) => &api.key_text,
        (Err(_), Some(objects)) => &objects.key_text,
        (Err(_), None) => {
            bail!("nobody knows here how to ask {provider} anything: no key of its API is used")
        }
    };
    let key = KeyText::from_file(file)?;
    ApiKey::new(key.text()).with_context(|| format!("that of {provider} is {key_text}"))?;
    let reference = Reference::SecretsManager(aws.names.api_secret(endpoint.id()));
    let store = KeyStore::new(aws);
    store.restore(&reference).await?;
    store.put(&reference, &key).await?;
    say!("{id}: stored as {reference}");
    if asked.is_err() {
        return Ok(ExitCode::SUCCESS);
    }
    // By which `reconcile --ingest` says that an event was retrieved: one of the environment's own. It is not read here: who makes it
    // need not be one who may use it.
    let name = retrieved::key_name(aws.names.suffix());
    let reference = Reference::SecretsManager(name.clone());
    let state = secrets::Store::of(aws).look(&reference.to_string()).await?;
    store.restore(&reference).await?;
    if matches!(state, State::There { .. }) {
        return Ok(ExitCode::SUCCESS);
    }
    let signer = retrieved::signer(&reference.to_string()).context("no scheme to sign with")?;
    let key = random_key(&signer)?.context("no key can be made")?;
    if state == State::Deleted {
        // Nobody says why it was deleted, and it may have leaked. The key before the current one verifies, too.
        for _ in 0..2 {
            store.rotate(&reference, &key).await.with_context(|| {
                format!("{name} waited for its deletion, and the key of before is valid again: docs/keys.md says how to withdraw it")
            })?;
        }
        say!("{name}: made anew, since it waited for its deletion: no key of before is valid");
    } else {
        store.put(&reference, &key).await?;
        say!("{name}: made");
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(
    file: &std::path::Path,
    Apply { generate, dry_run, new }: Apply,
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
            complain!("nothing was written: {} mistakes", problems.len());
            return Ok(ExitCode::FAILURE);
        }
    };
    let store = Store::open(&aws).await?;
    if !dry_run && let Some(reason) = why_not_made(&aws, &store, new).await? {
        complain!("nothing was written: {reason}");
        return Ok(ExitCode::FAILURE);
    }
    let keys = KeyStore::new(&aws);
    let mut table = Table::new(["endpoint", "provider", "delivery", "key"]);
    for endpoint in &endpoints {
        let key = if dry_run {
            "not looked at".to_owned()
        } else {
            // The keys first: a function must never find an endpoint whose key is still to come.
            key_state(&keys, endpoint, generate).await?
        };
        let delivery = serde_json::to_value(endpoint.delivery())?;
        table.row([
            endpoint.id().as_str(),
            endpoint.provider().as_str(),
            delivery.as_str().unwrap_or_default(),
            &key,
        ]);
    }
    if !dry_run {
        store.put(&endpoints.iter().map(Endpoint::config).collect::<Vec<_>>()).await?;
    }
    show!("{table}");
    let secrets = secrets::Store::of(&aws);
    for endpoint in &endpoints {
        let id = endpoint.id();
        for warning in endpoint.warnings() {
            complain!("warning: endpoint {id}: {warning}");
        }
        let enriching = secrets::enriching_key(&aws, endpoint.config()).filter(|_| !dry_run);
        let Some(reference) = enriching else { continue };
        match secrets.look(&reference).await {
            Ok(State::There { .. }) => {}
            Ok(_) => complain!(
                "warning: endpoint {id}: without a key of its provider's API nothing is fetched, whatever `enrich` says: \
                 `tollgate endpoints api-key {id} --secret-file FILE` stores it"
            ),
            // All is written by now.
            Err(problem) => complain!("warning: endpoint {id}: {problem:#}"),
        }
    }
    say!(
        "{} endpoints {} in {}",
        endpoints.len(),
        if dry_run { "checked, none written" } else { "written" },
        store.bucket
    );
    Ok(ExitCode::SUCCESS)
}

/// Why a document is not to be made of this file alone. An environment whose document is missing may have had endpoints, which
/// the functions would forget.
async fn why_not_made(aws: &Aws, store: &Store, new: bool) -> anyhow::Result<Option<String>> {
    if store.exists().await? {
        return Ok(None);
    }
    let suffix = aws.names.suffix();
    let former = migrate::former(aws).await?;
    Ok(if former > 0 {
        Some(format!(
            "{former} endpoints are SSM parameters of the version before, and a document of this file alone would take their \
             place. Run `tollgate endpoints migrate --suffix {suffix}` first"
        ))
    } else if new {
        None
    } else {
        Some(format!(
            "{} has no document of endpoints. If {suffix} never had any, say --new; if it had, docs/runbook.md, Endpoints \
             cannot be read, says how to have them back",
            store.bucket
        ))
    })
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

async fn list(json: bool, aws: &Aws) -> anyhow::Result<ExitCode> {
    if json {
        for config in stored(aws).await? {
            say!("{}", serde_json::to_string(&config)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let document = Store::open(aws).await?.document().await?;
    let store = KeyStore::new(aws);
    let mut table = Table::new(["endpoint", "provider", "delivery", "secret", "keys", "configuration"]);
    let mut exit = ExitCode::SUCCESS;
    for (id, config) in document.endpoints() {
        let config = match config {
            Ok(config) => config,
            Err(problem) => {
                let unknown = String::new;
                table.row([id.to_string(), unknown(), unknown(), unknown(), unknown(), problem.to_string()]);
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
            Ok(endpoint) => {
                let warnings: Vec<String> = endpoint.warnings().iter().map(ToString::to_string).collect();
                let state = if warnings.is_empty() {
                    "ok".to_owned()
                } else {
                    format!("warning: {}", warnings.join("; "))
                };
                (endpoint.provider().to_string(), state)
            }
            Err(problems) => {
                exit = ExitCode::FAILURE;
                (String::new(), problems.join("; "))
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
        None => keys::random_for_rotation(&endpoint)?,
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
    let mut was_there = false;
    let store = Store::open(aws).await?;
    // Or an empty one would be made, and every endpoint be unknown.
    store.document().await?;
    store
        .change(|document| {
            was_there |= document.remove(&id);
            Ok(())
        })
        .await?;
    if !was_there {
        anyhow::bail!("no endpoint {id}: see `tollgate endpoints list`");
    }
    say!("{id}: removed; its key is kept");
    Ok(ExitCode::SUCCESS)
}
