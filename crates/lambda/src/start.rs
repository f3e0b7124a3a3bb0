//! Start-up: what every function's `main` does.

use std::{
    collections::HashMap,
    fmt::Display,
    future::Future,
    io, mem,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use lambda_runtime::{
    Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, Service, layers::TracingLayer, service_fn,
    tower::layer::layer_fn,
};
use serde::Serialize;
use tokio::runtime::Builder;
use tracing::error;

use crate::{
    logging,
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

/// Payloads by request id, while the runtime decodes `null` instead. Its own decoding would read and copy each once
/// more.
#[derive(Debug, Clone, Default)]
struct Payloads(Arc<Mutex<HashMap<String, Bytes>>>);

impl Payloads {
    fn put(&self, request_id: &str, payload: Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(request_id.to_owned(), payload);
    }

    fn take(&self, request_id: &str) -> Payload {
        Payload(self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(request_id).unwrap_or_default())
    }
}

/// Keeps each payload as it was received and gives the runtime `null` to decode.
#[derive(Debug, Clone)]
struct BypassDeserialization<S> {
    inner: S,
    payloads: Payloads,
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for BypassDeserialization<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        let payload = mem::replace(&mut invocation.body, Bytes::from_static(b"null"));
        self.payloads.put(&invocation.context.request_id, payload);
        self.inner.call(invocation)
    }
}

/// Runs a function: logs, settings, context, then invocations until Lambda stops the process, one after the other or up
/// to `AWS_LAMBDA_MAX_CONCURRENCY` at once, all with the same context. A problem at the start is logged. `handle` gets
/// the payload as it was received, so that each function reads it once, in its own way. Its error is reported to Lambda
/// under `error_name`, which a workflow's `Retry` and `Catch` compare.
pub fn run<S, C, P, T, E, F>(
    read: impl FnOnce(&dyn Source) -> Result<S, SettingsError>,
    prepare: impl AsyncFnOnce(S) -> Result<C, P>,
    handle: impl Fn(Arc<C>, Invocation, Payload) -> F + Clone + Send + 'static,
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
    let concurrency = Environment.get("AWS_LAMBDA_MAX_CONCURRENCY").and_then(|text| text.parse().ok());
    let mut builder = match concurrency.unwrap_or(1_u32) {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// Serves invocations until Lambda stops the process.
async fn serve<C, T, E, F>(
    context: C,
    handle: impl Fn(Arc<C>, Invocation, Payload) -> F + Clone + Send + 'static,
    error_name: fn(&E) -> &'static str,
) -> Result<(), Error>
where
    C: Send + Sync + 'static,
    T: Serialize + Send + 'static,
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let shared = Arc::new(context);
    let payloads = Payloads::default();
    let bypassed = payloads.clone();
    let service = service_fn(move |event: LambdaEvent<()>| {
        let context = event.context;
        let payload = payloads.take(&context.request_id);
        let invocation = Invocation {
            request_id: context.request_id,
            deadline_ms: context.deadline,
            trace: context.xray_trace_id,
        };
        let handled = handle(Arc::clone(&shared), invocation, payload);
        async move {
            handled.await.map_err(|problem| {
                let name = error_name(&problem);
                error!(error = %problem, name, "invocation failed");
                Diagnostic { error_type: name.to_owned(), error_message: problem.to_string() }
            })
        }
    });
    let bypass = layer_fn(move |inner| BypassDeserialization { inner, payloads: bypassed.clone() });
    Runtime::new(service).layer(TracingLayer::new()).layer(bypass).run_concurrent().await
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
