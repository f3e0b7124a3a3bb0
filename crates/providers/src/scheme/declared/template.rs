//! The signed content, written as its provider's documentation writes it.
//!
//! `{timestamp}.{body}`: text outside braces stands for itself; names in braces are replaced. A part in square
//! brackets is left out when a value in it is absent: `[id:{query:data.id};]`.

use std::{borrow::Cow, fmt};

use super::json;
use crate::{key::decoded::Piece, refusal::Refusal, request::Received, text::form_field};

/// The signed content, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    optional: bool,
    parts: Vec<Part>,
}

/// One part of the signed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Body,
    Timestamp,
    Url,
    Secret,
    Header(String),
    Query(String),
    /// A value of the query that the provider signs as it sends it or in lower case.
    QueryAnyCase(String),
    Form(String),
    Json(String),
}

/// How the values are written whose case the provider may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    AsSent,
    Lower,
}

/// Where the values come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) received: Received<'a>,
    pub(crate) timestamp: Option<&'a str>,
    pub(crate) url: Option<&'a str>,
    pub(crate) case: Case,
}

/// A template that cannot be read, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TemplateError {
    pub(crate) at: usize,
    pub(crate) problem: &'static str,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.problem)
    }
}

impl Template {
    /// Reads the text form. `*` at the beginning of a header's name stands for `family`.
    pub(crate) fn parse(text: &str, family: &str) -> Result<Self, TemplateError> {
        let mut segments: Vec<Segment> = Vec::new();
        let mut current = Segment { optional: false, parts: Vec::new() };
        let mut rest = text;
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            let fail = |problem| Err(TemplateError { at, problem });
            if let Some(inside) = rest.strip_prefix('{') {
                let Some((name, after)) = inside.split_once('}') else {
                    return fail("'{' is not closed");
                };
                current
                    .parts
                    .push(Part::parse(name, family).map_err(|problem| TemplateError { at, problem })?);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('[') {
                if current.optional {
                    return fail("'[' within '['");
                }
                segments.push(std::mem::replace(&mut current, Segment { optional: true, parts: Vec::new() }));
                rest = after;
            } else if let Some(after) = rest.strip_prefix(']') {
                if !current.optional {
                    return fail("']' without '['");
                }
                segments
                    .push(std::mem::replace(&mut current, Segment { optional: false, parts: Vec::new() }));
                rest = after;
            } else if rest.starts_with('}') {
                return fail("'}' without '{'");
            } else {
                let end = rest.find(['{', '}', '[', ']']).unwrap_or(rest.len());
                let (literal, after) = rest.split_at(end);
                current.parts.push(Part::Literal(literal.to_owned()));
                rest = after;
            }
        }
        if current.optional {
            return Err(TemplateError { at: text.len(), problem: "'[' is not closed" });
        }
        segments.push(current);
        segments.retain(|segment| !segment.parts.is_empty());
        if segments.is_empty() {
            return Err(TemplateError { at: 0, problem: "it is empty" });
        }
        Ok(Self { segments })
    }

