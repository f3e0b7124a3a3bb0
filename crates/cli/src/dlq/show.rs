//! `tollgate dlq show`.

use std::process::ExitCode;

use serde_json::{Value, json};
use tollgate_operate::{
    audit::{Act, Reason},
    dlq::{
        MOST, Source,
        forecast::Explained,
        letter::{Dead, Letter},
        outlook::find,
    },
    masked::masked,
};

use super::which::{brief, days_left};
use crate::{clock, target::Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of the message, or of a webhook, an event or a payment that it names
    id: String,
    /// Only in this dead-letter queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Show the body as it is, and not masked; recorded
    #[arg(long, requires = "reason")]
    reveal: bool,
    /// Why it is revealed
    #[arg(long, requires = "reveal")]
    reason: Option<Reason>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let sources = match &args.queue {
        Some(name) => vec![Source::named(&aws, name)?],
        None => Source::all(),
    };
    let Some((letter, dead, explained)) = find(&aws, clock::now, sources, &args.id, MOST).await? else {
        complain!("no dead letter has or names {}", args.id);
        return Ok(ExitCode::FAILURE);
    };
    let body = match args.reason.filter(|_| args.reveal) {
        Some(reason) => {
            let ids = [vec![letter.message_id.clone()], letter.ids.clone()].concat();
            let details = json!({ "queue": letter.alike.queue, "body_sha256": letter.body_sha256 });
            let act =
                Act::begin(&aws, clock::now(), "dlq show --reveal", reason, ids.clone(), details).await?;
            act.end(clock::now(), ids, Value::Null).await?;
            dead.body().to_owned()
        }
        None => masked(dead.body().as_bytes()),
    };
    if args.json {
        let attributes: Value = attributes(&dead, args.reveal).into_iter().collect();
        let mut object = serde_json::to_value(&letter)?;
        if let Some(object) = object.as_object_mut() {
            object.insert("foreseen".to_owned(), serde_json::to_value(&explained)?);
            object.insert("attributes".to_owned(), attributes);
            object.insert("body".to_owned(), body.into());
        }
        say!("{object}");
    } else {
        print(&letter, &dead, &explained, &body, args.reveal);
    }
    Ok(ExitCode::SUCCESS)
}

/// Headers and the query are the sender's texts, as the body is.
fn attributes(dead: &Dead, is_revealed: bool) -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = dead
        .attributes()
        .into_iter()
        .map(|(name, text)| {
            let text = if is_revealed { text.to_owned() } else { masked(text.as_bytes()) };
            (name.to_owned(), Value::from(text))
        })
        .collect();
    all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    all
}

fn print(letter: &Letter, dead: &Dead, explained: &Explained, body: &str, is_revealed: bool) {
    let unknown = || "unknown".to_owned();
    say!("message    {} in {}", letter.message_id, letter.alike.queue);
    say!("reason     {}", letter.alike.reason);
    say!("endpoint   {}", letter.alike.endpoint.clone().unwrap_or_else(unknown));
    say!("release    {}", letter.alike.release.clone().unwrap_or_else(unknown));
    say!("names      {}", letter.ids.join(", "));
    say!("sent       {}, {} days left", brief(letter.sent_at), days_left(clock::now(), letter.expires_at));
    if let Some(group) = &letter.group {
        say!("group      {group}");
    }
    say!("redriven   {}", explained.prediction);
    for event in &explained.events {
        say!("event      {} {} {}", event.id, event.facts.kind.as_str(), event.claim);
    }
    say!("\nattributes");
    for (name, text) in attributes(dead, is_revealed) {
        say!("  {name}: {}", text.as_str().unwrap_or_default().replace('\n', " "));
    }
    say!("\nbody, {} bytes, SHA-256 {}", dead.body().len(), letter.body_sha256);
    say!("{body}");
}
