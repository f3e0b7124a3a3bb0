//! Every endpoint whose provider can be asked, one after the other, within a time: what the function `reconciler` does once a day. It
//! says what it found, and takes nothing in.

use std::{collections::BTreeMap, sync::atomic::AtomicBool, time::Duration};

use anyhow::bail;
use jiff::{ToSpan, Unit, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tollgate_core::{EndpointId, Timestamp};
use tollgate_providers::Endpoint;

use super::{Asked, Finding, Types, Verdict, api_key, extra::Listing};
use crate::{
    aws::{Aws, is_loopback},
    endpoints,
    provider_api::{self, ApiKey, Client, Item, Timing},
};

/// Version of the report. Members are only ever added under one version.
pub const FORM: &str = "tollgate.reconciliations/1";
/// What the keys of reports begin with, in the archive's bucket.
pub const PREFIX: &str = "reconciliations/";
/// How far back is looked: a day, and two hours that the run before looked at too, since a run may begin later than the one before.
const HOURS: i64 = 26;
/// Findings of an endpoint that the report has: those that are present are only counted. Its table has all.
pub const MOST_KEPT: usize = 1_000;
/// With less time than this nothing is begun.
const LEAST: Duration = Duration::from_secs(1);

/// The payload of the function's invocation. The template has it: `{"task":"reconcile"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    task: String,
    /// Asked instead of the providers' own addresses: on this machine alone, for tests.
    #[serde(default)]
    api_url: Option<String>,
}

/// Whether an invocation's payload asks for it, and where providers are asked if that is not their own addresses.
///
/// # Errors
///
/// When it asks for something else.
pub fn task(payload: &str) -> anyhow::Result<Option<String>> {
    match serde_json::from_str::<Task>(payload) {
        Ok(Task { task, api_url }) if task == "reconcile" && api_url.as_deref().is_none_or(is_loopback) => {
            Ok(api_url)
        }
        _ => bail!("the payload is not the task of the schedule"),
    }
}

/// What a run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daily {
    /// [`FORM`].
    pub form: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Each endpoint whose provider can be asked.
    pub endpoints: Vec<Looked>,
    /// How many others there are: nobody knows how to ask their providers.
    pub others: u64,
}

/// How an endpoint was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Which one.
    pub endpoint: EndpointId,
    /// Its provider; empty where its settings cannot be read.
    pub provider: String,
    /// Whether it was.
    pub state: State,
    /// Why it was not, or not wholly.
    pub why: Option<String>,
    /// Events from this moment on, by the provider's clock.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// How many were compared, by verdict: of a part, where it was not wholly compared.
    pub counts: BTreeMap<Verdict, u64>,
    /// That the provider lists and its webhook is not sent.
    pub not_subscribed: u64,
    /// What people are told beside that.
    pub notes: Vec<String>,
    /// Those that are not present: the first [`MOST_KEPT`].
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub left_out: u64,
}

/// Whether an endpoint was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All that its provider lists of the time was compared.
    Compared,
    /// It was not, or not wholly.
    NotCompared,
    /// Nobody wants it to be: no key of its provider's API is stored, or, where the endpoint says `enrich`, one that may fetch and
    /// may not list.
    NoKey,
}

impl State {
    /// Its text in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compared => "compared",
            Self::NotCompared => "not_compared",
            Self::NoKey => "no_key",
        }
    }
}

impl Looked {
    fn new(endpoint: EndpointId, provider: &str) -> Self {
        Self {
            endpoint,
            provider: provider.to_owned(),
            state: State::NotCompared,
            why: None,
            from: None,
            to: None,
            counts: BTreeMap::new(),
            not_subscribed: 0,
            notes: Vec::new(),
            findings: Vec::new(),
            left_out: 0,
        }
    }

    /// How many events have one of these verdicts.
    pub fn count(&self, verdicts: &[Verdict]) -> u64 {
        verdicts.iter().filter_map(|verdict| self.counts.get(verdict)).sum()
    }

    fn add(&mut self, finding: Finding) {
        *self.counts.entry(finding.verdict).or_default() += 1;
        if finding.verdict == Verdict::Present {
            return;
        }
        if self.findings.len() < MOST_KEPT {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }
}

impl Daily {
    /// How many endpoints are of this state.
    pub fn of_state(&self, state: State) -> u64 {
        self.endpoints.iter().map(|one| u64::from(one.state == state)).sum()
    }

