//! `tollgate reconcile`: what a provider says it sent, beside what is known of it here.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tollgate_core::EndpointId;
use tollgate_operate::{
    audit::Reason,
    aws::Aws,
    provider_api::{Client, Timing},
    reconcile::{
        Asked, Finding, Plan, Summary, Verdict, adyen, configured,
        extra::{self, Listed, Listing},
        ingestion::Ingestion,
        report::Report,
    },
    search::{Objects, Page, Unseen},
    times::moment,
};

use crate::{
    clock,
    dlq::stop_on_signals,
    progress::counting,
    search::{self, ReadingTools, Tools},
    table::Table,
    target::Target,
};

/// Rows of the table for people.
const MOST_SHOWN: usize = 1_000;
/// Events of the archive that are asked for at once.
const ARCHIVE_PAGE: usize = 10_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose provider is asked
    endpoint: String,
    /// From when on, by the provider's clock: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    from: String,
    /// Until when; a day is included [default: a quarter of an hour ago]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this type, as the provider calls it; given several times, any of them [default: what its webhook is sent]
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// What is present, too
    #[arg(long)]
    all: bool,
    /// One JSON object for each event, and last the counts
    #[arg(long)]
    json: bool,
    /// Write every event that was compared into a new Parquet file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Compare Adyen's payment accounting report instead of asking the provider
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "types", "extra", "ingest", "sandbox", "api_url"])]
    file: Option<PathBuf>,
    /// Also look in the archive for what took effect and the provider does not know
    #[arg(long)]
    extra: bool,
    /// Gigabytes of the archive that --extra may read
    #[arg(long, default_value_t = 10, value_name = "N")]
    most_gb: u64,
    #[command(flatten)]
    tools: Tools,
    /// Take in what is missing, by the intake or, where the provider sends events again, by the provider
    #[arg(long)]
    ingest: bool,
    /// Do it; otherwise only how many are missing is said
    #[arg(long, requires_all = ["ingest", "reason"])]
    yes: bool,
    /// Why; it is kept with the record of who did it
    #[arg(long, requires = "ingest")]
    reason: Option<Reason>,
    /// Ask the provider's test environment
    #[arg(long)]
    sandbox: bool,
    /// Ask here instead of at the provider's own address
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let now = clock::now();
    if let Some(file) = &args.file {
        return of_file(&args, &aws, file).await;
    }
    let asked = Asked::of(&aws, &EndpointId::new(&args.endpoint)?).await?;
    let from = moment(&args.from, now, false)?;
    let to = args.to.as_ref().map_or(Ok(now), |to| moment(to, now, true))?;
    let plan = asked.plan(from, to, args.types.clone(), now)?;
    let timing = Timing::new(clock::now);
    let mut client = asked.client(&aws, args.api_url.as_deref(), args.sandbox, timing).await?;
    let mut output = Output::of(&args)?;
    let stop = stop_on_signals("stopping behind this page");
    let bar = counting("events");
    let types = asked.types(&mut client, &plan).await?;
    let mut listing = Listing { types, listed: args.extra.then(Listed::default) };
    let mut ingestion = match args.reason.clone().filter(|_| args.yes) {
        Some(reason) => {
            let base = client.base().to_owned();
            Some(Ingestion::begin(&aws, clock::now, &plan, &listing.types, &base, reason).await?)
        }
        None => None,
    };
    let summary = asked
        .compare(&aws, &mut client, &plan, &mut listing, &stop, async |client, page| {
            bar.inc(u64::try_from(page.len())?);
            if let Some(ingestion) = &mut ingestion {
                let done = ingestion.page(&asked, client, &page).await;
                for (id, why) in ingestion.refused() {
                    complain!("{id} was not taken in: {why}");
                }
                done?;
            }
            page.into_iter().try_for_each(|(finding, _)| output.take(finding))
        })
        .await;
    bar.finish_and_clear();
    if let Some(ingestion) = &ingestion {
        ingestion.end(summary.as_ref()).await?;
    }
    let mut summary = match summary {
        Ok(summary) => summary,
        Err(problem) => {
            // What was taken in by then was taken in.
            if let Some(ingestion) = &ingestion {
                complain!("{}; recorded as {}", handed(ingestion), ingestion.act());
            }
            return Err(problem);
        }
    };
    let mut are_extra_known = true;
    if args.extra && !summary.stopped {
        let sought = Sought { args: &args, aws: &aws, asked: &asked, plan: &plan, listing: &listing };
        let looked = sought.look(&mut client, &stop, &mut summary, &mut output).await;
        are_extra_known = note_extra(looked, &mut summary);
    }
    output.finish()?;
    let taken_in = ingestion.as_ref().map_or(0, Ingestion::taken_in);
    let is_whole = summary.is_whole_but(taken_in);
    if args.json {
        let (handed, act) = ingestion.as_ref().map(|one| (one.handed(), one.act())).unzip();
        let handed = handed.map_or_else(|| json!({}), |handed| json!(handed));
        say!("{}", json!({ "plan": plan, "summary": summary, "ingested": handed, "act": act }));
    } else {
        output.tell(&format!("{}, {} to {}", plan.endpoint, plan.from, plan.to), &summary);
        if let Some(ingestion) = &ingestion {
            say!("{}; recorded as {}", handed(ingestion), ingestion.act());
        } else if args.ingest {
            say!("{} would be taken in. Say --yes --reason TEXT", summary.missing());
        }
    }
    Ok(match are_extra_known {
        false => ExitCode::from(2),
        true if is_whole => ExitCode::SUCCESS,
        true => ExitCode::FAILURE,
    })
}

