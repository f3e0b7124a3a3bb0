//! Texts of others (names, ids, answers, errors of AWS) as people may see them: a terminal or a browser does something else with
//! some characters than to show them, so they are written as `\uXXXX`. JSON has them within texts alone, where this form means
//! the same character: what was JSON stays it.

use std::fmt::{self, Write as _};

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
