//! The transaction history in DynamoDB.
//!
//! An event is the item (`transaction_id`, `PaymentEvent::sort_key`), with its JSON and what an index needs beside it:
//! a usual item is at most one write unit long. Each transaction also has one item with the sort key `latest`. It holds
//! how far the transaction was known to be when it was last written; `superseded` is computed from it. It is a hint: the
//! history itself is the truth.

use std::collections::HashMap;

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use tollgate_core::{
    Category, EventType,
    event::{Position, nine_decimals},
};
use tollgate_pipeline::ports::{Document, Latest, Link, PortError, PortResult, Recorded, Transactions};

use crate::{
    batch::batched,
    dynamodb::{Attributes, READ, Read, SERVICE, WRITE, number, string, text, write},
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
    async fn latest(&self, transaction_keys: &[&str]) -> Vec<PortResult<Latest>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: TRANSACTION,
            projection: "transaction_id, latest_at, #type, #rank, undated, alias_of",
            names: &[("#type", "type"), ("#rank", "rank")],
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

    async fn link(&self, links: &[Link]) -> Vec<PortResult<()>> {
        let items = PreparedItems::new(links, false, alias_item);
        batched(WRITE, &vec![UNIT; links.len()], async |chunk| {
            write(&self.client, &self.table, &KEY, items.take(chunk)).await
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

/// An alias has a state of its own only where it had events before it was known to be one.
fn latest(item: &Attributes) -> PortResult<Latest> {
    let alias_of = text(item, "alias_of").map(str::to_owned);
    let position = match text(item, "latest_at") {
        None if alias_of.is_some() => None,
        at => Some(position(item, at).ok_or_else(|| PortError::permanent(SERVICE, UNREADABLE))?),
    };
    Ok(Latest { position, alias_of })
}

fn position(item: &Attributes, at: Option<&str>) -> Option<Position> {
    let rank = item.get("rank").and_then(|rank| rank.as_n().ok()?.parse().ok());
    let rank = rank.or_else(|| Some(EventType::parse(text(item, "type")?)?.rank()))?;
    Some(Position { at: at?.parse().ok()?, rank, is_dated: !item.contains_key("undated") })
}

/// What the table says where it says nothing.
const UNREADABLE: &str = "a transaction's latest state cannot be read";
/// More than an alias item's length, in bytes.
const UNIT: usize = 4_096;

/// The item that says that a key is another name of a transaction.
fn alias_item(link: &Link) -> Attributes {
    let mut item = HashMap::from([
        ("transaction_id".to_owned(), string(link.alias.as_str())),
        ("sort_key".to_owned(), string(LATEST)),
        ("alias_of".to_owned(), string(link.of.as_str())),
    ]);
    if let Some(Position { at, rank, is_dated }) = link.position {
        item.insert("latest_at".to_owned(), string(at.to_string()));
        item.insert("rank".to_owned(), number(rank));
        if !is_dated {
            item.insert("undated".to_owned(), AttributeValue::Bool(true));
        }
    }
    item
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
    // The keys of the index by customer, which counts payments: an event that restates another adds nothing to it.
    let counts = event.category == Category::Payment && event.restates.is_none();
    if let Some(customer) = event.customer_key().filter(|_| counts) {
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