/// What came of the events that were handed over, for people.
fn handed(ingestion: &Ingestion) -> String {
    let handed = ingestion.handed();
    let counted: Vec<String> =
        handed.iter().map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect();
    if counted.is_empty() { "nothing to take in".to_owned() } else { counted.join(", ") }
}

/// Whether what is extra is known. Where it is not, that is noted: what was compared by then was asked of the provider, and stands.
fn note_extra(looked: anyhow::Result<()>, summary: &mut Summary) -> bool {
    let Err(problem) = looked else { return true };
    summary.notes.push(format!("what is extra is not known, or a part of it alone: {problem:#}"));
    false
}

/// Looking in the archive for what the provider does not know.
struct Sought<'a> {
    args: &'a Args,
    aws: &'a Aws,
    asked: &'a Asked,
    plan: &'a Plan,
    listing: &'a Listing,
}

impl Sought<'_> {
    async fn look(
        &self,
        client: &mut Client,
        stop: &AtomicBool,
        summary: &mut Summary,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        let Self { args, aws, asked, plan, listing } = *self;
        if !listing.listed.as_ref().is_some_and(Listed::is_whole) {
            bail!("the provider lists too many to know what is extra: give a shorter time");
        }
        let query = extra::query(plan)?;
        let bucket = aws.names.archive_bucket(&aws.account().await?);
        let objects = Objects::of(aws, &bucket, &query).await?;
        let tools = ReadingTools::of(args.most_gb, args.tools.clone());
        let mut after = None;
        loop {
            let sql = query.page_sql(ARCHIVE_PAGE, after.as_deref())?;
            let rows = search::Asked {
                query: &query,
                sql: &sql,
                most: ARCHIVE_PAGE + 1,
                bucket: &bucket,
                objects: &objects,
            };
            let page = Page::of(tools.rows(aws, &args.target, &rows).await?, ARCHIVE_PAGE)?;
            after = page.next;
            for finding in asked.extra(client, plan, listing, page.found, stop).await? {
                *summary.counts.entry(finding.verdict).or_default() += 1;
                output.take(finding)?;
            }
            summary.stopped = stop.load(Ordering::Relaxed);
            if after.is_none() || summary.stopped {
                break;
            }
        }
        let unseen = Unseen::of(aws, &objects).await?;
        if unseen != Unseen::default() {
            summary.notes.push(format!(
                "of what is extra not seen: {} messages on their way to the archive, {} of its dead letters, {} objects in Glacier",
                unseen.waiting, unseen.dead_letters, unseen.frozen
            ));
        }
        Ok(())
    }
}

