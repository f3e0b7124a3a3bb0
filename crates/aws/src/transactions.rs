//! The transaction history in DynamoDB.
//!
//! An event is the item (`transaction_id`, `PaymentEvent::sort_key`), with its JSON and what an index needs beside it:
//! a usual item is at most one write unit long. Each transaction also has one item with the sort key `latest`. It holds
//! how far the transaction was known to be when it was last written; `superseded` is computed from it. It is a hint: the
//! history itself is the truth.

use std::collections::HashMap;

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use tollgate_core::{
    EventType,
    event::{Position, nine_decimals},
};
use tollgate_pipeline::ports::{Document, PortError, PortResult, Recorded, Transactions};

use crate::{
    batch::batched,
    dynamodb::{Attributes, READ, Read, SERVICE, WRITE, string, text, write},
    prepared::PreparedItems,
};

const LATEST: &str = "latest";
const TRANSACTION: &str = "transaction_id";
const KEY: [&str; 2] = [TRANSACTION, "sort_key"];

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

impl Transactions for DynamoTransactions {
    async fn latest(&self, transaction_keys: &[&str]) -> Vec<PortResult<Option<Position>>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: TRANSACTION,
            projection: "transaction_id, latest_at, #type, undated",
            names: &[("#type", "type")],
        };
        let key = |key: &&str| {
            HashMap::from([(TRANSACTION.to_owned(), string(*key)), ("sort_key".to_owned(), string(LATEST))])
        };
        let wanted = PreparedItems::new(transaction_keys, false, key);
        batched(READ, &vec![1; transaction_keys.len()], async |chunk| {
            read.call(wanted.take(chunk), position).await
        })
        .await
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        let rows = rows(events);
        let sizes: Vec<usize> = rows.iter().map(Row::size).collect();
        let items = PreparedItems::new(&rows, self.is_parallel, Row::item);
        let written = batched(WRITE, &sizes, async |chunk| {
            write(&self.client, &self.table, &KEY, items.take(chunk)).await
        })
        .await;
        // As many rows for each event as `rows` makes.
        let mut written = written.into_iter();
        let mut next = || written.next().unwrap_or(Err(PortError::retryable(SERVICE, "no answer for a row")));
        let one = |recorded: &Recorded<'_>| {
            let history = next();
            if recorded.is_latest { history.and(next()) } else { history }
        };
        events.iter().map(one).collect()
    }
}

fn position(item: &Attributes) -> PortResult<Position> {
    let position = || {
        Some(Position {
            at: text(item, "latest_at")?.parse().ok()?,
            rank: EventType::parse(text(item, "type")?)?.rank(),
            is_dated: !item.contains_key("undated"),
        })
    };
    position().ok_or_else(|| PortError::permanent(SERVICE, "a transaction's latest state cannot be read"))
}

/// The rows of events: each event's history row, followed by the row of the latest state where the event is the latest.
pub fn rows<'e>(events: &'e [Recorded<'e>]) -> Vec<Row<'e>> {
    let rows_of = |recorded: &'e Recorded<'e>| {
        let latest = recorded.is_latest.then_some(Row::Latest(recorded));
        [Some(Row::History(&recorded.document)), latest].into_iter().flatten()
    };
    events.iter().flat_map(rows_of).collect()
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub enum Row<'e> {
    /// The event in its transaction's history.
    History(&'e Document<'e>),
    /// The latest known state of its transaction.
    Latest(&'e Recorded<'e>),
}

impl Row<'_> {
    /// At most how long it is, in bytes.
    fn size(&self) -> usize {
        match self {
            Self::History(document) => 2 * document.json.len(),
            Self::Latest(_) => 256,
        }
    }

    /// As DynamoDB takes it.
    pub fn item(&self) -> Attributes {
        match self {
            Self::History(document) => history_item(document),
            Self::Latest(recorded) => latest_item(recorded),
        }
    }
}

/// The event in its transaction's history.
pub fn history_item(document: &Document<'_>) -> Attributes {
    let event = document.event;
    let mut item = HashMap::with_capacity(5);
    let mut put = |name: &str, value: AttributeValue| _ = item.insert(name.to_owned(), value);
    put("transaction_id", string(event.transaction_key()));
    put("sort_key", string(event.sort_key()));
    put("event", string(document.json));
    // The keys of the index by customer.
    if let Some(customer) = event.customer_key() {
        put("customer_key", string(customer));
        put("occurred_at", string(nine_decimals(event.occurred_at)));
    }
    item
}

/// The row that says how far its transaction is.
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
