//! The engine: verifies and signs any scheme that can be said as data.

use std::borrow::Cow;

use tollgate_core::{Authenticity, Timestamp, id::hex_sha256};

use super::{
    MAX_CANDIDATES, MAX_SIGNATURE_TEXT, Proof, Refusal, Request, SignError, Signed, ToSign, Unsigned,
    entry::Pattern,
    json,
    key::{Key, Piece, Strength},
    spec::{SchemeSpec, SpecError, TimestampSpec},
    template::{Part, Template, Values, one_header},
    text::form_field,
};
use crate::{KeyRing, Received, Secret, secret::NamedKey};

/// A scheme, compiled from its data and checked whole.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    spec: SchemeSpec,
    variants: Vec<Variant>,
}

/// The scheme with one family of header names.
#[derive(Debug, Clone)]
struct Variant {
    source: Source,
    entries: Vec<Pattern>,
    key_id_header: Option<String>,
    require: Vec<String>,
    timestamp: Option<TimestampSource>,
    signed: Template,
    signed_without_timestamp: Option<Template>,
}

#[derive(Debug, Clone)]
enum Source {
    Header(String),
    Form(String),
    Json(String),
}

#[derive(Debug, Clone)]
enum TimestampSource {
    Header(String),
    Entry(Pattern),
    First,
}

/// What a webhook's signature says, read but not yet believed.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    variant: &'a Variant,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) timestamp: Option<Cow<'a, str>>,
}

#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) key_id: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

impl Declared {
    /// Compiles `spec`.
    ///
    /// # Errors
    ///
    /// The first setting that contradicts itself or another.
    pub(crate) fn new(spec: SchemeSpec) -> Result<Self, SpecError> {
        check_spec(&spec)?;
        let plain = [String::new()];
        let families = if spec.families.is_empty() { &plain[..] } else { &spec.families };
        let variants =
            families.iter().map(|family| Variant::new(&spec, family)).collect::<Result<Vec<_>, _>>()?;
        let scheme = Self { spec, variants };
        scheme.check_content()?;
        Ok(scheme)
    }

    pub(crate) fn spec(&self) -> &SchemeSpec {
        &self.spec
    }

    /// What a good signature proves: whether the body is part of the signed content.
    pub(crate) fn authenticity(&self) -> Authenticity {
        let binds = |template: &Template| template.parts().any(|part| *part == Part::Body);
        let all = self.variants.iter().all(|variant| {
            binds(&variant.signed) && variant.signed_without_timestamp.as_ref().is_none_or(binds)
        });
        if all { Authenticity::Verified } else { Authenticity::Authenticated }
    }

    pub(crate) fn uses_url(&self) -> bool {
        self.variants.iter().any(|variant| variant.signed.parts().any(|part| *part == Part::Url))
    }

    /// Every header that verifying reads.
    pub(crate) fn headers(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for variant in &self.variants {
            if let Source::Header(name) = &variant.source {
                names.push(name.clone());
            }
            if let Some(TimestampSource::Header(name)) = &variant.timestamp {
                names.push(name.clone());
            }
            names.extend(variant.key_id_header.clone());
            names.extend(variant.require.iter().cloned());
            names.extend(variant.signed.parts().filter_map(|part| match part {
                Part::Header(name) => Some(name.clone()),
                _ => None,
            }));
        }
        names
    }

