//! Webhooks that were refused and are kept, where their endpoint asks for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use anyhow::ensure;
use maud::{Markup, html};
use tollgate_core::{EndpointId, Timestamp, WebhookId};
use tollgate_operate::{
    audit::{Act, Reason},
    masked::masked,
    rejected::{Done, Filter, Group, Judged, Plan, Store, Validator, find, kept_until},
};
use tollgate_pipeline::rejected::{Name, Verdict};

use crate::{
    forms,
    http::{Fields, Request},
    page::{
        Answer, CREDENTIALS, Problem, act_link, ago, id, json, many, page, quoted, shown, shows, time,
        webhook_link,
    },
    state::Console,
};

const SCREEN: &str = "/refusals";
/// Of one page, and of one act: the validator is asked about each.
const TOGETHER: usize = 100;
/// Webhooks a second that are taken in, at most.
const RATE: u32 = 50;
/// What the form does.
const INGEST: &str = "rejected ingest";

pub(crate) async fn refusals(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let Asked { filter, .. } = Asked::of(console, &request.query)?;
    let now = (console.settings.clock)();
    let store = Store::of(&console.settings.aws).await.map_err(problem)?;
    let groups = store.groups(&filter, now).await.map_err(problem)?;
    let content = html! {
        div.title { h1 { "Refusals" } }
        p.lead { "What was refused is kept for seven days where its endpoint has " code { "keep_rejected" } ". Of all others the figures of "
            a href="/" { "Now" } " and the validator's log say why." }
        @if groups.is_empty() { div.note { p { "Nothing is kept." } } }
        div.tiles { @for group in &groups { (shown_group(group, now)) } }
    };
    shows(page(console, "Refusals", SCREEN, content))
}

fn shown_group(group: &Group, now: Timestamp) -> Markup {
    let query = format!("endpoint={}&reason={}", group.endpoint, quoted(&group.reason));
    html! {
        article.card.group {
            div.title { h2 { (shown(&group.reason)) } strong { (group.count) } span.dim { "at " (group.endpoint) } }
            p.facts { span { "first " (time(group.first)) } span { "last " (ago(group.last, now)) } span { "the first is kept until " (time(group.until)) } }
            p { a.button href={ (SCREEN) "/group?" (query) } { "Would they be taken in now?" } }
        }
    }
}

/// Which of them, and where the page before ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    filter: Filter,
    after: Option<WebhookId>,
}

impl Asked {
    fn read(fields: &Fields) -> Result<Self, String> {
        let endpoint = fields.some("endpoint").map(EndpointId::new).transpose();
        let endpoint = endpoint.map_err(|wrong| wrong.to_string())?;
        let after = fields
            .some("after")
            .map(|after| WebhookId::parse(after).ok_or_else(|| format!("after: {after} is no webhook's id")));
        let reason = fields.some("reason").map(str::to_owned);
        let ids = fields.all("id").map(str::to_owned).collect();
        Ok(Self { filter: Filter { endpoint, reason, ids, ..Filter::default() }, after: after.transpose()? })
    }

    fn of(console: &Arc<Console>, fields: &Fields) -> Result<Self, Problem> {
        Self::read(fields).map_err(|wrong| Problem::asked(console, SCREEN, wrong))
    }

    /// As fields of an address.
    fn query(&self) -> String {
        let Self { filter, after } = self;
        let endpoint = filter.endpoint.iter().map(|endpoint| format!("endpoint={endpoint}"));
        let reason = filter.reason.iter().map(|reason| format!("reason={}", quoted(reason)));
        let ids = filter.ids.iter().map(|id| format!("id={}", quoted(id)));
        let after = after.iter().map(|after| format!("after={after}"));
        endpoint.chain(reason).chain(ids).chain(after).collect::<Vec<_>>().join("&")
    }
}

/// Those of a page, what the validator says of each now, and whether there are more.
async fn judged(console: &Arc<Console>, asked: &Asked) -> anyhow::Result<(Vec<(Name, Judged)>, bool)> {
    let (aws, clock) = (&console.settings.aws, console.settings.clock);
    let store = Store::of(aws).await?;
    let (names, is_cut) = store.arrived(&asked.filter, asked.after, TOGETHER, clock()).await?;
    let mut judged = Vec::new();
    Validator::of(aws)?.foresee(&names, clock, |one| judged.push(one)).await?;
    Ok((names.into_iter().zip(judged).collect(), is_cut))
}

