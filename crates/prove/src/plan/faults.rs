//! When what fails. Rules are those of `tollgate-faults`; each moment's replace those before it.

use std::ops::Range;

use serde_json::{Value, json};
use tollgate_samples::Choices;

use crate::record::{Faults, Line, Operation};

/// A moment has one theme, for so long at most; in a short campaign for less, so that each has its turn. In milliseconds.
const MOMENT: u64 = 6_000;
/// Each death waits for its call: it has so many moments.
const OF_DEATH: u64 = 3;
/// The last part of sending has no faults of its own, so that what is away comes back under load.
const CALM: u64 = 10;

/// What may be on the way of one webhook, by function: each is an await between two effects.
const AWAITS: [(&str, &str, &str); 16] = [
    ("validator", "secretsmanager", "GetSecretValue"),
    ("validator", "dynamodb", "PutItem"),
    ("validator", "dynamodb", "UpdateItem"),
    ("validator", "sqs", "SendMessage"),
    ("validator", "s3", "PutObject"),
    ("processor", "dynamodb", "BatchGetItem"),
    ("processor", "dynamodb", "BatchExecuteStatement"),
    ("processor", "dynamodb", "BatchWriteItem"),
    ("processor", "s3", "GetObject"),
    ("processor", "events", "PutEvents"),
    ("processor", "sqs", "SendMessageBatch"),
    ("processor", "sqs", "SendMessage"),
    ("archival", "s3", "PutObject"),
    ("archival", "s3", "GetObject"),
    ("fraud-detector", "dynamodb", "PutItem"),
    ("fraud-detector", "events", "PutEvents"),
];
/// Whose settings change under load.
const RECONFIGURED: [&str; 2] = ["prove-stripe", "prove-square-ordered"];
/// When every second process reads bodies otherwise, in hundredths of the time.
const CANARY: Range<u64> = 40..60;
/// A campaign of five minutes and more has an outage of the bus, for as long as messages come back thrice: they are set aside.
/// In milliseconds.
const LONG: u64 = 300_000;
const OUTAGE: u64 = 110_000;
const KILLS: [&str; 3] = ["kill_before", "kill_after", "kill_answered"];

/// What a moment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theme {
    /// Death at each await, in turn.
    Death(usize),
    /// Every service fails now and then, in these ways.
    Answers(&'static [&'static str]),
    /// Answers that come after their caller has gone.
    Slow,
    /// Batches of which a part is done.
    Partial,
    /// A service is away.
    Away(&'static str),
    /// SQS hands out twice, late, or in another order.
    Deliveries,
    /// Senders hear nothing of what was done.
    Unheard,
    /// Secrets and endpoints of before.
    Stale,
    /// The processor has no body from S3: what is on the ordered queue behind such a message waits for it.
    Bodies,
}

impl Theme {
    fn moments(self) -> u64 {
        if matches!(self, Self::Death(_)) { OF_DEATH } else { 1 }
    }
}

const THEMES: [Theme; 15] = [
    Theme::Bodies,
    Theme::Death(0),
    Theme::Answers(&["throttle", "internal", "unavailable"]),
    Theme::Death(1),
    Theme::Partial,
    Theme::Answers(&["reset", "reset_after", "internal_after"]),
    Theme::Away("s3"),
    Theme::Deliveries,
    Theme::Away("events"),
    Theme::Slow,
    Theme::Unheard,
    Theme::Away("dynamodb"),
    Theme::Stale,
    Theme::Away("sqs"),
    Theme::Away("secretsmanager"),
];

/// The faults of a campaign that sends for so long, and what operators do meanwhile.
pub(super) fn lines(choices: &mut Choices, rotated: &[String], millis: u64) -> Vec<Line> {
    let until = millis * (100 - CALM) / 100;
    let moments: u64 = THEMES.iter().map(|theme| theme.moments()).sum();
    let moment = MOMENT.min(until / moments);
    // Each theme once before any comes again, in an order of the seed's.
    let mut order: Vec<Theme> = Vec::new();
    let (mut lines, mut at_ms) = (Vec::new(), 0);
    while at_ms + moment <= until {
        if order.is_empty() {
            order = shuffled(choices);
        }
        let Some(theme) = order.pop() else { break };
        let rules = rules(theme, choices);
        lines.push(Line::Faults(Faults { at_ms, theme: format!("{theme:?}"), rules }));
        at_ms += moment * theme.moments();
    }
    if millis >= LONG {
        let begins = until / 3;
        lines.retain(
            |line| !matches!(line, Line::Faults(faults) if (begins..begins + OUTAGE).contains(&faults.at_ms)),
        );
        let rules =
            vec![rule("away", "aws", json!({"function": "processor", "service": "events", "chance": 1.0}))];
        lines.push(Line::Faults(Faults { at_ms: begins, theme: "Outage".to_owned(), rules }));
    }
    lines.push(Line::Faults(Faults { at_ms: until, theme: "calm".to_owned(), rules: Vec::new() }));
    lines.extend(operations(rotated, millis));
    lines
}