    fn count(&self, verdicts: &[Verdict]) -> u64 {
        self.endpoints.iter().map(|one| one.count(verdicts)).sum()
    }

    /// How many events are in no ledger.
    pub fn missing(&self) -> u64 {
        self.count(&[Verdict::Missing, Verdict::RefusedByUs])
    }

    /// How many were accepted, and have not taken effect.
    pub fn unfinished(&self) -> u64 {
        self.count(&[Verdict::Unfinished])
    }

    /// How many took effect as something else than the provider tells.
    pub fn differing(&self) -> u64 {
        self.count(&[Verdict::Conflicting, Verdict::AmountDiffers])
    }

    /// Whether anything was compared, and each endpoint wholly that was to be. Only then does a count of none say anything.
    pub fn is_finished(&self) -> bool {
        self.of_state(State::Compared) > 0 && self.of_state(State::NotCompared) == 0
    }

    /// What the keys of its report and of its table begin with; each of them has an ending of its own. `once` is a text of this run
    /// alone.
    pub fn key(&self, once: &str) -> String {
        let began = self.began.round(Unit::Second).unwrap_or(self.began);
        let time = began.to_string().replace([':', '-'], "");
        let once: String = once.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{PREFIX}date={}/{time}-{once}", began.to_zoned(TimeZone::UTC).date())
    }
}

/// Compares each endpoint of the environment that has a key of its provider's API with what its provider lists of the last 26 hours,
/// until this moment. Each has an equal share of the time that is left, so that none takes it from the others. `each` has every
/// event.
///
/// # Errors
///
/// When the endpoints cannot be read: then nothing was compared.
pub async fn compare(
    aws: &Aws,
    timing: &Timing,
    url: Option<&str>,
    until: Timestamp,
    mut each: impl FnMut(&EndpointId, &Finding) -> anyhow::Result<()>,
) -> anyhow::Result<Daily> {
    let run = Run { aws, timing, url, until };
    let began = (timing.now)();
    let (mut looked, mut asked, mut others) = (Vec::new(), Vec::new(), 0);
    for configured in endpoints::listed(aws).await? {
        let id = configured.as_ref().map_or_else(|problem| problem.id, |config| config.id);
        match configured.ok().map(Endpoint::new) {
            Some(Ok(endpoint)) => match provider_api::of(endpoint.provider().as_str()) {
                Ok(api) => asked.push(Asked { endpoint, api, looks_at_refused: false }),
                Err(_) => others += 1,
            },
            // Whose it is nobody knows. With a key it was to be compared.
            None | Some(Err(_)) => match api_key(aws, &id).await {
                Ok(None) => others += 1,
                _ => {
                    let why = Some("its settings cannot be read".to_owned());
                    looked.push(Looked { why, ..Looked::new(id, "") });
                }
            },
        }
    }
    let mut with_key = Vec::new();
    for asked in asked {
        let mut one = Looked::new(*asked.endpoint.id(), asked.api.name.as_str());
        match asked.key(aws).await {
            Ok(Some(key)) => {
                with_key.push((asked, key));
                continue;
            }
            Ok(None) => one.state = State::NoKey,
            Err(problem) => one.why = Some(format!("{problem:#}")),
        }
        looked.push(one);
    }
    let mut left = with_key.len();
    for (asked, key) in with_key {
        looked.push(run.endpoint(&asked, key, left, &mut each).await);
        left -= 1;
    }
    looked.sort_by(|one, other| one.endpoint.as_str().cmp(other.endpoint.as_str()));
    Ok(Daily { form: FORM.to_owned(), began, ended: (timing.now)(), endpoints: looked, others })
}

/// What all endpoints of a run have in common.
struct Run<'a> {
    aws: &'a Aws,
    timing: &'a Timing,
    url: Option<&'a str>,
    until: Timestamp,
}

