//! Sending the plan, with a provider's patience.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;

use tollgate_cli::http::{Answer, Sender};

use crate::plan::{Class, Planned};

/// Attempts at one webhook. A provider goes on for days; the pauses here add up to half a minute.
const ATTEMPTS: u32 = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How a webhook ended for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ending {
    Accepted,
    Duplicate,
    Rejected(u16),
    /// No attempt got a final answer.
    Unanswered,
}

/// One webhook after its delivery.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    pub(crate) ending: Ending,
    pub(crate) attempts: u32,
    /// The last answer, where there was one.
    pub(crate) answer: Option<Answer>,
}

/// Delivers one wave, `at_once` webhooks at a time; the results are in the wave's order.
pub(crate) async fn wave(
    sender: &Sender,
    wave: &[Planned],
    at_once: usize,
    bar: &ProgressBar,
) -> Vec<Delivered> {
    stream::iter(wave)
        .map(|planned| async move {
            let delivered = deliver(sender, planned).await;
            bar.inc(1);
            delivered
        })
        .buffered(at_once)
        .collect()
        .await
}

async fn deliver(sender: &Sender, planned: &Planned) -> Delivered {
    let mut last = None;
    for attempt in 1..=ATTEMPTS {
        let answer = sender.send(&planned.parcel).await.ok();
        match answer.as_ref().map(|answer| (answer, is_final(answer))) {
            Some((answer, true)) => {
                let ending = ending(answer, planned.class, attempt);
                return Delivered { ending, attempts: attempt, answer: Some(answer.clone()) };
            }
            _ => last = answer.or(last),
        }
        let asked = last.as_ref().and_then(|answer| answer.retry_after).map(Duration::from_secs);
        let pause = FIRST_PAUSE.saturating_mul(1 << attempt.min(10));
        tokio::time::sleep(pause.max(asked.unwrap_or_default()).min(LONGEST_PAUSE)).await;
    }
    Delivered { ending: Ending::Unanswered, attempts: ATTEMPTS, answer: last }
}

/// Whether a provider would stop here. It retries what is throttled or broken on our side.
fn is_final(answer: &Answer) -> bool {
    answer.status != 429 && answer.status < 500
}

/// An original that was retried may be told that it is a duplicate: of its own first attempt.
fn ending(answer: &Answer, class: Class, attempt: u32) -> Ending {
    let is_repeat = class == Class::Repeat;
    if answer.is_duplicate() {
        if is_repeat || attempt == 1 { Ending::Duplicate } else { Ending::Accepted }
    } else if answer.is_success() {
        Ending::Accepted
    } else {
        Ending::Rejected(answer.status)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: serde_json::Value) -> Answer {
        Answer { status, retry_after: None, body }
    }

    #[test]
    fn a_retried_original_is_accepted_and_a_repeat_is_a_duplicate() {
        let duplicate = answer(409, json!({"error": "Duplicate event"}));
        assert_eq!(ending(&duplicate, Class::Good, 2), Ending::Accepted);
        assert_eq!(ending(&duplicate, Class::Good, 1), Ending::Duplicate);
        assert_eq!(ending(&duplicate, Class::Repeat, 2), Ending::Duplicate);
        let accepted = answer(200, json!({"message": "Event validated and queued for processing"}));
        assert_eq!(ending(&accepted, Class::Good, 1), Ending::Accepted);
        assert_eq!(ending(&accepted, Class::Repeat, 1), Ending::Accepted);
        assert_eq!(ending(&answer(401, json!({})), Class::Tampered, 1), Ending::Rejected(401));
        // A conflict that is none of ours is a refusal.
        assert_eq!(ending(&answer(409, json!({})), Class::Good, 2), Ending::Rejected(409));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, fin) in [(200, true), (401, true), (413, true), (429, false), (500, false), (503, false)]
        {
            assert_eq!(is_final(&answer(status, json!({}))), fin, "{status}");
        }
    }
}
