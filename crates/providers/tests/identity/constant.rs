//! For one event id the type, the transaction, the movement and the amount are constant, whatever the body.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fmt,
    rc::Rc,
};

use tollgate_core::{Category, Facts, Money};
use tollgate_providers::{Received, Trusted, catalogue, normalise::Normaliser};

use crate::{
    cases::{self, Case},
    document::{Change, Changed, Document},
    mutations::Vocabulary,
};

/// What one event id must decide.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Telling {
    event_id: String,
    kind: &'static str,
    transaction: Option<String>,
    movement: Option<String>,
    amount: Option<Money>,
}

impl Telling {
    fn of(facts: &Facts<'_>) -> Self {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let of_a_payment =
            facts.transaction_id.as_deref().filter(|_| facts.kind.category() == Category::Payment);
        Self {
            event_id: facts.event_id.clone().into_owned(),
            kind: facts.kind.as_str(),
            transaction: text(facts.transaction_id.as_deref()),
            movement: text(facts.movement_id.as_deref().or(of_a_payment)),
            amount: facts.amount,
        }
    }
}

/// The events of a changed webhook.
fn tellings(normaliser: Normaliser, case: &Case, changed: &Changed) -> Vec<Telling> {
    let body = case.wrapped(&changed.text);
    let received = Received { headers: &changed.headers, query: &changed.query, body: &body };
    let events = normaliser.normalise(Trusted::for_inspection(received), &case.config);
    events.iter().flatten().map(Telling::of).collect()
}

/// Where the provider's own event id is, of every row of the catalogue that has this normaliser.
fn own_ids(normaliser: Normaliser) -> Vec<&'static str> {
    let rows = catalogue::providers().iter();
    let rows = rows.filter(|row| Normaliser::named(row.normaliser()) == Some(normaliser));
    rows.flat_map(|row| row.own_event_id.iter().map(String::as_str)).collect()
}

/// Whether the event id is the text at one of these places.
fn is_own(event_id: &str, places: &[&str], document: &Document) -> bool {
    places.iter().any(|place| match place.strip_prefix("header ") {
        Some(name) => document.headers.get(name) == Some(event_id),
        None => document.values.iter().any(|value| value.path == *place && value.text() == event_id),
    })
}

/// A body and what it tells.
struct Tried {
    telling: Telling,
    case: String,
    changes: Vec<Change>,
    body: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Telling { event_id: _, kind, transaction, movement, amount } = &self.telling;
        let amount = amount.map_or("-".to_owned(), |amount| amount.to_string());
        let body: String = self.body.chars().take(700).collect();
        let text = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
        writeln!(f, "    {kind} | {} | movement {} | {amount}", text(transaction), text(movement))?;
        writeln!(f, "      {}, changed {:?}\n      {body}", self.case, self.changes)
    }
}

/// Two bodies that tell different things under one event id.
struct Contradiction {
    one: Rc<Tried>,
    other: Rc<Tried>,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}\n{}{}", self.one.telling.event_id, self.one, self.other)
    }
}

/// The contradictions among the bodies like a provider's cases, and how many bodies told something.
fn contradictions(
    normaliser: Normaliser,
    tell: &dyn Fn(&Case, &Changed) -> Vec<Telling>,
) -> (Vec<Contradiction>, usize) {
    let vocabulary = Vocabulary::of(normaliser, cases::all());
    let places = own_ids(normaliser);
    let mut known = HashMap::<String, Rc<Tried>>::new();
    let (mut found, mut bodies) = (Vec::new(), 0);
    for (seed, (case, document)) in (1..).zip(&vocabulary.documents) {
        let unchanged = document.with(&[]).map(|changed| (Vec::new(), changed));
        for (changes, changed) in unchanged.into_iter().chain(vocabulary.changed(document, seed)) {
            let told = tell(case, &changed);
            bodies += usize::from(!told.is_empty());
            let own = (!places.is_empty()).then(|| Document::read(changed.clone())).flatten();
            for telling in told {
                if own.as_ref().is_some_and(|document| is_own(&telling.event_id, &places, document)) {
                    continue;
                }
                let event_id = telling.event_id.clone();
                let is_new = known.get(&event_id).is_none_or(|known| known.telling != telling);
                if is_new {
                    let (case, changes, body) = (case.to_string(), changes.clone(), changed.to_string());
                    let other = Rc::new(Tried { telling, case, changes, body });
                    match known.entry(event_id) {
                        Entry::Vacant(entry) => _ = entry.insert(other),
                        Entry::Occupied(entry) => {
                            found.push(Contradiction { one: entry.get().clone(), other })
                        }
                    }
                }
            }
        }
    }
    (found, bodies)
}

#[test]
fn one_event_id_says_one_thing() {
    let mut failures = Vec::new();
    for normaliser in Normaliser::all() {
        let tell = |case: &Case, changed: &Changed| tellings(normaliser, case, changed);
        let (found, bodies) = contradictions(normaliser, &tell);
        assert!(bodies >= 200, "{}: only {bodies} bodies", normaliser.name());
        if !found.is_empty() {
            // One of each pair of types.
            let mut kinds = BTreeSet::new();
            let shown =
                found.iter().filter(|pair| kinds.insert((pair.one.telling.kind, pair.other.telling.kind)));
            let shown: String = shown.take(4).map(ToString::to_string).collect();
            failures.push(format!("{}: {} of {bodies} bodies\n{shown}", normaliser.name(), found.len()));
        }
    }
    assert!(failures.is_empty(), "{} normalisers:\n{}", failures.len(), failures.join("\n"));
}

/// How many contradictions there are when Midtrans' event ids are `made` so.
fn found_with_ids(made: fn(&Telling) -> String) -> usize {
    let midtrans = Normaliser::named("midtrans").unwrap();
    let tell = |case: &Case, changed: &Changed| {
        let told = tellings(midtrans, case, changed).into_iter();
        told.map(|telling| Telling { event_id: made(&telling), ..telling }).collect()
    };
    contradictions(midtrans, &tell).0.len()
}

#[test]
fn an_event_id_that_lacks_a_part_is_found() {
    let whole: fn(&Telling) -> String =
        |it| format!("{} {:?} {:?} {:?}", it.kind, it.transaction, it.movement, it.amount);
    assert_eq!(found_with_ids(whole), 0);
    let lacking: [fn(&Telling) -> String; 3] = [
        |it| format!("{:?} {:?} {:?}", it.transaction, it.movement, it.amount),
        |it| format!("{} {:?}", it.kind, it.amount),
        |it| format!("{} {:?} {:?}", it.kind, it.transaction, it.movement),
    ];
    for made in lacking {
        assert!(found_with_ids(made) > 10);
    }
}

#[test]
fn an_own_event_id_is_where_its_row_says() {
    for normaliser in Normaliser::all() {
        let cases = cases::all().iter().filter(|case| case.provider == normaliser.name());
        let documents: Vec<(&Case, Document)> =
            cases.filter_map(|case| Some((case, Document::of(case)?))).collect();
        for place in own_ids(normaliser) {
            let mut found = 0;
            for (case, document) in &documents {
                let changed = document.with(&[]).unwrap();
                let told = tellings(normaliser, case, &changed);
                found += told.iter().filter(|telling| is_own(&telling.event_id, &[place], document)).count();
            }
            assert!(found > 0, "{}: no event's id is {place}", normaliser.name());
        }
    }
}
