//! Writes archive batches to S3, one write-once object each.

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
    logging::init(&settings::log_level(&Environment));
    let settings = match settings::Settings::read(&Environment) {
        Ok(settings) => settings,
        Err(problem) => return start::refuse(&problem),
    };
    let context = context::Context::new(&settings).await;
    match start::serve(context, handler::handle).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => start::refuse(&problem),
    }
}
