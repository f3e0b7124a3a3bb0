//! A function: the copies that share its queue of invocations.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::{Value, json};

use crate::{
    copy::{Copy, Phase},
    invocation::{Fault, Invocation, Outcome},
    log::Log,
    queue::Queue,
    spec::{Host, Spec},
};

/// One function, as long as the runner lives; its settings and copies change under it.
#[derive(Debug)]
pub struct Function {
    name: String,
    host: Rc<Host>,
    log: Rc<Log>,
    queue: Rc<Queue>,
    copies: RefCell<Vec<Rc<Copy>>>,
    invocations: Cell<u64>,
    errors: Cell<u64>,
    /// Of copies that a newer configuration has replaced.
    past_restarts: Cell<u64>,
}

impl Function {
    /// A function without copies: invocations wait until it is configured.
    pub fn new(name: &str, host: Rc<Host>) -> std::io::Result<Self> {
        Ok(Self {
            log: Rc::new(Log::open(&host.log_dir, name)?),
            name: name.to_owned(),
            host,
            queue: Rc::default(),
            copies: RefCell::default(),
            invocations: Cell::default(),
            errors: Cell::default(),
            past_restarts: Cell::default(),
        })
    }

    /// Starts copies with these settings, then lets the old ones finish what they have. Returns when each new
    /// copy has asked for work, or with why one did not.
    pub async fn configure(&self, spec: Spec) -> Result<(), Fault> {
        let spec = Rc::new(spec);
        let copies: Vec<_> = (0..spec.copies)
            .map(|index| {
                let copy = Copy::new(
                    index,
                    &self.name,
                    Rc::clone(&spec),
                    Rc::clone(&self.log),
                    Rc::clone(&self.queue),
                );
                let copy = Rc::new(copy);
                tokio::task::spawn_local(Rc::clone(&copy).supervise(Rc::clone(&self.host)));
                copy
            })
            .collect();
        let mut first_fault = Ok(());
        for copy in &copies {
            match copy.settled().await {
                Phase::BackingOff(fault) => first_fault = first_fault.and(Err(fault)),
                Phase::Starting | Phase::Ready | Phase::Stopped => {}
            }
        }
        for old in self.copies.replace(copies) {
            self.past_restarts.set(self.past_restarts.get() + old.restarts());
            old.drain();
        }
        first_fault
    }

    /// Hands the event to the next free copy and waits for the outcome; `None` when too many wait already.
    pub async fn invoke(&self, headers: &HeaderMap, payload: Bytes) -> Option<Outcome> {
        let arn =
            format!("arn:aws:lambda:{}:{}:function:{}", self.host.region, self.host.account_id, self.name);
        let (invocation, outcome) = Invocation::new(headers, payload, arn);
        if !self.queue.push(invocation) {
            return None;
        }
        self.invocations.set(self.invocations.get() + 1);
        let outcome = outcome.await.unwrap_or_else(|_| Outcome::Fault(Fault::stopping()));
        if !matches!(outcome, Outcome::Response(_)) {
            self.errors.set(self.errors.get() + 1);
        }
        Some(outcome)
    }

    /// Kills one copy, a busy one if there is any; says which.
    pub fn kill_one(&self) -> Option<Value> {
        let copies = self.copies.borrow();
        let alive = || copies.iter().filter(|copy| copy.pid().is_some());
        let copy = alive().find(|copy| copy.is_busy()).or_else(|| alive().next())?;
        let killed = json!({"copy": copy.index(), "pid": copy.pid(), "busy": copy.is_busy()});
        copy.kill();
        Some(killed)
    }

    /// What `GET /functions` says of it.
    pub fn status(&self) -> Value {
        let copies = self.copies.borrow();
        json!({
            "name": self.name,
            "alive": copies.iter().filter(|copy| copy.pid().is_some()).count(),
            "invocations": self.invocations.get(),
            "errors": self.errors.get(),
            "restarts": self.past_restarts.get() + copies.iter().map(|copy| copy.restarts()).sum::<u64>(),
            "waiting": self.queue.len(),
            "copies": copies.iter().map(|copy| copy.status()).collect::<Vec<_>>(),
        })
    }

    /// Lets what runs finish within the grace period, then leaves no process.
    pub async fn stop(&self) {
        self.queue.clear();
        let copies = self.copies.take();
        for copy in &copies {
            copy.stop();
        }
        for copy in &copies {
            copy.stopped().await;
        }
    }
}
