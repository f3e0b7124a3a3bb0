//! An event that nobody sent, as an operator's tool hands it to the validator: signed with a key of the environment's own, so that
//! who may invoke the validator makes no event by that alone. The signature is that of the generic scheme.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use tollgate_core::{EndpointConfig, EndpointId, Timestamp};
use tollgate_providers::{Endpoint, Headers, KeyRing, Received, Refusal, SignError, ToSign};

/// No event of API Gateway or of a function URL has the member that says it ("Lambda proxy integrations", API Gateway developer
/// guide; "Request and response payloads", Lambda developer guide, function URLs).
const FORM: &str = "tollgate.retrieved/1";
/// The key's name beside those of endpoints: `tollgate/SUFFIX/_retrieved`. No endpoint is called so, and none may name it as its own.
pub const KEY_NAME: &str = "_retrieved";
/// Who signs, in errors.
const SIGNER: &str = "retrieved";
/// Whose scheme signs.
const SCHEME: &str = "generic";

/// The invocation's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    tollgate: String,
    endpoint: EndpointId,
    headers: Vec<(String, String)>,
    /// An [`Envelope`], in base64.
    envelope: String,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    endpoint: EndpointId,
    event_id: String,
    /// In base64.
    body: String,
}

/// What was retrieved, and was signed by who may say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieved {
    /// The provider's id of the event.
    pub event_id: String,
    /// The body that the provider would have sent.
    pub body: Vec<u8>,
}

/// The key's reference in the environment that a secret of an endpoint is of; `None` where that is of no environment.
pub fn key_reference(secret: &str) -> Option<String> {
    let rest =
        secret.strip_prefix("secretsmanager:tollgate/").or_else(|| secret.strip_prefix("ssm:/tollgate/"))?;
    let suffix = rest.split('/').next().filter(|suffix| !suffix.is_empty())?;
    Some(format!("secretsmanager:{}", key_name(suffix)))
}

/// The key's name in Secrets Manager.
pub fn key_name(suffix: &str) -> String {
    format!("tollgate/{suffix}/{KEY_NAME}")
}

/// Whose key it is. It is no endpoint that anybody can send to.
pub fn signer(reference: &str) -> Option<Endpoint> {
    let config = EndpointConfig {
        id: EndpointId::new(SIGNER).ok()?,
        scheme: SCHEME.into(),
        secret: reference.to_owned(),
        delivery: tollgate_core::Delivery::Fast,
        on_duplicate: None,
        tolerance_seconds: None,
        metadata: None,
        ids_hold_no_cards: false,
        // A copy that somebody kept is good for minutes.
        require_signed_time: true,
        quiet_after_hours: None,
        keep_rejected: None,
        enrich: false,
        normaliser: None,
        notification_url: None,
        parameters: std::collections::BTreeMap::new(),
    };
    Endpoint::new(config).ok()
}

