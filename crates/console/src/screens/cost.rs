//! What a time cost, line by line, against what the design counts on.

use std::sync::Arc;

use maud::{Markup, html};
use tollgate_operate::{
    cost::{self, Cost, Line},
    figures::Source,
    times::moment,
};

use crate::{
    http::Request,
    page::{Answer, Problem, page, shown, shows, time},
    plot,
    state::Console,
};

const SCREEN: &str = "/cost";
/// Times that are offered.
const SPANS: [(&str, &str); 4] =
    [("1h", "an hour"), ("24h", "a day"), ("7d", "a week"), ("30d", "thirty days")];

pub(crate) async fn cost(console: &Arc<Console>, request: &Request) -> Answer {
    let query = &request.query;
    let now = (console.settings.clock)();
    let asked = |problem: anyhow::Error| Problem::asked(console, SCREEN, problem);
    let from = query.some("from").unwrap_or("24h");
    let start = moment(from, now, false).map_err(asked)?;
    let end = query.some("to").map_or(Ok(now), |to| moment(to, now, true)).map_err(asked)?;
    let cost = cost::of(&console.settings.aws, start, end, now).await;
    let cost = cost.map_err(|problem| Problem::of(console, SCREEN, &problem))?;
    let content = html! {
        div.title { h1 { "Cost" } }
        p.lead { "What was counted × the prices of " (cost.prices_of) ", beside what the design counts on for a million webhooks." }
        nav.views aria-label="Times" { @for (span, name) in SPANS {
            a href={ (SCREEN) "?from=" (span) } aria-current=[(from == span && query.some("to").is_none()).then_some("true")] { "the last " (name.trim_start_matches("a ").trim_start_matches("an ")) }
        } }
        form.filters action=(SCREEN) {
            label { span { "From" } input name="from" value=(from) placeholder="24h, 7d, 2026-01-31" autocomplete="off"; }
            label { span { "To" } input name="to" value=(query.one("to")) placeholder="now" autocomplete="off"; }
            button { "Look" }
        }
        p.facts { span { (time(cost.from)) " to " (time(cost.to)) " UTC" } span { (cost.accepted) " webhooks accepted" } span { (counted_by(cost.source)) } }
        (figures(&cost))
        section.card aria-labelledby="lines" {
            h2 #lines { "Line by line" small { " for a million webhooks: what was counted above, the design below it" } }
            (lines(&cost))
        }
    };
    shows(page(console, "Cost", SCREEN, content))
}

fn counted_by(source: Source) -> &'static str {
    match source {
        Source::Cloudwatch => "counted by CloudWatch",
        Source::Logs => "counted by the functions' logs: of a local platform, which costs nothing",
    }
}

fn figures(cost: &Cost) -> Markup {
    let is_over = cost.micro_usd_a_million.is_some_and(|one| one > cost.design_micro_usd_a_million);
    html! {
        ul.figures {
            li { span { "what was counted" } strong { (dollars(cost.micro_usd)) } small { "USD in this time" } }
            li.bad[is_over] { span { "for a million webhooks" }
                strong { @match cost.micro_usd_a_million { Some(micro) => (dollars(micro)), None => "–" } }
                small { "USD; the design counts on " (dollars(cost.design_micro_usd_a_million)) " for these lines" } }
            li { span { "the design, with all its lines" } strong { (dollars(cost.design_of_all_micro_usd_a_million)) } small { "USD for a million webhooks" } }
        }
    }
}

fn lines(cost: &Cost) -> Markup {
    let both = |line: &Line| line.micro_usd_a_million.unwrap_or(0).max(line.design_micro_usd_a_million);
    let most = cost.lines.iter().map(both).max().unwrap_or(0);
    html! {
        div.scroll tabindex="0" {
            table.rows {
                thead { tr { th { "price" } th.number { "units" } th.number { "USD" } th.number { "a million" } th.number { "design" } th { "beside each other" } } }
                tbody { @for line in &cost.lines {
                    tr {
                        td { code { (shown(&line.price)) } @if line.from_memory { " " span.tag { "looked up nowhere" } }
                            small.block.dim { (shown(&line.counted)) } }
                        td.number { @match line.milli_units { Some(milli) => (thousandths(milli)), None => "–" } }
                        td.number { @match line.micro_usd { Some(micro) => (dollars(micro)), None => "–" } }
                        td.number { @match line.micro_usd_a_million { Some(micro) => (dollars(micro)), None => "–" } }
                        td.number { (dollars(line.design_micro_usd_a_million)) }
                        td.plot { (plot::pair(line.micro_usd_a_million, line.design_micro_usd_a_million, most)) }
                    }
                } }
            }
        }
    }
}

/// With four digits behind the point, as the command line has it.
fn dollars(micro: u64) -> String {
    format!("{}.{:04}", micro / 1_000_000, micro % 1_000_000 / 100)
}

fn thousandths(milli: u64) -> String {
    match milli % 1_000 {
        0 => (milli / 1_000).to_string(),
        rest => format!("{}.{rest:03}", milli / 1_000),
    }
}
