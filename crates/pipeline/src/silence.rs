//! Endpoints that usually hear something and hear nothing: a provider that has disabled them, a secret that was rotated, a
//! name that leads nowhere. No webhook arrives then that could fail.
//!
//! What is usual is learned from the endpoint's own past, by hour and week: the hours in which nothing came are compared with
//! the same hours of the week in the weeks before. So nights, weekends and daily batches are known for what they are.

use serde::{Deserialize, Serialize};
use tollgate_core::{EndpointId, Timestamp, endpoint::MAX_QUIET_HOURS};

use crate::ports::{Clock, EndpointSource, Hearing, PortError, PortResult};

/// The hours that are looked at: twelve weeks. An endpoint that was silent for ten of them has no past left to compare with,
/// and is taken for retired.
pub const WINDOW_HOURS: usize = MAX_QUIET_HOURS as usize;
/// Silence is compared week by week, and so much of it at most.
const WEEK: usize = 7 * 24;
/// The weeks before the silence that it is compared with, at most.
const WEEKS: usize = 4;
/// Of which so many must be known: once is no habit.
const LEAST_WEEKS: usize = 2;
/// What these weeks must have had in the same hours, on average: so many webhooks …
const LEAST_WEBHOOKS: u64 = 10;
/// … in so many different hours. Webhooks of one hour may all have come of one cause, which may be late.
const LEAST_HOURS: u64 = 3;
/// How much earlier or later than in another week the same may happen, in hours: clocks are changed by one, and a batch that
/// comes at the full hour may come a minute before it.
const TOLERANCE: usize = 1;
/// An hour is looked at so long after its end, in seconds: the log lines that the counts are made of arrive a little later.
const SETTLED_AFTER_SECONDS: i64 = 600;
const HOUR_SECONDS: i64 = 3_600;

/// The end of the last hour that is looked at, in seconds since the epoch.
pub fn settled(now: Timestamp) -> i64 {
    let settled = now.as_second() - SETTLED_AFTER_SECONDS;
    settled - settled.rem_euclid(HOUR_SECONDS)
}

/// The payload of the invocation that looks for silence. The template has it: `{"task":"find-silence"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    task: String,
}

/// The most bytes that such a payload has. No batch of a queue is as short.
const LONGEST_TASK: usize = 64;

/// Whether an invocation's payload asks to look for silence.
pub fn is_task(payload: &[u8]) -> bool {
    payload.len() <= LONGEST_TASK
        && serde_json::from_slice::<Task>(payload).is_ok_and(|task| task.task == "find-silence")
}

/// An endpoint's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// Full hours without a genuine webhook until now: at most [`WINDOW_HOURS`], where there was none in all of them.
    pub hours: usize,
    /// The webhooks that the weeks before had in the same hours, on average, an hour at either end and what is longer than a
    /// week left out. `None` where the endpoint's own setting decided.
    pub usual: Option<u64>,
}

/// Whether an endpoint is silent, by what it heard in each full hour until now, the oldest first.
///
/// `quiet_after` is its setting. Without it an endpoint is silent whose past weeks, up to four and at least two, had webhooks
/// in the same hours of the week each time: at least ten, in at least three different hours, on average. Weeks are known from
/// the first hour on in which anything came.
pub fn silence(heard: &[u64], quiet_after: Option<u32>) -> Option<Silence> {
    let hours = heard.iter().rev().take_while(|count| **count == 0).count();
    match quiet_after {
        Some(limit) => {
            let is_silent = limit > 0 && hours >= usize::try_from(limit).unwrap_or(usize::MAX);
            is_silent.then_some(Silence { hours, usual: None })
        }
        None => usual(heard, hours).map(|usual| Silence { hours, usual: Some(usual) }),
    }
}

