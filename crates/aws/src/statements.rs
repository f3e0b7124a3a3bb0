//! Conditional writes, many a call: BatchExecuteStatement makes 25 statements a call and gives each its own verdict.

use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    types::{BatchStatementErrorCodeEnum as Code, BatchStatementRequest, BatchStatementResponse},
};
use tollgate_pipeline::ports::{PortError, PortResult};

use crate::{
    batch::{Item, Limits, batched},
    dynamodb::{BUDGET, SERVICE},
    error::{build_error, port_error},
    prepared::PreparedItems,
};

/// BatchExecuteStatement: 25 statements a call (API reference). Ours are some 500 bytes.
static EXECUTE: Limits = Limits { service: SERVICE, items: 25, bytes: usize::MAX, budget: &BUDGET };

/// What a statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    /// The item is there already, or it is not as the statement's condition has it.
    Refused,
}

/// Runs statements, each of which writes one item of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statements<'a> {
    pub(crate) client: &'a Client,
    /// Whether statements are made on all processors.
    pub(crate) is_parallel: bool,
}

impl Statements<'_> {
    /// Runs one statement for each input, and gives each its verdict.
    pub(crate) async fn execute<I: Sync>(
        &self,
        inputs: &[I],
        statement: impl Fn(&I) -> Result<BatchStatementRequest, BuildError> + Sync,
    ) -> Vec<PortResult<Verdict>> {
        let statements = PreparedItems::new(inputs, self.is_parallel, statement);
        batched(EXECUTE, &vec![1; inputs.len()], async |chunk| self.call(statements.take(chunk)).await).await
    }

    async fn call(&self, statements: Vec<Result<BatchStatementRequest, BuildError>>) -> Vec<Item<Verdict>> {
        let count = statements.len();
        let fail = |problem: PortError| (0..count).map(|_| Item::Done(Err(problem.clone()))).collect();
        let Ok(statements) = statements.into_iter().collect::<Result<Vec<_>, _>>() else {
            return fail(build_error(SERVICE));
        };
        match self.client.batch_execute_statement().set_statements(Some(statements)).send().await {
            // `batched` compares the number of verdicts with that of the statements.
            Ok(answer) => answer.responses().iter().map(verdict).collect(),
            Err(problem) => fail(port_error(SERVICE, &problem)),
        }
    }
}

fn verdict(response: &BatchStatementResponse) -> Item<Verdict> {
    let Some(problem) = response.error() else { return Item::Done(Ok(Verdict::Done)) };
    let Some(code) = problem.code() else {
        return Item::Done(Err(PortError::retryable(SERVICE, "error without a code")));
    };
    match code {
        Code::DuplicateItem | Code::ConditionalCheckFailed => Item::Done(Ok(Verdict::Refused)),
        // The statement itself is wrong; whatever else it is may pass.
        Code::ValidationError | Code::ItemCollectionSizeLimitExceeded => {
            Item::Done(Err(PortError::permanent(SERVICE, code.as_str())))
        }
        // Not permitted, or not there: another call in a moment meets the same.
        Code::AccessDenied | Code::ResourceNotFound => {
            Item::Done(Err(PortError::retryable(SERVICE, code.as_str())))
        }
        _ => Item::LeftOver(PortError::retryable(SERVICE, code.as_str())),
    }
}
