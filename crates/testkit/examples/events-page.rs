//! Prints `docs/events.md`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(tollgate_testkit::events_page::render().as_bytes())
}
