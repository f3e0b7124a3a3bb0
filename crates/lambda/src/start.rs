//! Start-up: what every function's `main` does.

use std::{fmt::Display, future::Future, io, panic::AssertUnwindSafe, process::ExitCode, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use serde::Serialize;
use tokio::{runtime::Builder, task::JoinSet};
use tracing::error;

use crate::{
    logging,
    runtime_api::{Diagnostic, Next, RuntimeApi, RuntimeError},
    settings::{Environment, SettingsError, Source},
};

/// An invocation without its payload.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// When Lambda ends it, in Unix milliseconds.
    pub deadline_ms: u64,
    /// The X-Ray trace header.
    pub trace: Option<String>,
}

/// An invocation's payload, as it was received.
#[derive(Debug)]
pub struct Payload(Bytes);

impl Payload {
    /// Its bytes, which may not be UTF-8.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its text. Empty if it is not UTF-8; no function accepts that as an event.
    pub fn text(&self) -> &str {
        simdutf8::basic::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Runs a function: logs, settings, context, then invocations until Lambda stops the process, one after the other or up
/// to `AWS_LAMBDA_MAX_CONCURRENCY` at once, all with the same context. A problem at the start is logged. `handle` gets
/// the payload as it was received, so that each function reads it once, in its own way. Its error is reported to Lambda
/// under `error_name`, which a workflow's `Retry` and `Catch` compare.
pub fn run<S, C, P, T, E, F>(
    read: impl FnOnce(&dyn Source) -> Result<S, SettingsError>,
    prepare: impl AsyncFnOnce(S) -> Result<C, P>,
    handle: impl Fn(Arc<C>, Invocation, Payload) -> F + Send + Sync + 'static,
    error_name: fn(&E) -> &'static str,
) -> ExitCode
where
    C: Send + Sync + 'static,
    P: Display,
    T: Serialize + Send + 'static,
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    logging::init(&log_level(&Environment));
    let settings = match read(&Environment) {
        Ok(settings) => settings,
        Err(problem) => return start_failed(&problem),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(problem) => return start_failed(&problem),
    };
    runtime.block_on(async {
        let context = match prepare(settings).await {
            Ok(context) => context,
            Err(problem) => return start_failed(&problem),
        };
        match serve(context, handle, error_name).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => start_failed(&problem),
        }
    })
}

/// The name of an error's type: the `error_name` of a function that no workflow calls.
pub fn type_name<E>(_: &E) -> &'static str {
    std::any::type_name::<E>().rsplit("::").next().unwrap_or_default()
}

/// For one invocation at a time one thread is enough. On Lambda Managed Instances a process has
/// `AWS_LAMBDA_MAX_CONCURRENCY` invocations at once, and there is one thread for each processor.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let mut builder = match at_once() {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// Invocations at once, 1 at least.
fn at_once() -> u32 {
    let text = Environment.get("AWS_LAMBDA_MAX_CONCURRENCY");
    text.and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

/// Serves invocations until Lambda stops the process, or the runtime API has none.
async fn serve<C, T, E, F>(
    context: C,
    handle: impl Fn(Arc<C>, Invocation, Payload) -> F + Send + Sync + 'static,
    error_name: fn(&E) -> &'static str,
) -> Result<(), RuntimeError>
where
    C: Send + Sync + 'static,
    T: Serialize + Send + 'static,
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let address = Environment.get("AWS_LAMBDA_RUNTIME_API").ok_or(RuntimeError::NotLambda)?;
    let worker =
        Arc::new(Worker { api: RuntimeApi::new(&address), context: Arc::new(context), handle, error_name });
    let workers = at_once();
    if workers == 1 {
        return worker.run().await;
    }
    let mut set = JoinSet::new();
    for _ in 0..workers {
        set.spawn(Arc::clone(&worker).run());
    }
    let mut last = Ok(());
    // The others go on: each has a connection of its own.
    while let Some(ended) = set.join_next().await {
        last = ended.map_err(RuntimeError::from).flatten();
        if let Err(problem) = &last {
            error!(error = %problem, left = set.len(), "a worker has ended");
        }
    }
    last
}

/// One invocation after the other.
struct Worker<C, H, E> {
    api: RuntimeApi,
    context: Arc<C>,
    handle: H,
    error_name: fn(&E) -> &'static str,
}

impl<C, H, E> Worker<C, H, E> {
    async fn run<T, F>(self: Arc<Self>) -> Result<(), RuntimeError>
    where
        T: Serialize,
        E: std::error::Error,
        H: Fn(Arc<C>, Invocation, Payload) -> F,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            let Next { head, deadline_ms, trace, payload } = self.api.next().await?;
            let invocation = Invocation { request_id: head.request_id.clone(), deadline_ms, trace };
            let handled =
                async { (self.handle)(Arc::clone(&self.context), invocation, Payload(payload)).await };
            // What is shared is behind locks, which say that somebody panicked.
            let handled = AssertUnwindSafe(handled).catch_unwind().await;
            match self.told(handled) {
                Ok(json) => self.api.answer(&head, json).await?,
                Err(diagnostic) => self.api.fail(&head, &diagnostic).await?,
            }
        }
    }

    fn told<T: Serialize, P>(&self, handled: Result<Result<T, E>, P>) -> Result<Vec<u8>, Diagnostic>
    where
        E: std::error::Error,
    {
        let (error_type, error_message) = match handled {
            Ok(Ok(answer)) => match serde_json::to_vec(&answer) {
                Ok(json) => return Ok(json),
                Err(problem) => ("Runtime.MarshalError", problem.to_string()),
            },
            Ok(Err(problem)) => ((self.error_name)(&problem), problem.to_string()),
            // What it says may be of the data. The panic's own line has where it was.
            Err(_) => ("Runtime.Panic", "the handler panicked".to_owned()),
        };
        error!(error = error_message, name = error_type, "invocation failed");
        Err(Diagnostic { error_type: error_type.to_owned(), error_message })
    }
}

