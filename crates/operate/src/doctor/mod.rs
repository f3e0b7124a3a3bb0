//! The checks of a platform that somebody would otherwise make by hand, each with its remedy. Nothing is changed.

mod alarms;
mod endpoints;
mod functions;
mod key;
mod model;
mod queues;
mod storage;

use futures_util::{StreamExt, future::BoxFuture, stream};
use tollgate_core::{EndpointConfig, Timestamp};

use crate::aws::Aws;

pub use self::{
    alarms::http_api,
    functions::memory_mb,
    model::{Finding, Verdict},
};

/// How many checks there are. They are made at once.
pub const CHECKS: usize = 9;

/// Makes every check. `tell` is called after each of [`CHECKS`] with what it found. `wanted`: what the endpoints should be, by a
/// file. No check ends the others: what cannot be checked is [`Verdict::Unknown`].
pub async fn examine(
    aws: &Aws,
    wanted: Option<&[EndpointConfig]>,
    now: Timestamp,
    mut tell: impl FnMut(&[Finding]),
) -> Vec<Finding> {
    let checks: [BoxFuture<'_, Vec<Finding>>; CHECKS] = [
        Box::pin(endpoints::configured(aws, wanted)),
        Box::pin(endpoints::keys(aws)),
        Box::pin(endpoints::heard(aws, now)),
        Box::pin(queues::check(aws, now)),
        Box::pin(functions::check(aws, now)),
        Box::pin(functions::concurrency(aws)),
        Box::pin(alarms::check(aws)),
        Box::pin(storage::check(aws)),
        Box::pin(key::check(aws)),
    ];
    let mut checks = stream::iter(checks).buffered(CHECKS);
    let mut all = Vec::new();
    while let Some(found) = checks.next().await {
        tell(&found);
        all.extend(found);
    }
    all
}

/// The exit code that a command ends with: 0 where all is well, 1 where something is to be looked at, 2 where nothing is wrong as
/// far as is known, but not all is known.
pub fn exit_code(findings: &[Finding]) -> u8 {
    let worst = |verdict| findings.iter().any(|one| one.verdict == verdict);
    if worst(Verdict::Fail) || worst(Verdict::Warn) {
        1
    } else if worst(Verdict::Unknown) {
        2
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_is_not_well() {
        let of = |verdict| Finding { verdict, ..Finding::ok("a", "b", "c") };
        for (verdicts, code) in [
            (vec![Verdict::Ok, Verdict::LeftOut], 0),
            (vec![Verdict::Ok, Verdict::Unknown], 2),
            (vec![Verdict::Unknown, Verdict::Warn], 1),
            (vec![Verdict::Ok, Verdict::Fail], 1),
            (vec![], 0),
        ] {
            let findings: Vec<Finding> = verdicts.iter().map(|verdict| of(*verdict)).collect();
            assert_eq!(exit_code(&findings), code, "{verdicts:?}");
        }
    }
}
