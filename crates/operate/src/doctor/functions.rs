//! The functions: whether they run what was released, and how many may run at once.

use anyhow::Context;
use futures_util::{future::join_all, join};
use jiff::fmt::rfc2822;
use serde::{Deserialize, de::DeserializeOwned};
use tollgate_aws::{
    error::port_error,
    json_service::{Call, Dated, JsonService},
};
use tollgate_core::Timestamp;
use tollgate_pipeline::ports::{PortError, PortResult};

use super::model::{Finding, told};
use crate::aws::Aws;

const FUNCTIONS: &str = "functions";
const RELEASE: &str = "release";
const CLOCK: &str = "clock";
const CONCURRENCY: &str = "concurrency";
/// What everything calls a function by (infra/tollgate.yaml).
const ALIAS: &str = "live";
/// A request's signature holds for five minutes (Signature Version 4, IAM user guide), and a webhook's for as long with most
/// providers. So many seconds may this machine's clock differ from AWS's, and so many before calls fail.
const CLOCK_SECONDS: i64 = 5;
const CLOCK_FAILS_SECONDS: i64 = 120;
/// Lambda leaves so much unreserved in an account ("Configuring reserved concurrency", Lambda developer guide). With no more
/// than that, a burst of webhooks is throttled.
const LEAST_UNRESERVED: u64 = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Function {
    configuration: Configuration,
    #[serde(default)]
    code: Code,
    #[serde(default)]
    concurrency: Reserved,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    #[serde(default)]
    description: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    memory_size: u64,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    last_update_status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Code {
    #[serde(default)]
    image_uri: Option<String>,
    #[serde(default)]
    resolved_image_uri: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reserved {
    #[serde(default)]
    reserved_concurrent_executions: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mappings {
    #[serde(default)]
    event_source_mappings: Vec<Mapping>,
}

/// A queue that a function is called with.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Mapping {
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) state_transition_reason: String,
    #[serde(default)]
    pub(super) function_response_types: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Account {
    account_limit: Limit,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Limit {
    #[serde(default)]
    concurrent_executions: u64,
    #[serde(default)]
    unreserved_concurrent_executions: Option<u64>,
}

async fn asked<T>(call: PortResult<Call<Dated<T>>>, path: String) -> PortResult<Dated<T>>
where
    T: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    call?.invoke(path).await.map_err(|problem| port_error("lambda", &problem))
}

fn lambda(aws: &Aws) -> JsonService {
    JsonService {
        config: aws.config.clone(),
        name: "lambda",
        signing_name: "lambda",
        target: "",
        json_version: "1.1",
        url: aws.url_of("lambda"),
    }
}

/// Which functions are called with a queue's messages.
pub(super) async fn mappings(aws: &Aws, queue_arn: &str) -> anyhow::Result<Vec<Mapping>> {
    let call = lambda(aws).rest("ListEventSourceMappings");
    let arn = queue_arn.replace(':', "%3A");
    let answer = asked::<Mappings>(call, format!("/2015-03-31/event-source-mappings/?EventSourceArn={arn}"));
    Ok(answer.await.context("asking who reads the queue")?.answer.event_source_mappings)
}

async fn function(aws: &Aws, name: &str, qualifier: &str) -> anyhow::Result<Option<Dated<Function>>> {
    let call = lambda(aws).rest("GetFunction");
    match asked(call, format!("/2015-03-31/functions/{name}{qualifier}")).await {
        Ok(found) => Ok(Some(found)),
        Err(PortError::Retryable { detail, .. } | PortError::Permanent { detail, .. })
            if detail == "ResourceNotFoundException" =>
        {
            Ok(None)
        }
        Err(problem) => Err(problem).context("asking for the function"),
    }
}

/// How much memory a function has, in MB.
///
/// # Errors
///
/// When there is no such function, or AWS does not answer.
pub async fn memory_mb(aws: &Aws, name: &str) -> anyhow::Result<u64> {
    let found = function(aws, name, &format!("?Qualifier={ALIAS}")).await?;
    Ok(found.with_context(|| format!("there is no function {name}"))?.answer.configuration.memory_size)
}

type Asked = anyhow::Result<Option<Dated<Function>>>;

/// Every function, by its name.
async fn each(aws: &Aws, qualifier: &str) -> Vec<(String, Asked)> {
    let names = aws.names.functions();
    let found = join_all(names.iter().map(|name| function(aws, name, qualifier))).await;
    names.into_iter().zip(found).collect()
}

/// Whether each runs, and all run one release; and this machine's clock, by the time that Lambda says.
pub(super) async fn check(aws: &Aws, now: Timestamp) -> Vec<Finding> {
    let (mut found, mut releases, mut date) = (Vec::new(), Vec::new(), None);
    for (name, live) in each(aws, &format!("?Qualifier={ALIAS}")).await {
        found.extend(told(
            FUNCTIONS,
            &name,
            live.map(|live| {
                let Some(Dated { answer: live, date: said }) = live else {
                    return vec![Finding::fail(FUNCTIONS, &name, "it is not there", "`make deploy` again")];
                };
                date = date.take().or(said);
                releases.push((name.clone(), release(&live)));
                vec![of_function(&name, &live)]
            }),
        ));
    }
    found.push(one_release(&releases));
    found.push(clock(date.as_deref(), now));
    found
}

fn of_function(name: &str, live: &Function) -> Finding {
    let said = &live.configuration;
    let (state, update) = (said.state.as_deref(), said.last_update_status.as_deref());
    let remedy = "docs/runbook.md#function-errors";
    if let Some(state) = state.filter(|state| !matches!(*state, "Active" | "Inactive")) {
        return Finding::fail(FUNCTIONS, name, format!("its state is {state}"), remedy);
    }
    if let Some(update) = update.filter(|update| *update == "Failed") {
        return Finding::fail(FUNCTIONS, name, format!("its last update: {update}"), remedy);
    }
    // What was pushed under a tag since then is not what runs.
    let digest =
        |uri: &Option<String>| uri.as_deref().and_then(|uri| uri.split_once('@')).map(|uri| uri.1.to_owned());
    match (digest(&live.code.image_uri), digest(&live.code.resolved_image_uri)) {
        (Some(asked), Some(runs)) if asked != runs => Finding::fail(
            FUNCTIONS,
            name,
            format!("deployed as {asked}, and runs {runs}"),
            "`make deploy` again",
        ),
        (None, None) => Finding::ok(FUNCTIONS, name, format!("runs, version {}", said.version)),
        (None, Some(runs)) => Finding::warn(
            FUNCTIONS,
            name,
            format!("deployed by a tag; it runs {runs}"),
            "deploy by digest: docs/images.md",
        ),
        (Some(asked), _) => Finding::ok(FUNCTIONS, name, format!("runs {asked}, version {}", said.version)),
    }
}

/// The release that a function is of: a version's description begins with it, a function's ends with it (infra/tollgate.yaml).
fn release(live: &Function) -> String {
    let said = live.configuration.description.trim();
    match said.rsplit_once(". ") {
        Some((_, release)) => release.to_owned(),
        None if said.ends_with('.') || said.is_empty() => String::new(),
        None => said.split(' ').next().unwrap_or_default().to_owned(),
    }
}

fn one_release(releases: &[(String, String)]) -> Finding {
    let Some((_, first)) = releases.first() else {
        return Finding::unknown(RELEASE, "all functions", &anyhow::anyhow!("no function could be asked"));
    };
    let others: Vec<String> = releases
        .iter()
        .filter(|(_, release)| release != first)
        .map(|(name, release)| format!("{name} {release}"))
        .collect();
    if !others.is_empty() {
        let detail = format!("not all of one release: {first}, but {}", others.join(", "));
        return Finding::warn(
            RELEASE,
            "all functions",
            detail,
            "a rollout goes on, or failed: `make deploy` again",
        );
    }
    let detail = if first.is_empty() { "deployed without releases" } else { first };
    Finding::ok(RELEASE, "all functions", detail)
}

fn clock(date: Option<&str>, now: Timestamp) -> Finding {
    let of = "this machine";
    let said = date.and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    let Some(said) = said else {
        return Finding::unknown(CLOCK, of, &anyhow::anyhow!("AWS did not say its time"));
    };
    let seconds = (now.as_second() - said.as_second()).abs();
    let remedy = "set this machine's clock by NTP: times here, and signed calls, go by it";
    let detail = format!("{seconds} s from AWS's");
    if seconds <= CLOCK_SECONDS {
        Finding::ok(CLOCK, of, "agrees with AWS's")
    } else if seconds < CLOCK_FAILS_SECONDS {
        Finding::warn(CLOCK, of, detail, remedy)
    } else {
        Finding::fail(CLOCK, of, detail, remedy)
    }
}

/// How many may run at once.
pub(super) async fn concurrency(aws: &Aws) -> Vec<Finding> {
    let of = "the account";
    let account =
        asked::<Account>(lambda(aws).rest("GetAccountSettings"), "/2016-08-19/account-settings/".to_owned());
    let (account, reserved) = join!(account, each(aws, ""));
    let mut found = told(
        CONCURRENCY,
        of,
        account.context("asking for the limits").map(|account| {
            let limit = account.answer.account_limit;
            let unreserved = limit.unreserved_concurrent_executions.unwrap_or(limit.concurrent_executions);
            let detail = format!(
                "{} at once, {unreserved} of them for all that reserve none",
                limit.concurrent_executions
            );
            vec![if unreserved > LEAST_UNRESERVED {
                Finding::ok(CONCURRENCY, of, detail)
            } else {
                Finding::warn(CONCURRENCY, of, detail, "raise the quota: docs/runbook.md#account-concurrency")
            }]
        }),
    );
    for (name, reserved) in reserved {
        found.extend(told(
            CONCURRENCY,
            &name,
            reserved.map(|found| {
                let found = found.and_then(|found| found.answer.concurrency.reserved_concurrent_executions);
                match found {
                    Some(0) => vec![Finding::fail(
                        CONCURRENCY,
                        &name,
                        "none may run: it reserves 0",
                        "docs/runbook.md#throttles",
                    )],
                    Some(reserved) => {
                        vec![Finding::ok(CONCURRENCY, &name, format!("at most {reserved} at once"))]
                    }
                    None => Vec::new(),
                }
            }),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(description: &str, asked: Option<&str>, runs: Option<&str>) -> Function {
        let uri = |digest: Option<&str>| digest.map(|digest| format!("1.dkr.ecr/tollgate{digest}"));
        let configuration = Configuration {
            description: description.to_owned(),
            version: "7".to_owned(),
            memory_size: 1_024,
            state: Some("Active".to_owned()),
            last_update_status: None,
        };
        let code = Code { image_uri: uri(asked), resolved_image_uri: uri(runs) };
        Function { configuration, code, concurrency: Reserved::default() }
    }

    #[test]
    fn a_release_is_read_of_a_version_and_of_a_function() {
        for (description, is) in [
            ("Verifies a webhook, claims it in the ledger and puts it into the intake. 1.4.2", "1.4.2"),
            ("Verifies a webhook, claims it in the ledger and puts it into the intake.", ""),
            ("1.4.2 111122223333.dkr.ecr.eu-west-1.amazonaws.com/tollgate/validator@sha256:ab", "1.4.2"),
            ("", ""),
        ] {
            assert_eq!(release(&live(description, None, None)), is, "{description}");
        }
        let of = |one: &str, other: &str| {
            one_release(&[("a".into(), one.into()), ("b".into(), other.into())]).verdict
        };
        assert_eq!((of("1", "1"), of("1", "2")), (super::super::Verdict::Ok, super::super::Verdict::Warn));
        assert_eq!(one_release(&[]).verdict, super::super::Verdict::Unknown);
    }

    #[test]
    fn what_runs_is_what_was_deployed() {
        use super::super::Verdict::{Fail, Ok, Warn};
        for (asked, runs, verdict) in [
            (Some("@sha256:a"), Some("@sha256:a"), Ok),
            (Some("@sha256:a"), Some("@sha256:b"), Fail),
            (Some(":latest"), Some("@sha256:b"), Warn),
            (None, None, Ok),
        ] {
            assert_eq!(of_function("x", &live("", asked, runs)).verdict, verdict, "{asked:?} {runs:?}");
        }
        let mut failed = live("", None, None);
        failed.configuration.state = Some("Failed".to_owned());
        assert_eq!(of_function("x", &failed).verdict, Fail);
    }

    #[test]
    fn the_clock_is_held_against_the_answers_date() {
        use super::super::Verdict::{Fail, Ok, Unknown, Warn};
        let now: Timestamp = "2026-11-30T08:00:00Z".parse().unwrap();
        for (date, verdict) in [
            (Some("Mon, 30 Nov 2026 08:00:03 GMT"), Ok),
            (Some("Mon, 30 Nov 2026 07:59:00 GMT"), Warn),
            (Some("Mon, 30 Nov 2026 09:00:00 GMT"), Fail),
            (Some("yesterday"), Unknown),
            (None, Unknown),
        ] {
            assert_eq!(clock(date, now).verdict, verdict, "{date:?}");
        }
    }
}
