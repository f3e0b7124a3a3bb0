//! The engine: verifies and signs any scheme that can be said as data.

use std::borrow::Cow;

use tollgate_core::{Authenticity, Timestamp, id::hex_sha256};

use super::{
    Algorithm, MAX_CANDIDATES, MAX_SIGNATURE_TEXT, Proof, Refusal, Request, SignError, Signed, ToSign,
    Unsigned,
    key::{Key, Piece, Strength},
    spec::{SchemeSpec, SpecError},
    template::{Part, Template, one_header},
    variant::{Entries, Source, TimestampSource, Variant, check_spec},
};
use crate::{KeyRing, Received, Secret, secret::NamedKey};

/// A scheme, compiled from its data and checked whole.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    spec: SchemeSpec,
    variants: Vec<Variant>,
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
        for variant in &variants {
            variant.check_content(&spec)?;
        }
        Ok(Self { spec, variants })
    }

    /// What is asked of a scheme that nobody has set yet: that its content can be split in one place only.
    pub(crate) fn check_custom(&self) -> Result<(), SpecError> {
        self.variants.iter().try_for_each(|variant| variant.check_custom(&self.spec))
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

    pub(crate) fn has_key_ids(&self) -> bool {
        self.variants.iter().any(Variant::has_key_ids)
    }

    pub(crate) fn uses_url(&self) -> bool {
        self.variants.iter().any(|variant| variant.signed.parts().any(|part| *part == Part::Url))
    }

    /// Every header that verifying reads and that may be kept. A static token, or a hash of nothing but the key, is as
    /// good as the key, and is not.
    pub(crate) fn headers(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for variant in &self.variants {
            let is_of_the_key_alone = |part: &Part| matches!(part, Part::Secret | Part::Literal(_));
            let is_static =
                self.spec.algorithm == Algorithm::Token || variant.signed.parts().all(is_of_the_key_alone);
            if let Source::Header(name) = &variant.source
                && !is_static
            {
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
            out.set_header(name, key.named());
        }
        let signature = {
            let pieces = variant
                .fill(out.as_received(), timestamp.as_deref(), to_sign.url)
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