/// The webhooks of the same hours in other weeks, where they make `hours` of nothing a silence.
fn usual(heard: &[u64], hours: usize) -> Option<u64> {
    let begin = heard.len().checked_sub(hours)?;
    let first = heard.iter().position(|count| *count > 0)?;
    let length = hours.min(WEEK).checked_sub(2 * TOLERANCE).filter(|length| *length > 0)?;
    let (mut weeks, mut webhooks, mut active) = (0, 0_u64, 0_u64);
    for week in 1..=WEEKS {
        let Some(start) = (begin + TOLERANCE).checked_sub(week * WEEK).filter(|start| *start >= first) else {
            break;
        };
        let same = heard.get(start..start + length)?;
        let in_hours = same.iter().filter(|count| **count > 0).count();
        if in_hours == 0 {
            return None;
        }
        weeks += 1;
        webhooks = same.iter().fold(webhooks, |sum, count| sum.saturating_add(*count));
        active += in_hours as u64;
    }
    let known = weeks as u64;
    let is_usual =
        weeks >= LEAST_WEEKS && webhooks >= LEAST_WEBHOOKS * known && active >= LEAST_HOURS * known;
    is_usual.then(|| webhooks / known)
}

/// Looks at every endpoint that is configured.
#[derive(Debug)]
pub struct SilenceCheck<E, H, C> {
    /// The endpoints' configuration.
    pub endpoints: E,
    /// What they heard.
    pub hearing: H,
    /// The time of day.
    pub clock: C,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many endpoints were looked at: all of them.
    pub endpoints: usize,
    /// The end of the last hour that was looked at.
    pub until: Timestamp,
    /// Those that are silent.
    pub silent: Vec<(EndpointId, Silence)>,
}

