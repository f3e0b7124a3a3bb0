//! Which fields of an event its provider signs: the catalogue says it, and these tests find it out.

use std::collections::BTreeSet;

use tollgate_core::Authenticity;
use tollgate_providers::{
    SignedWebhook,
    catalogue::{self, EventField, Provider},
};

use crate::{
    cases,
    document::{Changed, Document},
    mutations::Vocabulary,
    unsigned::{CASES, Signer, Told, Webhook, others, told},
};

/// The fields in which two lists of events differ.
fn different(before: &[Told], after: &[Told]) -> BTreeSet<EventField> {
    let mut fields = BTreeSet::new();
    // Another number of events is nothing that one of their fields says.
    for (one, other) in before.iter().zip(after).filter(|_| before.len() == after.len()) {
        let compared = [
            (EventField::Id, one.id == other.id),
            (EventField::Type, one.kind == other.kind),
            (EventField::Transaction, one.transaction == other.transaction),
            (EventField::Movement, one.movement == other.movement),
            (EventField::Amount, one.amount == other.amount),
            (EventField::Time, one.time == other.time),
        ];
        fields.extend(compared.into_iter().filter(|(_, same)| !same).map(|(field, _)| field));
    }
    fields
}

/// The fields that an event has.
fn there(told: &Told) -> impl Iterator<Item = EventField> {
    let optional = [
        (EventField::Transaction, told.transaction.is_some()),
        (EventField::Movement, told.movement.is_some()),
        (EventField::Amount, told.amount.is_some()),
        (EventField::Time, told.time.is_some()),
    ];
    let optional = optional.into_iter().filter(|(_, is_there)| *is_there).map(|(field, _)| field);
    [EventField::Id, EventField::Type].into_iter().chain(optional)
}

/// The fields of this provider's events that change although the signature stays good, and those that some event has.
fn changeable(row: &Provider) -> (BTreeSet<EventField>, BTreeSet<EventField>) {
    let signer = Signer::of(row);
    let vocabulary = Vocabulary::of(signer.normaliser, cases::all());
    let body_is_signed =
        row.info().unwrap().authenticity == Authenticity::Verified || row.shared_key.is_some();
    let (mut fields, mut told_fields) = (BTreeSet::new(), BTreeSet::new());
    for (seed, Webhook { endpoint, keys, signed, told: before, .. }) in
        (1..).zip(signer.webhooks().iter().take(CASES))
    {
        before.iter().for_each(|told| told_fields.extend(there(told)));
        let mut compare = |webhook: &SignedWebhook| {
            let after = told(endpoint, keys, webhook).unwrap_or_default();
            fields.extend(different(before, &after));
        };
        others(signed, &signer, seed).iter().for_each(|(_, other)| compare(other));
        let (headers, query) = (signed.headers.clone(), signed.query.clone());
        let text = String::from_utf8(signed.body.clone()).unwrap();
        let document = Document::read(Changed { headers, query, text }).filter(|_| !body_is_signed);
        for (_, Changed { headers, query, text }) in
            document.iter().flat_map(|document| vocabulary.changed(document, seed))
        {
            compare(&SignedWebhook { headers, query, body: text.into_bytes() });
        }
    }
    (fields, told_fields)
}

#[test]
fn the_catalogue_says_which_fields_are_signed() {
    let mut failures = Vec::new();
    for row in catalogue::providers() {
        let said: BTreeSet<EventField> =
            row.unsigned.iter().flat_map(|unsigned| unsigned.fields.clone()).collect();
        // Any body can be made to have PayPal's CRC-32.
        let all: BTreeSet<EventField> = EventField::ALL.into_iter().collect();
        let (found, told) = if row.name == "paypal" { (all.clone(), all) } else { changeable(row) };
        // What no event has may be said to be unsigned.
        if !found.is_subset(&said) || said.difference(&found).any(|field| told.contains(field)) {
            failures.push(format!("{}: said {said:?}, found {found:?}", row.name));
        }
    }
    assert!(failures.is_empty(), "{} rows:\n{}", failures.len(), failures.join("\n"));
}
