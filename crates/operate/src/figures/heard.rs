//! When each endpoint was heard last, against its usual.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;
use tollgate_aws::hearing::CloudWatchHearing;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_pipeline::{
    ports::Hearing,
    silence::{self, Silence, WINDOW_HOURS},
};

use super::{gathered::Outcome, logs};
use crate::{aws::Aws, endpoints};

const HOUR_SECONDS: i64 = 3_600;
/// The hours of four weeks, by which the longest gap is known.
const FOUR_WEEKS: usize = 4 * 7 * 24;
const WEEK: usize = 7 * 24;

/// What an endpoint heard: genuine webhooks, accepted ones and repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// When it heard the last one; of CloudWatch the begin of that hour. `None`: not in twelve weeks, or in all that the logs
    /// have.
    pub last: Option<Timestamp>,
    /// How exact that is, in seconds.
    pub within_seconds: u32,
    /// Webhooks of the last seven days.
    pub of_a_week: u64,
    /// Full hours without one at the end, the last one not settled left out.
    pub quiet_hours: usize,
    /// The most hours without one, after each other, in the four weeks before that: `None`, where it heard nothing before.
    pub longest_gap_hours: Option<usize>,
    /// Its own setting.
    pub quiet_after_hours: Option<u32>,
    /// Whether it is silent, as the hourly search would say.
    pub silence: Option<Silence>,
}

/// What every endpoint heard, in the order of their names.
///
/// On AWS it costs two metrics for each endpoint: 10 USD a million (infra/prices.toml). On a local platform all of the
/// validator's logs are read. Once a minute is often enough.
///
/// # Errors
///
/// When the endpoints, CloudWatch or the logs cannot be read.
pub async fn heard(aws: &Aws, now: Timestamp) -> anyhow::Result<Vec<Heard>> {
    let mut endpoints = endpoints::all(aws).await?;
    endpoints.sort_by_key(|endpoint| endpoint.id);
    let ids: Vec<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
    // Until the end of this hour.
    let settled = silence::settled(now);
    let open = usize::try_from((now.as_second() - settled) / HOUR_SECONDS + 1).unwrap_or(1);
    let from = settled - WINDOW_HOURS as i64 * HOUR_SECONDS;
    let hours = WINDOW_HOURS + open;
    let (heard, exact) = match aws.platform.as_ref().and_then(|platform| platform.log_dir.as_deref()) {
        Some(folder) => {
            let mut last = BTreeMap::new();
            (of_logs(folder, &ids, from, hours, &mut last)?, Some(last))
        }
        None => {
            let hearing =
                CloudWatchHearing::new(aws.config.clone(), aws.url_of("monitoring"), aws.names.suffix());
            let from = Timestamp::from_second(from).context("the clock is out of range")?;
            (hearing.heard(&ids, from, hours).await.context("reading the metrics")?, None)
        }
    };
    let one = |(endpoint, hours): (&tollgate_core::EndpointConfig, Vec<u64>)| {
        let last_hour = hours.iter().rposition(|count| *count > 0);
        let begin = last_hour.and_then(|hour| Timestamp::from_second(from + hour as i64 * HOUR_SECONDS).ok());
        let (last, within_seconds) = match &exact {
            Some(exact) => (exact.get(&endpoint.id).copied(), 1),
            None => (begin, 3_600),
        };
        let settled = hours.get(..WINDOW_HOURS).unwrap_or(&hours);
        let quiet = settled.iter().rev().take_while(|count| **count == 0).count();
        Heard {
            endpoint: endpoint.id,
            last,
            within_seconds,
            of_a_week: hours.iter().rev().take(WEEK).sum(),
            quiet_hours: quiet,
            longest_gap_hours: longest_gap(settled, quiet),
            quiet_after_hours: endpoint.quiet_after_hours,
            silence: silence::silence(settled, endpoint.quiet_after_hours),
        }
    };
    Ok(endpoints.iter().zip(heard).map(one).collect())
}

/// The longest run of hours without a webhook between two with one, in the four weeks before the `quiet` hours at the end.
fn longest_gap(hours: &[u64], quiet: usize) -> Option<usize> {
    let before = hours.get(..hours.len().saturating_sub(quiet))?;
    let before = before.get(before.len().saturating_sub(FOUR_WEEKS)..)?;
    let first = before.iter().position(|count| *count > 0)?;
    before.get(first..)?.split(|count| *count > 0).map(<[u64]>::len).max()
}

/// By the hour. When each endpoint was heard last is put into `last`.
fn of_logs(
    folder: &std::path::Path,
    ids: &[EndpointId],
    from: i64,
    hours: usize,
    last: &mut BTreeMap<EndpointId, Timestamp>,
) -> anyhow::Result<Vec<Vec<u64>>> {
    let places: BTreeMap<&str, usize> = ids.iter().map(EndpointId::as_str).zip(0..).collect();
    let mut heard = vec![vec![0_u64; hours]; ids.len()];
    logs::each(folder, from, None, |line| {
        if !matches!(line.outcome(), Some(Outcome::Accepted | Outcome::Duplicate)) {
            return;
        }
        let place = line.endpoint.as_deref().and_then(|endpoint| places.get(endpoint));
        let Some((id, of_endpoint)) = place.and_then(|place| ids.get(*place).zip(heard.get_mut(*place)))
        else {
            return;
        };
        let hour = usize::try_from((line.timestamp.as_second() - from).div_euclid(HOUR_SECONDS)).ok();
        if let Some(hour) = hour.and_then(|hour| of_endpoint.get_mut(hour)) {
            *hour += 1;
            last.entry(*id).and_modify(|at| *at = line.timestamp.max(*at)).or_insert(line.timestamp);
        }
    })?;
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_between_two_hours_that_heard_something() {
        for (hours, quiet, gap) in [
            (vec![0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0], 4, Some(3)),
            (vec![1, 1, 1, 0], 1, Some(0)),
            (vec![0, 0, 0, 0], 4, None),
            (vec![], 0, None),
        ] {
            assert_eq!(longest_gap(&hours, quiet), gap, "{hours:?}");
        }
        let mut long = vec![0; FOUR_WEEKS + 900];
        (long[0], long[950]) = (1, 1);
        let end = long.len();
        long[end - 1] = 1;
        assert_eq!(longest_gap(&long, 0), Some(end - 2 - 950), "what is older than four weeks is no usual");
    }
}
