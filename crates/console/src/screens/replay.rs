//! Webhooks that were chosen, sent again from the archive.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use maud::{Markup, html};
use serde_json::json;
use tollgate_core::WebhookId;
use tollgate_operate::{
    audit::{Act, Reason},
    replay::REFUSED,
};

use crate::{
    begun::{Begun, held},
    forms,
    http::{Fields, Request, see},
    page::{Answer, Problem, act_link, many, page, quoted, shown, shows, time, webhook_link},
    replaying::{Became, FASTEST, Replay, foresee},
    state::Console,
};

const SCREEN: &str = "/webhooks";
const OWN: &str = "/replay";
/// What the form does.
const REPLAY: &str = "replay";
/// Webhooks of one act: those of a page of the list.
const MOST: usize = 50;
/// Webhooks a second, where nothing else is said.
const USUAL_RATE: u32 = 10;

/// Those that were chosen.
fn chosen(console: &Arc<Console>, fields: &Fields) -> Result<Vec<WebhookId>, Problem> {
    let asked = |text: String| Problem::asked(console, SCREEN, text);
    let mut all = BTreeSet::new();
    for id in fields.all("id") {
        all.insert(WebhookId::parse(id).ok_or_else(|| asked(format!("{id} is no webhook's id")))?);
    }
    if all.is_empty() || all.len() > MOST {
        return Err(asked(format!("choose 1 to {MOST} webhooks; `tollgate replay` sends a whole time")));
    }
    Ok(all.into_iter().collect())
}

/// What sending them again would do, and the form that has it done.
pub(crate) async fn replay(console: &Arc<Console>, request: &Request) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let chosen = chosen(console, &request.query)?;
    let settings = &console.settings;
    let (aws, clock) = (&settings.aws, settings.clock);
    let mut foreseen = Vec::new();
    for webhook_id in &chosen {
        foreseen.push(foresee(aws, clock, *webhook_id).await.map_err(problem)?);
    }
    let good: Vec<&Became> = foreseen.iter().filter(|one| one.is_good()).collect();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Webhooks" } " / replay" }
        div.title { h1 { "Replay" } strong.verdict.implied { "nothing is sent yet" } }
        p.lead { "Each was read in the archive, and verified again by this environment's validator. What has taken effect has none again." }
        (table(&foreseen, "What would happen"))
        @if good.is_empty() { div.note { p { "Nothing of these would be sent." } } }
        @else if !settings.is_writing {
            div.note.warn { p { "This console only reads. Start it with " code { "--write" } ", or say "
                code { "tollgate replay --id ID --from TIME --yes --reason TEXT" } "." } }
        } @else {
            form.card.act method="post" action=(OWN) {
                h2 { "Send them again" }
                input type="hidden" name="token" value=(console.guard.form(REPLAY).map_err(problem)?);
                @for one in &good { input type="hidden" name="id" value=(one.webhook_id); }
                div.filters { label { span { "Webhooks a second, at most" } input type="number" name="rate" value=(USUAL_RATE) min="1" max=(FASTEST) required; } }
                label.wide { span { "Why? It is recorded with who did it." } input name="reason" required maxlength="500" autocomplete="off"; }
                p { button.main { "Send " (good.len()) " again" } span.dim { " to this environment" } }
            }
        }
    };
    shows(page(console, "Replay", SCREEN, content))
}

fn table(all: &[Became], name: &str) -> Markup {
    html! {
        section.card aria-label=(name) {
            h2 { (name) }
            table.rows.cardly {
                thead { tr { th { "arrived (UTC)" } th { "webhook" } th { "what" } } }
                tbody { @for one in all {
                    tr { td { (time(one.webhook_id.arrived_at())) } td.event { (webhook_link(one.webhook_id.as_str())) }
                        td { @for what in &one.what {
                            @let (class, sign) = look(one, what);
                            span class={ "state " (class) } { span.sign aria-hidden="true" { (sign) } (shown(what)) } " " } } }
                } }
            }
        }
    }
}

fn look(one: &Became, what: &str) -> (&'static str, &'static str) {
    match what {
        _ if what.starts_with(REFUSED) => ("stopped", "✕"),
        "known before" => ("implied", "="),
        _ if one.is_good() => ("done", "✓"),
        _ => ("unknown", "?"),
    }
}

/// Begins it.
pub(crate) async fn begin(console: &Arc<Console>, request: &Request) -> Answer {
    let form = &request.form;
    forms::writes(console, SCREEN, REPLAY, form)?;
    let chosen = chosen(console, form)?;
    let rate = form.one("rate").parse().ok().filter(|rate| (1..=FASTEST).contains(rate));
    let rate = rate.ok_or_else(|| {
        Problem::asked(console, SCREEN, format!("a rate is from 1 to {FASTEST} webhooks a second"))
    })?;
    let reason: Reason =
        form.one("reason").parse().map_err(|error| Problem::asked(console, SCREEN, error))?;
    match start(console, chosen, rate, reason).await {
        Ok(Some(number)) => Ok(see(&format!("{OWN}/{number}"))),
        Ok(None) => Err(Problem::refused(console, SCREEN, "Another replay goes on: one after the other.")),
        Err(problem) => Err(Problem::of(console, SCREEN, &problem)),
    }
}

