//! Now: what comes in, how long it takes, what waits, and who has gone silent.

use std::sync::Arc;

use maud::{Markup, html};
use tollgate_core::Timestamp;
use tollgate_operate::figures::{self, BOUNDS, Backlog, Figures, Heard, Latency, Source, heard};

use crate::{
    page::{Answer, Problem, ago, page, quoted, shown, shows, span, time},
    plot::{Bar, bars},
    state::Console,
};

const SCREEN: &str = "/";
/// How often it is asked for again, in milliseconds: logs are read at once, and metrics of CloudWatch have a point a minute and are
/// billed.
const EVERY: [u32; 2] = [2_000, 60_000];

pub(crate) async fn now(console: &Arc<Console>) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let (aws, at) = (&console.settings.aws, (console.settings.clock)());
    let (now, heard) = tokio::try_join!(figures::now(aws, at), heard(aws, at)).map_err(problem)?;
    let figures::Now { figures, queues } = now;
    let [logs, metrics] = EVERY;
    let every = if figures.source == Source::Logs { logs } else { metrics };
    let content = html! {
        div #now data-follow=(SCREEN) data-every=(every) {
            div.title {
                h1 { "Now" }
                @let silent = heard.iter().filter(|one| one.silence.is_some()).count();
                @let dead = dead(&queues);
                @if dead > 0 { a.verdict.stopped href="/dead-letters" { (dead) " dead letters" } }
                @if silent > 0 { a.verdict.waiting href="#heard" { (silent) " silent" } }
                @if dead == 0 && silent == 0 { strong.verdict.done { "nothing waits for a decision" } }
            }
            p.lead { (time(figures.from)) " to " (time(figures.to)) " UTC, of "
                @match figures.source { Source::Logs => "the functions' logs", Source::Cloudwatch => "CloudWatch" } }
            (counts(&figures))
            (over_time(&figures))
            div.beside {
                section.card aria-labelledby="latency" {
                    h2 #latency { "How long an answer takes" }
                    @for one in &figures.latency { (latency(one)) }
                }
                section.card aria-labelledby="queues" { h2 #queues { "Queues" } (backlog(&queues)) }
            }
            section.card aria-labelledby="heard" { h2 #heard { "Endpoints, last heard" } (last_heard(&heard, at)) }
            @for note in &figures.notes { div.note { p { (shown(note)) } } }
        }
    };
    shows(page(console, "Now", SCREEN, content))
}

fn dead(queues: &[Backlog]) -> u64 {
    queues.iter().filter(|one| one.depth.dead_letters).map(|one| one.depth.visible).sum()
}

fn counts(figures: &Figures) -> Markup {
    let seconds = u64::try_from(figures.to.as_second() - figures.from.as_second()).unwrap_or(0).max(1);
    let rate = |count: u64| {
        let hundredths = count.saturating_mul(100) / seconds;
        format!("{}.{:02} a second", hundredths / 100, hundredths % 100)
    };
    let all = figures.webhooks;
    let within = format!("from={}&to={}", quoted(&figures.from.to_string()), quoted(&figures.to.to_string()));
    let one = |name: &str, count: u64, to: Option<String>, is_bad: bool| {
        html! {
            li.bad[is_bad && count > 0] {
                @match to {
                    Some(to) => a href=(to) { span { (name) } strong { (count) } small { (rate(count)) } },
                    None => { span { (name) } strong { (count) } small { (rate(count)) } },
                }
            }
        }
    };
    html! {
        ul.figures {
            (one("received", all.all(), Some(format!("/webhooks?{within}")), false))
            (one("accepted", all.accepted, Some(format!("/webhooks?{within}")), false))
            (one("duplicates", all.duplicates, Some(format!("/webhooks?{within}&outcome=duplicate")), false))
            (one("refused", all.refused, None, true))
        }
        @if !figures.refused_by.is_empty() {
            p.facts { "refused for " @for (reason, count) in &figures.refused_by { span { (shown(reason)) " " b { (count) } } } }
        }
    }
}

fn over_time(figures: &Figures) -> Markup {
    let step = i64::from(figures.step_seconds);
    let each = figures.steps.iter().map(|one| {
        let to = Timestamp::from_second(one.at.as_second() + step).unwrap_or(one.at);
        let counts = one.counts;
        let at = one.at.strftime("%H:%M:%S");
        Bar {
            parts: vec![
                ("done", counts.accepted),
                ("implied", counts.duplicates),
                ("stopped", counts.refused),
            ],
            to: Some(format!(
                "/webhooks?from={}&to={}",
                quoted(&one.at.to_string()),
                quoted(&to.to_string())
            )),
            name: format!(
                "{at}: {} accepted, {} duplicates, {} refused",
                counts.accepted, counts.duplicates, counts.refused
            ),
        }
    });
    let each: Vec<Bar> = each.collect();
    html! {
        section.card aria-labelledby="received" {
            h2 #received { "Received" small { " each " (span(step.saturating_mul(1_000))) } }
            (bars(&each, "Webhooks over time"))
            p.legend {
                span { (figures.from.strftime("%H:%M:%S").to_string()) }
                span.key.done { "accepted" } span.key.implied { "duplicates" } span.key.stopped { "refused" }
                span { (figures.to.strftime("%H:%M:%S").to_string()) }
            }
        }
    }
}

