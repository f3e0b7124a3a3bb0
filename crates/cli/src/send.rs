//! `tollgate send`: signed webhooks, as an endpoint's provider would send them.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tollgate_core::{Currency, Money, Timestamp};
use tollgate_providers::{Headers, Received, SignedWebhook, Trusted};
use tollgate_samples::{BUILT_IN, Draft, Kind, Sample};

use crate::{
    clock,
    http::{Answer, Parcel, Sender},
    signer::{KeySource, Signer, ad_hoc},
    target::Target,
};

/// How old an `--expired` webhook is, in seconds: past every scheme's window.
const EXPIRED_SECONDS: i64 = 100_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The endpoint's name
    #[arg(long)]
    endpoint: String,
    /// What the built-in body says
    #[arg(long = "type", value_parser = kinds(), default_value = "payment")]
    kind: Kind,
    /// Decimal amount in major units
    #[arg(long, default_value = "10.99")]
    amount: String,
    /// ISO 4217 code
    #[arg(long, default_value = "USD")]
    currency: String,
    /// Events in one delivery (Adyen)
    #[arg(long, default_value_t = 1)]
    items: usize,
    /// Send this file's bytes instead of a built-in body
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A further header, before signing
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Lengthen the built-in body to this many bytes
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,
    /// How many webhooks
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// The same seed gives the same events [default: the time]
    #[arg(long)]
    seed: Option<String>,
    /// Send each webhook a second time
    #[arg(long)]
    duplicate: bool,
    /// Alter the body after signing
    #[arg(long)]
    tamper: bool,
    /// Sign for a time long past
    #[arg(long)]
    expired: bool,
    /// The URL that /webhook follows [default: the platform file's]
    #[arg(long)]
    url: Option<String>,
    /// A provider's name, for an endpoint whose configuration is not to be looked up
    #[arg(long)]
    scheme: Option<String>,
    /// The URL that the provider signs, with --scheme (Square)
    #[arg(long, value_name = "URL", requires = "scheme")]
    notification_url: Option<String>,
    #[command(flatten)]
    key: KeySource,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (signer, url) = resolve(&args).await?;
    let sender = Sender::new()?;
    let seed = args.seed.clone().unwrap_or_else(|| clock::now().as_nanosecond().to_string());
    let mut refused = 0_u64;
    for serial in 0..args.count {
        let now = clock::now();
        let draft = draft(&args, &signer, &seed, serial, now)?;
        let mut signed_at = now;
        if args.expired {
            signed_at = now.checked_sub(jiff::SignedDuration::from_secs(EXPIRED_SECONDS))?;
            if !signer.signs_time(&draft, now) {
                bail!("{} signs no time: its webhooks cannot expire", signer.endpoint.provider());
            }
        }
        let mut signed = signer.sign(&draft, signed_at)?;
        if args.tamper {
            signer.tamper(&mut signed, now)?;
        }
        let events = event_ids(&signer, &draft, &signed);
        let parcel = Parcel::new(&url, &signer.endpoint, signed)?;
        let answer = sender.send(&parcel).await?;
        say!("{}", line(&answer, &events));
        refused += u64::from(!answer.is_success());
        if args.duplicate {
            let again = sender.send(&parcel).await?;
            say!("{}", line(&again, &events));
            refused += u64::from(!again.is_success() && !again.is_duplicate());
        }
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn resolve(args: &Args) -> anyhow::Result<(Signer, String)> {
    let key = args.key.read()?;
    let platform = args.target.platform()?;
    let url = args.url.clone().or_else(|| platform.map(|platform| platform.api_url));
    let url = url.context("where to? --url, or --platform with the file that `make up` wrote")?;
    let signer = match (&args.scheme, key) {
        (Some(scheme), Some(key)) => {
            let endpoint = ad_hoc(&args.endpoint, scheme, args.notification_url.as_deref())?;
            Signer::new(endpoint, key.keys("given"))?
        }
        (Some(_), None) => bail!("--scheme needs the key: --secret-file or TOLLGATE_SECRET"),
        (None, Some(key)) => {
            let endpoint = crate::endpoints::find(&args.target.connect().await?, &args.endpoint).await?;
            Signer::new(endpoint, key.keys("given"))?
        }
        (None, None) => Signer::of(&args.target.connect().await?, &args.endpoint).await?,
    };
    Ok((signer, url))
}

fn draft(args: &Args, signer: &Signer, seed: &str, serial: u64, now: Timestamp) -> anyhow::Result<Draft> {
    let provider = signer.endpoint.provider().as_str();
    let mut draft = match &args.body {
        Some(path) => {
            let body = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let headers = Headers::from_iter([("Content-Type", "application/json")]);
            Draft { headers, body, event_ids: Vec::new() }
        }
        None => {
            let money = money(&args.amount, &args.currency)?;
            let id = tollgate_samples::id(seed, serial);
            let sample = Sample { kind: args.kind, money, id, at: now, items: args.items };
            sample.draft(provider).with_context(|| {
                format!("no body is built in for {provider} (only {}): use --body", BUILT_IN.join(", "))
            })?
        }
    };
    for header in &args.headers {
        let (name, value) = header.split_once(':').with_context(|| format!("--header {header}: no colon"))?;
        draft.headers.push(name.trim(), value.trim());
    }
    if let Some(bytes) = args.size {
        draft.pad_to(bytes);
    }
    Ok(draft)
}

/// Money from what a person types: `10.99` and `USD`.
fn money(amount: &str, currency: &str) -> anyhow::Result<Money> {
    let currency = Currency::new(currency)?;
    Money::from_decimal(amount, currency).map_err(|problem| anyhow::anyhow!("{amount} {currency}: {problem}"))
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)).try_map(|name| name.parse::<Kind>())
}

