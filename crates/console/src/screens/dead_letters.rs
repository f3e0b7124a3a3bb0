//! Dead letters: why they are there, and sending them back.

use std::sync::Arc;

use maud::{Markup, html};
use tollgate_core::Timestamp;
use tollgate_operate::{
    audit::Reason,
    conflicts,
    dlq::{
        Filter, Group, MOST, Source, Waiting,
        outlook::{Outlook, find, foresee},
        redrive::{Difference, FASTEST, Plan},
        waiting,
    },
    masked::masked,
    way::advice,
};

use crate::{
    begun::Begun,
    forms,
    http::{Fields, Request, see},
    page::{
        Answer, Problem, act_link, id_link, json, kept, many, page, quoted, shown, shows, span, time, words,
    },
    redriving::Redrive,
    state::Console,
};

const SCREEN: &str = "/dead-letters";
/// Messages a second, where nothing else is said.
const USUAL_RATE: u32 = 50;
/// How long is waited for what comes back, in seconds.
const WATCH_SECONDS: u32 = 30;
/// What stands for those whose message says no endpoint: it is no endpoint's name.
const NO_ENDPOINT: &str = "-";
/// What the form does.
const REDRIVE: &str = "dlq redrive";

/// What an address asks for.
struct Asked {
    filter: Filter,
    /// The same as fields of an address.
    query: String,
}

pub(crate) async fn dead_letters(console: &Arc<Console>, request: &Request) -> Answer {
    let asked = asked(console, &request.query)?;
    let found = waiting(&console.settings.aws, &asked.filter, MOST).await;
    let Waiting { groups, cut } = found.map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    let count: u64 = groups.iter().map(|group| group.count).sum();
    let now = (console.settings.clock)();
    let content = html! {
        div.title { h1 { "Dead letters" }
            @match (count, cut.is_empty()) {
                (0, true) => strong.verdict.done { "none" },
                (0, false) => strong.verdict.waiting { "none found" },
                (_, true) => strong.verdict.stopped { (count) " wait" },
                (_, false) => strong.verdict.stopped { "at least " (count) " wait" },
            } }
        p.lead { "To look at a message is to receive it: it is given back, and meanwhile, two minutes at most, nobody else gets it." }
        (form(&asked.filter.queues, &request.query))
        (under_way(console))
        @if groups.is_empty() && cut.is_empty() { div.note.good { p { "Nothing of that kind waits." } } }
        @for group in &groups { (shown_group(group, now)) }
        (not_looked_at(&cut))
        @if count > 0 {
            nav.pages aria-label="What can be done" {
                a.button.main href={ (SCREEN) "/redrive?" (asked.query) } { "What would a redrive of these do?" }
                span.dim { "Nothing is sent for the answer." }
            }
        }
    };
    shows(page(console, "Dead letters", SCREEN, content))
}

fn shown_group(group: &Group, now: Timestamp) -> Markup {
    let alike = &group.alike;
    let left = group.expires_at.as_millisecond().saturating_sub(now.as_millisecond());
    let is_soon = left < 2 * 86_400_000;
    let endpoint = alike.endpoint.as_deref().unwrap_or(NO_ENDPOINT);
    let query = format!(
        "queue={}&reason={}&endpoint={}",
        quoted(&alike.queue),
        quoted(&alike.reason),
        quoted(endpoint)
    );
    html! {
        article.card.group {
            div.title {
                h2 { (shown(&alike.reason)) }
                strong { (group.count) }
                span.dim { "in " (shown(&alike.queue)) @if let Some(endpoint) = &alike.endpoint { ", of " (shown(endpoint)) } }
            }
            p.facts {
                span { "first " (time(group.first)) }
                span { "last " (time(group.last)) }
                span.soon[is_soon] { "SQS deletes the first in " (span(left)) }
            }
            p { strong { "What to do: " } (advice(&alike.queue, &alike.reason)) }
            p { a.button href={ (SCREEN) "?" (query) } { "These alone" } " "
                a.button href={ (SCREEN) "/redrive?" (query) } { "Redrive …" }
                @if alike.reason == conflicts::REASON { " " a.button href={ "/conflicts?endpoint=" (quoted(alike.endpoint.as_deref().unwrap_or_default())) } { "Both facts, side by side" } } }
        }
    }
}

