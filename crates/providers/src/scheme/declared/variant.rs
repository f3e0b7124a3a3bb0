//! A scheme's data compiled, once for each family of header names.

use std::borrow::Cow;

use super::{
    entry::Pattern,
    json,
    spec::{SchemeSpec, SpecError, TimestampSpec},
    template::{Case, Part, Template, Values},
};
use crate::{
    key::{Algorithm, decoded::Piece},
    refusal::Refusal,
    request::Received,
    text::{Encoding, Unit, form_field},
};

/// The scheme with one family of header names.
#[derive(Debug, Clone)]
pub(super) struct Variant {
    pub(super) source: Source,
    pub(super) entries: Vec<Pattern>,
    pub(super) key_id_header: Option<String>,
    pub(super) require: Vec<String>,
    pub(super) timestamp: Option<TimestampSource>,
    pub(super) signed: Template,
    pub(super) signed_without_timestamp: Option<Template>,
    /// A body that begins with a timestamp and this text, sent without its timestamp, would be a timestamped one's
    /// content.
    timed_start: Option<(Unit, String)>,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Header(String),
    Form(String),
    Json(String),
}

#[derive(Debug, Clone)]
pub(super) enum TimestampSource {
    Header(String),
    Entry(Pattern),
    First,
}

impl Variant {
    /// Compiles `spec` with the names of `family`.
    ///
    /// # Errors
    ///
    /// Every setting that cannot be read.
    pub(super) fn new(spec: &SchemeSpec, family: &str) -> Result<Self, Vec<SpecError>> {
        let named = |name: &String| match name.strip_prefix('*') {
            Some(rest) => format!("{family}{rest}"),
            None => name.clone(),
        };
        let template = |text: &str, at: &str| {
            Template::parse(text, family).map_err(|error| SpecError::new(at, error.to_string()))
        };
        let signature = &spec.signature;
        let mut mistakes = Vec::new();
        let source = match (&signature.header, &signature.form, &signature.json) {
            (Some(name), None, None) => Ok(Source::Header(named(name))),
            (None, Some(name), None) => Ok(Source::Form(name.clone())),
            (None, None, Some(name)) => Ok(Source::Json(name.clone())),
            _ => Err(SpecError::new("signature", "exactly one of header, form and json is wanted")),
        };
        let source = or_noted(source, &mut mistakes);
        let is_authorization =
            matches!(&source, Some(Source::Header(name)) if name.eq_ignore_ascii_case("Authorization"));
        let mut entries = Vec::new();
        for text in signature.entry.iter() {
            let pattern = Pattern::parse(text, "signature")
                .map_err(|problem| SpecError::new("signature.entry", problem));
            let pattern = or_noted(pattern, &mut mistakes);
            entries.extend(pattern.map(|it| if is_authorization { it.in_authorization() } else { it }));
        }
        if signature.entry.iter().next().is_none() {
            mistakes.push(SpecError::new("signature.entry", "at least one is wanted"));
        }
        if signature.key_id_header.is_some() && entries.iter().any(Pattern::has_key_id) {
            mistakes.push(SpecError::new("signature.key_id_header", "the entry names the key already"));
        }
        let signed = or_noted(template(&spec.signed, "signed"), &mut mistakes);
        let untimed = spec.signed_without_timestamp.as_deref();
        let untimed = untimed.map(|text| template(text, "signed_without_timestamp"));
        let signed_without_timestamp = untimed.and_then(|untimed| or_noted(untimed, &mut mistakes));
        let timestamp = spec.timestamp.as_ref().map(|spec| timestamp_source(spec, named));
        let timestamp = timestamp.and_then(|timestamp| or_noted(timestamp, &mut mistakes));
        let (Some(source), Some(signed), []) = (source, signed, mistakes.as_slice()) else {
            return Err(mistakes);
        };
        let starts_with_body =
            signed_without_timestamp.as_ref().is_some_and(|it| it.first() == Some(&Part::Body));
        let timed_start = spec
            .timestamp
            .as_ref()
            .filter(|_| starts_with_body)
            .and_then(|timestamp| Some((timestamp.unit, signed.after_leading_timestamp()?.to_owned())));
        Ok(Self {
            source,
            entries,
            key_id_header: signature.key_id_header.as_ref().map(named),
            require: spec
                .require
                .iter()
                .chain(spec.require_in_family.get(family).into_iter().flatten())
                .map(named)
                .collect(),
            timestamp,
            signed,
            signed_without_timestamp,
            timed_start,
        })
    }

