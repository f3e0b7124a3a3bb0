//! Deliveries that contradict what is known, beside it, and which of both is true.

use std::sync::Arc;

use maud::{Markup, html};
use tollgate_core::{EndpointId, Timestamp, WebhookId};
use tollgate_operate::{
    audit::Reason,
    conflicts::{Conflict, Contested, Decision, Found, Judgement, MOST_LISTED, decide, of, waiting},
    dlq::{MOST, forecast::PaymentFacts},
    way::ClaimOf,
};

use crate::{
    forms,
    http::{Fields, Request},
    page::{
        Answer, Problem, act_link, amount, id, id_link, page, quoted, shown, shows, span, time, webhook_link,
        words,
    },
    state::Console,
};

const SCREEN: &str = "/conflicts";
/// What the forms do.
const KEEP: &str = "conflicts keep";
const TAKE: &str = "conflicts take";

pub(crate) async fn conflicts(console: &Arc<Console>, request: &Request) -> Answer {
    let endpoint = request.query.some("endpoint").map(EndpointId::new).transpose();
    let endpoint = endpoint.map_err(|wrong| Problem::asked(console, SCREEN, wrong))?;
    let settings = &console.settings;
    let found = waiting(&settings.aws, settings.clock, endpoint, MOST).await;
    let found = found.map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    let all = &found.all;
    let now = (settings.clock)();
    let content = html! {
        div.title { h1 { "Conflicts" }
            @if found.is_none() { strong.verdict.done { "none" } }
            @else if all.is_empty() { strong.verdict.waiting { "none found" } }
            @else { strong.verdict.stopped { (all.len()) " to decide" } } }
        p.lead { "A known event id came with other payment facts. Those that it was claimed with stand, and the others have no effect,
            until somebody finds out which are true." }
        form.filters action=(SCREEN) {
            label { span { "Endpoint" } input name="endpoint" value=(request.query.one("endpoint")) placeholder="stripe-eu" autocomplete="off"; }
            button { "Look" }
        }
        @if found.is_none() { div.note.good { p { "Nothing contradicts what is known." } } }
        @else if !all.is_empty() {
            section.card aria-label="Each of them" {
                table.rows.cardly {
                    thead { tr { th { "set aside (UTC)" } th { "event" } th { "stands" } th { "told" } th { "endpoint" } th { "delivery" } } }
                    tbody { @for one in all { (row(one, now)) } }
                }
            }
        }
        @if found.is_full { div.note.warn { p { "There are more than these: decide them, or name an endpoint. " (MOST_LISTED) " are looked into at once." } } }
        (not_looked_at(&found))
        p { a.button href="/audit?action=conflicts" { "What was decided today" } }
    };
    shows(page(console, "Conflicts", SCREEN, content))
}

fn not_looked_at(found: &Found) -> Markup {
    html! {
        @for queue in &found.cut { div.note.warn { p { (shown(queue)) " has more: of its dead letters " (MOST) " were looked at. "
            code { "tollgate conflicts list --most N" } " looks at more." } } }
    }
}

fn row(one: &Contested, now: Timestamp) -> Markup {
    let to = address(one);
    let left = one.expires_at.as_millisecond().saturating_sub(now.as_millisecond());
    let first = one.conflicts.first();
    html! {
        tr data-href=(to) {
            td { (time(one.set_aside_at)) small.block.dim { "SQS deletes it in " (span(left)) } }
            td.event { a.id href=(to) { @match first { Some(conflict) => (shown(&conflict.provider_event_id)), None => "cannot be read now" } }
                @if one.conflicts.len() > 1 { " " span.tag { "and " (one.conflicts.len() - 1) " more" } } }
            td { small.phone { "stands " } @if let Some(conflict) = first { @match &conflict.stands { Some(facts) => (in_short(facts)), None => span.dim { "not read" } } } }
            td { small.phone { "told " } @if let Some(conflict) = first { (in_short(&conflict.told)) } }
            td { (one.endpoint) }
            td { (webhook_link(one.webhook_id.as_str())) }
        }
    }
}

fn address(one: &Contested) -> String {
    format!("{SCREEN}/one?id={}", quoted(one.webhook_id.as_str()))
}

fn in_short(facts: &PaymentFacts) -> String {
    let what = words(facts.kind.as_str());
    facts.amount.as_ref().map_or(what.clone(), |money| format!("{what}, {}", amount(money)))
}

/// The delivery that is named.
fn delivery(console: &Arc<Console>, fields: &Fields) -> Result<WebhookId, Problem> {
    let text = fields.one("id");
    WebhookId::parse(text)
        .ok_or_else(|| Problem::asked(console, SCREEN, format!("{text} is no webhook's id")))
}

/// One delivery: its facts beside those that stand.
pub(crate) async fn one(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let asked = delivery(console, &request.query)?;
    let settings = &console.settings;
    let found =
        of(&settings.aws, settings.clock, std::slice::from_ref(&asked), MOST).await.map_err(problem)?;
    let all = &found.all;
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Conflicts" } " / one" }
        @match all.first() {
            None => {
                h1 { "No dead letter of " code { (asked) } " contradicts what is known" }
                div.note { p { "It was decided or deleted, or somebody else looks at it: look again in two minutes." } }
                (not_looked_at(&found))
            }
            Some(first) => {
                div.title { h1 { "Which is true?" } strong.verdict.stopped { "conflict" } }
                p.facts { span { "at " (first.endpoint) } span { "told by " (id(first.webhook_id.as_str())) }
                    a href={ "/webhook/" (first.webhook_id) } { "its way" } }
                @for contested in all { @for conflict in &contested.conflicts { (side_by_side(conflict)) } (more(contested)) }
                (not_looked_at(&found))
                @if settings.is_writing { (forms(console, first).map_err(problem)?) }
                @else { div.note.warn { p { "This console only reads. Start it with " code { "--write" } ", or say "
                    code { "tollgate conflicts keep " (first.webhook_id) " --yes --reason TEXT" } "." } } }
            }
        }
    };
    shows(page(console, "A conflict", SCREEN, content))
}

