//! What both tables of providers say: `tollgate providers` and `docs/providers.md`.

use tollgate_providers::catalogue::Provider;

/// The columns' headings.
pub(crate) const HEADINGS: [&str; 7] =
    ["provider", "signature in", "algorithm", "window", "proves", "event id", "confirmed by"];

/// The cells of a catalogue row, in the order of [`HEADINGS`].
///
/// # Errors
///
/// When the row describes no scheme.
pub(crate) fn cells(row: &Provider) -> anyhow::Result<[String; 7]> {
    let scheme = row.info()?;
    let confirmed = match (&row.confirmed_by, &row.unconfirmed) {
        (Some(by), _) => by.clone(),
        (None, Some(why)) => format!("unconfirmed: {why}"),
        (None, None) => String::new(),
    };
    Ok([
        row.name.clone(),
        scheme.location,
        scheme.algorithm.to_owned(),
        scheme.window.map(|seconds| format!("{seconds} s")).unwrap_or_default(),
        scheme.authenticity.as_str().to_owned(),
        format!("{}: {}", if row.own_event_id.is_empty() { "composite" } else { "own" }, row.event_id),
        confirmed,
    ])
}
