//! Start-up: what every `main` does.

use std::future::Future;

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;
use tracing::error;

use crate::settings::Source;

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

/// Serves invocations until Lambda stops the process. The payload's text is handed over undecoded, so that each
/// function reads it once, in its own way. An error is reported to Lambda under its type's name.
///
/// # Errors
///
/// The Runtime API's.
pub async fn serve<T, E, F>(handle: impl Fn(Invocation, Box<RawValue>) -> F) -> Result<(), Error>
where
    T: Serialize,
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>>,
{
    let name = std::any::type_name::<E>().rsplit("::").next().unwrap_or_default();
    serve_named(handle, |_| name).await
}

/// [`serve`], with a name for each error: what a workflow's `Retry` and `Catch` go by.
///
/// # Errors
///
/// The Runtime API's.
pub async fn serve_named<T, E, F>(
    handle: impl Fn(Invocation, Box<RawValue>) -> F,
    name: impl Fn(&E) -> &'static str,
) -> Result<(), Error>
where
    T: Serialize,
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>>,
{
    let (handle, name) = (&handle, &name);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let context = event.context;
        let invocation = Invocation {
            request_id: context.request_id,
            deadline_ms: context.deadline,
            trace: context.xray_trace_id,
        };
        handle(invocation, event.payload).await.map_err(|problem| {
            let name = name(&problem);
            error!(error = %problem, name, "invocation failed");
            Diagnostic { error_type: name.to_owned(), error_message: problem.to_string() }
        })
    }))
    .await
}

/// Logs why the process cannot start, and gives the exit code for it.
pub fn refuse(problem: &dyn std::fmt::Display) -> std::process::ExitCode {
    error!(error = %problem, "cannot start");
    std::process::ExitCode::FAILURE
}

/// `LOG_LEVEL`, read apart from the other settings so that what is wrong with those can be logged.
pub fn log_level(source: &dyn Source) -> String {
    source.get("LOG_LEVEL").unwrap_or_else(|| "info".to_owned())
}
