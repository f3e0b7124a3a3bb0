//! The transaction history in DynamoDB.
//!
//! An event is the item (`transaction_id`, `PaymentEvent::sort_key`), with its JSON and what an index needs beside it:
//! a usual item is at most one write unit long. Each transaction also has one item with the sort key `latest`. It holds
//! how far the transaction is known to be, from which `superseded` is computed, and what its key is an alias of. Two
//! processors may write it at once, so it is changed only as it was read: its state is replaced where it is still that of
//! the same event, and a link leaves the state as it is. The history itself is the truth.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    types::{AttributeValue, BatchStatementRequest},
};
use futures_util::future;
use tollgate_core::{
    Authenticity, Category, EventId, EventType,
    event::{Position, nine_decimals},
};
use tollgate_pipeline::ports::{
    Document, Latest, Link, PortError, PortResult, Recorded, State, Transactions,
};

use crate::{
    batch::batched,
    dynamodb::{Attributes, READ, Read, SERVICE, WRITE, string, text, write},
    prepared::PreparedItems,
    statements::{Statements, Verdict},
};

const LATEST: &str = "latest";
const TRANSACTION: &str = "transaction_id";
const SORT_KEY: &str = "sort_key";
const KEY: [&str; 2] = [TRANSACTION, SORT_KEY];

/// The table `transactions`.
#[derive(Debug, Clone)]
pub struct DynamoTransactions {
    client: Client,
    table: String,
    is_parallel: bool,
}

impl DynamoTransactions {
    /// The history in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), is_parallel: false }
    }

    /// Has items made on all processors, where there is more than one.
    pub fn in_parallel(self, is_parallel: bool) -> Self {
        Self { is_parallel, ..self }
    }
}

impl DynamoTransactions {
    fn statements(&self) -> Statements<'_> {
        Statements { client: &self.client, is_parallel: self.is_parallel }
    }

    /// Runs a statement for each task. Where it is refused, `again` says what to do now: another task, nothing more, or
    /// what its failure is.
    async fn write_all<T: Sync, F: Future<Output = Vec<PortResult<Option<T>>>>>(
        &self,
        tasks: Vec<T>,
        statement: impl Fn(&T) -> Result<BatchStatementRequest, BuildError> + Sync,
        again: impl Fn(Vec<T>) -> F,
    ) -> Vec<PortResult<()>> {
        let changing = || Err(PortError::retryable(SERVICE, "the latest state changes all the time"));
        let mut results: Vec<PortResult<()>> = tasks.iter().map(|_| changing()).collect();
        let mut open: Vec<(usize, T)> = tasks.into_iter().enumerate().collect();
        let mut set = |at, result| {
            if let Some(answer) = results.get_mut(at) {
                *answer = result;
            }
        };
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            let verdicts = self.statements().execute(&open, |(_, task)| statement(task)).await;
            let (mut places, mut refused) = (Vec::new(), Vec::new());
            for ((at, task), verdict) in open.into_iter().zip(verdicts) {
                match verdict {
                    Ok(Verdict::Done) => set(at, Ok(())),
                    Ok(Verdict::Refused) => {
                        places.push(at);
                        refused.push(task);
                    }
                    Err(problem) => set(at, Err(problem)),
                }
            }
            open = Vec::new();
            for (at, task) in places.into_iter().zip(again(refused).await) {
                match task {
                    Ok(Some(task)) => open.push((at, task)),
                    Ok(None) => set(at, Ok(())),
                    Err(problem) => set(at, Err(problem)),
                }
            }
        }
        results
    }

    /// Moves what is known of transactions on, each by one event.
    async fn advance<'e>(&self, steps: Vec<Step<'e>>) -> Vec<PortResult<()>> {
        let again = async |refused: Vec<Step<'e>>| {
            let keys: Vec<String> =
                refused.iter().map(|step| step.recorded.document.event.transaction_key()).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let known = self.latest(&keys).await;
            refused.into_iter().zip(known).map(|(step, known)| step.now_that(known?)).collect()
        };
        self.write_all(steps, |step| step.statement(&self.table), again).await
    }
}

/// The most statements for one item whose every one came too late.
const ROUNDS: usize = 4;

