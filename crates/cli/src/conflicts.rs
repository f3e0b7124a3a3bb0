//! `tollgate conflicts`: deliveries that contradict what is known, side by side with it, and which of both is true.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use tollgate_core::{EndpointId, Timestamp, WebhookId};
use tollgate_operate::{
    audit::Reason,
    conflicts::{Contested, Decision, Done, Found, Judgement, MOST_LISTED, decide, judge, of, waiting},
    dlq::{MOST, forecast::PaymentFacts},
    way::ClaimOf,
};

use crate::{
    clock,
    dlq::{brief, days_left, more, stop_on_signals},
    table::Table,
    target::{Target, webhook_id},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the deliveries that contradict what is known
    List(List),
    /// Show the facts that stand beside those of a delivery that contradicts them
    Show(Show),
    /// Say that the facts that stand are true, and delete what contradicts them
    Keep(Keep),
    /// Say that the others are true, which came as an event of its own, and delete what is told twice
    Take(Take),
}

/// Where, how far, and for whom.
#[derive(Debug, clap::Args)]
struct Looking {
    /// Dead letters of each queue that are looked at, at most
    #[arg(long, value_name = "N", default_value_t = MOST)]
    most: u64,
    /// JSON: an object for each delivery that is shown, one object for a decision
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Of this endpoint
    #[arg(long)]
    endpoint: Option<String>,
    #[command(flatten)]
    looking: Looking,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Of the delivery
    #[arg(value_parser = webhook_id)]
    webhook_id: WebhookId,
    #[command(flatten)]
    looking: Looking,
}

#[derive(Debug, clap::Args)]
struct Keep {
    #[command(flatten)]
    deciding: Deciding,
}

#[derive(Debug, clap::Args)]
struct Take {
    /// The provider's id of a processed event that tells the facts of the delivery
    #[arg(long = "by", value_name = "EVENT_ID", required = true)]
    by: Vec<String>,
    #[command(flatten)]
    deciding: Deciding,
}

#[derive(Debug, clap::Args)]
struct Deciding {
    /// The deliveries that contradict what is known
    #[arg(value_name = "WEBHOOK_ID", required = true, value_parser = webhook_id)]
    webhooks: Vec<WebhookId>,
    /// Why; it is kept with the record of who decided it
    #[arg(long, requires = "yes")]
    reason: Option<Reason>,
    /// Decide it; otherwise only what would be done is said
    #[arg(long, requires = "reason")]
    yes: bool,
    #[command(flatten)]
    looking: Looking,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list(args).await,
        Command::Show(args) => show(args).await,
        Command::Keep(Keep { deciding }) => decided(deciding, Decision::Keep).await,
        Command::Take(Take { by, deciding }) => decided(deciding, Decision::Take(by)).await,
    }
}

async fn list(args: List) -> anyhow::Result<ExitCode> {
    let aws = args.looking.target.connect().await?;
    let endpoint = args.endpoint.map(EndpointId::new).transpose()?;
    let found = waiting(&aws, clock::now, endpoint, args.looking.most).await?;
    let all = &found.all;
    if args.looking.json {
        for one in all {
            say!("{}", serde_json::to_string(one)?);
        }
    } else if found.is_none() {
        say!("no delivery contradicts what is known");
    } else if all.is_empty() {
        say!("of those that were looked at no delivery contradicts what is known");
    } else {
        let mut table = Table::new(["webhook", "endpoint", "set aside", "days", "event", "stands", "told"]);
        for one in all {
            for conflict in &one.conflicts {
                table.row([
                    one.webhook_id.to_string(),
                    one.endpoint.to_string(),
                    brief(one.set_aside_at),
                    days_left(clock::now(), one.expires_at).to_string(),
                    conflict.provider_event_id.clone(),
                    conflict.stands.as_ref().map_or_else(|| "not read".to_owned(), in_short),
                    in_short(&conflict.told),
                ]);
            }
            if one.conflicts.is_empty() {
                let nothing = "cannot be read now".to_owned();
                table.row([
                    one.webhook_id.to_string(),
                    one.endpoint.to_string(),
                    brief(one.set_aside_at),
                    String::new(),
                    nothing,
                ]);
            }
        }
        show!("{table}");
    }
    if found.is_full {
        complain!(
            "there are more than the {MOST_LISTED} that were looked into: decide these, or name an endpoint"
        );
    }
    say_what_was_not_looked_at(&found, args.looking.most);
    Ok(ExitCode::SUCCESS)
}

fn say_what_was_not_looked_at(found: &Found, most: u64) {
    for queue in &found.cut {
        complain!("{}", more(queue, most));
    }
}

fn in_short(facts: &PaymentFacts) -> String {
    format!("{} {}", facts.kind.as_str(), amount(facts))
}

fn amount(facts: &PaymentFacts) -> String {
    let Some(money) = &facts.amount else { return "no amount".to_owned() };
    let value = money.to_decimal().unwrap_or_else(|| money.minor_units().to_string());
    format!("{value} {}", money.currency())
}