    /// Every part, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.segments.iter().flat_map(|segment| &segment.parts)
    }

    /// Whether there is a value that the provider signs in one case or another.
    pub(crate) fn has_cases(&self) -> bool {
        self.parts().any(|part| matches!(part, Part::QueryAnyCase(_)))
    }

    /// Whether what it has of a webhook may all be left out.
    pub(crate) fn may_be_unbound(&self) -> bool {
        self.has_any_of_the_webhook() && !self.required().any(Part::is_of_the_webhook)
    }

    /// Whether a plain hash of it could be made longer: after the last secret comes something that its sender chose. Who
    /// has such a hash goes on hashing from there, without the secret (length extension of SHA-2).
    pub(crate) fn can_be_lengthened(&self) -> bool {
        let after_secret = self.parts().skip_while(|part| **part != Part::Secret);
        let last = after_secret.filter(|part| **part == Part::Secret || part.is_variable()).last();
        last.is_some_and(|part| *part != Part::Secret)
    }

    /// Whether it has anything of a webhook. A signature of nothing of it is good for every other one.
    pub(crate) fn has_any_of_the_webhook(&self) -> bool {
        self.parts().any(Part::is_of_the_webhook)
    }

    /// Every part that must be there.
    pub(crate) fn required(&self) -> impl Iterator<Item = &Part> {
        self.segments.iter().filter(|segment| !segment.optional).flat_map(|segment| &segment.parts)
    }

    /// The part that the content begins with, where that is always the same.
    pub(crate) fn first(&self) -> Option<&Part> {
        self.segments.first().filter(|segment| !segment.optional).and_then(|segment| segment.parts.first())
    }

    /// Text that always follows the timestamp that the content begins with.
    pub(crate) fn after_leading_timestamp(&self) -> Option<&str> {
        match self.segments.first().filter(|segment| !segment.optional)?.parts.as_slice() {
            [Part::Timestamp, Part::Literal(text), ..] => Some(text),
            _ => None,
        }
    }

    /// Why the same content could be made of other values: a sender who has one signature could move bytes from one
    /// value into its neighbour. Not of rules that a provider has set already, which are as they are.
    /// `fixed_timestamp`: its length is known.
    pub(crate) fn ambiguity(&self, fixed_timestamp: bool) -> Option<&'static str> {
        let (mut after_body, mut heads) = (false, Vec::new());
        for (index, segment) in self.segments.iter().enumerate() {
            let is_last = index + 1 == self.segments.len();
            if segment.optional {
                match segment.parts.first() {
                    Some(Part::Literal(text)) if !heads.contains(&text) => heads.push(text),
                    _ => return Some("each part in '[' and ']' must begin with a text of its own"),
                }
            }
            for (index, part) in segment.parts.iter().enumerate() {
                let next = segment.parts.get(index + 1);
                match part {
                    Part::Header(_)
                    | Part::Query(_)
                    | Part::QueryAnyCase(_)
                    | Part::Form(_)
                    | Part::Json(_) => {
                        let ends = match next {
                            Some(Part::Literal(_)) => true,
                            Some(Part::Timestamp) => fixed_timestamp,
                            Some(_) => false,
                            None => is_last,
                        };
                        if after_body || !ends {
                            return Some(
                                "where one of the sender's values ends must be told: text between, and {body} last",
                            );
                        }
                    }
                    Part::Body if after_body => return Some("{body} comes twice"),
                    Part::Body => after_body = true,
                    Part::Timestamp if after_body && !fixed_timestamp => {
                        return Some("a timestamp after {body} wants a window and one unit");
                    }
                    Part::Timestamp | Part::Literal(_) | Part::Url | Part::Secret => {}
                }
            }
        }
        None
    }

    /// Whether a timestamp is followed by a value with no text between, so that digits could pass from one to the
    /// other.
    pub(crate) fn runs_together(&self) -> bool {
        let parts: Vec<_> = self.parts().collect();
        parts.windows(2).any(|pair| match pair {
            [Part::Timestamp, next] => !matches!(next, Part::Literal(_)),
            _ => false,
        })
    }

    /// The signed content of one webhook, in pieces, so that the body is not copied.
    ///
    /// Where nothing of the webhook is left in it, a signature of it would be good for any other webhook too: it is
    /// refused. Not so a template that never has anything of a webhook, as that of a static token.
    pub(crate) fn fill<'a>(&'a self, values: Values<'a>) -> Result<Vec<Piece<'a>>, Refusal> {
        let mut pieces = Vec::with_capacity(8);
        let (mut first_absent, mut is_bound) = (None, false);
        for segment in &self.segments {
            let (begin, was_bound) = (pieces.len(), is_bound);
            for (index, part) in segment.parts.iter().enumerate() {
                let value = part.value(values)?.filter(|piece| !segment.optional || !piece.is_empty());
                match value {
                    Some(piece) => {
                        part.check_separator(&piece, segment.parts.get(index + 1))?;
                        is_bound |= part.is_of_the_webhook();
                        pieces.push(piece);
                    }
                    None if segment.optional => {
                        pieces.truncate(begin);
                        is_bound = was_bound;
                        first_absent = first_absent.or(Some(part));
                        break;
                    }
                    None => return Err(part.missing()),
                }
            }
        }
        match first_absent {
            Some(part) if !is_bound => Err(part.missing()),
            _ => Ok(pieces),
        }
    }
}

