//! Who did what to which ids, and why.

use std::{ops::ControlFlow, sync::Arc};

use jiff::{civil::Date, tz::TimeZone};
use maud::{Markup, html};
use serde_json::Value;
use tollgate_operate::audit::{self, Found, Record, Step, Wanted};

use crate::{
    http::Request,
    page::{Answer, Problem, id_link, json, page, quoted, shown, shows, time},
    state::Console,
};

const SCREEN: &str = "/audit";
/// Acts of one page.
const MOST: usize = 100;
/// Records that are read for it: an act of a long redrive has many.
const MOST_RECORDS: usize = 2_000;
/// Ids of a record that are shown.
const MOST_IDS: usize = 12;

/// An act with its records, in the order of time.
pub(super) struct Act {
    pub(super) records: Vec<Record>,
}

/// One day of the records: they are kept by days, so no page reads more than one.
pub(crate) async fn audit(console: &Arc<Console>, request: &Request) -> Answer {
    let query = &request.query;
    let today = (console.settings.clock)().to_zoned(TimeZone::UTC).date();
    let day: Date = match query.some("day").map(str::parse) {
        None => today,
        Some(Ok(day)) => day,
        Some(Err(_)) => return Err(Problem::asked(console, SCREEN, "a day is written 2026-01-31")),
    };
    let (action, id) = (query.some("action"), query.some("id"));
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let bound = |day: Date| Ok(day.to_zoned(TimeZone::UTC)?.timestamp());
    let (before, after) = (day.yesterday().ok(), day.tomorrow().map_err(|error| problem(error.into()))?);
    let wanted = Wanted {
        from: bound(day).map_err(problem)?,
        to: bound(after).map_err(problem)?,
        action: action.map(str::to_owned),
        id: id.map(str::to_owned),
    };
    let (mut acts, mut unread): (Vec<Act>, Vec<String>) = (Vec::new(), Vec::new());
    let (mut count, mut is_cut) = (0, false);
    audit::each(&console.settings.aws, &wanted, |Found { key, record }| {
        count += 1;
        if acts.len() > MOST || count > MOST_RECORDS {
            is_cut = true;
            return ControlFlow::Break(());
        }
        match record {
            Ok(record) => add(&mut acts, record),
            Err(problem) => unread.push(format!("{key}: {problem}")),
        }
        ControlFlow::Continue(())
    })
    .await
    .map_err(problem)?;
    let link = |day: Date| {
        let more = [("action", action), ("id", id)];
        let more = more.iter().filter_map(|(name, value)| Some(format!("&{name}={}", quoted((*value)?))));
        format!("/audit?day={day}{}", more.collect::<String>())
    };
    let content = html! {
        div.title { h1 { "Audit" } }
        p.lead { "Who did what to which ids, and why. The records are in the archive's bucket, where nobody replaces them." }
        form.filters action=(SCREEN) {
            label { span { "Day (UTC)" } input type="date" name="day" value=(day); }
            label { span { "Command" } input name="action" value=(action.unwrap_or_default()) placeholder="dlq redrive"; }
            label { span { "Id" } input name="id" value=(id.unwrap_or_default()) placeholder="of a webhook, an event, an act" spellcheck="false"; }
            button { "Look" }
        }
        nav.pages aria-label="Days" {
            @if let Some(before) = before { a.button href=(link(before)) { "← " (before) } }
            strong { (day) }
            @if day < today { a.button href=(link(after)) { (after) " →" } }
        }
        @if acts.is_empty() { div.note { p { "Nothing is recorded of this day." } } }
        @for act in acts.iter().rev() { (shown_act(act)) }
        @if is_cut { div.note.warn { p { "The day has more: " code { "tollgate audit" } " lists all." } } }
        @for problem in &unread { div.note.bad { p { "Not read: " (shown(problem)) } } }
    };
    shows(page(console, "Audit", SCREEN, content))
}

/// Puts a record to its act.
pub(super) fn add(acts: &mut Vec<Act>, record: Record) {
    let own = acts.iter_mut().find(|act| act.records.first().is_some_and(|first| first.act == record.act));
    match own {
        Some(act) => act.records.push(record),
        None => acts.push(Act { records: vec![record] }),
    }
}

/// How it ended: a class, a sign and a word.
pub(super) fn ended(act: &Act) -> (&'static str, &'static str, &'static str) {
    match act.records.iter().find(|record| record.step == Step::Ended) {
        None => ("waiting", "…", "not ended"),
        Some(_) if error(act).is_some() => ("stopped", "✕", "ended by an error"),
        Some(record) if record.details.get("stopped") == Some(&Value::Bool(true)) => {
            ("waiting", "…", "stopped")
        }
        Some(_) => ("done", "✓", "done"),
    }
}

fn error(act: &Act) -> Option<&str> {
    let ended = act.records.iter().find(|record| record.step == Step::Ended)?;
    ended.details.get("error").and_then(Value::as_str)
}

fn shown_act(act: &Act) -> Markup {
    let Some(first) = act.records.first() else { return html! {} };
    let (error, (class, sign, word)) = (error(act), ended(act));
    html! {
        article.card.act {
            div.title {
                h2 { (shown(&first.action)) }
                span class={ "state " (class) } { span.sign aria-hidden="true" { (sign) } (word) }
                span.dim { (time(first.at)) " UTC" }
            }
            p.reason { "“" (shown(&first.reason)) "”" }
            p.dim { "by " code { (shown(&first.actor)) } ", as the act " code { (shown(&first.act)) } }
            @if let Some(error) = error { div.note.bad { p { (shown(error)) } } }
            @let ids: Vec<&String> = act.records.iter().flat_map(|record| &record.ids).collect();
            @if !ids.is_empty() {
                p { @for id in ids.iter().take(MOST_IDS) { (id_link("/find?id=", id)) " " }
                    @if ids.len() > MOST_IDS { span.dim { "and " (ids.len() - MOST_IDS) " more" } } }
            }
            details {
                summary { (act.records.len()) @if act.records.len() == 1 { " record" } @else { " records" } }
                @for record in &act.records { (record_of(record)) }
            }
        }
    }
}

fn record_of(record: &Record) -> Markup {
    let step = match record.step {
        Step::Begun => "begun".to_owned(),
        Step::Part(number) => format!("part {number}"),
        Step::Ended => "ended".to_owned(),
    };
    html! {
        h3 { (step) " " small.dim { (time(record.at)) } }
        (json(&serde_json::to_string_pretty(&record.details).unwrap_or_default()))
    }
}
