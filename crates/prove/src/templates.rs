//! Webhooks of every provider, made of the cases that its normaliser is held to (`crates/providers/tests/bodies`): each
//! is a body with the facts that a person wrote beside it. A webhook of a case has ids of its own, in the body and in the
//! facts alike, and happened yesterday. Nothing here reads a body as the functions do.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use tollgate_core::id::hex_sha256;

use crate::record::Event;

/// The year of the cases' dates; those of other years are versions, or birthdays.
const YEAR: &str = "2026";
/// How the unix times of that year begin.
const UNIX: [&str; 3] = ["176", "177", "178"];
/// Whose webhooks nobody else can sign: their keys are fetched from the provider.
const UNSIGNABLE: [&str; 2] = ["paypal", "plaid"];
/// What they show depends on how their ids end, their amount is a part of an id, or they are signed already.
const EXCLUDED: [(&str, &str); 5] = [
    ("nuvei", "a sale"),
    ("midtrans", "the three others"),
    ("paystack", "a refund under way has no reference"),
    ("paystack", "the same refund, a step on"),
    ("paystack", "another refund of the payment"),
];

/// A case.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) provider: String,
    pub(crate) name: String,
    headers: Vec<(String, String)>,
    query: String,
    body: String,
    expected: Vec<String>,
    ids: Vec<String>,
}

/// A webhook of a case.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) query: String,
    pub(crate) body: String,
    pub(crate) events: Vec<Event>,
}

/// Every case that can be sent: it is understood, its endpoint needs no settings, and its ids can be told in its body.
pub(crate) fn read() -> anyhow::Result<Vec<Template>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers/tests/bodies");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    let mut templates = Vec::new();
    for file in files {
        let provider = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let text = fs::read_to_string(&file)?;
        if !UNSIGNABLE.contains(&provider.as_str()) {
            templates.extend(text.split("== ").skip(1).filter_map(|case| parse(&provider, case)));
        }
    }
    Ok(templates)
}

fn parse(provider: &str, text: &str) -> Option<Template> {
    let (name, rest) = text.split_once('\n')?;
    let (mut headers, mut query, mut body, mut expected) =
        (Vec::new(), String::new(), Vec::new(), Vec::new());
    for line in rest.lines() {
        if let Some((name, value)) = line.strip_prefix("> ").and_then(|line| line.split_once(": ")) {
            match name.strip_prefix('@') {
                // Signing wraps it.
                Some("wrap") => {}
                Some("query") => value.clone_into(&mut query),
                // A setting of its endpoint.
                Some(_) => return None,
                None => headers.push((name.to_owned(), value.to_owned())),
            }
        } else if let Some(line) = line.strip_prefix("<= ") {
            expected.push(line.to_owned());
        } else {
            body.push(line);
        }
    }
    let body = body.join("\n").trim_end_matches('\n').to_owned();
    let mut template = Template {
        provider: provider.to_owned(),
        name: name.to_owned(),
        headers,
        query,
        body,
        expected,
        ids: Vec::new(),
    };
    template.ids = template.find_ids();
    template.is_usable().then_some(template)
}

/// The columns of an expectation: `id | their type -> type | transaction | amount | time | name value | …`.
struct Columns<'a> {
    id: &'a str,
    theirs: &'a str,
    kind: &'a str,
    transaction: &'a str,
    amount: &'a str,
    time: &'a str,
    more: Vec<(&'a str, &'a str)>,
}

impl<'a> Columns<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut columns = line.split(" | ");
        let id = columns.next()?;
        let (theirs, kind) = columns.next()?.split_once(" -> ")?;
        let (transaction, amount, time) = (columns.next()?, columns.next()?, columns.next()?);
        let more = columns.filter_map(|column| column.split_once(' ')).collect();
        Some(Self { id, theirs, kind, transaction, amount, time, more })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.more.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

