//! Webhooks and their events, by anything that they say.

mod filters;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::ensure;
use maud::{Markup, html};
use serde_json::{Map, Value};
use tollgate_core::Timestamp;
use tollgate_operate::search::{
    Bucket, Engine, Filters, Found, Objects, Page, Query, Source, Unseen, athena::Athena, saved::Saved,
};

use self::filters::{OUTCOMES, SCREEN, address, chips, filters, form, saved_views};
use super::files::{csv, file, lines};
use crate::{
    forms,
    http::{Fields, Request, see},
    page::{Answer, Problem, id_link, many, outcome, page, quoted, shown, shows, webhook_link, words},
    plot,
    state::Console,
};

/// Events of one page.
const LIMIT: usize = 50;
/// Events of an export.
const MOST_EXPORTED: usize = 10_000;
/// Saving a search.
const SAVE: &str = "save search";
/// What was asked for.
struct Asked {
    query: Query,
    of_tables: Vec<Found>,
    objects: Objects,
    bucket: String,
}

pub(crate) async fn webhooks(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let filters = filters(&request.query);
    let after = request.query.some("after");
    let asked = ask(console, filters.clone()).await?;
    let sql = asked.query.page_sql(LIMIT, after).map_err(|wrong| Problem::asked(console, SCREEN, wrong))?;
    let rows = rows(console, &asked, &sql, LIMIT + 1).await.map_err(problem)?;
    let mut found = Page::of(rows, LIMIT).map_err(problem)?;
    found.add(asked.of_tables.clone(), LIMIT, after).map_err(problem)?;
    // In Athena a plot is billed as a page is, so it is asked for.
    let is_plotted =
        matches!(console.settings.engine, Engine::DuckDb(_)) || request.query.some("plot").is_some();
    let buckets = match is_plotted {
        true => {
            let counts =
                self::rows(console, &asked, &asked.query.counts_sql(), usize::MAX).await.map_err(problem)?;
            Some(asked.query.buckets(&counts).map_err(problem)?)
        }
        false => None,
    };
    let unseen = Unseen::of(&console.settings.aws, &asked.objects).await.map_err(problem)?;
    let saved = Saved::read(&console.settings.searches).map_err(problem)?;
    let own = address(&filters);
    let (from, to) = asked.query.period();
    let content = html! {
        div.title { h1 { "Webhooks" } a.button href=(live(&filters)) { "Live" } }
        (saved_views(&saved, &own))
        (form(&filters))
        (chips(&filters))
        section.card aria-labelledby="over-time" {
            h2 #over-time { "Over time" small { " " (minute(from)) " to " (minute(to)) " UTC" } }
            @match &buckets {
                Some(buckets) => (histogram(buckets, &filters)),
                None => p { a.button href={ (own) "&plot=1" } { "Draw it" } span.dim { " Athena reads the same bytes again for it." } }
            }
        }
        form #chosen action="/replay" { input type="hidden" name="chosen" value="1"; (table(&found, &filters)) @if !found.found.is_empty() { (acts()) } }
        nav.pages aria-label="Pages" {
            @if after.is_some() { a.button href=(own) { "← The newest" } }
            @if let Some(next) = &found.next { a.button.next href={ (own) "&after=" (quoted(next)) } { "Older →" } }
            span.dim { (many(found.found.len(), "event")) }
            span.dim { "all of them, " (MOST_EXPORTED) " at most:" }
            a.button href={ "/webhooks.csv" (own.trim_start_matches(SCREEN)) } { "CSV" }
            a.button href={ "/webhooks.json" (own.trim_start_matches(SCREEN)) } { "JSON" }
        }
        (not_seen(unseen))
        details.card {
            summary { "Keep these filters under a name" }
            form.inline method="post" action="/searches" {
                input type="hidden" name="token" value=(console.guard.form(SAVE).map_err(problem)?);
                input type="hidden" name="filters" value=(own);
                label for="name" { "Name" }
                input #name name="name" required pattern="[A-Za-z0-9_-]+" maxlength="64" title="a-z, 0-9, - and _";
                button { "Keep" }
                span.dim { "in your own file, which " code { "tollgate search --saved" } " reads, too" }
            }
        }
    };
    shows(page(console, "Webhooks", SCREEN, content))
}

