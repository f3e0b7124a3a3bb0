//! The query as SQL: one text, which Athena (its engine 3 is Trino) and DuckDB read alike. What either lacks, `duckdb.rs`
//! gives to DuckDB under Athena's name.
//!
//! Texts of others are literals here and nothing else: [`literal`] is the only way into the statement. What is not
//! printable is written as its number, so that no reader of lines, as DuckDB's command line is one, sees a line end.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use tollgate_core::Timestamp;

use super::query::{FRACTION_DIGITS, Id, Query};

/// The table's name in Athena, and the view's in DuckDB.
pub const TABLE: &str = "archive";

/// Where a page ended: the next one begins behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// As the engine wrote it.
    pub(super) received_at: String,
    pub(super) webhook_id: String,
    pub(super) part: String,
    pub(super) event_id: String,
}

/// The names of what is selected, each a text or null, in their order.
pub(super) const COLUMNS: [&str; 19] = [
    "webhook_id",
    "received_at",
    "endpoint",
    "provider",
    "outcome",
    "reason",
    "authenticity",
    "part",
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

/// How a row stands among the copies of its webhook: one that was set aside and then processed was processed.
const STANDING: &str =
    "CASE outcome WHEN 'processed' THEN 0 WHEN 'conflict' THEN 1 WHEN 'duplicate' THEN 2 ELSE 3 END";

impl Query {
    /// The statement for one page: as many events as `limit` says, the newest first, those behind `after`.
    pub fn sql(&self, limit: usize, after: Option<&Position>) -> String {
        format!(
            "SELECT {} {}\nORDER BY received_at DESC, webhook_id DESC, part, event_id\nLIMIT {limit}",
            COLUMNS.join(", "),
            self.found(after)
        )
    }

    /// The statement for how many webhooks there are of each outcome at each time, which is the first `digits` of it.
    pub(super) fn counts(&self, digits: usize) -> String {
        format!(
            "SELECT substr(received_at, 1, {digits}) AS moment, outcome, CAST(count(DISTINCT webhook_id) AS VARCHAR) AS webhooks {}\n\
             GROUP BY substr(received_at, 1, {digits}), outcome\nORDER BY moment, outcome",
            self.found(None)
        )
    }

    /// The statement for the keys that verified webhooks of the query's endpoints and time: how many each, and when last.
    pub fn keys_sql(&self) -> String {
        let mut rows = self.of_time();
        rows.extend(one_of("endpoint", &self.endpoints));
        format!(
            "SELECT endpoint, key_id, CAST(count(DISTINCT webhook_id) AS VARCHAR) AS webhooks, \
             CAST(max(received_at) AS VARCHAR) AS last\nFROM {TABLE}\nWHERE {}\nAND key_id <> ''\n\
             AND authenticity <> 'retrieved'\n\
             GROUP BY endpoint, key_id\nORDER BY endpoint, key_id",
            rows.join("\nAND ")
        )
    }

    /// The conditions of the query's time.
    fn of_time(&self) -> Vec<String> {
        let days = self.days();
        let day =
            |day: Option<&jiff::civil::Date>| literal(&day.map(ToString::to_string).unwrap_or_default());
        vec![
            format!("\"date\" BETWEEN {} AND {}", day(days.first()), day(days.last())),
            format!("received_at >= {} AND received_at < {}", time(self.from), time(self.to)),
        ]
    }

    /// What is found, once each.
    ///
    /// `UNNEST(events) AS t(e)` makes `e` the struct in both ("Filter arrays using the `UNNEST`", Athena user guide,
    /// where `t(sites)` is one).
    fn found(&self, after: Option<&Position>) -> String {
        let mut rows = self.of_time();
        rows.extend(one_of("endpoint", &self.endpoints));
        rows.extend(one_of("provider", &self.providers));
        let mut events = Vec::new();
        match &self.id {
            Some(Id::Webhook(id)) => rows.push(format!("webhook_id = {}", literal(id.as_str()))),
            Some(Id::Other(id)) => {
                let id = literal(id);
                let names = ["id", "provider_event_id", "transaction_id", "movement_id", "effect_id"];
                let names = names.map(|name| format!("e.{name} = {id}")).join(" OR ");
                // A message that could not be read has no event.
                rows.push(format!("(webhook_id = {id} OR {names})"));
            }
            None => {}
        }
        if !self.kinds.is_empty() {
            let kinds = list(&self.kinds);
            events.push(format!("(e.type IN {kinds} OR e.provider_event_type IN {kinds})"));
        }
        events.extend(one_of("e.currency", &self.currencies));
        events.extend(one_of("e.customer_id", &self.customers));
        for (bound, sign) in [(&self.least, ">="), (&self.most, "<=")] {
            let decimal = format!("DECIMAL(38, {FRACTION_DIGITS})");
            events.extend(bound.iter().map(|bound| {
                format!("TRY_CAST(e.amount AS {decimal}) {sign} CAST({} AS {decimal})", literal(bound))
            }));
        }
        // The column is our own JSON, without spaces, so a key and its value are text in it: behind the brace or the comma
        // that no key or value can hold before a quote that is not escaped.
        for (key, value) in &self.metadata {
            let pair = |before| literal(&format!("{before}{}:{}", quoted(key), quoted(value)));
            let metadata = format!("substr(e.json, strpos(e.json, {}))", literal("\"metadata\":{"));
            events.push(format!(
                "strpos(e.json, {}) > 0 AND (strpos({metadata}, {}) > 0 OR strpos({metadata}, {}) > 0)",
                literal("\"metadata\":{"),
                pair('{'),
                pair(',')
            ));
        }
        let joins = if events.is_empty() {
            "LEFT JOIN UNNEST(events) AS t(e) ON TRUE"
        } else {
            "CROSS JOIN UNNEST(events) AS t(e)"
        };
        let mut conditions = rows;
        conditions.append(&mut events);
        conditions
            .extend(self.texts.iter().map(|text| format!("strpos(from_utf8(body), {}) > 0", literal(text))));

        let mut kept = vec!["copy = 1 AND standing = best".to_owned()];
        let outcomes: Vec<String> = self.outcomes.iter().map(|&outcome| outcome.to_owned()).collect();
        kept.extend(one_of("outcome", &outcomes));
        kept.extend(after.map(behind));
        let columns = COLUMNS.join(", ");
        format!(
            "FROM (\n\
             SELECT {columns}, standing, min(standing) OVER (PARTITION BY webhook_id, part) AS best, \
             row_number() OVER (PARTITION BY webhook_id, part, event_id ORDER BY standing) AS copy FROM (\n\
             SELECT webhook_id, CAST(received_at AS VARCHAR) AS received_at, endpoint, provider, outcome, reason, authenticity, \
             coalesce(only_transaction, '') || '/' || CAST(coalesce(part, 0) AS VARCHAR) AS part, \
             coalesce(e.id, '') AS event_id, e.type AS type, e.provider_event_id AS provider_event_id, \
             e.provider_event_type AS provider_event_type, e.transaction_id AS transaction_id, \
             e.movement_id AS movement_id, e.amount AS amount, e.currency AS currency, \
             CAST(e.occurred_at AS VARCHAR) AS occurred_at, e.customer_id AS customer_id, e.restates AS restates, \
             {STANDING} AS standing\n\
             FROM {TABLE} {joins}\n\
             WHERE {}\n\
             ) AS found) AS ranked\n\
             WHERE {}",
            conditions.join("\nAND "),
            kept.join(" AND "),
        )
    }
}

/// Behind a position in the order of the pages.
fn behind(after: &Position) -> String {
    let [received_at, webhook_id, part, event_id] =
        [&after.received_at, &after.webhook_id, &after.part, &after.event_id].map(|text| literal(text));
    format!(
        "(received_at < {received_at} OR received_at = {received_at} AND (webhook_id < {webhook_id} \
         OR webhook_id = {webhook_id} AND (part > {part} OR part = {part} AND event_id > {event_id})))"
    )
}

fn one_of(column: &str, values: &[String]) -> Option<String> {
    match values {
        [] => None,
        [one] => Some(format!("{column} = {}", literal(one))),
        more => Some(format!("{column} IN {}", list(more))),
    }
}

fn list(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
    format!("({})", values.join(", "))
}

fn time(at: Timestamp) -> String {
    format!("TIMESTAMP '{}'", at.strftime("%Y-%m-%d %H:%M:%S.%6f"))
}

/// A JSON text, as the archive's writer writes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text as an expression: a literal, its quotes doubled; what is not printable as `chr` of its number, which both know.
pub(super) fn literal(text: &str) -> String {
    let mut pieces: Vec<String> = Vec::new();
    let mut open = String::new();
    let close = |open: &mut String, pieces: &mut Vec<String>| {
        if !open.is_empty() {
            pieces.push(format!("'{}'", std::mem::take(open)));
        }
    };
    for c in text.chars() {
        match c {
            '\'' => open.push_str("''"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                close(&mut open, &mut pieces);
                pieces.push(format!("chr({})", u32::from(c)));
            }
            c => open.push(c),
        }
    }
    close(&mut open, &mut pieces);
    match pieces.as_slice() {
        [] => "''".to_owned(),
        [one] => one.clone(),
        more => {
            let mut all = String::from("(");
            for (position, piece) in more.iter().enumerate() {
                let _ = write!(all, "{}{piece}", if position > 0 { " || " } else { "" });
            }
            all + ")"
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::query::Filters;
    use super::*;

    /// A statement without its literals, and what these say. Nothing but a literal holds what we did not write.
    fn taken_apart(sql: &str) -> (String, Vec<String>) {
        let (mut frame, mut literals) = (String::new(), Vec::new());
        let mut rest = sql;
        while let Some(start) = rest.find('\'') {
            frame.push_str(&rest[..start]);
            frame.push('?');
            let mut text = String::new();
            let mut chars = rest[start + 1..].char_indices().peekable();
            let end = loop {
                match chars.next() {
                    Some((_, '\'')) if chars.peek().is_some_and(|(_, c)| *c == '\'') => {
                        text.push('\'');
                        chars.next();
                    }
                    Some((at, '\'')) => break start + 1 + at + 1,
                    Some((_, c)) => text.push(c),
                    None => panic!("a literal without an end: {sql}"),
                }
            };
            literals.push(text);
            rest = &rest[end..];
        }
        frame.push_str(rest);
        (frame, literals)
    }

    fn filters(text: &str) -> Filters {
        let one = vec![text.to_owned()];
        Filters {
            id: Some(format!("x{text}")),
            endpoint: one.clone(),
            provider: vec![text.to_owned(), "two".to_owned()],
            kind: one.clone(),
            currency: one.clone(),
            customer: one.clone(),
            metadata: vec![format!("k={text}")],
            text: vec![format!("x{text}")],
            ..Filters::default()
        }
    }

    fn sql(text: &str) -> String {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let position = Position {
            received_at: text.to_owned(),
            webhook_id: text.to_owned(),
            part: text.to_owned(),
            event_id: text.to_owned(),
        };
        filters(text).query(now).unwrap().sql(10, Some(&position))
    }

    proptest! {
        /// Whatever is searched for, the statement around the literals is the same and on the same lines.
        #[test]
        fn a_filter_is_a_literal_and_nothing_else(text in "[^\\pC\u{2028}\u{2029}=]{1,40}") {
            prop_assume!(!text.contains(|c: char| c.is_control()));
            let (frame, literals) = taken_apart(&sql(&text));
            let (plain, _) = taken_apart(&sql("plain"));
            prop_assert_eq!(frame, plain);
            prop_assert!(literals.contains(&text));
        }

        #[test]
        fn a_literal_says_what_was_given(text in any::<String>()) {
            let expression = literal(&text);
            prop_assert!(!expression.contains(|c: char| c.is_control()), "no line ends in it");
            let inner = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let (frame, literals) = taken_apart(inner.unwrap_or(&expression));
            let mut literals = literals.into_iter();
            let said: String = frame.split(" || ").map(|piece| match piece {
                "?" => literals.next().unwrap(),
                number => {
                    let number = number.strip_prefix("chr(").and_then(|rest| rest.strip_suffix(')')).unwrap();
                    char::from_u32(number.parse().unwrap()).unwrap().to_string()
                }
            }).collect();
            prop_assert_eq!(said, text);
        }
    }

    #[test]
    fn a_filter_of_lines_stays_on_its_line() {
        let hostile = "'; DROP TABLE archive; --\n.shell true\r\u{0}";
        let (frame, literals) = taken_apart(&sql(hostile));
        assert!(!frame.contains("DROP") && !frame.contains("\n.shell"), "{frame}");
        assert!(literals.contains(&"'; DROP TABLE archive; --".to_owned()), "{literals:?}");
    }

    #[test]
    fn only_what_is_asked_is_in_the_statement() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let sql = Filters::default().query(now).unwrap().sql(10, None);
        assert!(sql.contains("\"date\" BETWEEN '2026-01-24' AND '2026-01-31'"), "{sql}");
        assert!(sql.contains("received_at >= TIMESTAMP '2026-01-24 12:00:00.000000'"), "{sql}");
        assert!(!sql.contains("endpoint =") && !sql.contains("from_utf8(body)"), "{sql}");
        assert!(sql.contains("LEFT JOIN UNNEST"), "webhooks without events are found: {sql}");
        let amount = Filters { amount: Some("1..2".to_owned()), ..Filters::default() };
        let sql = amount.query(now).unwrap().sql(10, None);
        assert!(sql.contains(">= CAST('1' AS DECIMAL(38, 8))") && sql.contains("<= CAST('2' "), "{sql}");
    }
}