async fn of_file(args: &Args, aws: &Aws, file: &Path) -> anyhow::Result<ExitCode> {
    let endpoint = configured(aws, &EndpointId::new(&args.endpoint)?).await?;
    ensure!(
        endpoint.provider().as_str() == adyen::PROVIDER,
        "{}: Adyen's report is of endpoints whose scheme is adyen",
        args.endpoint
    );
    let report = File::open(file).with_context(|| format!("reading {}", file.display()))?;
    let mut output = Output::of(args)?;
    let stop = stop_on_signals("stopping behind these lines");
    let bar = counting("lines");
    let summary =
        adyen::compare(aws, endpoint.id(), BufReader::new(report), clock::now(), &stop, |finding| {
            bar.inc(1);
            output.take(finding)
        });
    let summary = summary.await;
    bar.finish_and_clear();
    output.finish()?;
    let summary = summary?;
    if args.json {
        say!("{}", json!({ "file": file, "summary": summary }));
    } else {
        output.tell(&format!("{}, {}", args.endpoint, file.display()), &summary);
    }
    Ok(if summary.is_whole_but(0) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where events go that were compared.
struct Output {
    endpoint: String,
    report: Option<Report<File>>,
    is_json: bool,
    all: bool,
    shown: Vec<Finding>,
    left_out: u64,
    /// Whether what is extra is looked for.
    extra: bool,
}

impl Output {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let report = args.report.as_deref().map(Report::create).transpose()?;
        Ok(Self {
            endpoint: args.endpoint.clone(),
            report,
            is_json: args.json,
            all: args.all,
            shown: Vec::new(),
            left_out: 0,
            extra: args.extra,
        })
    }

    fn take(&mut self, finding: Finding) -> anyhow::Result<()> {
        if let Some(report) = &mut self.report {
            report.add(&self.endpoint, &finding)?;
        }
        if !self.all && finding.verdict == Verdict::Present {
            return Ok(());
        }
        if self.is_json {
            say!("{}", serde_json::to_string(&finding)?);
        } else if self.shown.len() < MOST_SHOWN {
            self.shown.push(finding);
        } else {
            self.left_out += 1;
        }
        Ok(())
    }

    /// Makes the report whole.
    fn finish(&mut self) -> anyhow::Result<()> {
        if let Some(report) = self.report.take() {
            report.finish()?.sync_all()?;
        }
        Ok(())
    }

    /// The table for people, and the counts.
    fn tell(&self, of: &str, summary: &Summary) {
        if !self.shown.is_empty() {
            let mut table = Table::new(["event", "", "at", "type", "amount", "", "transaction", "here"]);
            for finding in &self.shown {
                table.row(cells(finding));
            }
            say!("{table}");
        }
        if self.left_out > 0 {
            say!("{} more are not shown: --json or --report has them", self.left_out);
        }
        let count =
            |verdict: &Verdict| format!("{} {}", summary.count(*verdict), verdict.as_str().replace('_', " "));
        let is_told = |verdict: &&Verdict| match verdict {
            Verdict::RefusedByUs => summary.count(**verdict) > 0,
            Verdict::Extra => self.extra,
            _ => true,
        };
        let counts: Vec<String> = Verdict::ALL.iter().filter(is_told).map(count).collect();
        say!("{of}: {}", counts.join(", "));
        if summary.not_subscribed > 0 {
            say!("{} others are told by no webhook of this endpoint", summary.not_subscribed);
        }
        for note in &summary.notes {
            complain!("{note}");
        }
        if summary.stopped {
            complain!("stopped: the counts are of a part");
        }
    }
}

fn cells(finding: &Finding) -> [String; 8] {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let here = match (&finding.our_amount, &finding.note) {
        (Some(amount), Some(note)) => format!("{amount}, {note}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => finding.webhook_id.clone().unwrap_or_default(),
    };
    [
        finding.provider_event_id.clone(),
        finding.verdict.as_str().replace('_', " "),
        finding.at.to_string(),
        finding.provider_event_type.clone(),
        text(&finding.amount),
        finding.currency.clone().unwrap_or_default(),
        text(&finding.transaction_id),
        here,
    ]
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_was_compared_stands_where_what_is_extra_is_not_known() {
        let mut summary = Summary::default();
        assert!(note_extra(Ok(()), &mut summary) && summary.notes.is_empty());
        summary.counts.insert(Verdict::Missing, 1);
        assert!(!note_extra(Err(anyhow!("no such program").context("DuckDB")), &mut summary));
        assert!(summary.notes[0].ends_with("DuckDB: no such program"), "{:?}", summary.notes);
        assert_eq!(summary.count(Verdict::Missing), 1);
    }
}
