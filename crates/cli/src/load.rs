//! `tollgate load`: webhooks at a rate that does not wait for answers.
//!
//! Open loop: each webhook has its moment, and its latency counts from that moment, whether or not it could be sent
//! then. A stalled server therefore shows in the figures instead of slowing the questions down.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until},
};
use tollgate_core::{Currency, Money};
use tollgate_samples::{BUILT_IN, Kind, Sample};

use crate::{
    clock,
    http::{Parcel, Sender},
    progress::progress,
    signer::Signer,
    table::Table,
    target::Target,
};

/// Latencies are recorded from 1 µs to 10 minutes with three significant digits.
const MAX_LATENCY_MICROS: u64 = 600_000_000;
const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Webhooks a second
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// Send to these endpoints only [default: every one whose body is built in]
    #[arg(long)]
    endpoint: Vec<String>,
    /// The URL that /webhook follows [default: the platform file's]
    #[arg(long)]
    url: Option<String>,
    /// The same seed gives the same events, which the ledger knows the second time [default: the time]
    #[arg(long)]
    seed: Option<String>,
    /// Lengthen bodies to this many bytes
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,
    /// Most requests at once; a webhook that finds no room waits, and its latency counts
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    #[command(flatten)]
    target: Target,
}

struct Outcome {
    status: Option<u16>,
    micros: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let platform = args.target.platform()?;
    let url = args.url.clone().or_else(|| platform.map(|platform| platform.api_url));
    let url = url.context("where to? --url, or --platform with the file that `make up` wrote")?;
    let signers = signers(&args).await?;
    let seed = args.seed.clone().unwrap_or_else(|| clock::now().as_nanosecond().to_string());
    let total = args.rate.saturating_mul(args.duration);
    let parcels = prepare(&args, &signers, &url, &seed, total)?;