    pub(crate) fn decode_key(&self, secret: &Secret, strength: Strength) -> Result<Key, &'static str> {
        Key::decode(secret.expose(), &self.spec.key, self.spec.algorithm, strength)
    }

    /// The whole check.
    pub(crate) fn verify<'k>(&self, request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
        let reading = self.read(request.received)?;
        let signed_at = self.check_time(&reading, request)?;
        let pieces = self.content(&reading, request)?;
        let key = self.find_key(&reading, &pieces, keys)?;
        Ok(Proof { authenticity: self.authenticity(), key_id: &key.id, signed_at })
    }

    /// Finds and decodes the candidate signatures and the timestamp's text.
    pub(crate) fn read<'a>(&'a self, received: Received<'a>) -> Result<Reading<'a>, Refusal> {
        let variant = self.choose(received).ok_or(Refusal::HeaderMissing)?;
        for name in &variant.require {
            one_header(received, name)?.ok_or_else(|| Refusal::Missing(name.clone()))?;
        }
        if self.spec.require_body && received.body.is_empty() {
            return Err(Refusal::Missing("body".to_owned()));
        }
        let text = variant.source.value(received)?.ok_or(Refusal::HeaderMissing)?;
        if text.len() > MAX_SIGNATURE_TEXT {
            return Err(Refusal::Malformed("signature (too long)"));
        }
        let key_id = match &variant.key_id_header {
            Some(name) => {
                Some(one_header(received, name)?.ok_or_else(|| Refusal::Missing(name.clone()))?.to_owned())
            }
            None => None,
        };
        let mut reading = Reading { variant, candidates: Vec::new(), timestamp: None };
        if let Some(TimestampSource::Header(name)) = &variant.timestamp {
            reading.timestamp =
                one_header(received, name).map_err(|_| Refusal::DuplicateTimestamp)?.map(Cow::Borrowed);
        }
        self.read_entries(&mut reading, &text, key_id.as_deref())?;
        let optional = self.spec.timestamp.as_ref().is_none_or(|timestamp| timestamp.optional);
        if reading.timestamp.is_none() && !optional {
            return Err(Refusal::Missing("timestamp".to_owned()));
        }
        if reading.candidates.is_empty() {
            return Err(Refusal::Malformed("signature"));
        }
        Ok(reading)
    }

    fn read_entries(
        &self,
        reading: &mut Reading<'_>,
        text: &str,
        key_id: Option<&str>,
    ) -> Result<(), Refusal> {
        let variant = reading.variant;
        let mut seen = 0;
        let mut entries = Entries { rest: Some(text), separator: self.spec.signature.separator.as_deref() };
        if let Some(TimestampSource::First) = variant.timestamp {
            reading.timestamp = entries.next().map(|first| Cow::Owned(first.to_owned()));
        }
        for entry in entries {
            if let Some(TimestampSource::Entry(pattern)) = &variant.timestamp
                && let Some(found) = pattern.read(entry)
            {
                if reading.timestamp.replace(Cow::Owned(found.value.to_owned())).is_some() {
                    return Err(Refusal::DuplicateTimestamp);
                }
                continue;
            }
            let Some(found) = variant.entries.iter().find_map(|pattern| pattern.read(entry)) else {
                continue;
            };
            seen += 1;
            if seen > MAX_CANDIDATES {
                return Err(Refusal::TooManyCandidates);
            }
            if let Some(bytes) = self.decode(found.value) {
                let key_id = found.key_id.or(key_id).map(str::to_owned);
                reading.candidates.push(Candidate { key_id, bytes });
            }
        }
        Ok(())
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        let encoding = self.spec.encoding;
        match self.spec.algorithm.signature_len() {
            Some(len) if text.len() != encoding.encoded_len(len) => None,
            Some(len) => encoding.decode(text).filter(|bytes| bytes.len() == len),
            None if text.is_empty() => None,
            None => encoding.decode(text),
        }
    }

    /// The family whose headers are all there, else the first whose signature is, else the first.
    fn choose(&self, received: Received<'_>) -> Option<&Variant> {
        if let [only] = self.variants.as_slice() {
            return Some(only);
        }
        let whole = self.variants.iter().find(|variant| variant.is_whole(received));
        let begun = || self.variants.iter().find(|variant| variant.source.is_present(received));
        whole.or_else(begun).or(self.variants.first())
    }

    /// The signed moment, within its window.
    pub(crate) fn check_time(
        &self,
        reading: &Reading<'_>,
        request: Request<'_>,
    ) -> Result<Option<Timestamp>, Refusal> {
        let (Some(spec), Some(text)) = (&self.spec.timestamp, reading.timestamp.as_deref()) else {
            return Ok(None);
        };
        let at = spec.unit.read(text).ok_or(Refusal::Malformed("timestamp"))?;
        if let Some(window) = request.window.or(spec.window) {
            spec.unit.check(at, request.now, window)?;
        }
        Ok(Some(at))
    }

    /// The signed content.
    pub(crate) fn content<'a>(
        &'a self,
        reading: &'a Reading<'a>,
        request: Request<'a>,
    ) -> Result<Vec<Piece<'a>>, Refusal> {
        reading.variant.fill(request.received, reading.timestamp.as_deref(), request.url)
    }

    /// The key whose signature one of the candidates is.
    pub(crate) fn find_key<'k>(
        &self,
        reading: &Reading<'_>,
        pieces: &[Piece<'_>],
        keys: &'k KeyRing,
    ) -> Result<&'k NamedKey, Refusal> {
        let mut known_id = false;
        for key in keys.iter() {
            let named = |candidate: &&Candidate| candidate.key_id.as_ref().is_none_or(|id| *id == key.id);
            let mut candidates = reading.candidates.iter().filter(named).peekable();
            if candidates.peek().is_none() {
                continue;
            }
            known_id = true;
            if self.any_matches(&key.key, pieces, candidates) {
                return Ok(key);
            }
        }
        Err(match known_id {
            false => Refusal::UnknownKeyId,
            true if self.spec.algorithm == super::Algorithm::Token => Refusal::WrongToken,
            true => Refusal::Mismatch,
        })
    }

    fn any_matches<'c>(
        &self,
        key: &Key,
        pieces: &[Piece<'_>],
        mut candidates: impl Iterator<Item = &'c Candidate>,
    ) -> bool {
        let algorithm = self.spec.algorithm;
        match key.digest(algorithm, pieces) {
            Some(expected) => {
                candidates.any(|candidate| Key::matches(algorithm, &expected, &candidate.bytes))
            }
            None => {
                let message = joined(pieces);
                candidates.any(|candidate| key.verifies(&message, &candidate.bytes))
            }
        }
    }

    /// Signs as the provider would, with the first key.
    pub(crate) fn sign(
        &self,
        to_sign: ToSign<'_>,
        keys: &KeyRing,
        at: Timestamp,
    ) -> Result<Signed, SignError> {
        let (Some(variant), Some(key)) = (self.variants.first(), keys.iter().next()) else {
            return Err(SignError::NoPrivateKey);
        };
        let mut out = Unsigned::new(to_sign);
        let timestamp = self.spec.timestamp.as_ref().map(|spec| spec.unit.write(at));
        if let (Some(TimestampSource::Header(name)), Some(text)) = (&variant.timestamp, &timestamp) {
            out.set_header(name, text);
        }
        for name in variant.wanted_headers() {
            // Any value will do, but one per webhook: some are event ids.
            let stand_in = hex_sha256(format!("{name}{at}{}", hex_sha256(to_sign.body)).as_bytes());
            out.default_header(name, stand_in.get(..32).unwrap_or(&stand_in));
        }
        if let Some(name) = &variant.key_id_header {
            out.set_header(name, &key.id);
        }
        let signature = {
            let pieces = variant
                .fill(out.as_received(), timestamp.as_deref(), to_sign.url)
                .map_err(SignError::Content)?;
            match key.key.digest(self.spec.algorithm, &pieces) {
                _ if self.spec.algorithm == super::Algorithm::Token => key.key.token().map(<[u8]>::to_vec),
                Some(digest) => Some(digest.as_bytes().to_vec()),
                None => key.key.sign(&joined(&pieces)),
            }
            .ok_or(SignError::NoPrivateKey)?
        };
        let signature = self.spec.encoding.encode(&signature);
        let text = variant.write(&self.spec, &key.id, timestamp.as_deref(), &signature);
        match &variant.source {
            Source::Header(name) => out.set_header(name, &text),
            Source::Form(name) => out.add_form_field(name, &text),
            Source::Json(name) => out.add_json_field(name, &text)?,
        }
        Ok(out.into_signed())
    }

    /// What contradicts itself between the parts of a scheme.
    fn check_content(&self) -> Result<(), SpecError> {
        let bounded = self
            .spec
            .timestamp
            .as_ref()
            .is_none_or(|timestamp| timestamp.window.is_some() && timestamp.unit != super::Unit::Either);
        for variant in &self.variants {
            if !bounded && variant.signed.runs_together() {
                return Err(SpecError::new(
                    "timestamp",
                    "its end cannot be told from what follows it, so a window and one unit are wanted",
                ));
            }
            for (at, template) in [
                ("signed", Some(&variant.signed)),
                ("signed_without_timestamp", variant.signed_without_timestamp.as_ref()),
            ] {
                let Some(template) = template else { continue };
                let has = |wanted: &Part| template.parts().any(|part| part == wanted);
                if has(&Part::Secret) != self.spec.algorithm.takes_secret_in_content() {
                    return Err(SpecError::new(
                        at,
                        "{secret} belongs in it exactly when the algorithm is sha256, sha512 or token",
                    ));
                }
                let token = self.spec.algorithm == super::Algorithm::Token;
                if token && template.parts().any(|part| *part != Part::Secret) {
                    return Err(SpecError::new(at, "a token signs nothing: it must be {secret} alone"));
                }
                let timed = self.spec.timestamp.is_some() && at == "signed";
                if timed != template.required().any(|part| *part == Part::Timestamp) {
                    return Err(SpecError::new(
                        at,
                        "{timestamp} belongs in it exactly when there is a timestamp: an unsigned one proves \
                         nothing",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Variant {
    fn new(spec: &SchemeSpec, family: &str) -> Result<Self, SpecError> {
        let named = |name: &String| match name.strip_prefix('*') {
            Some(rest) => format!("{family}{rest}"),
            None => name.clone(),
        };
        let template = |text: &str, at: &str| {
            Template::parse(text, family).map_err(|error| SpecError::new(at, error.to_string()))
        };
        let signature = &spec.signature;
        let source = match (&signature.header, &signature.form, &signature.json) {
            (Some(name), None, None) => Source::Header(named(name)),
            (None, Some(name), None) => Source::Form(name.clone()),
            (None, None, Some(name)) => Source::Json(name.clone()),
            _ => return Err(SpecError::new("signature", "exactly one of header, form and json is wanted")),
        };
        let entries = signature
            .entry
            .iter()
            .map(|text| Pattern::parse(text, "signature"))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|problem| SpecError::new("signature.entry", problem))?;
        if entries.is_empty() {
            return Err(SpecError::new("signature.entry", "at least one is wanted"));
        }
        if signature.key_id_header.is_some() && entries.iter().any(Pattern::has_key_id) {
            return Err(SpecError::new("signature.key_id_header", "the entry names the key already"));
        }
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
            timestamp: spec.timestamp.as_ref().map(|spec| timestamp_source(spec, named)).transpose()?,
            signed: template(&spec.signed, "signed")?,
            signed_without_timestamp: spec
                .signed_without_timestamp
                .as_deref()
                .map(|text| template(text, "signed_without_timestamp"))
                .transpose()?,
        })
    }

    fn wanted_headers(&self) -> impl Iterator<Item = &str> {
        let signed = self.signed.required().filter_map(|part| match part {
            Part::Header(name) => Some(name.as_str()),
            _ => None,
        });
        self.require.iter().map(String::as_str).chain(signed)
    }

    fn is_whole(&self, received: Received<'_>) -> bool {
        let present = |name: &str| received.headers.get(name).is_some();
        let timestamp = match &self.timestamp {
            Some(TimestampSource::Header(name)) => present(name) || self.signed_without_timestamp.is_some(),
            _ => true,
        };
        self.source.is_present(received) && timestamp && self.wanted_headers().all(present)
    }

    fn fill<'a>(
        &'a self,
        received: Received<'a>,
        timestamp: Option<&'a str>,
        url: Option<&'a str>,
    ) -> Result<Vec<Piece<'a>>, Refusal> {
        let template = match (&self.signed_without_timestamp, timestamp) {
            (Some(template), None) => template,
            _ => &self.signed,
        };
        template.fill(Values { received, timestamp, url })
    }

    fn write(&self, spec: &SchemeSpec, key_id: &str, timestamp: Option<&str>, signature: &str) -> String {
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
}

impl Source {
    fn value<'a>(&self, received: Received<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
        let found = match self {
            Self::Header(name) => one_header(received, name)?.map(Cow::Borrowed),
            Self::Form(name) => form_field(received.body, name)?.map(Cow::Owned),
            Self::Json(name) => json::text_field(received.body, name)?.map(Cow::Owned),
        };
        Ok(found.filter(|text| !text.is_empty()))
    }

    fn is_present(&self, received: Received<'_>) -> bool {
        match self {
            Self::Header(name) => received.headers.get(name).is_some(),
            Self::Form(_) | Self::Json(_) => true,
        }
    }
}

/// The entries of a list, or its whole text where nothing separates entries.
struct Entries<'a, 's> {
    rest: Option<&'a str>,
    separator: Option<&'s str>,
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
fn check_spec(spec: &SchemeSpec) -> Result<(), SpecError> {
    let fail = |at: &str, problem: &str| Err(SpecError::new(at, problem));
    if spec.signature.separator.as_deref() == Some("") {
        return fail("signature.separator", "it is empty");
    }
    let listed = spec.signature.separator.is_some();
    if let Some(timestamp) = &spec.timestamp {
        if (timestamp.entry.is_some() || timestamp.first) && !listed {
            return fail(
                "signature.separator",
                "the timestamp is in the same list, so a separator is wanted",
            );
        }
        if timestamp.window.is_some_and(|window| !(1..=86_400).contains(&window)) {
            return fail("timestamp.window", "1 to 86,400 seconds are wanted");
        }
        if timestamp.optional && timestamp.header.is_none() {
            return fail("timestamp.optional", "only a timestamp with a header of its own can be absent");
        }
    }
    let optional = spec.timestamp.as_ref().is_some_and(|timestamp| timestamp.optional);
    if optional != spec.signed_without_timestamp.is_some() {
        return fail("signed_without_timestamp", "it is wanted exactly when timestamp.optional is true");
    }
    if spec.encoding == super::Encoding::Text && spec.algorithm != super::Algorithm::Token {
        return fail("encoding", "text is for tokens only");
    }
    let star = |name: &&String| name.starts_with('*');
    let headers = spec.signature.header.iter().chain(&spec.signature.key_id_header).chain(&spec.require);
    if spec.families.is_empty() && headers.clone().any(|name| star(&name)) {
        return fail("families", "a header's name begins with '*', so at least one family is wanted");
    }
    if spec.require_in_family.keys().any(|family| !spec.families.contains(family)) {
        return fail("require_in_family", "it names a family that is not in families");
    }
    let headers = headers.chain(spec.require_in_family.values().flatten());
    let plain = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !headers.clone().all(plain) {
        return fail(
            "signature.header",
            "a header's name is one or more visible ASCII characters without ':'",
        );
    }
    Ok(())
}

/// The pieces as one text, for algorithms that take no pieces. A body alone is not copied.
fn joined<'a>(pieces: &'a [Piece<'_>]) -> Cow<'a, [u8]> {
    match pieces {
        [Piece::Bytes(only)] => Cow::Borrowed(only),
        _ => Cow::Owned(
            pieces
                .iter()
                .flat_map(|piece| match piece {
                    Piece::Bytes(bytes) => bytes.as_ref(),
                    Piece::Secret => &[],
                })
                .copied()
                .collect(),
        ),
    }
}
