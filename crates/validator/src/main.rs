//! Takes a webhook in: verifies it, claims it, makes it durable, answers.

// The AWS clients' futures nest deeper than the default limit of 128 when a layout is computed.
#![recursion_limit = "256"]

mod context;
mod event;
mod handler;
mod settings;

use std::process::ExitCode;

use tollgate_lambda::{logging, settings::Environment, start};

#[global_allocator]
static ALLOCATOR: tollgate_lambda::Allocator = tollgate_lambda::Allocator;

fn main() -> ExitCode {
    start::block_on(run())
}

async fn run() -> ExitCode {
    logging::init(&start::log_level(&Environment));
    let settings = match settings::Settings::read(&Environment) {
        Ok(settings) => settings,
        Err(problem) => return start::refuse(&problem),
    };
    let context = match context::Context::new(&settings).await {
        Ok(context) => context,
        Err(problem) => return start::refuse(&problem),
    };
    match start::serve(context, handler::handle).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => start::refuse(&problem),
    }
}