impl Template {
    /// The texts of the facts that the body has as they are, and that must be another webhook's own.
    fn find_ids(&self) -> Vec<String> {
        let mut ids = BTreeSet::new();
        for columns in self.expected.iter().filter_map(|line| Columns::of(line)) {
            let has_letter = |text: &str| text.bytes().any(|byte| byte.is_ascii_alphabetic());
            let names = [columns.transaction, columns.get("movement").unwrap_or_default()];
            let aliases = columns.get("alias").into_iter().flat_map(|aliases| aliases.split(", "));
            let whole = [columns.id].into_iter().chain(names).chain(aliases).filter(|text| self.has(text));
            ids.extend(whole.map(str::to_owned));
            // Of texts that are put together, the parts that look like ids: in most of them amounts are parts, too.
            let parts = columns.id.split(':').chain(columns.get("occurrence").unwrap_or_default().split(':'));
            let parts = parts.filter(|part| has_letter(part));
            let numbers = names.into_iter().flat_map(|name| name.split(':'));
            let numbers =
                numbers.filter(|part| has_letter(part) || self.body.contains(&format!("\"{part}\"")));
            let is_id = |part: &&str| !is_time(part) && *part != columns.theirs && self.has(part);
            ids.extend(parts.filter(is_id).map(str::to_owned));
            ids.extend(numbers.filter(|part| *part != columns.theirs && self.has(part)).map(str::to_owned));
        }
        // The longer ones first, for they may hold shorter ones.
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_by_key(|id| std::cmp::Reverse(id.len()));
        ids
    }

    fn has(&self, text: &str) -> bool {
        let places = [&self.body, &self.query].into_iter().chain(self.headers.iter().map(|(_, value)| value));
        (text.len() >= 3 || self.body.contains(&format!("\"{text}\"")))
            && text.bytes().any(|byte| byte.is_ascii_digit())
            && places.into_iter().any(|place| renamed(place, text, "") != *place)
    }

    fn is_usable(&self) -> bool {
        let is_excluded = EXCLUDED.contains(&(self.provider.as_str(), self.name.as_str()));
        if is_excluded
            || self.expected.is_empty()
            || self.expected.iter().any(|line| line.starts_with("error: "))
        {
            return false;
        }
        let (Some(one), Some(other)) =
            (self.fill(1, Timestamp::UNIX_EPOCH), self.fill(2, Timestamp::UNIX_EPOCH))
        else {
            return false;
        };
        // Two webhooks of it must have nothing in common by which they could be one payment.
        let differ = |one: &Option<String>, other: &Option<String>| one.is_none() || one != other;
        one.body != other.body
            && one.events.iter().all(|event| event.occurred_at.as_deref().is_none_or(is_near_the_epoch))
            && one.events.iter().zip(&other.events).all(|(one, other)| {
                (one.id != other.id || one.id.contains("{sha256}"))
                    && differ(&one.transaction, &other.transaction)
                    && differ(&one.movement, &other.movement)
            })
            && self.expected.iter().filter_map(|line| Columns::of(line)).all(|columns| {
                let aliases = columns.get("alias").into_iter().flat_map(|aliases| aliases.split(", "));
                aliases.into_iter().all(|alias| self.ids.iter().any(|id| id == alias))
            })
    }

    /// The webhook of number `serial`, as it would have come on the day of `now`.
    pub(crate) fn fill(&self, serial: u64, now: Timestamp) -> Option<Filled> {
        let original = hex_sha256(self.body.as_bytes());
        let days = self.days_to(now);
        let fill = |text: &str| moved(&self.renamed(text, serial), days);
        let mut body = fill(&self.body);
        if self.ids.is_empty() {
            // Known by its hash alone: a field that nobody reads makes it another.
            let inside = body.strip_prefix('{')?;
            let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
            body = format!("{{\"serial\":{serial}{comma}{inside}");
        }
        let event = |line: &String| {
            let line = fill(&line.replace(&original, "{sha256}"));
            let columns = Columns::of(&line)?;
            let known = |text: &str| (text != "-").then(|| text.to_owned());
            Some(Event {
                id: columns.id.to_owned(),
                kind: columns.kind.to_owned(),
                transaction: known(columns.transaction),
                movement: columns.get("movement").map(str::to_owned),
                aliases: columns
                    .get("alias")
                    .into_iter()
                    .flat_map(|all| all.split(", "))
                    .map(str::to_owned)
                    .collect(),
                amount: columns.amount.to_owned(),
                occurred_at: known(columns.time),
                effect: None,
                is_flagged: false,
                or: None,
            })
        };
        Some(Filled {
            headers: self.headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect(),
            query: self.lowered(&fill(&self.query), serial),
            events: self.expected.iter().map(event).collect::<Option<_>>()?,
            body,
        })
    }

