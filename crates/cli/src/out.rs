//! Standard output and standard error: everything that the tool prints goes through here. A reader that goes away
//! (`tollgate status | head`) ends the tool quietly.
//!
//! What is printed may be of others: names, ids, answers, errors of AWS. A terminal obeys some characters of it, so they are
//! printed as `\uXXXX`. JSON has them within texts alone, where this form means the same character: what was JSON stays it.

use std::{fmt, io::Write};

pub use tollgate_operate::shown::escaped;

/// What a shell reports of a program that SIGPIPE ended.
const PIPE_CLOSED: i32 = 141;

/// Prints a line.
#[macro_export]
macro_rules! say {
    () => { $crate::out::write(format_args!("\n")) };
    ($($text:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints text without ending the line.
#[macro_export]
macro_rules! show {
    ($($text:tt)*) => { $crate::out::write(format_args!($($text)*)) };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! complain {
    ($($text:tt)*) => { $crate::out::complain(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to standard output. The process ends when the reader has closed it.
pub fn write(text: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if out.write_all(escaped(text).as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(PIPE_CLOSED);
    }
}

/// Writes to standard error, where there is one.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = std::io::stderr().lock().write_all(escaped(text).as_bytes());
}