fn side_by_side(conflict: &Conflict) -> Markup {
    let (told, stands) = (cells(&conflict.told), conflict.stands.as_ref().map(cells));
    html! {
        section.card aria-label={ "The event " (shown(&conflict.provider_event_id)) } {
            h2 { code { (shown(&conflict.provider_event_id)) } small { " " (id_link("/find?id=", conflict.event_id.as_str())) } }
            table.sides {
                thead { tr { td {} th scope="col" { "Stands" } th scope="col" { "Told by this delivery" } } }
                tbody {
                    @for (place, (name, text)) in told.iter().enumerate() {
                        @let other = stands.as_ref().and_then(|cells| cells.get(place)).map(|(_, text)| text);
                        // Deliveries of one event may have different dates.
                        @let differs = place < COMPARED && other.is_some_and(|other| other != text);
                        tr.differs[differs] {
                            th scope="row" { (name) @if differs { " " span.tag.stopped { "differs" } } }
                            td { @match other { Some(text) => (text), None => span.dim { "not read" } } }
                            td { (text) }
                        }
                    }
                    tr { th scope="row" { "Effect" } td { (claim(&conflict.claim)) } td { "none, whatever is decided" } }
                }
            }
        }
    }
}

/// So many of the cells are what two deliveries of an event must share.
const COMPARED: usize = 4;