impl Sealed {
    /// Signs an event at `at`.
    ///
    /// # Errors
    ///
    /// [`SignError`], where the key does not sign.
    pub fn new(
        signer: &Endpoint,
        keys: &KeyRing,
        endpoint: EndpointId,
        event_id: &str,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Self, SignError> {
        let envelope = Envelope { endpoint, event_id: event_id.to_owned(), body: STANDARD.encode(body) };
        let envelope = serde_json::to_vec(&envelope).unwrap_or_default();
        let to_sign = ToSign { headers: &Headers::new(), query: "", body: &envelope, url: None };
        let signed = signer.sign(to_sign, keys, at)?;
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Ok(Self {
            tollgate: FORM.to_owned(),
            endpoint,
            headers: signed.headers.iter().map(pair).collect(),
            envelope: STANDARD.encode(&signed.body),
        })
    }

    /// Reads an invocation's payload; `None` for any other. A peer may write the same JSON otherwise, so no byte of it counts.
    pub fn read(payload: &str) -> Option<Self> {
        serde_json::from_str(payload).ok().filter(|sealed: &Self| sealed.tollgate == FORM)
    }

    /// Where it would have arrived, as it says itself.
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// What it holds, if who may say so has signed it for this endpoint.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn open(&self, signer: &Endpoint, keys: &KeyRing, now: Timestamp) -> Result<Retrieved, Refusal> {
        let malformed = || Refusal::Malformed("envelope");
        let bytes = STANDARD.decode(&self.envelope).map_err(|_| malformed())?;
        let headers: Headers =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let received = Received { headers: &headers, query: "", body: &bytes };
        signer.verify(received, keys, None, now)?;
        let envelope: Envelope = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        if envelope.endpoint != self.endpoint {
            return Err(malformed());
        }
        let body = STANDARD.decode(&envelope.body).map_err(|_| malformed())?;
        Ok(Retrieved { event_id: envelope.event_id, body })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_providers::{KeyMaterial, Secret};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ring(signer: &Endpoint, key: &str) -> KeyRing {
        signer.keys(vec![KeyMaterial::unnamed("current", Secret::new(key))]).unwrap()
    }

    #[test]
    fn only_what_was_signed_for_the_endpoint_is_opened() {
        let signer = signer("secretsmanager:tollgate/dev/_retrieved").unwrap();
        let keys = ring(&signer, "a key of the environment");
        let endpoint = EndpointId::new("stripe-eu").unwrap();
        let sealed = Sealed::new(&signer, &keys, endpoint, "evt_1", b"{}", at(1_000)).unwrap();
        let payload = serde_json::to_string(&sealed).unwrap();
        let read = Sealed::read(&payload).unwrap();
        let opened = read.open(&signer, &keys, at(1_100)).unwrap();
        assert_eq!(opened, Retrieved { event_id: "evt_1".to_owned(), body: b"{}".to_vec() });
        assert!(read.open(&signer, &ring(&signer, "another key, of nobody"), at(1_100)).is_err());
        assert!(read.open(&signer, &keys, at(9_000)).is_err(), "a copy that was kept");
        let elsewhere = Sealed { endpoint: EndpointId::new("stripe-us").unwrap(), ..read.clone() };
        assert!(elsewhere.open(&signer, &keys, at(1_100)).is_err());
        let altered = Sealed {
            envelope: STANDARD.encode(r#"{"endpoint":"stripe-eu","event_id":"evt_2","body":""}"#),
            ..read.clone()
        };
        assert!(altered.open(&signer, &keys, at(1_100)).is_err());
        let unsigned = Sealed { headers: Vec::new(), ..read };
        assert!(unsigned.open(&signer, &keys, at(1_100)).is_err());
    }

    /// Whatever a caller sends is within the members that a front door names.
    #[test]
    fn no_request_is_such_an_event() {
        let good = r#"{"tollgate":"tollgate.retrieved/1","endpoint":"stripe-eu","headers":[],"envelope":""}"#;
        assert!(Sealed::read(good).is_some());
        for request in [
            json!({ "version": "2.0", "rawPath": "/webhook/stripe-eu", "body": good, "isBase64Encoded": false }),
            json!({ "resource": "/webhook", "httpMethod": "POST", "headers": { "tollgate": "tollgate.retrieved/1" }, "body": good }),
        ] {
            assert!(Sealed::read(&request.to_string()).is_none(), "{request}");
        }
        for other in [good.replace('}', ",\"x\":1}"), good.replace("stripe-eu", "no name")] {
            assert!(Sealed::read(&other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_key_is_of_the_endpoints_own_environment() {
        let key = Some("secretsmanager:tollgate/dev/_retrieved".to_owned());
        for own in [
            "secretsmanager:tollgate/dev/a",
            "secretsmanager:tollgate/dev/a/b",
            "ssm:/tollgate/dev/secrets/a",
        ] {
            assert_eq!(key_reference(own), key);
        }
        for other in ["secretsmanager:prod/a", "secretsmanager:tollgate//a", "x", ""] {
            assert_eq!(key_reference(other), None);
        }
    }
}
