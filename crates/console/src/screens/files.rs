//! What is shown, as files.

use anyhow::Context;
use hyper::{
    StatusCode,
    header::{CONTENT_DISPOSITION, HeaderValue},
};
use tollgate_operate::search::Found;

use crate::http::{Response, with};

/// A text to be kept as a file.
pub(super) fn file(kind: &'static str, name: &str, text: String) -> anyhow::Result<Response> {
    let mut answer: Response = with(StatusCode::OK, kind, text);
    let value = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))?;
    answer.headers_mut().insert(CONTENT_DISPOSITION, value);
    Ok(answer)
}

fn some(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// What an event says, by column.
fn columns(one: &Found) -> [(&'static str, &str); 18] {
    [
        ("received_at", &one.received_at),
        ("webhook_id", &one.webhook_id),
        ("endpoint", &one.endpoint),
        ("provider", &one.provider),
        ("outcome", &one.outcome),
        ("reason", some(&one.reason)),
        ("authenticity", &one.authenticity),
        ("event_id", some(&one.event_id)),
        ("type", some(&one.kind)),
        ("provider_event_id", some(&one.provider_event_id)),
        ("provider_event_type", some(&one.provider_event_type)),
        ("transaction_id", some(&one.transaction_id)),
        ("movement_id", some(&one.movement_id)),
        ("amount", some(&one.amount)),
        ("currency", some(&one.currency)),
        ("occurred_at", some(&one.occurred_at)),
        ("customer_id", some(&one.customer_id)),
        ("restates", some(&one.restates)),
    ]
}

pub(super) fn csv(found: &[Found]) -> String {
    let line = |cells: [String; 18]| cells.join(",") + "\r\n";
    let mut out = line(columns(&Found::default()).map(|(name, _)| name.to_owned()));
    for one in found {
        out.push_str(&line(columns(one).map(|(_, text)| cell(text))));
    }
    out
}

/// A cell (RFC 4180). A text of others that a spreadsheet would take for a formula has an apostrophe before that ("CSV Injection",
/// OWASP).
pub(super) fn cell(text: &str) -> String {
    let is_number = text
        .strip_prefix('-')
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let text = if is_number { text.to_owned() } else { no_formula(text) };
    match text.contains([',', '"', ';', '\t', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// Where a comma is the decimal point, spreadsheets end a cell at a semicolon, and some at a tab, though it is between quotes that the
/// cell does not begin with: a formula may begin behind each of them. A quote, as a space, is no part of it.
fn no_formula(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    if text.starts_with(['\t', '\r']) {
        out.push('\'');
    }
    let mut begins = true;
    for c in text.chars() {
        match c {
            '=' | '+' | '-' | '@' if begins => out.push('\''),
            _ => {}
        }
        begins = matches!(c, ';' | ',' | '\t' | '\n' | '\r') || (begins && matches!(c, '"' | ' '));
        out.push(c);
    }
    out
}

pub(super) fn lines(found: &[Found]) -> anyhow::Result<String> {
    let mut out = String::new();
    for one in found {
        out.push_str(&serde_json::to_string(one).context("an event as JSON")?);
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula() {
        for (text, expected) in [
            ("plain", "plain"),
            ("-12.50", "-12.50"),
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("-cmd", "'-cmd"),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("+1,2", "\"'+1,2\""),
            // Where a semicolon or a tab ends a cell.
            ("pi_1;=1+1", "\"pi_1;'=1+1\""),
            ("pi_1; \"@x\"", "\"pi_1; \"\"'@x\"\"\""),
            ("a\t-cmd", "\"a\t'-cmd\""),
            ("a\n=1", "\"a\n'=1\""),
            ("a,b,+1", "\"a,b,'+1\""),
            ("\tx", "\"'\tx\""),
            ("\"=1\"", "\"\"\"'=1\"\"\""),
            ("a-b;c=d", "\"a-b;c=d\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