impl Transactions for DynamoTransactions {
    async fn latest(&self, transaction_keys: &[&str]) -> Vec<PortResult<Latest>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: TRANSACTION,
            projection: "transaction_id, latest_at, #type, event_id, undated, alias_of, authenticated_alias_of",
            names: &[("#type", "type")],
        };
        let key = |key: &&str| {
            HashMap::from([(TRANSACTION.to_owned(), string(*key)), ("sort_key".to_owned(), string(LATEST))])
        };
        let wanted = PreparedItems::new(transaction_keys, false, key);
        let known = batched(READ, &vec![1; transaction_keys.len()], async |chunk| {
            read.call(wanted.take(chunk), latest).await
        })
        .await;
        known.into_iter().map(|known| known.map(Option::unwrap_or_default)).collect()
    }

    async fn recorded(&self, events: &[(String, String)]) -> Vec<PortResult<Option<String>>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: SORT_KEY,
            projection: "sort_key, event",
            names: &[],
        };
        let key = |(transaction, sort_key): &(String, String)| {
            let key = [(TRANSACTION, transaction), (SORT_KEY, sort_key)];
            key.into_iter().map(|(name, value)| (name.to_owned(), string(value))).collect()
        };
        let unreadable = || PortError::permanent(SERVICE, "a recorded event cannot be read");
        let json = |item: &Attributes| text(item, "event").map(str::to_owned).ok_or_else(unreadable);
        let wanted = PreparedItems::new(events, false, key);
        batched(READ, &vec![1; events.len()], async |chunk| read.call(wanted.take(chunk), json).await).await
    }

    async fn link(&self, links: &[Link]) -> Vec<PortResult<()>> {
        // Those of each authenticity together: an item is in a call once.
        let (verified, authenticated): (Vec<&Link>, Vec<&Link>) =
            links.iter().partition(|link| link.authenticity.class() == Authenticity::Verified);
        let mut written = [Vec::new().into_iter(), Vec::new().into_iter()];
        for (links, written) in [verified, authenticated].into_iter().zip(&mut written) {
            let tasks = links.into_iter().map(|link| (link, link.is_known)).collect();
            let statement = |(link, is_known): &(&Link, bool)| linking(&self.table, link, *is_known);
            // Refused, the item is there after all, or is not any more.
            let again = async |refused: Vec<(_, bool)>| {
                refused.into_iter().map(|(link, is_known)| Ok(Some((link, !is_known)))).collect()
            };
            *written = self.write_all(tasks, statement, again).await.into_iter();
        }
        let [mut verified, mut authenticated] = written;
        let one = |link: &Link| match link.authenticity {
            Authenticity::Verified | Authenticity::Retrieved => verified.next(),
            Authenticity::Authenticated => authenticated.next(),
        };
        links.iter().map(one).map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        let sizes: Vec<usize> = events.iter().map(|recorded| 2 * recorded.document.json.len()).collect();
        let items = PreparedItems::new(events, self.is_parallel, |recorded| history_item(&recorded.document));
        let written = batched(WRITE, &sizes, async |chunk| {
            write(&self.client, &self.table, &KEY, items.take(chunk)).await
        });
        let step = |recorded| Some(Step { recorded, known: recorded.ahead_of?.clone() });
        let (written, advanced) =
            future::join(written, self.advance(events.iter().filter_map(step).collect())).await;
        let (mut written, mut advanced) = (written.into_iter(), advanced.into_iter());
        let one = |recorded: &Recorded<'_>| {
            let history = written.next().unwrap_or_else(unanswered);
            match recorded.ahead_of {
                Some(_) => history.and(advanced.next().unwrap_or_else(unanswered)),
                None => history,
            }
        };
        events.iter().map(one).collect()
    }
}

fn unanswered() -> PortResult<()> {
    Err(PortError::retryable(SERVICE, "no answer for an item"))
}

fn latest(item: &Attributes) -> PortResult<Latest> {
    let alias_of = text(item, ALIAS_OF).map(str::to_owned);
    let authenticated_alias_of = text(item, AUTHENTICATED_ALIAS_OF).map(str::to_owned);
    // An alias has a state of its own only where it had events before it was known to be one.
    let state = match text(item, "latest_at") {
        None if alias_of.is_some() || authenticated_alias_of.is_some() => None,
        at => Some(state(item, at).ok_or_else(|| PortError::permanent(SERVICE, UNREADABLE))?),
    };
    Ok(Latest { state, alias_of, authenticated_alias_of })
}

fn state(item: &Attributes, at: Option<&str>) -> Option<State> {
    let rank = EventType::parse(text(item, "type")?)?.rank();
    let is_dated = item.get("undated") != Some(&AttributeValue::Bool(true));
    let position = Position { at: at?.parse().ok()?, rank, is_dated };
    Some(State { position, event_id: EventId::parse(text(item, "event_id")?)? })
}

/// What the table says where it says nothing.
const UNREADABLE: &str = "a transaction's latest state cannot be read";

const ALIAS_OF: &str = "alias_of";
const AUTHENTICATED_ALIAS_OF: &str = "authenticated_alias_of";

