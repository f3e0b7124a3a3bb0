//! Which rules of the bus take an event, and what is known of their targets.

use tollgate_aws::names::Names;
use tollgate_core::{PaymentEvent, Rule, RuleTarget};

use super::{
    letters::Letter,
    model::{DecisionOf, Part, Progress, Step},
};
use crate::dlq::Source;

/// A step for each rule that takes the event. `is_published`: its claim says so.
pub(super) fn targets(
    names: &Names,
    event: &PaymentEvent<'_>,
    is_published: bool,
    decision: Option<&DecisionOf>,
    letters: &[Letter],
) -> Vec<Step> {
    let dead: Vec<&Letter> = letters.iter().filter(|letter| letter.events.contains(&event.id)).collect();
    let rules = Rule::ALL.iter().filter(|rule| rule.is_for(event));
    rules.map(|&rule| target(names, event, rule, is_published, decision, &dead)).collect()
}

fn target(
    names: &Names,
    event: &PaymentEvent<'_>,
    rule: Rule,
    is_published: bool,
    decision: Option<&DecisionOf>,
    dead: &[&Letter],
) -> Step {
    let name = format!("{}-{}", rule.stem(), names.suffix());
    let to = target_name(names, rule.target());
    let step = |progress, at, detail: String, cause: Option<String>| Step {
        part: Part::Target,
        event_id: Some(event.id),
        at,
        progress,
        detail,
        cause,
    };
    let arrow = format!("{name} → {to}");
    if let Some(first) = event.restates.filter(|_| rule.leaves_out_restatements()) {
        let detail = format!(
            "{arrow}: it restates {first}, and only the first telling is routed, unless RouteRestatements is true"
        );
        return step(Progress::LeftOut, None, detail, None);
    }
    if !is_published {
        return step(Progress::Waiting, None, format!("{arrow}, once it is published"), None);
    }
    let of_target = |letter: &&&Letter| match (rule.target(), letter.source) {
        (RuleTarget::Queue(queue), Source::Of(of)) => queue == of,
        (RuleTarget::Workflow, Source::Workflow) => true,
        _ => false,
    };
    if let Some(letter) = dead.iter().find(of_target) {
        let detail = format!("{arrow}: it arrived, and is in {} until {}", letter.queue, letter.kept_until);
        let cause = match rule.target() {
            RuleTarget::Workflow => {
                "the workflow failed on it three times (docs/runbook.md, Dead letters workflow)"
            }
            _ => {
                "its consumer received it three times and did not delete it: mend the consumer, then redrive (docs/runbook.md, Dead letters consumers)"
            }
        };
        return step(Progress::Stopped, Some(letter.sent_at), detail, Some(cause.to_owned()));
    }
    match (rule.target(), decision) {
        (RuleTarget::Workflow, Some(decision)) => {
            let detail = format!("{arrow}: it ran, since the fraud detector decided");
            step(Progress::Done, Some(decision.at), detail, None)
        }
        (RuleTarget::Nowhere, _) => step(Progress::Implied, None, format!("{name}: counted only"), None),
        _ => step(Progress::Implied, None, arrow, None),
    }
}

fn target_name(names: &Names, target: RuleTarget) -> String {
    match target {
        RuleTarget::Queue(queue) => names.queue(queue),
        RuleTarget::Workflow => names.state_machine(),
        RuleTarget::Alerts => names.alerts_topic(),
        RuleTarget::Log(of) => format!("/aws/events/payment-events-{of}-{}", names.suffix()),
        RuleTarget::Nowhere => "nowhere".to_owned(),
    }
}

/// Where EventBridge could not deliver an event: one step for each.
pub(super) fn undelivered(event: &PaymentEvent<'_>, letters: &[Letter]) -> Vec<Step> {
    let of_bus = |letter: &&Letter| letter.source == Source::EventBridge && letter.events.contains(&event.id);
    let step = |letter: &Letter| {
        Step {
        part: Part::Target,
        event_id: Some(event.id),
        at: Some(letter.sent_at),
        progress: Progress::Stopped,
        detail: format!(
            "EventBridge could not deliver it to a target ({}); it is in {} until {}",
            letter.reason.as_deref().unwrap_or("no reason"),
            letter.queue,
            letter.kept_until
        ),
        cause: Some(
            "the target's policy or key: mend it, then `tollgate dlq redrive --queue eventbridge-dlq` (docs/runbook.md, Dead letters EventBridge)"
                .to_owned(),
        ),
    }
    };
    letters.iter().filter(of_bus).map(step).collect()
}
