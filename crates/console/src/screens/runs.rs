//! What was sent again: redrives, replays, and refused webhooks that were taken in, past and under way.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use jiff::{ToSpan, civil::Date, tz::TimeZone};
use maud::{Markup, html};
use serde_json::Value;
use tollgate_core::Timestamp;
use tollgate_operate::{
    audit::{self, Record, Step, Wanted},
    replay::{Destination, State},
};

use super::audit::{Act, Acts, ended};
use crate::{
    begun::Begun,
    http::Request,
    page::{Answer, Problem, act_link, audit_of, page, shown, shows, time},
    state::Console,
};

const SCREEN: &str = "/runs";
/// The commands that send something again.
const ACTIONS: [&str; 5] = ["dlq redrive", "redrive", "replay", "rejected ingest", "reconcile ingest"];
/// Days of one page.
const DAYS: i64 = 7;

pub(crate) async fn runs(console: &Arc<Console>, request: &Request) -> Answer {
    let today = (console.settings.clock)().to_zoned(TimeZone::UTC).date();
    let last: Date = match request.query.some("to").map(str::parse) {
        None => today,
        Some(Ok(day)) => day,
        Some(Err(_)) => return Err(Problem::asked(console, SCREEN, "a day is written 2026-01-31")),
    };
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let bound = |day: Date| Ok(day.to_zoned(TimeZone::UTC)?.timestamp());
    let first = last.checked_sub((DAYS - 1).days()).map_err(|error| problem(error.into()))?;
    let after = last.tomorrow().map_err(|error| problem(error.into()))?;
    let since = request.query.some("since").map(str::parse::<Timestamp>).transpose();
    let since =
        since.map_err(|_| Problem::asked(console, SCREEN, "a time is written 2026-01-31T00:00:00Z"))?;
    let since = since.filter(|since| (first..=last).contains(&since.to_zoned(TimeZone::UTC).date()));
    let wanted = Wanted {
        from: since.map_or_else(|| bound(first), Ok).map_err(problem)?,
        to: bound(after).map_err(problem)?,
        action: None,
        id: None,
    };
    // What cannot be read the audit tells of.
    let mut acts = Acts::up_to(usize::MAX);
    let sends = |record: &Record| ACTIONS.contains(&record.action.as_str());
    audit::each(&console.settings.aws, &wanted, |found| acts.add(found, sends)).await.map_err(problem)?;
    let open = acts.open(last < today, "not ended in these days");
    let older = first.yesterday().ok();
    let newer = last.checked_add(DAYS.days()).ok().map(|day| day.min(today));
    let content = html! {
        div.title { h1 { "Replays and redrives" } }
        p.lead { "What was sent again, by whom and why: from the records of " (first) " to " (last) " (UTC), whoever began it, here or on a command line." }
        (here(console))
        (files(console))
        @if acts.all.is_empty() { div.note { p { "Nothing was sent again in these days." } } } @else {
            section.card aria-label="Each of them" {
                table.rows.cardly {
                    thead { tr { th { "begun (UTC)" } th { "command" } th { "state" } th { "what became of it" } th { "why, and by whom" } } }
                    tbody { @for act in acts.all.iter().rev() { (row(act, open)) } }
                }
            }
        }
        @if let Some(next) = acts.next {
            div.note.warn { p { "These days have more records than a page reads. " a href={ (SCREEN) "?to=" (last) "&since=" (next) } { "From " (time(next)) " on" } } }
        }
        nav.pages aria-label="Days" {
            @if let Some(older) = older { a.button href={ (SCREEN) "?to=" (older) } { "← " (older) " and before" } }
            @if let Some(newer) = newer.filter(|_| last < today) { a.button.next href={ (SCREEN) "?to=" (newer) } { "until " (newer) " →" } }
        }
    };
    shows(page(console, "Replays and redrives", SCREEN, content))
}

/// Those that this console has begun and that go on.
fn here(console: &Arc<Console>) -> Markup {
    html! {
        @for (number, run) in console.redrives.all().iter().rev().filter(|(_, run)| run.difference().is_none()) {
            div.note.good { p { a href={ "/dead-letters/runs/" (number) } { "A redrive of this console" } " is under way: "
                (run.looked_at()) " of about " (run.expected) " looked at. “" (shown(&run.reason)) "”" } }
        }
        @for (number, run) in console.replays.all().iter().rev().filter(|(_, run)| run.is_under_way()) {
            div.note.good { p { a href={ "/replay/" (number) } { "A replay of this console" } " is under way. “" (shown(&run.reason)) "”" } }
        }
    }
}

