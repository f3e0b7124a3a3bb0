//! The event types that a provider publishes are mapped, or ignored on purpose: `event-types/NAME.txt` says which, and
//! the cases show it.

use std::collections::BTreeSet;

use tollgate_core::Facts;
use tollgate_providers::{
    Received, Trusted,
    normalise::{EventTypes, Normaliser},
};

use crate::{
    cases::{self, Case},
    document::{Change, Changed, Document},
};

/// The provider's name of the type of each event, and why it is unrecognized.
fn types(normaliser: Normaliser, case: &Case, changed: &Changed) -> Vec<(String, Option<&'static str>)> {
    let body = case.wrapped(&changed.text);
    let received = Received { headers: &changed.headers, query: &changed.query, body: &body };
    let events = normaliser.normalise(Trusted::for_inspection(received), &case.config);
    let told = |facts: Facts<'_>| (facts.event_type.into_owned(), facts.unrecognized);
    events.into_iter().flatten().map(told).collect()
}

/// The changes by which a webhook of the type `from` has the type `to`: in the places where `from` stands, whole or in
/// two parts with a separator.
fn renamings(document: &Document, from: &str, to: &str) -> Vec<Vec<Change>> {
    let in_header = |name: &str| vec![Change::Header(name.to_owned(), Some(to.to_owned()))];
    let headers = document.headers.iter().filter(|(_, value)| *value == from);
    let mut renamings: Vec<Vec<Change>> = headers.map(|(name, _)| in_header(name)).collect();
    let texts: Vec<(usize, String)> = document
        .values
        .iter()
        .enumerate()
        .filter(|(_, value)| !value.is_whole && !value.path.is_empty())
        .map(|(index, value)| (index, value.text()))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let set = |index: usize, text: &str| Change::Set(index, document.written(text));
    for (index, text) in &texts {
        if text == from {
            renamings.push(vec![set(*index, to)]);
        }
        let Some(rest) = from.strip_prefix(text.as_str()) else { continue };
        for (second, end) in &texts {
            let separator = rest.strip_suffix(end.as_str()).filter(|separator| !separator.is_empty());
            for (at, separator) in separator.iter().flat_map(|separator| to.match_indices(*separator)) {
                renamings.push(vec![set(*index, &to[..at]), set(*second, &to[at + separator.len()..])]);
            }
        }
    }
    renamings
}

/// Why an event of the type `ignored` is unrecognized; `None` where no case becomes one.
fn reason(normaliser: Normaliser, cases: &[(&Case, Document)], ignored: &str) -> Option<&'static str> {
    cases.iter().find_map(|(case, document)| {
        let unchanged = document.with(&[])?;
        let named = types(normaliser, case, &unchanged);
        let mut renamings = named.iter().flat_map(|(name, _)| renamings(document, name, ignored));
        renamings.find_map(|changes| {
            let told = types(normaliser, case, &document.with(&changes)?);
            told.into_iter().find(|(name, _)| name == ignored)?.1
        })
    })
}

fn gaps(normaliser: Normaliser) -> Vec<String> {
    let known = EventTypes::of(normaliser.name()).unwrap();
    let cases = cases::all().iter().filter(|case| case.provider == normaliser.name());
    let cases: Vec<(&Case, Document)> = cases.filter_map(|case| Some((case, Document::of(case)?))).collect();
    let told =
        cases.iter().filter_map(|(case, document)| Some(types(normaliser, case, &document.with(&[])?)));
    let recognised: BTreeSet<String> =
        told.flatten().filter(|(_, unrecognized)| unrecognized.is_none()).map(|(name, _)| name).collect();
    let mut gaps = Vec::new();
    if known.sources.is_empty() {
        gaps.push("no line `# Source: …, read YYYY-MM-DD`".to_owned());
    }
    // Of a body that is signed as GitHub signs nothing is known.
    if known.mapped.is_empty() && normaliser.name() != "github" {
        gaps.push("no mapped type".to_owned());
    }
    let missing = known.mapped.iter().filter(|name| !recognised.contains(**name));
    gaps.extend(missing.map(|name| format!("mapped, and no case is recognised: {name}")));
    for ignored in &known.ignored {
        match reason(normaliser, &cases, ignored) {
            Some("ignored on purpose") => {}
            other => gaps.push(format!("ignored, and {ignored} is unrecognized for {other:?}")),
        }
    }
    gaps
}

#[test]
fn every_published_type_is_mapped_or_ignored_on_purpose() {
    let mut found = Vec::new();
    for normaliser in Normaliser::all() {
        let gaps = gaps(normaliser);
        if !gaps.is_empty() {
            found.push(format!("{}: {} gaps\n    {}", normaliser.name(), gaps.len(), gaps.join("\n    ")));
        }
    }
    assert!(found.is_empty(), "{} normalisers:\n{}", found.len(), found.join("\n"));
}
