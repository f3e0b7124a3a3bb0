//! Endpoints, built once from their configuration.

use std::borrow::Cow;

use tollgate_core::{
    Authenticity, Delivery, EndpointConfig, EndpointId, Facts, KeepRejected, OnDuplicate, ProviderId,
    Timestamp,
    endpoint::{MAX_KEPT, MAX_QUIET_HOURS},
    id::hex_sha256,
    sensitive::{CardInId, CardsInIds, Rules, cleanse, mask, names_verification_data},
};

use crate::{
    catalogue::{self, Provider},
    headers::Headers,
    key::{
        algorithm::Strength,
        ring::{KeyError, KeyMaterial, KeyRing},
    },
    material::{Material, MaterialRequest},
    normalise::{self, ContentError, NamedObject, Normaliser, Thin},
    refusal::Refusal,
    request::Received,
    revision::Revision,
    scheme::{
        declared::Declared,
        declared::spec::{SchemeSpec, SpecError},
        explain::{Explanation, explain},
        interface::{HandshakeReply, Proof, Request, Scheme, SchemeInfo},
        sign::{SignError, SignedWebhook, ToSign},
    },
    settings::{self, Reading},
    text::kept_fields,
    trusted::{Trusted, Verified},
};

/// The name of the scheme whose senders follow our own schema.
const GENERIC: &str = "generic";

/// The provider's name of a custom scheme that gives none.
const CUSTOM: &str = "custom";

/// In a key's place, in the receipt of what nobody signed.
const RETRIEVED_BY: &str = "provider-api";

/// The most that `tolerance_seconds` may be: a week. PayPal tries again for three days, and the ledger knows an event for 30,
/// so that a copy within the window is a known duplicate.
const MAX_TOLERANCE_SECONDS: u32 = 604_800;

/// Why an endpoint's configuration cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {endpoint}: {field}: {problem}")]
pub struct ConfigError {
    /// Which endpoint.
    pub endpoint: String,
    /// Which setting.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// One endpoint, ready to serve.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    provider: ProviderId,
    scheme: Box<dyn Scheme>,
    info: SchemeInfo,
    normaliser: Option<Normaliser>,
    /// How what its webhooks only name is read, where it is to be fetched.
    thin: Option<Thin>,
    /// The normaliser reads headers or a query that this scheme does not sign.
    reads_unsigned: bool,
    /// The headers whose values are kept.
    kept: Vec<String>,
    cards_in_ids: CardsInIds,
    revision: Revision,
}

/// Why an event is unrecognized that has a card number for an id.
const CARD_IN_ID: &str = "an id holds a card number";

/// What a required header's value is replaced by: only that the header was there is kept.
const PRESENT: &str = "-";

impl Endpoint {
    /// Checks the configuration whole.
    ///
    /// # Errors
    ///
    /// The first setting that cannot serve; [`check`](Self::check) tells every one.
    pub fn new(config: EndpointConfig) -> Result<Self, ConfigError> {
        let endpoint = config.id.to_string();
        Self::check(config).map_err(|mistakes| {
            let first = mistakes.into_iter().next();
            let SpecError { at: field, problem } =
                first.unwrap_or_else(|| SpecError::new("scheme", "it cannot serve"));
            ConfigError { endpoint, field, problem }
        })
    }

    /// Checks the configuration whole.
    ///
    /// # Errors
    ///
    /// Every setting that cannot serve, as far as one can be judged beside the others: nothing is said of a key's window
    /// where the scheme is not known.
    pub fn check(config: EndpointConfig) -> Result<Self, Vec<SpecError>> {
        let found = match config.scheme.as_str() {
            Some(name) => of_catalogue(name, &config),
            None => custom(&config),
        };
        Self::with(found, config)
    }

