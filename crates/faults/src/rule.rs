//! The rules: which calls fail, how, and how often.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    call::{Call, Side},
    dice::Dice,
    partial,
};

/// The most rules at a time.
const MAX_RULES: usize = 1_000;
/// The longest delay.
const MAX_MS: u64 = 600_000;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// AWS throttles; nothing is done.
    Throttle,
    /// AWS answers 500; nothing is done.
    Internal,
    /// AWS does it, and answers 500 all the same.
    InternalAfter,
    /// AWS answers 503; nothing is done.
    Unavailable,
    /// The service is away: 503 or a connection that is reset.
    Away,
    /// The connection is reset; nothing is done.
    Reset,
    /// AWS does it, and the connection is reset.
    ResetAfter,
    /// AWS does it after a delay, `params.ms`, whether or not its caller waits.
    Slow,
    /// AWS does it at once, and answers after a delay.
    SlowAfter,
    /// A batch call: AWS does a part of it. One entry in `params.one_in` is left undone, one at least.
    Partial,
    /// A key, or an object of S3, is read as it was before its last change.
    Stale,
    /// The process that calls is killed; nothing is done.
    KillBefore,
    /// AWS does it, and the process that called is killed before it has the answer.
    KillAfter,
    /// The process is killed when the answer is written.
    KillAnswered,
    /// The batch goes to two copies of the function at once, as a standard queue may deliver twice.
    Twice,
    /// Some messages are in the batch twice, as a standard queue may deliver them.
    Repeat,
    /// The batch is in another order, as a standard queue may deliver it.
    Shuffle,
    /// The batch goes to the function as two, at once.
    Split,
    /// The function does the batch, and its answer is lost: the messages come back after their visibility timeout.
    Again,
    /// The function gets the batch after a delay, `params.ms`, when its messages have come back and are at work elsewhere.
    Late,
    /// The sender gets 504 after the function has done its work.
    GatewayTimeout,
    /// A copy of the function is killed, a busy one if there is any, within `params.ms` of the invocation's start.
    Kill,
}

impl Kind {
    /// Where it can happen.
    fn side(self) -> Side {
        match self {
            Self::Throttle
            | Self::Internal
            | Self::InternalAfter
            | Self::Unavailable
            | Self::Away
            | Self::Reset
            | Self::ResetAfter
            | Self::Slow
            | Self::SlowAfter
            | Self::Partial
            | Self::Stale
            | Self::KillBefore
            | Self::KillAfter
            | Self::KillAnswered => Side::Aws,
            Self::Twice
            | Self::Repeat
            | Self::Shuffle
            | Self::Split
            | Self::Again
            | Self::Late
            | Self::GatewayTimeout
            | Self::Kill => Side::Invoke,
        }
    }

    /// Whether it can happen to this call.
    fn suits(self, call: &Call) -> bool {
        match self {
            Self::Partial => partial::is_possible(call),
            Self::Stale => call.has_older,
            Self::Twice | Self::Repeat => call.records > 0 && !call.is_ordered,
            Self::Shuffle | Self::Split => call.records > 1 && !call.is_ordered,
            Self::Again | Self::Late => call.records > 0,
            Self::GatewayTimeout => call.service == "http",
            _ => true,
        }
    }
}

/// One rule, as `PUT /rules` has it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in the log.
    pub id: String,
    /// What happens.
    pub kind: Kind,
    /// To what.
    pub side: Side,
    /// Of this function only (`validator`, …).
    #[serde(default)]
    pub function: Option<String>,
    /// Of this service only (`dynamodb`, `sqs`, `s3`, `events`, …; of an invocation `sqs`, `http` or `other`).
    #[serde(default)]
    pub service: Option<String>,
    /// Of this operation only (`PutEvents`, `GetObject`, …; of an invocation by SQS the queue's name).
    #[serde(default)]
    pub operation: Option<String>,
    /// Where the path or the body has this text: a table, a queue, a statement.
    #[serde(default)]
    pub contains: Option<String>,
    /// Of the calls that it is for, this part: 0 to 1.
    #[serde(default = "always")]
    pub chance: f64,
    /// So many calls that it is for are let through first.
    #[serde(default)]
    pub skip: u64,
    /// At most so often.
    #[serde(default)]
    pub limit: Option<u64>,
    /// From this time on, in milliseconds since `PUT /rules`.
    #[serde(default)]
    pub from_ms: u64,
    /// Until this time.
    #[serde(default)]
    pub to_ms: Option<u64>,
    /// What some kinds need.
    #[serde(default)]
    pub params: Params,
}

