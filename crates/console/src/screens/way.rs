//! One webhook's way.

use std::sync::Arc;

use maud::{Markup, html};
use tollgate_core::{EventId, PaymentEvent, Timestamp, WebhookId};
use tollgate_operate::{
    masked::masked,
    origins::origins,
    way::{self, ClaimOf, EventOf, Progress, ReceiptOf, Step, Way, Webhook},
};

use super::find;
use crate::{
    page::{
        self, Answer, CREDENTIALS, Problem, ago, amount, headline, id, id_link, json, page, shown, shows,
        span, state, time, webhook_link, words,
    },
    plot::{Bent, Track, axis, track},
    state::Console,
};

const SCREEN: &str = "/webhooks";
/// Rows of one webhook: one of many events has more.
const MOST_ROWS: usize = 80;
pub(crate) async fn webhook(console: &Arc<Console>, asked: &str) -> Answer {
    let Some(webhook_id) = WebhookId::parse(asked) else {
        return Err(Problem::asked(console, SCREEN, "that is no webhook's id"));
    };
    let way = way::look(&console.settings.aws, &find::question(console, asked, None)).await;
    let way = way.map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    let Some(webhook) = way.webhooks.iter().find(|one| one.webhook_id == webhook_id) else {
        return Err(Problem::nothing(console));
    };
    let now = way.looked_at;
    let title = webhook.events.first().map_or("Webhook".to_owned(), headline);
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href="/webhooks" { "Webhooks" } " / " code { (webhook_id) } }
        div.title {
            h1 { (shown(&title)) @if webhook.events.len() > 1 { small { " and " (webhook.events.len() - 1) " more" } } }
            (verdict(webhook))
        }
        p.facts {
            @if let Some(endpoint) = webhook.endpoint { span { "at " a href={ "/webhooks?endpoint=" (endpoint) } { (endpoint) } } }
            @if let Some(provider) = webhook.provider { span { "of " (provider) } }
            span { (time(webhook_id.arrived_at())) " UTC, " (ago(webhook_id.arrived_at(), now)) }
            span { (id(webhook_id.as_str())) }
        }
        (gaps(&webhook.steps))
        (chart(webhook, now))
        (tabs(&way, webhook))
        (find::notes(&way.notes))
    };
    shows(page(console, &title, SCREEN, content))
}

/// How it stands, in a word: the worst of its steps.
fn verdict(webhook: &Webhook) -> Markup {
    let has = |wanted: Progress| webhook.steps.iter().any(|step| step.progress == wanted);
    let (class, text) = if has(Progress::Missing) {
        ("missing", "something is missing")
    } else if has(Progress::Stopped) {
        ("stopped", "it stopped")
    } else if has(Progress::Waiting) {
        ("waiting", "under way")
    } else {
        ("done", "went all the way")
    };
    html! { strong class={ "verdict " (class) } { (text) } }
}

fn gaps(steps: &[Step]) -> Markup {
    html! {
        @for gap in steps.iter().filter(|step| step.is_gap()) {
            div.note.bad role="note" {
                h2 { (state(gap.progress)) " at " (gap.part.as_str()) }
                p { (shown(&gap.detail)) }
                @if let Some(cause) = &gap.cause { p { strong { "Likely: " } (shown(cause)) } }
            }
        }
    }
}

/// The time axis with a row for each part.
fn chart(webhook: &Webhook, now: Timestamp) -> Markup {
    let start = webhook.webhook_id.arrived_at().as_millisecond();
    let after = |at: Timestamp| at.as_millisecond().saturating_sub(start).max(0);
    let steps = webhook.steps.get(..MOST_ROWS).unwrap_or(&webhook.steps);
    let is_open = steps.iter().any(|step| matches!(step.progress, Progress::Waiting | Progress::Missing));
    let last = steps.iter().filter_map(|step| step.at).map(after).max().unwrap_or(0);
    let scale = Bent::to(if is_open { after(now) } else { last });
    let end = if is_open { 985 } else { scale.at(last) };
    let several = webhook.events.len() > 1;
    let number =
        |event: EventId| webhook.events.iter().position(|one| one.id == event).map(|place| place + 1);
    let mut reached = scale.at(0);
    let rows: Vec<(&Step, Track)> = steps
        .iter()
        .enumerate()
        .map(|(place, step)| {
            let at = step.at.map(|at| scale.at(after(at)));
            let next = steps.iter().skip(place + 1).find_map(|later| later.at);
            let until = next.map_or(end, |at| scale.at(after(at)));
            let until = if step.is_gap() || step.progress == Progress::Waiting { end } else { until };
            // A claim may be older than the delivery.
            let from = at.map_or(reached, |at| at.min(reached));
            let row = Track { from, at, until, progress: step.progress };
            reached = at.map_or(reached, |at| at.max(reached));
            (step, row)
        })
        .collect();
    html! {
        section.card aria-labelledby="way" {
            h2 #way { "The way" small { " time after arrival; the scale bends" } }
            ol.way {
                li.head aria-hidden="true" { span.part {} span.plot { (axis(scale)) } span.when {} }
                @for (step, row) in &rows {
                    li class=(page::look(step.progress).0) {
                        span.part {
                            (step.part.as_str())
                            @if several { @if let Some(number) = step.event_id.and_then(number) { small { " event " (number) } } }
                        }
                        span.how { (state(step.progress)) }
                        span.plot { (track(scale, *row)) }
                        span.when {
                            @match step.at {
                                Some(at) => span title=(at) { "+" (span(after(at))) },
                                None => span.dim { "no time kept" },
                            }
                        }
                        span.what { (shown(&step.detail)) }
                    }
                }
            }
            @if webhook.steps.len() > steps.len() {
                p.dim { (webhook.steps.len() - steps.len()) " further steps: " code { "tollgate inspect --json" } " has them" }
            }
        }
    }
}

