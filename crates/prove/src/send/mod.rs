//! Sending a phase of a plan at its own times, whatever is answered, with a journal of each try.

mod parcels;
mod sign;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use jiff::SignedDuration;
use serde::Serialize;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tollgate_cli::{
    clock,
    http::{Answer, Parcel, Sender},
};
use tollgate_core::{Timestamp, id::hex_sha256};
use tollgate_providers::Endpoint;

use self::parcels::Parcels;
use crate::{
    endpoints,
    journal::Journal,
    record::{Fate, Line, Signing, Webhook, Wire},
};

/// Tries of a patient provider. The pauses between them add up to two minutes; real ones go on for days.
const TRIES: u32 = 48;
/// Requests at once. Where the platform is slower than the plan, sending takes longer: requests that wait for each other
/// until they time out, and are sent again, would be all that it does.
const AT_ONCE: usize = 24;
/// For so long a signature is taken, whatever its scheme: five minutes (`signs_time` in the plan), less what a validator's clock is apart
/// (APART in scripts/prove/campaign).
const GOOD: SignedDuration = SignedDuration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What to send, and where everything is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The campaign's folder: endpoints.toml, keys/, plan.jsonl, journal.jsonl
    #[arg(long)]
    folder: PathBuf,
    /// The URL that /webhook follows
    #[arg(long)]
    api: String,
    /// Which phase of the plan
    #[arg(long, default_value_t = 0)]
    phase: u8,
    /// Sign for so many seconds from now, as functions whose clocks were moved expect
    #[arg(long, default_value_t = 0)]
    ahead: i64,
}

/// A line of the journal.
#[derive(Debug, Serialize)]
#[serde(tag = "j", rename_all = "snake_case")]
enum Entry<'a> {
    /// Before it is sent.
    Try { n: u64, copy: u32, attempt: u32, at: String, sha256: String, bytes: usize },
    /// After a whole answer.
    Answer {
        n: u64,
        copy: u32,
        attempt: u32,
        at: String,
        ms: u64,
        status: u16,
        said: &'a str,
        webhook_id: Option<&'a str>,
    },
    /// After there was none.
    Silence { n: u64, copy: u32, attempt: u32, at: String, ms: u64, why: String },
}

struct Campaign {
    endpoints: BTreeMap<String, Endpoint>,
    folder: PathBuf,
    api: String,
    ahead: i64,
    sender: Sender,
    journal: Journal,
    parcels: Parcels,
    places: Semaphore,
    /// Of each webhook that another one waits for, whether it is over.
    over: BTreeMap<u64, watch::Sender<bool>>,
}

