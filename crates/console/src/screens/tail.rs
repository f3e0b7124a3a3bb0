//! Events as they are published, while somebody looks.

use std::sync::Arc;

use maud::{Markup, html};
use tollgate_core::{PaymentEvent, Timestamp};
use tollgate_operate::listen::Asked;

use crate::{
    begun::Begun,
    forms,
    http::{Request, see},
    page::{Answer, Problem, amount, id_link, page, quoted, shown, shows, time, webhook_link, words},
    state::Console,
    tailing::{MOST_KEPT, Tail},
};

const SCREEN: &str = "/webhooks";
const OWN: &str = "/tail";
/// What the form does.
const LISTEN: &str = "listen";

pub(crate) fn tail(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let last = console.tails.last();
    let value = |name: &str| request.query.one(name).to_owned();
    let now = (console.settings.clock)();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Webhooks" } " / live" }
        @match last.filter(|tail| tail.is_under_way() || request.query.some("new").is_none()) {
            Some(tail) => (live(&tail, now)),
            None => {
                h1 { "Live" }
                (form(&console.guard.form(LISTEN).map_err(problem)?, &value("endpoint"), &value("type")))
            }
        }
    };
    shows(page(console, "Live", SCREEN, content))
}

fn form(token: &str, endpoint: &str, kind: &str) -> Markup {
    html! {
        form.card method="post" action=(OWN) {
            h2 { "Listen" }
            p.dim { "Events as the bus delivers them, from now on. A rule and a queue of its own are made for that, and removed when it ends: after half an hour, or when nobody looks." }
            input type="hidden" name="token" value=(token);
            div.filters {
                label { span { "Endpoint" } input name="endpoint" value=(endpoint) placeholder="all" autocomplete="off"; }
                label { span { "Type" } input name="type" value=(kind) placeholder="all" autocomplete="off"; }
                button.main { "Listen" }
            }
        }
    }
}

fn live(tail: &Tail, now: Timestamp) -> Markup {
    let mut heard = tail.heard();
    heard.looked_at = now;
    let is_ended = heard.ended.is_some();
    let filtered = || [&tail.asked.endpoints, &tail.asked.kinds].into_iter().flatten();
    html! {
        div #live data-follow=[(!is_ended).then_some(OWN)] data-every="1000" {
            div.title {
                h1 { "Live" }
                @match &heard.ended {
                    Some(Ok(_)) => strong.verdict.implied { "ended" },
                    Some(Err(_)) => strong.verdict.stopped { "ended by an error" },
                    None if tail.is_stopping() => strong.verdict.waiting { "ending" },
                    None if !heard.is_open => strong.verdict.waiting { "begins" },
                    None => strong.verdict.done { "listening" },
                }
            }
            p.facts { span { (heard.count) " heard" } @for one in filtered() { span { "of " code { (shown(one)) } } } span { "until " (time(tail.until)) } }
            @match &heard.ended {
                Some(Ok(why)) => div.note { p { (why) } },
                Some(Err(problem)) => div.note.bad { p { (shown(problem)) } },
                None => form method="post" action={ (OWN) "/cancel" } {
                    input type="hidden" name="token" value=(tail.cancel);
                    button.danger disabled[tail.is_stopping()] { "Stop" }
                }
            }
            @if heard.events.is_empty() { @if !is_ended { p.dim { "Nothing yet." } } } @else {
                section.card aria-label="What was heard, the newest first" {
                    table.rows.cardly {
                        thead { tr { th { "received (UTC)" } th { "event" } th.number { "amount" } th { "endpoint" } th { "payment" } th { "webhook" } } }
                        tbody { @for event in heard.events.iter().rev() { (row(event)) } }
                    }
                }
            }
            @if heard.count > MOST_KEPT as u64 { p.dim { "The newest " (MOST_KEPT) " are kept." } }
        }
        @if is_ended { p { a.button href={ (OWN) "?new=1" } { "Listen again" } } }
    }
}

fn row(event: &PaymentEvent<'_>) -> Markup {
    html! {
        tr {
            td { (time(event.received_at)) }
            td.event { (words(event.kind.as_str())) @if event.restates.is_some() { " " span.tag { "restates" } } }
            td.number { @if let Some(money) = &event.amount { (amount(money)) } }
            td { (event.endpoint) }
            td { (id_link(&format!("/payment/{}/", quoted(event.endpoint.as_str())), &event.transaction_id)) }
            td { (webhook_link(event.webhook_id.as_str())) }
        }
    }
}

/// Begins to listen.
pub(crate) fn listen(console: &Arc<Console>, request: &Request) -> Answer {
    let form = &request.form;
    forms::asks(console, SCREEN, LISTEN, form)?;
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let (aws, clock) = (console.settings.aws.clone(), console.settings.clock);
    let all = |name: &str| form.one(name).split_whitespace().map(str::to_owned).collect();
    let asked = Asked { kinds: all("type"), endpoints: all("endpoint"), ..Asked::default() };
    let tail = Arc::new(Tail::new(asked, clock()).map_err(problem)?);
    let going = Arc::clone(&tail);
    let begun = console.tails.begin(tail, async move { going.go(&aws, clock).await });
    begun.ok_or_else(|| Problem::refused(console, SCREEN, "Another one listens: end it first."))?;
    Ok(see(OWN))
}

/// Has it end.
pub(crate) fn cancel(console: &Arc<Console>, request: &Request) -> Answer {
    let tail = console.tails.last().ok_or_else(|| Problem::nothing(console))?;
    forms::ends(console, SCREEN, &tail.cancel, &request.form)?;
    tail.stop();
    Ok(see(OWN))
}
