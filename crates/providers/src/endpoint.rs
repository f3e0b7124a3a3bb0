//! Endpoints, built once from their configuration.

use std::collections::BTreeMap;

use tollgate_core::{
    Authenticity, Delivery, EndpointConfig, EndpointId, Facts, OnDuplicate, ProviderId, Timestamp,
    id::hex_sha256,
};

use crate::{
    ContentError, Headers, KeyError, KeyMaterial, KeyRing, Received, Refusal, Trusted,
    catalogue::{self, Coded, Provider},
    normalise::Normaliser,
    scheme::{
        Explanation, KeyRequest, Request, Scheme, SchemeSpec, SignError, Signed, SpecError, ToSign,
        braintree, declared::Declared, explain, key::Strength, paypal::PayPal, plaid::Plaid,
    },
};

/// The name of the scheme whose senders follow our own schema.
const GENERIC: &str = "generic";

/// The provider's name of a custom scheme that gives none.
const CUSTOM: &str = "custom";

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

/// Something public that must be fetched before a webhook can be verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MaterialRequest {
    /// A PEM certificate chain at this https URL, already checked to be on one of the provider's own hosts.
    Certificate {
        /// Where it is.
        url: String,
    },
    /// A JSON Web Key by its id, from the provider's API.
    JsonWebKey(KeyRequest),
}

/// What was fetched: the certificate chain's PEM or the JWK's JSON, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material(pub Vec<u8>);

/// The answer to a provider that asks whether an endpoint is there and holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeReply {
    /// Always 200; a handshake that cannot be answered is a [`Refusal`].
    pub status: u16,
    /// `text/plain` or `application/json`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// One endpoint, ready to serve.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    provider: ProviderId,
    scheme: Scheme,
    normaliser: Option<Normaliser>,
    kept: Vec<String>,
}

/// A webhook whose signature is good. Only [`Endpoint::verify`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a> {
    received: Received<'a>,
    authenticity: Authenticity,
    key_id: &'a str,
    signed_at: Option<Timestamp>,
    transmission_id: Option<&'a str>,
}

impl<'a> Verified<'a> {
    /// The webhook.
    pub fn received(&self) -> Received<'a> {
        self.received
    }

    /// What the signature proves.
    pub fn authenticity(&self) -> Authenticity {
        self.authenticity
    }

    /// The key that verified.
    pub fn key_id(&self) -> &'a str {
        self.key_id
    }

    /// The signed timestamp, where there is one.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }

    /// The signed id under which one body may come, where the signature does not cover the body (PayPal).
    pub fn transmission_id(&self) -> Option<&'a str> {
        self.transmission_id
    }
}

