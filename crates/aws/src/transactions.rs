//! The transaction history in DynamoDB.
//!
//! An event is the item (`transaction_id`, `occurred_at#event id`). Beside a transaction's events stands one item
//! with the sort key `latest` and the latest `occurred_at` that was known when it was last written: what
//! `superseded` is told from. It is a hint; the history itself is the truth.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes},
};
use tollgate_core::{PaymentEvent, Timestamp, event::nine_decimals};
use tollgate_pipeline::ports::{Document, PortError, PortResult, Recorded, Transactions};

use crate::{
    batch::{Item, Limits, batched},
    error::{build_error, port_error},
    ledger::{WRITE, number, string, write},
    prepared::PreparedItems,
};

const SERVICE: &str = "dynamodb";
const LATEST: &str = "latest";
const KEY: [&str; 2] = ["transaction_id", "sort_key"];
const READ: Limits = Limits { service: SERVICE, items: 100, bytes: usize::MAX };

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

    async fn read(&self, keys: &[&str]) -> Vec<Item<Option<Timestamp>>> {
        let fail = |problem: PortError| keys.iter().map(|_| Item::Done(Err(problem.clone()))).collect();
        let wanted = keys.iter().map(|key| {
            HashMap::from([
                ("transaction_id".to_owned(), string(*key)),
                ("sort_key".to_owned(), string(LATEST)),
            ])
        });
        let request = KeysAndAttributes::builder()
            .set_keys(Some(wanted.collect()))
            .consistent_read(true)
            .projection_expression("transaction_id, latest_at")
            .build();
        let Ok(request) = request else { return fail(build_error(SERVICE)) };
        let answer = match self.client.batch_get_item().request_items(&self.table, request).send().await {
            Ok(answer) => answer,
            Err(problem) => return fail(port_error(SERVICE, &problem)),
        };
        let key_of = |item: &HashMap<String, AttributeValue>, name: &str| {
            item.get(name).and_then(|value| value.as_s().ok()).cloned()
        };
        let found = answer.responses().and_then(|tables| tables.get(&self.table));
        let found: HashMap<String, String> = found
            .into_iter()
            .flatten()
            .filter_map(|item| Some((key_of(item, "transaction_id")?, key_of(item, "latest_at")?)))
            .collect();
        let unread = answer.unprocessed_keys().and_then(|tables| tables.get(&self.table));
        let unread: Vec<String> = unread
            .into_iter()
            .flat_map(KeysAndAttributes::keys)
            .filter_map(|key| key_of(key, "transaction_id"))
            .collect();
        keys.iter()
            .map(|key| {
                if unread.iter().any(|unread| unread == key) {
                    return Item::LeftOver(PortError::retryable(SERVICE, "unprocessed key"));
                }
                match found.get(*key).map(|text| text.parse::<Timestamp>()) {
                    None => Item::Done(Ok(None)),
                    Some(Ok(at)) => Item::Done(Ok(Some(at))),
                    Some(Err(_)) => Item::Done(Err(PortError::permanent(SERVICE, "latest_at is no time"))),
                }
            })
            .collect()
    }
}

impl Transactions for DynamoTransactions {
    async fn latest(&self, transaction_keys: &[&str]) -> Vec<PortResult<Option<Timestamp>>> {
        batched(READ, &vec![1; transaction_keys.len()], async |chunk| {
            let keys: Vec<&str> = chunk.iter().filter_map(|&i| transaction_keys.get(i).copied()).collect();
            self.read(&keys).await
        })
        .await
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        let rows = rows(events);
        let sizes: Vec<usize> = rows.iter().map(|(_, row)| row.size()).collect();
        let items = PreparedItems::new(&rows, self.is_parallel, |(_, row)| row.item());
        let written = batched(WRITE, &sizes, async |chunk| {
            write(&self.client, &self.table, &KEY, items.take(chunk)).await
        })
        .await;
        let mut results: Vec<PortResult<()>> = events.iter().map(|_| Ok(())).collect();
        for ((index, _), written) in rows.into_iter().zip(written) {
            if let (Some(result @ Ok(())), Err(problem)) = (results.get_mut(index), written) {
                *result = Err(problem);
            }
        }
        results
    }
}

/// The rows that events leave, each with its event's place among them.
pub fn rows<'e>(events: &'e [Recorded<'e>]) -> Vec<(usize, Row<'e>)> {
    let of = |(index, recorded): (usize, &'e Recorded<'e>)| {
        let latest = recorded.is_latest.then_some((index, Row::Latest(recorded.document.event)));
        [Some((index, Row::History(&recorded.document))), latest].into_iter().flatten()
    };
    events.iter().enumerate().flat_map(of).collect()
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub enum Row<'e> {
    /// The event in its transaction's history.
    History(&'e Document<'e>),
    /// The latest known state of its transaction.
    Latest(&'e PaymentEvent<'e>),
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
    pub fn item(&self) -> HashMap<String, AttributeValue> {
        match self {
            Self::History(document) => history_item(document),
            Self::Latest(event) => latest_item(event),
        }
    }
}

/// The event in its transaction's history.
pub fn history_item(document: &Document<'_>) -> HashMap<String, AttributeValue> {
    let event = document.event;
    let mut item = HashMap::with_capacity(16);
    let mut put = |name: &str, value: AttributeValue| _ = item.insert(name.to_owned(), value);
    put("transaction_id", string(event.transaction_key()));
    put("sort_key", string(event.sort_key()));
    put("event_id", string(event.id.as_str()));
    put("provider_event_id", string(event.provider_event_id.as_ref()));
    put("type", string(event.kind.as_str()));
    put("category", string(event.category.as_str()));
    put("endpoint", string(event.endpoint.as_str()));
    put("provider", string(event.provider.as_str()));
    put("webhook_id", string(event.webhook_id.as_str()));
    put("occurred_at", string(nine_decimals(event.occurred_at)));
    put("received_at", string(nine_decimals(event.received_at)));
    put("event", string(document.json));
    if let Some(amount) = &event.amount {
        // DynamoDB numbers hold 38 digits, and Money at most 36.
        put("minor_units", number(amount.minor_units()));
        put("currency", string(amount.currency().code()));
        if let Some(value) = amount.to_decimal() {
            put("amount", string(value));
        }
    }
    if let Some(customer) = event.customer_key() {
        put("customer_key", string(customer));
    }
    item
}

/// The row that says how far its transaction is.
pub fn latest_item(event: &PaymentEvent<'_>) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("transaction_id".to_owned(), string(event.transaction_key())),
        ("sort_key".to_owned(), string(LATEST)),
        ("latest_at".to_owned(), string(event.occurred_at.to_string())),
        ("type".to_owned(), string(event.kind.as_str())),
        ("event_id".to_owned(), string(event.id.as_str())),
    ])
}