    let sender = Sender::new()?;
    let room = Arc::new(Semaphore::new(usize::try_from(args.connections)?));
    let (done, mut outcomes) = mpsc::unbounded_channel();
    let bar = progress(total, "answered");
    let start = Instant::now() + Duration::from_millis(20);
    let rate = args.rate;
    let feed = tokio::spawn(async move {
        for (index, parcel) in (0_u64..).zip(parcels) {
            let due = start + Duration::from_nanos(offset_nanos(index, rate));
            sleep_until(due).await;
            let (sender, room, done) = (sender.clone(), Arc::clone(&room), done.clone());
            tokio::spawn(async move {
                let Ok(_permit) = room.acquire().await else { return };
                let answer = sender.send(&parcel).await;
                let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                // The receiver is gone only when the tool ends.
                let _ = done.send(Outcome { status: answer.ok().map(|answer| answer.status), micros });
            });
        }
    });
    let mut histogram = Histogram::<u64>::new_with_bounds(1, MAX_LATENCY_MICROS, 3)?;
    let mut statuses: BTreeMap<Option<u16>, u64> = BTreeMap::new();
    let mut answered = 0_u64;
    while answered < total {
        let outcome = tokio::select! {
            outcome = outcomes.recv() => outcome,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(outcome) = outcome else {
            feed.abort();
            break;
        };
        answered += 1;
        *statuses.entry(outcome.status).or_default() += 1;
        histogram.saturating_record(outcome.micros.max(1));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let elapsed = start.elapsed();
    Ok(report(&args, &seed, total, answered, elapsed, &statuses, &histogram))
}

/// When webhook `index` is due after the start.
fn offset_nanos(index: u64, rate: u64) -> u64 {
    let nanos = u128::from(index) * 1_000_000_000 / u128::from(rate.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

async fn signers(args: &Args) -> anyhow::Result<Vec<Signer>> {
    let aws = args.target.connect().await?;
    let mut signers = Vec::new();
    for config in crate::endpoints::stored(&aws).await? {
        let wanted = args.endpoint.is_empty() || args.endpoint.iter().any(|id| id == config.id.as_str());
        let endpoint = tollgate_providers::Endpoint::new(config)?;
        if wanted && BUILT_IN.contains(&endpoint.provider().as_str()) {
            signers.push(Signer::from_store(&aws, endpoint).await?);
        }
    }
    for id in &args.endpoint {
        if !signers.iter().any(|signer| signer.endpoint.id().as_str() == id) {
            bail!("{id}: no such endpoint, or no body is built in for its provider");
        }
    }
    if signers.is_empty() {
        bail!("no endpoint to send to: see `tollgate endpoints list`");
    }
    Ok(signers)
}

/// Signs everything beforehand, so that signing takes no time from sending.
fn prepare(
    args: &Args,
    signers: &[Signer],
    url: &str,
    seed: &str,
    total: u64,
) -> anyhow::Result<Vec<Parcel>> {
    let bar = progress(total, "signed");
    let mut parcels = Vec::with_capacity(usize::try_from(total)?);
    let kinds = Kind::ALL.iter().cycle();
    for ((serial, signer), kind) in (0..total).zip(signers.iter().cycle()).zip(kinds) {
        let cents = (serial % 2_000 + 1) * 100 + serial % 100;
        let now = clock::now();
        let sample = Sample {
            kind: *kind,
            money: Money::from_minor(cents.into(), Currency::new("USD")?)?,
            id: tollgate_samples::id(seed, serial),
            at: now,
            items: 1,
        };
        let provider = signer.endpoint.provider().as_str();
        let mut draft = sample.draft(provider).context("no body is built in")?;
        if let Some(bytes) = args.size {
            draft.pad_to(bytes);
        }
        // Signed for the moment at which it is due, so that long runs do not leave the window.
        let due = jiff::SignedDuration::from_secs(i64::try_from(serial / args.rate)?);
        let signed = signer.sign(&draft, now.checked_add(due)?)?;
        parcels.push(Parcel::new(url, &signer.endpoint, signed)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(parcels)
}

fn report(
    args: &Args,
    seed: &str,
    total: u64,
    answered: u64,
    elapsed: Duration,
    statuses: &BTreeMap<Option<u16>, u64>,
    histogram: &Histogram<u64>,
) -> ExitCode {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let achieved = answered.saturating_mul(1_000) / millis;
    let good: u64 =
        statuses.iter().filter(|(status, _)| matches!(status, Some(200..=299))).map(|(_, count)| count).sum();
    let name =
        |status: &Option<u16>| status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());

    let mut table = Table::new(["answer", "count"]);
    for (status, count) in statuses {
        table.row([name(status), count.to_string()]);
    }
    say!("{table}");
    let mut table = Table::new(["latency", "ms"]);
    for (name, quantile) in PERCENTILES {
        let micros = histogram.value_at_quantile(quantile);
        table.row([name.to_owned(), format!("{}.{:03}", micros / 1_000, micros % 1_000)]);
    }
    say!("{table}");
    say!(
        "{answered} of {total} answered in {}.{:03} s: {achieved} a second of {} asked for",
        millis / 1_000,
        millis % 1_000,
        args.rate
    );
    let latency: serde_json::Map<_, _> = PERCENTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), json!(histogram.value_at_quantile(*quantile))))
        .collect();
    let statuses: serde_json::Map<_, _> =
        statuses.iter().map(|(status, count)| (name(status), json!(count))).collect();
    say!(
        "{}",
        json!({
            "rate": args.rate, "duration_s": args.duration, "seed": seed, "planned": total,
            "answered": answered, "succeeded": good, "elapsed_ms": millis, "achieved_rate": achieved,
            "statuses": statuses, "latency_us": latency,
        })
    );
    if good == total { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_do_not_drift() {
        assert_eq!(offset_nanos(0, 7), 0);
        assert_eq!(offset_nanos(7, 7), 1_000_000_000);
        assert_eq!(offset_nanos(7 * 86_400, 7), 86_400_000_000_000);
        assert_eq!(offset_nanos(1, 3), 333_333_333);
    }
}
