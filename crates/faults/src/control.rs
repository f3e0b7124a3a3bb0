//! The control requests.

use std::sync::Arc;

use hyper::{Method, Request, StatusCode, body::Incoming};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    http::{self, Answer, Reset, Whole},
    lock::locked,
    proxy::{Proxy, Upstream},
};

/// Answers one request.
pub async fn handle(proxy: Arc<Proxy>, request: Request<Incoming>) -> Result<Answer, Reset> {
    let request = match Whole::read(request).await {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    Ok(answer(&proxy, &request).unwrap_or_else(|problem| http::text(StatusCode::BAD_REQUEST, &problem)))
}

fn answer(proxy: &Proxy, request: &Whole) -> Result<Answer, String> {
    let done = Ok(http::json(StatusCode::OK, &json!({})));
    match (&request.head.method, request.head.uri.path()) {
        (&Method::GET, "/ports") => Ok(http::json(StatusCode::OK, &json!(proxy.ports))),
        (&Method::PUT, "/upstream") => {
            let upstream: Upstream = read(request)?;
            if !upstream.is_local() {
                return Err("aws and runner: http://127.0.0.1:PORT".into());
            }
            proxy.set_upstream(upstream);
            done
        }
        (&Method::GET, "/rules") => Ok(http::json(StatusCode::OK, &locked(&proxy.rules).listed())),
        (&Method::PUT, "/rules") => {
            proxy.replace_rules(read(request)?)?;
            done
        }
        (&Method::DELETE, "/rules") => {
            proxy.replace_rules(Vec::new())?;
            done
        }
        (&Method::GET, "/counts") => Ok(http::json(StatusCode::OK, &locked(&proxy.rules).counts())),
        (&Method::GET, "/calls") => Ok(http::json(StatusCode::OK, &proxy.calls())),
        _ => Ok(http::text(StatusCode::NOT_FOUND, "no such path")),
    }
}

fn read<T: DeserializeOwned>(request: &Whole) -> Result<T, String> {
    serde_json::from_slice(&request.body).map_err(|error| error.to_string())
}
