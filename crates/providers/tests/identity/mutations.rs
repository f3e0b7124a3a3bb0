//! Bodies like those of a provider's cases: the same ones with other words, ids, amounts and fields.
//!
//! The words are the texts of the provider's source file and of its list of event types, so that what a normaliser
//! tells apart is tried wherever it may stand. All is made from a seed: every run tries the same bodies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use tollgate_providers::normalise::{EventTypes, Normaliser};

use crate::{
    cases::Case,
    document::{Change, Changed, Document, Syntax, last_name},
};

/// How many single changes of one provider's cases are tried, and how many pairs of them; at most and at least so many of
/// each case.
const SINGLES: usize = 3_000;
const PAIRS: usize = 1_000;
const OF_A_CASE: std::ops::RangeInclusive<usize> = 30..=500;

/// The most values that one place is given.
const PER_PLACE: usize = 60;

/// What a provider's bodies may say.
pub struct Vocabulary {
    normaliser: Normaliser,
    /// Its cases.
    pub documents: Vec<(Case, Document)>,
    source: String,
    words: Vec<String>,
    /// What its cases have at each place, as it is written.
    by_path: BTreeMap<String, BTreeSet<String>>,
}

impl Vocabulary {
    pub fn of(normaliser: Normaliser, cases: &[Case]) -> Self {
        let source = source(normaliser.name());
        let types = EventTypes::of(normaliser.name()).unwrap();
        let mut words: BTreeSet<String> = literals(&source);
        words.extend(types.mapped.iter().map(|name| (*name).to_owned()));
        let mut documents = Vec::new();
        let mut by_path = BTreeMap::<String, BTreeSet<String>>::new();
        for case in cases.iter().filter(|case| case.provider == normaliser.name()) {
            let Some(document) = Document::of(case) else { continue };
            for value in document.values.iter().filter(|value| value.raw.len() < 2_000) {
                by_path.entry(value.path.clone()).or_default().insert(value.raw.clone());
            }
            documents.push((case.clone(), document));
        }
        Self { normaliser, documents, source, words: words.into_iter().collect(), by_path }
    }

    /// Whether the source reads a field of this name.
    fn reads(&self, name: &str) -> bool {
        let snake: String = name
            .chars()
            .flat_map(|c| c.is_ascii_uppercase().then_some('_').into_iter().chain([c.to_ascii_lowercase()]))
            .collect();
        [name, snake.trim_start_matches('_')].iter().any(|name| has_word(&self.source, name))
    }

    /// Each body that is tried in place of `document`, with what was changed.
    pub fn changed(&self, document: &Document, seed: u64) -> impl Iterator<Item = (Vec<Change>, Changed)> {
        let mut random = Random::new(seed);
        let mut singles = self.singles(document, &mut random);
        random.shuffle(&mut singles);
        let mut pairs = Vec::new();
        let share =
            |all: usize| (all / self.documents.len().max(1)).clamp(*OF_A_CASE.start(), *OF_A_CASE.end());
        for _ in 0..if singles.is_empty() { 0 } else { share(PAIRS) } {
            pairs.push(vec![random.pick(&singles).clone(), random.pick(&singles).clone()]);
        }
        singles.truncate(share(SINGLES));
        let document = document.clone();
        let all = singles.into_iter().map(|change| vec![change]).chain(pairs);
        all.filter_map(move |changes| Some((changes.clone(), document.with(&changes)?)))
    }