/// The same as a file.
pub(crate) async fn export(console: &Arc<Console>, request: &Request, is_csv: bool) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let asked = ask(console, filters(&request.query)).await?;
    let sql = asked.query.page_sql(MOST_EXPORTED, None).map_err(problem)?;
    let rows = rows(console, &asked, &sql, MOST_EXPORTED + 1).await.map_err(problem)?;
    let mut found = Page::of(rows, MOST_EXPORTED).map_err(problem)?;
    found.add(asked.of_tables, MOST_EXPORTED, None).map_err(problem)?;
    if found.next.is_some() {
        let why =
            format!("That is more than {MOST_EXPORTED} events, and a file has no more: give a shorter time.");
        return Err(Problem::asked(console, SCREEN, why));
    }
    let (kind, name, text) = match is_csv {
        true => ("text/csv; charset=utf-8", "webhooks.csv", csv(&found.found)),
        false => ("application/x-ndjson", "webhooks.json", lines(&found.found).map_err(problem)?),
    };
    file(kind, name, text).map_err(problem)
}

/// Keeps filters under a name.
pub(crate) async fn save(console: &Arc<Console>, request: &Request) -> Answer {
    let form = &request.form;
    forms::asks(console, SCREEN, SAVE, form)?;
    let address = form.one("filters");
    let filters = filters(&Fields::read(address.split_once('?').map_or("", |(_, query)| query)));
    let asked = |wrong| Problem::asked(console, SCREEN, wrong);
    filters.query((console.settings.clock)()).map_err(asked)?;
    let file = &console.settings.searches;
    let saved = Saved::read(file).map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    saved.put(file, form.one("name"), &filters).map_err(asked)?;
    Ok(see(&self::address(&filters)))
}

async fn ask(console: &Arc<Console>, filters: Filters) -> Result<Asked, Problem> {
    let now = (console.settings.clock)();
    let aws = &console.settings.aws;
    let mut query = filters.query(now).map_err(|wrong| Problem::asked(console, SCREEN, wrong))?;
    let asked = async {
        let of_tables = query.look_up(aws, &filters, now).await?;
        let bucket = aws.names.archive_bucket(&aws.account().await?);
        let objects = Objects::of(aws, &bucket, &query).await?;
        anyhow::Ok((of_tables, bucket, objects))
    };
    let (of_tables, bucket, objects) =
        asked.await.map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    Ok(Asked { query, of_tables, objects, bucket })
}

/// Runs a statement, where it does not read more than it may.
async fn rows(
    console: &Console,
    asked: &Asked,
    sql: &str,
    most: usize,
) -> anyhow::Result<Vec<Map<String, Value>>> {
    let objects = &asked.objects;
    if objects.readable.is_empty() {
        return Ok(Vec::new());
    }
    let allows = |bytes: u64| {
        let gigabytes = bytes / 1_000_000_000;
        let why = "give a shorter time, or start the console with a higher --most-gb";
        ensure!(bytes <= console.settings.most_bytes, "that reads {gigabytes} GB of the archive: {why}");
        Ok(())
    };
    // One at a time: two would fetch the same objects.
    let _alone = console.searching.lock().await;
    match &console.settings.engine {
        Engine::Athena => {
            allows(objects.bytes())?;
            let athena = Athena::of(&console.settings.aws);
            let started = athena.start(sql, &(console.settings.clock)().to_string()).await?;
            Ok(athena.rows(&started, most).await?.rows)
        }
        Engine::DuckDb(duckdb) => {
            allows(duckdb.missing(objects))?;
            let s3 = tollgate_aws::s3_client(&console.settings.aws.config);
            duckdb.fetch(&s3, &asked.bucket, objects, |_| {}).await?;
            duckdb.rows(&asked.query, sql, objects).await
        }
    }
}

/// Bars that lead to their time.
fn histogram(buckets: &[Bucket], filters: &Filters) -> Markup {
    let total: u64 = buckets.iter().flat_map(|bucket| bucket.webhooks.values()).sum();
    if total == 0 {
        return html! { p.dim { "There is nothing." } };
    }
    let mut of_each: BTreeMap<&str, u64> = BTreeMap::new();
    for (outcome, count) in buckets.iter().flat_map(|bucket| &bucket.webhooks) {
        *of_each.entry(outcome).or_default() += count;
    }
    let to = |bucket: &Bucket| {
        let narrow = Filters {
            from: Some(bucket.from.to_string()),
            to: Some(bucket.to.to_string()),
            ..filters.clone()
        };
        address(&narrow)
    };
    let bars: Vec<plot::Bar> = buckets
        .iter()
        .map(|bucket| {
            let parts = OUTCOMES.map(|name| (class(name), bucket.webhooks.get(name).copied().unwrap_or(0)));
            let of =
                bucket.webhooks.iter().map(|(name, count)| format!(", {count} {}", name.replace('_', " ")));
            plot::Bar {
                parts: parts.into(),
                to: Some(to(bucket)),
                name: format!("{}{}", minute(bucket.from), of.collect::<String>()),
            }
        })
        .collect();
    html! {
        (plot::bars(&bars, "Webhooks over time"))
        p.legend {
            span { (minute(buckets.first().map_or(Timestamp::UNIX_EPOCH, |one| one.from))) }
            @for (name, count) in &of_each { span class={ "key " (class(name)) } { (count) " " (name.replace('_', " ")) } }
            span { (minute(buckets.last().map_or(Timestamp::UNIX_EPOCH, |one| one.to))) }
        }
    }
}