    /// Reads the settings as somebody wrote them, and checks them whole.
    ///
    /// # Errors
    ///
    /// Every setting that cannot be read or cannot serve. What is written as the secret is not repeated: people paste keys.
    pub fn read(settings: serde_json::Value) -> Result<Self, Vec<SpecError>> {
        let Reading { value, mut mistakes } = Reading::<EndpointConfig>::of(settings, settings::ENDPOINT);
        for mistake in mistakes.iter_mut().filter(|mistake| mistake.at == "secret") {
            "a text is wanted, which says where the key is".clone_into(&mut mistake.problem);
        }
        let Some(config) = value else { return Err(mistakes) };
        let is_known = |at: &str| mistakes.iter().any(|mistake| mistake.at == at);
        let checked =
            if is_known("scheme") { Self::with(Err(Vec::new()), config) } else { Self::check(config) };
        match checked {
            Ok(endpoint) if mistakes.is_empty() => Ok(endpoint),
            Ok(_) => Err(mistakes),
            Err(mut more) => {
                more.retain(|mistake| !is_known(&mistake.at));
                mistakes.append(&mut more);
                Err(mistakes)
            }
        }
    }

    fn with(found: Result<Found, Vec<SpecError>>, config: EndpointConfig) -> Result<Self, Vec<SpecError>> {
        let mut mistakes = Vec::new();
        let found = found.map_err(|more| mistakes.extend(more)).ok();
        let normaliser = match config.normaliser.as_deref() {
            Some(name) => Normaliser::named(name).or_else(|| {
                let problem = format!(
                    "no normaliser is called {name:?}: it is a provider's name (`tollgate providers`)"
                );
                mistakes.push(SpecError::new("normaliser", problem));
                None
            }),
            None => found.as_ref().and_then(|found| found.normaliser),
        };
        let info = found.as_ref().map(|found| found.scheme.info());
        mistakes.extend(check_settings(&config, info.as_ref()));
        let own = found.as_ref().map(|found| found.normaliser);
        // Another scheme's sender could name any object of the account.
        let thin = normaliser.filter(|it| own == Some(Some(*it))).and_then(|it| Thin::of(it.name()));
        if config.enrich && own.is_some() && thin.is_none() {
            let problem = "nothing of this provider's is fetched: its webhooks say what they have to say";
            mistakes.push(SpecError::new("enrich", problem));
        }
        let (Some(found), Some(info), []) = (found, info, mistakes.as_slice()) else { return Err(mistakes) };
        let Found { provider, scheme, normaliser: own, mut cards_in_ids } = found;
        // A provider's own normaliser knows what its scheme signs. Another scheme signs what it says.
        let reads_unsigned = normaliser != own && normaliser.is_some_and(|it| !is_signed(it, &info));
        let mut kept = info.headers.clone();
        let read = normaliser.iter().flat_map(|it| it.headers()).map(|name| (*name).to_owned());
        kept.extend(read.filter(|name| !is_among(&info.secret_headers, name)));
        if config.ids_hold_no_cards {
            cards_in_ids = CardsInIds::Never;
        }
        let revision = Revision::of(&config);
        let thin = thin.filter(|_| config.enrich);
        Ok(Self {
            config,
            provider,
            scheme,
            info,
            normaliser,
            thin,
            reads_unsigned,
            kept,
            cards_in_ids,
            revision,
        })
    }

