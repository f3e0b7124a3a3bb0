//! Where any id leads.

use std::sync::Arc;

use maud::{Markup, html};
use tollgate_core::{EndpointId, Timestamp, WebhookId, id::bounded};
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
    let payments: Vec<(EndpointId, &str)> =
        way.payments.iter().map(|one| (one.endpoint, one.transaction_id.as_str())).collect();
    let webhooks: Vec<WebhookId> = way.webhooks.iter().map(|one| one.webhook_id).collect();
    if let Some(to) = only(id, &way.names, &payments, &webhooks) {
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

/// The one page that an id names. Of a payment of which nothing has taken effect it is that of the delivery which names it.
fn only(
    asked: &str,
    names: &[Named],
    payments: &[(EndpointId, &str)],
    webhooks: &[WebhookId],
) -> Option<String> {
    let known = |of: &str| payments.iter().find(|(_, id)| *id == of);
    let payment = match names {
        [Named::Transaction { .. }] => known(&bounded(asked.into())),
        [Named::Alias { of, .. }] => known(of),
        [Named::Movement { .. }] => payments.first().filter(|_| payments.len() == 1),
        _ => None,
    };
    let payment = payment.map(|(endpoint, id)| format!("/payment/{endpoint}/{}", quoted(id)));
    payment.or_else(|| match webhooks {
        [webhook] => Some(format!("/webhook/{webhook}")),
        _ => None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_the_one_page_that_it_names() {
        let endpoint = EndpointId::new("acme").unwrap();
        let webhook = WebhookId::new(Timestamp::UNIX_EPOCH, 7);
        let (one, two) = (vec![webhook], vec![webhook, WebhookId::new(Timestamp::UNIX_EPOCH, 8)]);
        let (transaction, movement) = (Named::Transaction { endpoint }, Named::Movement { endpoint });
        let alias = Named::Alias { endpoint, of: "pi_1".to_owned() };
        let (known, its) = (vec![(endpoint, "pi_1")], Some("/payment/acme/pi_1".to_owned()));
        let way = Some(format!("/webhook/{webhook}"));
        for (asked, names, payments, webhooks, to) in [
            ("pi_1", vec![transaction.clone()], &known, &two, its.clone()),
            ("cs_1", vec![alias], &known, &two, its.clone()),
            ("re_1", vec![movement.clone()], &known, &two, its),
            // Nothing of it has taken effect.
            ("pi_2", vec![transaction.clone()], &Vec::new(), &one, way.clone()),
            ("re_2", vec![movement], &Vec::new(), &one, way.clone()),
            ("pi_2", vec![transaction.clone()], &Vec::new(), &two, None),
            ("evt_1", vec![Named::ProviderEvent { endpoint }], &known, &one, way),
            ("pi_1", vec![transaction.clone(), transaction], &known, &two, None),
        ] {
            assert_eq!(only(asked, &names, payments, webhooks), to, "{asked} {names:?}");
        }
    }
}