/// Logs why the process cannot start and returns its exit code.
fn start_failed(problem: &dyn Display) -> ExitCode {
    error!(error = %problem, "cannot start");
    ExitCode::FAILURE
}

/// Whether an invocation waits for this start. Then the function fetches only what the invocation needs, when it needs
/// it. With provisioned concurrency and on Managed Instances it fetches everything before the first invocation, and can
/// fail before it gets one.
pub fn is_on_demand_start(source: &dyn Source) -> bool {
    source.get("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() == Some("on-demand")
}

/// `LOG_LEVEL`. It is read before the other settings, so that problems with those can be logged.
fn log_level(source: &dyn Source) -> String {
    source.get("LOG_LEVEL").unwrap_or_else(|| "info".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use http_body_util::{BodyExt, Full};
    use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use super::*;

    /// The path, the invocation's id, the kind of failure, and the body.
    type Said = (String, Option<String>, Option<String>, String);

    /// Hands out what it has, with the headers that Lambda sends, and keeps what is said of each.
    #[derive(Default)]
    struct Lambda {
        waiting: Mutex<VecDeque<&'static str>>,
        said: Mutex<Vec<Said>>,
    }

    impl Lambda {
        async fn start(self: &Arc<Self>) -> String {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let lambda = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let lambda = Arc::clone(&lambda);
                    let service = service_fn(move |request| {
                        let lambda = Arc::clone(&lambda);
                        async move { Ok::<_, hyper::Error>(lambda.answer(request).await) }
                    });
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
            });
            address
        }

        async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
            let path =
                request.uri().path().strip_prefix("/2018-06-01/runtime/invocation/").unwrap().to_owned();
            if path == "next" {
                let next = self.waiting.lock().unwrap().pop_front();
                let response = Response::builder();
                let Some(payload) = next else { return response.status(500).body(Full::default()).unwrap() };
                return response
                    .header("Lambda-Runtime-Aws-Request-Id", format!("of-{payload}"))
                    .header("Lambda-Runtime-Invocation-Id", format!("again-{payload}"))
                    .header("Lambda-Runtime-Deadline-Ms", "1700000000123")
                    .header("Lambda-Runtime-Trace-Id", format!("Root=1-{payload}"))
                    .body(Full::new(Bytes::from(payload)))
                    .unwrap();
            }
            let header =
                |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let (id, kind) =
                (header("lambda-runtime-invocation-id"), header("lambda-runtime-function-error-type"));
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let status = if path.starts_with("of-late") { 410 } else { 202 };
            self.said.lock().unwrap().push((path, id, kind, String::from_utf8(body.to_vec()).unwrap()));
            Response::builder().status(status).body(Full::default()).unwrap()
        }
    }

    async fn handle(_: Arc<()>, invocation: Invocation, payload: Payload) -> Result<String, io::Error> {
        match payload.text() {
            "panics" => panic!("of what was sent"),
            "fails" => Err(io::Error::other("no table")),
            text => Ok(format!("{text} {} {:?}", invocation.deadline_ms, invocation.trace)),
        }
    }

    #[tokio::test]
    async fn each_invocation_is_answered_whatever_becomes_of_the_one_before() {
        let lambda = Arc::new(Lambda::default());
        lambda.waiting.lock().unwrap().extend(["first", "fails", "panics", "late", "last"]);
        let api = RuntimeApi::new(&lambda.start().await);
        let worker = Worker { api, context: Arc::new(()), handle, error_name: |_: &io::Error| "Io" };
        let ended = Arc::new(worker).run().await.unwrap_err();
        assert!(matches!(&ended, RuntimeError::Status(status) if status.as_u16() == 500), "{ended}");
        let said = lambda.said.lock().unwrap();
        let answer = |of: &str| format!("\"{of} 1700000000123 Some(\\\"Root=1-{of}\\\")\"");
        let expected = [
            ("first", "response", None, answer("first")),
            (
                "fails",
                "error",
                Some("Unhandled"),
                r#"{"errorType":"Io","errorMessage":"no table"}"#.to_owned(),
            ),
            (
                "panics",
                "error",
                Some("Unhandled"),
                r#"{"errorType":"Runtime.Panic","errorMessage":"the handler panicked"}"#.to_owned(),
            ),
            ("late", "response", None, answer("late")),
            ("last", "response", None, answer("last")),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(of, what, kind, body)| {
                (format!("of-{of}/{what}"), Some(format!("again-{of}")), kind.map(str::to_owned), body)
            })
            .collect();
        assert_eq!(*said, expected);
        assert!(Environment.get("_X_AMZN_TRACE_ID").is_none(), "the C library would keep each for ever");
    }

    #[tokio::test]
    async fn an_invocation_without_its_headers_ends_the_process() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let empty = service_fn(async |_| Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::default())));
            http1::Builder::new().serve_connection(TokioIo::new(stream), empty).await
        });
        let problem = RuntimeApi::new(&address).next().await.unwrap_err();
        assert!(matches!(problem, RuntimeError::Header("lambda-runtime-aws-request-id")), "{problem}");
    }
}
