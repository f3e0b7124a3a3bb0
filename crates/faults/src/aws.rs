//! A function's calls to AWS.

use std::sync::Arc;

use hyper::{Request, body::Incoming};

use crate::{
    http::{Answer, Reset, Whole},
    proxy::Proxy,
};

/// Answers one call of a function.
pub async fn handle(proxy: Arc<Proxy>, request: Request<Incoming>) -> Result<Answer, Reset> {
    let request = match Whole::read(request).await {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let upstream = proxy.upstream().ok_or(Reset)?;
    let target = request.target().to_owned();
    // A call that AWS has read takes effect, whether or not its caller waits still.
    let called = async move { proxy.onward.pass(&upstream.aws, &target, request).await };
    tokio::spawn(called).await.map_err(|_| Reset)?
}
