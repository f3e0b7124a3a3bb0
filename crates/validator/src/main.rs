//! Takes webhooks in: verifies each, claims its events, makes it durable, answers.

// The AWS clients' futures nest deeper than the default limit of 128 when a layout is computed.
#![recursion_limit = "256"]

mod context;
mod event;
mod handler;
mod replayed;
mod settings;

use std::process::ExitCode;

use tollgate_lambda::start;

use crate::{context::Context, settings::Settings};

#[global_allocator]
static ALLOCATOR: tollgate_lambda::Allocator = tollgate_lambda::Allocator;

fn main() -> ExitCode {
    start::run(Settings::read, Context::new, handler::handle, start::type_name)
}
