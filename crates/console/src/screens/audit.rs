//! Who did what to which ids, and why.

use std::{ops::ControlFlow, sync::Arc};

use jiff::{civil::Date, tz::TimeZone};
use maud::{Markup, html};
use serde_json::Value;
use tollgate_core::Timestamp;
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

/// Acts of a time, as far as its records were read.
pub(super) struct Acts {
    pub(super) all: Vec<Act>,
    /// What cannot be read, and why.
    unread: Vec<String>,
    /// Where it goes on, where there was more than is read for a page.
    pub(super) next: Option<Timestamp>,
    most: usize,
    count: usize,
    /// When the last one was written that could be read.
    last: Option<Timestamp>,
}

impl Acts {
    /// Of these acts `most` are held.
    pub(super) fn up_to(most: usize) -> Self {
        Self { all: Vec::new(), unread: Vec::new(), next: None, most, count: 0, last: None }
    }

    /// Puts a record to its act, where it is wanted. Whatever it is, it was read: there is a bound on that.
    pub(super) fn add(&mut self, found: Found, is_wanted: impl Fn(&Record) -> bool) -> ControlFlow<()> {
        self.count += 1;
        // Records of one second are in no order of time.
        let second =
            found.record.as_ref().ok().and_then(|record| Timestamp::from_second(record.at.as_second()).ok());
        self.last = second.or(self.last);
        if self.count > MOST_RECORDS {
            self.next = self.last;
            return ControlFlow::Break(());
        }
        let record = match found.record {
            Ok(record) => record,
            Err(problem) => {
                self.unread.push(format!("{}: {problem}", found.key));
                return ControlFlow::Continue(());
            }
        };
        let is_own = |act: &Act| act.records.first().is_some_and(|first| first.act == record.act);
        let own = self.all.iter().position(is_own);
        let is_new = own.is_none() && is_wanted(&record);
        if is_new && self.all.len() == self.most {
            self.next = self.last;
            return ControlFlow::Break(());
        }
        match own.and_then(|place| self.all.get_mut(place)) {
            Some(act) => act.records.push(record),
            None if is_new => self.all.push(Act { records: vec![record] }),
            None => {}
        }
        ControlFlow::Continue(())
    }

    /// What is said of an act whose end is not among what was read, which ends before now where it `is_past`.
    pub(super) fn open(&self, is_past: bool, of_past: &'static str) -> &'static str {
        match self.next {
            Some(_) => "not ended in what is shown",
            None if is_past => of_past,
            None => "not ended",
        }
    }
}

/// Records of one day: they are kept by days, so no page reads more than one.
pub(crate) async fn audit(console: &Arc<Console>, request: &Request) -> Answer {
    let query = &request.query;
    let day_of = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let today = day_of((console.settings.clock)());
    let asked = |text: &str| Problem::asked(console, SCREEN, text);
    let since = query.some("since").map(str::parse::<Timestamp>).transpose();
    let since = since.map_err(|_| asked("a time is written 2026-01-31T00:00:00Z"))?;
    let day = query.some("day").map(str::parse::<Date>).transpose();
    let day = day.map_err(|_| asked("a day is written 2026-01-31"))?;
    let day = day.or_else(|| since.map(day_of)).unwrap_or(today);
    let since = since.filter(|since| day_of(*since) == day);
    let (action, id) = (query.some("action"), query.some("id"));
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let bound = |day: Date| Ok(day.to_zoned(TimeZone::UTC)?.timestamp());
    let (before, after) = (day.yesterday().ok(), day.tomorrow().map_err(|error| problem(error.into()))?);
    // Of an act that names an id not each record does, and least the one of its end: which of them are wanted is asked here.
    let wanted = Wanted {
        from: since
            .map_or_else(|| bound(day), |since| Ok(Timestamp::from_second(since.as_second())?))
            .map_err(problem)?,
        to: bound(after).map_err(problem)?,
        action: None,
        id: None,
    };
    let is_filtered = action.is_some() || id.is_some();
    let mut acts = Acts::up_to(if is_filtered { usize::MAX } else { MOST });
    let is_of = |record: &Record| action.is_none_or(|action| record.is_of(action));
    audit::each(&console.settings.aws, &wanted, |found| acts.add(found, is_of)).await.map_err(problem)?;
    acts.all.retain(|act| id.is_none_or(|id| act.records.iter().any(|record| record.names(id))));
    let open = acts.open(day < today, "not ended on this day");
    let more = [("action", action), ("id", id)];
    let more = more.iter().filter_map(|(name, value)| Some(format!("&{name}={}", quoted((*value)?))));
    let more = more.collect::<String>();
    let link = |day: Date| format!("{SCREEN}?day={day}{more}");
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
            @if let Some(since) = since { span.dim { "from " (time(since)) " on" } a.button href=(link(day)) { "The whole day" } }
            @if day < today { a.button href=(link(after)) { (after) " →" } }
        }
        @if acts.all.is_empty() { div.note { p { @if acts.next.is_some() { "Nothing of that kind is among the first records." } @else { "Nothing is recorded of this day." } } } }
        @for act in acts.all.iter().rev() { (shown_act(act, open)) }
        @if let Some(next) = acts.next {
            nav.pages aria-label="The rest of the day" {
                span.dim { "The day has more than a page reads." }
                a.button.next href={ (SCREEN) "?since=" (next) (more) } { "From " (time(next)) " on →" }
            }
        }
        @for problem in &acts.unread { div.note.bad { p { "Not read: " (shown(problem)) } } }
    };
    shows(page(console, "Audit", SCREEN, content))
}

