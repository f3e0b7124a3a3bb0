//! The endpoints and their settings.

use std::{collections::BTreeMap, sync::Arc};

use maud::{Markup, html};
use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_operate::{
    endpoints,
    figures::{Heard, heard},
};
use tollgate_providers::Endpoint;

use super::now::silence;
use crate::{
    page::{Answer, Problem, ago, json, page, shown, shows, time},
    state::Console,
};

const SCREEN: &str = "/endpoints";

pub(crate) async fn endpoints(console: &Arc<Console>) -> Answer {
    let problem = |problem: anyhow::Error| Problem::of(console, SCREEN, &problem);
    let (aws, now) = (&console.settings.aws, (console.settings.clock)());
    let (listed, heard) = tokio::try_join!(endpoints::listed(aws), heard(aws, now)).map_err(problem)?;
    let heard: BTreeMap<EndpointId, Heard> = heard.into_iter().map(|one| (one.endpoint, one)).collect();
    let content = html! {
        div.title { h1 { "Endpoints" } }
        p.lead { "As they are configured, and whether this version's functions serve them. Keys are not read: "
            code { "tollgate endpoints list" } " counts them, and " code { "tollgate endpoints rotate ID" } " makes new ones." }
        div.tiles {
        @for one in &listed {
            @match one {
                Ok(config) => (endpoint(config, heard.get(&config.id), |at| html! { (time(at)) ", " (ago(at, now)) })),
                Err(cannot) => div.note.bad { p { strong { (cannot.id) } " cannot be read by this version." } },
            }
        }
        }
        @if listed.is_empty() { div.note { p { "There is none." } } }
    };
    shows(page(console, "Endpoints", SCREEN, content))
}

fn endpoint(
    config: &EndpointConfig,
    heard: Option<&Heard>,
    when: impl Fn(tollgate_core::Timestamp) -> Markup,
) -> Markup {
    let checked = Endpoint::check(config.clone());
    let custom = config.scheme.as_str().is_none();
    html! {
        article.card.endpoint id=(config.id) {
            div.title {
                h2 { a href={ "/webhooks?endpoint=" (config.id) } { (config.id) } }
                @match &checked {
                    Ok(endpoint) => { span.dim { "of " (endpoint.provider()) }
                        @if endpoint.warnings().is_empty() { span.state.done { span.sign aria-hidden="true" { "✓" } "served" } }
                        @else { span.state.waiting { span.sign aria-hidden="true" { "!" } "served, with a warning" } } }
                    Err(_) => span.state.stopped { span.sign aria-hidden="true" { "✕" } "not served" },
                }
                @if let Some(heard) = heard { span { (silence(heard)) } }
            }
            @match &checked {
                Ok(endpoint) => @for warning in endpoint.warnings() { p.note.warn { (shown(warning)) } },
                Err(mistakes) => @for mistake in mistakes { p.note.bad { (shown(mistake)) } },
            }
            dl.pairs {
                dt { "Scheme" } dd { @if custom { "its own" } @else { (shown(config.scheme.as_str().unwrap_or_default())) } }
                dt { "Intake" } dd { (format!("{:?}", config.delivery).to_lowercase()) }
                dt { "Key" } dd { code.wrap { (shown(&config.secret)) } }
                @if let Some(at) = heard.and_then(|one| one.last) { dt { "Heard last" } dd { (when(at)) } }
                @if let Some(heard) = heard { dt { "In 7 days" } dd { (heard.of_a_week) " genuine webhooks" } }
            }
            details { summary { "All settings" } (json(&serde_json::to_string_pretty(config).unwrap_or_default())) }
        }
    }
}
