//! `tollgate search`: webhooks and their events, in the archive and in the tables.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tollgate_operate::{
    aws::{Aws, is_loopback},
    search::{
        Engine, Filters, Found, Objects, Page, Query, Source, Unseen, athena::Athena, cost_micros,
        duckdb::DuckDb, saved::Saved,
    },
};

use crate::{clock, progress::progress, sought::Sought, table::Table, target::Target};

/// Bytes in a gigabyte, as AWS bills them.
const GB: u64 = 1_000_000_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Any id: of a webhook, an event (ours or the provider's), a transaction, a movement or an effect
    id: Option<String>,
    #[command(flatten)]
    sought: Sought,
    /// From when on: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d [default: 7d; of an id, when it arrived]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when; a day is included [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,

    /// Events of one page
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// The page behind this one, as the one before says
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// One JSON object a line; the last says where the next page begins and what cannot be seen
    #[arg(long)]
    json: bool,
    /// Print the statement for Athena or DuckDB, and search nothing
    #[arg(long)]
    sql: bool,

    /// Keep these filters under a name, and search nothing
    #[arg(long, value_name = "NAME", conflicts_with = "sql")]
    save: Option<String>,
    /// The filters that were kept under a name; those given beside it count before
    #[arg(long, value_name = "NAME")]
    saved: Option<String>,
    /// List what is saved
    #[arg(long, conflicts_with_all = ["save", "saved", "sql"])]
    list: bool,
    #[command(flatten)]
    tools: ReadingTools,
    #[command(flatten)]
    target: Target,
}

/// How much of the archive a command may read, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadingTools {
    /// Read although it is more than --most-gb
    #[arg(long)]
    yes: bool,
    /// Gigabytes of the archive that may be read without --yes
    #[arg(long, default_value_t = 10, value_name = "N")]
    most_gb: u64,
    #[command(flatten)]
    tools: Tools,
}

/// A statement, and what it is about.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) query: &'a Query,
    pub(crate) sql: &'a str,
    /// Rows at most.
    pub(crate) most: usize,
    pub(crate) bucket: &'a str,
    pub(crate) objects: &'a Objects,
}