impl Endpoint {
    /// Checks the configuration whole.
    ///
    /// # Errors
    ///
    /// The first setting that cannot serve.
    pub fn new(config: EndpointConfig) -> Result<Self, ConfigError> {
        let fail = |field: &str, problem: &str| ConfigError {
            endpoint: config.id.to_string(),
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        let spec_error = |error: SpecError| fail(&error.at, &error.problem);
        let (name, scheme, normaliser) = match config.scheme.as_str() {
            Some(name) => {
                let row = catalogue::find(name).ok_or_else(|| {
                    fail(
                        "scheme",
                        &format!("no provider is called {name:?}: `tollgate providers` lists them"),
                    )
                })?;
                let scheme = scheme_of(row, &config.parameters).map_err(spec_error)?;
                (row.name.clone(), scheme, Normaliser::named(row.normaliser()))
            }
            None => {
                let (name, scheme) = custom(&config.scheme)
                    .map_err(|error| fail(&joined("scheme", &error.at), &error.problem))?;
                check_parameters(&config.parameters, &[]).map_err(spec_error)?;
                (name, scheme, None)
            }
        };
        let provider = ProviderId::new(name).map_err(|error| fail("scheme.name", &error.to_string()))?;
        let normaliser = match config.normaliser.as_deref() {
            Some(name) => Some(
                Normaliser::named(name)
                    .ok_or_else(|| fail("normaliser", &format!("no normaliser is called {name:?}")))?,
            ),
            None => normaliser,
        };
        check_settings(&config, &scheme).map_err(|(field, problem)| fail(field, problem))?;
        let mut kept = scheme.headers();
        kept.push("Content-Type".to_owned());
        kept.extend(normaliser.iter().flat_map(|it| it.headers()).map(|name| (*name).to_owned()));
        Ok(Self { config, provider, scheme, normaliser, kept })
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
        self.scheme.authenticity()
    }

    /// Decodes the active keys for this scheme, refusing weak and ill-formed ones.
    ///
    /// # Errors
    ///
    /// The first key that cannot be used, or the absence of any.
    pub fn keys(&self, keys: Vec<KeyMaterial>) -> Result<KeyRing, KeyError> {
        self.keys_of(&keys, Strength::Serving)
    }

    pub(crate) fn keys_of(&self, keys: &[KeyMaterial], strength: Strength) -> Result<KeyRing, KeyError> {
        KeyRing::prepare(keys, self.scheme.has_key_ids(), |secret| self.scheme.decode_key(secret, strength))
    }

    /// What must be fetched before [`verify`](Self::verify) can decide, if anything; asked after everything that
    /// can be checked without it: a webhook that is too old, malformed or of another body makes nobody fetch, and a
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
        self.scheme.material_for(self.request(received, None, now), keys)
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
        Ok(Verified {
            received,
            authenticity: proof.authenticity,
            key_id: proof.key_id,
            signed_at: proof.signed_at,
            transmission_id: self.scheme.transmission_id(received),
        })
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
        explain::explain(&self.scheme, self.request(received, material, now), keys)
    }

    /// Signs a webhook as the provider would at `at`, with the first key. `to_sign.url` is taken from the
    /// configuration. Braintree: the body given is the notification's XML.
    ///
    /// # Errors
    ///
    /// A public key where a private one is needed (PayPal can never be signed for), or a body without what the
    /// scheme signs.
    pub fn sign(&self, to_sign: ToSign<'_>, keys: &KeyRing, at: Timestamp) -> Result<Signed, SignError> {
        let url = self.config.notification_url.as_deref().or(to_sign.url);
        self.scheme.sign(ToSign { url, ..to_sign }, keys, at)
    }

