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

impl Value {
    /// Where its name, if it has one, and its text are.
    fn member(&self) -> Option<Range<usize>> {
        self.name.map(|name| name..self.at.end)
    }

    fn json_spellings(&self, body: &str) -> Vec<(Range<usize>, String)> {
        let (at, raw) = (self.at.clone(), self.raw.as_str());
        let escaped =
            |text: &str| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
        let mut texts =
            vec![format!("[{raw}]"), format!("{{\"value\":{raw}}}"), "null".to_owned(), "\"\"".to_owned()];
        if let Ok(members) = serde_json::from_str::<BTreeMap<&str, &RawValue>>(raw) {
            // A struct that is also read of a list takes its fields in their order.
            let values: Vec<&str> = members.values().map(|value| value.get()).collect();
            let reversed: Vec<&str> = values.iter().rev().copied().collect();
            texts.extend([values, reversed].map(|list| format!("[{}]", list.join(","))));
        }
        match serde_json::from_str::<String>(raw) {
            Ok(text) => {
                texts.push(format!("\"{}\"", escaped(&text)));
                texts.extend([
                    text.clone(),
                    format!("{raw} "),
                    format!("\" {text}\""),
                    format!("\"{text} \""),
                ]);
                texts.push(serde_json::to_string(&text.to_uppercase()).unwrap());
            }
            Err(_) if !self.is_whole => {
                texts.extend([".0", "e0", "E+0"].map(|end| format!("{raw}{end}")));
                texts.extend([
                    format!("\"{raw}\""),
                    format!("\"0{raw}\""),
                    format!("-{raw}"),
                    format!("\"+{raw}\""),
                ]);
                texts.push(format!("\"{}\"", escaped(raw)));
            }
            Err(_) => {}
        }
        let mut edits: Vec<_> = texts.into_iter().map(|text| (at.clone(), text)).collect();
        let Some(member) = self.member() else { return edits };
        let name = self.name().to_owned();
        let whole = &body[member.start - 1..member.end];
        let with = |other: String| [format!("{other},{whole}"), format!("{whole},{other}")];
        let mut others = Vec::new();
        for value in ["null", "0", "\"x\"", "{}", "[]", raw] {
            for name in [name.clone(), escaped(&name), name.to_uppercase(), name.to_lowercase()] {
                others.extend(with(format!("\"{name}\":{value}")));
            }
        }
        others.push(format!("\"{}\"{}", escaped(&name), &whole[name.len() + 2..]));
        others.push(format!("\"no-{name}\"{}", &whole[name.len() + 2..]));
        edits.extend(others.into_iter().map(|text| (member.start - 1..member.end, text)));
        edits
    }

    fn form_spellings(&self, body: &str) -> Vec<(Range<usize>, String)> {
        let Some(member) = self.member() else { return Vec::new() };
        let escaped = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let (name, value, whole) = (self.name(), &self.raw, &body[member.clone()]);
        let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
        let mut all = vec![
            format!("{name}={}", escaped(&decoded)),
            format!("{}={value}", escaped(name)),
            format!("{name}=%20{value}"),
            format!("{name}={value}+"),
            format!("{name}={value}%00"),
            format!("{name}={value};x=1"),
            format!("{name}[]={value}"),
            format!("no-{name}={value}"),
            format!("{name}="),
            name.to_owned(),
        ];
        for other in ["", "x", value] {
            for name in [
                name.to_owned(),
                escaped(name),
                name.to_uppercase(),
                format!("{name}[]"),
                format!("{name}%00"),
            ] {
                all.extend([format!("{name}={other}&{whole}"), format!("{whole}&{name}={other}")]);
            }
        }
        all.into_iter().map(|text| (member.clone(), text)).collect()
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

    /// The body with the value of this index written in other ways, which one reader may take for the same, another for
    /// something else, and a third not at all; and what is other about each.
    pub fn respelled(&self, index: usize) -> Vec<(String, Changed)> {
        let value = &self.values[index];
        let edits = match self.syntax {
            Syntax::Json => value.json_spellings(&self.text),
            Syntax::Form => value.form_spellings(&self.text),
            Syntax::Xml => Vec::new(),
        };
        let changed = |(at, new): (Range<usize>, String)| {
            let mut text = self.text.clone();
            let what = format!("{}: {:?} -> {new:?}", value.path, &text[at.clone()]);
            text.replace_range(at, &new);
            let (headers, query) = (self.headers.clone(), self.query.clone());
            (what, Changed { headers, query, text })
        };
        edits.into_iter().map(changed).collect()
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
