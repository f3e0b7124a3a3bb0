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

pub(super) fn csv(found: &[Found]) -> String {
    let names = [
        "received_at",
        "webhook_id",
        "endpoint",
        "provider",
        "outcome",
        "reason",
        "authenticity",
        "event_id",
        "type",
        "provider_event_id",
        "provider_event_type",
        "transaction_id",
        "movement_id",
        "amount",
        "currency",
        "occurred_at",
        "customer_id",
        "restates",
    ];
    let mut out = names.join(",") + "\r\n";
    for one in found {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let cells = [
            one.received_at.clone(),
            one.webhook_id.clone(),
            one.endpoint.clone(),
            one.provider.clone(),
            one.outcome.clone(),
            text(&one.reason),
            one.authenticity.clone(),
            text(&one.event_id),
            text(&one.kind),
            text(&one.provider_event_id),
            text(&one.provider_event_type),
            text(&one.transaction_id),
            text(&one.movement_id),
            text(&one.amount),
            text(&one.currency),
            text(&one.occurred_at),
            text(&one.customer_id),
            text(&one.restates),
        ];
        out.push_str(&cells.map(|text| cell(&text)).join(","));
        out.push_str("\r\n");
    }
    out
}

/// A cell (RFC 4180). A text of others that a spreadsheet would take for a formula begins with an apostrophe ("CSV
/// Injection", OWASP).
pub(super) fn cell(text: &str) -> String {
    let is_number = text
        .strip_prefix('-')
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number;
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
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
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
