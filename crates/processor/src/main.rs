//! Turns intake batches into payment events, once each.

mod context;
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
    if settings.is_parallel {
        tollgate_pipeline::process::init_thread_pool();
    }
    let context = match context::Context::new(settings).await {
        Ok(context) => context,
        Err(problem) => return start::refuse(&problem),
    };
    match start::serve(context, handler::handle).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => start::refuse(&problem),
    }
}
