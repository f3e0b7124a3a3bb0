//! One copy of a function: a process that is started, watched, ended and started again.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::pending,
    net::Ipv4Addr,
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    rc::Rc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::Child,
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    child, clock,
    function::Queue,
    http,
    invocation::{Fault, Invocation, Outcome, stream_id},
    log::Log,
    runtime_api,
    spec::{Host, Spec},
};

/// How long a copy may finish its invocation when the runner stops.
const GRACE: Duration = Duration::from_secs(2);
/// A copy that lived this long, or answered anything, is started again at once.
const HEALTHY: Duration = Duration::from_secs(1);
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
/// How long the rest of a dead process's output is read; a grandchild may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where a copy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Its process has not asked for work yet.
    Starting,
    /// It has.
    Ready,
    /// It ended, and is started again shortly.
    BackingOff(Fault),
    /// For good.
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

    /// Runs the process, again and again, until it is to end.
    pub async fn supervise(self: Rc<Self>, host: Rc<Host>) {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let (born, answered) = (Instant::now(), self.answered.get());
            self.phase.send_replace(Phase::Starting);
            let how = match self.live(&host).await {
                Ok(how) => how,
                Err(error) => format!("Couldn't start the process: {error}"),
            };
            let was_ready = *self.phase.borrow() == Phase::Ready;
            let fault = self.bury(&how, was_ready);
            if self.end.get() != End::No {
                break;
            }
            self.restarts.set(self.restarts.get() + 1);
            self.phase.send_replace(Phase::BackingOff(fault));
            if was_ready && (self.answered.get() > answered || born.elapsed() >= HEALTHY) {
                back_off = FIRST_BACK_OFF;
                continue;
            }
            tokio::select! {
                () = sleep(back_off) => back_off = (back_off * 2).min(LONGEST_BACK_OFF),
                () = self.ending() => break,
            }
        }
        self.phase.send_replace(Phase::Stopped);
    }

    /// One process, from start to end; says how it ended.
    async fn live(self: &Rc<Self>, host: &Host) -> std::io::Result<String> {
        // An address of its own: what is left of an earlier process cannot reach this one.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let date = clock::timestamp().get(..10).unwrap_or_default().replace('-', "/");
        let stream = format!("{date}/[{}]{}", crate::spec::VERSION, stream_id());
        let environment = self.spec.environment(host, &self.function, &address, &stream);
        let mut child = child::spawn(&self.spec.binary, &self.spec.arguments, environment)?;
        self.pid.set(child.id());
        let output = self.forward_output(&mut child);
        let copy = Rc::clone(self);
        let api = http::accept(listener, move |request| runtime_api::handle(Rc::clone(&copy), request));
        let how = tokio::select! {
            how = self.watch(&mut child, host.init_timeout) => how,
            () = api => Ok("Runtime API ended".into()),
        };
        self.kill();
        let _ = child.wait().await;
        self.pid.set(None);
        let _ = timeout(LAST_WORDS, output).await;
        how
    }

    fn forward_output(&self, child: &mut Child) -> impl Future<Output = ()> + use<> {
        let (log, copy) = (Rc::clone(&self.log), self.index);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut pipes = tokio::task::JoinSet::new();
        let other = Rc::clone(&log);
        if let Some(stdout) = stdout {
            pipes.spawn_local(async move { log.forward(copy, stdout).await });
        }
        if let Some(stderr) = stderr {
            pipes.spawn_local(async move { other.forward(copy, stderr).await });
        }
        async move { while pipes.join_next().await.is_some() {} }
    }

    /// Waits for the process to end, or for a reason to end it.
    async fn watch(&self, child: &mut Child, init_timeout: Duration) -> std::io::Result<String> {
        let init_deadline = Instant::now() + init_timeout;
        loop {
            let idle = self.in_flight.borrow().is_empty();
            match self.end.get() {
                End::WhenIdle | End::By(_) if idle => return Ok("Stopped".into()),
                End::By(at) if at <= Instant::now() => return Ok("Stopped".into()),
                End::No | End::WhenIdle | End::By(_) => {}
            }
            let starting = *self.phase.borrow() == Phase::Starting;
            let first_deadline = self.in_flight.borrow().values().map(|one| one.deadline).min();
            let end_by = if let End::By(at) = self.end.get() { Some(at) } else { None };
            tokio::select! {
                status = child.wait() => return status.map(describe),
                () = at(first_deadline) => return Ok("Task timed out".into()),
                () = at(starting.then_some(init_deadline)) => {
                    let message = format!("Init phase timed out after {} seconds", init_timeout.as_secs());
                    self.fail_init(Fault { kind: "Sandbox.Timedout".into(), message: message.clone() });
                    return Ok(message);
                }
                () = at(end_by) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Answers for a process that is no more.
    fn bury(&self, how: &str, was_ready: bool) -> Fault {
        let stopping = self.end.get() != End::No;
        let now = Instant::now();
        for (request_id, one) in self.in_flight.take() {
            let fault = match stopping {
                true => Fault::stopping(),
                false if one.deadline <= now => Fault::timeout(&request_id, self.spec.timeout_seconds),
                false => Fault::exit(&request_id, how),
            };
            self.report(&request_id, one.started, &fault.kind);
            let _ = one.reply.send(Outcome::Fault(fault));
        }
        let init_fault = self.init_fault.take();
        let fault =
            init_fault.unwrap_or_else(|| Fault { kind: "Runtime.ExitError".into(), message: how.into() });
        if !stopping {
            self.log.line(self.index, format!("the process ended: {how}").as_bytes());
            // As on Lambda, one who waits for a copy that cannot start is told so.
            if !was_ready && let Some(invocation) = self.queue.pop() {
                let _ = invocation.reply.send(Outcome::Fault(fault.clone()));
            }
        }
        fault
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
        Work { invocation, deadline_ms: (clock::since_epoch() + self.spec.timeout()).as_millis() }
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

    /// Notes why the process could not start; it ends by itself after that.
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

    async fn ending(&self) {
        while self.end.get() == End::No {
            self.changed.notified().await;
        }
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

/// Lambda's words for the end of a process.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".into(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(9)) => "Runtime exited with error: signal: killed".into(),
        (None, Some(signal)) => format!("Runtime exited with error: signal: {signal}"),
        (None, None) => "Runtime exited".into(),
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