    /// Settings that serve, and hardly as they are meant: which, and what comes of it.
    pub fn warnings(&self) -> Vec<SpecError> {
        let Self { config, info, normaliser, .. } = self;
        let mut warnings = Vec::new();
        let mut warn = |at: &str, what: &str| warnings.push(SpecError::new(at, what));
        if normaliser.is_none() {
            warn(
                "normaliser",
                "nothing reads its bodies, so each webhook becomes payment.unrecognized; normaliser = \"generic\" is for \
                 senders of our own schema, another provider's name for senders of its bodies",
            );
        }
        if self.reads_unsigned {
            warn(
                "normaliser",
                "it reads headers or a query that this scheme does not sign, so events are authenticated at most, and \
                 named after their bodies",
            );
        }
        if !config.parameters.is_empty() && normaliser.is_none_or(|it| !it.reads_settings()) {
            let read_by_the_scheme = catalogue_parameters(config);
            for name in config.parameters.keys().filter(|name| !read_by_the_scheme.contains(&name.as_str())) {
                warn(&format!("parameters.{name}"), "nothing reads it here");
            }
        }
        if config.notification_url.is_some() && !info.signs_url {
            warn("notification_url", "this scheme does not sign it, so it is not used");
        }
        let is_of_a_provider = config.scheme.is_string() && !self.is_generic();
        if is_of_a_provider && config.on_duplicate == Some(OnDuplicate::Conflict) {
            warn(
                "on_duplicate",
                "providers repeat what is not answered 2xx, and each repeat is answered 409",
            );
        }
        warnings
    }

    /// Its name.
    pub fn id(&self) -> &EndpointId {
        &self.config.id
    }

    /// Whose rules apply.
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// How its bodies are read. Facts of another revision are not to be compared with its own.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Which intake queue.
    pub fn delivery(&self) -> Delivery {
        self.config.delivery
    }

    /// How repeats are answered.
    pub fn on_duplicate(&self) -> OnDuplicate {
        let usual = if self.is_generic() { OnDuplicate::Conflict } else { OnDuplicate::Acknowledge };
        self.config.on_duplicate.unwrap_or(usual)
    }

    /// Whether content that does not follow our schema is answered with 400: the generic scheme only.
    pub fn is_generic(&self) -> bool {
        self.provider.as_str() == GENERIC && self.config.scheme.is_string()
    }

    /// What a good signature of this scheme proves.
    pub fn authenticity(&self) -> Authenticity {
        self.info.authenticity
    }

    /// Decodes the active keys for this scheme, without weak and ill-formed ones. A previous key of that kind is left out
    /// ([`KeyRing::left_out`]).
    ///
    /// # Errors
    ///
    /// The first current key that cannot be used, or the absence of any.
    pub fn keys(&self, keys: Vec<KeyMaterial>) -> Result<KeyRing, KeyError> {
        self.keys_of(&keys, Strength::Serving)
    }

    pub(crate) fn keys_of(&self, keys: &[KeyMaterial], strength: Strength) -> Result<KeyRing, KeyError> {
        KeyRing::prepare(keys, self.info.names_keys, |secret| self.scheme.decode_key(secret, strength))
    }

    /// What must be fetched before [`verify`](Self::verify) can decide, if anything; asked after everything that
    /// can be checked without it: a webhook that is too old, malformed or of another body causes no fetch, and a
    /// key that is in the ring already is not asked for.
    ///
    /// # Errors
    ///
    /// A webhook that is refused already.
    pub fn material_for(
        &self,
        received: Received<'_>,
        keys: &KeyRing,
        now: Timestamp,
    ) -> Result<Option<MaterialRequest>, Refusal> {
        self.scheme.fetch(self.request(received, None, now), keys)
    }