fn form(queues: &[Source], fields: &Fields) -> Markup {
    let value = |name: &str| fields.one(name);
    html! {
        form.filters action=(SCREEN) {
            label { span { "Queue" }
                select name="queue" {
                    option value="" { "any" }
                    @for one in Source::all() { option value=(one.stem()) selected[queues.first() == Some(&one)] { (one.stem()) } }
                }
            }
            label { span { "Reason" } input name="reason" value=(value("reason")) placeholder="bus_unavailable" autocomplete="off"; }
            label { span { "Endpoint" } input name="endpoint" value=(value("endpoint")) placeholder="stripe-eu" title="- : those that say none" autocomplete="off"; }
            label { span { "Sent since" } input name="since" value=(value("since")) placeholder="2026-01-31T00:00:00Z" autocomplete="off"; }
            label { span { "Sent before" } input name="until" value=(value("until")) placeholder="2026-01-31T00:00:00Z" autocomplete="off"; }
            label { span { "Names the id" } input name="id" value=(value("id")) placeholder="wh_…, pi_…" autocomplete="off" spellcheck="false"; }
            // What is asked for in a field of its own has one value there; the others are kept beside it.
            @for one in queues.iter().skip(1) { (kept("queue", &one.stem())) }
            @for id in fields.all("id").skip(1) { (kept("id", id)) }
            button { "Look" }
        }
        @if let Some(id) = fields.some("id") { p { a href={ (SCREEN) "/letter?id=" (quoted(id)) } { "Show the one with this id whole" } } }
    }
}

fn asked(console: &Arc<Console>, fields: &Fields) -> Result<Asked, Problem> {
    let wrong = |text: String| Problem::asked(console, SCREEN, text);
    let mut queues = Vec::new();
    for name in fields.all("queue") {
        queues.push(Source::named(&console.settings.aws, name).map_err(|error| wrong(error.to_string()))?);
    }
    let moment = |name: &str| match fields.some(name).map(str::parse::<Timestamp>) {
        None => Ok(None),
        Some(Ok(at)) => Ok(Some(at)),
        Some(Err(_)) => Err(wrong(format!("{name}: a time is written 2026-01-31T00:00:00Z"))),
    };
    let text = |name: &str| fields.some(name).map(str::to_owned);
    let filter = Filter {
        queues,
        reason: text("reason"),
        endpoint: text("endpoint").map(|name| if name == NO_ENDPOINT { String::new() } else { name }),
        since: moment("since")?,
        until: moment("until")?,
        ids: fields.all("id").map(str::to_owned).collect(),
    };
    let names = ["queue", "reason", "endpoint", "since", "until", "id"];
    let pairs =
        names.iter().flat_map(|name| fields.all(name).map(move |value| format!("{name}={}", quoted(value))));
    Ok(Asked { filter, query: pairs.collect::<Vec<_>>().join("&") })
}

/// What a redrive would do, and the form that has it done.
pub(crate) async fn redrive(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let asked = asked(console, &request.query)?;
    // Those that were chosen of a list are never all that there are.
    if request.query.some("chosen").is_some() && asked.filter.ids.is_empty() {
        return Err(Problem::asked(console, SCREEN, "choose webhooks first"));
    }
    let settings = &console.settings;
    let outlook = foresee(&settings.aws, settings.clock, &asked.filter, MOST).await.map_err(problem)?;
    let count = |all: bool| -> u64 {
        let each = outlook.groups.iter().flat_map(|group| &group.predictions);
        each.filter(|one| one.prediction.is_sent(all)).map(|one| one.count).sum()
    };
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href={ (SCREEN) "?" (asked.query) } { "Dead letters" } " / redrive" }
        div.title { h1 { "Redrive" } strong.verdict.implied { "nothing is sent yet" } }
        (steps(1))
        (foretold(&outlook))
        @if count(true) == 0 && outlook.cut.is_empty() { div.note { p { "Nothing of these would be sent." } } }
        @else if !settings.is_writing {
            div.note.warn { p { "This console only reads. Start it with " code { "--write" } ", or say "
                code { "tollgate dlq redrive --queue QUEUE --yes --reason TEXT" } "." } }
        } @else if console.redrives.is_one_under_way() {
            div.note.warn { p { "Another redrive is under way: one after the other." } }
        } @else {
            form.card.act method="post" action={ (SCREEN) "/redrive" } {
                h2 { "Send them back" }
                input type="hidden" name="token" value=(console.guard.form(REDRIVE).map_err(problem)?);
                input type="hidden" name="filter" value=(asked.query);
                div.filters {
                    label { span { "Messages a second, at most" } input type="number" name="rate" value=(USUAL_RATE) min="1" max=(FASTEST) required; }
                    label { span { "Of each queue, at most" } input type="number" name="limit" min="1" placeholder="all that wait"; }
                    label { span { "Wait for what comes back, seconds" } input type="number" name="watch" value=(WATCH_SECONDS) min="0" max="3600" required; }
                }
                @if count(true) > count(false) {
                    label.check { input type="checkbox" name="all" value="1"; " Send the " (count(true) - count(false)) " that would conflict or fail again, too" }
                }
                label.wide { span { "Why? It is recorded with who did it." } input name="reason" required maxlength="500" autocomplete="off"; }
                (sending(count(false), &outlook.cut))
            }
        }
    };
    shows(page(console, "Redrive", SCREEN, content))
}

