//! A function's calls to AWS.

use std::{sync::Arc, time::Duration};

use hyper::{Request, body::Incoming};
use tokio::time::sleep;

use crate::{
    call::Call,
    errors::{self, Trouble},
    http::{Answer, Link, Reset, Whole, Written, body},
    lock::locked,
    log::More,
    memory, partial,
    process::{self, Caller},
    proxy::Proxy,
    rule::{Fault, Kind},
};

/// Longer than the functions wait for an attempt of a call, 5 s (`tollgate_aws::sdk_config`).
const SLOW: Duration = Duration::from_secs(6);

/// Answers one call of a function.
pub async fn handle(
    proxy: Arc<Proxy>,
    function: Arc<str>,
    request: Request<Incoming>,
    link: Link,
) -> Result<Answer, Reset> {
    let request = match Whole::read(request).await {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let mut call = Call::to_aws(&function, &request);
    call.has_older = locked(&proxy.memory).older(&call).is_some();
    // A call that AWS has read takes effect, whether or not its caller waits still.
    let answered = match proxy.choose(&call) {
        None if memory::reads(&call) => tokio::spawn(read(proxy, call, request)),
        None => tokio::spawn(pass(proxy, request)),
        Some(fault) => tokio::spawn(fail(proxy, fault, call, request, link)),
    };
    answered.await.map_err(|_| Reset)?
}

async fn pass(proxy: Arc<Proxy>, request: Whole) -> Result<Answer, Reset> {
    let upstream = proxy.upstream().ok_or(Reset)?;
    let target = request.target().to_owned();
    proxy.onward.pass(&upstream.aws, &target, request).await
}

/// Passes on what may be asked for again, and keeps the answer.
async fn read(proxy: Arc<Proxy>, call: Call, request: Whole) -> Result<Answer, Reset> {
    let answer = pass(Arc::clone(&proxy), request).await?;
    let bytes = body(answer.clone()).await?;
    locked(&proxy.memory).keep(&call, &answer, bytes);
    Ok(answer)
}

async fn fail(
    proxy: Arc<Proxy>,
    fault: Fault,
    call: Call,
    request: Whole,
    link: Link,
) -> Result<Answer, Reset> {
    let mut dice = fault.dice.clone();
    let happens = |more: More| proxy.note(&fault, &call, more);
    let mut error = |trouble| Ok(errors::answer(&call, trouble, &mut dice));
    let pass = |request| pass(Arc::clone(&proxy), request);
    let plain = More::default();
    match fault.kind {
        Kind::Throttle => {
            happens(plain);
            error(Trouble::Throttled)
        }
        Kind::Internal => {
            happens(plain);
            error(Trouble::Internal)
        }
        Kind::InternalAfter => {
            happens(plain);
            pass(request).await.and_then(|_| error(Trouble::Internal))
        }
        Kind::Unavailable => {
            happens(plain);
            error(Trouble::Unavailable)
        }
        Kind::Away => {
            happens(plain);
            if fault.dice.clone().falls(0.5) { Err(Reset) } else { error(Trouble::Unavailable) }
        }
        Kind::Reset => {
            happens(plain);
            Err(Reset)
        }
        Kind::ResetAfter => {
            happens(plain);
            pass(request).await.and(Err(Reset))
        }
        Kind::Slow => {
            happens(plain);
            sleep(fault.delay(SLOW)).await;
            pass(request).await
        }
        Kind::SlowAfter => {
            happens(plain);
            let answer = pass(request).await;
            sleep(fault.delay(SLOW)).await;
            answer
        }
        Kind::Partial => {
            let left_out = partial::leave_out(&call, fault.params.one_in, &mut dice);
            happens(More { entries: Some(left_out.count), ..plain });
            let rest = Whole { head: request.head, body: left_out.entries.rest.to_string().into() };
            left_out.answer(async || pass(rest).await).await
        }
        Kind::Stale => {
            let older = locked(&proxy.memory).older(&call);
            let Some(older) = older else {
                proxy.take_back(&fault);
                return pass(request).await;
            };
            happens(plain);
            Ok(memory::conditional(&request, older))
        }
        Kind::KillBefore | Kind::KillAfter | Kind::KillAnswered => {
            let Some(caller) = find(&proxy, link).await else {
                proxy.take_back(&fault);
                return pass(request).await;
            };
            happens(More { pid: Some(caller.pid()), ..plain });
            if fault.kind == Kind::KillBefore {
                caller.kill();
                return Err(Reset);
            }
            let mut answer = pass(request).await?;
            if fault.kind == Kind::KillAfter {
                caller.kill();
                return Err(Reset);
            }
            answer.extensions_mut().insert(Written(Arc::new(move || caller.kill())));
            Ok(answer)
        }
        // Of the other side.
        Kind::Twice
        | Kind::Repeat
        | Kind::Shuffle
        | Kind::Split
        | Kind::Again
        | Kind::Late
        | Kind::GatewayTimeout
        | Kind::Kill => pass(request).await,
    }
}

/// The copy of a function that calls; `None` where it is gone, or no child of the runner.
async fn find(proxy: &Proxy, link: Link) -> Option<Caller> {
    let upstream = proxy.upstream()?;
    let copies = process::copies(&proxy.onward, &upstream.runner).await;
    copies.into_iter().find_map(|pid| Caller::find(pid, link))
}
