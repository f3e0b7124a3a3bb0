//! Invocations of functions.

use std::sync::Arc;

use hyper::{Request, StatusCode, body::Incoming};

use crate::{
    http::{self, Answer, Reset, Whole},
    proxy::Proxy,
};

/// Passes on `/{function}/…` to the runner as `/…`.
pub async fn handle(proxy: Arc<Proxy>, request: Request<Incoming>) -> Result<Answer, Reset> {
    let request = match Whole::read(request).await {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let target = request.target().to_owned();
    let Some((function, path)) = target.trim_start_matches('/').split_once('/') else {
        return Ok(http::text(StatusCode::NOT_FOUND, "the path is /{function}/…"));
    };
    if !proxy.ports.aws.contains_key(function) {
        return Ok(http::text(StatusCode::NOT_FOUND, "no such function"));
    }
    let upstream = proxy.upstream().ok_or(Reset)?;
    proxy.onward.pass(&upstream.runner, &format!("/{path}"), request).await
}
