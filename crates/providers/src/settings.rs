//! Settings as somebody wrote them. All that is wrong with them is found, and not only what is read first.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::scheme::SpecError;

/// What must be there, and what stands in its place while the rest is read: the path of a setting and its value.
type StandIns = &'static [(&'static str, StandIn)];

#[derive(Debug, Clone, Copy)]
pub(crate) enum StandIn {
    Text(&'static str),
    Table,
}

/// What an endpoint must have.
pub(crate) const ENDPOINT: StandIns = &[
    ("id", StandIn::Text("unnamed")),
    ("scheme", StandIn::Text("unnamed")),
    ("secret", StandIn::Text("ssm:unnamed")),
];

/// What a custom scheme must have.
pub(crate) const SCHEME: StandIns = &[
    ("signature", StandIn::Table),
    ("timestamp.unit", StandIn::Text("seconds")),
    ("signed", StandIn::Text("{body}")),
    ("algorithm", StandIn::Text("hmac-sha256")),
    ("encoding", StandIn::Text("hex")),
];

/// What was read.
pub(crate) struct Reading<T> {
    /// With a stand-in for each setting that must be there and is not, or cannot be read; without the others that cannot be
    /// read. `None` where even that is nothing.
    pub(crate) value: Option<T>,
    /// What is wrong.
    pub(crate) mistakes: Vec<SpecError>,
}

impl<T: DeserializeOwned> Reading<T> {
    /// Reads `settings`, without one after the other of those that cannot be read.
    pub(crate) fn of(mut settings: Value, stand_ins: StandIns) -> Self {
        let mut mistakes = Vec::new();
        for (path, stand_in) in stand_ins {
            let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
            let table = if table.is_empty() { Some(&mut settings) } else { settings.get_mut(table) };
            // Where it is no table, reading it says so.
            let Some(fields) = table.and_then(Value::as_object_mut) else { continue };
            if !fields.contains_key(name) {
                mistakes.push(SpecError::new(*path, "it is missing"));
                fields.insert(name.to_owned(), stand_in.value());
            }
        }
        let mut replaced: Vec<String> = Vec::new();
        loop {
            let problem = match serde_path_to_error::deserialize(&settings) {
                Ok(value) => return Self { value: Some(value), mistakes },
                Err(problem) => problem,
            };
            let path = problem.path().to_string();
            let at = if path == "." { "" } else { &path };
            mistakes.push(SpecError::new(at, problem.inner().to_string()));
            let stand_in = stand_ins.iter().find(|(known, _)| *known == path).map(|(_, it)| it.value());
            let is_new = !replaced.contains(&path);
            if !is_new || !replace(&mut settings, problem.path(), stand_in) {
                return Self { value: None, mistakes };
            }
            replaced.push(path);
        }
    }
}

impl StandIn {
    fn value(self) -> Value {
        match self {
            Self::Text(text) => Value::from(text),
            Self::Table => Value::Object(serde_json::Map::new()),
        }
    }
}

/// Puts `with` in the place of what is at `path`, or nothing; whether there was something.
fn replace(settings: &mut Value, path: &Path, with: Option<Value>) -> bool {
    let mut segments: Vec<&Segment> = path.iter().collect();
    let Some(last) = segments.pop() else { return false };
    let table = segments.into_iter().try_fold(settings, |value, segment| match segment {
        Segment::Map { key } => value.get_mut(key),
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    match (table, last) {
        (Some(Value::Object(fields)), Segment::Map { key }) => match with {
            Some(value) => fields.insert(key.clone(), value).is_some(),
            None => fields.remove(key).is_some(),
        },
        (Some(Value::Array(values)), Segment::Seq { index }) if *index < values.len() => {
            values.remove(*index);
            true
        }
        _ => false,
    }
}
