//! What the reconciler found, once a day: a part of the screen of reconciliation.

use jiff::ToSpan;
use maud::{Markup, html};
use tollgate_operate::reconcile::{
    Verdict,
    daily::{Daily, Looked, State},
    past::{self, Past},
};

use crate::{
    page::{id_link, shown, time},
    state::Console,
};

/// How far back is looked.
const DAYS: i64 = 14;
/// Events that a row names.
const MOST_NAMED: usize = 20;

/// The runs of the last two weeks, the newest first. Who may not read them is told so, and sees the rest.
pub(crate) async fn scheduled(console: &Console) -> Markup {
    let now = (console.settings.clock)();
    let from = now.checked_sub((DAYS * 24).hours()).unwrap_or(now);
    let found = past::all(&console.settings.aws, from, now).await;
    html! {
        section.card aria-labelledby="scheduled" {
            h2 #scheduled { "Once a day" small { " by the reconciler, of the last two weeks" } }
            @match found {
                Err(problem) => div.note.warn { p { "The reports cannot be read: " (shown(format!("{problem:#}"))) } },
                Ok(all) if all.is_empty() => p.dim { "No run. " code { "ReconcileHour" } " has the reconciler ask every provider whose key is here once a day." },
                Ok(all) => (runs(&all)),
            }
        }
    }
}

fn runs(all: &[Past]) -> Markup {
    html! {
        div.scroll tabindex="0" { table.rows {
            thead { tr { th { "began (UTC)" } th { "endpoint" } th { "state" } th.number { "present" } th.number { "missing" } th.number { "unfinished" } th.number { "known otherwise" } th { "more" } } }
            tbody { @for one in all.iter().rev() {
                @match &one.report {
                    Ok(report) => (rows(report)),
                    Err(problem) => tr { td colspan="8" { code { (shown(&one.key)) } ": " (shown(problem)) } },
                }
            } }
        } }
    }
}

fn rows(report: &Daily) -> Markup {
    html! {
        @for one in &report.endpoints {
            tr {
                td { (time(report.began)) }
                td.event { (one.endpoint) " " span.dim { (shown(&one.provider)) } }
                td { (state(one)) }
                // Where nobody looked there is no number.
                @if one.state == State::NoKey { td colspan="4" {} } @else {
                    td.number { (one.count(&[Verdict::Present])) }
                    @for verdicts in [&[Verdict::Missing, Verdict::RefusedByUs][..], &[Verdict::Unfinished], &[Verdict::Conflicting, Verdict::AmountDiffers]] {
                        @let count = one.count(verdicts);
                        td.number { @if count > 0 { strong { (count) } } @else { (count) } }
                    }
                }
                td { (more(one)) }
            }
        }
        @if report.endpoints.is_empty() {
            tr { td { (time(report.began)) } td colspan="7" { "no endpoint has a provider that can be asked" } }
        }
    }
}

fn state(one: &Looked) -> Markup {
    html! {
        @match one.state {
            State::Compared => span.state.done { "compared" },
            State::NotCompared => span.state.stopped { "not compared" },
            State::NoKey => span.dim { "no key" },
        }
    }
}

fn more(one: &Looked) -> Markup {
    html! {
        @if let Some(why) = &one.why { (shown(why)) " " }
        @if !one.findings.is_empty() {
            details {
                summary { "events" }
                ul { @for finding in one.findings.iter().take(MOST_NAMED) {
                    li { (id_link("/find?id=", &finding.provider_event_id)) " " span.dim { (finding.verdict.as_str().replace('_', " ")) } }
                } }
                @if one.findings.len() > MOST_NAMED || one.left_out > 0 { p.dim { code { "tollgate reconciliations --json" } " has more." } }
            }
        }
    }
}