impl<E: EndpointSource, H: Hearing, C: Clock> SilenceCheck<E, H, C> {
    /// Looks at the hours until now. One that cannot serve is looked at like the others: a broken configuration is a
    /// reason to be silent.
    ///
    /// # Errors
    ///
    /// The endpoints or what they heard cannot be read, wholly. Then nothing is known of any of them.
    pub async fn run(&self) -> PortResult<Checked> {
        let unreadable = |what| PortError::permanent("silence", what);
        let listing = self.endpoints.endpoints(None).await?;
        let listing = listing.ok_or_else(|| unreadable("endpoints unchanged, and never read"))?;
        let configured: Vec<(EndpointId, Option<u32>)> = listing
            .endpoints
            .iter()
            .map(|one| one.as_ref().map_or_else(|one| (one.id, None), |one| (one.id, one.quiet_after_hours)))
            .collect();
        let end = settled(self.clock.now());
        let at = |second| Timestamp::from_second(second).map_err(|_| unreadable("clock is out of range"));
        let from = at(end - WINDOW_HOURS as i64 * HOUR_SECONDS)?;
        let ids: Vec<EndpointId> = configured.iter().map(|(id, _)| *id).collect();
        let heard = self.hearing.heard(&ids, from, WINDOW_HOURS).await?;
        if heard.len() != ids.len() || heard.iter().any(|hours| hours.len() != WINDOW_HOURS) {
            return Err(unreadable("hours are missing"));
        }
        let silent = configured
            .iter()
            .zip(&heard)
            .filter_map(|((id, quiet_after), heard)| Some((*id, silence(heard, *quiet_after)?)))
            .collect();
        Ok(Checked { endpoints: ids.len(), until: at(end)?, silent })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;
    use tollgate_core::EndpointConfig;

    use super::*;
    use crate::ports::{CannotServe, Configured, Listing};

    /// What came in an hour: 0 is a Monday's first.
    type Habit = fn(hour: usize) -> u64;

    fn always(_: usize) -> u64 {
        5
    }
    fn nights_off(hour: usize) -> u64 {
        if (7..22).contains(&(hour % 24)) { 20 } else { 0 }
    }
    fn weekdays(hour: usize) -> u64 {
        if hour % WEEK < 5 * 24 { nights_off(hour) } else { 0 }
    }
    fn weekends(hour: usize) -> u64 {
        if hour % WEEK >= 5 * 24 { nights_off(hour) } else { 0 }
    }
    fn daily_batch(hour: usize) -> u64 {
        if hour % 24 == 10 { 300 } else { 0 }
    }
    fn weekly_batch(hour: usize) -> u64 {
        if hour % WEEK == 10 { 300 } else { 0 }
    }
    fn monthly_burst(hour: usize) -> u64 {
        if hour % (30 * 24) < 6 { 900 } else { 0 }
    }
    fn rare(hour: usize) -> u64 {
        u64::from(hour % 24 == 12)
    }
    fn few(hour: usize) -> u64 {
        u64::from(hour % 12 == 3)
    }

    /// How long, from hour `begin` on, an endpoint hears nothing until it counts as silent: in hours, up to four weeks.
    fn alarms_after(habit: Habit, first: usize, begin: usize) -> Option<usize> {
        let mut heard: Vec<u64> = (0..begin).map(|hour| if hour < first { 0 } else { habit(hour) }).collect();
        (1..=4 * WEEK).find(|_| {
            heard.push(0);
            silence(&heard, None).is_some()
        })
    }

    #[test]
    fn a_usual_endpoint_is_silent_after_what_is_unusual_for_it() {
        let monday = 6 * WEEK;
        let cases: [(&str, Habit, usize, Option<usize>); 15] = [
            ("always: as soon as ten webhooks in three hours are missing", always, monday, Some(5)),
            ("always, from a weekend on", always, monday + 6 * 24, Some(5)),
            ("quiet at night: not before the morning", nights_off, monday + 22, Some(13)),
            ("quiet at night, at noon", nights_off, monday + 12, Some(5)),
            ("weekdays, from Friday's night on: not before Monday", weekdays, monday + 4 * 24 + 22, Some(61)),
            ("weekdays, on Wednesday", weekdays, monday + 2 * 24 + 9, Some(5)),
            ("weekends, on a Monday: not before Saturday", weekends, monday, Some(5 * 24 + 7 + 4)),
            ("weekends, on a Sunday", weekends, monday + 6 * 24 + 9, Some(5)),
            ("a daily batch: the third that is missing", daily_batch, monday + 11, Some(3 * 24 + 1)),
            ("a weekly batch: one hour a week says nothing", weekly_batch, monday + 11, None),
            ("a monthly burst", monthly_burst, monday, None),
            ("one a day: below the floor", rare, monday, None),
            ("two a day: the tenth that is missing", few, monday, Some(4 * 24 + 17)),
            ("the first two weeks known", always, 2 * WEEK, Some(5)),
            ("never heard", |_| 0, monday, None),
        ];
        for (what, habit, begin, after) in cases {
            assert_eq!(alarms_after(habit, 0, begin), after, "{what}");
        }
    }

    #[test]
    fn a_new_endpoint_is_no_alarm_before_it_has_a_habit() {
        let begin = 6 * WEEK;
        for (known, after) in [(0, None), (24, None), (WEEK, None), (2 * WEEK - 2, None), (2 * WEEK, Some(5))]
        {
            assert_eq!(alarms_after(always, begin - known, begin), after, "{known} hours known");
        }
    }

    /// What happens at a full hour of local time happens an hour later or earlier in UTC from one week to the next.
    #[test]
    fn a_change_of_clocks_is_no_silence() {
        let change = 6 * WEEK;
        for shift in [-1_i64, 1] {
            for habit in [nights_off as Habit, weekdays, weekends, daily_batch] {
                let heard: Vec<u64> = (0..change + 3 * WEEK)
                    .map(|hour| {
                        let shift = if hour < change { 0 } else { shift };
                        habit(usize::try_from(hour as i64 + WEEK as i64 - shift).unwrap())
                    })
                    .collect();
                for end in change..=heard.len() {
                    assert_eq!(silence(&heard[..end], None), None, "{shift}: hour {}", end - change);
                }
            }
        }
    }

    /// A week that was silent at the same time hides a silence, as long as it is among the four that are compared.
    #[test]
    fn a_gap_in_the_past_is_taken_for_a_habit() {
        let begin = 8 * WEEK;
        for (weeks_ago, is_silent) in [(1, false), (2, false), (4, false), (5, true)] {
            let mut heard: Vec<u64> = (0..begin + 24).map(always).collect();
            heard[begin..].fill(0);
            heard[begin - weeks_ago * WEEK..][..24].fill(0);
            assert_eq!(silence(&heard, None).is_some(), is_silent, "{weeks_ago} weeks ago");
        }
    }

    #[test]
    fn a_silence_lasts_until_it_ends_or_ten_weeks_have_passed() {
        let habit: Vec<u64> = (0..4 * WEEK).map(always).chain([0; 12 * WEEK]).collect();
        let in_window = |now: usize| silence(&habit[now.saturating_sub(WINDOW_HOURS)..now], None);
        let silent: Vec<usize> = (4 * WEEK..habit.len()).filter(|now| in_window(*now).is_some()).collect();
        let (first, last) = (silent[0], silent[silent.len() - 1]);
        assert_eq!(silent.len(), last - first + 1, "without a break");
        assert_eq!((first - 4 * WEEK, last - 4 * WEEK), (5, 10 * WEEK + TOLERANCE));
        assert_eq!(in_window(last), Some(Silence { hours: 10 * WEEK + 1, usual: Some(5 * 166) }));
        let mut heard = habit[..5 * WEEK].to_vec();
        heard.push(1);
        assert_eq!(silence(&heard, None), None, "the first webhook ends it");
    }

    #[test]
    fn the_setting_of_an_endpoint_decides_alone() {
        let heard: Vec<u64> = (0..6 * WEEK).map(always).chain([0; 7]).collect();
        for (setting, hours) in
            [(None, Some(7)), (Some(0), None), (Some(1), Some(7)), (Some(7), Some(7)), (Some(8), None)]
        {
            assert_eq!(silence(&heard, setting).map(|silence| silence.hours), hours, "{setting:?}");
        }
        let never = vec![0; WINDOW_HOURS];
        assert_eq!(silence(&never, None), None, "nothing was learned");
        let set = Some(Silence { hours: WINDOW_HOURS, usual: None });
        assert_eq!(silence(&never, Some(MAX_QUIET_HOURS)), set, "learned or not");
    }

    #[test]
    fn the_task_is_no_batch() {
        assert!(is_task(br#"{"task":"find-silence"}"#));
        assert!(is_task(br#"{ "task" : "find-silence" }"#));
        for other in
            [r#"{"task":"other"}"#, r#"{"task":"find-silence","more":1}"#, r#"{"Records":[]}"#, "{}", ""]
        {
            assert!(!is_task(other.as_bytes()), "{other}");
        }
        let long = format!(r#"{{"task":"find-silence"}}{}"#, " ".repeat(LONGEST_TASK));
        assert!(!is_task(long.as_bytes()));
    }

    proptest! {
        /// Whatever came: the last hour decides, more silence is no less, and more than the usual does no harm to it.
        #[test]
        fn silence_grows_only(mut heard in prop::collection::vec(prop_oneof![Just(0_u64), 0..40_u64], 1..1_200), more in 0_usize..400) {
            if heard.last().is_some_and(|count| *count > 0) {
                prop_assert_eq!(silence(&heard, None), None);
            }
            let before = silence(&heard, None);
            heard.extend(vec![0; more]);
            let after = silence(&heard, None);
            if let Some(before) = before {
                prop_assert_eq!(after.map(|after| after.hours), Some(before.hours + more));
            }
            if let Some(after) = after {
                let begin = heard.len() - after.hours;
                prop_assert!(begin == 0 || heard[begin - 1] > 0);
                prop_assert!(after.usual.is_some_and(|usual| usual >= LEAST_WEBHOOKS));
                prop_assert!(heard.iter().position(|count| *count > 0).unwrap() + LEAST_WEEKS * WEEK <= begin + TOLERANCE);
            }
        }
    }

    struct Fixed(i64);
    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0).unwrap()
        }
    }

    struct Endpoints(Vec<Configured>);
    impl EndpointSource for Endpoints {
        async fn endpoints(&self, known: Option<&str>) -> PortResult<Option<Listing>> {
            assert_eq!(known, None);
            Ok(Some(Listing { version: "1".to_owned(), endpoints: self.0.clone() }))
        }
    }

    /// The answer, and what it was asked for.
    struct Heard(PortResult<Vec<Vec<u64>>>, Mutex<Vec<(Vec<EndpointId>, Timestamp)>>);
    impl Hearing for Heard {
        async fn heard(
            &self,
            ids: &[EndpointId],
            from: Timestamp,
            hours: usize,
        ) -> PortResult<Vec<Vec<u64>>> {
            assert_eq!(hours, WINDOW_HOURS);
            self.1.lock().unwrap().push((ids.to_vec(), from));
            self.0.clone()
        }
    }

    fn id(name: &str) -> EndpointId {
        EndpointId::new(name).unwrap()
    }

    fn config(name: &str, more: &str) -> EndpointConfig {
        serde_json::from_str(&format!(r#"{{"id":"{name}","scheme":"stripe","secret":"ssm:a"{more}}}"#))
            .unwrap()
    }

    async fn check(
        now: &str,
        answer: PortResult<Vec<Vec<u64>>>,
    ) -> (PortResult<Checked>, Vec<EndpointId>, Timestamp) {
        let endpoints = vec![
            Ok(config("busy", "")),
            Err(CannotServe { id: id("broken") }),
            Ok(config("never", r#","quiet_after_hours":0"#)),
            Ok(config("said", r#","quiet_after_hours":2"#)),
        ];
        let now: Timestamp = now.parse().unwrap();
        let check = SilenceCheck {
            endpoints: Endpoints(endpoints),
            hearing: Heard(answer, Mutex::default()),
            clock: Fixed(now.as_second()),
        };
        let checked = check.run().await;
        let (ids, from) = check.hearing.1.lock().unwrap()[0].clone();
        (checked, ids, from)
    }

    #[tokio::test]
    async fn every_endpoint_is_looked_at_until_the_last_hour_that_is_settled() {
        let mut silent: Vec<u64> = (0..WINDOW_HOURS).map(always).collect();
        silent[WINDOW_HOURS - 6..].fill(0);
        let all = || Ok(vec![silent.clone(); 4]);
        for (now, end) in [
            ("2026-11-30T10:20:00Z", "2026-11-30T10:00:00Z"),
            ("2026-11-30T10:10:00Z", "2026-11-30T10:00:00Z"),
            ("2026-11-30T10:09:59Z", "2026-11-30T09:00:00Z"),
        ] {
            let (checked, ids, from) = check(now, all()).await;
            let until: Timestamp = end.parse().unwrap();
            assert_eq!(ids, ["busy", "broken", "never", "said"].map(id));
            assert_eq!(until.as_second() - from.as_second(), WINDOW_HOURS as i64 * HOUR_SECONDS);
            let learned = Silence { hours: 6, usual: Some(20) };
            let set = Silence { hours: 6, usual: None };
            let silent = vec![(id("busy"), learned), (id("broken"), learned), (id("said"), set)];
            assert_eq!(checked, Ok(Checked { endpoints: 4, until, silent }));
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_neither_silence_nor_hearing() {
        let failed = PortError::retryable("cloudwatch", "PartialData");
        let full = vec![1; WINDOW_HOURS];
        let short = vec![1; WINDOW_HOURS - 1];
        let now = "2026-11-30T10:20:00Z";
        assert_eq!(check(now, Err(failed.clone())).await.0, Err(failed));
        for answer in
            [vec![full.clone(); 3], vec![full.clone(); 5], vec![full.clone(), full.clone(), full, short]]
        {
            assert!(check(now, Ok(answer)).await.0.is_err());
        }
    }
}