    /// Whether the webhook is genuine.
    ///
    /// # Errors
    ///
    /// Why it is not, as far as it can be known. For the operator; the caller is told nothing.
    pub fn verify<'a>(
        &self,
        received: Received<'a>,
        keys: &'a KeyRing,
        material: Option<&Material>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let proof = self.scheme.verify(self.request(received, material, now), keys)?;
        if self.config.require_signed_time && proof.signed_at.is_none() {
            return Err(Refusal::Missing("signed timestamp".to_owned()));
        }
        Ok(Verified::new(received, proof, self.scheme.transmission_id(received)))
    }

    /// What the provider's API told an operator, for an event that nobody sent. The caller vouches for that, so clippy refuses
    /// this call everywhere but where the validator is told so by somebody who may. `None` where the scheme does not bind
    /// bodies: the endpoint's other events are merely `authenticated`, and claim apart.
    pub fn retrieved<'a>(&self, received: Received<'a>) -> Option<Verified<'a>> {
        let proof = Proof { authenticity: Authenticity::Retrieved, key_id: RETRIEVED_BY, signed_at: None };
        (self.info.authenticity == Authenticity::Verified).then(|| Verified::new(received, proof, None))
    }

    /// The same verdict, check by check, with the signed content and the likely cause. It shows the body: for the
    /// operator's tool, not for logs.
    pub fn explain(
        &self,
        received: Received<'_>,
        keys: &KeyRing,
        material: Option<&Material>,
        now: Timestamp,
    ) -> Explanation {
        let mut explanation = explain(self.scheme.as_ref(), self.request(received, material, now), keys);
        if explanation.code.is_none()
            && let Err(refusal) = self.verify(received, keys, material, now)
        {
            explanation.refuse("the endpoint's settings", refusal);
        }
        explanation
    }

    /// Signs a webhook as the provider would at `at`, with the first key. `to_sign.url` is taken from the
    /// configuration. Where the provider wraps its content, the body given is the content.
    ///
    /// # Errors
    ///
    /// A public key where a private one is needed (PayPal can never be signed for), or a body without what the
    /// scheme signs.
    pub fn sign(
        &self,
        to_sign: ToSign<'_>,
        keys: &KeyRing,
        at: Timestamp,
    ) -> Result<SignedWebhook, SignError> {
        let url = self.config.notification_url.as_deref().or(to_sign.url);
        self.scheme.sign(ToSign { url, ..to_sign }, keys, at)
    }

    /// The answer to a request by which the provider asks whether the endpoint is there; `None` for any other request
    /// and where the provider asks nothing.
    ///
    /// # Errors
    ///
    /// A challenge that is malformed.
    pub fn handshake(
        &self,
        method: &str,
        query: &str,
        keys: &KeyRing,
    ) -> Result<Option<HandshakeReply>, Refusal> {
        self.scheme.challenge(method, query, keys)
    }

    /// The body of a delivery whose content is `content`, for providers that wrap it; others' as it is. Not signed: for
    /// inspection.
    pub fn wrap(&self, content: Vec<u8>) -> Vec<u8> {
        self.scheme.wrap(content)
    }

    /// What verifying again or normalising needs of the headers, and nothing else: those whose values are signed or read.
    /// Of a header that must only be there, the value is `-`. A header that is as good as the key is left out, so that
    /// such a webhook cannot be verified again.
    pub fn kept_headers(&self, headers: &Headers) -> Headers {
        let kept = headers.iter().filter_map(|(name, value)| {
            if is_among(&self.kept, name) {
                return Some((name, value));
            }
            let is_there = !value.is_empty() && is_among(&self.info.required_headers, name);
            is_there.then_some((name, PRESENT))
        });
        kept.collect()
    }

    /// What verifying again or normalising needs of the query: the fields that are signed or read, as they were sent.
    pub fn kept_query(&self, query: &str) -> String {
        let read = |name: &str| self.normaliser.is_some_and(|normaliser| normaliser.query().contains(&name));
        let is_kept = |name: &str| self.info.query.iter().any(|signed| signed == name) || read(name);
        kept_fields(query, is_kept)
    }

    /// What the webhook says: at least one event.
    ///
    /// # Errors
    ///
    /// Content that cannot be understood.
    pub fn normalise<'a>(&self, trusted: Trusted<'a>) -> Result<Vec<Facts<'a>>, ContentError> {
        let mut facts = Vec::new();
        self.normalise_into(trusted, &mut facts)?;
        Ok(facts)
    }

    /// [`normalise`](Self::normalise), which adds the events to `facts`.
    ///
    /// # Errors
    ///
    /// Content that cannot be understood; nothing is added then.
    pub fn normalise_into<'a>(
        &self,
        trusted: Trusted<'a>,
        facts: &mut Vec<Facts<'a>>,
    ) -> Result<(), ContentError> {
        let Some(normaliser) = &self.normaliser else {
            // The body is all that is known of it.
            let why = "no normaliser for this provider";
            facts.push(Facts::unrecognized(hex_sha256(trusted.received().body), "unknown", why));
            return Ok(());
        };
        let before = facts.len();
        normaliser.normalise_into(trusted, &self.config, facts)?;
        let body = trusted.received().body;
        if self.reads_unsigned {
            // The signed body alone says which event it is: another header on the same body makes no second one.
            let digest = hex_sha256(body);
            for (position, event) in facts.iter_mut().skip(before).enumerate() {
                event.event_id = of_body(&digest, position);
                event.is_unsigned = true;
            }
        }
        let cleansed = self.cleanse(body, facts.iter_mut().skip(before));
        cleansed.inspect_err(|_| facts.truncate(before))
    }

    /// Whether what its webhooks only name is to be fetched.
    pub fn enriches(&self) -> bool {
        self.thin.is_some()
    }

    /// The object that the webhook only names and that is to be fetched; `None` where it says what it has to say, and where the
    /// endpoint does not ask for it.
    pub fn named_object<'a>(&self, trusted: Trusted<'a>) -> Option<NamedObject<'a>> {
        self.thin.and_then(|thin| thin.named(trusted.received()))
    }

    /// The facts of the event of a webhook whose [object](Self::named_object) was fetched. Which event it is, what its provider
    /// calls it and when it happened is what the webhook says, and is not told here.
    ///
    /// # Errors
    ///
    /// It is not the object that the webhook names, or not as its provider documents it.
    pub fn enriched<'a>(&self, trusted: Trusted<'a>, object: &'a [u8]) -> Result<Facts<'a>, ContentError> {
        let thin = self.thin.ok_or(ContentError::InvalidField("enrich"))?;
        let mut facts = thin.read(trusted.received(), object, &self.config)?;
        let rules = Rules { metadata: self.config.metadata.as_deref(), ids: self.cards_in_ids };
        if cleanse(&mut facts, rules).is_err() {
            let event_type = std::mem::take(&mut facts.event_type);
            facts = Facts {
                livemode: facts.livemode,
                is_unsigned: facts.is_unsigned,
                ..Facts::unrecognized("", event_type, CARD_IN_ID)
            };
        }
        Ok(facts)
    }

    /// Takes card numbers and the like out of what the webhook says. An event of which an id holds a card number is
    /// unrecognized, under its body's SHA-256; a sender of our own schema is told.
    fn cleanse<'f, 'a: 'f>(
        &self,
        body: &[u8],
        facts: impl Iterator<Item = &'f mut Facts<'a>>,
    ) -> Result<(), ContentError> {
        let rules = Rules { metadata: self.config.metadata.as_deref(), ids: self.cards_in_ids };
        for (position, event) in facts.enumerate() {
            let Err(CardInId(field)) = cleanse(event, rules) else { continue };
            if self.is_generic() {
                return Err(ContentError::InvalidField(field));
            }
            let mut event_type = std::mem::take(&mut event.event_type);
            mask(&mut event_type);
            *event = Facts {
                occurred_at: event.occurred_at,
                livemode: event.livemode,
                is_unsigned: event.is_unsigned,
                ..Facts::unrecognized(of_body(&hex_sha256(body), position), event_type, CARD_IN_ID)
            };
        }
        Ok(())
    }

    /// Whether [`normalise`](Self::normalise) reads more than the body: headers, the query, or whatever there is of a
    /// request without a body.
    pub fn normalises_request(&self, body: &[u8]) -> bool {
        body.is_empty() || self.normaliser.is_some_and(|normaliser| normaliser.reads_request())
    }

    /// The key ids that the webhook names, for vectors that do not say whose their keys are.
    pub(crate) fn named_key_ids(&self, received: Received<'_>) -> Vec<String> {
        self.scheme.named_key_ids(received)
    }

    fn request<'r>(
        &'r self,
        received: Received<'r>,
        material: Option<&'r Material>,
        now: Timestamp,
    ) -> Request<'r> {
        let window = self.config.tolerance_seconds;
        Request { received, material, now, window, url: self.config.notification_url.as_deref() }
    }
}

