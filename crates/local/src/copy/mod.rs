//! One copy of a function: what its process asks for and answers, and whether it is to end. `supervise` has the
//! process itself.

mod supervise;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::pending,
    rc::Rc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};

use crate::{
    child,
    invocation::{Fault, Invocation, Outcome},
    log::Log,
    queue::Queue,
    spec::Spec,
};

/// How long a copy may finish its invocation when the runner stops.
const GRACE: Duration = Duration::from_secs(2);
/// Where a copy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Its process has not asked for work yet.
    Starting,
    /// It has.
    Ready,
    /// It ended, and is started again shortly.
    BackingOff(Fault),
    /// Ended; it does not start again.
    Stopped,
}

/// One copy, over all the processes that it has been.
#[derive(Debug)]
pub struct Copy {
    index: usize,
    function: String,
    spec: Rc<Spec>,
    log: Rc<Log>,
    queue: Rc<Queue>,
    phase: watch::Sender<Phase>,
    pid: Cell<Option<u32>>,
    in_flight: RefCell<HashMap<String, InFlight>>,
    /// The phase, the in-flight invocations or the wish to end have changed.
    changed: Notify,
    init_fault: RefCell<Option<Fault>>,
    end: Cell<End>,
    answered: Cell<u64>,
    restarts: Cell<u64>,
}

/// Whether the copy is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    No,
    /// When it has nothing in flight.
    WhenIdle,
    /// When idle, but not after this.
    By(Instant),
}

#[derive(Debug)]
struct InFlight {
    deadline: Instant,
    reply: oneshot::Sender<Outcome>,
    started: Instant,
}

/// What a copy takes to its process.
#[derive(Debug)]
pub struct Work {
    /// All but who waits for it.
    pub invocation: Invocation,
    /// Milliseconds since the epoch.
    pub deadline_ms: u128,
}

impl Copy {
    /// A copy that is not running yet.
    pub fn new(index: usize, function: &str, spec: Rc<Spec>, log: Rc<Log>, queue: Rc<Queue>) -> Self {
        Self {
            index,
            function: function.to_owned(),
            spec,
            log,
            queue,
            phase: watch::Sender::new(Phase::Starting),
            pid: Cell::default(),
            in_flight: RefCell::default(),
            changed: Notify::new(),
            init_fault: RefCell::default(),
            end: Cell::new(End::No),
            answered: Cell::default(),
            restarts: Cell::default(),
        }
    }

    /// Takes work from the function's queue to the process, which thereby is ready.
    pub async fn next(&self) -> Work {
        if self.phase.send_if_modified(|phase| std::mem::replace(phase, Phase::Ready) != Phase::Ready) {
            self.changed.notify_one();
        }
        if self.end.get() != End::No {
            pending::<()>().await;
        }
        let mut invocation = self.queue.next().await;
        let (reply, _) = oneshot::channel();
        let reply = std::mem::replace(&mut invocation.reply, reply);
        let started = Instant::now();
        let one = InFlight { deadline: started + self.spec.timeout(), reply, started };
        // An id may come twice from outside; the first one's caller is then told that the copy ended.
        self.in_flight.borrow_mut().insert(invocation.request_id.clone(), one);
        self.changed.notify_one();
        Work { invocation, deadline_ms: self.spec.deadline_ms() }
    }

    /// Hands the outcome of `request_id` to its caller; false when it is not in flight here.
    pub fn complete(&self, request_id: &str, outcome: Outcome) -> bool {
        let Some(one) = self.in_flight.borrow_mut().remove(request_id) else { return false };
        let word = match &outcome {
            Outcome::Response(_) => "success",
            Outcome::Error(_) => "error",
            Outcome::Fault(fault) => &fault.kind,
        };
        self.report(request_id, one.started, word);
        let _ = one.reply.send(outcome);
        self.answered.set(self.answered.get() + 1);
        self.changed.notify_one();
        true
    }

    /// Records why the process could not start. The process then exits.
    pub fn fail_init(&self, fault: Fault) {
        self.init_fault.replace(Some(fault));
    }

    fn report(&self, request_id: &str, started: Instant, status: &str) {
        let micros = started.elapsed().as_micros();
        let (ms, rest) = (micros / 1_000, micros % 1_000);
        let line = format!("REPORT RequestId: {request_id} Duration: {ms}.{rest:03} ms Status: {status}");
        self.log.line(self.index, line.as_bytes());
    }

    /// Waits until the process asks for work, or has ended without.
    pub async fn settled(&self) -> Phase {
        let mut phase = self.phase.subscribe();
        match phase.wait_for(|phase| *phase != Phase::Starting).await {
            Ok(phase) => phase.clone(),
            Err(_) => Phase::Stopped,
        }
    }

    /// Ends when nothing is in flight.
    pub fn drain(&self) {
        self.end.set(End::WhenIdle);
        self.changed.notify_one();
    }

    /// Ends soon.
    pub fn stop(&self) {
        self.end.set(End::By(Instant::now() + GRACE));
        self.changed.notify_one();
    }

    /// Waits until no process is left.
    pub async fn stopped(&self) {
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Stopped).await;
    }

    /// Kills the process; the copy starts another.
    pub fn kill(&self) {
        if let Some(pid) = self.pid.get() {
            child::kill(pid);
        }
    }

    /// Its number among the function's copies.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Of the process that runs now.
    pub fn pid(&self) -> Option<u32> {
        self.pid.get()
    }

    /// Whether an invocation is in flight.
    pub fn is_busy(&self) -> bool {
        !self.in_flight.borrow().is_empty()
    }

    /// Processes that ended without being told to.
    pub fn restarts(&self) -> u64 {
        self.restarts.get()
    }

    /// What `GET /functions` says of it.
    pub fn status(&self) -> Value {
        let (state, fault) = match &*self.phase.borrow() {
            Phase::Starting => ("starting", None),
            Phase::Ready if self.is_busy() => ("busy", None),
            Phase::Ready => ("ready", None),
            Phase::BackingOff(fault) => ("backing_off", Some(fault.message.clone())),
            Phase::Stopped => ("stopped", None),
        };
        json!({
            "copy": self.index,
            "pid": self.pid.get(),
            "state": state,
            "fault": fault,
            "answered": self.answered.get(),
            "restarts": self.restarts.get(),
        })
    }
}