impl Run<'_> {
    /// Compares one of so many that are left.
    async fn endpoint(
        &self,
        asked: &Asked,
        key: ApiKey,
        left: usize,
        each: &mut impl FnMut(&EndpointId, &Finding) -> anyhow::Result<()>,
    ) -> Looked {
        let mut looked = Looked::new(*asked.endpoint.id(), asked.api.name.as_str());
        let share = share(self.until, (self.timing.now)(), left);
        if share < LEAST {
            looked.why = Some("there was no time left for it".to_owned());
            return looked;
        }
        match tokio::time::timeout(share, self.compared(asked, key, &mut looked, each)).await {
            Ok(Ok(state)) => looked.state = state,
            Ok(Err(problem)) => looked.why = Some(format!("{problem:#}")),
            Err(_) => {
                looked.why =
                    Some(format!("it did not end within its share of the time, {} s", share.as_secs()))
            }
        }
        looked
    }

    async fn compared(
        &self,
        asked: &Asked,
        key: ApiKey,
        looked: &mut Looked,
        each: &mut impl FnMut(&EndpointId, &Finding) -> anyhow::Result<()>,
    ) -> anyhow::Result<State> {
        let now = (self.timing.now)();
        let plan = asked.plan(now.checked_sub(HOURS.hours())?, now, Vec::new(), now)?;
        (looked.from, looked.to) = (Some(plan.from), Some(plan.to));
        let mut client = asked.client_with(key, self.url, false, self.timing.clone())?;
        let types = asked.types(&mut client, &plan).await?;
        if let Types::Unknown(why) = &types {
            if asked.endpoint.enriches() {
                looked.why = Some(format!("its key is stored to fetch what webhooks only name: {why}"));
                return Ok(State::NoKey);
            }
            // Else all that its webhook is not sent would be missing each day, and the alarm would say nothing.
            bail!("which types its webhook is sent is not known: {why}");
        }
        let mut listing = Listing { types, listed: None };
        let stop = AtomicBool::new(false);
        let page = async |_: &mut Client, page: Vec<(Finding, Item)>| {
            for (finding, _) in page {
                each(&plan.endpoint, &finding)?;
                looked.add(finding);
            }
            Ok(())
        };
        let summary = asked.compare(self.aws, &mut client, &plan, &mut listing, &stop, page).await?;
        looked.not_subscribed = summary.not_subscribed;
        looked.notes = summary.notes;
        Ok(State::Compared)
    }
}

/// The time of one of so many that are left.
fn share(until: Timestamp, now: Timestamp, left: usize) -> Duration {
    let time = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    time / u32::try_from(left.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_has_an_equal_share_of_the_time_that_is_left() {
        let until = at("2026-01-31T00:15:00Z");
        for (now, left, expected) in [
            ("2026-01-31T00:00:00Z", 1, 900),
            ("2026-01-31T00:00:00Z", 3, 300),
            ("2026-01-31T00:14:00Z", 2, 30),
            ("2026-01-31T00:15:00Z", 2, 0),
            ("2026-01-31T01:00:00Z", 1, 0),
        ] {
            assert_eq!(share(until, at(now), left), Duration::from_secs(expected), "{now} {left}");
        }
    }

    #[test]
    fn what_the_schedule_asks_for_is_the_only_task() {
        assert_eq!(task(r#"{"task":"reconcile"}"#).unwrap(), None);
        let here = r#"{"task":"reconcile","api_url":"http://127.0.0.1:1"}"#;
        assert_eq!(task(here).unwrap().as_deref(), Some("http://127.0.0.1:1"));
        for other in [
            "",
            "{}",
            r#"{"task":"find-silence"}"#,
            r#"{"task":"reconcile","ingest":true}"#,
            // A key is sent nowhere but to its provider.
            r#"{"task":"reconcile","api_url":"https://example.com"}"#,
        ] {
            assert!(task(other).is_err(), "{other}");
        }
    }

    #[test]
    fn nothing_is_finished_where_nothing_was_compared() {
        let run = |states: &[State]| {
            let endpoint = EndpointId::new("stripe-eu").unwrap();
            let endpoints =
                states.iter().map(|state| Looked { state: *state, ..Looked::new(endpoint, "stripe") });
            let (began, ended) = (at("2026-01-31T03:17:00.9Z"), at("2026-01-31T03:18:00Z"));
            Daily { form: FORM.to_owned(), began, ended, endpoints: endpoints.collect(), others: 1 }
        };
        for (states, expected) in [
            (&[State::Compared][..], true),
            (&[State::Compared, State::NoKey], true),
            (&[State::Compared, State::NotCompared], false),
            (&[State::NoKey], false),
            (&[], false),
        ] {
            assert_eq!(run(states).is_finished(), expected, "{states:?}");
        }
        assert_eq!(
            run(&[]).key("8476a536-e9f4"),
            "reconciliations/date=2026-01-31/20260131T031701Z-8476a536"
        );
    }
}