/// What the setting `scheme` says.
struct Found {
    provider: ProviderId,
    scheme: Box<dyn Scheme>,
    /// The scheme's own.
    normaliser: Option<Normaliser>,
    cards_in_ids: CardsInIds,
}

/// The parameters that the scheme itself reads.
fn catalogue_parameters(config: &EndpointConfig) -> &'static [&'static str] {
    config.scheme.as_str().and_then(catalogue::find).map_or(&[], Provider::parameters)
}

/// A scheme of the catalogue.
fn of_catalogue(name: &str, config: &EndpointConfig) -> Result<Found, Vec<SpecError>> {
    let Some(row) = catalogue::find(name) else {
        let problem = format!("no provider is called {name:?}: `tollgate providers` lists them");
        let mut mistakes = vec![SpecError::new("scheme", problem)];
        mistakes.extend(
            normalise::check_parameters(&config.parameters)
                .map(|(name, problem)| SpecError::new(format!("parameters.{name}"), problem)),
        );
        return Err(mistakes);
    };
    let mut mistakes = catalogue::check_parameters(&config.parameters, row.parameters());
    let scheme = row.scheme(&config.parameters).map_err(|mistake| mistakes.push(mistake)).ok();
    let provider = ProviderId::new(row.name.clone());
    let provider = provider.map_err(|error| mistakes.push(SpecError::new("scheme", error.to_string()))).ok();
    let (Some(scheme), Some(provider), []) = (scheme, provider, mistakes.as_slice()) else {
        return Err(mistakes);
    };
    let is_read_as_its_own = row.numeric_ids.is_some() && config.normaliser.is_none();
    let cards_in_ids = if is_read_as_its_own { CardsInIds::NotNumbers } else { CardsInIds::Any };
    Ok(Found { provider, scheme, normaliser: Normaliser::named(row.normaliser()), cards_in_ids })
}

