//! What a person sees at the end of the demo.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use tollgate_cli::{say, signer::Signer, table::Table};

use crate::{
    census::{Census, Example},
    deliver::{Delivered, Ending},
    plan::{self, Planned},
    verdict::Verdict,
};

/// Problems that are shown; there may be thousands.
const SHOWN: usize = 20;

/// For each endpoint: the results of its webhooks, and why webhooks were refused.
pub(crate) fn endpoints(
    signers: &[Signer],
    planned: &[Planned],
    delivered: &[Delivered],
    reasons: &HashMap<String, String>,
) {
    let mut table =
        Table::new(["endpoint", "provider", "sent", "accepted", "duplicate", "rejected", "reasons"]);
    for (index, signer) in signers.iter().enumerate() {
        let mine: Vec<&Delivered> = planned
            .iter()
            .zip(delivered)
            .filter(|(one, _)| one.signer == index)
            .map(|(_, one)| one)
            .collect();
        let ended = |ending: fn(&Ending) -> bool| mine.iter().filter(|one| ending(&one.ending)).count();
        let mut why: BTreeMap<String, u64> = BTreeMap::new();
        for one in mine.iter().filter(|one| matches!(one.ending, Ending::Rejected(_))) {
            *why.entry(reason(one, reasons)).or_default() += 1;
        }
        let why: Vec<String> = why.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        table.row([
            signer.endpoint.id().to_string(),
            signer.endpoint.provider().to_string(),
            mine.len().to_string(),
            ended(|ending| *ending == Ending::Accepted).to_string(),
            ended(|ending| *ending == Ending::Duplicate).to_string(),
            ended(|ending| matches!(ending, Ending::Rejected(_))).to_string(),
            why.join(", "),
        ]);
    }
    say!("{table}");
}

/// The validator's own word for it, else the HTTP status.
fn reason(delivered: &Delivered, reasons: &HashMap<String, String>) -> String {
    let answer = delivered.answer.as_ref();
    let typed = answer.and_then(|answer| reasons.get(answer.text("webhook_id")?));
    match (typed, delivered.ending) {
        (Some(reason), _) => reason.clone(),
        (None, Ending::Rejected(status)) => format!("HTTP {status}"),
        (None, _) => "unknown".to_owned(),
    }
}

/// Per destination: what should be there and what is.
pub(crate) fn destinations(verdict: &Verdict, census: &Census) {
    let mut table = Table::new(["destination", "expected", "found", "extra copies", "note"]);
    for one in &verdict.destinations {
        table.row([
            one.name.to_owned(),
            one.expected.to_string(),
            one.found.to_string(),
            one.repeats.to_string(),
            one.note.clone(),
        ]);
    }
    say!("{table}");
    for (queue, depth) in &census.dead_letters {
        say!("{queue} holds {depth}");
    }
}

/// What chaos did, and what it cost the senders.
pub(crate) fn kills(kills: &BTreeMap<String, u64>, delivered: &[Delivered]) {
    let each: Vec<String> = kills.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let retries: u64 = delivered.iter().map(|one| u64::from(one.attempts.saturating_sub(1))).sum();
    let retried = delivered.iter().filter(|one| one.attempts > 1).count();
    say!("killed: {}; {retried} webhooks took {retries} retries\n", each.join(", "));
}

/// One event through every hop.
pub(crate) fn followed(
    endpoint: &str,
    planned: &Planned,
    delivered: &Delivered,
    example: &Example,
    census: &Census,
) {
    say!("one event, {} at {endpoint}, hop by hop:", example.event_id);
    let answer = delivered.answer.as_ref();
    let status = answer.map_or_else(|| "none".to_owned(), |answer| answer.status.to_string());
    let said = |name: &str| answer.and_then(|answer| answer.text(name)).unwrap_or("-").to_owned();
    let mut table = Table::new(["  hop", "what is there"]);
    let request = format!(
        "POST {} ({}, {}, SHA-256 {}…)",
        planned.parcel.uri.path(),
        plan::size(&planned.parcel.body),
        planned.money,
        planned.body_sha256.get(..12).unwrap_or_default()
    );
    table.row(["  request".to_owned(), request]);
    table.row(["  answer".to_owned(), format!("{status} {}, {}", said("message"), said("webhook_id"))]);
    let fields = |hop: &str, names: &[&str]| census.example.get(hop).map(|found| pick(found, names));
    let hops = [
        ("ledger item", fields("ledger", &["event_key", "state", "received_at"])),
        ("transaction item", fields("transaction", &["transaction_id", "sort_key"])),
        (
            "queue message",
            fields("queue", &["detail-type", "detail.id", "detail.risk_tier", "detail.amount.value"]),
        ),
        ("alert", census.example.get("alert").map(|found| pick(found, &["Type", "MessageId"]))),
        ("workflow", fields("workflow", &["status", "output"])),
        ("archive row", fields("archive", &["webhook_id", "outcome", "key_id", "bytes", "sha256"])),
    ];
    for (name, found) in hops {
        table.row([format!("  {name}"), found.unwrap_or_else(|| "not found".to_owned())]);
    }
    say!("{table}");
}

fn pick(found: &Value, names: &[&str]) -> String {
    let mut parts = Vec::new();
    for name in names {
        let value = name.split('.').try_fold(found, |value, part| value.get(part));
        let text = match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => continue,
            Some(other) => other.to_string(),
        };
        let shown: String = text.chars().take(100).collect();
        parts.push(format!("{} {shown}", name.rsplit('.').next().unwrap_or(name)));
    }
    parts.join(", ")
}

/// Everything that is not as it must be.
pub(crate) fn problems(verdict: &Verdict) {
    for problem in verdict.problems.iter().take(SHOWN) {
        say!("problem: {problem}");
    }
    if let Some(more) = verdict.problems.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        say!("problem: and {more} more");
    }
}
