//! The scheme that is data: verifies and signs by the rules of a catalogue row or an endpoint's configuration.

mod changes;
mod entry;
mod json;
pub(crate) mod spec;
mod template;
mod variant;

use std::borrow::Cow;

use tollgate_core::{Authenticity, Timestamp, id::hex_sha256};

use self::{
    spec::{SchemeSpec, SpecError, TimestampSpec},
    template::{Case, Part, Template},
    variant::{Entries, Source, TimestampSource, Variant, check_custom_spec, check_spec},
};
use super::{
    interface::{MAX_CANDIDATES, MAX_SIGNATURE_TEXT, Proof, Request, Scheme, SchemeInfo, Steps},
    sign::{SignError, SignedWebhook, ToSign, Unsigned},
};
use crate::{
    key::{
        Algorithm,
        algorithm::Strength,
        decoded::{Key, Piece},
        ring::{KeyRing, NamedKey},
        secret::Secret,
    },
    refusal::Refusal,
    request::Received,
};

/// A scheme, compiled from its data and checked whole.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    spec: SchemeSpec,
    variants: Vec<Variant>,
    /// Verified where the body is signed, and by more than a plain hash that can be lengthened.
    authenticity: Authenticity,
}

/// What a webhook's signature says, read but not yet believed.
#[derive(Debug)]
struct Reading<'a> {
    variant: &'a Variant,
    candidates: Vec<Candidate>,
    timestamp: Option<Cow<'a, str>>,
}

#[derive(Debug)]
struct Candidate {
    key_id: Option<String>,
    bytes: Vec<u8>,
}

impl Declared {
    /// Compiles `spec`.
    ///
    /// # Errors
    ///
    /// Every setting that contradicts itself or another.
    pub(crate) fn new(spec: SchemeSpec) -> Result<Self, Vec<SpecError>> {
        let (variants, mistakes) = Self::variants(&spec);
        if mistakes.is_empty() { Ok(Self::of(spec, variants)) } else { Err(mistakes) }
    }

    fn of(spec: SchemeSpec, variants: Vec<Variant>) -> Self {
        let binds = |template: &Template| template.parts().any(|part| *part == Part::Body);
        let body_is_signed = variants.iter().all(|variant| {
            binds(&variant.signed) && variant.signed_without_timestamp.as_ref().is_none_or(binds)
        });
        let can_be_lengthened = variants.iter().any(Variant::can_be_lengthened);
        let is_verified = body_is_signed && !can_be_lengthened;
        let authenticity = if is_verified { Authenticity::Verified } else { Authenticity::Authenticated };
        Self { spec, variants, authenticity }
    }

    /// The same by a key that is not of one account alone.
    pub(crate) fn of_a_shared_key(self) -> Self {
        Self { authenticity: Authenticity::Authenticated, ..self }
    }

    /// Compiles a scheme that nobody has set yet. More is asked of it: that its content is of the webhook and can be split
    /// in one place only, that no signature of it is made without the key, that its time has a window and its keys a length.
    ///
    /// # Errors
    ///
    /// Every setting that cannot serve.
    pub(crate) fn custom(spec: SchemeSpec) -> Result<Self, Vec<SpecError>> {
        let (variants, mut mistakes) = Self::variants(&spec);
        mistakes.extend(check_custom_spec(&spec));
        let is_static = variants.iter().any(Variant::is_static);
        if is_static && variants.iter().any(|variant| variant.source.header().is_none()) {
            mistakes.push(SpecError::new(
                "signature",
                "nothing of the webhook is signed, so the signature is as good as the key, and bodies are archived as \
                 they are: a header is wanted",
            ));
        }
        mistakes.extend(variants.iter().flat_map(|variant| variant.check_custom(&spec)));
        once_each(&mut mistakes);
        if mistakes.is_empty() { Ok(Self::of(spec, variants)) } else { Err(mistakes) }
    }

    /// One for each family of header names, as far as they can be compiled, and what is wrong.
    fn variants(spec: &SchemeSpec) -> (Vec<Variant>, Vec<SpecError>) {
        let mut mistakes = check_spec(spec);
        let plain = [String::new()];
        let families = if spec.families.is_empty() { &plain[..] } else { &spec.families };
        let mut variants = Vec::with_capacity(families.len());
        for family in families {
            match Variant::new(spec, family) {
                Ok(variant) => variants.push(variant),
                Err(more) => mistakes.extend(more),
            }
        }
        mistakes.extend(variants.iter().flat_map(|variant| variant.check_content(spec)));
        once_each(&mut mistakes);
        (variants, mistakes)
    }