/// The provider's event ids: those of a built-in body are known, those of others are what the endpoint's normaliser reads.
/// None where it reads nothing, as the endpoint itself will.
fn event_ids(signer: &Signer, draft: &Draft, signed: &SignedWebhook) -> Vec<String> {
    if !draft.event_ids.is_empty() {
        return draft.event_ids.clone();
    }
    let received = Received { headers: &signed.headers, query: &signed.query, body: &signed.body };
    let facts = signer.endpoint.normalise(Trusted::for_inspection(received)).unwrap_or_default();
    facts.into_iter().map(|facts| facts.event_id.into_owned()).collect()
}

/// One answer. The event's id is the answer's, else what the body says, and `-` where neither has one.
fn line(answer: &Answer, events: &[String]) -> String {
    let said = answer.text("message").or_else(|| answer.text("error")).unwrap_or("no reason given");
    let webhook = answer.text("webhook_id").unwrap_or("-");
    let event = answer.text("event_id").or(events.first().map(String::as_str)).unwrap_or("-");
    let more = match events.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    format!("{}  {said}  webhook {webhook}  event {event}{more}", answer.status)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_has_the_events_of_the_answer_or_of_the_body() {
        let of = |body: Value, events: &[&str]| {
            let events: Vec<String> = events.iter().map(|id| (*id).to_owned()).collect();
            line(&Answer { status: 200, retry_after: None, body }, &events)
        };
        let taken = json!({"message": "taken", "webhook_id": "wh_1", "event_id": "e-1"});
        assert_eq!(of(taken.clone(), &[]), "200  taken  webhook wh_1  event e-1");
        assert_eq!(of(taken, &["e-1", "e-2"]), "200  taken  webhook wh_1  event e-1 and 1 more");
        assert_eq!(of(json!({"error": "no"}), &["e-1"]), "200  no  webhook -  event e-1");
        assert_eq!(of(Value::Null, &[]), "200  no reason given  webhook -  event -");
    }
}
