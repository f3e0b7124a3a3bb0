//! One payment: what happened beside how it arrived, what moved, and how much.

use std::{collections::BTreeMap, sync::Arc};

use maud::{Markup, html};
use tollgate_core::{Currency, EndpointId, EventId, EventType, Money, PaymentEvent, id::bounded};
use tollgate_operate::way::{self, EventOf, Named, Payment};

use super::{find, way::claim};
use crate::{
    page::{
        Answer, Problem, amount, id, id_link, many, page, quoted, shown, shows, time, webhook_link, words,
    },
    plot::percent,
    state::Console,
};

const SCREEN: &str = "/webhooks";
/// Events whose arrival is drawn.
const MOST_DRAWN: usize = 40;
/// Between two of them, in pixels.
const LINE: u64 = 30;

pub(crate) async fn payment(console: &Arc<Console>, endpoint: &str, asked: &str) -> Answer {
    let Ok(endpoint) = EndpointId::new(endpoint) else {
        return Err(Problem::asked(console, SCREEN, "that is no endpoint's name"));
    };
    let question = way::Question { endpoint: Some(endpoint), ..find::question(console, asked, None) };
    let way = way::look(&console.settings.aws, &question).await;
    let way = way.map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    let known = |id: &str| way.payments.iter().find(|one| one.transaction_id == id);
    let of_alias = way.names.iter().find_map(|named| match named {
        Named::Alias { of, .. } => known(of),
        _ => None,
    });
    let Some(payment) = known(&bounded(asked.into())).or(of_alias) else {
        let content = html! { (unknown(&endpoint, asked)) (find::notes(&way.notes)) };
        return shows(page(console, &format!("Payment {asked}"), SCREEN, content));
    };
    let latest = payment.events.iter().find(|one| Some(one.event.id) == payment.latest);
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href="/webhooks" { "Webhooks" } " / payment" }
        div.title {
            h1 { "Payment " code { (shown(&payment.transaction_id)) } }
            @if let Some(latest) = latest { strong.verdict.implied { (words(latest.event.kind.as_str())) } }
        }
        p.facts {
            span { "at " a href={ "/webhooks?endpoint=" (endpoint) } { (endpoint) } }
            span { @if payment.is_cut { "more than " } (many(payment.events.len(), "event")) " of " (many(movements(payment).len(), "movement")) }
            span { (id(&payment.transaction_id)) }
        }
        @if !payment.aliases.is_empty() {
            p.facts { "also " @for alias in &payment.aliases { span { code { (shown(alias)) } } } }
        }
        (conflicts(payment))
        (money(payment))
        (order(payment))
        (moves(payment))
        (history(payment))
        @if payment.is_cut { div.note { p { "It has more events: the archive has all." } } }
        (find::notes(&way.notes))
    };
    shows(page(console, &format!("Payment {asked}"), SCREEN, content))
}

/// One that others name, a provider or a delivery that contradicts, and of which nothing is known here.
fn unknown(endpoint: &EndpointId, asked: &str) -> Markup {
    html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Webhooks" } " / payment" }
        div.title { h1 { "Payment " code { (shown(asked)) } } strong.verdict.missing { "not known" } }
        p.facts { span { "at " a href={ (SCREEN) "?endpoint=" (endpoint) } { (endpoint) } } span { (id(asked)) } }
        div.note {
            p { "No event of it has taken effect here." }
            p { a href={ (SCREEN) "?id=" (quoted(asked)) "&endpoint=" (endpoint) "&from=30d" } { "Search the archive of 30 days" } " "
                a href={ "/conflicts?endpoint=" (endpoint) } { "Conflicts of this endpoint" } }
        }
    }
}

fn conflicts(payment: &Payment) -> Markup {
    html! {
        @for conflict in &payment.conflicts {
            div.note.bad {
                h2 { "A conflict" }
                p { (webhook_link(conflict.webhook_id.as_str())) " told " code { (shown(&conflict.provider_event_id)) }
                    " with other payment facts, and has no effect. " a href={ "/conflicts/one?id=" (conflict.webhook_id) } { "Both, side by side" } }
            }
        }
    }
}

/// What was told of money, each effect once: a restatement adds nothing.
fn money(payment: &Payment) -> Markup {
    struct Sum {
        currency: Currency,
        /// `None` where it is too large to be told.
        units: Option<i128>,
        effects: usize,
    }
    let mut sums: BTreeMap<(EventType, String, Option<u8>), Sum> = BTreeMap::new();
    for event in payment.events.iter().map(|one| &one.event).filter(|event| event.restates.is_none()) {
        if let Some(amount) = &event.amount {
            let currency = amount.currency();
            let none = Sum { currency, units: Some(0), effects: 0 };
            let sum = sums.entry((event.kind, currency.code().to_owned(), amount.exponent())).or_insert(none);
            sum.units = sum.units.and_then(|units| units.checked_add(amount.minor_units()));
            sum.effects += 1;
        }
    }
    let written = |exponent: Option<u8>, sum: &Sum| match (sum.units, exponent) {
        (Some(units), Some(exponent)) => Money::from_scaled(units, exponent, sum.currency)
            .map_or_else(|_| units.to_string(), |sum| amount(&sum)),
        (Some(units), None) => format!("{units} {}", sum.currency.code()),
        (None, _) => "too much to add up".to_owned(),
    };
    html! {
        @if !sums.is_empty() {
            ul.figures {
                @for ((kind, _, exponent), sum) in &sums {
                    li {
                        span { (words(kind.as_str())) }
                        strong { (written(*exponent, sum)) }
                        small { (many(sum.effects, "effect")) }
                    }
                }
            }
        }
    }
}

