//! Scores a payment event for the workflow.

mod context;
mod handler;
mod settings;

use std::process::ExitCode;

use tollgate_lambda::{logging, settings::Environment, start};
use tollgate_pipeline::fraud::FraudError;

#[global_allocator]
static ALLOCATOR: tollgate_lambda::Allocator = tollgate_lambda::Allocator;

fn main() -> ExitCode {
    start::block_on(run())
}

async fn run() -> ExitCode {
    logging::init(&settings::log_level(&Environment));
    let settings = match settings::Settings::read(&Environment) {
        Ok(settings) => settings,
        Err(problem) => return start::refuse(&problem),
    };
    let context = context::Context::new(settings).await;
    match start::serve_named(context, handler::handle, FraudError::name).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => start::refuse(&problem),
    }
}