fn latency(one: &Latency) -> Markup {
    let counts = one.histogram.counts();
    let first = counts.iter().position(|count| *count > 0).unwrap_or(0);
    let last = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
    let bound = |bucket: usize| BOUNDS.get(bucket).map(|bound| i64::try_from(*bound).unwrap_or(i64::MAX));
    let name =
        |bucket: usize| bound(bucket).map_or("longer".to_owned(), |bound| format!("up to {}", span(bound)));
    let each: Vec<Bar> = counts
        .iter()
        .enumerate()
        .skip(first.saturating_sub(1))
        .take(last.saturating_sub(first) + 3)
        .map(|(bucket, count)| Bar {
            parts: vec![("implied", *count)],
            to: None,
            name: format!("{}: {count}", name(bucket)),
        })
        .collect();
    let value = |value: Option<u64>| {
        value.map_or("–".to_owned(), |value| span(i64::try_from(value).unwrap_or(i64::MAX)))
    };
    html! {
        h3 { (one.part.as_str()) small.dim { " " (one.count) " webhooks" } }
        @if one.count == 0 { p.dim { "None came." } } @else {
            (bars(&each, "How many took how long"))
            p.legend { span { (name(first.saturating_sub(1))) } span { (name(last + 1)) } }
            dl.quantiles {
                div { dt { "half within" } dd { (value(one.p50)) } }
                div { dt { "9 of 10" } dd { (value(one.p90)) } }
                div { dt { "99 of 100" } dd { (value(one.p99)) } }
                div { dt { "slowest" } dd { (value(one.max)) } }
            }
        }
    }
}

fn backlog(queues: &[Backlog]) -> Markup {
    let mut busy: Vec<&Backlog> =
        queues.iter().filter(|one| one.depth.visible + one.depth.in_flight + one.depth.delayed > 0).collect();
    busy.sort_by_key(|one| !one.depth.dead_letters);
    let idle = queues.len() - busy.len();
    html! {
        @if busy.is_empty() { p.dim { "Every queue is empty." } } @else {
            div.scroll tabindex="0" {
                table.rows {
                    thead { tr { th { "queue" } th.number { "waiting" } th.number { "at work" } th.number { "oldest" } } }
                    tbody { @for one in &busy {
                        @let name = one.depth.name.as_str();
                        tr {
                            td { @if one.depth.dead_letters { a href={ "/dead-letters?queue=" (quoted(name)) } { (shown(name)) } " " span.tag.stopped { "dead letters" } }
                                @else { (shown(name)) } }
                            td.number { (one.depth.visible + one.depth.delayed) }
                            td.number { (one.depth.in_flight) }
                            td.number { @match one.oldest_seconds {
                                Some(seconds) => (span(i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000))), None => "–" } }
                        }
                    } }
                }
            }
            p.dim { (idle) " others are empty." }
        }
    }
}

fn last_heard(heard: &[Heard], now: Timestamp) -> Markup {
    html! {
        @if heard.is_empty() { p.dim { "There is no endpoint." } } @else {
            table.rows.cardly {
                thead { tr { th { "endpoint" } th { "last" } th.number { "in 7 days" } th { "longest gap that is usual" } th { "state" } } }
                tbody { @for one in heard {
                    tr {
                        td.event { a href={ "/webhooks?endpoint=" (one.endpoint) } { (one.endpoint) } }
                        td { @match one.last {
                            Some(at) if one.within_seconds > 1 => { "in the hour from " (time(at)) }
                            Some(at) => (ago(at, now)),
                            None => span.dim { "never, as far as is kept" },
                        } }
                        td.number { (one.of_a_week) }
                        td { @if let Some(hours) = one.longest_gap_hours { (hours) " h" } }
                        td { (silence(one)) }
                    }
                } }
            }
        }
    }
}

/// Whether an endpoint is silent.
pub(crate) fn silence(one: &Heard) -> Markup {
    html! {
        @match (one.silence, one.quiet_after_hours) {
            (Some(silence), _) => {
                span.state.stopped { span.sign aria-hidden="true" { "!" } "silent" } " " (silence.hours) " h"
                @match silence.usual { Some(usual) => { ", in which " (usual) " are usual" } None => ", by its setting" }
            }
            (None, Some(0)) => span.dim { "never told" },
            (None, _) if one.last.is_some() => span.state.done { span.sign aria-hidden="true" { "✓" } "as usual" },
            (None, _) => span.state { "nothing yet" },
        }
    }
}