fn tabs(way: &Way, webhook: &Webhook) -> Markup {
    let of_payments: Vec<&EventOf> = way.payments.iter().flat_map(|payment| &payment.events).collect();
    let all: [(&str, String, Markup); 6] = [
        ("events", format!("Events {}", webhook.events.len()), events(webhook)),
        ("body", "Body".to_owned(), body(webhook)),
        ("headers", "Headers".to_owned(), headers(webhook)),
        ("receipt", "Receipt".to_owned(), receipt(webhook.receipt.as_ref())),
        ("ledger", "Ledger".to_owned(), ledger(webhook, &of_payments)),
        ("payment", "Payment".to_owned(), payments(way, webhook)),
    ];
    html! {
        section.card.tabs data-tabs {
            div.tablist role="tablist" aria-label="What is known of it" {
                @for (number, (name, label, _)) in all.iter().enumerate() {
                    a role="tab" id={ "tab-" (name) } href={ "#" (name) } aria-controls=(name)
                        aria-selected=(if number == 0 { "true" } else { "false" }) { (label) }
                }
            }
            @for (name, label, panel) in &all {
                div.panel #(name) role="tabpanel" aria-labelledby={ "tab-" (name) } tabindex="0" {
                    h2.unseen { (label) }
                    (panel)
                }
            }
        }
    }
}

fn events(webhook: &Webhook) -> Markup {
    html! {
        @if webhook.events.is_empty() { p.dim { "Which events it holds is not known." } }
        @for event in &webhook.events {
            article.event {
                h3 { (shown(headline(event))) " " code.dim { (event.kind.as_str()) } }
                p.dim { (event.kind.meaning()) }
                @if event.webhook_id != webhook.webhook_id {
                    p.note.warn { "As it was told first, by " (webhook_link(event.webhook_id.as_str())) ": what this delivery says of it has no effect." }
                }
                @if let Some(why) = &event.unrecognized { p.note.bad { "Not recognized: " (shown(why)) } }
                div.beside {
                    div { h4 { "Canonical event" } (json(&pretty(event))) }
                    div {
                        h4 { "Where its values stand in what was sent" }
                        @if let Some(body) = &webhook.body {
                            table.plain {
                                thead { tr { th { "field" } th { "value" } th { "sent as" } } }
                                tbody { @for one in origins(event, &webhook.headers, webhook.object.as_deref().unwrap_or(body)) {
                                    tr {
                                        th scope="row" { (one.field) }
                                        td { code { (shown(&one.value)) } }
                                        td {
                                            @if one.places.is_empty() { span.dim { "made of other values" } }
                                            @for (number, place) in one.places.iter().enumerate() {
                                                @if number > 0 { br; } code { (shown(place)) }
                                            }
                                        }
                                    }
                                } }
                            }
                            h4 { "What the provider sent, masked" }
                            (json(&masked(body)))
                        } @else { p.dim { "The body is not archived." } }
                    }
                }
            }
        }
    }
}

fn pretty(event: &PaymentEvent<'_>) -> String {
    serde_json::to_string_pretty(event).unwrap_or_default()
}

fn body(webhook: &Webhook) -> Markup {
    html! {
        @match &webhook.body {
            Some(body) => {
                p.dim { (body.len()) " bytes, shown without card numbers, verification data and e-mail addresses. "
                    "What is encoded within it is not found." }
                (json(&masked(body)))
            }
            None => p.dim { "It is not archived, or not yet." }
        }
        @if let Some(object) = &webhook.object {
            h3 { "What was fetched" }
            p.dim { "The webhook only names it: it is what the provider's API told, " (object.len()) " bytes, shown like the body." }
            (json(&masked(object)))
        }
    }
}