async fn start(
    console: &Arc<Console>,
    chosen: Vec<WebhookId>,
    rate: u32,
    reason: Reason,
) -> anyhow::Result<Option<usize>> {
    let _alone = console.replays.beginning.lock().await;
    if console.replays.is_one_under_way() {
        return Ok(None);
    }
    let (aws, clock) = (console.settings.aws.clone(), console.settings.clock);
    let ids: Vec<String> = chosen.iter().map(ToString::to_string).collect();
    let (began, details) = (clock(), json!({ "webhooks": ids, "to": "itself", "rate": rate }));
    let act = Act::begin(&aws, began, REPLAY, reason.clone(), ids, details).await?;
    let run = Arc::new(Replay::new(chosen, reason, &act, began)?);
    let going = Arc::clone(&run);
    Ok(console.replays.begin(run, async move { going.go(&aws, clock, rate, act).await }))
}

/// How it ended: a class and a word. What was refused was not sent, whoever has come to the end.
fn verdict(
    ended: Option<&Option<String>>,
    is_stopping: bool,
    became: &[Became],
) -> (&'static str, &'static str) {
    match ended {
        None if is_stopping => ("waiting", "stopping"),
        None => ("waiting", "under way"),
        Some(Some(_)) => ("stopped", "ended by an error"),
        Some(None) if !became.iter().all(Became::is_good) => ("stopped", "not all were sent"),
        Some(None) if is_stopping => ("waiting", "stopped"),
        Some(None) => ("done", "done"),
    }
}

/// One that was begun here.
pub(crate) fn run(console: &Arc<Console>, number: &str) -> Answer {
    let run = console.replays.one(number).ok_or_else(|| Problem::nothing(console))?;
    let own = format!("{OWN}/{}", quoted(number));
    let (ended, done) = (held(&run.ended).clone(), run.done.load(Ordering::Relaxed));
    let is_stopping = run.stop.load(Ordering::Relaxed);
    let follow = ended.is_none().then_some(own.as_str());
    let became = held(&run.became).clone();
    let (class, word) = verdict(ended.as_ref(), is_stopping, &became);
    let sent = became.iter().filter(|one| one.is_good()).count();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href=(SCREEN) { "Webhooks" } " / replay" }
        div #run data-follow=[follow] {
            div.title {
                h1 { "Replay" }
                strong class={ "verdict " (class) } { (word) }
            }
            p.reason { "“" (shown(&run.reason)) "”" }
            p.facts { span { "begun " (time(run.began)) } span { "recorded as " (act_link(&run.act, run.began)) } }
            section.card aria-labelledby="progress" {
                h2 #progress { (sent) " of " (many(run.chosen.len(), "webhook")) " sent" @if done > sent { small { ", " (done - sent) " not" } } }
                progress max=(run.chosen.len()) value=(done) aria-label="Sent, or refused" {}
                @if follow.is_some() {
                    form method="post" action={ (own) "/cancel" } {
                        input type="hidden" name="token" value=(run.cancel);
                        button.danger disabled[is_stopping] { "Stop it" } span.dim { " after the webhook at hand" }
                    }
                }
            }
            @if let Some(Some(error)) = &ended { div.note.bad { p { (shown(error)) } } }
            (table(&became, "What became of them"))
        }
    };
    shows(page(console, "Replay", SCREEN, content))
}

/// Has it end.
pub(crate) fn cancel(console: &Arc<Console>, number: &str, request: &Request) -> Answer {
    let run = console.replays.one(number).ok_or_else(|| Problem::nothing(console))?;
    forms::ends(console, SCREEN, &run.cancel, &request.form)?;
    run.stop();
    Ok(see(&format!("{OWN}/{}", quoted(number))))
}

#[cfg(test)]
mod tests {
    use tollgate_core::Timestamp;

    use super::*;

    #[test]
    fn what_was_refused_was_not_sent() {
        let became = |all: &[&str]| -> Vec<Became> {
            let webhook_id = WebhookId::new(Timestamp::UNIX_EPOCH, 7);
            all.iter().map(|what| Became { webhook_id, what: vec![(*what).to_owned()] }).collect()
        };
        let (whole, by_error) = (Some(None), Some(Some("no answer".to_owned())));
        for (ended, is_stopping, all, expected) in [
            (&None, false, &["accepted"][..], "under way"),
            (&None, true, &[], "stopping"),
            (&whole, false, &["accepted", "known before"], "done"),
            (&whole, true, &["accepted"], "stopped"),
            (&whole, false, &["refused: altered", "refused: altered"], "not all were sent"),
            (&whole, true, &["accepted", "not in the archive"], "not all were sent"),
            (&by_error, false, &["accepted"], "ended by an error"),
        ] {
            assert_eq!(verdict(ended.as_ref(), is_stopping, &became(all)).1, expected, "{all:?}");
        }
    }
}