/// How it ended: a class, a sign and a word. `open`: where no record says so.
pub(super) fn ended(act: &Act, open: &'static str) -> (&'static str, &'static str, &'static str) {
    let last = act.records.iter().find(|record| record.step == Step::Ended);
    let Some(Record { details, .. }) = last else { return ("waiting", "…", open) };
    if error(act).is_some() {
        return ("stopped", "✕", "ended by an error");
    }
    if details.get("stopped") == Some(&Value::Bool(true)) {
        return ("waiting", "…", "stopped");
    }
    lacking(details).unwrap_or(("done", "✓", "done"))
}

/// What did not become as it was to, by what a command's last record says: then the command itself ends with another code than 0.
fn lacking(details: &Value) -> Option<(&'static str, &'static str, &'static str)> {
    let count = |name: &str| details[name].as_u64().unwrap_or(0);
    let counts = ["counts", "handed"].iter().filter_map(|name| details[*name].as_object()).flatten();
    // A replay has them by endpoint, or none by none.
    let is_refused = |name: &str, count: &Value| {
        let is_none =
            name.starts_with("refused") || matches!(name, "no answer" | "gone" | "not in the archive");
        is_none && count.as_u64() != Some(0)
    };
    let mut refused = counts.filter(|(name, of)| match of.as_object() {
        Some(of) => of.iter().any(|(name, count)| is_refused(name, count)),
        None => is_refused(name, of),
    });
    let is_kept = details["kept"].as_array().is_some_and(|kept| !kept.is_empty());
    if refused.next().is_some() || is_kept {
        return Some(("stopped", "✕", "not all"));
    }
    if count("came_back") > 0 {
        return Some(("stopped", "✕", "some came back"));
    }
    let moved = details["moved"].as_array().into_iter().flatten();
    let left = moved.filter_map(|moved| moved["left"].as_u64()).sum::<u64>() + count("left");
    (left > 0).then_some(("waiting", "…", "some were left"))
}

fn error(act: &Act) -> Option<&str> {
    let ended = act.records.iter().find(|record| record.step == Step::Ended)?;
    ended.details.get("error").and_then(Value::as_str)
}

