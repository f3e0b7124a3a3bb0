//! Times as people write them.

use std::str::FromStr;

use anyhow::bail;
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use tollgate_core::Timestamp;

/// A time, a day of UTC (of an end the whole of it), or a span before now.
///
/// # Errors
///
/// When it is none of these.
pub fn moment(text: &str, now: Timestamp, is_end: bool) -> anyhow::Result<Timestamp> {
    if let Ok(at) = Timestamp::from_str(text) {
        return Ok(at);
    }
    if let Ok(day) = Date::from_str(text) {
        let day = if is_end { day.tomorrow()? } else { day };
        return Ok(day.to_zoned(TimeZone::UTC)?.timestamp());
    }
    let units = [("m", 1), ("h", 60), ("d", 24 * 60)];
    for (unit, minutes) in units {
        let number = text.strip_suffix(unit).and_then(|number| number.parse::<u32>().ok());
        if let Some(number) = number {
            return Ok(now.checked_sub((i64::from(number) * minutes).minutes())?);
        }
    }
    bail!("{text}: a time is 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d")
}