    pub(super) fn has_key_ids(&self) -> bool {
        self.key_id_header.is_some() || self.entries.iter().any(Pattern::has_key_id)
    }

    pub(super) fn wanted_headers(&self) -> impl Iterator<Item = &str> {
        let signed = self.signed.required().filter_map(|part| match part {
            Part::Header(name) => Some(name.as_str()),
            _ => None,
        });
        self.require.iter().map(String::as_str).chain(signed)
    }

    /// Headers that a content of ours needs, although the provider's may be without each of them.
    pub(super) fn binding_headers(&self) -> impl Iterator<Item = &str> {
        let parts = self.signed.may_be_unbound().then(|| self.signed.parts());
        parts.into_iter().flatten().filter_map(|part| match part {
            Part::Header(name) => Some(name.as_str()),
            _ => None,
        })
    }

    pub(super) fn is_whole(&self, received: Received<'_>) -> bool {
        let present = |name: &str| received.has_header(name);
        let timestamp = match &self.timestamp {
            Some(TimestampSource::Header(name)) => present(name) || self.signed_without_timestamp.is_some(),
            _ => true,
        };
        self.source.is_present(received) && timestamp && self.wanted_headers().all(present)
    }

    pub(super) fn fill<'a>(
        &'a self,
        received: Received<'a>,
        timestamp: Option<&'a str>,
        url: Option<&'a str>,
        case: Case,
    ) -> Result<Vec<Piece<'a>>, Refusal> {
        let template = match (&self.signed_without_timestamp, timestamp) {
            (Some(_), None) if self.begins_timed(received.body) => {
                return Err(Refusal::Malformed(
                    "body (it begins as a timestamped one, whose timestamp is missing)",
                ));
            }
            (Some(template), None) => template,
            _ => &self.signed,
        };
        template.fill(Values { received, timestamp, url, case })
    }

    fn begins_timed(&self, body: &[u8]) -> bool {
        let Some((unit, end)) = &self.timed_start else { return false };
        let end = end.as_bytes();
        (1..=MAX_TIMESTAMP).any(|at| {
            let (Some(text), Some(rest)) = (body.get(..at), body.get(at..)) else { return false };
            rest.starts_with(end) && std::str::from_utf8(text).is_ok_and(|text| unit.read(text).is_some())
        })
    }

    /// Whether a content with a timestamp could be one without.
    fn forms_coincide(&self) -> bool {
        let Some(untimed) = &self.signed_without_timestamp else { return false };
        match (self.signed.first(), untimed.first()) {
            (Some(Part::Literal(a)), Some(Part::Literal(b))) => a.starts_with(b) || b.starts_with(a),
            // Every timestamp begins with a digit.
            (Some(Part::Timestamp), Some(Part::Literal(text))) => {
                text.starts_with(|c: char| c.is_ascii_digit())
            }
            _ => self.timed_start.is_none(),
        }
    }

    /// Whether its signature is a plain hash that can be made longer without the key.
    pub(super) fn can_be_lengthened(&self) -> bool {
        self.templates().any(|(_, template)| template.can_be_lengthened())
    }

    /// How the signed content may be written.
    pub(super) fn cases(&self) -> &'static [Case] {
        let has_cases = self.templates().any(|(_, template)| template.has_cases());
        if has_cases { &[Case::AsSent, Case::Lower] } else { &[Case::AsSent] }
    }

    /// What a provider may do and a new scheme must not.
    pub(super) fn check_custom(&self, spec: &SchemeSpec) -> Vec<SpecError> {
        let mut mistakes = Vec::new();
        for (at, template) in self.templates() {
            let mut note = |problem: &str| mistakes.push(SpecError::new(at, problem));
            if template.can_be_lengthened() {
                note(
                    "who has one such hash can make another one without the key (length extension): use hmac-sha256 or \
                     hmac-sha512, or write {secret} last if the sender does so",
                );
            }
            if spec.algorithm != Algorithm::Token && !template.has_any_of_the_webhook() {
                note(
                    "it holds nothing of the webhook, so that one signature is good for all: write {body} in it, or use \
                     the algorithm token for a text that is always the same",
                );
            }
            if let Some(problem) = template.ambiguity(is_bounded(spec)) {
                note(problem);
            }
        }
        mistakes
    }

    /// Every part of what is signed, with a timestamp and without.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.templates().flat_map(|(_, template)| template.parts())
    }

    /// Whether nothing of the webhook is signed, with a timestamp or without.
    pub(super) fn is_static(&self) -> bool {
        self.templates().any(|(_, template)| !template.has_any_of_the_webhook())
    }

    fn templates(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let untimed =
            self.signed_without_timestamp.as_ref().map(|template| ("signed_without_timestamp", template));
        std::iter::once(("signed", &self.signed)).chain(untimed)
    }

    pub(super) fn write(
        &self,
        spec: &SchemeSpec,
        key_id: &str,
        timestamp: Option<&str>,
        signature: &str,
    ) -> String {
        let separator = spec.signature.separator.as_deref().unwrap_or_default();
        let time = match (&self.timestamp, timestamp) {
            (Some(TimestampSource::Entry(pattern)), Some(text)) => Some(pattern.write("", text)),
            (Some(TimestampSource::First), Some(text)) => Some(text.to_owned()),
            _ => None,
        };
        let entry = self.entries.first().map(|pattern| pattern.write(key_id, signature));
        let entries: Vec<String> = time.into_iter().chain(entry).collect();
        entries.join(separator)
    }

    /// What contradicts itself between the parts of a scheme.
    pub(super) fn check_content(&self, spec: &SchemeSpec) -> Vec<SpecError> {
        let mut mistakes = Vec::new();
        let mut note = |at: &str, problem: &str| mistakes.push(SpecError::new(at, problem));
        if !is_bounded(spec) && self.signed.runs_together() {
            note(
                "timestamp",
                "its end cannot be told from what follows it, so a window and one unit are wanted",
            );
        }
        if self.forms_coincide() {
            note(
                "signed_without_timestamp",
                "a content with a timestamp could be one without: begin them with texts of their own, or write \
                 {timestamp}, a text and {body}, and {body} alone",
            );
        }
        for (at, template) in self.templates() {
            for part in template.parts() {
                if let Part::Header(name) = part
                    && let Some(problem) = header_problem(name)
                {
                    note(at, &problem);
                }
            }
            let has = |wanted: &Part| template.parts().any(|part| part == wanted);
            if has(&Part::Secret) != spec.algorithm.takes_secret_in_content() {
                note(at, "{secret} belongs in it exactly when the algorithm is sha256, sha512 or token");
            }
            let token = spec.algorithm == Algorithm::Token;
            if token && template.parts().any(|part| *part != Part::Secret) {
                note(at, "a token signs nothing: it must be {secret} alone");
            }
            let timed = spec.timestamp.is_some() && at == "signed";
            if timed != template.required().any(|part| *part == Part::Timestamp) {
                note(
                    at,
                    "{timestamp} belongs in it exactly when there is a timestamp: an unsigned one proves nothing",
                );
            }
        }
        mistakes
    }
}