/// The order in which it happened beside the order in which it arrived. Lines that cross arrived out of order.
fn order(payment: &Payment) -> Markup {
    let events: Vec<&EventOf> = payment.events.iter().take(MOST_DRAWN).collect();
    if events.len() < 2 {
        return html! {};
    }
    let mut arrived = events.clone();
    arrived.sort_by_key(|one| one.arrived_as);
    let place = |id: EventId| arrived.iter().position(|one| one.event.id == id).unwrap_or(0);
    let y = |number: usize| 20 + LINE * u64::try_from(number).unwrap_or(0);
    let crosses = |number: usize, one: &EventOf| {
        events.iter().enumerate().any(|(other, another)| {
            (other < number) != (place(another.event.id) < place(one.event.id)) && other != number
        })
    };
    let count = events.iter().enumerate().filter(|(number, one)| crosses(*number, one)).count();
    let label =
        format!("{} events in the order in which they happened, beside the order of arrival", events.len());
    html! {
        section.card aria-labelledby="order" {
            h2 #order { "Happened, and arrived"
                small { @if count == 0 { " in the same order" } @else { " in another order: " (count) " of " (events.len()) " crossed" } } }
            svg.order role="img" aria-label=(label) width="100%" height=(y(events.len()) - LINE + 20) {
                @for (number, one) in events.iter().enumerate() {
                    @let to = place(one.event.id);
                    @let class = if crosses(number, one) { "cross" } else { "straight" };
                    line class=(class) x1=(percent(400)) y1=(y(number)) x2=(percent(600)) y2=(y(to)) {}
                    circle class=(class) cx=(percent(400)) cy=(y(number)) r="4" {}
                    circle class=(class) cx=(percent(600)) cy=(y(to)) r="4" {}
                    text x=(percent(385)) y=(y(number) + 4) text-anchor="end" { (words(one.event.kind.as_str())) }
                    text.dim x=(percent(615)) y=(y(to) + 4) { (one.event.received_at.strftime("%H:%M:%S%.3f").to_string()) }
                }
            }
        }
    }
}

/// The events of each movement, in the order in which the movements began.
fn movements(payment: &Payment) -> Vec<(String, Vec<&EventOf>)> {
    let mut movements: Vec<(String, Vec<&EventOf>)> = Vec::new();
    for one in &payment.events {
        match movements.iter_mut().find(|(id, _)| *id == one.event.movement_id) {
            Some((_, events)) => events.push(one),
            None => movements.push((one.event.movement_id.to_string(), vec![one])),
        }
    }
    movements
}

fn moves(payment: &Payment) -> Markup {
    html! {
        section.card aria-labelledby="movements" {
            h2 #movements { "Movements" }
            ul.movements {
                @for (movement, events) in movements(payment) {
                    li {
                        h3 { code { (shown(&movement)) } }
                        ol.chain {
                            @for one in events {
                                li.again[one.event.restates.is_some()] {
                                    a href={ "/webhook/" (one.event.webhook_id) } { (words(one.event.kind.as_str())) }
                                    @if let Some(money) = &one.event.amount { " " strong { (amount(money)) } }
                                    @if one.event.restates.is_some() { small { " restated" } }
                                    @if one.event.superseded { small { " superseded" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn history(payment: &Payment) -> Markup {
    html! {
        section.card aria-labelledby="history" {
            h2 #history { "History" }
            div.scroll tabindex="0" {
                table.rows {
                    thead { tr {
                        th { "happened" } th { "arrived" } th { "as" } th { "event" } th.number { "amount" } th { "claim" }
                        th { "fraud" } th { "webhook" }
                    } }
                    tbody { @for one in &payment.events { (row(payment, one, &one.event)) } }
                }
            }
        }
    }
}

fn row(payment: &Payment, one: &EventOf, event: &PaymentEvent<'_>) -> Markup {
    html! {
        tr {
            td { (time(event.occurred_at)) }
            td { (time(event.received_at)) }
            td.number { (one.arrived_as) }
            td.event {
                (words(event.kind.as_str()))
                @if payment.latest == Some(event.id) { " " span.tag { "latest" } }
                @if event.superseded { " " span.tag { "superseded" } }
                @if let Some(first) = event.restates { small.block { "restates " (id_link("/find?id=", first.as_str())) } }
            }
            td.number { @if let Some(money) = &event.amount { (amount(money)) } }
            td { (claim(&one.claim)) }
            td { @if let Some(made) = &one.decision { (made.verdict) " " (made.score) small.block { (made.reasons.join(", ")) } } }
            td { (webhook_link(event.webhook_id.as_str())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_that_is_not_known_here_is_told_so() {
        let page = unknown(&EndpointId::new("acme").unwrap(), "pi_1&<b>").into_string();
        for part in [
            "No event of it has taken effect here.",
            "/webhooks?id=pi_1%26%3Cb%3E&amp;endpoint=acme&amp;from=30d",
            "/conflicts?endpoint=acme",
            "pi_1&amp;&lt;b&gt;",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }
}
