//! What nobody should send.

use anyhow::Context;
use tollgate_providers::Endpoint;
use tollgate_samples::Kind;

use super::{Planner, ROTATED, UNSIGNABLE, bodies, effect, refused, signs_time};
use crate::record::{Body, Content, Event, Fate, Right, Signing, Wire};

/// The body limit of the deployment, `MaxBodyBytes` in `infra/tollgate.yaml`, in bytes.
pub(super) const BODY_LIMIT: usize = 1_048_576;
/// Past every scheme's window, half a day of PayPal's included, in seconds.
const EXPIRED: i64 = 100_000;
/// Whether somebody forges there.
fn is_forged(endpoint: &Endpoint) -> bool {
    !ROTATED.contains(&endpoint.id().as_str())
}

impl Planner<'_> {
    /// A good signature over a body that no provider writes.
    pub(super) fn odd(&mut self) -> anyhow::Result<()> {
        let endpoint = self.stripe()?;
        let made = self.made(endpoint, Some(Kind::Payment))?;
        let own = made.events();
        let text = String::from_utf8_lossy(&made.draft.body).into_owned();
        let field = |field: &str| format!("{},{field}}}", text.strip_suffix('}').unwrap_or(&text));
        let unrecognized = |event: &Event| Event {
            kind: "payment.unrecognized".to_owned(),
            amount: "-".to_owned(),
            ..event.clone()
        };
        let either = |event: &Event| Event { or: Some(Box::new(bodies::unread())), ..event.clone() };
        let mut headers = made.content().headers;
        let (class, body, events) = match self.choices.below(9) {
            0 => (
                "truncated",
                made.draft.body.iter().take(made.draft.body.len() / 2).copied().collect(),
                vec![bodies::unread()],
            ),
            1 => {
                headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
                headers.push(("Content-Type".to_owned(), "application/octet-stream".to_owned()));
                let mut body = field(r#""x":""#).into_bytes();
                body.truncate(body.len() - 1);
                body.extend_from_slice(b"\xff\xfe\"}");
                ("not UTF-8", body, own.iter().map(either).collect())
            }
            2 => {
                let deep = format!(r#""x":{}{}"#, "[".repeat(3_000), "]".repeat(3_000));
                ("deep", field(&deep).into_bytes(), own.iter().map(either).collect())
            }
            3 => {
                let amount = made.sample.money.minor_units().to_string();
                let body = text.replace(&format!(":{amount}"), &format!(":{}", "9".repeat(60)));
                ("huge number", body.into_bytes(), own.iter().map(unrecognized).collect())
            }
            4 => {
                let field = field(&format!(r#""x":{}"#, "9".repeat(400)));
                ("huge number that is not read", field.into_bytes(), own)
            }
            5 => ("null bytes", [text.as_bytes(), b"\0\0"].concat(), vec![bodies::unread()]),
            6 => {
                let body = text.replace(r#""cart":"#, "\"n\\u0000te\":\"a\\u0000b\",\"cart\":");
                ("escaped null", body.into_bytes(), own)
            }
            7 => {
                let body = text.replace("payment_intent.succeeded", "payment_intent.dissolved");
                (
                    "unknown type",
                    body.into_bytes(),
                    own.iter()
                        .map(|event| Event { amount: event.amount.clone(), ..unrecognized(event) })
                        .collect(),
                )
            }
            _ => {
                headers.extend((0..60).map(|number| (format!("X-Flood-{number}"), "f".repeat(60))));
                ("header flood", text.clone().into_bytes(), own)
            }
        };
        let content = Content { headers, body: Body::new(&body), ..Content::default() };
        self.push(class, endpoint, content, effect(events));
        Ok(())
    }

    /// As large as they come, and larger.
    pub(super) fn large(&mut self) -> anyhow::Result<()> {
        let endpoint = self.stripe()?;
        let made = self.made(endpoint, None)?;
        let (class, size, right) = match self.choices.below(4) {
            0 => ("claim check", BODY_LIMIT - 100, effect(made.events())),
            1 => {
                let statuses = vec![413];
                ("oversized", BODY_LIMIT + 1, Right { fate: Fate::Refused, statuses, events: Vec::new() })
            }
            _ => ("large", usize::try_from(100_000 + self.choices.below(200_000))?, effect(made.events())),
        };
        let content = Content { pad_to: Some(size), ..made.content() };
        self.push(class, endpoint, content, right);
        Ok(())
    }

    /// A provider that tries once.
    pub(super) fn given_up(&mut self) -> anyhow::Result<()> {
        self.sample()?;
        let webhook = self.webhooks.last_mut().context("nothing was planned")?;
        (webhook.wire, webhook.class) = (Wire::Once, "given up".to_owned());
        // Nobody repeats it.
        self.good.pop();
        Ok(())
    }

    /// Connections that break, and slow ones.
    pub(super) fn on_the_wire(&mut self) -> anyhow::Result<()> {
        let endpoint = self.built_in()?;
        let made = self.made(endpoint, None)?;
        let (class, wire, right) = match self.choices.below(3) {
            0 => ("half a body", Wire::Half, Right { statuses: vec![400, 401, 408], ..refused() }),
            1 => ("gone before the answer", Wire::Gone, effect(made.events())),
            _ => ("slow body", Wire::Slow(500 + self.choices.below(4_000)), effect(made.events())),
        };
        self.push(class, endpoint, made.content(), right).wire = wire;
        Ok(())
    }

    /// What must not get in.
    pub(super) fn refused(&mut self) -> anyhow::Result<()> {
        let kind = self.choices.below(13);
        let endpoint = match kind {
            0 => self.endpoint(|endpoint| UNSIGNABLE.contains(&endpoint.provider().as_str()))?,
            1..4 => self.endpoint(is_forged)?,
            4..6 => self.endpoint(|endpoint| {
                is_forged(endpoint) && tollgate_samples::BUILT_IN.contains(&endpoint.provider().as_str())
            })?,
            6..8 => self.endpoint(|endpoint| {
                is_forged(endpoint) && !UNSIGNABLE.contains(&endpoint.provider().as_str())
            })?,
            8..10 => self.endpoint(|endpoint| {
                let provider = endpoint.provider().as_str();
                tollgate_samples::BUILT_IN.contains(&provider)
                    && provider != "generic"
                    && signs_time(endpoint)
                    && is_forged(endpoint)
            })?,
            _ => self.stripe()?,
        };
        let is_built_in = tollgate_samples::BUILT_IN.contains(&endpoint.provider().as_str());
        let is_unsignable = UNSIGNABLE.contains(&endpoint.provider().as_str());
        let content = match is_unsignable {
            // They cannot be signed at all: their webhooks come as Stripe's would.
            true => {
                let stripe = self.stripe()?;
                self.made(stripe, None)?.content()
            }
            false if is_built_in => self.made(endpoint, None)?.content(),
            false => self.filled(endpoint)?.0,
        };
        let stripe_signs = self.stripe()?.id().to_string();
        let webhook = self.push("forged", endpoint, content, refused());
        webhook.wire = Wire::Once;
        match kind {
            0..4 if is_unsignable => webhook.signer = stripe_signs,
            0..4 => webhook.signing = Signing::Forged,
            4..6 => (webhook.class, webhook.signing) = ("another body".to_owned(), Signing::Tampered),
            6..8 => (webhook.class, webhook.signing) = ("unsigned".to_owned(), Signing::Unsigned),
            8..10 => (webhook.class, webhook.signing) = ("expired".to_owned(), Signing::Aged(EXPIRED)),
            10 => (webhook.class, webhook.signing) = ("another spelling".to_owned(), Signing::Respelled),
            11 => {
                (webhook.class, webhook.endpoint) = ("stray".to_owned(), "prove-nobody".to_owned());
                webhook.right.statuses = vec![404];
            }
            _ => {
                (webhook.class, webhook.wire) = ("another method".to_owned(), Wire::Method("PUT".to_owned()));
                // The gateway itself answers 403 where it has no such route.
                webhook.right.statuses = vec![403, 404, 405];
            }
        }
        Ok(())
    }

    /// An accepted one as it was, under other headers that nobody signed.
    pub(super) fn replayed(&mut self) -> anyhow::Result<()> {
        // Shopify's and GitHub's headers say what happened; Paddle's signature is good for five seconds.
        let is_read = |webhook: &crate::record::Webhook| {
            ["shopify", "paddle", "mercadopago", "wise"].iter().any(|name| webhook.signer.contains(name))
        };
        let recent = self.webhooks.len().saturating_sub(200);
        let of: Vec<usize> = self.good.iter().copied().filter(|index| *index >= recent).collect();
        let Some(of) = self
            .choices
            .pick(&of)
            .and_then(|index| self.webhooks.get(*index))
            .filter(|one| !is_read(one))
            .cloned()
        else {
            return self.case();
        };
        let endpoint = self.endpoint(|endpoint| endpoint.id().as_str() == of.signer)?;
        let headers =
            [("X-Request-Id", "replayed"), ("X-Forwarded-For", "203.0.113.9"), ("User-Agent", "another/1")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let right = Right { statuses: vec![200, 409], ..of.right };
        let webhook = self.push("replayed", endpoint, of.content, right);
        (webhook.signing, webhook.after) = (Signing::Replay { of: of.n, headers }, Some(of.n));
        Ok(())
    }
}