    /// The answer to a handshake; `None` when the request is not one and the provider knows none. Braintree's
    /// `GET ?bt_challenge=…` is.
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
        match self.scheme {
            Scheme::Braintree if method.eq_ignore_ascii_case("GET") => {
                let body = braintree::answer_challenge(query, keys)?;
                Ok(Some(HandshakeReply { status: 200, content_type: "text/plain", body }))
            }
            _ => Ok(None),
        }
    }

    /// The headers that verifying again or normalising needs.
    pub fn kept_headers(&self, headers: &Headers) -> Headers {
        let kept = |name: &str| self.kept.iter().any(|kept| kept.eq_ignore_ascii_case(name));
        headers.iter().filter(|(name, _)| kept(name)).collect()
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
        match &self.normaliser {
            Some(normaliser) => normaliser.normalise_into(trusted, &self.config, facts),
            None => {
                // The body is all that is known of it.
                let why = "no normaliser for this provider";
                facts.push(Facts::unrecognized(hex_sha256(trusted.received().body), "unknown", why));
                Ok(())
            }
        }
    }

    /// Whether [`normalise`](Self::normalise) reads more than the body: headers, the query, or whatever there is of a
    /// request without a body.
    pub fn normalises_request(&self, body: &[u8]) -> bool {
        body.is_empty() || self.normaliser.is_some_and(|normaliser| normaliser.reads_request())
    }

    /// The key ids that the webhook names, for vectors that do not say whose their keys are.
    pub(crate) fn named_key_ids(&self, received: Received<'_>) -> Vec<String> {
        match &self.scheme {
            Scheme::Declared(scheme) => {
                let candidates = scheme.read(received).map(|reading| reading.candidates).unwrap_or_default();
                candidates.into_iter().filter_map(|candidate| candidate.key_id).collect()
            }
            Scheme::Braintree => braintree::named_key_ids(received),
            _ => Vec::new(),
        }
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

/// The scheme of a catalogue row.
pub(crate) fn scheme_of(row: &Provider, parameters: &BTreeMap<String, String>) -> Result<Scheme, SpecError> {
    let known: &[&str] = match row.coded {
        Some(Coded::Paypal) => &PayPal::PARAMETERS,
        Some(Coded::Plaid) => &Plaid::PARAMETERS,
        _ => &[],
    };
    check_parameters(parameters, known)?;
    match (&row.scheme, row.coded) {
        (Some(spec), _) => Ok(Scheme::Declared(Box::new(Declared::new(spec.clone())?))),
        (None, Some(Coded::Adyen)) => Ok(Scheme::Adyen),
        (None, Some(Coded::Braintree)) => Ok(Scheme::Braintree),
        (None, Some(Coded::Paypal)) => Ok(Scheme::PayPal(Box::new(PayPal::new(parameters)?))),
        (None, Some(Coded::Plaid)) => Ok(Scheme::Plaid(Plaid::new(parameters)?)),
        (None, None) => Err(SpecError::new("scheme", "the catalogue row has no scheme")),
    }
}

/// Whether all of `parameters` are read, by the normalisers or (`known`) by the scheme, and can be used.
fn check_parameters(parameters: &BTreeMap<String, String>, known: &[&str]) -> Result<(), SpecError> {
    crate::normalise::check_parameters(parameters)
        .map_err(|(name, problem)| SpecError::new(format!("parameters.{name}"), problem))?;
    let is_known = |name: &str| known.contains(&name) || crate::normalise::PARAMETERS.contains(&name);
    match parameters.keys().find(|name| !is_known(name)) {
        Some(name) => Err(SpecError::new(format!("parameters.{name}"), "this scheme has no such parameter")),
        None => Ok(()),
    }
}

/// A scheme given in the configuration: the table of a catalogue row's scheme, with a `name` beside it.
fn custom(table: &serde_json::Value) -> Result<(String, Scheme), SpecError> {
    let mut table = table.clone();
    let Some(fields) = table.as_object_mut() else {
        return Err(SpecError::new("", "a provider's name or a table is wanted"));
    };
    let name = match fields.remove("name") {
        None => CUSTOM.to_owned(),
        Some(serde_json::Value::String(name)) if catalogue::find(&name).is_none() => name,
        Some(serde_json::Value::String(_)) => {
            return Err(SpecError::new("name", "it is a provider's in the catalogue"));
        }
        Some(_) => return Err(SpecError::new("name", "a text is wanted")),
    };
    let scheme = Declared::new(SchemeSpec::read(&table)?)?;
    scheme.check_custom()?;
    Ok((name, Scheme::Declared(Box::new(scheme))))
}

fn joined(field: &str, at: &str) -> String {
    if at.is_empty() { field.to_owned() } else { format!("{field}.{at}") }
}

fn check_settings(config: &EndpointConfig, scheme: &Scheme) -> Result<(), (&'static str, &'static str)> {
    if let Some(seconds) = config.tolerance_seconds {
        if !(1..=86_400).contains(&seconds) {
            return Err(("tolerance_seconds", "1 to 86,400 are wanted"));
        }
        if !scheme.has_window() {
            return Err(("tolerance_seconds", "this scheme signs no timestamp"));
        }
    }
    let url = config.notification_url.as_deref();
    if scheme.uses_url() && url.is_none_or(str::is_empty) {
        return Err(("notification_url", "this scheme signs it, so it is wanted"));
    }
    if url.is_some_and(|url| url.chars().any(|c| c.is_control() || c.is_whitespace())) {
        return Err(("notification_url", "white space or control characters in it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
