//! Scores a payment event for the workflow.

mod context;
mod handler;
mod settings;

use std::process::ExitCode;

use tollgate_lambda::start;
use tollgate_pipeline::fraud::FraudError;

use crate::{context::Context, settings::Settings};

#[global_allocator]
static ALLOCATOR: tollgate_lambda::Allocator = tollgate_lambda::Allocator;

fn main() -> ExitCode {
    start::run(Settings::read, Context::new, handler::handle, FraudError::name)
}
