//! What a provider says it sent, beside what is known of it here: asked from here, day by day.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use maud::{Markup, html};
use tollgate_core::EndpointId;
use tollgate_operate::{
    audit::Reason,
    endpoints,
    provider_api::{self, Timing},
    reconcile::{Asked, Finding, Summary, Verdict},
    times::moment,
};
use tollgate_providers::Endpoint;

use super::{
    files::{cell, file},
    scheduled::scheduled,
};
use crate::{
    begun::Begun,
    forms,
    http::{Request, see},
    page::{Answer, Problem, act_link, id_link, many, page, quoted, shown, shows, time, webhook_link},
    plot,
    reconciling::{Found, MOST_KEPT, Run},
    state::Console,
};

const SCREEN: &str = "/reconciliation";
/// What the forms do.
const ASK: &str = "reconcile";
const INGEST: &str = "reconcile ingest";

pub(crate) async fn reconciliation(console: &Arc<Console>) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let listed = endpoints::listed(&console.settings.aws).await.map_err(problem)?;
    let known = listed.into_iter().flatten().filter_map(|config| {
        let endpoint = Endpoint::new(config).ok()?;
        let api = provider_api::of(endpoint.provider().as_str()).ok()?;
        Some((*endpoint.id(), api.name.clone()))
    });
    let known: Vec<(EndpointId, String)> = known.collect();
    let runs = console.reconciliations.all();
    let scheduled = scheduled(console).await;
    let content = html! {
        div.title { h1 { "Reconciliation" } }
        p.lead { "A provider is asked which events it sent, and each is held against what took effect here. Nothing is changed by that. It takes the endpoint's key of its provider's API." }
        @if known.is_empty() { div.note { p { "No endpoint here is of a provider that can be asked." } } } @else {
            form.card method="post" action=(SCREEN) {
                h2 { "Ask a provider" }
                input type="hidden" name="token" value=(console.guard.form(ASK).map_err(problem)?);
                div.filters {
                    label { span { "Endpoint" } select name="endpoint" { @for (id, provider) in &known { option value=(id) { (id) ", " (provider) } } } }
                    label { span { "From" } input name="from" value="24h" required placeholder="24h, 7d, 2026-01-31" autocomplete="off"; }
                    label { span { "To" } input name="to" placeholder="a quarter of an hour ago" autocomplete="off"; }
                    label { span { "Types" } input name="types" placeholder="what its webhook is sent" autocomplete="off" spellcheck="false"; }
                    button.main { "Ask" }
                }
            }
        }
        @if !runs.is_empty() {
            section.card aria-labelledby="asked" {
                h2 #asked { "What was asked" small { " since this console was started" } }
                table.rows.cardly {
                    thead { tr { th { "asked (UTC)" } th { "endpoint" } th { "time" } th { "state" } } }
                    tbody { @for (number, run) in runs.iter().rev() {
                        @let to = format!("{SCREEN}/runs/{number}");
                        tr data-href=(to) {
                            td { (time(run.began)) }
                            td.event { a href=(to) { (run.plan.endpoint) } " " span.dim { (run.provider) } }
                            td { (time(run.plan.from)) " to " (time(run.plan.to)) }
                            td { (verdict_of(run)) }
                        }
                    } }
                }
            }
        }
        (scheduled)
    };
    shows(page(console, "Reconciliation", SCREEN, content))
}

fn verdict_of(run: &Run) -> Markup {
    let found = run.found();
    html! {
        @match &found.ended {
            None if run.stop.load(Ordering::Relaxed) => strong.verdict.waiting { "stopping" },
            None => strong.verdict.waiting { "under way" },
            Some(Err(_)) => strong.verdict.stopped { "no answer" },
            Some(Ok(summary)) if summary.stopped => strong.verdict.waiting { "stopped" },
            Some(Ok(summary)) if summary.is_whole_but(found.taken_in) => strong.verdict.done {
                @if found.taken_in > 0 { "taken in" } @else { "all took effect" } },
            Some(Ok(_)) => strong.verdict.stopped { "not all took effect" },
        }
    }
}

