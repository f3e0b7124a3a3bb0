//! Standard output. A reader that goes away (`tollgate status | head`) ends the tool quietly.

use std::{fmt, io::Write};

/// What a shell reports of a program that SIGPIPE ended.
const PIPE_CLOSED: i32 = 141;

/// Prints a line.
#[macro_export]
macro_rules! say {
    () => { $crate::out::write(format_args!("\n")) };
    ($($text:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints text as it is.
#[macro_export]
macro_rules! show {
    ($($text:tt)*) => { $crate::out::write(format_args!($($text)*)) };
}

/// Writes to standard output. The process ends when the reader has closed it.
pub fn write(text: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if out.write_fmt(text).and_then(|()| out.flush()).is_err() {
        std::process::exit(PIPE_CLOSED);
    }
}
