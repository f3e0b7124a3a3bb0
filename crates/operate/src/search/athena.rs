//! The archive's SQL in Athena: a query is started, asked after until it has ended, and its rows are read in pages.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{ErrorMetadata, SdkError},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_aws::json_service::{Call, JsonService};
use tollgate_core::id::hex_sha256;

use crate::aws::Aws;

/// Between the first two looks, and the longest later: a query of some objects takes a second, of a year minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// So long a query may take: Athena's own bound ("Service Quotas", Athena user guide: 30 minutes).
const LONGEST: Duration = Duration::from_secs(1_800);
/// Rows of a page (GetQueryResults, API reference).
const PAGE: usize = 1_000;
/// Pages of one query: more than a limit asks for.
const MAX_PAGES: usize = 1_000;

/// A work group's table.
#[derive(Debug, Clone)]
pub struct Athena {
    service: JsonService,
    work_group: String,
    database: String,
}

/// A query that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    id: String,
}

/// What a query read, and its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// By the names of the columns.
    pub rows: Vec<Map<String, Value>>,
    /// Bytes that Athena read, and bills.
    pub scanned: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Start {
    query_execution_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    query_execution: Execution,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    status: Status,
    #[serde(default)]
    statistics: Statistics,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    state: String,
    #[serde(default)]
    state_change_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    #[serde(default)]
    data_scanned_in_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    result_set: ResultSet,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultSet {
    #[serde(default)]
    rows: Vec<Row>,
    result_set_metadata: Columns,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Columns {
    column_info: Vec<Column>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Column {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    data: Vec<Datum>,
}

/// Null where it has no value.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datum {
    #[serde(default)]
    var_char_value: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

impl Athena {
    /// The environment's own work group and table.
    pub fn of(aws: &Aws) -> Self {
        Self::new(aws, aws.names.query_work_group(), aws.names.archive_database())
    }

    /// A database's table, by a work group.
    pub fn new(aws: &Aws, work_group: impl Into<String>, database: impl Into<String>) -> Self {
        let service = JsonService {
            config: aws.config.clone(),
            name: "athena",
            signing_name: "athena",
            target: "AmazonAthena",
            json_version: "1.1",
            url: aws.url_of("athena"),
        };
        Self { service, work_group: work_group.into(), database: database.into() }
    }

    /// Starts a query. `once` makes it one: the same text and the same `once` are the same query, so that a repeat whose
    /// first answer was lost costs nothing (StartQueryExecution, API reference: 32 to 128 characters).
    ///
    /// # Errors
    ///
    /// When Athena refuses or does not answer.
    pub async fn start(&self, sql: &str, once: &str) -> anyhow::Result<Started> {
        let input = json!({
            "QueryString": sql,
            "ClientRequestToken": hex_sha256(format!("{once}\n{sql}").as_bytes()),
            "QueryExecutionContext": { "Database": self.database },
            "WorkGroup": self.work_group,
        });
        let started: Start = call(&self.service.call("StartQueryExecution")?, &input).await?;
        Ok(Started { id: started.query_execution_id })
    }

    /// Waits until it has ended, and reads its rows, `most` at most.
    ///
    /// # Errors
    ///
    /// When it failed or was cancelled, takes too long, or Athena does not answer.
    pub async fn rows(&self, started: &Started, most: usize) -> anyhow::Result<Rows> {
        let scanned = self.end(started).await?;
        let call_of_page: Call<Page> = self.service.call("GetQueryResults")?;
        let mut rows: Vec<Map<String, Value>> = Vec::new();
        let mut next: Option<String> = None;
        for page in 0..MAX_PAGES {
            let mut input = json!({ "QueryExecutionId": started.id, "MaxResults": PAGE });
            if let (Some(token), Some(input)) = (next.take(), input.as_object_mut()) {
                input.insert("NextToken".to_owned(), token.into());
            }
            let answer = call(&call_of_page, &input).await?;
            let names: Vec<&str> =
                answer.result_set.result_set_metadata.column_info.iter().map(|c| c.name.as_str()).collect();
            // The first row of a SELECT's first page is the columns' names (GetQueryResults, API reference).
            for row in answer.result_set.rows.iter().skip(usize::from(page == 0)) {
                ensure!(
                    row.data.len() == names.len(),
                    "Athena gives a row that is not as long as its columns"
                );
                let cells = names.iter().zip(&row.data).map(|(name, datum)| {
                    let value = datum.var_char_value.clone().map_or(Value::Null, Value::from);
                    ((*name).to_owned(), value)
                });
                rows.push(cells.collect());
            }
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() || rows.len() >= most {
                rows.truncate(most);
                return Ok(Rows { rows, scanned });
            }
        }
        bail!("Athena gives pages without an end")
    }

    /// Waits, and says how many bytes were read.
    async fn end(&self, started: &Started) -> anyhow::Result<u64> {
        let call_of_status: Call<Asked> = self.service.call("GetQueryExecution")?;
        let input = json!({ "QueryExecutionId": started.id });
        let (mut pause, mut waited) = (FIRST_PAUSE, Duration::ZERO);
        while waited < LONGEST {
            let execution = call(&call_of_status, &input).await?.query_execution;
            let reason = execution.status.state_change_reason.unwrap_or_default();
            match execution.status.state.as_str() {
                "SUCCEEDED" => return Ok(execution.statistics.data_scanned_in_bytes),
                "QUEUED" | "RUNNING" => {}
                "FAILED" | "CANCELLED" => bail!("Athena: {} ({reason})", execution.status.state),
                _ => bail!("Athena says of a query a state that is not known here"),
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        self.stop(started).await?;
        bail!("Athena has not ended the query in {} minutes", LONGEST.as_secs() / 60)
    }

    /// Stops it: nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// When Athena does not answer.
    pub async fn stop(&self, started: &Started) -> anyhow::Result<()> {
        let call_of_stop: Call<Nothing> = self.service.call("StopQueryExecution")?;
        call(&call_of_stop, &json!({ "QueryExecutionId": started.id })).await?;
        Ok(())
    }
}

async fn call<T>(call: &Call<T>, input: &Value) -> anyhow::Result<T>
where
    T: std::fmt::Debug + Send + Sync + 'static,
{
    call.invoke(input.to_string()).await.map_err(|problem| said(&problem)).context("asking Athena")
}

fn said(problem: &SdkError<ErrorMetadata, HttpResponse>) -> anyhow::Error {
    match problem {
        SdkError::ServiceError(inner) => {
            let (code, message) = (inner.err().code(), inner.err().message());
            anyhow::anyhow!("{}: {}", code.unwrap_or("refused"), message.unwrap_or("no reason is given"))
        }
        other => anyhow::anyhow!("{}", unanswered(other)),
    }
}

fn unanswered(problem: &SdkError<ErrorMetadata, HttpResponse>) -> &'static str {
    match problem {
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::DispatchFailure(_) => "not reached",
        SdkError::ResponseError(_) => "an answer that cannot be read",
        _ => "the request cannot be made",
    }
}
