//! A webhook taken apart into its values, and put together again with some of them changed.

use std::{collections::BTreeMap, fmt, ops::Range};

use serde_json::value::RawValue;
use tollgate_providers::Headers;

use crate::cases::Case;

/// A webhook as text that can be changed. What it is made of decides how.
#[derive(Clone)]
pub struct Document {
    pub syntax: Syntax,
    pub headers: Headers,
    pub query: String,
    /// The body; Braintree's before it is wrapped.
    pub text: String,
    pub values: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    Json,
    Form,
    Xml,
}

/// One value of a webhook.
#[derive(Clone, Debug)]
pub struct Value {
    /// Where it is: `data.object.id`, `events[].id`, `header webhook-id`, `query data.id`.
    pub path: String,
    /// Where its text is in the body, quotes included.
    at: Range<usize>,
    /// Where its name is in the body, if it has one.
    name: Option<usize>,
    /// As it is written in the body.
    pub raw: String,
    /// An object or a list.
    pub is_whole: bool,
}

impl Value {
    /// The last name of its path.
    pub fn name(&self) -> &str {
        last_name(&self.path)
    }

    /// What it says.
    pub fn text(&self) -> String {
        serde_json::from_str::<String>(&self.raw).unwrap_or_else(|_| self.raw.clone())
    }
}

/// The last name of a path.
pub fn last_name(path: &str) -> &str {
    path.rsplit(['.', ' ']).next().unwrap_or_default().trim_end_matches("[]")
}

/// One change of a webhook.
#[derive(Clone, Debug)]
pub enum Change {
    /// The value of this index has another text, which is written as the syntax has it.
    Set(usize, String),
    /// The value of this index is not there.
    Drop(usize),
    /// The object of this index, or the form, has one value more.
    Add(usize, String, String),
    /// A header has another value, or is not there.
    Header(String, Option<String>),
    /// A field of the query has another value, or is not there.
    Query(String, Option<String>),
}

/// A webhook's changeable parts.
#[derive(Clone)]
pub struct Changed {
    pub headers: Headers,
    pub query: String,
    pub text: String,
}

impl Document {
    /// Takes a case apart; `None` where it is no JSON object, form or XML.
    pub fn of(case: &Case) -> Option<Self> {
        let (headers, query) = (case.headers.clone(), case.query.clone());
        Self::read(Changed { headers, query, text: case.content.clone() })
    }

    /// Takes a webhook apart.
    pub fn read(Changed { headers, query, text }: Changed) -> Option<Self> {
        let (mut values, syntax) = (Vec::new(), Syntax::of(&text));
        match syntax {
            Syntax::Json => {
                serde_json::from_str::<&RawValue>(&text).ok()?;
                json(&text, 0, "", None, &mut values);
            }
            Syntax::Form => form(&text, &mut values),
            Syntax::Xml => xml(&text, &mut values)?,
        }
        Some(Self { syntax, headers, query, text, values })
    }

    /// The webhook with these changes; `None` where they are at the same place.
    pub fn with(&self, changes: &[Change]) -> Option<Changed> {
        let (mut headers, mut query) = (self.headers.clone(), self.query.clone());
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        for change in changes {
            match change {
                Change::Set(index, text) => edits.push((self.values[*index].at.clone(), text.clone())),
                Change::Drop(index) => {
                    let value = &self.values[*index];
                    edits.push(match (value.name, self.syntax) {
                        (Some(name), Syntax::Json | Syntax::Form) => (name..name, "no-".to_owned()),
                        (None, Syntax::Json) => (value.at.clone(), "null".to_owned()),
                        _ => (value.at.clone(), String::new()),
                    });
                }
                Change::Add(index, name, text) => edits.push(self.addition(*index, name, text)),
                Change::Header(name, value) => {
                    headers.remove(name);
                    value.iter().for_each(|value| headers.push(name.as_str(), value.as_str()));
                }
                Change::Query(name, value) => query = set_query(&query, name, value.as_deref()),
            }
        }
        edits.sort_by_key(|(at, _)| (at.start, at.end));
        if edits.windows(2).any(|two| two[0].0.end > two[1].0.start || two[0].0.start == two[1].0.start) {
            return None;
        }
        let mut text = self.text.clone();
        for (at, new) in edits.into_iter().rev() {
            text.replace_range(at, &new);
        }
        Some(Changed { headers, query, text })
    }

