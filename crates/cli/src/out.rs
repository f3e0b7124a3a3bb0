//! Standard output and standard error: everything that the tool prints goes through here. A reader that goes away
//! (`tollgate status | head`) ends the tool quietly.
//!
//! What is printed may be of others: names, ids, answers, errors of AWS. A terminal obeys some characters of it, so they are
//! printed as `\uXXXX`. JSON has them within texts alone, where this form means the same character: what was JSON stays it.

use std::{
    fmt::{self, Write as _},
    io::Write,
};

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

/// The text without what a terminal obeys; lines stay lines.
pub fn escaped(text: impl fmt::Display) -> String {
    let mut out = Escaping(String::new());
    // Writing to memory fails only where a text's own formatting does.
    let _ = write!(out, "{text}");
    out.0
}

struct Escaping(String);

impl fmt::Write for Escaping {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if is_obeyed(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(self.0, "\\u{unit:04x}")?;
                }
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

/// Whether a terminal does something else with it than to show it: C0 but for line feed and tab, DEL, C1, what turns the
/// direction of text ("Bidirectional Algorithm", Unicode annex 9), separators of lines, and what has no width, by which two
/// names look like one.
fn is_obeyed(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{feff}' => {
            true
        }
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        for (text, shown) in [
            ("\u{1b}[2J\u{7}", "\\u001b[2J\\u0007"),
            ("\u{9b}31m\u{7f}", "\\u009b31m\\u007f"),
            ("a\u{202e}b\u{2066}c\u{200f}\u{61c}", "a\\u202eb\\u2066c\\u200f\\u061c"),
            ("a\u{200b}b\u{feff}\u{ad}", "a\\u200bb\\ufeff\\u00ad"),
            ("\u{e0041}", "\\udb40\\udc41"),
            ("one\r\ntwo\tthree", "one\\u000d\ntwo\tthree"),
            ("Zo\u{eb} \u{1f600} 49,90 \u{20ac} \u{5e9}", "Zo\u{eb} \u{1f600} 49,90 \u{20ac} \u{5e9}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let every: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let json = serde_json::json!({ "text": every });
        for printed in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
            let escaped = escaped(printed);
            assert!(!escaped.chars().any(is_obeyed));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), json);
        }
    }
}
