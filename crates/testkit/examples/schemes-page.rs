//! Prints `docs/custom-schemes.md`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(tollgate_testkit::schemes_page::render().as_bytes())
}