/// A scheme given in the configuration: the table of a catalogue row's scheme, with a `name` beside it.
fn custom(config: &EndpointConfig) -> Result<Found, Vec<SpecError>> {
    let mut mistakes = Vec::new();
    let mut note = |at: &str, problem: String| mistakes.push(SpecError::new(joined("scheme", at), problem));
    let mut table = config.scheme.clone();
    let Some(fields) = table.as_object_mut() else {
        note("", "a provider's name or a table is wanted".to_owned());
        return Err(mistakes);
    };
    let name = match fields.remove("name") {
        None => CUSTOM.to_owned(),
        Some(serde_json::Value::String(name)) => name,
        Some(_) => {
            note("name", "a text is wanted".to_owned());
            CUSTOM.to_owned()
        }
    };
    if catalogue::find(&name).is_some() {
        note("name", "it is a provider's in the catalogue".to_owned());
    }
    let provider = ProviderId::new(name).map_err(|error| note("name", error.to_string())).ok();
    let scheme = match Reading::<SchemeSpec>::of(table, settings::SCHEME) {
        // What the rules say of a stand-in says nothing of the scheme.
        Reading { value: Some(spec), mistakes } if mistakes.is_empty() => Declared::custom(spec),
        Reading { mistakes, .. } => Err(mistakes),
    };
    let scheme = scheme.map_err(|more| more.into_iter().for_each(|it| note(&it.at, it.problem))).ok();
    mistakes.extend(catalogue::check_parameters(&config.parameters, &[]));
    match (provider, scheme, mistakes.as_slice()) {
        (Some(provider), Some(scheme), []) => {
            Ok(Found { provider, scheme: Box::new(scheme), normaliser: None, cards_in_ids: CardsInIds::Any })
        }
        _ => Err(mistakes),
    }
}