    fn addition(&self, index: usize, name: &str, text: &str) -> (Range<usize>, String) {
        match self.syntax {
            Syntax::Form => (self.text.len()..self.text.len(), format!("&{name}={text}")),
            Syntax::Xml => {
                let at = self.values[index].at.start;
                (at..at, format!("<{name}>{text}</{name}>"))
            }
            Syntax::Json => {
                let at = self.values[index].at.start + 1;
                let comma = if self.text[at..].trim_start().starts_with('}') { "" } else { "," };
                (at..at, format!("{name:?}:{text}{comma}"))
            }
        }
    }

    /// `word` as the body writes a text.
    pub fn written(&self, word: &str) -> String {
        self.syntax.written(word)
    }
}

impl Syntax {
    fn of(text: &str) -> Self {
        match text.trim_start().as_bytes().first() {
            Some(b'{' | b'[') => Self::Json,
            Some(b'<') => Self::Xml,
            _ => Self::Form,
        }
    }

    pub fn written(self, word: &str) -> String {
        match self {
            Self::Json => serde_json::to_string(word).unwrap(),
            Self::Form => {
                percent_encoding::utf8_percent_encode(word, percent_encoding::NON_ALPHANUMERIC).to_string()
            }
            Self::Xml => word.replace('&', "&amp;").replace('<', "&lt;"),
        }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.headers.iter() {
            write!(f, "{name}: {value} ")?;
        }
        write!(f, "?{} {}", self.query, self.text)
    }
}

fn json(text: &str, at: usize, path: &str, name: Option<usize>, found: &mut Vec<Value>) {
    let is_whole = text.starts_with(['{', '[']);
    let range = at..at + text.len();
    found.push(Value { path: path.to_owned(), at: range, name, raw: text.to_owned(), is_whole });
    let begin = |part: &RawValue| part.get().as_ptr() as usize - text.as_ptr() as usize;
    if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        for (name, part) in members {
            let begin = begin(part);
            // The name stands before the colon, between its quotes.
            let named = text[..begin].rfind(':').and_then(|colon| text[..colon].rfind('"'));
            let named = named.and_then(|quote| text[..quote].rfind('"')).map(|quote| at + quote + 1);
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            json(part.get(), at + begin, &path, named, found);
        }
    } else if let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(text) {
        for part in parts {
            json(part.get(), at + begin(part), &format!("{path}[]"), None, found);
        }
    }
}

fn form(text: &str, found: &mut Vec<Value>) {
    let mut at = 0;
    for field in text.split('&') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let range = at + field.len() - value.len()..at + field.len();
        found.push(Value {
            path: name.to_owned(),
            at: range,
            name: Some(at),
            raw: value.to_owned(),
            is_whole: false,
        });
        at += field.len() + 1;
    }
}

/// Elements without mixed content, which is what Braintree sends.
fn xml(text: &str, found: &mut Vec<Value>) -> Option<()> {
    let mut open: Vec<(&str, usize, bool)> = Vec::new();
    let mut at = text.find("<notification")?;
    while let Some(begin) = text[at..].find('<').map(|begin| at + begin) {
        let end = begin + text[begin..].find('>')?;
        let tag = &text[begin + 1..end];
        at = end + 1;
        if tag.ends_with('/') || tag.starts_with(['?', '!']) {
            continue;
        }
        if tag.starts_with('/') {
            let (name, start, is_whole) = open.pop()?;
            let path: Vec<&str> = open.iter().map(|(name, ..)| *name).chain([name]).collect();
            let raw = text[start..begin].to_owned();
            found.push(Value { path: path.join("."), at: start..begin, name: None, raw, is_whole });
        } else {
            if let Some(parent) = open.last_mut() {
                parent.2 = true;
            }
            open.push((tag.split_whitespace().next()?, at, false));
        }
    }
    Some(())
}

fn set_query(query: &str, name: &str, value: Option<&str>) -> String {
    let kept = query.split('&').filter(|field| !field.is_empty() && field.split('=').next() != Some(name));
    let set = value.map(|value| format!("{name}={}", Syntax::Form.written(value)));
    kept.map(str::to_owned).chain(set).collect::<Vec<_>>().join("&")
}
