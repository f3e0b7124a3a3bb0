//! `tollgate rejected verify`.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    process::ExitCode,
};

use anyhow::Context;
use serde_json::json;
use tollgate_operate::rejected::{MOST, Store};
use tollgate_providers::{Material, Received};

use super::which::{Which, are_kept, endpoint_with_keys};
use crate::{clock, progress::counting, signer::KeySource, table::Table, target::Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    key: KeySource,
    /// The certificate chain (PEM) or JSON Web Key that the webhooks name
    #[arg(long, value_name = "FILE")]
    material: Option<std::path::PathBuf>,
    /// One JSON object for each webhook
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.which.filter()?;
    let aws = args.target.connect().await?;
    let material = args.material.as_ref().map(std::fs::read).transpose().context("reading the material")?;
    let material = material.map(Material);
    let store = Store::of(&aws).await?;
    let bar = counting("verified");
    let (mut endpoints, mut found) = (HashMap::new(), HashSet::new());
    let mut counts: BTreeMap<[String; 3], u64> = BTreeMap::new();
    let mut is_any_refused = false;
    let (mut last, mut is_more) = (None, true);
    while is_more {
        let names;
        (names, is_more) = store.page(&filter, clock::now(), last.as_ref(), MOST).await?;
        for name in &names {
            bar.inc(1);
            found.insert(name.webhook_id.to_string());
            if let Entry::Vacant(vacant) = endpoints.entry(name.endpoint) {
                vacant.insert(endpoint_with_keys(&aws, &name.endpoint, &args.key).await?);
            }
            let (Some((endpoint, ring)), Some(kept)) =
                (endpoints.get(&name.endpoint), store.fetch(name).await?)
            else {
                continue;
            };
            let body = kept.body()?;
            let received =
                Received { headers: &kept.request.headers, query: &kept.request.query, body: &body };
            let verified = endpoint.verify(received, ring, material.as_ref(), kept.received_at);
            let now = match &verified {
                Ok(verified) => format!("genuine, by the key {}", verified.key_id()),
                Err(refusal) => format!("refused: {}", refusal.code()),
            };
            is_any_refused |= verified.is_err();
            if args.json {
                say!(
                    "{}",
                    json!({
                        "webhook_id": kept.webhook_id,
                        "endpoint": kept.endpoint,
                        "received_at": kept.received_at,
                        "refused_for": kept.reason,
                        "valid": verified.is_ok(),
                        "key_id": verified.as_ref().ok().map(|verified| verified.key_id()),
                        "reason": verified.as_ref().err().map(ToString::to_string),
                    })
                );
            } else {
                *counts.entry([name.endpoint.to_string(), name.reason.clone(), now]).or_default() += 1;
            }
        }
        last = names.into_iter().next_back();
    }
    bar.finish_and_clear();
    if !args.json {
        if counts.is_empty() {
            say!("nothing is kept");
        } else {
            let mut table = Table::new(["endpoint", "refused for", "now", "count"]);
            for ([endpoint, reason, now], count) in counts {
                table.row([endpoint, reason, now, count.to_string()]);
            }
            show!("{table}");
        }
    }
    let is_whole = are_kept(&filter, &found) && !is_any_refused;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