fn cells(facts: &PaymentFacts) -> [(&'static str, String); 5] {
    [
        ("Type", words(facts.kind.as_str())),
        ("Amount", facts.amount.as_ref().map_or_else(|| "none".to_owned(), amount)),
        ("Payment", shown(&facts.transaction_id)),
        ("Movement", shown(&facts.movement_id)),
        ("Occurred", facts.occurred_at.to_string()),
    ]
}

fn claim(claim: &ClaimOf) -> Markup {
    let by = |webhook_id: &Option<WebhookId>| {
        html! { @if let Some(webhook_id) = webhook_id { ", by " (webhook_link(webhook_id.as_str())) } }
    };
    match claim {
        ClaimOf::Processed { since, webhook_id } => {
            html! { "processed; claimed " (time(*since)) (by(webhook_id)) }
        }
        ClaimOf::Received { since, webhook_id, .. } => {
            html! { "not yet; claimed " (time(*since)) (by(webhook_id)) }
        }
        ClaimOf::Forgotten => html! { "forgotten by the ledger" },
        ClaimOf::Missing => html! { "the ledger has no claim" },
    }
}

fn more(contested: &Contested) -> Markup {
    html! {
        @if contested.conflicts.is_empty() { div.note.warn { p { "Nothing in this message can be read now that contradicts a claim: "
            a href={ "/dead-letters/letter?id=" (contested.webhook_id) } { "the dead letter" } "." } } }
        @for event in &contested.needed_by { div.note.warn { p { "Its event " (id_link("/find?id=", event.as_str()))
            " is not processed: redrive it first, with what would fail again." } } }
        @for note in &contested.notes { div.note.warn { p { (shown(note)) } } }
    }
}

fn forms(console: &Console, first: &Contested) -> anyhow::Result<Markup> {
    let (keep, take) = (console.guard.form(KEEP)?, console.guard.form(TAKE)?);
    let id = first.webhook_id;
    Ok(html! {
        div.beside {
            form.card.act method="post" action={ (SCREEN) "/keep" } {
                h2 { "What stands is true" }
                input type="hidden" name="token" value=(keep);
                input type="hidden" name="id" value=(id);
                p.dim { "The contradicting message is deleted; the archive has it. Nothing is published." }
                label.wide { span { "Why? It is recorded with who decided it." } input name="reason" required maxlength="500" autocomplete="off"; }
                p { button.main { "Keep" } }
            }
            form.card.act method="post" action={ (SCREEN) "/take" } {
                h2 { "The other is true" }
                input type="hidden" name="token" value=(take);
                input type="hidden" name="id" value=(id);
                p.dim { "Have its sender send these facts under another event id: that event has the effect, once. When it is processed, name it here." }
                label.wide { span { "The event that tells them, by its provider's id" } input name="by" required maxlength="1024" autocomplete="off" spellcheck="false"; }
                label.wide { span { "Why? It is recorded with who decided it." } input name="reason" required maxlength="500" autocomplete="off"; }
                p { button.main { "Take" } }
            }
        }
    })
}

/// Decides that the facts that stand are true.
pub(crate) async fn keep(console: &Arc<Console>, request: &Request) -> Answer {
    decided(console, request, KEEP, Decision::Keep).await
}

/// Decides that the others are, which came as events of their own.
pub(crate) async fn take(console: &Arc<Console>, request: &Request) -> Answer {
    let by = request.form.one("by").split_whitespace().map(str::to_owned).collect();
    decided(console, request, TAKE, Decision::Take(by)).await
}

async fn decided(console: &Arc<Console>, request: &Request, act: &'static str, decision: Decision) -> Answer {
    let form = &request.form;
    forms::writes(console, SCREEN, act, form)?;
    let settings = &console.settings;
    let reason: Reason =
        form.one("reason").parse().map_err(|error| Problem::asked(console, SCREEN, error))?;
    let asked = delivery(console, form)?;
    let _alone = forms::alone(console, SCREEN)?;
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let (aws, clock, stop) = (&settings.aws, settings.clock, &console.acts.stop);
    let found = of(aws, clock, std::slice::from_ref(&asked), MOST).await.map_err(problem)?;
    let done = decide(aws, clock, &found.all, &decision, reason, MOST, stop).await.map_err(problem)?;
    let done =
        done.map_err(|judgement| Problem::refused(console, SCREEN, &why_not(&judgement, asked, &found)))?;
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Conflicts" } " / decided" }
        div.title { h1 { "Decided" } @if done.is_whole() { strong.verdict.done { "done" } } @else { strong.verdict.stopped { "not all" } } }
        ul.figures {
            li { span { "messages deleted" } strong { (done.purged.count) } }
            @if !done.purged.kept.is_empty() { li.bad { span { "left where they were" } strong { (done.purged.kept.len()) } } }
        }
        @for kept in &done.purged.kept { div.note.bad { p { (shown(&kept.why)) } } }
        @if let Some(error) = &done.purged.error { div.note.bad { p { (shown(error)) } } }
        (not_looked_at(&found))
        p { "Recorded as " (act_link(&done.act, done.began)) "." }
        p { a.button href=(SCREEN) { "What is to be decided now" } }
    };
    shows(page(console, "Decided", SCREEN, content))
}

fn why_not(judgement: &Judgement, asked: WebhookId, found: &Found) -> String {
    let whys: Vec<&str> = judgement.refused.iter().map(|(_, why)| why.as_str()).collect();
    if !whys.is_empty() {
        return whys.join("; ");
    }
    let of = if found.cut.is_empty() { String::new() } else { format!(" of the {MOST} that were looked at") };
    format!("no dead letter{of} is of {asked} and contradicts what is known")
}