/// Whether the scheme signs all that the normaliser reads besides the body.
fn is_signed(normaliser: Normaliser, scheme: &SchemeInfo) -> bool {
    let is_signed =
        |name: &&str| scheme.signed_headers.iter().any(|signed| signed.eq_ignore_ascii_case(name));
    // One that reads the request and no header reads the query.
    !normaliser.reads_request()
        || !normaliser.headers().is_empty() && normaliser.headers().iter().all(is_signed)
}

/// An event id that the body alone decides.
fn of_body(digest: &str, position: usize) -> Cow<'static, str> {
    format!("sha256:{digest}:{position}").into()
}

fn is_among(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn joined(field: &str, at: &str) -> String {
    if at.is_empty() { field.to_owned() } else { format!("{field}.{at}") }
}

/// What is wrong with the settings beside `scheme`, which is what they are held against where it is known.
fn check_settings(config: &EndpointConfig, scheme: Option<&SchemeInfo>) -> Vec<SpecError> {
    let mut mistakes = Vec::new();
    let mut note = |at: &str, problem: &str| mistakes.push(SpecError::new(at, problem));
    if config.tolerance_seconds.is_some_and(|seconds| !(1..=MAX_TOLERANCE_SECONDS).contains(&seconds)) {
        note("tolerance_seconds", "1 to 604,800 are wanted");
    }
    if config.metadata.iter().flatten().any(|key| names_verification_data(key)) {
        note("metadata", "one of the keys names card verification data, which is never kept");
    }
    if config.quiet_after_hours.is_some_and(|hours| hours > MAX_QUIET_HOURS) {
        note("quiet_after_hours", "0 to 2,016 are wanted");
    }
    let is_kept = |it: KeepRejected| {
        (1..=MAX_KEPT.count).contains(&it.count) && (1..=MAX_KEPT.bytes).contains(&it.bytes)
    };
    if config.keep_rejected.is_some_and(|it| !is_kept(it)) {
        note("keep_rejected", "a count of 1 to 10,000 and 1 to 1,073,741,824 bytes are wanted");
    }
    let url = config.notification_url.as_deref();
    if url.is_some_and(|url| url.chars().any(|c| c.is_control() || c.is_whitespace())) {
        note("notification_url", "white space or control characters in it");
    }
    let Some(scheme) = scheme else { return mistakes };
    if config.tolerance_seconds.is_some() && !scheme.signs_time {
        note("tolerance_seconds", "this scheme signs no timestamp");
    }
    let has_window = scheme.window.is_some() || config.tolerance_seconds.is_some();
    if config.require_signed_time && !(scheme.signs_time && has_window) {
        note("require_signed_time", "this scheme signs no timestamp that has a window");
    }
    if config.keep_rejected.is_some() && !scheme.secret_headers.is_empty() {
        let problem = "this scheme's signature is as good as its key, so it is not kept, and nothing could be verified again";
        note("keep_rejected", problem);
    }
    if scheme.signs_url && url.is_none_or(str::is_empty) {
        note("notification_url", "this scheme signs it, so it is wanted");
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_time_can_be_required_where_the_scheme_signs_one() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        for (scheme, can) in [("stripe", true), ("generic", true), ("adyen", false), ("shopify", false)] {
            let config = |require: bool| {
                let config = format!(
                    r#"{{"id":"it","scheme":"{scheme}","secret":"ssm:it","require_signed_time":{require}}}"#
                );
                Endpoint::new(serde_json::from_str(&config).unwrap())
            };
            assert!(config(false).is_ok());
            assert_eq!(config(true).err().map(|error| error.field).is_none(), can, "{scheme}");
        }
        // Our own scheme may be signed without a time, but not here.
        let config = r#"{"id":"it","scheme":"generic","secret":"ssm:it","require_signed_time":true}"#;
        let endpoint = Endpoint::new(serde_json::from_str(config).unwrap()).unwrap();
        let key = crate::Secret::new("0123456789abcdef0123456789abcdef");
        let ring = endpoint.keys(vec![KeyMaterial::new("key", key)]).unwrap();
        let signed = |content: &[u8]| {
            let mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(
                b"0123456789abcdef0123456789abcdef",
            );
            let mut mac = mac.unwrap();
            hmac::Mac::update(&mut mac, content);
            tollgate_core::id::to_hex(&hmac::Mac::finalize(mac).into_bytes())
        };
        let at = now.as_second().to_string();
        let timed = [at.as_bytes(), b".{}"].concat();
        for (content, time, verdict) in [
            (&b"{}"[..], None, Some(Refusal::Missing("signed timestamp".to_owned()))),
            (&timed, Some(at.clone()), None),
        ] {
            let mut headers = Headers::new();
            headers.push("X-Webhook-Signature", format!("sha256={}", signed(content)));
            if let Some(time) = time {
                headers.push("X-Webhook-Timestamp", time);
            }
            let received = Received { headers: &headers, query: "", body: b"{}" };
            let code = verdict.as_ref().map(Refusal::code);
            assert_eq!(endpoint.explain(received, &ring, None, now).code, code);
            assert_eq!(endpoint.verify(received, &ring, None, now).err(), verdict);
        }
    }

    #[test]
    fn an_endpoint_may_be_quiet_for_twelve_weeks_at_most() {
        for (hours, can) in [("0", true), ("1", true), ("2016", true), ("2017", false), ("null", true)] {
            let config =
                format!(r#"{{"id":"it","scheme":"stripe","secret":"ssm:it","quiet_after_hours":{hours}}}"#);
            let built = Endpoint::new(serde_json::from_str(&config).unwrap());
            assert_eq!(built.err().map(|error| error.field).is_none(), can, "{hours}");
        }
        let signed = r#"{"id":"it","scheme":"stripe","secret":"ssm:it","quiet_after_hours":-1}"#;
        assert!(serde_json::from_str::<EndpointConfig>(signed).is_err());
    }

    #[test]
    fn what_cannot_be_kept_is_no_setting() {
        for (scheme, limits, can) in [
            ("stripe", r#"{"count":100,"bytes":10000000}"#, true),
            ("stripe", r#"{"count":10000,"bytes":1073741824}"#, true),
            ("stripe", r#"{"count":10001,"bytes":1}"#, false),
            ("stripe", r#"{"count":1,"bytes":1073741825}"#, false),
            ("stripe", r#"{"count":0,"bytes":1}"#, false),
            ("stripe", r#"{"count":1,"bytes":0}"#, false),
            ("flutterwave_v3", r#"{"count":1,"bytes":1}"#, false),
            ("stripe", "null", true),
        ] {
            let config =
                format!(r#"{{"id":"it","scheme":"{scheme}","secret":"ssm:it","keep_rejected":{limits}}}"#);
            let built = Endpoint::new(serde_json::from_str(&config).unwrap());
            let wrong = built.err().map(|error| error.field);
            assert_eq!(wrong.as_deref(), (!can).then_some("keep_rejected"), "{config}");
        }
    }

    #[test]
    fn parameters_are_those_that_are_read_with_values_that_can_be_used() {
        let cases = [
            ("generic", "default_currency", "EUR", None),
            ("standard_webhooks", "amount_unit", "minor", None),
            ("generic", "default_currency", "euro", Some("is not an ISO 4217 currency")),
            ("generic", "amount_unit", "cents", Some("is neither major nor minor")),
            ("generic", "webhook_id", "WH-1", Some("this scheme has no such parameter")),
        ];
        for (scheme, name, value, problem) in cases {
            let config = format!(
                r#"{{"id":"it","scheme":"{scheme}","secret":"ssm:it","parameters":{{"{name}":"{value}"}}}}"#
            );
            let built = Endpoint::new(serde_json::from_str(&config).unwrap());
            assert_eq!(built.err().map(|error| error.problem).as_deref(), problem, "{config}");
        }
    }
}