    /// From the day on which it happened, or that its body names first, to the one before `now`.
    fn days_to(&self, now: Timestamp) -> i64 {
        let times = self.expected.iter().filter_map(|line| Columns::of(line)).map(|columns| columns.time);
        let then = times.chain([self.body.as_str()]).find_map(|text| dates(text).next());
        then.map_or(0, |(_, then)| {
            now.as_second().div_euclid(86_400) - 1 - then.as_second().div_euclid(86_400)
        })
    }

    /// With the ids that stand there in lower case, as in Mercado Pago's `data.id`.
    fn lowered(&self, query: &str, serial: u64) -> String {
        let lower = self.ids.iter().map(|id| id.to_lowercase()).filter(|id| !self.ids.contains(id));
        lower.fold(query.to_owned(), |query, id| renamed(&query, &id, &own(&id, serial)))
    }

    fn renamed(&self, text: &str, serial: u64) -> String {
        self.ids.iter().fold(text.to_owned(), |text, id| renamed(&text, id, &own(id, serial)))
    }
}

/// Whether a part of an id is one of a time: `2026-01-02T03`, `05Z`, `05.000Z`.
fn is_time(part: &str) -> bool {
    let is_of_time = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.' | '+' | 'T' | 'Z');
    part.chars().all(is_of_time)
}

/// `id` for webhook `serial`: nine digits behind it, or in the place of its last ones where it is a long number. Where it has
/// letters it ends in one: of Midtrans' ids the last digits could be those of the status code behind them.
fn own(id: &str, serial: u64) -> String {
    let is_long = id.len() > 9 && id.bytes().all(|byte| byte.is_ascii_digit());
    let kept = if is_long { id.get(..id.len() - 9).unwrap_or_default() } else { id };
    let end = if id.bytes().any(|byte| byte.is_ascii_alphabetic()) { "x" } else { "" };
    format!("{kept}{:09}{end}", 100_000_000 + serial)
}

