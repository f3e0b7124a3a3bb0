//! Signing as a provider would: for tests, the demo and load.

use crate::{headers::Headers, refusal::Refusal, request::Received, text::to_form};

/// A webhook to be signed.
#[derive(Debug, Clone, Copy)]
pub struct ToSign<'a> {
    /// Headers that it carries already: those that the scheme signs are used, missing ones are made up.
    pub headers: &'a Headers,
    /// The query string, where the scheme signs a part of it.
    pub query: &'a str,
    /// The body before signing; schemes that sign within the body change it.
    pub body: &'a [u8],
    /// The notification URL, where the scheme signs it. [`Endpoint::sign`](crate::Endpoint::sign) fills it in.
    pub url: Option<&'a str>,
}

/// A signed webhook, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedWebhook {
    /// Every header, those given first.
    pub headers: Headers,
    /// The query string.
    pub query: String,
    /// The body to send.
    pub body: Vec<u8>,
}

/// Why a webhook cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The scheme signs with a private key, and the key given is not one.
    #[error("a private key is needed to sign for this scheme")]
    NoPrivateKey,
    /// The body or query lacks what the scheme signs.
    #[error("the webhook cannot be signed: {0}")]
    Content(Refusal),
    /// The body is not in the form that this provider sends.
    #[error("the body is not in the form that this provider sends")]
    Body,
}

/// A webhook while it is signed.
#[derive(Debug)]
pub(crate) struct Unsigned {
    headers: Headers,
    query: String,
    body: Vec<u8>,
}

impl Unsigned {
    pub(crate) fn new(to_sign: ToSign<'_>) -> Self {
        let ToSign { headers, query, body, url: _ } = to_sign;
        Self { headers: headers.clone(), query: query.to_owned(), body: body.to_vec() }
    }

    pub(crate) fn as_received(&self) -> Received<'_> {
        Received { headers: &self.headers, query: &self.query, body: &self.body }
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        self.headers.remove(name);
        self.headers.push(name, value);
    }

    pub(crate) fn default_header(&mut self, name: &str, value: &str) {
        if self.headers.get(name).is_none() {
            self.headers.push(name, value);
        }
    }

    pub(crate) fn set_body(&mut self, body: Vec<u8>) {
        self.body = body;
    }

    pub(crate) fn add_form_field(&mut self, name: &str, value: &str) {
        if !self.body.is_empty() {
            self.body.push(b'&');
        }
        self.body.extend_from_slice(to_form(&[(name, value)]).as_bytes());
    }

    /// Adds a text field at the end of the object that the body is.
    pub(crate) fn add_json_field(&mut self, name: &str, value: &str) -> Result<(), SignError> {
        let trimmed = self.body.trim_ascii_end();
        let Some(inside) = trimmed.strip_suffix(b"}") else { return Err(SignError::Body) };
        let comma = if inside.trim_ascii_end().ends_with(b"{") { "" } else { "," };
        let (name, value) = (serde_json::Value::from(name), serde_json::Value::from(value));
        let mut body = inside.to_vec();
        body.extend_from_slice(format!("{comma}{name}:{value}}}").as_bytes());
        self.body = body;
        Ok(())
    }

    pub(crate) fn into_signed(self) -> SignedWebhook {
        SignedWebhook { headers: self.headers, query: self.query, body: self.body }
    }
}