/// What some kinds need; each has a value of its own where there is none.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// A delay, in milliseconds.
    #[serde(default)]
    pub ms: Option<u64>,
    /// Of the entries of a batch call one in so many is left undone.
    #[serde(default)]
    pub one_in: Option<u64>,
}

fn always() -> f64 {
    1.0
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let problem = if self.kind.side() != self.side {
            "the kind is of the other side"
        } else if !(0.0..=1.0).contains(&self.chance) {
            "chance: 0 to 1"
        } else if self.params.ms.is_some_and(|ms| ms > MAX_MS) {
            "params.ms: at most 600000"
        } else if self.params.one_in == Some(0) {
            "params.one_in: at least 1"
        } else {
            return Ok(());
        };
        Err(format!("{}: {problem}", self.id))
    }

    fn is_for(&self, call: &Call) -> bool {
        let is = |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|it| it == given);
        self.side == call.side
            && is(&self.function, &call.function)
            && is(&self.service, &call.service)
            && is(&self.operation, &call.operation)
            && self.kind.suits(call)
            && self.contains.as_deref().is_none_or(|text| call.contains(text))
    }
}

/// A fault that is to happen.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Its rule's.
    pub rule: String,
    /// What happens.
    pub kind: Kind,
    /// With what.
    pub params: Params,
    /// Decides what is left open.
    pub dice: Dice,
}

impl Fault {
    /// The delay of the rule, or this one.
    pub fn delay(&self, otherwise: Duration) -> Duration {
        self.params.ms.map_or(otherwise, Duration::from_millis)
    }
}

#[derive(Debug, Serialize)]
struct Active {
    #[serde(flatten)]
    rule: Rule,
    seen: u64,
    applied: u64,
    #[serde(skip)]
    dice: Dice,
}

/// The rules that hold, in order: the first that applies to a call decides.
#[derive(Debug)]
pub struct Rules {
    seed: String,
    since: Instant,
    active: Vec<Active>,
    /// Faults that happened, under these rules and all before.
    counts: BTreeMap<Kind, u64>,
}

impl Rules {
    /// None. The same seed and the same calls give the same faults.
    pub fn new(seed: String) -> Self {
        Self { seed, since: Instant::now(), active: Vec::new(), counts: BTreeMap::new() }
    }

    /// Replaces all of them; their times begin now.
    ///
    /// # Errors
    ///
    /// What is wrong with one. Then nothing is replaced.
    pub fn replace(&mut self, rules: Vec<Rule>) -> Result<(), String> {
        if rules.len() > MAX_RULES {
            return Err(format!("at most {MAX_RULES} rules"));
        }
        rules.iter().try_for_each(Rule::check)?;
        let active = |rule: Rule| {
            let dice = Dice::new(&format!("{}/{}", self.seed, rule.id));
            Active { rule, seen: 0, applied: 0, dice }
        };
        self.active = rules.into_iter().map(active).collect();
        self.since = Instant::now();
        Ok(())
    }

    /// What is to happen to this call; nothing, where no rule says so.
    pub fn choose(&mut self, call: &Call) -> Option<Fault> {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active.iter_mut().find_map(|active| {
            let rule = &active.rule;
            let is_due = rule.from_ms <= now && rule.to_ms.is_none_or(|end| now < end);
            let is_spent = rule.limit.is_some_and(|limit| active.applied >= limit);
            if !is_due || is_spent || !rule.is_for(call) {
                return None;
            }
            active.seen += 1;
            if active.seen <= rule.skip || !active.dice.falls(rule.chance) {
                return None;
            }
            active.applied += 1;
            let dice = active.dice.another();
            Some(Fault { rule: rule.id.clone(), kind: rule.kind, params: rule.params, dice })
        })
    }

    /// It could not be done: it does not count against the rule's limit.
    pub fn take_back(&mut self, fault: &Fault) {
        if let Some(active) = self.active.iter_mut().find(|active| active.rule.id == fault.rule) {
            active.applied = active.applied.saturating_sub(1);
        }
    }

    /// It happened.
    pub fn count(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Each with how many calls it was for (`seen`) and how often it was applied.
    pub fn listed(&self) -> serde_json::Value {
        serde_json::json!(self.active)
    }

    /// How often each kind has happened.
    pub fn counts(&self) -> serde_json::Value {
        serde_json::json!(self.counts)
    }
}