/// `text` with `new` for each `old` that stands alone.
fn renamed(text: &str, old: &str, new: &str) -> String {
    let is_inside =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let (mut done, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(old) {
        let (before, found) = rest.split_at(at);
        let (found, after) = found.split_at(old.len());
        let last = before.as_bytes().last().or(done.as_bytes().last()).copied();
        done.push_str(before);
        done.push_str(if is_inside(last.as_ref()) || is_inside(after.as_bytes().first()) {
            found
        } else {
            new
        });
        rest = after;
    }
    done + rest
}

fn is_near_the_epoch(time: &str) -> bool {
    time.parse::<Timestamp>().is_ok_and(|time| time.as_second().abs() < 3 * 86_400)
}

/// Where a text has a date of the year, and which.
fn dates(text: &str) -> impl Iterator<Item = (usize, Timestamp)> {
    text.match_indices(YEAR).filter_map(|(at, _)| {
        let rest = text.get(at..)?;
        let date = match rest.get(..10) {
            Some(date) if date.as_bytes().get(4) == Some(&b'-') => date.to_owned(),
            _ => format!("{YEAR}-{}-{}", rest.get(4..6)?, rest.get(6..8)?),
        };
        Some((at, format!("{date}T00:00:00Z").parse().ok()?))
    })
}

/// `text` with every date moved by so many days.
fn moved(text: &str, days: i64) -> String {
    let (mut done, mut from) = (String::new(), 0);
    for (at, date) in dates(text) {
        let then = date + SignedDuration::from_hours(24 * days);
        let is_long = text.as_bytes().get(at + 4) == Some(&b'-');
        let (form, length) = if is_long { ("%F", 10) } else { ("%Y%m%d", 8) };
        done.push_str(text.get(from..at).unwrap_or_default());
        done.push_str(&then.strftime(form).to_string());
        from = at + length;
    }
    done.push_str(text.get(from..).unwrap_or_default());
    unix_moved(&done, days * 86_400)
}

fn unix_moved(text: &str, seconds: i64) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        let unit = match number.len() {
            10 => 1,
            13 => 1_000,
            _ => 0,
        };
        done.push_str(before);
        match number.parse::<i64>() {
            Ok(value) if unit > 0 && UNIX.iter().any(|prefix| number.starts_with(prefix)) => {
                done.push_str(&(value + seconds * unit).to_string());
            }
            _ => done.push_str(number),
        }
        rest = after;
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tollgate_providers::{Headers, Received, Trusted, catalogue, normalise::Normaliser};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-30T01:02:03Z".parse().unwrap()
    }

    #[test]
    fn a_filled_case_says_what_is_expected_of_it() {
        let mut wrong = Vec::new();
        for template in read().unwrap() {
            let filled = template.fill(7, now()).unwrap();
            let config = serde_json::from_str(&format!(
                r#"{{"id":"x","scheme":"{}","secret":"ssm:none"}}"#,
                template.provider
            ))
            .unwrap();
            let headers: Headers = filled.headers.iter().map(|(name, value)| (name, value)).collect();
            let body = if template.provider == "braintree" { continue } else { filled.body.as_bytes() };
            let received = Received { headers: &headers, query: &filled.query, body };
            let normaliser = Normaliser::named(&template.provider).unwrap();
            let facts = normaliser.normalise(Trusted::for_inspection(received), &config);
            let hash = hex_sha256(body);
            let due: Vec<_> =
                filled.events.iter().map(|event| (event.id.replace("{sha256}", &hash), event)).collect();
            let agrees = facts.as_ref().is_ok_and(|facts| {
                facts.len() == due.len()
                    && facts.iter().zip(&due).all(|(facts, (id, event))| {
                        facts.event_id == id.as_str()
                            && facts.kind.as_str() == event.kind
                            && facts.transaction_id.as_deref() == event.transaction.as_deref()
                            && facts.movement_id.as_deref() == event.movement.as_deref()
                            && facts.amount.map_or("-".to_owned(), |amount| amount.to_string())
                                == event.amount
                            && facts.occurred_at.map(|at| at.to_string()) == event.occurred_at
                    })
            });
            if !agrees {
                wrong.push(format!(
                    "{}: {}\n  {:?}\n  {facts:?}",
                    template.provider, template.name, filled.events
                ));
            }
        }
        assert!(wrong.is_empty(), "{} cases\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn every_provider_has_several_cases_of_several_types() {
        let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for template in read().unwrap() {
            let filled = template.fill(1, now()).unwrap();
            kinds
                .entry(template.provider)
                .or_default()
                .extend(filled.events.into_iter().map(|event| event.kind));
        }
        for row in catalogue::providers().iter().filter(|row| !UNSIGNABLE.contains(&row.name.as_str())) {
            let found = kinds.get(row.normaliser()).map_or(0, BTreeSet::len);
            // GitHub's are all ignored on purpose.
            let least = if row.name == "github" { 1 } else { 2 };
            assert!(found >= least, "{}: {found} types", row.name);
        }
    }

    #[test]
    fn a_name_is_changed_where_it_stands_alone() {
        assert_eq!(renamed("ch_1 ch_12 xch_1 (ch_1)", "ch_1", "N"), "N ch_12 xch_1 (N)");
        assert_eq!(own("820982911946154508", 7), "820982911100000007");
        assert_eq!(moved("2026-01-02T03 20260131 1767323045", 2), "2026-01-04T03 20260202 1767495845");
    }
}