fn headers(webhook: &Webhook) -> Markup {
    html! {
        @if webhook.headers.is_empty() { p.dim { "None is archived." } } @else {
            p.dim { "Those that the scheme signs or reads are kept, in the order in which they came. “-” stands for a value that is not kept." }
            table.plain {
                thead { tr { th { "header" } th { "value" } } }
                tbody { @for (name, value) in &webhook.headers {
                    tr {
                        th scope="row" { code { (shown(name)) } }
                        td {
                            @if CREDENTIALS.contains(&name.to_ascii_lowercase().as_str()) { span.dim { "not shown" } }
                            @else { code { (shown(masked(value.as_bytes()))) } }
                        }
                    }
                } }
            }
        }
    }
}

fn receipt(receipt: Option<&ReceiptOf>) -> Markup {
    let Some(receipt) = receipt else { return html! { p.dim { "No receipt was found." } } };
    let check = |progress, name: &str, what: Markup| {
        html! {
            li { (state(progress)) strong { (name) } span { (what) } }
        }
    };
    let digest = match receipt.is_of_archived_body {
        Some(true) => (Progress::Done, "the archived bytes have the digest that was checked"),
        Some(false) => (Progress::Stopped, "the archived bytes have another digest than was checked"),
        None => (Progress::Unknown, "the body was not read"),
    };
    html! {
        ul.checks {
            (check(Progress::Done, "Authenticity", html! { (receipt.authenticity.as_str())
                @if receipt.authenticity.as_str() == "authenticated" { ": the sender is proved, and nothing of the body" } }))
            (check(Progress::Done, "Key", html! { code { (shown(&receipt.key_id)) } " verified it" }))
            @match receipt.signed_at {
                Some(at) => {
                    @let age = receipt.verified_at.as_millisecond() - at.as_millisecond();
                    (check(Progress::Done, "Signed time", html! { (time(at)) ", " (span(age)) " before the check" }))
                }
                None => (check(Progress::LeftOut, "Signed time", html! { "its scheme signs none" })),
            }
            (check(Progress::Done, "Checked", time(receipt.verified_at)))
            (check(digest.0, "Bytes", html! { (digest.1) ": " code.wrap { (receipt.body_sha256) } }))
            (check(Progress::Done, "Sender", html! { code { (shown(&receipt.source_ip)) } }))
        }
    }
}

fn ledger(webhook: &Webhook, known: &[&EventOf]) -> Markup {
    html! {
        @if webhook.events.is_empty() { p.dim { "Which events it holds is not known." } }
        @for event in &webhook.events {
            @let of = known.iter().find(|one| one.event.id == event.id);
            dl.pairs {
                dt { "Key" } dd { code.wrap { (shown(event.ledger_key().as_str())) } }
                dt { "Event" } dd { (id(event.id.as_str())) }
                dt { "Claim" } dd { @match of { Some(one) => (claim(&one.claim)), None => span.dim { "its payment is not known" } } }
                dt { "Effect" } dd { (id(event.effect_id.as_str())) }
                @if let Some(first) = of.and_then(|one| one.effect_told_by) {
                    dt { "Told first by" }
                    dd { @if first == event.id { "this event" } @else { (id_link("/find?id=", first.as_str())) } }
                }
                @if let Some(first) = event.restates { dt { "Restates" } dd { (id_link("/find?id=", first.as_str())) } }
            }
        }
    }
}

/// A claim, in words.
pub(super) fn claim(claim: &ClaimOf) -> Markup {
    let by = |id: &Option<WebhookId>| html! { @if let Some(id) = id { ", by " (webhook_link(id.as_str())) } };
    html! {
        @match claim {
            ClaimOf::Processed { since, webhook_id } => { (state(Progress::Done)) " processed; claimed " (time(*since)) (by(webhook_id)) }
            ClaimOf::Received { since, webhook_id, is_too_old } => {
                (state(Progress::Waiting)) " claimed " (time(*since)) (by(webhook_id)) ", not processed"
                @if *is_too_old { ", and set aside as too old" }
            }
            ClaimOf::Forgotten => { (state(Progress::Unknown)) " older than the ledger's memory of 30 days" }
            ClaimOf::Missing => { (state(Progress::Missing)) " there is none" }
        }
    }
}

fn payments(way: &Way, webhook: &Webhook) -> Markup {
    html! {
        @if way.payments.is_empty() { p.dim { "No payment of it is known." } }
        @for payment in &way.payments {
            h3 { "Payment " (id_link(&format!("/payment/{}/", payment.endpoint), &payment.transaction_id)) }
            div.scroll tabindex="0" {
                table.rows {
                    thead { tr { th { "happened" } th { "event" } th.number { "amount" } th { "webhook" } } }
                    tbody { @for one in &payment.events {
                        @let is_own = one.event.webhook_id == webhook.webhook_id;
                        tr.own[is_own] {
                            td { (time(one.event.occurred_at)) }
                            td.event { (words(one.event.kind.as_str())) @if payment.latest == Some(one.event.id) { " " span.tag { "latest" } } }
                            td.number { @if let Some(money) = &one.event.amount { (amount(money)) } }
                            td { @if is_own { "this one" } @else { (webhook_link(one.event.webhook_id.as_str())) } }
                        }
                    } }
                }
            }
        }
    }
}
