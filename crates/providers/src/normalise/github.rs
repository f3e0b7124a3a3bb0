//! GitHub-style senders: a signed body whose schema is anyone's.
//!
//! Event id: the `X-GitHub-Delivery` header. Provider's type: `X-GitHub-Event`. Nothing of the body is known,
//! so that every event is unrecognized; a sender of our schema takes the endpoint setting
//! `normaliser = "generic"`.
//!
//! Signed: the whole body, not the headers. Id and type are thus not signed.

use tollgate_core::Facts;

use super::{
    content::{ContentError, header, unknown},
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "github",
    aliases: &[],
    headers: &["x-github-delivery", "x-github-event"],
    read: Read::Request(normalise),
};

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let id = header(received, "x-github-delivery");
    let id = id.ok_or(ContentError::MissingField("x-github-delivery"))?;
    Ok(unknown(id, received.headers.get("x-github-event").unwrap_or_default()))
}
