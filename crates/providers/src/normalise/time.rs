//! Times that providers write without an offset.

use jiff::{civil::DateTime, tz::Offset};
use tollgate_core::Timestamp;

/// The length of `2026-01-02`.
const DATE_LEN: usize = 10;

/// A date and time (`2026-01-02 03:04:05`, `T` or a space between): with its own offset if it has one, else
/// `hours` east of UTC.
pub(super) fn at_offset(text: &str, hours: i8) -> Option<Timestamp> {
    // The text is looked at first, since a failed parse allocates its error.
    let time = text.get(DATE_LEN..)?;
    if time.ends_with(['Z', 'z']) || time.contains(['+', '-']) {
        return text.parse().ok();
    }
    let local: DateTime = text.parse().ok()?;
    Offset::from_hours(hours).ok()?.to_timestamp(local).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_without_an_offset_takes_the_given_one() {
        let cases = [
            ("2026-01-02 10:04:05", 7, Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05.5", 0, Some("2026-01-02T03:04:05.5Z")),
            ("2026-01-02T04:04:05+01:00", 7, Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05+0000", 7, Some("2026-01-02T03:04:05Z")),
            ("2026-13-02 10:04:05", 7, None),
            ("", 7, None),
        ];
        for (text, hours, expected) in cases {
            let moment = at_offset(text, hours).map(|moment| moment.to_string());
            assert_eq!(moment.as_deref(), expected, "{text}");
        }
    }
}
