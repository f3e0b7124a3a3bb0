//! Reading what a provider answers.

use std::collections::BTreeMap;

use jiff::{civil::DateTime, tz::TimeZone};
use serde_json::{Value, value::RawValue};
use tollgate_core::Timestamp;

use crate::{
    error::ApiError,
    spec::{List, NextPage, Pointers},
};

/// An event, as the provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// What the provider calls it.
    pub kind: String,
    /// When it happened, by the provider's clock.
    pub at: Timestamp,
    /// How many webhooks of it were not answered with success yet, where the provider says so.
    pub undelivered: Option<u64>,
    /// Its JSON, as it came.
    pub json: String,
}

/// A page of a list.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    pub(crate) next: Option<Next>,
}

/// What the next request has beside the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// A field of the query, or a member of the body.
    Field(String, String),
    /// Another path and query.
    Path(String),
}

const NOT_A_LIST: ApiError = ApiError::NotAsDocumented("it has no list of events");

impl Page {
    /// `read` is how many events the pages before had.
    pub(crate) fn read(list: &List, body: &[u8], read: u64) -> Result<Self, ApiError> {
        let raw: &RawValue =
            serde_json::from_slice(body).map_err(|_| ApiError::NotAsDocumented("it is no JSON"))?;
        let raw_items = match member(raw, &list.items) {
            Some(items) => serde_json::from_str::<Vec<&RawValue>>(items.get()).map_err(|_| NOT_A_LIST)?,
            None if list.may_lack_items => Vec::new(),
            None => return Err(NOT_A_LIST),
        };
        let items =
            raw_items.into_iter().map(|item| Item::read(list, item)).collect::<Result<Vec<_>, _>>()?;
        let answer: Answer<'_> = Answer(raw);
        let next = next(&list.next, &answer, &items, read)?;
        Ok(Self { items, next })
    }
}

/// What is read of an answer beside its events, which may be long.
struct Answer<'a>(&'a RawValue);

impl Answer<'_> {
    fn at(&self, pointer: &str) -> Option<Value> {
        serde_json::from_str(member(self.0, pointer)?.get()).ok()
    }
}

fn next(how: &NextPage, answer: &Answer<'_>, items: &[Item], read: u64) -> Result<Option<Next>, ApiError> {
    let missing = |what| ApiError::NotAsDocumented(what);
    Ok(match how {
        NextPage::LastId { parameter, more } => {
            let more = answer.at(more).and_then(|more| more.as_bool());
            match (more.ok_or(missing("it does not say whether there is more"))?, items.last()) {
                (true, Some(last)) => Some(Next::Field(parameter.clone(), last.id.clone())),
                (true, None) => return Err(missing("it has nothing and says that there is more")),
                (false, _) => None,
            }
        }
        NextPage::Token { at, parameter } => match answer.at(at) {
            None | Some(Value::Null) => None,
            Some(Value::String(token)) if token.is_empty() => None,
            Some(Value::String(token)) => Some(Next::Field(parameter.clone(), token)),
            Some(_) => return Err(missing("its cursor is no text")),
        },
        NextPage::Link { at } => {
            let links = answer.at(at).unwrap_or(Value::Null);
            let is_next = |link: &&Value| link.get("rel").and_then(Value::as_str) == Some("next");
            let link = links.as_array().and_then(|links| links.iter().find(is_next));
            match link.map(|link| link.get("href").and_then(Value::as_str)) {
                Some(Some(href)) => Some(Next::Path(path_of(href).ok_or(missing("its link is no URL"))?)),
                Some(None) => return Err(missing("its link has no address")),
                None => None,
            }
        }
        NextPage::Offset { parameter, total } => {
            let total = answer.at(total).and_then(|total| total.as_u64());
            let total = total.ok_or(missing("it does not say how many there are"))?;
            let read = read.saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
            let is_more = read < total && !items.is_empty();
            is_more.then(|| Next::Field(parameter.clone(), read.to_string()))
        }
    })
}

/// Path and query of a URL: what the provider says of the host is not followed.
fn path_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').and_then(|at| rest.get(at..)).map(str::to_owned)
}

impl Item {
    pub(crate) fn read(list: &List, raw: &RawValue) -> Result<Self, ApiError> {
        let value: Value =
            serde_json::from_str(raw.get()).map_err(|_| ApiError::NotAsDocumented("an event is no JSON"))?;
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let id = text(&list.id).filter(|id| !id.is_empty());
        let id = id.ok_or(ApiError::NotAsDocumented("an event has no id"))?.to_owned();
        let kind = match &list.kind {
            Pointers::One(one) => text(one).unwrap_or_default().to_owned(),
            Pointers::Several(several) => {
                let parts: Vec<&str> = several.iter().filter_map(|one| text(one)).collect();
                parts.join(".")
            }
        };
        let at = value.pointer(&list.time).and_then(moment);
        let at = at.ok_or(ApiError::NotAsDocumented("an event has no time"))?;
        let undelivered = list.undelivered.as_ref();
        let undelivered = undelivered.and_then(|pointer| value.pointer(pointer)?.as_u64());
        Ok(Self { id, kind, at, undelivered, json: raw.get().to_owned() })
    }

    /// The body of a webhook that tells this event.
    pub fn body(&self, list: &List) -> Vec<u8> {
        match &list.wrapped_in {
            Some(member) => format!("{{{}:[{}]}}", Value::from(member.as_str()), self.json).into_bytes(),
            None => self.json.clone().into_bytes(),
        }
    }
}

/// Seconds, or a text; without an offset it is of UTC.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => Timestamp::from_second(number.as_i64()?).ok(),
        Value::String(text) => text
            .parse()
            .ok()
            .or_else(|| Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())),
        _ => None,
    }
}

/// A member of an object, as it was written.
pub(crate) fn member<'a>(raw: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    let mut here = raw;
    for name in pointer.split('/').skip(1) {
        let object: BTreeMap<String, &'a RawValue> = serde_json::from_str(here.get()).ok()?;
        here = object.get(name)?;
    }
    Some(here)
}