/// Sends the phase, and returns when the last try is over.
///
/// # Errors
///
/// When the plan or a key does not read, or the journal cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let webhooks = read(&args.folder.join("plan.jsonl"))?;
    let replayed: BTreeSet<u64> = webhooks.iter().filter_map(replays).collect();
    let webhooks: Vec<Webhook> = webhooks.into_iter().filter(|webhook| webhook.phase == args.phase).collect();
    let known: BTreeSet<u64> = webhooks.iter().map(|webhook| webhook.n).collect();
    let awaited = webhooks.iter().filter_map(|webhook| webhook.after).filter(|n| known.contains(n));
    let endpoints = endpoints::read(&args.folder)?;
    let context = Arc::new(Campaign {
        endpoints: endpoints.into_iter().map(|endpoint| (endpoint.id().to_string(), endpoint)).collect(),
        api: args.api,
        ahead: args.ahead,
        sender: Sender::new()?,
        journal: Journal::open(&args.folder.join("journal.jsonl"))?,
        parcels: Parcels::open(&args.folder.join("parcels.jsonl"), replayed)?,
        places: Semaphore::new(AT_ONCE),
        over: awaited.map(|n| (n, watch::Sender::new(false))).collect(),
        folder: args.folder,
    });
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for webhook in webhooks {
        let context = Arc::clone(&context);
        tasks.spawn(async move {
            sleep_until(began + Duration::from_millis(webhook.at_ms)).await;
            let done = context.deliver(&webhook).await;
            if let Some(over) = context.over.get(&webhook.n) {
                over.send_replace(true);
            }
            done.with_context(|| format!("webhook {}", webhook.n))
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<Webhook>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let lines = text.lines().map(|line| Ok(serde_json::from_str(line)?));
    let lines: Vec<Line> = lines.collect::<anyhow::Result<_>>()?;
    let webhook = |line| match line {
        Line::Webhook(webhook) => Some(*webhook),
        _ => None,
    };
    Ok(lines.into_iter().filter_map(webhook).collect())
}

fn replays(webhook: &Webhook) -> Option<u64> {
    match webhook.signing {
        Signing::Replay { of, .. } => Some(of),
        _ => None,
    }
}

impl Campaign {
    async fn deliver(self: &Arc<Self>, webhook: &Webhook) -> anyhow::Result<()> {
        if let Some(over) = webhook.after.and_then(|n| self.over.get(&n)) {
            over.subscribe().wait_for(|over| *over).await.context("what it waits for is gone")?;
        }
        if webhook.copies == 1 {
            return self.deliver_one(webhook, 0, None).await;
        }
        // Copies are the same to the byte.
        let parcel = self.parcel(webhook)?;
        let mut tasks = JoinSet::new();
        for copy in 0..webhook.copies {
            let (this, webhook, parcel) = (Arc::clone(self), webhook.clone(), parcel.clone());
            tasks.spawn(async move { this.deliver_one(&webhook, copy, Some(parcel)).await });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    async fn deliver_one(&self, webhook: &Webhook, copy: u32, first: Option<Parcel>) -> anyhow::Result<()> {
        let tries = if webhook.wire == Wire::Patient { TRIES } else { 1 };
        let mut first = first;
        for attempt in 1..=tries {
            let place = self.places.acquire().await?;
            let parcel = first.take().map_or_else(|| self.parcel(webhook), Ok)?;
            let answer = self.try_once(webhook, copy, attempt, &parcel).await?;
            drop(place);
            let Some(answer) = answer else {
                sleep(pause(attempt, None)).await;
                continue;
            };
            // Providers repeat what is refused, too.
            let is_over = match answer.status {
                401 => webhook.right.fate != Fate::Effect,
                status => status != 429 && status < 500,
            };
            if is_over {
                return Ok(());
            }
            sleep(pause(attempt, answer.retry_after)).await;
        }
        Ok(())
    }

    fn parcel(&self, webhook: &Webhook) -> anyhow::Result<Parcel> {
        if let Signing::Replay { of, headers } = &webhook.signing {
            // Where it was never sent, not yet, or too long ago on a slow machine to be taken as the plan has it: signed anew.
            let is_good = |at: Timestamp| webhook.phase > 0 || clock::now().duration_since(at) < GOOD;
            if let Some((_, mut parcel)) = self.parcels.get(*of)?.filter(|(at, _)| is_good(*at)) {
                for (name, value) in headers {
                    parcel.headers.remove(name);
                    parcel.headers.push(name, value);
                }
                return Ok(parcel);
            }
        }
        let signer = self.endpoints.get(&webhook.signer).context("an endpoint that is not in its file")?;
        let at = clock::now() + SignedDuration::from_secs(self.ahead);
        let signed = sign::signed(webhook, signer, &self.folder, at)?;
        let mut parcel = Parcel::new(&self.api, signer, signed)?;
        if webhook.endpoint != webhook.signer {
            parcel.uri =
                format!("{}/webhook/{}", self.api.trim_end_matches('/'), webhook.endpoint).parse()?;
        }
        Ok(parcel)
    }

    /// Journal, send, journal. The answer, where there was a whole one.
    async fn try_once(
        &self,
        webhook: &Webhook,
        copy: u32,
        attempt: u32,
        parcel: &Parcel,
    ) -> anyhow::Result<Option<Answer>> {
        let (n, at) = (webhook.n, clock::now());
        let (sha256, bytes) = (hex_sha256(&parcel.body), parcel.body.len());
        self.parcels.keep(n, at, parcel)?;
        let at = at.to_string();
        self.journal.write(&Entry::Try { n, copy, attempt, at, sha256, bytes }).await?;
        let began = Instant::now();
        let answered = match &webhook.wire {
            Wire::Patient | Wire::Once => self.sender.send(parcel).await,
            Wire::Half => wire::broken(parcel, &parcel.body.slice(..parcel.body.len() / 2)).await,
            Wire::Gone => wire::broken(parcel, &parcel.body).await,
            Wire::Slow(millis) => wire::whole("POST", parcel, Duration::from_millis(*millis)).await,
            Wire::Method(method) => wire::whole(method, parcel, Duration::ZERO).await,
        };
        let (at, ms) =
            (clock::now().to_string(), u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        match answered {
            Ok(answer) => {
                let said = answer.text("message").or_else(|| answer.text("error")).unwrap_or_default();
                let (status, webhook_id) = (answer.status, answer.text("webhook_id"));
                self.journal
                    .write(&Entry::Answer { n, copy, attempt, at, ms, status, said, webhook_id })
                    .await?;
                Ok(Some(answer))
            }
            Err(problem) => {
                let why = format!("{problem:#}");
                self.journal.write(&Entry::Silence { n, copy, attempt, at, ms, why }).await?;
                Ok(None)
            }
        }
    }
}

fn pause(attempt: u32, asked: Option<u64>) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << attempt.min(10));
    pause.max(Duration::from_secs(asked.unwrap_or_default())).min(LONGEST_PAUSE)
}