    fn singles(&self, document: &Document, random: &mut Random) -> Vec<Change> {
        let mut changes = Vec::new();
        let there: BTreeSet<&str> = document.values.iter().map(|value| value.path.as_str()).collect();
        for (index, value) in document.values.iter().enumerate() {
            let is_read = value.path.is_empty() || self.reads(value.name());
            if is_read && !value.path.is_empty() {
                changes.push(Change::Drop(index));
                let mut texts = self.texts(document, index, random);
                random.shuffle(&mut texts);
                texts.truncate(PER_PLACE);
                changes.extend(texts.into_iter().map(|text| Change::Set(index, text)));
            }
            if document.syntax == Syntax::Json && !value.raw.starts_with('{')
                || !value.is_whole && !value.path.is_empty()
            {
                continue;
            }
            // What other cases have here.
            for (path, raws) in &self.by_path {
                let parent = path.rfind('.').map_or("", |dot| &path[..dot]);
                let name = last_name(path);
                if parent == value.path
                    && !path.ends_with("[]")
                    && !there.contains(path.as_str())
                    && self.reads(name)
                {
                    let mut raws: Vec<&String> = raws.iter().collect();
                    random.shuffle(&mut raws);
                    changes.extend(
                        raws.iter().take(4).map(|raw| Change::Add(index, name.to_owned(), (*raw).clone())),
                    );
                }
            }
        }
        if document.syntax == Syntax::Form {
            for (path, raws) in self.by_path.iter().filter(|(path, _)| !there.contains(path.as_str())) {
                changes.extend(raws.iter().take(4).map(|raw| Change::Add(0, path.clone(), raw.clone())));
            }
        }
        for header in self.normaliser.headers() {
            changes.push(Change::Header((*header).to_owned(), None));
            for word in ["other-1"].into_iter().chain((0..20).map(|_| random.pick(&self.words).as_str())) {
                changes.push(Change::Header((*header).to_owned(), Some(word.to_owned())));
            }
        }
        for name in query_names(&self.source, &document.query) {
            changes
                .extend([None, Some("other-1".to_owned())].map(|value| Change::Query(name.clone(), value)));
        }
        changes
    }

    /// The texts that the value is replaced by.
    fn texts(&self, document: &Document, index: usize, random: &mut Random) -> Vec<String> {
        let value = &document.values[index];
        let here = self.by_path.get(&value.path);
        let mut texts: Vec<String> =
            here.into_iter().flatten().filter(|raw| **raw != value.raw).cloned().collect();
        if value.is_whole {
            texts.push(document.written("x"));
            return texts;
        }
        if document.syntax == Syntax::Json && value.raw.parse::<f64>().is_ok() {
            texts.extend(["7", "0", "-5", "7.5", "null", "\"x\"", "1767409445"].map(str::to_owned));
            return texts;
        }
        if matches!(value.text().as_str(), "true" | "false") {
            let flipped = (value.text() != "true").to_string();
            texts.push(value.raw.replace(&value.text(), &flipped));
            return texts;
        }
        texts.extend(["other-1", "7.00", "2026-01-03T03:04:05Z", ""].map(|text| document.written(text)));
        let is_word = self.words.binary_search(&value.text()).is_ok();
        let words: Vec<&String> = match is_word {
            true => self.words.iter().collect(),
            false => (0..3).map(|_| random.pick(&self.words)).collect(),
        };
        texts.extend(words.into_iter().map(|word| document.written(word)));
        texts
    }
}

/// The source of a normaliser.
fn source(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/normalise");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let texts = files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap());
    let named = |text: &String| text.contains(&format!("name: {name:?}"));
    texts.into_iter().find(named).unwrap_or_else(|| panic!("no file has the normaliser {name}"))
}

/// The texts in a source, without those of its comments.
fn literals(source: &str) -> BTreeSet<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let texts = code.split('"').skip(1).step_by(2);
    texts
        .filter(|text| !text.is_empty() && text.len() <= 64 && !text.contains([' ', '\\', '{']))
        .map(str::to_owned)
        .collect()
}

/// Whether `name` stands in `text` as a whole word.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            !is_part(text[..at].chars().next_back()) && !is_part(text[at + name.len()..].chars().next())
        })
}

/// The query's fields: those that are there, and those that a source that reads a query may ask for.
fn query_names(source: &str, query: &str) -> BTreeSet<String> {
    let there = query.split('&').filter_map(|field| field.split('=').next()).filter(|name| !name.is_empty());
    let asked = ["data.id", "type", "topic", "id"].into_iter().filter(|_| source.contains(".query"));
    there.chain(asked).map(str::to_owned).collect()
}

/// Numbers that look random and are the same in each run (xorshift64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