/// Queues of which not all were looked at: of those any may be one that is wanted.
fn not_looked_at(cut: &[String]) -> Markup {
    html! { @for queue in cut { div.note.warn { p { (shown(queue)) " has more than the " (MOST) " that were looked at." } } } }
}

/// How many are sent, as far as that is known: of a queue all that wait are, and not only those that were looked at.
fn sending(count: u64, cut: &[String]) -> Markup {
    html! {
        @if cut.is_empty() { p { button.main { "Send " (count) " back" } span.dim { " It can be stopped: what was not sent stays where it is." } } }
        @else {
            p.dim { "Of " @for (place, queue) in cut.iter().enumerate() { @if place > 0 { ", " } (shown(queue)) }
                " the " (MOST) " that were looked at are counted here. All that wait and are alike are sent, unless a number above bounds how many of each queue are looked at." }
            p { button.main { "Send at least " (count) " back" } span.dim { " It can be stopped: what was not sent stays where it is." } }
        }
    }
}

/// Where in the wizard this is.
fn steps(at: usize) -> Markup {
    html! {
        ol.steps aria-label="Steps" {
            @for (number, name) in ["choose", "what would happen", "send", "report"].iter().enumerate() {
                li aria-current=[(number == at).then_some("step")] { (name) }
            }
        }
    }
}

fn foretold(outlook: &Outlook) -> Markup {
    html! {
        section.card aria-labelledby="foretold" {
            h2 #foretold { "What would happen" small { " each was decoded with the endpoint's present settings, and held against the ledger" } }
            @if outlook.groups.is_empty() { p.dim { @if outlook.cut.is_empty() { "None is there." } @else { "None is among those that were looked at." } } } @else {
                div.scroll tabindex="0" {
                    table.rows {
                        thead { tr { th { "queue" } th { "reason" } th { "endpoint" } th.number { "count" } th { "what would happen" } th { "sent" } } }
                        tbody { @for group in &outlook.groups { @for one in &group.predictions {
                            @let alike = &group.group.alike;
                            tr {
                                td { (shown(&alike.queue)) }
                                td { (shown(&alike.reason)) }
                                td { (shown(alike.endpoint.as_deref().unwrap_or("unknown"))) }
                                td.number { (one.count) }
                                td { (shown(&one.prediction)) }
                                td { @if one.prediction.is_sent(false) { span.state.done { "✓ yes" } }
                                    @else if one.prediction.is_sent(true) { span.state.waiting { "if you say so" } }
                                    @else { span.state { "– no" } } }
                            }
                        } } }
                    }
                }
            }
            (not_looked_at(&outlook.cut))
        }
    }
}

/// Begins a redrive.
pub(crate) async fn begin(console: &Arc<Console>, request: &Request) -> Answer {
    let form = &request.form;
    forms::writes(console, SCREEN, REDRIVE, form)?;
    let wrong = |text: &str| Problem::asked(console, SCREEN, text);
    let rate = form.one("rate").parse().ok().filter(|rate| (1..=FASTEST).contains(rate));
    let limit = form.some("limit").map(str::parse::<u64>).transpose();
    let plan = Plan {
        filter: asked(console, &Fields::read(form.one("filter")))?.filter,
        rate: rate.ok_or_else(|| wrong("a rate is from 1 to 500 messages a second"))?,
        most: limit.map_err(|_| wrong("a limit is a number"))?,
        all: form.some("all").is_some(),
    };
    let watch = form.one("watch").parse().map_err(|_| wrong("so many seconds is a number"))?;
    let reason: Reason =
        form.one("reason").parse().map_err(|error| Problem::asked(console, SCREEN, error))?;
    let settings = &console.settings;
    match console.redrives.redrive(settings.aws.clone(), settings.clock, plan, reason, watch).await {
        Ok(Some(number)) => Ok(see(&format!("{SCREEN}/runs/{number}"))),
        Ok(None) => {
            Err(Problem::refused(console, SCREEN, "Another redrive is under way: one after the other."))
        }
        Err(problem) => Err(Problem::of(console, SCREEN, &problem)),
    }
}

