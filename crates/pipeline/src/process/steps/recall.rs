//! What was said of events that are done.

use std::collections::BTreeMap;

use tollgate_core::PaymentEvent;

use crate::{
    ports::{PortError, PortResult, ProcessPorts, Transactions},
    process::{
        Process,
        answers::Answers,
        record::retry,
        steps::{
            history::UNAVAILABLE,
            names::{Names, keys_of},
        },
        stride::Part,
    },
};

impl<P: ProcessPorts> Process<P> {
    /// Has copies of events that are done say what these said, by their records. What has no record, since another version of ours
    /// reads it otherwise, is left as it is read now.
    pub(super) async fn recall(&self, copies: Vec<&mut Part<'_>>, names: &Names) {
        let mut sought: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for part in &copies {
            if let Part::Done(payment, _) = &**part {
                sought.entry(payment.sort_key()).or_insert_with(|| keys(payment, names));
            }
        }
        let records = self.records(sought).await;
        for part in copies {
            let Part::Done(payment, _) = part else { continue };
            let Some(record) = records.get(&payment.sort_key()) else { continue };
            if let Err(problem) = record.as_ref().map_err(Clone::clone).and_then(|json| recall(payment, json))
            {
                *part = Part::Undecided(retry(UNAVAILABLE, &problem), None);
            }
        }
    }

    /// The record of each sort key that has one under one of its transaction keys. They are few, and seldom more than one.
    async fn records(
        &self,
        mut sought: BTreeMap<String, Vec<String>>,
    ) -> BTreeMap<String, PortResult<String>> {
        let mut records = BTreeMap::new();
        loop {
            let asked: Vec<(String, String)> = sought
                .iter_mut()
                .filter_map(|(sort_key, keys)| Some((keys.pop()?, sort_key.clone())))
                .collect();
            if asked.is_empty() {
                return records;
            }
            let answers = self.transactions.recorded(&asked).await;
            for ((_, sort_key), answer) in Answers::checked(asked, answers) {
                if let Some(record) = answer.transpose() {
                    sought.remove(&sort_key);
                    records.insert(sort_key, record);
                }
            }
        }
    }
}

/// The keys of the transactions that an event may have been recorded under, the likeliest last.
fn keys(payment: &PaymentEvent<'_>, names: &Names) -> Vec<String> {
    let by = payment.authenticity.class();
    let mut keys: Vec<String> = Vec::new();
    for own in keys_of(payment) {
        for key in names.chain(&own, by) {
            if !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
    }
    keys.reverse();
    keys
}

fn recall(payment: &mut PaymentEvent<'_>, json: &str) -> PortResult<()> {
    let unreadable = |_| PortError::permanent("transactions", "a recorded event cannot be read");
    let told: PaymentEvent<'_> = serde_json::from_str(json).map_err(unreadable)?;
    payment.transaction_id = told.transaction_id.into_owned().into();
    payment.transaction_aliases =
        told.transaction_aliases.into_iter().map(|alias| alias.into_owned().into()).collect();
    (payment.restates, payment.superseded) = (told.restates, told.superseded);
    Ok(())
}
