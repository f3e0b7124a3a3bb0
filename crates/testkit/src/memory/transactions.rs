//! The transactions table in memory, as the processor and the fraud check use it: one table, whose puts replace whole
//! items.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tollgate_core::{Authenticity, Category, PaymentEvent, Timestamp};
use tollgate_pipeline::ports::{
    Decisions, History, Latest, Link, PortError, PortResult, Recent, Recorded, State, Transactions,
    decision_sort_key,
};
use tollgate_risk::Decision;

use super::table;

/// The sort key of what is known of a transaction.
const LATEST: &str = "latest";

/// The table: items by transaction and sort key.
#[derive(Debug, Default)]
pub struct MemoryTransactions(Mutex<BTreeMap<(String, String), Item>>);

#[derive(Debug, Clone)]
enum Item {
    Event(Box<PaymentEvent<'static>>),
    Latest(Latest),
    Decision(Decision, Timestamp),
}

impl MemoryTransactions {
    /// Every event, by transaction and then by time.
    pub fn records(&self) -> BTreeMap<(String, String), PaymentEvent<'static>> {
        let event = |(key, item): (&(String, String), &Item)| match item {
            Item::Event(event) => Some((key.clone(), (**event).clone())),
            Item::Latest(_) | Item::Decision(..) => None,
        };
        self.lock().iter().filter_map(event).collect()
    }

    /// Puts an event into its transaction's history, in the place of what is there.
    ///
    /// # Errors
    ///
    /// An event that cannot be written as JSON, or that DynamoDB refuses.
    pub fn insert(&self, event: &PaymentEvent<'_>) -> PortResult<()> {
        let mut row = json!({
            "transaction_id": {"S": event.transaction_key()}, "sort_key": {"S": event.sort_key()},
            "event": {"S": serde_json::to_string(event).unwrap_or_default()},
        });
        if let Some(customer) = event.customer_key() {
            row["customer_key"] = json!({ "S": customer });
        }
        table::check(&row)?;
        let item = Item::Event(Box::new(owned(event)?));
        self.lock().insert((event.transaction_key(), event.sort_key()), item);
        Ok(())
    }

    /// The decision that is recorded on an event, and since when.
    pub fn decision(&self, event: &PaymentEvent<'_>) -> Option<(Decision, Timestamp)> {
        match self.lock().get(&(event.transaction_key(), decision_sort_key(event)))? {
            Item::Decision(decision, at) => Some((decision.clone(), *at)),
            Item::Event(_) | Item::Latest(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a transaction.
    fn update(&self, transaction: &str, update: impl FnOnce(&mut Latest)) {
        let mut items = self.lock();
        let key = (transaction.to_owned(), LATEST.to_owned());
        if let Item::Latest(latest) = items.entry(key).or_insert(Item::Latest(Latest::default())) {
            update(latest);
        }
    }
}

impl Transactions for &MemoryTransactions {
    async fn latest(&self, transaction_keys: &[&str]) -> Vec<PortResult<Latest>> {
        table::each_once(transaction_keys);
        let items = self.lock();
        let latest = |key: &&str| match items.get(&((*key).to_owned(), LATEST.to_owned())) {
            Some(Item::Latest(latest)) => Ok(latest.clone()),
            _ => Ok(Latest::default()),
        };
        transaction_keys.iter().map(latest).collect()
    }

    async fn link(&self, links: &[Link]) -> Vec<PortResult<()>> {
        table::each_once(links.iter().map(|link| (&link.alias, link.authenticity.as_str())));
        for Link { alias, of, authenticity, .. } in links {
            if let Err(problem) = table::check(&latest_row(alias, of)) {
                return links.iter().map(|_| Err(problem.clone())).collect();
            }
            self.update(alias, |latest| match authenticity {
                Authenticity::Verified | Authenticity::Retrieved => latest.alias_of = Some(of.clone()),
                Authenticity::Authenticated => latest.authenticated_alias_of = Some(of.clone()),
            });
        }
        links.iter().map(|_| Ok(())).collect()
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        let keys = |recorded: &Recorded<'_>| {
            let event = recorded.document.event;
            (event.transaction_key(), event.sort_key())
        };
        table::each_once(events.iter().map(keys));
        let is_ahead = |recorded: &&Recorded<'_>| recorded.ahead_of.is_some();
        let latest = events.iter().filter(is_ahead);
        table::each_once(latest.map(|recorded| recorded.document.event.transaction_key()));
        let record = |recorded: &Recorded<'_>| {
            let event = recorded.document.event;
            let state = recorded.state();
            let is_ahead = |known: &State| known.position.is_behind(&state.position);
            if recorded.ahead_of.is_some() {
                self.update(&event.transaction_key(), |latest| {
                    if latest.state.as_ref().is_none_or(is_ahead) {
                        latest.state = Some(state);
                    }
                });
            }
            self.insert(event)
        };
        events.iter().map(record).collect()
    }

    async fn recorded(&self, events: &[(String, String)]) -> Vec<PortResult<Option<String>>> {
        table::each_once(events.iter().map(|(_, sort_key)| sort_key));
        let items = self.lock();
        let json = |key: &(String, String)| match items.get(key) {
            Some(Item::Event(event)) => {
                let json = serde_json::to_string(event);
                json.map(Some).map_err(|_| PortError::permanent("memory", "event cannot be written"))
            }
            _ => Ok(None),
        };
        events.iter().map(json).collect()
    }
}

impl History for &MemoryTransactions {
    async fn recent(&self, recent: &Recent<'_>) -> PortResult<u32> {
        let items = self.lock();
        let is_counted = |event: &PaymentEvent<'_>| {
            event.category == Category::Payment
                && event.restates.is_none()
                && event.customer_key().as_deref() == Some(recent.customer_key)
                && (recent.since..=recent.until).contains(&event.occurred_at)
        };
        let payments: BTreeSet<&str> = items
            .iter()
            .filter(|(_, item)| matches!(item, Item::Event(event) if is_counted(event)))
            .map(|((transaction, _), _)| transaction.as_str())
            .filter(|transaction| *transaction != recent.except)
            .collect();
        Ok(u32::try_from(payments.len()).unwrap_or(u32::MAX).min(recent.at_most))
    }
}

impl Decisions for &MemoryTransactions {
    async fn record(
        &self,
        event: &PaymentEvent<'_>,
        decision: &Decision,
        at: Timestamp,
    ) -> PortResult<Option<Decision>> {
        let mut items = self.lock();
        if !items.contains_key(&(event.transaction_key(), event.sort_key())) {
            return Ok(None);
        }
        let key = (event.transaction_key(), decision_sort_key(event));
        match items.entry(key).or_insert_with(|| Item::Decision(decision.clone(), at)) {
            Item::Decision(standing, _) => Ok(Some(standing.clone())),
            Item::Event(_) | Item::Latest(_) => Err(PortError::permanent("memory", "not a decision")),
        }
    }
}

/// What is known of a transaction, as far as its length depends on a sender.
fn latest_row(alias: &str, of: &str) -> Value {
    json!({"transaction_id": {"S": alias}, "sort_key": {"S": LATEST}, "alias_of": {"S": of}})
}

/// By way of JSON, as the table holds it.
pub(super) fn owned(event: &PaymentEvent<'_>) -> PortResult<PaymentEvent<'static>> {
    let unwritable = |_| PortError::permanent("memory", "event cannot be written");
    let json = serde_json::to_string(event).map_err(unwritable)?;
    serde_json::from_str(&json).map_err(unwritable)
}