/// Those of a group, judged again.
pub(crate) async fn group(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let asked = Asked::of(console, &request.query)?;
    // Those that were chosen of a list are never all that there are.
    if request.query.some("chosen").is_some() && asked.filter.ids.is_empty() {
        return Err(Problem::asked(console, SCREEN, "choose webhooks first"));
    }
    let (judged, is_cut) = judged(console, &asked).await.map_err(problem)?;
    let of = |after| Asked { after, ..asked.clone() }.query();
    let next = judged.last().filter(|_| is_cut).map(|(name, _)| of(Some(name.webhook_id)));
    let count = judged.iter().filter(|(_, one)| one.can_be_taken_in()).count();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Refusals" } " / judged again" }
        div.title { h1 { "Judged again" } strong.verdict.implied { "nothing is taken in yet" } }
        p.lead { "By the endpoint and its keys as they are now, and the time by that of its arrival." }
        form #chosen action={ (SCREEN) "/group" } {
        input type="hidden" name="chosen" value="1";
        section.card aria-label="Each of them" {
            table.rows.cardly {
                thead { tr { th { "arrived" } th { "webhook" } th { "refused for" } th { "now" } } }
                tbody { @for (name, one) in &judged {
                    tr data-href={ (SCREEN) "/one?id=" (name.webhook_id) } {
                        td { (time(name.webhook_id.arrived_at())) }
                        td.event.choose {
                            @if judged.len() > 1 { input type="checkbox" name="id" value=(name.webhook_id) aria-label={ "Choose " (name.webhook_id) }; " " }
                            a.id href={ (SCREEN) "/one?id=" (name.webhook_id) } { (name.webhook_id) } }
                        td { (shown(&name.reason)) }
                        td { (verdict(one)) }
                    }
                } }
            }
            @if judged.is_empty() { p.dim { "None is kept any more." } }
        }
        @if judged.len() > 1 { p.acts { button type="button" data-choose="id" { "Choose all of this page" } button { "Those chosen alone" } } }
        }
        @if next.is_some() || asked.after.is_some() {
            nav.pages aria-label="Pages" {
                @if asked.after.is_some() { a.button href={ (SCREEN) "/group?" (of(None)) } { "← The first" } }
                span.dim { "A page has " (TOGETHER) ", in the order of arrival." }
                @if let Some(next) = &next { a.button.next href={ (SCREEN) "/group?" (next) } { "The next →" } }
            }
        }
        @if count > 0 { (form(console, &asked, count).map_err(problem)?) }
    };
    shows(page(console, "Refusals", SCREEN, content))
}

fn verdict(one: &Judged) -> Markup {
    let (class, sign) = match &one.verdict {
        _ if one.can_be_taken_in() => ("done", "✓"),
        Verdict::Genuine { .. } | Verdict::Taken { .. } => ("implied", "="),
        Verdict::Refused { .. } => ("stopped", "✕"),
        Verdict::Unavailable { .. } | Verdict::Gone { .. } => ("unknown", "?"),
    };
    let more = match &one.verdict {
        Verdict::Refused { error, .. } | Verdict::Unavailable { error } | Verdict::Gone { error } => {
            Some(error)
        }
        Verdict::Genuine { .. } | Verdict::Taken { .. } => None,
    };
    html! {
        span class={ "state " (class) } { span.sign aria-hidden="true" { (sign) } (shown(one.summary())) }
        @if let Some(more) = more { small.block { (shown(more)) } }
    }
}

fn form(console: &Console, asked: &Asked, count: usize) -> anyhow::Result<Markup> {
    Ok(html! {
        @if console.settings.is_writing {
            form.card.act method="post" action={ (SCREEN) "/ingest" } {
                h2 { "Take in what is genuine" }
                input type="hidden" name="token" value=(console.guard.form(INGEST)?);
                input type="hidden" name="filter" value=(asked.query());
                label.wide { span { "Why? It is recorded with who did it." } input name="reason" required maxlength="500" autocomplete="off"; }
                p { button.main { "Take in " (count) } span.dim { " of this page, as if each had been accepted when it arrived" } }
            }
        } @else {
            div.note.warn { p { "This console only reads. Start it with " code { "--write" } ", or say "
                code { "tollgate rejected ingest --yes --reason TEXT" } "." } }
        }
    })
}

