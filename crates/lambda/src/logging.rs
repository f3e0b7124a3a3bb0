//! Logs: one JSON object a line, with the fields of the span around it (the webhook's id above all).
//!
//! tracing-subscriber's own JSON writer is not used: it makes a tree of a span's fields and reads it again for each
//! field that is added. That took an eighth of the validator's own work for a webhook (benches/COMPARE.md).

use std::{
    fmt::{self, Debug, Write as _},
    io::Write as _,
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::clock;

/// Writes `tracing` events to stdout, which Lambda collects. `level` is an `EnvFilter` directive; if it is malformed,
/// `info` is used. The spans of the AWS SDK appear from `debug` on: at `info` they would take a
/// third of the validator's processor time (`make bench-function`) and add nothing to our lines.
pub fn init(level: &str) {
    let usual = "info,aws=warn";
    let level = if level == "info" { usual } else { level };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(usual));
    // A second call, which only tests make, fails and changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(Lines(print)).try_init();
}

/// Writes a line to stdout at once.
pub(crate) fn print(line: &[u8]) {
    // A payment must not fail because stdout is closed.
    let _ = std::io::stdout().lock().write_all(line);
}

/// Passes each event to a writer, as a line.
struct Lines<W>(W);

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: Fn(&[u8]) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        // Before the span's fields are locked: a value's `Debug` is foreign code and may log too.
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<Fields>()
        {
            known.0.retain(|(name, _)| !fields.has(name));
            known.0.append(&mut fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(span) = context.event_span(event)
            && let Some(around) = span.extensions().get::<Fields>()
        {
            let new: Vec<_> = around.0.iter().filter(|(name, _)| !fields.has(name)).cloned().collect();
            fields.0.extend(new);
        }
        (self.0)(line(clock::now(), *event.metadata().level(), &fields).as_bytes());
    }
}

fn line(now: Timestamp, level: Level, fields: &Fields) -> String {
    let mut line = format!(r#"{{"timestamp":"{now}","level":"{level}""#);
    for (name, value) in &fields.0 {
        // Writing into a `String` cannot fail.
        let _ = write!(line, r#","{name}":{value}"#);
    }
    line.push_str("}\n");
    line
}

/// Names and values as JSON. The names are our own and need no escapes.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.0 == name)
    }

    fn put(&mut self, field: &Field, value: impl Serialize) {
        if let Ok(value) = serde_json::to_string(&value) {
            self.0.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, DebugText(value));
    }
}

/// A value's `Debug` output as a JSON text.
struct DebugText<'a>(&'a dyn Debug);

impl fmt::Display for DebugText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for DebugText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing::{field::Empty, info, info_span, warn};

    use super::*;

    fn lines(work: impl FnOnce()) -> Vec<Value> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&written);
        let lines = Lines(move |line: &[u8]| to.lock().unwrap().push(line.to_vec()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        let written = written.lock().unwrap();
        assert!(written.iter().all(|line| line.ends_with(b"\n")));
        written.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_its_own_fields_and_those_around_it() {
        let lines = lines(|| {
            let span = info_span!("webhook", webhook_id = %"wh_1", endpoint = Empty, attempt = 1);
            let _entered = span.enter();
            warn!(error = %"a \"quoted\"\nthing", attempt = 2, is_last = true, rate = 0.5, "not taken");
            span.record("endpoint", "stripe");
            span.record("endpoint", "adyen");
            info!(list = ?["a"], "taken");
        });
        let expected = [
            json!({
                "level": "WARN", "message": "not taken", "error": "a \"quoted\"\nthing", "attempt": 2,
                "is_last": true, "rate": 0.5, "webhook_id": "wh_1",
            }),
            json!({
                "level": "INFO", "message": "taken", "list": "[\"a\"]", "webhook_id": "wh_1", "attempt": 1,
                "endpoint": "adyen",
            }),
        ];
        assert_eq!(lines.len(), expected.len());
        for (mut line, expected) in lines.into_iter().zip(expected) {
            let at = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            at.as_str().unwrap().parse::<Timestamp>().unwrap();
            assert_eq!(line, expected);
        }
    }
}