fn class(outcome: &str) -> &'static str {
    match outcome {
        "processed" => "done",
        "duplicate" => "implied",
        "conflict" => "waiting",
        _ => "stopped",
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

fn table(found: &Page, filters: &Filters) -> Markup {
    let at = |endpoint: &str| address(&Filters { endpoint: vec![endpoint.to_owned()], ..filters.clone() });
    html! {
        @if found.found.is_empty() { div.note { p { "Nothing of that time is so. Look further back with " code { "From" } ", or ask for less." } } }
        @else {
            section.card aria-label="What was found" {
                table.rows.cardly {
                    thead { tr { th { "received (UTC)" } th { "event" } th.number { "amount" } th { "endpoint" } th { "payment" } th { "outcome" } th { "webhook" } } }
                    tbody { @for one in &found.found {
                        tr data-href=[(!one.webhook_id.is_empty()).then(|| format!("/webhook/{}", quoted(&one.webhook_id)))] {
                            td { time datetime=(one.received_at) { (moment(&one.received_at)) } }
                            td.event {
                                @match &one.kind { Some(kind) => (words(kind)), None => span.dim { "none" } }
                                @if one.restates.is_some() { " " span.tag { "restates" } }
                                @match one.source {
                                    Source::Archive => {}
                                    Source::Transactions => { " " span.tag { "of its transaction" } }
                                    Source::Ledger => { " " span.tag { "in the ledger alone" } }
                                }
                            }
                            td.number { @if let Some(amount) = &one.amount { (shown(amount)) " " (shown(one.currency.as_deref().unwrap_or_default())) } }
                            td { a href=(at(&one.endpoint)) { (shown(&one.endpoint)) } }
                            td { @if let Some(id) = &one.transaction_id {
                                (id_link(&format!("/payment/{}/", quoted(&one.endpoint)), id)) } }
                            td { (outcome(&one.outcome)) @if let Some(reason) = &one.reason { small.block { (shown(reason)) } } }
                            td.choose { @if !one.webhook_id.is_empty() {
                                input type="checkbox" name="id" value=(one.webhook_id) aria-label={ "Choose " (shown(&one.webhook_id)) };
                                " " (webhook_link(&one.webhook_id)) } }
                        }
                    } }
                }
            }
        }
    }
}

/// What can be done with those that are chosen: each says first what it would do.
fn acts() -> Markup {
    html! {
        p.acts {
            button type="button" data-choose="id" { "Choose all of this page" }
            button { "Replay those chosen …" }
            button formaction="/dead-letters/redrive" { "Redrive their dead letters …" }
            span.dim { "Nothing is sent for the answer." }
        }
    }
}

/// The same endpoint and type, as they are published.
fn live(filters: &Filters) -> String {
    let text = |values: &[String]| quoted(&values.join(" "));
    format!("/tail?new=1&endpoint={}&type={}", text(&filters.endpoint), text(&filters.kind))
}

fn moment(text: &str) -> String {
    let at = text.parse::<Timestamp>();
    at.map_or_else(|_| shown(text), |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
}

fn not_seen(unseen: Unseen) -> Markup {
    html! {
        @if unseen.waiting > 0 { div.note { p { (unseen.waiting) " messages, of many webhooks each, are on their way to the archive: they are not seen here yet." } } }
        @if unseen.dead_letters > 0 { div.note.warn { p { "Not seen: " (unseen.dead_letters) " messages are "
            a href="/dead-letters?queue=archive-queue-dlq" { "dead letters of the archive's queue" } "." } } }
        @if unseen.frozen > 0 { div.note { p { "Not seen: " (unseen.frozen) " objects of these days are in Glacier; restore them first." } } }
    }
}
