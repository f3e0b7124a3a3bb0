//! Scores a payment event for the workflow.

mod context;
mod handler;
mod settings;

use std::process::ExitCode;

use tollgate_lambda::{logging, settings::Environment, start};
use tollgate_pipeline::fraud::FraudError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    logging::init(&settings::log_level(&Environment));
    let settings = match settings::Settings::read(&Environment) {
        Ok(settings) => settings,
        Err(problem) => return start::refuse(&problem),
    };
    let context = context::Context::new(settings).await;
    let handle = |invocation, payload| handler::handle(&context, invocation, payload);
    match start::serve_named(handle, FraudError::name).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => start::refuse(&problem),
    }
}
