//! The whole demo, step by step.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tollgate_cli::{clock, endpoints, http::Sender, progress::progress, say, signer::Signer};
use tollgate_core::{Queue, RiskTier};
use tollgate_operate::{
    aws::{Aws, Platform},
    queues,
};
use tollgate_providers::Endpoint;
use tollgate_samples::{BUILT_IN, Kind};

use crate::{
    arguments::Arguments,
    census::{Census, Example},
    chaos::Chaos,
    consume::consume,
    deliver::{self, Delivered, Ending},
    plan::{self, Class, Planned},
    redrive, report, verdict,
};

/// The fewest endpoints that show what is to be shown.
const LEAST_ENDPOINTS: usize = 5;
/// Webhooks between one set of repeats and the next.
const WAVE: u64 = 200;
/// Between two looks at the queues.
const PAUSE: Duration = Duration::from_millis(300);
/// Queues that stay empty this long while something is missing will not bring it.
const GIVE_UP: Duration = Duration::from_secs(10);
/// For destinations behind the bus, once every queue before it is empty.
const SETTLE: Duration = Duration::from_secs(20);

/// Sends, waits, counts and judges; whether everything is as it must be.
pub(crate) async fn demonstrate(args: &Arguments) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let aws = args.target.connect().await?;
    let platform = aws.platform.clone().context("the demo needs --platform: see scripts/local/platform")?;
    let signers = signers(&aws).await?;
    let seed = args.seed.clone().unwrap_or_else(|| clock::now().as_nanosecond().to_string());
    let waves = plan::plan(&signers, &platform.api_url, &seed, args.count, WAVE, clock::now())?;
    let names: Vec<String> = signers.iter().map(|signer| signer.endpoint.id().to_string()).collect();
    say!("demo: {} webhooks to {} endpoints, seed {seed}", args.count, names.len());

    let chaos = args.chaos.then(|| start_chaos(&platform, &seed)).transpose()?;
    let sending = Instant::now();
    let delivered = send(&waves, usize::from(args.at_once), args.count).await?;
    let planned: Vec<Planned> = waves.into_iter().flatten().collect();
    say!("demo: sent in {} s; waiting until every queue is empty", sending.elapsed().as_secs());
    let waiting = Instant::now();
    let patience = Duration::from_secs(args.patience);
    let mut emptied = wait(&aws, &planned, &delivered, patience).await?;
    let kills = chaos.map(Chaos::stop);
    if kills.is_some() {
        // A message whose every receive was ended by a kill is dead-lettered. An operator would redrive it.
        let redriven = redrive::redrive(&aws).await?;
        say!("demo: the killing is over; {redriven} dead letters sent back");
        if redriven > 0 || emptied != Emptied::Complete {
            emptied = wait(&aws, &planned, &delivered, patience).await?;
        }
    }
    say!("demo: {} after {} s; counting", emptied.words(), waiting.elapsed().as_secs());

    let example = example(&planned, &delivered);
    let followed = example.map(|index| follow(&planned, index)).unwrap_or_default();
    let census = count(args, &aws, &planned, &delivered, &followed).await?;
    let verdict = verdict::judge(&planned, &delivered, &names, &census);
    let reasons = reasons(&platform);
    say!();
    report::endpoints(&signers, &planned, &delivered, &reasons);
    report::destinations(&verdict, &census);
    if let Some(kills) = kills {
        report::kills(&kills, &delivered);
    }
    if let Some((planned, delivered)) =
        example.and_then(|index| Some((planned.get(index)?, delivered.get(index)?)))
    {
        let endpoint = names.get(planned.signer).map_or("", String::as_str);
        report::followed(endpoint, planned, delivered, &followed, &census);
    }
    report::problems(&verdict);
    let consumed = consume(&census.messages, &args.messages, &args.consumer)?;
    say!("demo: {} s in all", began.elapsed().as_secs());
    say!("{}", verdict.figures);
    Ok(if verdict.is_good() && consumed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every endpoint of the environment whose provider's bodies are built in.
async fn signers(aws: &Aws) -> anyhow::Result<Vec<Signer>> {
    let mut signers = Vec::new();
    for config in endpoints::stored(aws).await? {
        let endpoint = Endpoint::new(config)?;
        if BUILT_IN.contains(&endpoint.provider().as_str()) {
            signers.push(Signer::from_store(aws, endpoint).await?);
        }
    }
    if signers.len() < LEAST_ENDPOINTS {
        bail!(
            "{} endpoints; the demo needs {LEAST_ENDPOINTS}: apply infra/endpoints/demo.toml",
            signers.len()
        );
    }
    Ok(signers)
}

fn start_chaos(platform: &Platform, seed: &str) -> anyhow::Result<Chaos> {
    let runner = platform.runner_url.as_deref().context("the platform file names no runner")?;
    let names: Vec<String> = platform.functions.values().cloned().collect();
    if names.is_empty() {
        bail!("the platform file names no functions");
    }
    Ok(Chaos::start(runner, names, seed))
}

async fn send(waves: &[Vec<Planned>], at_once: usize, total: u64) -> anyhow::Result<Vec<Delivered>> {
    let sender = Sender::new()?;
    let bar = progress(total, "sent");
    let mut delivered = Vec::new();
    for wave in waves {
        delivered.extend(deliver::wave(&sender, wave, at_once, &bar).await);
    }
    bar.finish_and_clear();
    Ok(delivered)
}

/// How the wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emptied {
    Complete,
    Incomplete,
    OutOfPatience,
}