/// Begins one.
pub(crate) async fn ask(console: &Arc<Console>, request: &Request) -> Answer {
    forms::asks(console, SCREEN, ASK, &request.form)?;
    begin(console, request, None).await
}

/// Begins one that has taken in what is missing.
pub(crate) async fn ingest(console: &Arc<Console>, request: &Request) -> Answer {
    forms::writes(console, SCREEN, INGEST, &request.form)?;
    let reason = request.form.one("reason").parse::<Reason>();
    let reason = reason.map_err(|error| Problem::asked(console, SCREEN, error))?;
    begin(console, request, Some(reason)).await
}

async fn begin(console: &Arc<Console>, request: &Request, reason: Option<Reason>) -> Answer {
    let form = &request.form;
    let settings = &console.settings;
    let (aws, clock) = (settings.aws.clone(), settings.clock);
    let now = clock();
    let wrong = |problem: anyhow::Error| Problem::asked(console, SCREEN, format!("{problem:#}"));
    let endpoint = EndpointId::new(form.one("endpoint")).map_err(|error| wrong(error.into()))?;
    let from = moment(form.one("from"), now, false).map_err(wrong)?;
    let to = form.some("to").map_or(Ok(now), |to| moment(to, now, true)).map_err(wrong)?;
    let types = form.one("types").split_whitespace().map(str::to_owned).collect();
    let asked = Asked::of(&aws, &endpoint).await.map_err(wrong)?;
    let plan = asked.plan(from, to, types, now).map_err(wrong)?;
    let url = settings.api_url.clone();
    let client = asked.client(&aws, url.as_deref(), false, Timing::new(clock)).await.map_err(wrong)?;
    let run = Run::new(plan, asked.api.name.clone(), reason);
    let run = Arc::new(run.map_err(|problem| Problem::of(console, SCREEN, &problem))?);
    let going = Arc::clone(&run);
    let going = async move { going.go(&aws, clock, &asked, client).await };
    let number = console.reconciliations.begin(run, going);
    let number = number
        .ok_or_else(|| Problem::refused(console, SCREEN, "Another one goes on: one after the other."))?;
    Ok(see(&format!("{SCREEN}/runs/{number}")))
}

/// One that was begun here.
pub(crate) fn run(console: &Arc<Console>, number: &str) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let run = console.reconciliations.one(number).ok_or_else(|| Problem::nothing(console))?;
    let own = format!("{SCREEN}/runs/{}", quoted(number));
    let verdict = verdict_of(&run);
    let found = run.found();
    let follow = found.ended.is_none().then_some(own.as_str());
    let count: u64 = found.days.values().flat_map(BTreeMap::values).sum();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Reconciliation" } " / one" }
        div #run data-follow=[follow] {
            div.title { h1 { (run.plan.endpoint) " and " (shown(&run.provider)) } (verdict) }
            p.facts { span { (time(run.plan.from)) " to " (time(run.plan.to)) " UTC" } span { (count) " events compared" } }
            @if follow.is_some() {
                form method="post" action={ (own) "/cancel" } {
                    input type="hidden" name="token" value=(run.cancel);
                    button.danger disabled[run.stop.load(Ordering::Relaxed)] { "Stop it" } span.dim { " behind this page of theirs" }
                }
            }
            @match &found.ended {
                Some(Err(problem)) => div.note.bad { p { (shown(problem)) } },
                Some(Ok(summary)) => {
                    @for note in &summary.notes { div.note.warn { p { (shown(note)) } } }
                    @if summary.not_subscribed > 0 { p.dim { (summary.not_subscribed) " others are of types that its webhook is not sent." } }
                    @if summary.stopped { div.note.warn { p { "It was stopped: the counts are of a part." } } }
                }
                None => {}
            }
            (taken_in(&run, &found))
            (by_day(&found))
            @if !found.kept.is_empty() { (findings(&run, &found.kept)) }
            @if found.left_out > 0 { div.note.warn { p { (found.left_out) " more are not shown and in no file of this page: " code { "tollgate reconcile --report FILE" } " has all." } } }
            @if follow.is_none() {
                nav.pages aria-label="Files" { span.dim { (many(found.kept.len(), "event")) " that did not take effect as told" }
                    a.button href={ (own) "/csv" } { "CSV" } a.button href={ (own) "/json" } { "JSON" } }
            }
            @if let Some(Ok(summary)) = &found.ended { (form(console, &run, summary).map_err(problem)?) }
        }
    };
    shows(page(console, "Reconciliation", SCREEN, content))
}

