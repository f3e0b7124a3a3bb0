//! `tollgate endpoints check`: which keys verify, which rotation can be finished, and how the environment differs from a file.

use std::{path::PathBuf, process::ExitCode};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tollgate_core::EndpointConfig;
use tollgate_operate::{
    aws::Aws,
    drift::drift,
    keys::{self, Keys, Rotation},
    search::{Filters, Objects},
    secrets::{self, State, Store},
};

use super::{file::of_file, store::stored};
use crate::{
    clock,
    search::{Asked, ReadingTools},
    table::Table,
    target::Target,
};

/// Secrets that are looked at at once.
const AT_ONCE: usize = 8;
/// Rows of the archive's answer at most: a few for each endpoint, of which a document has some 4,000.
const MOST_ROWS: usize = 40_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this endpoint
    id: Option<String>,
    /// Also say how the environment differs from this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How far back the archive is read: a time, a day, or so long ago (36h, 7d)
    #[arg(long, value_name = "TIME", default_value = "7d")]
    from: String,
    /// Hours without a webhook under the old key after which a rotation can be finished
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    quiet: u32,
    /// The deployment's SecretTtlSeconds: for twice as long after a rotation a validator may take the old key for the current one
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    ttl: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tools: ReadingTools,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let now = clock::now();
    let aws = args.target.connect().await?;
    let wanted = args.file.as_deref().map(|file| of_file(file, aws.names.suffix())).transpose()?;
    let all = stored(&aws).await?;
    let is_asked = |one: &&EndpointConfig| args.id.as_deref().is_none_or(|id| one.id.as_str() == id);
    let asked: Vec<&EndpointConfig> = all.iter().filter(is_asked).collect();
    if asked.is_empty() {
        anyhow::bail!("no such endpoint: see `tollgate endpoints list`");
    }
    let endpoint = args.id.clone().into_iter().collect();
    let filters = Filters { endpoint, from: Some(args.from.clone()), ..Filters::default() };
    let query = filters.query(now)?;
    let bucket = aws.names.archive_bucket(&aws.account().await?);
    let objects = Objects::of(&aws, &bucket, &query).await?;
    let sql = query.keys_sql();
    let rows = Asked { query: &query, sql: &sql, most: MOST_ROWS, bucket: &bucket, objects: &objects };
    let mut uses = keys::uses(&args.tools.rows(&aws, &args.target, &rows).await?)?;
    let store = Store::of(&aws);
    let states: Vec<State> = {
        let looks: Vec<_> = asked.iter().map(|endpoint| store.look(&endpoint.secret)).collect();
        stream::iter(looks).buffered(AT_ONCE).try_collect().await?
    };
    let api_keys: Vec<Option<State>> = {
        let looks: Vec<_> = asked.iter().map(|endpoint| api_key(&aws, &store, endpoint)).collect();
        stream::iter(looks).buffered(AT_ONCE).try_collect().await?
    };
    let one = |((endpoint, state), api_key): ((&&EndpointConfig, &State), &Option<State>)| {
        let uses = uses.remove(endpoint.id.as_str()).unwrap_or_default();
        let changed_at = if let State::There { changed_at, .. } = state { *changed_at } else { None };
        let rotation = keys::rotation(state, &uses, args.quiet, args.ttl, now);
        let api_key = api_key.as_ref().map(State::as_str);
        Keys { endpoint: endpoint.id, secret: state.as_str(), api_key, changed_at, uses, rotation }
    };
    let keys: Vec<Keys> = asked.iter().zip(&states).zip(&api_keys).map(one).collect();
    let mut drifts = wanted.map(|wanted| drift(&wanted, &all)).unwrap_or_default();
    drifts.retain(|drift| args.id.as_deref().is_none_or(|id| drift.id().as_str() == id));
    if args.json {
        for one in &keys {
            say!("{}", serde_json::to_string(one)?);
        }
        say!("{}", json!({ "drift": drifts, "from": query.period().0, "to": query.period().1 }));
    } else {
        show(&keys);
        for drift in &drifts {
            say!("drift: {} {drift}", drift.id());
        }
        if args.file.is_some() && drifts.is_empty() {
            say!("the environment is as the file says");
        }
    }
    let is_wrong = keys.iter().any(|one| {
        let is_there =
            [Some(one.secret), one.api_key].into_iter().flatten().all(|state| state == State::THERE);
        !is_there || matches!(one.rotation, Rotation::InUse { .. })
    });
    Ok(if is_wrong || !drifts.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn api_key(aws: &Aws, store: &Store, endpoint: &EndpointConfig) -> anyhow::Result<Option<State>> {
    match secrets::enriching_key(aws, endpoint) {
        Some(reference) => store.look(&reference).await.map(Some),
        None => Ok(None),
    }
}

fn show(keys: &[Keys]) {
    let mut table = Table::new(["endpoint", "secret", "API key", "changed", "verified last", "rotation"]);
    for one in keys {
        let mut uses: Vec<&keys::Use> = one.uses.iter().collect();
        uses.sort_by_key(|one| std::cmp::Reverse(one.last));
        let uses: Vec<String> =
            uses.iter().map(|one| format!("{} {} ({})", one.key_id, one.last, one.webhooks)).collect();
        let rotation = match one.rotation {
            Rotation::None => String::new(),
            Rotation::Safe { previous_last: None } => {
                "safe to finish: the old key verified nothing since".to_owned()
            }
            Rotation::Safe { previous_last: Some(at) } => {
                format!("safe to finish: the old key verified last at {at}")
            }
            Rotation::InUse { previous_last } => {
                format!("NOT safe: the old key still verifies, last at {previous_last}")
            }
            Rotation::Unproven => "not proven yet: wait for webhooks by the new key, and until the old one was replaced long enough ago".to_owned(),
            Rotation::Named => "by the keys' names: see which verified last".to_owned(),
        };
        table.row([
            one.endpoint.to_string(),
            one.secret.to_owned(),
            one.api_key.unwrap_or_default().to_owned(),
            one.changed_at.map(|at| at.to_string()).unwrap_or_default(),
            uses.join(", "),
            rotation,
        ]);
    }
    show!("{table}");
}
