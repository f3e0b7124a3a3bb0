//! What was said of events that are done.

use std::collections::BTreeMap;

use serde::Deserialize;
use tollgate_batch::{Deadline, Outcome};
use tollgate_core::{Authenticity, EventId, PaymentEvent};

use crate::{
    ports::{PortResult, ProcessPorts, Transactions},
    process::{
        Process,
        answers::Answers,
        record::{DEADLINE, retry},
        steps::{
            history::UNAVAILABLE,
            names::{Names, keys_of},
        },
        stride::{Row, Stride},
    },
};

/// Records that are read at once: 13 MB, if each is as long as an event may be.
const RECORDS: usize = 100;

/// What a record says that its webhook does not. The rest of it may be of another release.
#[derive(Debug, Deserialize)]
struct Told {
    transaction_id: String,
    #[serde(default)]
    transaction_aliases: Vec<String>,
    #[serde(default)]
    restates: Option<EventId>,
    #[serde(default)]
    superseded: bool,
}

/// The records of a stride's copies, by sort key; and what was not found.
type Records = BTreeMap<String, Result<Option<Told>, Outcome>>;

impl<P: ProcessPorts> Process<P> {
    /// Has copies of events that are done say what these said, by their records. What has none that can be read is left as it is
    /// read now. Where a record may be there and is not read, nothing of the message is published.
    pub(super) async fn recall(&self, stride: &mut Stride<'_>, names: &Names, deadline: Deadline) {
        let mut sought: BTreeMap<String, PortResult<Vec<String>>> = BTreeMap::new();
        for (_, copy) in stride.copies() {
            add(sought.entry(copy.sort_key()).or_insert_with(|| Ok(Vec::new())), copy, names);
        }
        if sought.is_empty() {
            return;
        }
        let records = self.records(sought, deadline).await;
        let mut refused = Vec::new();
        for (message, copy) in stride.copies() {
            match records.get(&copy.sort_key()) {
                Some(Ok(Some(told))) => told.retell(copy),
                Some(Ok(None)) => {}
                Some(Err(outcome)) => refused.push((message, *outcome)),
                None => refused.push((message, Outcome::Retry(UNAVAILABLE))),
            }
        }
        for (message, outcome) in refused {
            if let Some(message) = stride.messages.get_mut(message) {
                message.row = Row::Refused(outcome);
            }
        }
    }

    /// The record of each sort key under the last of its transaction keys that has one.
    async fn records(
        &self,
        sought: BTreeMap<String, PortResult<Vec<String>>>,
        deadline: Deadline,
    ) -> Records {
        let mut records = Records::new();
        let mut open = BTreeMap::new();
        for (sort_key, keys) in sought {
            match keys {
                Ok(keys) => _ = open.insert(sort_key, keys),
                Err(problem) => _ = records.insert(sort_key, Err(retry(UNAVAILABLE, &problem))),
            }
        }
        while !open.is_empty() {
            let mut asked: Vec<(String, String)> = Vec::with_capacity(open.len());
            open.retain(|sort_key: &String, keys: &mut Vec<String>| match keys.pop() {
                Some(key) => {
                    asked.push((key, sort_key.clone()));
                    true
                }
                None => {
                    records.insert(sort_key.clone(), Ok(None));
                    false
                }
            });
            for asked in asked.chunks(RECORDS) {
                if !deadline.has_time(self.now_ms()) {
                    records
                        .extend(open.into_keys().map(|sort_key| (sort_key, Err(Outcome::Retry(DEADLINE)))));
                    return records;
                }
                let answers = self.transactions.recorded(asked).await;
                for ((_, sort_key), answer) in Answers::checked(asked.to_vec(), answers) {
                    let found = match answer {
                        Ok(json) => json.and_then(|json| serde_json::from_str(&json).ok()).map(Ok),
                        Err(problem) => Some(Err(retry(UNAVAILABLE, &problem))),
                    };
                    if let Some(found) = found {
                        open.remove(&sort_key);
                        records.insert(sort_key, found.map(Some));
                    }
                }
            }
        }
        records
    }
}

/// Adds the keys of the transactions that the event may have been recorded under: the likeliest is last, which is what its own id is
/// a name of, or a failure where one of them was not read. Another copy of it may have been of another class.
fn add(keys: &mut PortResult<Vec<String>>, payment: &PaymentEvent<'_>, names: &Names) {
    let mut own: Vec<String> = keys_of(payment).collect();
    own.reverse();
    for own in own {
        for by in [Authenticity::Authenticated, Authenticity::Verified] {
            for key in names.chain(&own, by) {
                if let Some(Err(problem)) = names.known.get(key) {
                    *keys = Err(problem.clone());
                }
                if let Ok(keys) = keys {
                    keys.retain(|known| known != key);
                    keys.push(key.to_owned());
                }
            }
        }
    }
}

impl Told {
    fn retell(&self, payment: &mut PaymentEvent<'_>) {
        let Self { transaction_id, transaction_aliases, restates, superseded } = self;
        payment.transaction_id = transaction_id.clone().into();
        payment.transaction_aliases = transaction_aliases.iter().map(|alias| alias.clone().into()).collect();
        (payment.restates, payment.superseded) = (*restates, *superseded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_release_says_what_it_said() {
        let json =
            r#"{"schema": "tollgate.payment-event/9", "type": "payment.of_tomorrow", "transaction_id": "t"}"#;
        let told: Told = serde_json::from_str(json).unwrap();
        assert_eq!((told.transaction_id.as_str(), told.restates, told.superseded), ("t", None, false));
    }
}