    /// Whether a signature is good for any other webhook too, because nothing of the webhook is signed: a static token, a
    /// hash of the key, a signature of the URL. Such a signature is as good as the key.
    fn is_static(&self) -> bool {
        self.variants.iter().any(Variant::is_static)
    }

    /// The headers that hold signatures as good as the key.
    fn secret_headers(&self) -> Vec<&str> {
        let sources = self.variants.iter().filter(|_| self.is_static()).map(|variant| &variant.source);
        sources.filter_map(Source::header).collect()
    }

    /// Every header whose value verifying reads. A header that is as good as the key is not among them.
    fn headers(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for variant in &self.variants {
            names.extend(variant.source.header().map(str::to_owned));
            if let Some(TimestampSource::Header(name)) = &variant.timestamp {
                names.push(name.clone());
            }
            names.extend(variant.key_id_header.clone());
            names.extend(variant.parts().filter_map(|part| match part {
                Part::Header(name) => Some(name.clone()),
                _ => None,
            }));
        }
        self.without_secrets(names)
    }

    /// Every header that must be there, whatever its value.
    fn required_headers(&self) -> Vec<String> {
        let names = self.variants.iter().flat_map(|variant| variant.require.iter().cloned());
        self.without_secrets(names.collect())
    }

    fn without_secrets(&self, mut names: Vec<String>) -> Vec<String> {
        let secret = self.secret_headers();
        names.retain(|name| !secret.iter().any(|secret| secret.eq_ignore_ascii_case(name)));
        names
    }