/// What came of taking in.
fn taken_in(run: &Run, found: &Found) -> Markup {
    html! {
        @if let Some(reason) = &run.reason {
            p.reason { "“" (shown(reason)) "”" }
            ul.figures {
                @for (name, count) in &found.handed { li.bad[*name == "refused"] { span { (name.replace('_', " ")) } strong { (count) } } }
            }
            @for (id, why) in &found.refused { div.note.bad { p { code { (shown(id)) } " was not taken in: " (shown(why)) } } }
            @if let Some((act, began)) = &found.act { p { "Recorded as " (act_link(act, *began)) "." } }
        }
    }
}

/// Asks for what is missing to be taken in.
fn form(console: &Console, run: &Run, summary: &Summary) -> anyhow::Result<Markup> {
    let missing = summary.missing();
    Ok(html! {
        @if missing > 0 && run.reason.is_none() {
            @if console.settings.is_writing {
                form.card.act method="post" action={ (SCREEN) "/ingest" } {
                    h2 { "Take in what is missing" }
                    input type="hidden" name="token" value=(console.guard.form(INGEST)?);
                    input type="hidden" name="endpoint" value=(run.plan.endpoint);
                    input type="hidden" name="from" value=(run.plan.from);
                    input type="hidden" name="to" value=(run.plan.to);
                    input type="hidden" name="types" value=(run.plan.types.join(" "));
                    p.dim { "The provider is asked again, and what is missing still is handed to the intake, or sent again by the provider, where it can. It has one effect, whatever comes later." }
                    label.wide { span { "Why? It is recorded with who did it." } input name="reason" required maxlength="500" autocomplete="off"; }
                    p { button.main { "Take in " (missing) } }
                }
            } @else {
                div.note.warn { p { "This console only reads. Start it with " code { "--write" } ", or say "
                    code { "tollgate reconcile " (run.plan.endpoint) " --ingest --yes --reason TEXT" } "." } }
            }
        }
    })
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Present => "done",
        Verdict::Unfinished => "waiting",
        _ => "stopped",
    }
}

/// Those that a run here looks for: what is extra takes the archive.
fn verdicts() -> impl Iterator<Item = Verdict> {
    Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Extra)
}

fn words(verdict: Verdict) -> String {
    verdict.as_str().replace('_', " ")
}

fn by_day(found: &Found) -> Markup {
    let bars: Vec<plot::Bar> = found
        .days
        .iter()
        .map(|(day, counts)| {
            let parts = verdicts()
                .map(|verdict| (class(verdict), counts.get(&verdict).copied().unwrap_or(0)))
                .collect();
            let told: String =
                counts.iter().map(|(verdict, count)| format!(", {count} {}", words(*verdict))).collect();
            plot::Bar { parts, to: None, name: format!("{day}{told}") }
        })
        .collect();
    html! {
        @if !found.days.is_empty() {
            section.card aria-labelledby="by-day" {
                h2 #by-day { "By day" small { " of the provider's clock, in UTC" } }
                @if found.days.len() > 1 { (plot::bars(&bars, "Events by day")) }
                div.scroll tabindex="0" {
                    table.rows {
                        thead { tr { th { "day" } @for verdict in verdicts() { th.number { (words(verdict)) } } } }
                        tbody { @for (day, counts) in &found.days {
                            tr { td { (day) } @for verdict in verdicts() {
                                @let count = counts.get(&verdict).copied().unwrap_or(0);
                                td.number { @if count > 0 && verdict != Verdict::Present { strong { (count) } } @else { (count) } }
                            } }
                        } }
                    }
                }
            }
        }
    }
}

