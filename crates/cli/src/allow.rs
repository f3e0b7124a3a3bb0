//! `tollgate allow`: an operator's decision that what was set aside as `too_old_to_tell` takes effect.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::{Context, bail};
use aws_sdk_sqs::types::Message;
use serde::Serialize;
use tollgate_aws::ledger::DynamoLedger;
use tollgate_core::{EndpointId, LedgerKey, Queue, Timestamp};
use tollgate_pipeline::{
    intake::{QueuedMessage, attribute},
    ports::{Allowance, Allowances, Ledger, LedgerState},
};

use serde_json::json;
use tollgate_operate::{
    audit::{Act, Reason},
    aws::Aws,
    dead_letters::DeadLetters,
    queues,
};

use crate::{clock, table::Table, target::Target};

/// The reason of the messages that can be allowed.
const REASON: &str = "too_old_to_tell";
/// The most dead letters of a queue that are looked at.
const MOST: usize = 10_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The webhooks to allow; without any, those that can be allowed are listed
    #[arg(value_name = "WEBHOOK_ID")]
    webhooks: Vec<String>,
    /// Why they may take effect; it is kept with the decision
    #[arg(long, requires = "yes")]
    reason: Option<Reason>,
    /// Record the decision; otherwise they are only shown
    #[arg(long, requires = "reason")]
    yes: bool,
    /// One JSON object for each webhook
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// A message that is set aside because nobody can tell whether it was done before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Aside {
    webhook_id: String,
    endpoint: EndpointId,
    queue: &'static str,
    received_at: Timestamp,
    /// The provider's event ids, as they were claimed.
    event_ids: Vec<String>,
    /// Whether a claim still admits the message: without one, to allow it does nothing.
    is_claimed: bool,
    #[serde(skip)]
    allowance: Allowance,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let mut asides = Vec::new();
    for (queue, name) in [(Queue::Intake, "fast"), (Queue::IntakeOrdered, "ordered")] {
        for message in look(&aws, queue).await? {
            asides.extend(read(&message, name, args.reason.as_ref()));
        }
    }
    if !args.webhooks.is_empty() {
        asides.retain(|aside| args.webhooks.contains(&aside.webhook_id));
        let found: Vec<&str> = asides.iter().map(|aside| aside.webhook_id.as_str()).collect();
        let missing: Vec<&str> =
            args.webhooks.iter().map(String::as_str).filter(|id| !found.contains(id)).collect();
        if !missing.is_empty() {
            bail!("no dead letter that is {REASON}: {}", missing.join(", "));
        }
    } else if args.yes {
        bail!("which? name the webhooks");
    }
    let ledger = DynamoLedger::new(aws_sdk_dynamodb::Client::new(&aws.config), aws.names.ledger_table());
    for aside in &mut asides {
        aside.is_claimed = is_claimed(&ledger, aside).await?;
    }
    show(&asides, args.json)?;
    if let Some(reason) = args.reason.filter(|_| args.yes) {
        if let Some(aside) = asides.iter().find(|aside| !aside.is_claimed) {
            bail!("no claim admits the message of {}: it can have no effect any more", aside.webhook_id);
        }
        // A webhook may be set aside more than once.
        let ids: BTreeSet<String> = asides.iter().map(|aside| aside.webhook_id.clone()).collect();
        let details = serde_json::to_value(&asides)?;
        let act = Act::begin(&aws, clock::now(), "allow", reason, ids.into_iter().collect(), details).await?;
        let mut allowed = BTreeSet::new();
        let mut done = Ok(());
        for aside in &asides {
            let recorded = ledger.allow(&aside.allowance).await;
            done = recorded.with_context(|| format!("allowing {}", aside.webhook_id));
            if done.is_err() {
                break;
            }
            allowed.insert(aside.webhook_id.clone());
        }
        let problem = done.as_ref().err().map(|problem| format!("{problem:#}"));
        let ended = act.end(clock::now(), allowed.into_iter().collect(), json!({ "error": problem })).await;
        done.and(ended)?;
    }
    if !args.json {
        match (asides.len(), args.yes) {
            (0, _) => say!("nothing is set aside as {REASON}"),
            (count, true) => say!("\n{count} allowed: redrive the dead letters, and they take effect"),
            (_, false) => say!("\nallow them with --yes --reason TEXT"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether one of the message's events has a claim with its seal.
async fn is_claimed(ledger: &DynamoLedger, aside: &Aside) -> anyhow::Result<bool> {
    let keys: BTreeSet<LedgerKey> =
        aside.event_ids.iter().map(|id| LedgerKey::new(&aside.endpoint, id)).collect();
    let keys: Vec<LedgerKey> = keys.into_iter().collect();
    // A message says no ids where they are too many.
    if keys.is_empty() {
        return Ok(true);
    }
    for known in ledger.known(&keys, clock::now()).await {
        let known = known.with_context(|| format!("reading the claims of {}", aside.webhook_id))?;
        let terms = known.filter(|known| known.state == LedgerState::Received).and_then(|known| known.terms);
        if terms.is_some_and(|terms| terms.seals.contains(&aside.allowance.seal)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn show(asides: &[Aside], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        for aside in asides {
            say!("{}", serde_json::to_string(aside)?);
        }
    } else if !asides.is_empty() {
        let mut table = Table::new(["webhook", "endpoint", "intake", "received", "claim", "events"]);
        for aside in asides {
            table.row([
                aside.webhook_id.clone(),
                aside.endpoint.to_string(),
                aside.queue.to_owned(),
                aside.received_at.to_string(),
                if aside.is_claimed { "there" } else { "gone" }.to_owned(),
                aside.event_ids.join(", "),
            ]);
        }
        show!("{table}");
    }
    Ok(())
}

/// Everything in an intake's dead letters that can be received. Of a FIFO group that is what comes first.
async fn look(aws: &Aws, queue: Queue) -> anyhow::Result<Vec<Message>> {
    let sqs = aws_sdk_sqs::Client::new(&aws.config);
    let name = aws.names.dead_letters(queue);
    let url = queues::url(&sqs, &name).await?;
    let (mut letters, mut messages) = (DeadLetters::new(&sqs, &url), Vec::new());
    let mut all = Ok(());
    while messages.len() < MOST {
        match letters.receive(u64::MAX).await {
            // None, or those that were seen already and are visible again.
            Ok(batch) if batch.fresh.is_empty() => break,
            Ok(batch) => messages.extend(batch.fresh.into_iter().map(|(_, message)| message)),
            Err(problem) => {
                all = Err(problem);
                break;
            }
        }
    }
    let given_back = letters.give_back().await;
    all.and(given_back).with_context(|| format!("looking through {name}"))?;
    Ok(messages)
}

/// A dead letter, where it can be allowed.
fn read(message: &Message, queue: &'static str, reason: Option<&Reason>) -> Option<Aside> {
    let attributes = message.message_attributes()?;
    let attributes: Vec<(&str, &str)> =
        attributes.iter().filter_map(|(name, value)| Some((name.as_str(), value.string_value()?))).collect();
    let is_too_old = attributes.iter().any(|(name, text)| *name == attribute::REASON && *text == REASON);
    let queued = QueuedMessage::read(message.body()?, &attributes).ok().filter(|_| is_too_old)?;
    let webhook_id = queued.webhook_id;
    Some(Aside {
        webhook_id: webhook_id.as_str().to_owned(),
        endpoint: queued.endpoint,
        queue,
        received_at: queued.received_at,
        event_ids: queued.notes.claimed.split('\n').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        is_claimed: false,
        allowance: Allowance {
            seal: queued.seal(),
            webhook_id,
            reason: reason.map(Reason::to_string).unwrap_or_default(),
            allowed_at: clock::now(),
        },
    })
}