impl Source {
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Header(name) => format!("header {name}"),
            Self::Form(name) => format!("form field {name}"),
            Self::Json(name) => format!("field {name} of the JSON body"),
        }
    }

    /// The header's name, where it is one.
    pub(super) fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Form(_) | Self::Json(_) => None,
        }
    }

    pub(super) fn value<'a>(&self, received: Received<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
        let found = match self {
            Self::Header(name) => received.one_header(name)?.map(Cow::Borrowed),
            Self::Form(name) => form_field(received.body, name)?,
            Self::Json(name) => json::text_field(received.body, name)?.map(Cow::Owned),
        };
        Ok(found.filter(|text| !text.is_empty()))
    }

    pub(super) fn is_present(&self, received: Received<'_>) -> bool {
        match self {
            Self::Header(name) => received.has_header(name),
            Self::Form(_) | Self::Json(_) => true,
        }
    }
}

/// The entries of a list, or its whole text where nothing separates entries.
pub(super) struct Entries<'a, 's> {
    pub(super) rest: Option<&'a str>,
    pub(super) separator: Option<&'s str>,
}

impl<'a> Iterator for Entries<'a, '_> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.take()?;
        match self.separator.and_then(|separator| rest.split_once(separator)) {
            Some((entry, rest)) => {
                self.rest = Some(rest);
                Some(entry)
            }
            None => Some(rest),
        }
    }
}

/// The fewest bytes that a custom scheme's keys may have: what a scheme has that says nothing of it.
const MIN_KEY_BYTES: usize = 8;

/// What a provider may leave open and a new scheme must not.
pub(super) fn check_custom_spec(spec: &SchemeSpec) -> Vec<SpecError> {
    let mut mistakes = Vec::new();
    if spec.timestamp.as_ref().is_some_and(|timestamp| timestamp.window.is_none()) {
        mistakes.push(SpecError::new(
            "timestamp.window",
            "a window in seconds is wanted: without one a webhook that was seen once could be sent again at any time",
        ));
    }
    for (at, bytes) in [("key.min_bytes", Some(spec.key.min_bytes)), ("key.bytes", spec.key.bytes)] {
        if bytes.is_some_and(|bytes| bytes < MIN_KEY_BYTES) {
            mistakes.push(SpecError::new(at, "at least 8 are wanted: shorter keys can be guessed"));
        }
    }
    mistakes
}

