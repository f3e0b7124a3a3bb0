//! A function's calls to AWS.

use std::sync::Arc;

use hyper::{Request, body::Incoming};

use crate::{
    call::Call,
    errors::{self, Trouble},
    http::{Answer, Reset, Whole},
    log::More,
    proxy::Proxy,
    rule::{Fault, Kind},
};

/// Answers one call of a function.
pub async fn handle(
    proxy: Arc<Proxy>,
    function: Arc<str>,
    request: Request<Incoming>,
) -> Result<Answer, Reset> {
    let request = match Whole::read(request).await {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let call = Call::to_aws(&function, &request);
    // A call that AWS has read takes effect, whether or not its caller waits still.
    let answered = match proxy.choose(&call) {
        None => tokio::spawn(pass(proxy, request)),
        Some(fault) => tokio::spawn(fail(proxy, fault, call, request)),
    };
    answered.await.map_err(|_| Reset)?
}

async fn pass(proxy: Arc<Proxy>, request: Whole) -> Result<Answer, Reset> {
    let upstream = proxy.upstream().ok_or(Reset)?;
    let target = request.target().to_owned();
    proxy.onward.pass(&upstream.aws, &target, request).await
}

async fn fail(proxy: Arc<Proxy>, mut fault: Fault, call: Call, request: Whole) -> Result<Answer, Reset> {
    proxy.note(&fault, &call, More::default());
    match fault.kind {
        Kind::Throttle => Ok(errors::answer(&call, Trouble::Throttled, &mut fault.dice)),
        Kind::Internal => Ok(errors::answer(&call, Trouble::Internal, &mut fault.dice)),
        Kind::InternalAfter => {
            let _ = pass(proxy, request).await;
            Ok(errors::answer(&call, Trouble::Internal, &mut fault.dice))
        }
        Kind::Unavailable => Ok(errors::answer(&call, Trouble::Unavailable, &mut fault.dice)),
    }
}
