//! `tollgate rejected show`.

use std::process::ExitCode;

use serde_json::{Value, json};
use tollgate_operate::{
    audit::{Act, Reason},
    masked::masked,
    rejected::{Store, find, kept_until},
};
use tollgate_providers::Received;

use super::which::endpoint_with_keys;
use crate::{
    clock,
    dlq::{brief, days_left},
    signer::KeySource,
    target::Target,
    verify::verdict,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of the webhook that was refused
    webhook_id: String,
    /// Show the body, headers and what should have been signed as they are, and not masked; recorded
    #[arg(long, requires = "reason")]
    reveal: bool,
    /// Why it is revealed
    #[arg(long, requires = "reveal")]
    reason: Option<Reason>,
    #[command(flatten)]
    key: KeySource,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let store = Store::of(&aws).await?;
    let (name, kept) = find(&store, &args.webhook_id, clock::now()).await?;
    let body = kept.body()?;
    let received = Received { headers: &kept.request.headers, query: &kept.request.query, body: &body };
    // As the endpoint is now, by the time at which it arrived.
    let explained = match endpoint_with_keys(&aws, &kept.endpoint, &args.key).await {
        Ok((endpoint, ring)) => verdict(&endpoint, received, &ring, None, kept.received_at)?.1,
        Err(problem) => json!({ "not_explained": format!("{problem:#}") }),
    };
    let is_revealed = match args.reason.filter(|_| args.reveal) {
        Some(reason) => {
            let ids = vec![args.webhook_id.clone()];
            let details = json!({ "endpoint": kept.endpoint, "body_sha256": kept.body_sha256 });
            let act = Act::begin(&aws, clock::now(), "rejected show --reveal", reason, ids.clone(), details)
                .await?;
            act.end(clock::now(), ids, Value::Null).await?;
            true
        }
        None => false,
    };
    let text = |text: &str| if is_revealed { text.to_owned() } else { masked(text.as_bytes()) };
    let shown = if is_revealed { String::from_utf8_lossy(&body).into_owned() } else { masked(&body) };
    let explained = if is_revealed { explained } else { in_texts(without_content(explained), &text) };
    let headers: Vec<(&str, String)> =
        kept.request.headers.iter().map(|(name, value)| (name, text(value))).collect();
    if args.json {
        say!(
            "{}",
            json!({
                "webhook_id": kept.webhook_id,
                "endpoint": kept.endpoint,
                "provider": kept.provider,
                "received_at": kept.received_at,
                "source_ip": kept.source_ip,
                "reason": kept.reason,
                "error": kept.error,
                "until": kept_until(name.webhook_id.arrived_at()),
                "now": explained,
                "headers": headers,
                "query": text(&kept.request.query),
                "body_sha256": kept.body_sha256,
                "body": shown,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    let until = kept_until(name.webhook_id.arrived_at());
    say!("webhook    {}", kept.webhook_id);
    say!("endpoint   {} ({})", kept.endpoint, kept.provider);
    say!(
        "arrived    {} from {}, {} days left",
        brief(kept.received_at),
        kept.source_ip,
        days_left(clock::now(), until)
    );
    say!("refused    {}: {}", kept.reason, kept.error);
    say!(
        "\nas the endpoint is now, at the time of its arrival\n{}",
        serde_json::to_string_pretty(&explained)?
    );
    say!("\nheaders");
    for (name, value) in &headers {
        say!("  {name}: {}", value.replace('\n', " "));
    }
    if !kept.request.query.is_empty() {
        say!("query      {}", text(&kept.request.query));
    }
    say!("\nbody, {} bytes, SHA-256 {}\n{shown}", body.len(), kept.body_sha256);
    Ok(ExitCode::SUCCESS)
}

/// What should have been signed has the body within a text of the scheme's own, or a part of it: no key says what in it is card
/// verification data, and the body that is masked stands below.
fn without_content(mut explained: Value) -> Value {
    if let Some(content) = explained.get_mut("signed_content") {
        *content = "[--reveal shows it]".into();
    }
    explained
}

/// The same with each of its texts as `text` shows it.
fn in_texts(value: Value, text: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(one) => Value::String(text(&one)),
        Value::Array(all) => all.into_iter().map(|one| in_texts(one, text)).collect(),
        Value::Object(all) => all.into_iter().map(|(name, one)| (name, in_texts(one, text))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_of_a_body_is_shown_where_it_is_revealed_alone() {
        let explained =
            json!({ "valid": false, "signed_content": "1767323045.{\"cvv\":\"123\"}", "reason": "altered" });
        let shown = without_content(explained).to_string();
        assert!(!shown.contains("123") && shown.contains("[--reveal shows it]"), "{shown}");
        assert!(shown.contains("altered"), "{shown}");
        assert_eq!(
            without_content(json!({ "not_explained": "no key" })),
            json!({ "not_explained": "no key" })
        );
    }
}
