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
    unsigned::{Signer, Told, Webhook, others, told},
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

/// The fields of this provider's events that change although the signature stays good.
fn changeable(row: &Provider) -> BTreeSet<EventField> {
    let signer = Signer::of(row);
    let vocabulary = Vocabulary::of(signer.normaliser, cases::all());
    let body_is_signed = row.info().unwrap().authenticity == Authenticity::Verified;
    let mut fields = BTreeSet::new();
    for (seed, Webhook { endpoint, keys, signed, told: before, .. }) in (1..).zip(&signer.webhooks()) {
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
    fields
}

#[test]
#[ignore = "not yet true of every provider"]
fn the_catalogue_says_which_fields_are_signed() {
    let mut failures = Vec::new();
    for row in catalogue::providers() {
        let said: BTreeSet<EventField> =
            row.unsigned.iter().flat_map(|unsigned| unsigned.fields.clone()).collect();
        // Any body can be made to have PayPal's CRC-32.
        let found = match row.name.as_str() {
            "paypal" => EventField::ALL.into_iter().collect(),
            _ => changeable(row),
        };
        if said != found {
            failures.push(format!("{}: said {said:?}, found {found:?}", row.name));
        }
    }
    assert!(failures.is_empty(), "{} rows:\n{}", failures.len(), failures.join("\n"));
}
