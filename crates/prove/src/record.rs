//! The lines of a plan. The sender and the referee read them, and nothing else of the plan.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// A line of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Plan(Plan),
    Webhook(Box<Webhook>),
    Faults(Faults),
    Operation { at_ms: u64, what: Operation },
}

/// From this moment on these are the rules of `tollgate-faults`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Faults {
    pub(crate) at_ms: u64,
    pub(crate) theme: String,
    pub(crate) rules: Vec<serde_json::Value>,
}

/// What an operator does under load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// A new key; the one before it still verifies.
    Rotate { endpoint: String },
    /// Other settings, under which less of its webhooks' metadata is kept: for some seconds some copies of the functions have
    /// them and others do not.
    Reconfigure { endpoint: String },
    /// From now on every second process of the functions that read bodies is of a build whose normaliser reads otherwise.
    Canary,
    /// No process is of that build any more.
    RollBack,
    /// Messages in the intake queues that are none, among good ones.
    Poison { messages: u32 },
    /// New processes of a function.
    Redeploy { function: String },
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) seed: String,
    pub(crate) webhooks: u64,
    /// How long sending takes at the plan's rate.
    pub(crate) seconds: u64,
    /// The day on which the plan's events happened is the one before this.
    pub(crate) now: String,
    /// What no table, log, event or alert may hold.
    pub(crate) planted: Vec<String>,
}

/// One webhook, how it is sent, and what must become of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Webhook {
    /// Its number in the plan.
    pub(crate) n: u64,
    /// 0: in the load. 1: five minutes and more after it. 2: a month after it.
    pub(crate) phase: u8,
    /// When it is sent, in milliseconds since its phase began.
    pub(crate) at_ms: u64,
    /// The name in the path; of a webhook to nobody, nobody's.
    pub(crate) endpoint: String,
    /// The endpoint whose key signs it.
    pub(crate) signer: String,
    /// Why it is in the plan.
    pub(crate) class: String,
    pub(crate) content: Content,
    pub(crate) signing: Signing,
    pub(crate) wire: Wire,
    /// The same request so many times at once.
    #[serde(default = "one")]
    pub(crate) copies: u32,
    /// The webhook that must have been answered before this one is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u64>,
    pub(crate) right: Right,
}

fn one() -> u32 {
    1
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) query: String,
    pub(crate) body: Body,
    /// A field of `x` makes the body so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pad_to: Option<usize>,
}

/// A body, legible where it can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    Text(String),
    Base64(String),
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Body {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    pub(crate) fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64(text) => STANDARD.decode(text)?,
        })
    }
}

/// How it is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Signing {
    /// As the endpoint's provider does, afresh for each try.
    Good,
    /// For so many seconds before each try.
    Aged(i64),
    /// With a key that is not the endpoint's.
    Forged,
    /// Well, and then a digit of the body is changed.
    Tampered,
    /// Well, and then a space is put into the body, which as JSON says the same.
    Respelled,
    /// Well, and then the signature is taken out: the header, or all headers that signing added.
    Unsigned,
    /// The very bytes and headers of webhook `of` as it was last sent, with these headers besides.
    Replay { of: u64, headers: Vec<(String, String)> },
}

/// How it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wire {
    /// As a provider sends it: again after whatever is no final answer.
    Patient,
    /// Once. A provider that gives up.
    Once,
    /// Half of the body, then the connection is closed; never again.
    Half,
    /// All of it, and the connection is closed before the answer; never again.
    Gone,
    /// A byte of the body now and then, for so many milliseconds.
    Slow(u64),
    /// With this method.
    Method(String),
}

/// What must become of a webhook. Whoever reads it derives the rest: an event that took effect is in the ledger, among
/// the transactions, on the bus, in its category's queue and in the archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Right {
    pub(crate) fate: Fate,
    /// The statuses that may be answered, besides those by which nothing is promised (429, 5xx, none).
    pub(crate) statuses: Vec<u16>,
    /// The events that it tells. Each is one of several readings where the contract leaves that open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Event>,
}

/// The end of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// Each event takes effect once, if it is acknowledged; if nobody acknowledged it, once or not at all.
    Effect,
    /// It leaves no trace but a line in a log.
    Refused,
    /// Its event contradicts that of webhook `after`: it has no effect and is in the quarantine.
    Conflict,
    /// It is in the quarantine, as too old.
    TooOld,
}

/// What an event must be when it is on the bus. `None`: whatever it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Event {
    /// The provider's id of it; `{sha256}` stands for that of the body as it was sent.
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transaction: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) movement: Option<String>,
    /// Other ids of the transaction, which the event links to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<String>,
    /// As `49.90 EUR`, or `5 minor units of usdc`; `-` where there is none.
    pub(crate) amount: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) occurred_at: Option<String>,
    /// Events with the same text tell one effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) effect: Option<String>,
    /// The check of a payment of high value finds it suspicious, and says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_flagged: bool,
    /// Another reading of the same event that is right as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) or: Option<Box<Event>>,
}
