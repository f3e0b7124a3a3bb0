//! Where any id leads.

use std::sync::Arc;

use maud::{Markup, html};
use tollgate_core::{Timestamp, WebhookId};
use tollgate_operate::way::{self, Named, Question, Way};

use crate::{
    http::{Request, see},
    page::{Answer, Problem, headline, id_link, page, quoted, shown, shows, time},
    state::Console,
};

const SCREEN: &str = "/webhooks";
/// The longest id that is asked for, in bytes.
const LONGEST: usize = 1_024;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The question for an id; without a day, today's and yesterday's archive is looked through for what no table knows.
pub(super) fn question(console: &Console, id: &str, day: Option<Timestamp>) -> Question {
    let now = (console.settings.clock)();
    let days = match day {
        Some(day) => vec![day],
        None => {
            std::iter::once(now).chain(Timestamp::from_second(now.as_second() - DAY_SECONDS).ok()).collect()
        }
    };
    Question { id: id.to_owned(), endpoint: None, days, now }
}

pub(crate) async fn find(console: &Arc<Console>, request: &Request) -> Answer {
    let (id, day) = (request.query.one("id"), request.query.one("day"));
    if id.is_empty() || id.len() > LONGEST {
        return Err(Problem::asked(console, SCREEN, format!("an id has 1 to {LONGEST} bytes")));
    }
    if let Some(webhook) = WebhookId::parse(id) {
        return Ok(see(&format!("/webhook/{webhook}")));
    }
    let day_of = match day {
        "" => None,
        day => match format!("{day}T00:00:00Z").parse() {
            Ok(day) => Some(day),
            Err(_) => return Err(Problem::asked(console, SCREEN, "a day is written 2026-01-31")),
        },
    };
    let way = way::look(&console.settings.aws, &question(console, id, day_of)).await;
    let way = way.map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    if let Some(to) = only(&way) {
        return Ok(see(&to));
    }
    let content = html! {
        h1 { "Find " code { (shown(id)) } }
        @if way.is_found() { (several(&way)) } @else {
            div.note {
                p { "Nothing is known of it in the tables, nor in the archive of "
                    @if !day.is_empty() { (day) } @else { "today and yesterday (UTC)" } "." }
                form.inline action="/find" {
                    input type="hidden" name="id" value=(id);
                    label for="day" { "Look through the archive of the day " }
                    input #day name="day" type="date" required;
                    button { "Look" }
                }
                p { a href={ "/webhooks?id=" (quoted(id)) "&from=30d" } { "Search the archive of 30 days" } }
            }
        }
        (notes(&way.notes))
    };
    shows(page(console, "Find", SCREEN, content))
}

/// The one page that an id names.
fn only(way: &Way) -> Option<String> {
    let payment = |of: &str| {
        let known = way.payments.iter().find(|one| one.transaction_id == of)?;
        Some(format!("/payment/{}/{}", known.endpoint, quoted(of)))
    };
    match way.names.as_slice() {
        [Named::Transaction { .. }] => payment(&way.asked),
        [Named::Alias { of, .. }] => payment(of),
        [Named::Movement { .. }] if way.payments.len() == 1 => payment(&way.payments.first()?.transaction_id),
        _ => match way.webhooks.as_slice() {
            [webhook] => Some(format!("/webhook/{}", webhook.webhook_id)),
            _ => None,
        },
    }
}

fn several(way: &Way) -> Markup {
    html! {
        p.lead { "It names more than one thing." }
        @if !way.payments.is_empty() {
            h2 { "Payments" }
            ul.cards {
                @for payment in &way.payments {
                    li { (id_link(&format!("/payment/{}/", payment.endpoint), &payment.transaction_id))
                        p { "at " (payment.endpoint) ", " (payment.events.len()) " events" } }
                }
            }
        }
        @if !way.webhooks.is_empty() {
            h2 { "Webhooks" }
            ul.cards {
                @for webhook in &way.webhooks {
                    li { (id_link("/webhook/", webhook.webhook_id.as_str()))
                        p { (time(webhook.webhook_id.arrived_at()))
                            @if let Some(event) = webhook.events.first() { ", " (headline(event)) } } }
                }
            }
        }
    }
}

/// What was not looked through.
pub(super) fn notes(notes: &[String]) -> Markup {
    html! { @for note in notes { div.note { p { (shown(note)) } } } }
}