/// The statement that links an alias, whose item is there or is not.
fn linking(table: &str, link: &Link, is_known: bool) -> Result<BatchStatementRequest, BuildError> {
    let attribute = match link.authenticity {
        Authenticity::Verified | Authenticity::Retrieved => ALIAS_OF,
        Authenticity::Authenticated => AUTHENTICATED_ALIAS_OF,
    };
    let (of, alias, latest) = (string(link.of.as_str()), string(link.alias.as_str()), string(LATEST));
    let (statement, parameters) = if is_known {
        let set =
            [r#"UPDATE ""#, table, r#"" SET "#, attribute, " = ? WHERE transaction_id = ? AND sort_key = ?"];
        (set.concat(), vec![of, alias, latest])
    } else {
        let begin = [r#"INSERT INTO ""#, table, r#"" VALUE {'transaction_id': ?, 'sort_key': ?, '"#];
        (begin.concat() + attribute + "': ?}", vec![alias, latest, of])
    };
    BatchStatementRequest::builder().statement(statement).set_parameters(Some(parameters)).build()
}

/// An event that is ahead of what is known of its transaction.
#[derive(Debug)]
struct Step<'e> {
    recorded: &'e Recorded<'e>,
    known: Latest,
}

impl Step<'_> {
    /// The step that is left now that this is known; none where the event is not ahead of it.
    fn now_that(self, known: Latest) -> PortResult<Option<Self>> {
        let position = self.recorded.state().position;
        let is_ahead = known.state.is_none_or(|state| state.position.is_behind(&position));
        Ok(is_ahead.then_some(Self { known, ..self }))
    }

    /// The statement that makes the event's state the latest, as long as what is known is as it was read: for each
    /// state it has the event of that state.
    fn statement(&self, table: &str) -> Result<BatchStatementRequest, BuildError> {
        if self.known.is_known() {
            advancement(table, self.recorded, &self.known)
        } else {
            insertion(table, self.recorded)
        }
    }
}

/// A transaction's first state, as BatchExecuteStatement takes it.
///
/// # Errors
///
/// The SDK's own, which it documents for absent texts.
pub fn insertion(table: &str, recorded: &Recorded<'_>) -> Result<BatchStatementRequest, BuildError> {
    let (names, values): (Vec<String>, Vec<AttributeValue>) = latest_item(recorded).into_iter().unzip();
    let names: Vec<String> = names.iter().map(|name| format!("'{name}': ?")).collect();
    let statement = [r#"INSERT INTO ""#, table, r#"" VALUE {"#, &names.join(", "), "}"].concat();
    BatchStatementRequest::builder().statement(statement).set_parameters(Some(values)).build()
}

/// A state in the place of `known`.
fn advancement(
    table: &str,
    recorded: &Recorded<'_>,
    known: &Latest,
) -> Result<BatchStatementRequest, BuildError> {
    let event = recorded.document.event;
    let unchanged = match known.state {
        Some(_) => "event_id = ?",
        None => "event_id IS MISSING",
    };
    let statement = [
        r#"UPDATE ""#,
        table,
        r#"" SET latest_at = ? SET "type" = ? SET event_id = ? SET undated = ? "#,
        "WHERE transaction_id = ? AND sort_key = ? AND ",
        unchanged,
    ];
    let mut parameters = vec![
        string(event.occurred_at.to_string()),
        string(event.kind.as_str()),
        string(event.id.as_str()),
        AttributeValue::Bool(!recorded.is_dated),
        string(event.transaction_key()),
        string(LATEST),
    ];
    parameters.extend(known.state.map(|state| string(state.event_id.as_str())));
    BatchStatementRequest::builder().statement(statement.concat()).set_parameters(Some(parameters)).build()
}

/// The event in its transaction's history.
pub fn history_item(document: &Document<'_>) -> Attributes {
    let event = document.event;
    let mut item = HashMap::with_capacity(5);
    let mut put = |name: &str, value: AttributeValue| _ = item.insert(name.to_owned(), value);
    put("transaction_id", string(event.transaction_key()));
    put("sort_key", string(event.sort_key()));
    put("event", string(document.json));
    // The keys of the index by customer, which counts payments: an event that restates another adds nothing to it.
    let counts = event.category == Category::Payment && event.restates.is_none();
    if let Some(customer) = event.customer_key().filter(|_| counts) {
        put("customer_key", string(customer));
        put("occurred_at", string(nine_decimals(event.occurred_at)));
    }
    item
}

/// The item that says how far its transaction is, where none was there.
pub fn latest_item(recorded: &Recorded<'_>) -> Attributes {
    let event = recorded.document.event;
    let mut item = HashMap::from([
        ("transaction_id".to_owned(), string(event.transaction_key())),
        ("sort_key".to_owned(), string(LATEST)),
        ("latest_at".to_owned(), string(event.occurred_at.to_string())),
        ("type".to_owned(), string(event.kind.as_str())),
        ("event_id".to_owned(), string(event.id.as_str())),
    ]);
    if !recorded.is_dated {
        item.insert("undated".to_owned(), AttributeValue::Bool(true));
    }
    item
}
