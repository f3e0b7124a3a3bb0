//! One page of a provider's events beside the ledger.

use std::{cmp::Reverse, collections::BTreeMap};

use tollgate_core::{Facts, Fingerprint, LedgerKey, PaymentEvent, id::bounded};
use tollgate_pipeline::ports::{Known, LedgerState};
use tollgate_providers::{Endpoint, Headers, Received, Trusted};

use super::{
    model::{Finding, Verdict},
    refused::Refused,
};
use crate::{
    provider_api::{Item, List},
    tables::Tables,
};

/// What events are compared with.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) tables: &'a Tables,
    pub(super) list: &'a List,
    pub(super) refused: &'a Refused,
}

impl Comparison<'_> {
    /// Compares a page of events, which has two hundred at most.
    pub(super) async fn page(&self, items: Vec<Item>) -> anyhow::Result<Vec<(Finding, Item)>> {
        // What a list names twice is asked for once.
        let items: BTreeMap<String, Item> = items.into_iter().map(|item| (item.id.clone(), item)).collect();
        let key = |item: &Item| LedgerKey::new(self.endpoint.id(), &item.id);
        let keys: Vec<LedgerKey> = items.values().map(key).collect();
        let claims = self.tables.claims(&keys).await?;
        let mut findings = Vec::with_capacity(items.len());
        for item in items.into_values() {
            let finding = self.one(&item, claims.get(&key(&item))).await?;
            findings.push((finding, item));
        }
        findings.sort_by_key(|(finding, _)| Reverse(finding.at));
        Ok(findings)
    }

    async fn one(&self, item: &Item, known: Option<&Known>) -> anyhow::Result<Finding> {
        let body = item.body(self.list);
        let headers = Headers::new();
        let received = Received { headers: &headers, query: "", body: &body };
        let facts = self.endpoint.normalise(Trusted::for_inspection(received)).unwrap_or_default();
        let facts = facts.into_iter().find(|facts| facts.event_id == item.id);
        let amount = facts.as_ref().and_then(|facts| facts.amount);
        let mut finding = Finding {
            verdict: Verdict::Missing,
            provider_event_id: item.id.clone(),
            provider_event_type: item.kind.clone(),
            at: item.at,
            kind: facts.as_ref().map(|facts| facts.kind.as_str().to_owned()),
            transaction_id: facts
                .as_ref()
                .and_then(|facts| facts.transaction_id.as_deref().map(str::to_owned)),
            amount: amount.as_ref().and_then(|amount| amount.to_decimal()),
            currency: amount.as_ref().map(|amount| amount.currency().to_string()),
            our_amount: None,
            webhook_id: known.and_then(|known| known.webhook_id).map(|id| id.to_string()),
            note: None,
        };
        let Some(known) = known else {
            if let Some(kept) = self.refused.told(&item.id) {
                finding.verdict = Verdict::RefusedByUs;
                finding.webhook_id = Some(kept.webhook_id.to_string());
                finding.note = Some(format!("refused as {}, and kept: tollgate rejected", kept.reason));
                return Ok(finding);
            }
            let undelivered = item.undelivered.filter(|count| *count > 0);
            finding.note = undelivered.map(|count| {
                format!("the provider says that {count} of its webhooks was not answered with success yet")
            });
            return Ok(finding);
        };
        (finding.verdict, finding.note) = match known.state {
            LedgerState::Processed => (Verdict::Present, None),
            LedgerState::Received if known.is_aside => {
                (Verdict::Unfinished, Some("set aside as too old: tollgate allow".to_owned()))
            }
            LedgerState::Received => {
                (Verdict::Unfinished, Some("accepted, not processed yet: tollgate inspect".to_owned()))
            }
        };
        if let Some(facts) = facts.filter(|facts| self.contradicts(facts, known)) {
            self.differs(&facts, &mut finding).await?;
        }
        Ok(finding)
    }

    /// Whether the claim has other payment facts. What another version read says nothing about it.
    fn contradicts(&self, facts: &Facts<'_>, known: &Known) -> bool {
        let is_comparable =
            known.terms.as_ref().is_some_and(|terms| terms.revision == self.endpoint.revision());
        is_comparable && Fingerprint::contradict(&known.fingerprint, &facts.fingerprint().to_string())
    }

    /// Says what differs, by the event that took effect: the claim has no more than a digest.
    async fn differs(&self, facts: &Facts<'_>, finding: &mut Finding) -> anyhow::Result<()> {
        finding.verdict = Verdict::Conflicting;
        let transaction = facts.transaction_id.as_deref().unwrap_or(&facts.event_id);
        let key = PaymentEvent::transaction_key_of(self.endpoint.id(), &bounded(transaction.into()));
        let key = self.tables.latest(&key).await?.alias_of.unwrap_or(key);
        let past = self.tables.past(&key).await?;
        let events =
            past.events.iter().filter_map(|json| serde_json::from_str::<PaymentEvent<'_>>(json).ok());
        let ours = events.into_iter().find(|event| event.provider_event_id == facts.event_id);
        let Some(ours) = ours else {
            finding.note = Some("what took effect under this id is of another payment".to_owned());
            return Ok(());
        };
        finding.our_amount = ours.amount.as_ref().and_then(|amount| amount.to_decimal());
        let is_same = ours.kind == facts.kind
            && facts.movement_id.as_deref().is_none_or(|movement| ours.movement_id == movement);
        if is_same && ours.amount != facts.amount {
            finding.verdict = Verdict::AmountDiffers;
            let currency = ours.amount.as_ref().map(|amount| amount.currency().to_string());
            finding.note = currency.map(|currency| format!("in {currency} here"));
        } else {
            finding.note = Some(format!("it took effect as {}", ours.kind.as_str()));
        }
        Ok(())
    }
}
