//! `tollgate inspect`: the whole way of one webhook, event or payment.

use std::process::ExitCode;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tollgate_core::{EndpointId, EventId, Timestamp};
use tollgate_operate::{
    audit::{Act, Reason},
    aws::Aws,
    masked::masked,
    way::{self, ClaimOf, Named, Payment, Question, Step, Way, Webhook},
};

use crate::{
    clock,
    table::Table,
    target::{Target, endpoint_id},
};

/// Steps of a webhook that are printed: one of many events has more.
const MOST_STEPS: usize = 60;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A webhook (wh_…), our id of an event (evt_…) or an effect (eff_…), a provider's event, a payment or a movement
    id: String,
    /// At this endpoint alone
    #[arg(long, value_parser = endpoint_id)]
    endpoint: Option<EndpointId>,
    /// A day (UTC) of the archive to look through for what no table knows; may be repeated [default: today and yesterday]
    #[arg(long = "date", value_name = "YYYY-MM-DD", value_parser = day)]
    days: Vec<Timestamp>,
    /// Also print the bodies that are archived, without card numbers, verification data and addresses
    #[arg(long)]
    raw: bool,
    /// Print the bodies as they came
    #[arg(long, requires_all = ["raw", "reason"])]
    reveal: bool,
    /// Why the bodies are revealed; it is recorded, with who reveals them
    #[arg(long, requires = "reveal")]
    reason: Option<Reason>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

