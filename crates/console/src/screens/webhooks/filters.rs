//! The filters of an address, and how they are asked for and shown.

use std::fmt::Write;

use maud::{Markup, html};
use tollgate_operate::search::{Filters, saved::Saved};

use crate::{
    http::Fields,
    page::{quoted, shown},
};

/// The path of the screen.
pub(super) const SCREEN: &str = "/webhooks";
/// How webhooks end.
pub(super) const OUTCOMES: [&str; 4] = ["processed", "duplicate", "conflict", "set_aside"];
/// What is asked for in a field of its own: its name, what stands before it, and an example.
const FIELDS: [(&str, &str, &str); 9] = [
    ("id", "Id", "any"),
    ("endpoint", "Endpoint", "stripe-eu"),
    ("type", "Type", "refund.succeeded"),
    ("amount", "Amount", "10..20, 100.."),
    ("currency", "Currency", "EUR"),
    ("customer", "Customer", "cus_…"),
    ("metadata", "Metadata", "order=4711"),
    ("provider", "Provider", "stripe"),
    ("text", "Text in the body", "4711"),
];

/// The filters that an address has.
pub(super) fn filters(fields: &Fields) -> Filters {
    let one = |name: &str| fields.some(name).map(str::to_owned);
    let all = |name: &str| fields.all(name).map(str::to_owned).collect();
    Filters {
        id: one("id"),
        endpoint: all("endpoint"),
        provider: all("provider"),
        kind: all("type"),
        outcome: all("outcome"),
        amount: one("amount"),
        currency: all("currency"),
        customer: all("customer"),
        metadata: all("metadata"),
        text: all("text"),
        from: one("from"),
        to: one("to"),
    }
}

/// Each filter that says something, by its name.
fn given(filters: &Filters) -> Vec<(&'static str, &str)> {
    let Filters {
        id,
        endpoint,
        provider,
        kind,
        outcome,
        amount,
        currency,
        customer,
        metadata,
        text,
        from,
        to,
    } = filters;
    let mut given = Vec::new();
    for (name, value) in [("id", id), ("amount", amount), ("from", from), ("to", to)] {
        given.extend(value.as_deref().map(|value| (name, value)));
    }
    let lists = [
        ("endpoint", endpoint),
        ("provider", provider),
        ("type", kind),
        ("outcome", outcome),
        ("currency", currency),
        ("customer", customer),
        ("metadata", metadata),
        ("text", text),
    ];
    for (name, values) in lists {
        given.extend(values.iter().map(|value| (name, value.as_str())));
    }
    given
}

/// The address of these filters. It ends so that more can be added.
pub(super) fn address(filters: &Filters) -> String {
    written(&given(filters))
}

fn written(given: &[(&str, &str)]) -> String {
    let mut address = format!("{SCREEN}?");
    for (position, (name, value)) in given.iter().enumerate() {
        // Writing to a `String` does not fail.
        let _ = write!(address, "{}{name}={}", if position > 0 { "&" } else { "" }, quoted(value));
    }
    address
}

pub(super) fn form(filters: &Filters) -> Markup {
    let given = given(filters);
    let value = |name: &str| given.iter().find(|(other, _)| *other == name).map_or("", |(_, value)| *value);
    let more = |name: &'static str| given.iter().filter(move |(other, _)| *other == name).skip(1);
    html! {
        form.filters action=(SCREEN) {
            @for (name, label, example) in FIELDS {
                label { span { (label) } input name=(name) value=(value(name)) placeholder=(example) maxlength="1024" spellcheck="false" autocomplete="off"; }
                @for (_, value) in more(name) { (further(name, value)) }
            }
            label { span { "Outcome" }
                select name="outcome" {
                    option value="" { "any" }
                    @for one in OUTCOMES { option value=(one) selected[value("outcome") == one] { (one.replace('_', " ")) } }
                }
            }
            @for (_, value) in more("outcome") { (further("outcome", value)) }
            label { span { "From" } input name="from" value=(value("from")) placeholder="7d, 36h, 2026-01-31" list="spans" autocomplete="off"; }
            label { span { "To" } input name="to" value=(value("to")) placeholder="now" autocomplete="off"; }
            datalist #spans { @for one in ["15m", "1h", "24h", "7d", "30d"] { option value=(one) {} } }
            button.main { "Search" }
        }
    }
}

/// A further value of a filter: the list of what is filtered has it, with its end.
fn further(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// What is filtered, each with its end.
pub(super) fn chips(filters: &Filters) -> Markup {
    let given = given(filters);
    html! {
        @if !given.is_empty() {
            ul.chips aria-label="Filters" {
                @for (place, (name, value)) in given.iter().enumerate() {
                    @let rest: Vec<(&str, &str)> = given.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, one)| *one).collect();
                    li { (name) " " b { (shown(value)) }
                        a href=(written(&rest)) aria-label={ "Without " (name) " " (shown(value)) } { "×" } }
                }
                li.clear { a href=(SCREEN) { "clear all" } }
            }
        }
    }
}

pub(super) fn saved_views(saved: &Saved, own: &str) -> Markup {
    html! {
        @if !saved.searches.is_empty() {
            nav.views aria-label="Saved searches" {
                @for (name, filters) in &saved.searches {
                    @let to = address(filters);
                    a href=(to) aria-current=[(to == own).then_some("true")] { (shown(name)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_in_the_address_and_come_back() {
        let query =
            "id=a%26b&endpoint=acme&endpoint=shop&type=refund.succeeded&amount=1..2&text=%22x%22&from=7d";
        let filters = filters(&Fields::read(query));
        assert_eq!(filters.endpoint, ["acme", "shop"]);
        let address = address(&filters);
        let again = super::filters(&Fields::read(address.strip_prefix("/webhooks?").unwrap()));
        assert_eq!(again, filters);
        assert_eq!(self::address(&Filters::default()), "/webhooks?");
    }

    /// What the form sends is what is filtered, however many values a filter has.
    #[test]
    fn a_form_keeps_all_that_is_filtered() {
        let two = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
        let filters = Filters {
            endpoint: two("acme", "shop"),
            provider: two("stripe", "adyen"),
            kind: two("refund.succeeded", "payment.failed"),
            outcome: two("conflict", "set_aside"),
            currency: two("EUR", "USD"),
            customer: two("c1", "c2"),
            metadata: two("a=1", "b=2"),
            text: two("x", "y"),
            ..Filters::default()
        };
        let form = form(&filters).into_string();
        for (name, value) in given(&filters) {
            let field = format!("name=\"{name}\" value=\"{value}\"");
            let option = format!("<option value=\"{value}\" selected>");
            assert!(form.contains(&field) || form.contains(&option), "{name} {value} is not in {form}");
        }
    }
}
