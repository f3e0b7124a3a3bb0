//! Start-up: what every `main` does.

use std::{future::Future, process::ExitCode, sync::Arc};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::runtime::Builder;
use tracing::error;

use crate::settings::{Environment, Source};

/// What one invocation knows besides its payload.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Lambda's id of it.
    pub request_id: String,
    /// When Lambda will cut it off, unix milliseconds.
    pub deadline_ms: u64,
    /// The X-Ray trace header.
    pub trace: Option<String>,
}

/// Runs a function's whole life. One thread is enough for one invocation at a time; on Lambda Managed Instances, which
/// hand `AWS_LAMBDA_MAX_CONCURRENCY` of them to one process, there is one for each processor.
pub fn block_on(life: impl Future<Output = ExitCode>) -> ExitCode {
    let concurrency = Environment.get("AWS_LAMBDA_MAX_CONCURRENCY").and_then(|text| text.parse().ok());
    let mut builder = match concurrency.unwrap_or(1_u32) {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(life),
        Err(problem) => refuse(&problem),
    }
}

/// Serves invocations until Lambda stops the process: one after the other, or as many at once as
/// `AWS_LAMBDA_MAX_CONCURRENCY` says, all with the one `context`. The payload's text is handed over undecoded, so that
/// each function reads it once, in its own way. An error is reported to Lambda under its type's name.
///
/// # Errors
///
/// The Runtime API's.
pub async fn serve<C, T, E, F>(
    context: C,
    handle: impl Fn(Arc<C>, Invocation, Box<RawValue>) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    C: Send + Sync + 'static,
    T: Serialize + Send + 'static,
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    serve_named(context, handle, |_| std::any::type_name::<E>().rsplit("::").next().unwrap_or_default()).await
}

/// [`serve`], with a name for each error: what a workflow's `Retry` and `Catch` go by.
///
/// # Errors
///
/// The Runtime API's.
pub async fn serve_named<C, T, E, F>(
    context: C,
    handle: impl Fn(Arc<C>, Invocation, Box<RawValue>) -> F + Clone + Send + 'static,
    name: fn(&E) -> &'static str,
) -> Result<(), Error>
where
    C: Send + Sync + 'static,
    T: Serialize + Send + 'static,
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let shared = Arc::new(context);
    lambda_runtime::run_concurrent(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let context = event.context;
        let invocation = Invocation {
            request_id: context.request_id,
            deadline_ms: context.deadline,
            trace: context.xray_trace_id,
        };
        let handled = handle(Arc::clone(&shared), invocation, event.payload);
        async move {
            handled.await.map_err(|problem| {
                let name = name(&problem);
                error!(error = %problem, name, "invocation failed");
                Diagnostic { error_type: name.to_owned(), error_message: problem.to_string() }
            })
        }
    }))
    .await
}

/// Logs why the process cannot start, and gives the exit code for it.
pub fn refuse(problem: &dyn std::fmt::Display) -> ExitCode {
    error!(error = %problem, "cannot start");
    ExitCode::FAILURE
}

/// Whether an invocation waits for this start. Then only what it needs is fetched, and when it needs it; with
/// provisioned concurrency and on Managed Instances there is time to fetch before, and to fail before anything is
/// routed here.
pub fn is_awaited(source: &dyn Source) -> bool {
    source.get("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() == Some("on-demand")
}

/// `LOG_LEVEL`, read apart from the other settings so that what is wrong with those can be logged.
pub fn log_level(source: &dyn Source) -> String {
    source.get("LOG_LEVEL").unwrap_or_else(|| "info".to_owned())
}
