//! What the commands share: which dead letters are meant, and how one is stopped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tollgate_core::Timestamp;
use tollgate_operate::{
    aws::Aws,
    dlq::{Filter, Source},
    times::moment,
};

use crate::clock;

/// Which dead letters.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Which {
    /// Of this dead-letter queue, with or without the environment's suffix (payments-queue-dlq, …) [default: of all]
    #[arg(long = "queue", value_name = "QUEUE")]
    pub(super) queues: Vec<String>,
    /// That are there for this reason, as `dlq list` has it
    #[arg(long = "for", value_name = "CAUSE")]
    pub(super) cause: Option<String>,
    /// Of this endpoint
    #[arg(long)]
    pub(super) endpoint: Option<String>,
    /// Sent from then on: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Sent before then; a day is included
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    /// That have or name this id, of a message, a webhook, an event or a payment
    #[arg(long = "id", value_name = "ID")]
    pub(super) ids: Vec<String>,
}

impl Which {
    pub(super) fn filter(&self, aws: &Aws) -> anyhow::Result<Filter> {
        let queues = self.queues.iter().map(|name| Source::named(aws, name)).collect::<Result<_, _>>()?;
        let Self { queues: _, cause, endpoint, since, until, ids } = self.clone();
        let (since, until) = span(since.as_deref(), until.as_deref(), clock::now())?;
        Ok(Filter { queues, reason: cause, endpoint, since, until, ids })
    }
}

/// From when on and until when, as people write it.
pub(crate) fn span(
    since: Option<&str>,
    until: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<(Option<Timestamp>, Option<Timestamp>)> {
    let since = since.map(|text| moment(text, now, false)).transpose().context("--since")?;
    let until = until.map(|text| moment(text, now, true)).transpose().context("--until")?;
    Ok((since, until))
}

/// What is said when a redrive or a purge is stopped.
pub(super) const STOPPING: &str = "stopping; what was not sent stays where it is";

/// What is said of a queue in which there is more than was looked at.
pub(crate) fn more(queue: &str, most: u64) -> String {
    format!(
        "{queue} has more: of its dead letters {most} were looked at (--most), of a payment's the first ten"
    )
}

/// What is said where there is none.
pub(super) fn none(filter: &Filter) -> &'static str {
    if filter.is_of_whole_queues() { "no dead letters" } else { "no dead letters that the filter wants" }
}

/// What is said of dead letters that others are looking at: none is seen by two.
pub(super) fn not_seen(hidden: u64) -> Option<String> {
    (hidden > 0).then(|| {
        format!("some {hidden} are not seen, since somebody is looking at them: they are there again in two minutes at most")
    })
}

/// So many whole days from one moment to another; none where it is past.
pub(crate) fn days_left(now: Timestamp, at: Timestamp) -> i64 {
    (at.as_second() - now.as_second()).max(0) / (24 * 60 * 60)
}

/// To the second.
pub(crate) fn brief(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Ctrl-C has it end where nothing is lost; a second one ends it at once.
pub(crate) fn stop_on_signals(told_as: &'static str) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    // It is taken from here on, and not from when the task is run first: until then it would end the process.
    match signal(SignalKind::interrupt()) {
        Ok(mut pressed) => drop(tokio::spawn(async move {
            while pressed.recv().await.is_some() {
                if told.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
                complain!("{told_as}");
            }
        })),
        Err(problem) => complain!("Ctrl-C will end this at once: {problem}"),
    }
    stop
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;

    #[test]
    fn times_are_written_as_in_every_command() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-01-31T12:00:00Z");
        let of = |since, until| span(since, until, now).unwrap();
        assert_eq!(of(None, None), (None, None));
        assert_eq!(of(Some("36h"), None), (Some(at("2026-01-30T00:00:00Z")), None));
        let days = (Some(at("2026-01-30T00:00:00Z")), Some(at("2026-01-31T00:00:00Z")));
        assert_eq!(of(Some("2026-01-30"), Some("2026-01-30")), days, "a day is included");
        assert_eq!(of(None, Some("2026-01-30T00:00:00Z")), (None, Some(at("2026-01-30T00:00:00Z"))));
        let refused = span(Some("yesterday"), None, now).unwrap_err();
        assert!(format!("{refused:#}").contains("--since: yesterday"), "{refused:#}");
    }

    #[test]
    fn what_is_not_seen_is_not_taken_for_nothing() {
        let of_endpoint = Filter { endpoint: Some("acme".to_owned()), ..Filter::default() };
        assert_eq!(none(&Filter::default()), "no dead letters");
        assert!(none(&of_endpoint).contains("the filter"));
        assert_eq!(not_seen(0), None);
        assert!(not_seen(3).unwrap().contains("some 3 are not seen"));
    }

    /// Without a handler it would end this test.
    #[tokio::test]
    async fn ctrl_c_is_taken_from_the_beginning() {
        let stop = stop_on_signals("stopping");
        // The task had no time to run yet.
        let own = std::process::id().to_string();
        assert!(Command::new("kill").args(["-INT", &own]).status().unwrap().success());
        let stopped = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), stopped).await.unwrap();
    }
}
