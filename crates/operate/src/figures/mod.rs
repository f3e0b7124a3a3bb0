//! What a platform does, in numbers: webhooks by how they ended, how long each part takes, what waits in the queues, and when
//! each endpoint was heard last.
//!
//! The functions write their metrics as log lines (`tollgate_lambda::metrics`). On AWS CloudWatch makes metrics of them; the
//! local platform has the lines alone. Both give the same figures.

mod backlog;
mod cloudwatch;
mod gathered;
mod heard;
mod histogram;
mod logs;
mod model;
mod peer;

use anyhow::Context;
use tollgate_core::Timestamp;

use self::gathered::{Gathered, Grid, STEPS};
use crate::aws::Aws;

pub(crate) use self::cloudwatch::Dimension;
pub use self::{
    backlog::{Backlog, backlogs},
    heard::{Heard, heard},
    histogram::{BOUNDS, Histogram},
    model::{Archived, Counts, Figures, Latency, Now, OfEndpoint, Part, Processed, Source, Step, Wanted},
};

/// The time that [`now`] looks at, in seconds: of logs, and of CloudWatch, whose metrics are a minute or two late.
const NOW_SECONDS: [i64; 2] = [120, 900];

/// The figures of a time.
///
/// On AWS it costs some 130 metrics, and one for each endpoint, outcome and reason: 10 USD a million (infra/prices.toml).
///
/// # Errors
///
/// When the time is none, or CloudWatch or the logs cannot be read.
pub async fn read(aws: &Aws, wanted: &Wanted, now: Timestamp) -> anyhow::Result<Figures> {
    match aws.platform.as_ref().and_then(|platform| platform.log_dir.as_deref()) {
        Some(folder) => {
            let mut gathered = Gathered::new(Grid::of(wanted, STEPS[0])?, wanted.endpoint);
            logs::read(folder, &mut gathered)?;
            gathered.figures(Source::Logs)
        }
        None => cloudwatch::read(aws, wanted, now).await,
    }
}

/// What a console shows and asks for again and again. When endpoints were heard last is asked for less often: [`heard`].
///
/// On AWS it costs what [`read`] does, and once a minute is often enough: metrics have a point a minute.
///
/// # Errors
///
/// Those of [`read`] and [`backlogs`].
pub async fn now(aws: &Aws, now: Timestamp) -> anyhow::Result<Now> {
    let is_local = aws.platform.as_ref().is_some_and(|platform| platform.log_dir.is_some());
    let [local, cloud] = NOW_SECONDS;
    let (back, step) = if is_local { (local, 1) } else { (cloud, 60) };
    let from = Timestamp::from_second(now.as_second() - back).context("the clock is out of range")?;
    let wanted = Wanted { from, to: now, endpoint: None, step_seconds: Some(step) };
    let (figures, queues) = tokio::try_join!(read(aws, &wanted, now), backlogs(aws, now))?;
    Ok(Now { figures, queues })
}