impl Part {
    fn parse(name: &str, family: &str) -> Result<Self, &'static str> {
        let (kind, argument) = match name.split_once(':') {
            Some((kind, argument)) => (kind, Some(argument)),
            None => (name, None),
        };
        match (kind, argument) {
            ("body", None) => Ok(Self::Body),
            ("timestamp", None) => Ok(Self::Timestamp),
            ("url", None) => Ok(Self::Url),
            ("secret", None) => Ok(Self::Secret),
            (_, Some("")) => Err("a name is wanted after ':'"),
            ("header", Some(name)) => match name.strip_prefix('*') {
                Some(name) => Ok(Self::Header(format!("{family}{name}"))),
                None => Ok(Self::Header(name.to_owned())),
            },
            ("query", Some(name)) => Ok(Self::Query(name.to_owned())),
            ("query_any_case", Some(name)) => Ok(Self::QueryAnyCase(name.to_owned())),
            ("form", Some(name)) => Ok(Self::Form(name.to_owned())),
            ("json", Some(name)) => Ok(Self::Json(name.to_owned())),
            _ => Err("unknown name: one of body, timestamp, url, secret, header:NAME, query:NAME, \
                      query_any_case:NAME, form:NAME, json:NAME is wanted"),
        }
    }

    fn value<'a>(&'a self, values: Values<'a>) -> Result<Option<Piece<'a>>, Refusal> {
        let text = |text: Option<&'a str>| text.map(|text| Piece::Bytes(Cow::Borrowed(text.as_bytes())));
        let owned = |text: String| Piece::Bytes(Cow::Owned(text.into_bytes()));
        let field = |form: &'a [u8], name: &str| {
            let found = form_field(form, name)?;
            Ok(found.map(|text| match text {
                Cow::Borrowed(text) => Piece::Bytes(Cow::Borrowed(text.as_bytes())),
                Cow::Owned(text) => owned(text),
            }))
        };
        Ok(match self {
            Self::Literal(literal) => text(Some(literal)),
            Self::Body => Some(Piece::Bytes(Cow::Borrowed(values.received.body))),
            Self::Timestamp => text(values.timestamp),
            Self::Url => text(values.url),
            Self::Secret => Some(Piece::Secret),
            Self::Header(name) => text(values.received.one_header(name)?),
            Self::Query(name) => field(values.received.query.as_bytes(), name)?,
            Self::QueryAnyCase(name) => {
                let sent = field(values.received.query.as_bytes(), name)?;
                match values.case {
                    Case::AsSent => sent,
                    Case::Lower => sent.map(Piece::into_lower_case),
                }
            }
            Self::Form(name) => field(values.received.body, name)?,
            Self::Json(name) => json::text_field(values.received.body, name)?.map(owned),
        })
    }

    /// A value that its sender chose.
    fn is_the_senders(&self) -> bool {
        matches!(
            self,
            Self::Header(_) | Self::Query(_) | Self::QueryAnyCase(_) | Self::Form(_) | Self::Json(_)
        )
    }

    /// Whether it differs from webhook to webhook, so that a signature of it is good for one only.
    pub(super) fn is_of_the_webhook(&self) -> bool {
        *self == Self::Body || self.is_the_senders()
    }

    /// Whether it differs from one delivery to the next.
    fn is_variable(&self) -> bool {
        *self == Self::Timestamp || self.is_of_the_webhook()
    }

    /// A value that holds the text that ends it could be split from its neighbour in another place.
    fn check_separator(&self, piece: &Piece<'_>, next: Option<&Self>) -> Result<(), Refusal> {
        if !self.is_the_senders() {
            return Ok(());
        }
        let (Piece::Bytes(value), Some(Self::Literal(literal))) = (piece, next) else { return Ok(()) };
        let literal = literal.as_bytes();
        if value.windows(literal.len()).any(|window| window == literal) {
            return Err(Refusal::Malformed("signed value (it holds the separator)"));
        }
        Ok(())
    }

    fn missing(&self) -> Refusal {
        Refusal::Missing(match self {
            Self::Header(name)
            | Self::Query(name)
            | Self::QueryAnyCase(name)
            | Self::Form(name)
            | Self::Json(name) => name.clone(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Url => "notification_url".to_owned(),
            Self::Literal(_) | Self::Body | Self::Secret => "value".to_owned(),
        })
    }
}
