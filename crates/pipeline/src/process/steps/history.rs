//! The transaction history.

use std::collections::HashMap;

use tollgate_batch::Outcome;
use tollgate_core::event::Position;

use crate::{
    ports::{PortError, PortResult, ProcessPorts, Recorded, Transactions},
    process::{
        Process,
        answers::Answers,
        parallel::SHARES,
        stride::{Arena, Events, Ix, Progress},
    },
};

/// A transaction of the stride.
struct Transaction {
    /// How far it is by its events in this stride, if one of them says so.
    newest: Option<Position>,
    /// How far it was before this stride.
    before: PortResult<Option<Position>>,
    /// One of its events in this stride is marked as the latest state.
    has_latest: bool,
}

impl<P: ProcessPorts> Process<P> {
    /// Writes the history. Marks events that a later state supersedes, and gives events their final JSON.
    pub(in crate::process) async fn write_history(&self, events: &mut Events<'_>) {
        self.order(events).await;
        self.write_json(events);
        let pending = events.pending();
        let recorded = |&event| {
            let event = &events[event];
            Recorded { document: event.document(), is_dated: event.is_dated, is_latest: event.is_latest }
        };
        let records: Vec<Recorded<'_>> = pending.iter().map(recorded).collect();
        let answers = self.transactions.record(&records).await;
        for (event, answer) in Answers::checked(pending, answers) {
            if let Err(problem) = answer {
                events[event].fail(&problem, "transactions_unavailable", "transaction_refused");
            }
        }
    }

    /// Compares the events with the latest known state of their transactions.
    async fn order(&self, events: &mut Events<'_>) {
        let pending = events.pending();
        let keys: Vec<String> =
            pending.iter().map(|&event| events[event].payment.transaction_key()).collect();
        let mut transaction_of: HashMap<&str, Ix<Transaction>> = HashMap::with_capacity(keys.len());
        let mut transactions = Arena::with_capacity(keys.len());
        let mut asked: Vec<&str> = Vec::with_capacity(keys.len());
        let mut of_event = Vec::with_capacity(keys.len());
        for (&event, key) in pending.iter().zip(&keys) {
            let transaction = *transaction_of.entry(key).or_insert_with(|| {
                asked.push(key);
                let before = Err(PortError::retryable("transactions", "not asked"));
                transactions.push(Transaction { newest: None, before, has_latest: false })
            });
            let newest = &mut transactions[transaction].newest;
            // What only changes something leaves its transaction where it is.
            if !events[event].payment.kind.is_update() {
                let position = events[event].position();
                if newest.is_none_or(|newest| newest.is_behind(&position)) {
                    *newest = Some(position);
                }
            }
            of_event.push((event, transaction));
        }
        let answers = self.transactions.latest(&asked).await;
        for (transaction, before) in Answers::checked(transactions.indices().collect(), answers) {
            transactions[transaction].before = before;
        }
        for (event, transaction) in of_event {
            let Transaction { newest, before, has_latest } = &mut transactions[transaction];
            let event = &mut events[event];
            let position = event.position();
            match before {
                Ok(before) => {
                    let is_behind =
                        |other: &Option<Position>| other.is_some_and(|other| position.is_behind(&other));
                    event.payment.superseded = is_behind(before) || is_behind(newest);
                    let is_ahead = before.is_none_or(|before| before.is_behind(&position));
                    let is_newest = *newest == Some(position) && is_ahead && !event.payment.kind.is_update();
                    event.is_latest = is_newest && !*has_latest;
                    *has_latest |= is_newest;
                }
                Err(problem) => event.fail(problem, "transactions_unavailable", "transaction_refused"),
            }
        }
    }

    fn write_json(&self, events: &mut Events<'_>) {
        let pending = events.pending();
        let texts = self.shares(&pending, SHARES, |share| {
            share.iter().map(|&event| serde_json::to_string(&events[event].payment)).collect::<Vec<_>>()
        });
        let texts = texts
            .into_iter()
            .flatten()
            .map(|text| text.map_err(|_| PortError::permanent("json", "event cannot be written")));
        for (event, text) in Answers::checked(pending, texts.collect()) {
            match text {
                Ok(text) => events[event].json = text,
                Err(_) => events[event].progress = Progress::Failed(Outcome::Poison("event_unwritable")),
            }
        }
    }
}