/// A redrive that was begun here.
pub(crate) fn run(console: &Arc<Console>, number: &str) -> Answer {
    let Some(run) = console.redrives.one(number) else {
        return Err(Problem::nothing(console));
    };
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Dead letters" } " / redrive" }
        (progress(&run, number))
    };
    shows(page(console, "Redrive", SCREEN, content))
}

fn progress(run: &Redrive, number: &str) -> Markup {
    let (done, expected) = (run.looked_at(), run.expected);
    let difference = run.difference();
    let follow = difference.is_none().then(|| format!("{SCREEN}/runs/{number}"));
    html! {
        div #run data-follow=[follow] {
            div.title {
                h1 { "Redrive" }
                @match &difference {
                    None if run.is_stopping() => strong.verdict.waiting { "stopping" },
                    None => strong.verdict.waiting { "under way" },
                    Some(done) if done.error.is_some() => strong.verdict.stopped { "ended by an error" },
                    Some(done) if done.stopped => strong.verdict.waiting { "stopped" },
                    Some(done) if done.came_back > 0 => strong.verdict.stopped { "some came back" },
                    Some(done) if done.left() > 0 => strong.verdict.waiting { "some were left" },
                    Some(_) => strong.verdict.done { "done" },
                }
            }
            (steps(if difference.is_some() { 3 } else { 2 }))
            p.reason { "“" (shown(&run.reason)) "”" }
            p.facts { span { "begun " (time(run.began)) } span { "at most " (run.plan.rate) " a second" } span { "recorded as " (act_link(&run.act, run.began)) } }
            section.card aria-labelledby="progress" {
                h2 #progress { (done) " of about " (expected) " looked at" }
                progress max=(expected.max(1)) value=(done.min(expected)) aria-label="Looked at" {}
                @if difference.is_none() {
                    @if run.is_watching() { p.dim { "What comes back is looked for." } }
                    form method="post" action={ (SCREEN) "/runs/" (number) "/cancel" } {
                        input type="hidden" name="token" value=(run.cancel);
                        button.danger disabled[run.is_stopping()] { "Stop it" }
                        span.dim { @if run.is_watching() { " all were sent" } @else { " after the message at hand" } }
                    }
                }
            }
            @if let Some(difference) = &difference { (report(difference)) }
        }
    }
}

fn report(difference: &Difference) -> Markup {
    html! {
        ul.figures {
            li { span { "sent back" } strong { (difference.sent()) } }
            li.bad[difference.left() > 0] { span { "left where they were" } strong { (difference.left()) } }
            li.bad[difference.came_back > 0] { span { "came back" } strong { (difference.came_back) } }
        }
        @if let Some(error) = &difference.error { div.note.bad { p { (shown(error)) } } }
        @if difference.watch_stopped { div.note.warn { p { "What came back was not counted: waiting for it was stopped." } } }
        @if difference.stopped { div.note.warn { p { "It was stopped. What was not sent is where it was: begin again, and it goes on." } } }
        @if !difference.moved.is_empty() {
            section.card aria-labelledby="report" {
                h2 #report { "What went where" }
                div.scroll tabindex="0" {
                    table.rows {
                        thead { tr { th { "from" } th { "reason" } th { "foreseen" } th { "to" } th.number { "sent" } th.number { "left" } } }
                        tbody { @for moved in &difference.moved {
                            tr {
                                td { (shown(&moved.alike.queue)) }
                                td { (shown(&moved.alike.reason)) }
                                td { (shown(&moved.prediction)) }
                                td { @for to in moved.sent.keys() { (shown(to)) " " } }
                                td.number { (moved.sent.values().sum::<u64>()) }
                                td.number { (moved.left) }
                            }
                        } }
                    }
                }
            }
        }
        p { a.button href=(SCREEN) { "What waits now" } }
    }
}

