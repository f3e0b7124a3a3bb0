//! `tollgate providers`, `vectors` and `normalize`: what the catalogue and the normalisers know, without AWS.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use serde_json::json;
use tollgate_core::{
    Authenticity, EndpointConfig, EndpointId, PaymentEvent, ProviderId, Timestamp, WebhookId, event::Arrival,
};
use tollgate_providers::{Endpoint, Headers, Received, Trusted, catalogue, vectors};
use tollgate_risk::Thresholds;

use crate::{clock, provider_cells, providers_page, table::Table, verify};

#[derive(Debug, clap::Args)]
pub(crate) struct ProvidersArgs {
    /// The whole catalogue, one JSON object a line
    #[arg(long)]
    json: bool,
    /// The page docs/providers.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VectorsArgs {
    /// JSON lines: a request, a key, a clock and the expected verdict each
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NormalizeArgs {
    /// The provider's name, as `tollgate providers` lists it
    #[arg(long)]
    provider: String,
    /// The webhook's body, or the content that its provider wraps in it; - for stdin
    file: PathBuf,
    /// A header of the webhook
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The webhook's query string
    #[arg(long, default_value = "")]
    query: String,
    /// A parameter of the endpoint
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// The endpoint's name, which the event's id depends on [default: the provider's]
    #[arg(long)]
    endpoint: Option<String>,
    /// When it arrived: RFC 3339 or unix seconds [default: the time]
    #[arg(long, value_parser = verify::timestamp)]
    now: Option<Timestamp>,
}

pub(crate) fn providers(args: &ProvidersArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        for row in catalogue::providers() {
            say!("{}", serde_json::to_string(row)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.markdown {
        show!("{}", providers_page::render()?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(provider_cells::HEADINGS);
    for row in catalogue::providers() {
        table.row(provider_cells::cells(row)?);
    }
    show!("{table}");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn vectors(args: &VectorsArgs) -> anyhow::Result<ExitCode> {
    let text =
        std::fs::read_to_string(&args.file).with_context(|| format!("reading {}", args.file.display()))?;
    let report = vectors::run(&text);
    for mismatch in &report.failed {
        say!("{mismatch}");
    }
    say!("{} passed, {} failed", report.passed, report.failed.len());
    // A file without a vector proves nothing.
    let good = report.failed.is_empty() && report.passed > 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The field of an event that only a checked signature could fill.
const UNKNOWN: &str = r#"  "authenticity":"#;

pub(crate) fn normalize(args: &NormalizeArgs) -> anyhow::Result<ExitCode> {
    let row = catalogue::find(&args.provider)
        .with_context(|| format!("no provider is called {}: see `tollgate providers`", args.provider))?;
    let mut headers = Headers::new();
    for header in &args.headers {
        let (name, value) = header.split_once(':').with_context(|| format!("--header {header}: no colon"))?;
        headers.push(name.trim(), value.trim());
    }
    let parameters: Vec<(&str, &str)> = args
        .parameters
        .iter()
        .map(|pair| pair.split_once('=').with_context(|| format!("--parameter {pair}: no equals sign")))
        .collect::<Result<_, _>>()?;
    let endpoint = EndpointId::new(args.endpoint.clone().unwrap_or_else(|| row.name.clone()))?;
    let config = json!({
        "id": endpoint.as_str(), "scheme": row.name, "secret": "secretsmanager:none",
        "notification_url": "https://localhost/",
        "parameters": serde_json::Map::from_iter(parameters.iter().map(|(k, v)| ((*k).to_owned(), json!(v)))),
    });
    let config: EndpointConfig = serde_json::from_value(config)?;
    let rules = Endpoint::new(config)?;

    let body = rules.wrap(verify::read_file(&args.file)?);
    let received = Received { headers: &headers, query: &args.query, body: &body };
    let facts = match rules.normalise(Trusted::for_inspection(received)) {
        Ok(facts) => facts,
        Err(problem) => {
            complain!("tollgate: {problem}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let received_at = args.now.unwrap_or_else(clock::now);
    let provider = ProviderId::new(row.name.clone())?;
    let webhook_id = WebhookId::new(received_at, 0);
    for facts in facts {
        let tier = Thresholds::default().tier_of(facts.amount.as_ref());
        let arrival = Arrival {
            webhook_id: &webhook_id,
            endpoint: &endpoint,
            provider: &provider,
            // Not shown.
            authenticity: Authenticity::Authenticated,
            received_at,
        };
        let event = serde_json::to_string_pretty(&PaymentEvent::new(facts, arrival, tier))?;
        for line in event.lines().filter(|line| !line.starts_with(UNKNOWN)) {
            say!("{line}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