fn findings(run: &Run, kept: &[Finding]) -> Markup {
    html! {
        section.card aria-labelledby="findings" {
            h2 #findings { "What did not take effect as told" }
            table.rows.cardly {
                thead { tr { th { "at (UTC)" } th { "event" } th.number { "amount" } th { "verdict" } th { "payment" } th { "here" } } }
                tbody { @for one in kept {
                    tr {
                        td { (time(one.at)) }
                        td.event { (id_link("/find?id=", &one.provider_event_id)) small.block.dim { (shown(&one.provider_event_type)) } }
                        td.number { @if let Some(amount) = &one.amount { (shown(amount)) " " (shown(one.currency.as_deref().unwrap_or_default())) } }
                        td { span class={ "state " (class(one.verdict)) } { (words(one.verdict)) } }
                        td { @if let Some(id) = &one.transaction_id { (id_link(&format!("/payment/{}/", run.plan.endpoint), id)) } }
                        td { @if let Some(amount) = &one.our_amount { (shown(amount)) " " }
                            @if let Some(note) = &one.note { (shown(note)) " " }
                            @if let Some(id) = &one.webhook_id { (webhook_link(id)) } }
                    }
                } }
            }
        }
    }
}

/// Has it end.
pub(crate) fn cancel(console: &Arc<Console>, number: &str, request: &Request) -> Answer {
    let run = console.reconciliations.one(number).ok_or_else(|| Problem::nothing(console))?;
    forms::ends(console, SCREEN, &run.cancel, &request.form)?;
    run.stop();
    Ok(see(&format!("{SCREEN}/runs/{}", quoted(number))))
}

/// What did not take effect as told, as a file.
pub(crate) fn export(console: &Arc<Console>, number: &str, is_csv: bool) -> Answer {
    let run = console.reconciliations.one(number).ok_or_else(|| Problem::nothing(console))?;
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let found = run.found();
    if found.left_out > 0 {
        let why =
            format!("That is more than {MOST_KEPT} events, and a file has no more: ask for a shorter time.");
        return Err(Problem::asked(console, SCREEN, why));
    }
    let text = match is_csv {
        true => csv(&found.kept),
        false => {
            let lines = found.kept.iter().map(serde_json::to_string);
            let lines: Vec<String> =
                lines.collect::<Result<_, _>>().map_err(|error| problem(error.into()))?;
            lines.iter().map(|line| format!("{line}\n")).collect()
        }
    };
    let (kind, name) = match is_csv {
        true => ("text/csv; charset=utf-8", "reconciliation.csv"),
        false => ("application/x-ndjson", "reconciliation.json"),
    };
    file(kind, name, text).map_err(problem)
}

fn csv(kept: &[Finding]) -> String {
    let names = "verdict,provider_event_id,provider_event_type,at,type,transaction_id,amount,currency,our_amount,webhook_id,note\r\n";
    let mut out = names.to_owned();
    for one in kept {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let cells = [
            one.verdict.as_str().to_owned(),
            one.provider_event_id.clone(),
            one.provider_event_type.clone(),
            one.at.to_string(),
            text(&one.kind),
            text(&one.transaction_id),
            text(&one.amount),
            text(&one.currency),
            text(&one.our_amount),
            text(&one.webhook_id),
            text(&one.note),
        ];
        out.push_str(&cells.map(|text| cell(&text)).join(","));
        out.push_str("\r\n");
    }
    out
}
