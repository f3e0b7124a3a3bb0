//! Logs: one JSON object a line, with the fields of the span around it (the webhook's id above all).

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Sends `tracing` to stdout, where Lambda picks it up. `level` is an `EnvFilter` directive; a malformed one
/// means `info`. The spans of the AWS SDK and of the runtime are kept from `debug` on: at `info` they would cost a third
/// of the validator's processor time (`make bench-function`) and say nothing that our lines do not.
pub fn init(level: &str) {
    let usual = "info,aws=warn,lambda_runtime=warn";
    let level = if level == "info" { usual } else { level };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(usual));
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_writer(std::io::stdout);
    // A second initialisation, which only tests make, keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}