fn shown_act(act: &Act, open: &'static str) -> Markup {
    let Some(first) = act.records.first() else { return html! {} };
    let (error, (class, sign, word)) = (error(act), ended(act, open));
    html! {
        article.card.act {
            div.title {
                h2 { (shown(&first.action)) }
                span class={ "state " (class) } { span.sign aria-hidden="true" { (sign) } (word) }
                span.dim { (time(first.at)) " UTC" }
                @if first.step != Step::Begun { span.dim { "begun before" } }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(act: &str, at: &str, step: Step, ids: &[&str], details: Value) -> Found {
        let record = Record {
            format: audit::FORMAT.to_owned(),
            act: act.to_owned(),
            at: at.parse().unwrap(),
            actor: "arn:aws:iam::111122223333:root".to_owned(),
            action: "dlq redrive".to_owned(),
            reason: "mended".parse().unwrap(),
            step,
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            details,
        };
        Found { key: String::new(), record: Ok(record) }
    }

    /// Neither its first record names what it is about, nor its last.
    #[test]
    fn an_act_is_whole_whatever_of_it_names_the_id() {
        let mut acts = Acts::up_to(usize::MAX);
        for (act, step, ids) in [
            ("a", Step::Begun, &[][..]),
            ("b", Step::Begun, &["wh_1"]),
            ("a", Step::Part(1), &["wh_1"]),
            ("a", Step::Ended, &[]),
        ] {
            let found = found(act, "2026-01-02T03:04:05Z", step, ids, Value::Null);
            assert!(acts.add(found, |_| true).is_continue());
        }
        let told: Vec<(usize, &str)> = acts
            .all
            .iter()
            .map(|act| (act.records.len(), ended(act, acts.open(true, "that day")).2))
            .collect();
        assert_eq!(told, [(3, "done"), (1, "that day")]);
        assert!(acts.all.iter().all(|act| act.records.iter().any(|record| record.names("wh_1"))));
    }

    #[test]
    fn what_is_read_is_bounded_whatever_is_wanted_and_it_is_said_where_it_goes_on() {
        let read = |most: usize, is_wanted: bool| {
            let mut acts = Acts::up_to(most);
            let all = (0..2 * MOST_RECORDS).take_while(|number| {
                let at = format!("2026-01-02T03:{:02}:{:02}.5Z", number / 60 % 60, number % 60);
                let found = found(&number.to_string(), &at, Step::Begun, &[], Value::Null);
                acts.add(found, |_| is_wanted).is_continue()
            });
            (all.count(), acts.all.len(), acts.next.map(|next| next.to_string()), acts.open(false, ""))
        };
        let shown = "not ended in what is shown";
        assert_eq!(read(3, true), (3, 3, Some("2026-01-02T03:00:03Z".to_owned()), shown));
        for is_wanted in [true, false] {
            let (count, _, next, open) = read(usize::MAX, is_wanted);
            assert_eq!((count, next.as_deref(), open), (MOST_RECORDS, Some("2026-01-02T03:33:20Z"), shown));
        }
    }

    #[test]
    fn what_was_refused_or_left_is_not_done() {
        for (details, word) in [
            (json!({ "counts": { "acme": { "accepted": 2 } } }), "done"),
            (json!({ "counts": { "acme": { "refused: altered": 3 } }, "stopped": false }), "not all"),
            (json!({ "counts": { "refused: altered": 3 } }), "not all"),
            (json!({ "counts": { "taken in": 1 }, "left": 0, "error": null }), "done"),
            (json!({ "handed": { "taken_in": 1, "refused": 1 } }), "not all"),
            (json!({ "handed": { "taken_in": 1, "refused": 0 } }), "done"),
            (json!({ "count": 1, "kept": [{}] }), "not all"),
            (json!({ "count": 1, "kept": [] }), "done"),
            (json!({ "moved": [{ "sent": { "q": 2 }, "left": 0 }], "came_back": 1 }), "some came back"),
            (json!({ "moved": [{ "sent": { "q": 2 }, "left": 1 }], "came_back": 0 }), "some were left"),
            (json!({ "moved": [], "stopped": true }), "stopped"),
            (json!({ "counts": { "acme": { "refused: altered": 3 } }, "error": "x" }), "ended by an error"),
        ] {
            let mut acts = Acts::up_to(1);
            let found = found("a", "2026-01-02T03:04:05Z", Step::Ended, &[], details.clone());
            assert!(acts.add(found, |_| true).is_continue());
            assert_eq!(ended(&acts.all[0], "").2, word, "{details}");
        }
    }
}