impl Emptied {
    fn words(self) -> &'static str {
        match self {
            Self::Complete => "every queue is empty",
            Self::Incomplete => "the queues are empty, yet not everything is processed,",
            Self::OutOfPatience => "out of patience",
        }
    }
}

/// Waits until the queues are empty and the ledger holds every accepted event as processed.
async fn wait(
    aws: &Aws,
    planned: &[Planned],
    delivered: &[Delivered],
    patience: Duration,
) -> anyhow::Result<Emptied> {
    let keys: BTreeSet<&str> = planned
        .iter()
        .zip(delivered)
        .filter(|(_, delivered)| delivered.ending == Ending::Accepted)
        .flat_map(|(planned, _)| planned.events.iter().map(|event| event.key.as_str()))
        .collect();
    let own = Queue::ALL.iter().filter(|queue| !queue.is_for_consumers());
    let own: Vec<String> = own.map(|queue| aws.names.queue(*queue)).collect();
    let bar = progress(keys.len() as u64, "events processed");
    let end = Instant::now() + patience;
    let mut empty_since = None;
    loop {
        let queues = queues::depths(aws).await?;
        let left: u64 = queues
            .iter()
            .filter(|queue| own.contains(&queue.name))
            .map(|queue| queue.visible + queue.in_flight + queue.delayed)
            .sum();
        let mut census = Census::default();
        census.count_tables(aws, &Example::default()).await?;
        let is_processed = |key: &&&str| census.ledger.get(**key).is_some_and(|state| state == "processed");
        let processed = keys.iter().filter(is_processed).count();
        bar.set_position(processed as u64);
        bar.set_message(format!("events processed, {left} messages in the queues"));
        empty_since = if left == 0 { empty_since.or_else(|| Some(Instant::now())) } else { None };
        let ended = match empty_since {
            Some(_) if processed == keys.len() => Some(Emptied::Complete),
            Some(since) if since.elapsed() > GIVE_UP => Some(Emptied::Incomplete),
            _ if Instant::now() > end => Some(Emptied::OutOfPatience),
            _ => None,
        };
        if let Some(ended) = ended {
            bar.finish_and_clear();
            return Ok(ended);
        }
        sleep(PAUSE).await;
    }
}

/// Which webhook to follow: a payment of high value if there is one, for it takes every way.
fn example(planned: &[Planned], delivered: &[Delivered]) -> Option<usize> {
    let accepted = || {
        planned.iter().zip(delivered).enumerate().filter(|(_, (planned, delivered))| {
            delivered.ending == Ending::Accepted && planned.class == Class::Good && planned.events.len() == 1
        })
    };
    let is_payment = |planned: &Planned, tier| {
        planned.events.iter().any(|event| event.kind == Some(Kind::Payment) && event.tier == tier)
    };
    [RiskTier::High, RiskTier::Medium, RiskTier::Low]
        .into_iter()
        .find_map(|tier| accepted().find(|(_, (planned, _))| is_payment(planned, tier)))
        .map(|(index, _)| index)
}

fn follow(planned: &[Planned], index: usize) -> Example {
    let Some((planned, event)) = planned.get(index).and_then(|one| Some((one, one.events.first()?))) else {
        return Example::default();
    };
    Example {
        event_id: event.id.as_str().to_owned(),
        ledger_key: event.key.clone(),
        body_sha256: planned.body_sha256.clone(),
    }
}

async fn count(
    args: &Arguments,
    aws: &Aws,
    planned: &[Planned],
    delivered: &[Delivered],
    example: &Example,
) -> anyhow::Result<Census> {
    let wanted = verdict::wanted(planned, delivered);
    let mut census = Census::default();
    let deadline = Instant::now() + SETTLE;
    census.drain(aws, &wanted, example, deadline).await?;
    census.count_runs(aws, &wanted.high, example, deadline).await?;
    census.count_tables(aws, example).await?;
    let dead = queues::depths(aws).await?.into_iter().filter(|queue| queue.dead_letters && queue.visible > 0);
    census.dead_letters = dead.map(|queue| (queue.name, queue.visible)).collect();
    let folder = tempfile::tempdir().context("a folder for the archive")?;
    census.read_archive(aws, &args.archive_reader, folder.path(), example).await?;
    Ok(census)
}

/// The typed reason of each refusal by webhook id, from the functions' logs: senders are not told.
fn reasons(platform: &Platform) -> HashMap<String, String> {
    let Some(folder) = &platform.log_dir else { return HashMap::new() };
    let validator = platform.functions.get("validator").cloned().unwrap_or_default();
    let log = std::fs::read_to_string(Path::new(folder).join(format!("{validator}.log"))).unwrap_or_default();
    log.lines()
        .filter_map(|line| serde_json::from_str::<BTreeMap<String, Value>>(line.get(line.find('{')?..)?).ok())
        .filter_map(|line| {
            let text = |name: &str| Some(line.get(name)?.as_str()?.to_owned());
            text("outcome").filter(|outcome| outcome == "rejected")?;
            Some((text("webhook_id")?, text("reason")?))
        })
        .collect()
}