fn day(text: &str) -> Result<Timestamp, String> {
    format!("{text}T00:00:00Z").parse().map_err(|_| "a day is written YYYY-MM-DD".to_owned())
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let now = clock::now();
    let aws = args.target.connect().await?;
    let mut days = args.days;
    if days.is_empty() {
        days.push(now);
        days.extend(Timestamp::from_second(now.as_second() - 24 * 60 * 60));
    }
    let question = Question { id: args.id, endpoint: args.endpoint, days, now };
    let way = way::look(&aws, &question).await?;
    let bodies = match args.reason.filter(|_| args.reveal) {
        Some(reason) => Some(revealed(&aws, reason, &way).await?),
        None => args.raw.then(|| way.webhooks.iter().map(|one| Bodies::of(one, masked)).collect::<Vec<_>>()),
    };
    if args.json {
        let mut value = serde_json::to_value(&way)?;
        if let (Some(bodies), Some(webhooks)) =
            (bodies, value.pointer_mut("/webhooks").and_then(|all| all.as_array_mut()))
        {
            for (webhook, Bodies { body, object }) in webhooks.iter_mut().zip(bodies) {
                for (name, text) in [("body", body), ("object", object)] {
                    if let (Some(webhook), Some(text)) = (webhook.as_object_mut(), text) {
                        webhook.insert(name.to_owned(), json!(text));
                    }
                }
            }
        }
        say!("{value}");
    } else {
        show(&way, bodies.as_deref());
    }
    Ok(if way.is_found() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The bodies as they came, once it is recorded that they are shown, and to whom.
async fn revealed(aws: &Aws, reason: Reason, way: &Way) -> anyhow::Result<Vec<Bodies>> {
    let archived = way.webhooks.iter().filter(|webhook| webhook.body.is_some());
    let ids: Vec<String> = archived.map(|webhook| webhook.webhook_id.to_string()).collect();
    let details = json!({ "asked": way.asked });
    let act = Act::begin(aws, clock::now(), "inspect reveal", reason, ids.clone(), details).await?;
    // Nobody can take it back: what is about to be printed counts as shown.
    act.end(clock::now(), ids, json!({ "error": null })).await?;
    Ok(way.webhooks.iter().map(|webhook| Bodies::of(webhook, as_it_came)).collect())
}

/// What is shown of a webhook's bytes, and of what was fetched for its event.
struct Bodies {
    body: Option<String>,
    object: Option<String>,
}

impl Bodies {
    fn of(webhook: &Webhook, shown: fn(&[u8]) -> String) -> Self {
        Self { body: webhook.body.as_deref().map(shown), object: webhook.object.as_deref().map(shown) }
    }
}

/// A text, or base64 of what is none.
fn as_it_came(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", STANDARD.encode(body)),
    }
}

fn show(way: &Way, bodies: Option<&[Bodies]>) {
    if way.names.is_empty() {
        say!("{}: nothing is known of it", way.asked);
    }
    for name in &way.names {
        say!("{} is {}", way.asked, named(name));
    }
    for (position, webhook) in way.webhooks.iter().enumerate() {
        show_webhook(webhook);
        if let Some(Bodies { body, object }) = bodies.and_then(|bodies| bodies.get(position)) {
            match body {
                Some(body) => say!("\nbody:\n{body}"),
                None => say!("\nbody: not archived"),
            }
            if let Some(object) = object {
                say!("\nobject, as its provider told it:\n{object}");
            }
        }
    }
    for payment in &way.payments {
        show_payment(payment);
    }
    if !way.queues.is_empty() {
        let mut table = Table::new(["queue", "waiting", "in flight", "delayed"]);
        for depth in &way.queues {
            let counts = [depth.visible, depth.in_flight, depth.delayed].map(|count| count.to_string());
            table.row(std::iter::once(depth.name.clone()).chain(counts));
        }
        show!("\n{table}");
    }
    let gaps: Vec<&Step> = way.gaps().collect();
    if !gaps.is_empty() {
        say!("\ngaps:");
        for gap in gaps {
            let cause =
                gap.cause.as_deref().map(|cause| format!("\n    likely: {cause}")).unwrap_or_default();
            say!("  {}: {}{cause}", gap.part.as_str(), gap.detail);
        }
    }
    for note in &way.notes {
        say!("\nnote: {note}");
    }
}

fn named(name: &Named) -> String {
    match name {
        Named::Webhook => "a webhook".to_owned(),
        Named::Event => "a payment event".to_owned(),
        Named::Effect => "an effect".to_owned(),
        Named::ProviderEvent { endpoint } => format!("a provider's event, at {endpoint}"),
        Named::Transaction { endpoint } => format!("a payment, at {endpoint}"),
        Named::Alias { endpoint, of } => format!("another id of the payment {of}, at {endpoint}"),
        Named::Movement { endpoint } => format!("a movement, at {endpoint}"),
    }
}

fn show_webhook(webhook: &Webhook) {
    let at = webhook.endpoint.map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
    let of = webhook.provider.map(|provider| format!(", of {provider}")).unwrap_or_default();
    say!("\nwebhook {}{at}{of}", webhook.webhook_id);
    let mut table = Table::new(["at", "part", "state", "what"]);
    for step in webhook.steps.iter().take(MOST_STEPS) {
        table.row([
            step.at.map(|at| at.to_string()).unwrap_or_default(),
            step.part.as_str().to_owned(),
            step.progress.as_str().to_owned(),
            step.detail.clone(),
        ]);
    }
    show!("{table}");
    if webhook.steps.len() > MOST_STEPS {
        say!("… {} further steps: --json has them", webhook.steps.len() - MOST_STEPS);
    }
}

fn show_payment(payment: &Payment) {
    let aliases = match payment.aliases.is_empty() {
        true => String::new(),
        false => format!(", also {}", payment.aliases.join(", ")),
    };
    say!("\npayment {} at {}{aliases}", payment.transaction_id, payment.endpoint);
    let mut table = Table::new([
        "happened", "arrived", "as", "event", "amount", "claim", "restates", "fraud", "webhook", "id",
    ]);
    for one in &payment.events {
        let event = &one.event;
        let amount = event.amount.as_ref().map(|amount| {
            let value = amount.to_decimal().unwrap_or_else(|| amount.minor_units().to_string());
            format!("{value} {}", amount.currency().code())
        });
        let latest = if payment.latest == Some(event.id) { " (latest)" } else { "" };
        let superseded = if event.superseded { " (superseded)" } else { "" };
        table.row([
            event.occurred_at.to_string(),
            event.received_at.to_string(),
            one.arrived_as.to_string(),
            format!("{}{latest}{superseded}", event.kind.as_str()),
            amount.unwrap_or_default(),
            claim(&one.claim).to_owned(),
            restates(event.restates, one.effect_told_by, event.id),
            one.decision.as_ref().map(|made| format!("{} {}", made.verdict, made.score)).unwrap_or_default(),
            event.webhook_id.to_string(),
            event.id.to_string(),
        ]);
    }
    show!("{table}");
    if payment.is_cut {
        say!("… it has more: the archive has all (docs/archive.md)");
    }
    for conflict in &payment.conflicts {
        say!(
            "conflict: {} told {} with other payment facts, and has no effect",
            conflict.webhook_id,
            conflict.provider_event_id
        );
    }
}

fn claim(claim: &ClaimOf) -> &'static str {
    match claim {
        ClaimOf::Processed { .. } => "processed",
        ClaimOf::Received { is_too_old: true, .. } => "too old",
        ClaimOf::Received { .. } => "received",
        ClaimOf::Forgotten => "forgotten",
        ClaimOf::Missing => "MISSING",
    }
}

/// Which event told its effect first.
fn restates(restates: Option<EventId>, told_by: Option<EventId>, own: EventId) -> String {
    match (restates, told_by) {
        (Some(first), _) => first.to_string(),
        (None, Some(first)) if first != own => format!("(its effect is {first}'s)"),
        (None, _) => String::new(),
    }
}