/// Has a redrive end.
pub(crate) fn cancel(console: &Arc<Console>, number: &str, request: &Request) -> Answer {
    let Some(run) = console.redrives.one(number) else {
        return Err(Problem::nothing(console));
    };
    forms::ends(console, SCREEN, &run.cancel, &request.form)?;
    run.stop();
    Ok(see(&format!("{SCREEN}/runs/{number}")))
}

fn under_way(console: &Arc<Console>) -> Markup {
    html! {
        @for (number, run) in console.redrives.all().iter().rev() {
            p.note { a href={ (SCREEN) "/runs/" (number) } { "A redrive" } " begun " (time(run.began))
                @if run.difference().is_none() { ", under way" } @else { ", ended" } ": “" (shown(&run.reason)) "”" }
        }
    }
}

/// One dead letter, whole.
pub(crate) async fn letter(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let id = request.query.one("id");
    let settings = &console.settings;
    let found = find(&settings.aws, settings.clock, Source::all(), id, MOST).await.map_err(problem)?;
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Dead letters" } " / one" }
        @match &found {
            None => { h1 { "No dead letter names " code { (shown(id)) } } div.note { p { "It was redriven or deleted, or somebody else looks at it: look again in two minutes. Of each queue " (MOST) " are looked at." } } }
            Some((letter, dead, explained)) => {
                div.title { h1 { (shown(&letter.alike.reason)) } strong.verdict.implied { (shown(&explained.prediction)) } }
                p.facts { span { "in " (shown(&letter.alike.queue)) } span { "sent " (time(letter.sent_at)) } span { "deleted " (time(letter.expires_at)) }
                    span { "received " (many(usize::try_from(letter.receives).unwrap_or(0), "time")) } }
                p { @for id in &letter.ids { (id_link("/find?id=", id)) " " } }
                div.note { p { strong { "What to do: " } (advice(&letter.alike.queue, &letter.alike.reason)) } }
                @for event in &explained.events {
                    section.card { h2 { (words(event.facts.kind.as_str())) } dl.pairs {
                        dt { "Event" } dd { (id_link("/find?id=", event.id.as_str())) }
                        dt { "Claim" } dd { code.wrap { (shown(&event.claim)) } }
                        dt { "Behind a later state" } dd { (match event.is_behind { Some(true) => "yes", Some(false) => "no", None => "not known" }) }
                    } }
                }
                section.card { h2 { "Body, masked" } (json(&masked(dead.body().as_bytes()))) }
            }
        }
    };
    shows(page(console, "A dead letter", SCREEN, content))
}

#[cfg(test)]
mod tests {
    use tollgate_core::Queue;
    use tollgate_operate::dlq::Alike;

    use super::*;

    #[test]
    fn a_form_keeps_all_that_is_filtered() {
        let fields =
            Fields::read("queue=payments-queue-dlq-prod&queue=eventbridge-dlq&id=a&id=b%26&endpoint=-");
        let queues = [Source::Of(Queue::Payments), Source::EventBridge];
        let form = form(&queues, &fields).into_string();
        for part in [
            "<option value=\"payments-queue-dlq\" selected>",
            "name=\"queue\" value=\"eventbridge-dlq\" checked",
            "name=\"id\" value=\"a\"",
            "name=\"id\" value=\"b&amp;\" checked",
            "name=\"endpoint\" value=\"-\"",
        ] {
            assert!(form.contains(part), "{part} is not in {form}");
        }
    }

    #[test]
    fn what_was_not_looked_at_is_sent_as_well() {
        assert!(sending(3, &[]).into_string().contains(">Send 3 back<"));
        let of_more = sending(9_400, &["payments-queue-dlq".to_owned()]).into_string();
        assert!(
            of_more.contains(">Send at least 9400 back<") && of_more.contains("payments-queue-dlq"),
            "{of_more}"
        );
    }

    #[test]
    fn a_group_leads_to_itself_alone() {
        let at = Timestamp::UNIX_EPOCH;
        let alike = |endpoint: Option<&str>| Alike {
            queue: "asynchronous-invocations-dlq".to_owned(),
            reason: "RetriesExhausted".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            release: None,
        };
        for (endpoint, of) in [(Some("acme"), "acme"), (None, NO_ENDPOINT)] {
            let group = Group { alike: alike(endpoint), count: 1, first: at, last: at, expires_at: at };
            let shown = shown_group(&group, at).into_string();
            let query =
                format!("queue=asynchronous-invocations-dlq&amp;reason=RetriesExhausted&amp;endpoint={of}\"");
            assert_eq!(shown.matches(&query).count(), 2, "{shown}");
        }
    }
}
