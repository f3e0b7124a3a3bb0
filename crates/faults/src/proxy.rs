//! What all listeners share.

use std::{collections::BTreeMap, sync::Mutex};

use serde::{Deserialize, Serialize};

use crate::{
    call::Call,
    http::Onward,
    lock::locked,
    log::{Log, More},
    memory::Memory,
    rule::{Fault, Rule, Rules},
};

/// The ports on 127.0.0.1.
#[derive(Debug, Serialize)]
pub struct Ports {
    /// Of the control requests.
    pub control: u16,
    /// Of invocations: `/{function}/…` goes to the runner as `/…`.
    pub invoke: u16,
    /// Of each function's calls to AWS.
    pub aws: BTreeMap<String, u16>,
}

/// Where requests go on to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// AWS or the local peer: `http://127.0.0.1:PORT`.
    pub aws: String,
    /// The runner of the functions (`tollgate-local`), whose copies may be killed.
    pub runner: String,
}

impl Upstream {
    /// Whether both are on this machine, without a path.
    pub fn is_local(&self) -> bool {
        let is_local = |url: &str| {
            let port = url.strip_prefix("http://127.0.0.1:");
            port.is_some_and(|port| port.parse::<u16>().is_ok())
        };
        is_local(&self.aws) && is_local(&self.runner)
    }
}

/// The proxy.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub ports: Ports,
    pub(crate) onward: Onward,
    pub(crate) rules: Mutex<Rules>,
    log: Option<Log>,
    upstream: Mutex<Option<Upstream>>,
    /// By function.
    calls: Mutex<BTreeMap<String, Calls>>,
    /// What stores have answered.
    pub(crate) memory: Mutex<Memory>,
}

/// How often each operation was asked for: `service.operation`.
pub type Calls = BTreeMap<String, usize>;

impl Proxy {
    /// Without an upstream yet.
    pub(crate) fn new(ports: Ports, seed: &str, log: Option<Log>) -> Self {
        Self {
            ports,
            onward: Onward::default(),
            rules: Mutex::new(Rules::new(seed.to_owned())),
            log,
            upstream: Mutex::default(),
            calls: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    /// Counts the call, and says what is to happen to it.
    pub(crate) fn choose(&self, call: &Call) -> Option<Fault> {
        let name = format!("{}.{}", call.service, call.operation);
        *locked(&self.calls).entry(call.function.clone()).or_default().entry(name).or_default() += 1;
        locked(&self.rules).choose(call)
    }

    /// It cannot be done to this call.
    pub(crate) fn take_back(&self, fault: &Fault) {
        locked(&self.rules).take_back(fault);
    }

    /// Says that it happens: to be called before anybody can see it.
    pub(crate) fn note(&self, fault: &Fault, call: &Call, more: More) {
        locked(&self.rules).count(fault.kind);
        let Some(log) = &self.log else { return };
        if let Err(error) = log.write(fault, call, more) {
            // A fault that is not written would be one that the reader of the log does not know.
            eprintln!("the log cannot be written: {error}");
            std::process::exit(1);
        }
    }

    /// Replaces all rules; their times begin now.
    ///
    /// # Errors
    ///
    /// What is wrong with one. Then nothing is replaced.
    pub fn replace_rules(&self, rules: Vec<Rule>) -> Result<(), String> {
        let is_known = |function: &String| self.ports.aws.contains_key(function);
        if let Some(rule) = rules.iter().find(|rule| !rule.function.iter().all(is_known)) {
            return Err(format!("{}: no such function", rule.id));
        }
        locked(&self.rules).replace(rules)
    }

    /// The calls of a function since they were last taken.
    pub fn take_calls(&self, function: &str) -> Calls {
        locked(&self.calls).remove(function).unwrap_or_default()
    }

    /// The calls so far, by function.
    pub(crate) fn calls(&self) -> serde_json::Value {
        serde_json::json!(*locked(&self.calls))
    }

    /// Where requests go on to; `None` until it is told.
    pub(crate) fn upstream(&self) -> Option<Upstream> {
        locked(&self.upstream).clone()
    }

    /// Requests go on to there.
    pub fn set_upstream(&self, upstream: Upstream) {
        *locked(&self.upstream) = Some(upstream);
    }
}