async fn show(args: Show) -> anyhow::Result<ExitCode> {
    let aws = args.looking.target.connect().await?;
    let found = of(&aws, clock::now, std::slice::from_ref(&args.webhook_id), args.looking.most).await?;
    say_what_was_not_looked_at(&found, args.looking.most);
    if found.all.is_empty() {
        complain!("no dead letter of {} contradicts what is known", args.webhook_id);
        // It may be among those that were not looked at.
        return Ok(if found.cut.is_empty() { ExitCode::FAILURE } else { ExitCode::from(2) });
    }
    for one in &found.all {
        if args.looking.json {
            say!("{}", serde_json::to_string(one)?);
        } else {
            print(one);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(one: &Contested) {
    say!("webhook    {} at {}", one.webhook_id, one.endpoint);
    say!(
        "set aside  {} in {}, {} days left",
        brief(one.set_aside_at),
        one.queue,
        days_left(clock::now(), one.expires_at)
    );
    for conflict in &one.conflicts {
        say!("\nevent      {} ({})", conflict.provider_event_id, conflict.event_id);
        say!("claim      {}", claim(&conflict.claim));
        let mut table = Table::new(["", "stands", "told", "differs"]);
        // What two deliveries of an event must share, and last what they need not.
        let stands = conflict.stands.as_ref().map(cells);
        for (place, (name, told)) in cells(&conflict.told).into_iter().enumerate() {
            let stands = stands.as_ref().and_then(|cells| cells.get(place)).map(|(_, text)| text.as_str());
            let is_other = name != "occurred" && stands.is_some_and(|stands| stands != told);
            let differs = if is_other { "yes" } else { "" };
            table.row([name, stands.unwrap_or("not read"), &told, differs]);
        }
        show!("{table}");
    }
    for event in &one.needed_by {
        say!("\nnot processed: {event}");
    }
    for note in &one.notes {
        say!("\n{note}");
    }
}

fn cells(facts: &PaymentFacts) -> [(&'static str, String); 5] {
    [
        ("type", facts.kind.as_str().to_owned()),
        ("amount", amount(facts)),
        ("transaction", facts.transaction_id.clone()),
        ("movement", facts.movement_id.clone()),
        ("occurred", facts.occurred_at.to_string()),
    ]
}

fn claim(claim: &ClaimOf) -> String {
    let by = |webhook_id: &Option<_>| {
        webhook_id.as_ref().map_or_else(String::new, |id: &WebhookId| format!(" by {id}"))
    };
    let at = |since: &Timestamp| brief(*since);
    match claim {
        ClaimOf::Processed { since, webhook_id } => {
            format!("processed{}, claimed {}", by(webhook_id), at(since))
        }
        ClaimOf::Received { since, webhook_id, .. } => {
            format!(
                "not processed yet, claimed {}{}: its own message is to come, or a dead letter",
                at(since),
                by(webhook_id)
            )
        }
        ClaimOf::Forgotten => "forgotten".to_owned(),
        ClaimOf::Missing => "none".to_owned(),
    }
}

async fn decided(args: Deciding, decision: Decision) -> anyhow::Result<ExitCode> {
    let aws = args.looking.target.connect().await?;
    let found = of(&aws, clock::now, &args.webhooks, args.looking.most).await?;
    say_what_was_not_looked_at(&found, args.looking.most);
    let all = &found.all;
    let missing: Vec<&WebhookId> =
        args.webhooks.iter().filter(|id| !all.iter().any(|one| one.webhook_id == **id)).collect();
    for id in &missing {
        complain!("no dead letter of {id} contradicts what is known");
    }
    let Some(reason) = args.reason.filter(|_| args.yes) else {
        let judgement = judge(&aws, clock::now(), all, &decision).await?;
        return Ok(told(&judgement, None, !missing.is_empty(), args.looking.json));
    };
    // An act that ends before its end is recorded so, too.
    let stop = stop_on_signals("stopping; what was not deleted stays where it is");
    Ok(match decide(&aws, clock::now, all, &decision, reason, args.looking.most, &stop).await? {
        Ok(done) => told(&done.judgement, Some(&done), !missing.is_empty(), args.looking.json),
        Err(judgement) => told(&judgement, None, true, args.looking.json),
    })
}

fn told(judgement: &Judgement, done: Option<&Done>, is_more_wanted: bool, as_json: bool) -> ExitCode {
    if as_json {
        say!("{}", done.map_or_else(|| json!(judgement), |done| json!(done)));
    } else {
        for (webhook_id, why) in &judgement.refused {
            say!("{webhook_id}: not decided: {why}");
        }
        match done {
            Some(done) => {
                for kept in &done.purged.kept {
                    say!("{}: left among the dead letters: {}", kept.letter.ids.join(", "), kept.why);
                }
                say!(
                    "{} of {} decided; recorded as {}",
                    done.purged.count,
                    judgement.decided.len(),
                    done.act
                );
            }
            None if judgement.decided.is_empty() => say!("nothing would be decided"),
            None => say!(
                "{} would be decided: their messages are deleted. Say --yes --reason TEXT",
                judgement.decided.len()
            ),
        }
    }
    if let Some(problem) = done.and_then(|done| done.purged.error.as_ref()) {
        complain!("tollgate: {problem}");
        return ExitCode::from(2);
    }
    let is_whole = judgement.refused.is_empty() && !is_more_wanted && done.is_none_or(Done::is_whole);
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