/// What a search takes of this machine.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Tools {
    /// Where searches are saved [default: tollgate/searches.toml in the user's configuration folder]
    #[arg(long, value_name = "FILE", env = "TOLLGATE_SEARCHES")]
    searches: Option<PathBuf>,
    /// What runs the statement [default: duckdb on a local platform, else athena]
    #[arg(long, value_enum)]
    engine: Option<Kind>,
    /// DuckDB's command line [default: the platform file's, else duckdb on the path]
    #[arg(long, value_name = "PROGRAM", env = "TOLLGATE_DUCKDB")]
    duckdb: Option<PathBuf>,
    /// Where DuckDB's copies of the archive are kept [default: beside the platform file, else in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "TOLLGATE_CACHE")]
    cache: Option<PathBuf>,
    #[arg(long, hide = true, env = "XDG_CONFIG_HOME")]
    config_home: Option<PathBuf>,
    #[arg(long, hide = true, env = "XDG_CACHE_HOME")]
    cache_home: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// In AWS, by the environment's work group
    Athena,
    /// On this machine, on copies of the objects
    Duckdb,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let file = args.tools.tools.searches_file()?;
    if args.list {
        return list(&file);
    }
    let filters = match &args.saved {
        Some(name) => args.over(Saved::read(&file)?.get(name)?.clone()),
        None => args.over(Filters::default()),
    };
    let now = clock::now();
    let mut query = filters.query(now)?;
    if let Some(name) = &args.save {
        Saved::read(&file)?.put(&file, name, &filters)?;
        say!("{name} is saved in {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let limit = usize::try_from(args.limit)?;
    if args.sql {
        say!("{}", query.page_sql(limit, args.after.as_deref())?);
        return Ok(ExitCode::SUCCESS);
    }
    let aws = args.target.connect().await?;
    // A later page is of the times that the first one had.
    let of_tables = query.look_up(&aws, &filters, now).await?;
    let sql = query.page_sql(limit, args.after.as_deref())?;
    let bucket = aws.names.archive_bucket(&aws.account().await?);
    let objects = Objects::of(&aws, &bucket, &query).await?;
    let asked = Asked { query: &query, sql: &sql, most: limit + 1, bucket: &bucket, objects: &objects };
    let rows = args.tools.rows(&aws, &args.target, &asked).await?;
    let mut page = Page::of(rows, limit)?;
    page.add(of_tables, limit, args.after.as_deref())?;
    let unseen = Unseen::of(&aws, &objects).await?;
    if args.json {
        for found in &page.found {
            say!("{}", serde_json::to_string(found)?);
        }
        say!("{}", json!({ "next": page.next, "unseen": unseen }));
    } else {
        tell(&page, unseen);
    }
    Ok(if page.found.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Args {
    /// The filters that are given, and of `saved` those that are not.
    fn over(&self, saved: Filters) -> Filters {
        let one = |given: &Option<String>, saved: Option<String>| given.clone().or(saved);
        let (id, from, to) = (one(&self.id, saved.id), one(&self.from, saved.from), one(&self.to, saved.to));
        self.sought.over(Filters { id, from, to, ..saved })
    }
}

impl ReadingTools {
    /// Of a command with its own `--yes`.
    pub(crate) fn of(most_gb: u64, tools: Tools) -> Self {
        Self { yes: false, most_gb, tools }
    }

    /// The statement's rows, by the engine of the environment.
    pub(crate) async fn rows(
        &self,
        aws: &Aws,
        target: &Target,
        asked: &Asked<'_>,
    ) -> anyhow::Result<Vec<Map<String, Value>>> {
        let Asked { query, sql, most, bucket, objects } = *asked;
        if objects.readable.is_empty() {
            return Ok(Vec::new());
        }
        match self.tools.engine(aws, target, bucket)? {
            Engine::Athena => {
                self.allows(objects.bytes(), objects, "reads at most", true)?;
                let athena = Athena::of(aws);
                // Before it is started: nobody else would stop it.
                let mut pressed = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
                let started = athena.start(sql, &clock::now().to_string()).await?;
                let rows = tokio::select! {
                    rows = athena.rows(&started, most) => rows?,
                    _ = pressed.recv() => {
                        athena.stop(&started).await?;
                        bail!("stopped");
                    }
                };
                complain!("Athena read {}: {}", size(rows.scanned), dollars(rows.scanned)?);
                Ok(rows.rows)
            }
            Engine::DuckDb(duckdb) => {
                let missing = duckdb.missing(objects);
                if missing > 0 {
                    self.allows(missing, objects, "fetches", false)?;
                    let bar = progress(missing, "bytes fetched");
                    let s3 = tollgate_aws::s3_client(&aws.config);
                    duckdb.fetch(&s3, bucket, objects, |bytes| bar.inc(bytes)).await?;
                    bar.finish_and_clear();
                }
                duckdb.rows(query, sql, objects).await
            }
        }
    }

    /// Says how much is to be read, and asks for `--yes` where that is much.
    fn allows(&self, bytes: u64, objects: &Objects, does: &str, costs: bool) -> anyhow::Result<()> {
        let cost = if costs { format!(", {}", dollars(bytes)?) } else { String::new() };
        let number = objects.readable.len();
        complain!("{does} {} of {number} objects of {} days{cost}", size(bytes), objects.days);
        let is_much = bytes > self.most_gb.saturating_mul(GB);
        ensure!(
            self.yes || !is_much,
            "that is more than {} GB: give a shorter time, or more by --most-gb",
            self.most_gb
        );
        Ok(())
    }
}

impl Tools {
    /// The file of saved searches.
    pub(crate) fn searches_file(&self) -> anyhow::Result<PathBuf> {
        if let Some(file) = &self.searches {
            return Ok(file.clone());
        }
        Ok(folder_of_user(self.config_home.as_deref(), ".config")?.join("searches.toml"))
    }

    /// What runs a search in this environment.
    pub(crate) fn engine(&self, aws: &Aws, target: &Target, bucket: &str) -> anyhow::Result<Engine> {
        let is_local = aws.config.endpoint_url().is_some_and(is_loopback);
        match self.engine.unwrap_or(if is_local { Kind::Duckdb } else { Kind::Athena }) {
            Kind::Athena => Ok(Engine::Athena),
            Kind::Duckdb => self.local(aws, target, bucket).map(Engine::DuckDb),
        }
    }

    /// DuckDB's program and the folder of its copies.
    fn local(&self, aws: &Aws, target: &Target, bucket: &str) -> anyhow::Result<DuckDb> {
        let of_platform = aws.platform.as_ref().and_then(|platform| platform.duckdb.clone());
        let program = self.duckdb.clone().or(of_platform).unwrap_or_else(|| "duckdb".into());
        let beside = target.platform.as_deref().and_then(Path::parent).map(|folder| folder.join("archive"));
        let folder = match self.cache.clone().or(beside) {
            Some(folder) => folder,
            None => folder_of_user(self.cache_home.as_deref(), ".cache")?.join("archive"),
        };
        Ok(DuckDb { program, folder: folder.join(bucket) })
    }
}

fn folder_of_user(given: Option<&Path>, usual: &str) -> anyhow::Result<PathBuf> {
    let folder = match given {
        Some(folder) => folder.to_owned(),
        None => std::env::home_dir().context("the user has no home folder")?.join(usual),
    };
    Ok(folder.join("tollgate"))
}

fn list(file: &Path) -> anyhow::Result<ExitCode> {
    let saved = Saved::read(file)?;
    let mut table = Table::new(["search", "filters"]);
    for (name, filters) in &saved.searches {
        table.row([name.clone(), serde_json::to_string(filters)?]);
    }
    show!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn tell(page: &Page, unseen: Unseen) {
    let mut table =
        Table::new(["received", "webhook", "endpoint", "type", "amount", "", "transaction", "outcome"]);
    for found in &page.found {
        table.row(cells(found));
    }
    if !page.found.is_empty() {
        show!("{table}");
    }
    say!("{} found", page.found.len());
    if let Some(next) = &page.next {
        say!("more: the same with --after {next}");
    }
    if unseen.waiting > 0 {
        say!("not seen: {} messages, of many webhooks each, are on their way to the archive", unseen.waiting);
    }
    if unseen.dead_letters > 0 {
        say!("not seen: {} messages are dead letters of archive-queue", unseen.dead_letters);
    }
    if unseen.frozen > 0 {
        say!("not seen: {} objects of these days are in Glacier; restore them first", unseen.frozen);
    }
}

fn cells(found: &Found) -> [String; 8] {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let place = match found.source {
        Source::Archive => "",
        Source::Transactions => ", of its transaction",
        Source::Ledger => ", in the ledger alone",
    };
    [
        found.received_at.clone(),
        found.webhook_id.clone(),
        found.endpoint.clone(),
        text(&found.kind),
        text(&found.amount),
        found.currency.clone().unwrap_or_default(),
        text(&found.transaction_id),
        format!("{}{place}", found.outcome),
    ]
}

fn size(bytes: u64) -> String {
    let units = [(GB, "GB"), (1_000_000, "MB"), (1_000, "KB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or(format!("{bytes} bytes"), |(unit, name)| {
        let tenths = bytes.saturating_mul(10) / unit;
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    })
}

fn dollars(bytes: u64) -> anyhow::Result<String> {
    let micros = cost_micros(bytes)?;
    Ok(format!("{}.{:06} USD in us-east-1", micros / 1_000_000, micros % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_costs_are_written_for_people() {
        assert_eq!(
            [size(12), size(1_234), size(12_340_000), size(5_678_900_000)],
            ["12 bytes", "1.2 KB", "12.3 MB", "5.6 GB"]
        );
        assert_eq!(dollars(2_000_000_000_000).unwrap(), "10.000000 USD in us-east-1");
    }
}
