//! Compares what providers sent with what took effect, once a day. It takes nothing in.

mod context;
mod handler;
mod settings;

use std::process::ExitCode;

use tollgate_lambda::start;

use crate::{context::Context, settings::Settings};

#[global_allocator]
static ALLOCATOR: tollgate_lambda::Allocator = tollgate_lambda::Allocator;

fn main() -> ExitCode {
    start::run(Settings::read, Context::new, handler::handle, start::type_name)
}