/// Takes in what is genuine of a page.
pub(crate) async fn ingest(console: &Arc<Console>, request: &Request) -> Answer {
    forms::writes(console, SCREEN, INGEST, &request.form)?;
    let reason: Reason =
        request.form.one("reason").parse().map_err(|error| Problem::asked(console, SCREEN, error))?;
    let asked = Asked::of(console, &Fields::read(request.form.one("filter")))?;
    let _alone = forms::alone(console, SCREEN)?;
    let (done, (act, began), taken) =
        take_in(console, asked, reason).await.map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Refusals" } " / taken in" }
        div.title { h1 { "Taken in" } @if done.is_whole() { strong.verdict.done { "done" } } @else { strong.verdict.stopped { "not all" } } }
        ul.figures { @for (summary, count) in &done.counts { li { span { (shown(summary)) } strong { (count) } } }
            @if done.left > 0 { li.bad { span { "not asked about" } strong { (done.left) } } } }
        @if let Some(error) = &done.error { div.note.bad { p { (shown(error)) } } }
        p { "Recorded as " (act_link(&act, began)) "." }
        ul.cards { @for id in &taken { li { (webhook_link(id)) } } }
        p { a.button href=(SCREEN) { "What is kept now" } }
    };
    shows(page(console, "Taken in", SCREEN, content))
}

async fn take_in(
    console: &Arc<Console>,
    asked: Asked,
    reason: Reason,
) -> anyhow::Result<(Done, (String, Timestamp), Vec<String>)> {
    let (aws, clock) = (&console.settings.aws, console.settings.clock);
    let (judged, _) = judged(console, &asked).await?;
    let stop = &console.acts.stop;
    ensure!(!stop.load(Ordering::Relaxed), "the console ends, and nothing was done");
    let filter = asked.filter;
    let genuine: Vec<Name> =
        judged.into_iter().filter(|(_, one)| one.can_be_taken_in()).map(|(name, _)| name).collect();
    let (ids, details) = (filter.ids.clone(), serde_json::to_value(&Plan { filter, rate: RATE })?);
    let validator = Validator::of(aws)?;
    let mut act = Act::begin(aws, clock(), INGEST, reason, ids, details).await?;
    let mut taken = Vec::new();
    let done = validator
        .take_in(&genuine, RATE, &mut act, clock, stop, |one| taken.push(one.webhook_id.clone()))
        .await;
    act.end(clock(), Vec::new(), serde_json::to_value(&done)?).await?;
    Ok((done, (act.name().to_owned(), act.began()), taken))
}

/// One of them, whole.
pub(crate) async fn one(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let asked = request.query.one("id");
    let (aws, clock) = (&console.settings.aws, console.settings.clock);
    let store = Store::of(aws).await.map_err(problem)?;
    let (name, kept) = find(&store, asked, clock()).await.map_err(problem)?;
    let body = kept.body().map_err(|error| problem(error.into()))?;
    let filter = Filter { endpoint: Some(name.endpoint), ids: vec![asked.to_owned()], ..Filter::default() };
    let own = Asked { filter, after: None };
    let (judged, _) = judged(console, &own).await.map_err(problem)?;
    let headers: BTreeMap<&str, &str> = kept.request.headers.iter().collect();
    let count = judged.iter().filter(|(_, one)| one.can_be_taken_in()).count();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Refusals" } " / one" }
        div.title { h1 { (shown(&kept.reason)) } @for (_, one) in &judged { (verdict(one)) } }
        p.facts { span { "at " (kept.endpoint) } span { (time(kept.received_at)) } span { "from " code { (shown(&kept.source_ip)) } }
            span { "kept until " (time(kept_until(name.webhook_id.arrived_at()))) } span { (id(asked)) } }
        div.note.bad { p { strong { "Refused then: " } (shown(&kept.error)) } }
        p { a href={ "/webhook/" (name.webhook_id) } { "Its way" } }
        @if count > 0 { (form(console, &own, count).map_err(problem)?) }
        section.card { h2 { "Headers" small { " " (many(headers.len(), "header")) } }
            table.plain { tbody { @for (name, value) in &headers {
                tr { th scope="row" { code { (shown(name)) } }
                    td { @if CREDENTIALS.contains(&name.to_ascii_lowercase().as_str()) { span.dim { "not shown" } }
                        @else { code { (shown(masked(value.as_bytes()))) } } } }
            } } } }
        section.card { h2 { "Body, masked" } (json(&masked(&body))) }
    };
    shows(page(console, "A refusal", SCREEN, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_and_what_is_wanted_of_it_are_in_the_address() {
        let of = |fields: &str| Asked::read(&Fields::read(fields));
        let after = WebhookId::new(Timestamp::UNIX_EPOCH, 7);
        let query = format!("endpoint=acme&reason=a%26b&id=x&id=y&after={after}");
        let asked = of(&query).unwrap();
        assert_eq!((asked.after, asked.filter.ids.len()), (Some(after), 2));
        assert_eq!(asked.query(), query);
        assert_eq!(of("").unwrap(), Asked::default());
        assert!(of("after=x").is_err() && of("endpoint=%2F").is_err());
    }
}
