//! The control listener: configure, invoke, watch and kill functions.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use hyper::{Method, Request, StatusCode, body::Incoming};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    function::Function,
    http::{self, Answer, ReadError},
    spec::{Host, Spec, is_function_name},
};

/// Every function on this machine.
#[derive(Debug)]
pub struct Runner {
    host: Rc<Host>,
    functions: RefCell<BTreeMap<String, Rc<Function>>>,
    stopping: Cell<bool>,
}

impl Runner {
    /// Without functions.
    pub fn new(host: Host) -> Self {
        Self { host: Rc::new(host), functions: RefCell::default(), stopping: Cell::default() }
    }

    /// Stops every function; no process is left when it returns.
    pub async fn stop(&self) {
        self.stopping.set(true);
        let functions = self.functions.take();
        let stops: Vec<_> = functions
            .into_values()
            .map(|function| tokio::task::spawn_local(async move { function.stop().await }))
            .collect();
        for stop in stops {
            let _ = stop.await;
        }
    }

    fn function(&self, name: &str) -> Option<Rc<Function>> {
        self.functions.borrow().get(name).map(Rc::clone)
    }

    async fn configure(&self, name: &str, request: Request<Incoming>) -> Answer {
        let body = match http::read(request.into_body()).await {
            Ok(body) => body,
            Err(_) => return bad_request("the body is too large or broken off"),
        };
        if !is_function_name(name) {
            return bad_request("a function's name is 1 to 64 of letters, digits, '-' and '_'");
        }
        let spec: Spec = match serde_json::from_slice(&body) {
            Ok(spec) => spec,
            Err(error) => return bad_request(&error.to_string()),
        };
        if let Err(problem) = spec.check() {
            return bad_request(&problem);
        }
        if self.stopping.get() {
            return http::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceException",
                "the runner is stopping",
            );
        }
        let function = match self.function(name) {
            Some(function) => function,
            None => match Function::new(name, Rc::clone(&self.host)) {
                Ok(function) => {
                    let function = Rc::new(function);
                    self.functions.borrow_mut().insert(name.to_owned(), Rc::clone(&function));
                    function
                }
                Err(error) => {
                    let message = format!("cannot open the log: {error}");
                    return http::error(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", &message);
                }
            },
        };
        match function.configure(spec).await {
            Ok(()) => http::json(StatusCode::OK, &function.status()),
            Err(fault) => http::error(StatusCode::BAD_GATEWAY, &fault.kind, &fault.message),
        }
    }

    async fn invoke(&self, name: &str, request: Request<Incoming>) -> Answer {
        let Some(function) = self.function(name) else { return unknown(name) };
        let (parts, body) = request.into_parts();
        let payload = match http::read(body).await {
            Ok(payload) => payload,
            Err(ReadError::TooLarge) => {
                let message = format!("more than {} bytes", http::MAX_PAYLOAD);
                return http::error(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message);
            }
            Err(ReadError::BrokenOff) => return bad_request("the body is broken off"),
        };
        match function.invoke(&parts.headers, payload).await {
            Some(outcome) => outcome.answer(),
            None => http::error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded."),
        }
    }

    fn kill(&self, name: &str) -> Answer {
        let Some(function) = self.function(name) else { return unknown(name) };
        match function.kill_one() {
            Some(killed) => http::json(StatusCode::OK, &killed),
            None => http::error(StatusCode::CONFLICT, "ResourceConflictException", "no copy is alive"),
        }
    }

    fn status(&self) -> Answer {
        let functions: Vec<_> = self.functions.borrow().values().map(|function| function.status()).collect();
        http::json(StatusCode::OK, &json!({ "functions": functions }))
    }
}

/// Serves the control requests until dropped.
pub async fn accept(listener: TcpListener, runner: Rc<Runner>) {
    http::accept(listener, move |request| handle(Rc::clone(&runner), request)).await;
}

async fn handle(runner: Rc<Runner>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["functions"]) => runner.status(),
        (&Method::PUT, ["functions", name]) => runner.configure(name, request).await,
        (&Method::POST, ["functions", name, "invocations"]) => runner.invoke(name, request).await,
        (&Method::POST, ["functions", name, "kill"]) => runner.kill(name),
        _ => http::error(StatusCode::NOT_FOUND, "NotFound", "no such path"),
    }
}

fn bad_request(problem: &str) -> Answer {
    http::error(StatusCode::BAD_REQUEST, "InvalidParameterValueException", problem)
}

fn unknown(name: &str) -> Answer {
    let message = format!("function not found: {name}");
    http::error(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message)
}