/// The longest timestamp that any unit reads, in bytes.
const MAX_TIMESTAMP: usize = 35;

/// Whether every timestamp that passes is of one length: one unit, within a window.
fn is_bounded(spec: &SchemeSpec) -> bool {
    let timestamp = spec.timestamp.as_ref();
    timestamp.is_none_or(|timestamp| timestamp.window.is_some() && timestamp.unit != Unit::Either)
}

/// What keeps `name` from being a header's: RFC 9110's token.
fn header_problem(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let is_name = !name.is_empty() && name.bytes().all(plain);
    (!is_name).then(|| format!("{name:?} is not a header's name: letters, digits and !#$%&'*+-.^_`|~"))
}

/// The value, or nothing and one mistake more.
fn or_noted<T>(read: Result<T, SpecError>, mistakes: &mut Vec<SpecError>) -> Option<T> {
    read.map_err(|mistake| mistakes.push(mistake)).ok()
}

fn timestamp_source(
    spec: &TimestampSpec,
    named: impl Fn(&String) -> String,
) -> Result<TimestampSource, SpecError> {
    match (&spec.header, &spec.entry, spec.first) {
        (Some(name), None, false) => Ok(TimestampSource::Header(named(name))),
        (None, Some(entry), false) => {
            let pattern = Pattern::parse(entry, "timestamp");
            let pattern = pattern.map_err(|problem| SpecError::new("timestamp.entry", problem))?;
            Ok(TimestampSource::Entry(pattern))
        }
        (None, None, true) => Ok(TimestampSource::First),
        _ => Err(SpecError::new("timestamp", "exactly one of header, entry and first is wanted")),
    }
}

/// What can be said against a scheme before it is compiled.
pub(super) fn check_spec(spec: &SchemeSpec) -> Vec<SpecError> {
    let mut mistakes = Vec::new();
    let mut note = |at: &str, problem: &str| mistakes.push(SpecError::new(at, problem));
    if spec.signature.separator.as_deref() == Some("") {
        note("signature.separator", "it is empty");
    }
    let listed = spec.signature.separator.is_some();
    if let Some(timestamp) = &spec.timestamp {
        if (timestamp.entry.is_some() || timestamp.first) && !listed {
            note("signature.separator", "the timestamp is in the same list, so a separator is wanted");
        }
        if timestamp.window.is_some_and(|window| !(1..=86_400).contains(&window)) {
            note("timestamp.window", "1 to 86,400 seconds are wanted");
        }
        if timestamp.optional && timestamp.header.is_none() {
            note("timestamp.optional", "only a timestamp with a header of its own can be absent");
        }
    }
    let optional = spec.timestamp.as_ref().is_some_and(|timestamp| timestamp.optional);
    if optional != spec.signed_without_timestamp.is_some() {
        note("signed_without_timestamp", "it is wanted exactly when timestamp.optional is true");
    }
    if spec.encoding == Encoding::Text && spec.algorithm != Algorithm::Token {
        note("encoding", "text is for tokens only");
    }
    let timestamp = spec.timestamp.iter().filter_map(|timestamp| timestamp.header.as_ref());
    let headers = (spec.signature.header.iter().map(|name| ("signature.header", name)))
        .chain(spec.signature.key_id_header.iter().map(|name| ("signature.key_id_header", name)))
        .chain(timestamp.map(|name| ("timestamp.header", name)))
        .chain(spec.require.iter().map(|name| ("require", name)))
        .chain(spec.require_in_family.values().flatten().map(|name| ("require_in_family", name)));
    for (at, name) in headers {
        let names = match name.strip_prefix('*') {
            Some(_) if spec.families.is_empty() => {
                note("families", "a header's name begins with '*', so at least one family is wanted");
                continue;
            }
            Some(rest) => spec.families.iter().map(|family| format!("{family}{rest}")).collect(),
            None => vec![name.clone()],
        };
        for problem in names.iter().filter_map(|name| header_problem(name)) {
            note(at, &problem);
        }
    }
    if spec.require_in_family.keys().any(|family| !spec.families.contains(family)) {
        note("require_in_family", "it names a family that is not in families");
    }
    mistakes
}
