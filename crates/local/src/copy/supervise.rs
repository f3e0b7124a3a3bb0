//! A copy's process: started, watched, ended and started again.

use std::{
    net::Ipv4Addr, os::unix::process::ExitStatusExt as _, process::ExitStatus, rc::Rc, time::Duration,
};

use tokio::{
    net::TcpListener,
    process::Child,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Copy, End, Phase};
use crate::{
    child, clock, http,
    invocation::{Fault, Outcome, stream_id},
    runtime_api,
    spec::{Host, VERSION},
};

/// A copy that lived this long, or answered anything, is started again at once.
const HEALTHY: Duration = Duration::from_secs(1);
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
/// How long the rest of a dead process's output is read; a grandchild may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Copy {
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
        let stream = format!("{date}/[{}]{}", VERSION, stream_id());
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
            // As on Lambda, a caller that waits for a copy that cannot start gets an error.
            if !was_ready && let Some(invocation) = self.queue.pop() {
                let _ = invocation.reply.send(Outcome::Fault(fault.clone()));
            }
        }
        fault
    }

    async fn ending(&self) {
        while self.end.get() == End::No {
            self.changed.notified().await;
        }
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
        None => std::future::pending().await,
    }
}