fn shuffled(choices: &mut Choices) -> Vec<Theme> {
    let mut themes = THEMES.to_vec();
    for end in (1..themes.len()).rev() {
        let other = choices.below(end as u64 + 1);
        themes.swap(end, usize::try_from(other).unwrap_or_default());
    }
    themes
}

/// Rotations of keys, and a new process of every function, spread over the time; and a canary.
fn operations(rotated: &[String], millis: u64) -> Vec<Line> {
    let functions = ["validator", "processor", "archival", "fraud-detector"];
    let rotate = rotated.iter().map(|endpoint| Operation::Rotate { endpoint: endpoint.clone() });
    let reconfigure = RECONFIGURED.map(|endpoint| Operation::Reconfigure { endpoint: endpoint.to_owned() });
    let redeploy = functions.iter().map(|function| Operation::Redeploy { function: (*function).to_owned() });
    let poison = [3, 5, 8].map(|messages| Operation::Poison { messages });
    let all: Vec<Operation> = rotate.chain(reconfigure).chain(poison).chain(redeploy).collect();
    let count = all.len() as u64;
    let spread =
        all.into_iter().enumerate().map(|(index, what)| ((index as u64 + 1) * millis / (count + 2), what));
    let canary = [(CANARY.start, Operation::Canary), (CANARY.end, Operation::RollBack)]
        .map(|(percent, what)| (millis * percent / 100, what));
    spread.chain(canary).map(|(at_ms, what)| Line::Operation { at_ms, what }).collect()
}

fn rules(theme: Theme, choices: &mut Choices) -> Vec<Value> {
    match theme {
        Theme::Death(half) => deaths(half, choices),
        Theme::Answers(kinds) => {
            kinds.iter().map(|kind| rule(kind, "aws", json!({"chance": 0.12}))).collect()
        }
        Theme::Slow => ["slow", "slow_after"]
            .iter()
            .map(|kind| rule(kind, "aws", json!({"chance": 0.04, "limit": 12, "params": {"ms": 6_000}})))
            .collect(),
        Theme::Partial => vec![rule("partial", "aws", json!({"chance": 0.5, "params": {"one_in": 3}}))],
        Theme::Bodies => {
            let of =
                json!({"function": "processor", "service": "s3", "operation": "GetObject", "chance": 1.0});
            vec![rule("away", "aws", of)]
        }
        Theme::Away(service) => vec![rule("away", "aws", json!({"service": service, "chance": 1.0}))],
        Theme::Deliveries => {
            [("twice", 0.2), ("repeat", 0.2), ("again", 0.2), ("shuffle", 0.3), ("split", 0.2), ("late", 0.1)]
                .iter()
                .map(|(kind, chance)| {
                    rule(kind, "invoke", json!({"service": "sqs", "chance": chance, "limit": 15}))
                })
                .collect()
        }
        Theme::Unheard => vec![
            rule("gateway_timeout", "invoke", json!({"service": "http", "chance": 0.2, "limit": 100})),
            rule("kill", "invoke", json!({"chance": 0.1, "limit": 20})),
        ],
        Theme::Stale => vec![rule("stale", "aws", json!({"chance": 0.5}))],
    }
}

/// A death before, after and between, at every other await: each has its turn after two moments of this kind.
fn deaths(half: usize, choices: &mut Choices) -> Vec<Value> {
    let awaits = AWAITS.iter().enumerate().filter(|(index, _)| index % 2 == half).map(|(_, one)| one);
    awaits
        .flat_map(|(function, service, operation)| KILLS.map(|kind| (kind, function, service, operation)))
        .map(|(kind, function, service, operation)| {
            let more = json!({
                "function": function, "service": service, "operation": operation,
                "chance": 1.0, "limit": 1, "skip": choices.below(4),
            });
            rule(kind, "aws", more)
        })
        .collect()
}

fn rule(kind: &str, side: &str, mut more: Value) -> Value {
    if let Some(fields) = more.as_object_mut() {
        let names = ["function", "service", "operation"]
            .map(|name| fields.get(name).and_then(Value::as_str).unwrap_or("any"));
        let id = format!("{kind} {}", names.join(" "));
        fields.insert("id".to_owned(), id.into());
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("side".to_owned(), side.into());
    }
    more
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_shortest_campaign_has_every_theme() {
        let mut themes = BTreeSet::new();
        for line in lines(&mut Choices::new("1"), &["a".to_owned()], 60_000) {
            if let Line::Faults(faults) = line {
                themes.insert(faults.theme);
            }
        }
        assert_eq!(themes.len(), THEMES.len() + 1);
    }
}