/// Replays that go on, or were stopped: each has its file where it was begun.
fn files(console: &Arc<Console>) -> Markup {
    let (folder, now) = (&console.settings.replays, (console.settings.clock)());
    let all = State::all_in(folder);
    html! {
        @match all {
            Err(problem) => div.note.bad { p { (shown(format!("{problem:#}"))) } },
            Ok(all) => @for (path, state) in &all {
                div.note.warn {
                    @match state {
                        Err(problem) => p { (shown(format!("{problem:#}"))) },
                        Ok(state) => {
                            h2 { "A replay that goes on, or was stopped" }
                            p.facts { span { "to " (destination(&state.to)) }
                                @if let (Some(from), Some(to)) = (&state.filters.from, &state.filters.to) { span { (shown(from)) " to " (shown(to)) } }
                                span { (state.progress.objects) " objects done" }
                                @if let Some(act) = state.acts.last() { span { "as " (act_link(act, written(path).unwrap_or(now))) } } }
                            (counts(&state.progress.counts.iter().flat_map(|(endpoint, of)| of.iter().map(move |(what, count)| (format!("{endpoint}: {what}"), *count))).collect()))
                            p { "Where nobody runs it: " code.wrap { "tollgate replay --resume " (shown(path.display())) " --yes --reason TEXT" } }
                        }
                    }
                }
            }
        }
    }
}

/// When a replay's file was written last, which is behind a part of its act: the act has records of that day.
fn written(file: &Path) -> Option<Timestamp> {
    let day =
        Timestamp::try_from(file.metadata().ok()?.modified().ok()?).ok()?.to_zoned(TimeZone::UTC).date();
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn destination(to: &Destination) -> String {
    match to {
        Destination::Itself => "this environment".to_owned(),
        Destination::Platform(named) => {
            let platform = named.platform.as_ref().map(|file| file.display().to_string());
            let name = named.suffix.clone().or(platform).or_else(|| named.region.clone());
            shown(name.unwrap_or_else(|| "another environment".to_owned()))
        }
        Destination::File(file) => shown(file.display()),
        Destination::Url(url) => shown(url),
    }
}

fn row(act: &Act, open: &'static str) -> Markup {
    let Some(first) = act.records.first() else { return html! {} };
    let to = audit_of(&first.act, first.at);
    let (class, sign, word) = ended(act, open);
    let last = act.records.iter().find(|record| record.step == Step::Ended);
    let named: usize = act
        .records
        .iter()
        .filter(|record| matches!(record.step, Step::Part(_)))
        .map(|record| record.ids.len())
        .sum();
    html! {
        tr data-href=(to) {
            td { (time(first.at)) @if first.step != Step::Begun { small.block.dim { "begun before" } } }
            td.event { a href=(to) { (shown(&first.action)) } }
            td { span class={ "state " (class) } { span.sign aria-hidden="true" { (sign) } (word) } }
            td {
                @match last {
                    Some(last) => (counts(&became(&last.details))),
                    None => span.dim { (named) " named so far" },
                }
            }
            td { "“" (shown(&first.reason)) "”" small.block.dim { (shown(&first.actor)) } }
        }
    }
}

/// How many ended how, by what a command's last record says.
fn became(details: &Value) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let mut add = |what: String, count: &Value| *all.entry(what).or_default() += count.as_u64().unwrap_or(0);
    // A replay has them by endpoint, and taking in has none.
    for (name, of) in
        details["counts"].as_object().or_else(|| details["handed"].as_object()).into_iter().flatten()
    {
        match of.as_object() {
            Some(of) => of.iter().for_each(|(what, count)| add(what.clone(), count)),
            None => add(name.clone(), of),
        }
    }
    for moved in details["moved"].as_array().into_iter().flatten() {
        for (to, count) in moved["sent"].as_object().into_iter().flatten() {
            add(format!("sent to {to}"), count);
        }
        add("left where they were".to_owned(), &moved["left"]);
    }
    add("came back".to_owned(), &details["came_back"]);
    all.retain(|_, count| *count > 0);
    all
}

fn counts(of: &BTreeMap<String, u64>) -> Markup {
    html! {
        @if of.is_empty() { span.dim { "nothing" } }
        ul.counts { @for (what, count) in of { li { b { (count) } " " (shown(what)) } } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_became_of_each_command_is_counted() {
        for (details, expected) in [
            (
                json!({ "counts": { "a": { "accepted": 2 }, "b": { "accepted": 1 } }, "stopped": true }),
                "accepted 3",
            ),
            (json!({ "counts": { "taken in": 4 }, "left": 0 }), "taken in 4"),
            (
                json!({ "moved": [{ "sent": { "q": 2 }, "left": 1 }, { "sent": { "q": 1 }, "left": 0 }], "came_back": 1, "stopped": false }),
                "came back 1, left where they were 1, sent to q 3",
            ),
            (json!({ "error": "x" }), ""),
        ] {
            let became = became(&details);
            let told: Vec<String> = became.iter().map(|(what, count)| format!("{what} {count}")).collect();
            assert_eq!(told.join(", "), expected, "{details}");
        }
    }
}