    /// Every field of the query that is signed.
    fn query(&self) -> Vec<String> {
        let parts = self.variants.iter().flat_map(Variant::parts);
        parts
            .filter_map(|part| match part {
                Part::Query(name) | Part::QueryAnyCase(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    /// The headers that every family signs, with a timestamp and without.
    fn signed_headers(&self) -> Vec<String> {
        let has = |template: &Template, name: &str| {
            template.parts().any(|part| matches!(part, Part::Header(header) if header == name))
        };
        let mut names = self.headers();
        names.retain(|name| {
            self.variants.iter().all(|Variant { signed, signed_without_timestamp, .. }| {
                has(signed, name)
                    && signed_without_timestamp.as_ref().is_none_or(|untimed| has(untimed, name))
            })
        });
        names
    }

    /// Where the signature is, in words; of a header family's first.
    fn location(&self) -> String {
        match self.variants.first().map(|variant| &variant.source) {
            Some(Source::Header(name)) => name.clone(),
            Some(source) => source.in_words(),
            None => String::new(),
        }
    }

    /// Which common change of the body, undone, makes the signature good.
    fn change_undone(
        &self,
        reading: &Reading<'_>,
        request: Request<'_>,
        keys: &KeyRing,
    ) -> Option<&'static str> {
        changes::undone(request.received.body, |body| {
            let request = Request { received: Received { body, ..request.received }, ..request };
            self.find_key(reading, request, keys).is_ok()
        })
    }

    /// Finds and decodes the candidate signatures and the timestamp's text.
    fn read<'a>(&'a self, received: Received<'a>) -> Result<Reading<'a>, Refusal> {
        let variant = self.choose(received).ok_or(Refusal::HeaderMissing)?;
        for name in &variant.require {
            received.one_header(name)?.ok_or_else(|| Refusal::Missing(name.clone()))?;
        }
        if self.spec.require_body && received.body.is_empty() {
            return Err(Refusal::Missing("body".to_owned()));
        }
        if self.spec.require_json && !json::is_object(received.body) {
            return Err(Refusal::Malformed("body (not the JSON object that this provider sends)"));
        }
        let text = variant.source.value(received)?.ok_or(Refusal::HeaderMissing)?;
        if text.len() > MAX_SIGNATURE_TEXT {
            return Err(Refusal::Malformed("signature (too long)"));
        }
        let key_id = match &variant.key_id_header {
            Some(name) => {
                Some(received.one_header(name)?.ok_or_else(|| Refusal::Missing(name.clone()))?.to_owned())
            }
            None => None,
        };
        let mut reading = Reading { variant, candidates: Vec::new(), timestamp: None };
        if let Some(TimestampSource::Header(name)) = &variant.timestamp {
            reading.timestamp =
                received.one_header(name).map_err(|_| Refusal::DuplicateTimestamp)?.map(Cow::Borrowed);
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
            Some(len) if !encoding.is_length(text.len(), len) => None,
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
    fn check_time(&self, reading: &Reading<'_>, request: Request<'_>) -> Result<Option<Timestamp>, Refusal> {
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
    fn content<'a>(
        &'a self,
        reading: &'a Reading<'a>,
        request: Request<'a>,
        case: Case,
    ) -> Result<Vec<Piece<'a>>, Refusal> {
        reading.variant.fill(request.received, reading.timestamp.as_deref(), request.url, case)
    }

    /// The key whose signature one of the candidates is, of the content in any case that the provider writes.
    fn find_key<'k>(
        &self,
        reading: &Reading<'_>,
        request: Request<'_>,
        keys: &'k KeyRing,
    ) -> Result<&'k NamedKey, Refusal> {
        let mut refusal = Refusal::Mismatch;
        for case in reading.variant.cases() {
            match self.find_key_of(reading, &self.content(reading, request, *case)?, keys) {
                Ok(key) => return Ok(key),
                Err(found) => refusal = found,
            }
        }
        Err(refusal)
    }

    /// The key whose signature of `pieces` one of the candidates is.
    fn find_key_of<'k>(
        &self,
        reading: &Reading<'_>,
        pieces: &[Piece<'_>],
        keys: &'k KeyRing,
    ) -> Result<&'k NamedKey, Refusal> {
        let mut known_id = false;
        for key in keys.iter() {
            let named = |candidate: &&Candidate| candidate.key_id.as_ref().is_none_or(|id| id == key.named());
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
            true if self.spec.algorithm == Algorithm::Token => Refusal::WrongToken,
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
}

impl Scheme for Declared {
    fn info(&self) -> SchemeInfo {
        let timestamp = self.spec.timestamp.as_ref();
        SchemeInfo {
            location: self.location(),
            algorithm: self.spec.algorithm.as_str(),
            signed: self.spec.signed.clone(),
            window: timestamp.and_then(|timestamp| timestamp.window),
            signs_time: timestamp.is_some(),
            signs_url: self
                .variants
                .iter()
                .any(|variant| variant.signed.parts().any(|part| *part == Part::Url)),
            names_keys: self.variants.iter().any(Variant::has_key_ids),
            authenticity: self.authenticity,
            headers: self.headers(),
            required_headers: self.required_headers(),
            secret_headers: self.secret_headers().into_iter().map(str::to_owned).collect(),
            query: self.query(),
            signed_headers: self.signed_headers(),
        }
    }

    fn verify<'k>(&self, request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
        let reading = self.read(request.received)?;
        let signed_at = self.check_time(&reading, request)?;
        let key = self.find_key(&reading, request, keys)?;
        Ok(Proof { authenticity: self.authenticity, key_id: &key.id, signed_at })
    }

    fn sign(&self, to_sign: ToSign<'_>, keys: &KeyRing, at: Timestamp) -> Result<SignedWebhook, SignError> {
        let (Some(variant), Some(key)) = (self.variants.first(), keys.iter().next()) else {
            return Err(SignError::NoPrivateKey);
        };
        let mut out = Unsigned::new(to_sign);
        let timestamp = self.spec.timestamp.as_ref().map(|spec| spec.unit.write(at));
        if let (Some(TimestampSource::Header(name)), Some(text)) = (&variant.timestamp, &timestamp) {
            out.set_header(name, text);
        }
        for name in variant.wanted_headers().chain(variant.binding_headers()) {
            // Any value will do, but one per webhook: some are event ids.
            let stand_in = hex_sha256(format!("{name}{at}{}", hex_sha256(to_sign.body)).as_bytes());
            out.default_header(name, stand_in.get(..32).unwrap_or(&stand_in));
        }
        if let Some(name) = &variant.key_id_header {
            out.set_header(name, key.named());
        }
        let signature = {
            let pieces = variant
                .fill(out.as_received(), timestamp.as_deref(), to_sign.url, Case::AsSent)
                .map_err(SignError::Content)?;
            match key.key.digest(self.spec.algorithm, &pieces) {
                _ if self.spec.algorithm == Algorithm::Token => key.key.token().map(<[u8]>::to_vec),
                Some(digest) => Some(digest.into_bytes()),
                None => key.key.sign(&joined(&pieces)),
            }
            .ok_or(SignError::NoPrivateKey)?
        };
        let signature = self.spec.encoding.encode(&signature);
        let text = variant.write(&self.spec, key.named(), timestamp.as_deref(), &signature);
        match &variant.source {
            Source::Header(name) => out.set_header(name, &text),
            Source::Form(name) => out.add_form_field(name, &text),
            Source::Json(name) => out.add_json_field(name, &text)?,
        }
        Ok(out.into_signed())
    }

    fn decode_key(&self, secret: &Secret, strength: Strength) -> Result<Key, &'static str> {
        Key::decode(secret.expose(), &self.spec.key, self.spec.algorithm, strength)
    }

    fn form(&self) -> String {
        let SchemeSpec { signature, timestamp, algorithm, encoding, require_body, require_json, .. } =
            &self.spec;
        let entries: Vec<String> = signature.entry.iter().map(|entry| format!("`{entry}`")).collect();
        let mut entries = entries.join(" or ");
        let mut values = format!("{{signature}} is {}", encoding.in_words(algorithm.signature_len()));
        match timestamp {
            Some(TimestampSpec { entry: Some(entry), unit, .. }) => {
                entries = format!("one `{entry}` and {entries}");
                values = format!("{{timestamp}} is {} and {values}", unit.in_words());
            }
            Some(TimestampSpec { first: true, unit, .. }) => {
                entries = format!("first the timestamp and then {entries}");
                values = format!("the timestamp is {} and {values}", unit.in_words());
            }
            _ => {}
        }
        if let Some(separator) = &signature.separator {
            entries = format!("{entries}, with `{separator}` between");
        }
        let places: Vec<String> = self.variants.iter().map(|variant| variant.source.in_words()).collect();
        let mut form = format!("{}: {entries}, where {values}", places.join(" or "));
        let Some(variant) = self.variants.first() else { return form };
        if let (Some(TimestampSource::Header(name)), Some(spec)) = (&variant.timestamp, timestamp) {
            let optional = if spec.optional { " (it may be absent)" } else { "" };
            form += &format!("; header {name}{optional}: {}", spec.unit.in_words());
        }
        for name in variant.key_id_header.iter().map(String::as_str).chain(variant.wanted_headers()) {
            form += &format!("; header {name}");
        }
        for part in variant.signed.required() {
            form += &match part {
                Part::Query(name) | Part::QueryAnyCase(name) => format!("; {name} in the query"),
                Part::Form(name) => format!("; form field {name}"),
                Part::Json(name) => format!("; field {name} of the JSON body"),
                _ => continue,
            };
        }
        match (require_json, require_body) {
            (true, _) => form + "; a body that is a JSON object",
            (false, true) => form + "; a body",
            _ => form,
        }
    }

    fn steps(&self, request: Request<'_>, keys: &KeyRing) -> Steps {
        const FORM: &str = "signature is there and well-formed";
        let mut steps = Steps {
            checks: Vec::new(),
            signature: None,
            content: None,
            mismatch: Cow::Borrowed(
                "another key signed it (another endpoint's, the test mode's, or one since rolled), or the body was \
                 changed in more than its white space",
            ),
        };
        let reading = match self.read(request.received) {
            Ok(reading) => reading,
            Err(refusal) => {
                steps.checks.push((FORM, Err(refusal)));
                return steps;
            }
        };
        steps.checks.push((FORM, Ok(format!("{} candidate(s)", reading.candidates.len()))));
        if let Some(text) = reading.timestamp.as_deref() {
            let outcome = self.check_time(&reading, request).map(|_| format!("{text} is within its window"));
            steps.checks.push(("timestamp", outcome));
        }
        let pieces = match self.content(&reading, request, Case::AsSent) {
            Ok(pieces) => pieces,
            Err(refusal) => {
                steps.checks.push(("signed content", Err(refusal)));
                return steps;
            }
        };
        steps.content = Some(shown(&pieces));
        let signature = self.find_key(&reading, request, keys).map(|key| key.id.clone());
        if signature == Err(Refusal::Mismatch)
            && let Some(how) = self.change_undone(&reading, request, keys)
        {
            steps.mismatch = Cow::Owned(format!("the key is right, but {how}"));
        }
        steps.signature = Some(signature);
        steps
    }

    fn named_key_ids(&self, received: Received<'_>) -> Vec<String> {
        let candidates = self.read(received).map(|reading| reading.candidates).unwrap_or_default();
        candidates.into_iter().filter_map(|candidate| candidate.key_id).collect()
    }
}

/// Families of header names make the same mistakes.
fn once_each(mistakes: &mut Vec<SpecError>) {
    let mut seen = Vec::new();
    mistakes.retain(|mistake| {
        !seen.contains(mistake) && {
            seen.push(mistake.clone());
            true
        }
    });
}

/// The content for a person to look at, without the secret.
fn shown(pieces: &[Piece<'_>]) -> Vec<u8> {
    let bytes = pieces.iter().map(|piece| match piece {
        Piece::Bytes(bytes) => bytes.as_ref(),
        Piece::Secret => b"{secret}",
    });
    bytes.collect::<Vec<_>>().concat()
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
