//! What is sent: a function of the seed, the endpoints, the number and the day.

mod bodies;
mod faults;
mod good;
mod hostile;
mod planted;

use anyhow::{Context, bail};
use tollgate_core::Timestamp;
use tollgate_providers::{Endpoint, Headers, SignError, SignedWebhook, ToSign, catalogue, scheme::KeyForm};
use tollgate_samples::Choices;

use crate::{
    endpoints,
    record::{Content, Event, Fate, Line, Plan, Right, Signing, Webhook, Wire},
    templates::{self, Template},
};

/// Ids of different seeds differ by this much.
const APART: u64 = 1_000_000;
/// The signature of nobody's webhook can be made.
const UNSIGNABLE: [&str; 2] = ["paypal", "plaid"];
/// Whose keys are rotated under load. Nobody forges there: where somebody does, a new key may take its time
/// (docs/SEMANTICS.md, 7.4).
const ROTATED: [&str; 4] = ["prove-generic-ordered", "prove-stripe-ordered", "prove-svix", "prove-worldpay"];
/// Of a plan's webhooks so many come again, to functions whose clocks have moved on.
const LATER_ONE_IN: u64 = 60;

/// Each line of the plan, webhooks in the order in which they are sent.
///
/// # Errors
///
/// When the cases do not read, or there are no endpoints.
pub(crate) fn lines(
    endpoints: &[Endpoint],
    seed: &str,
    webhooks: u64,
    seconds: u64,
    now: Timestamp,
) -> anyhow::Result<Vec<Line>> {
    let mut templates = templates::read()?;
    keep_signable(&mut templates, endpoints, now)?;
    if endpoints.is_empty() || templates.is_empty() {
        bail!("no endpoints, or no cases");
    }
    let mut choices = Choices::new(seed);
    let apart = choices.below(800) * APART;
    let mut planner =
        Planner { endpoints, templates, seed, now, choices, apart, webhooks: Vec::new(), good: Vec::new() };
    while (planner.webhooks.len() as u64) < webhooks {
        planner.next()?;
    }
    planner.schedule(seconds * 1_000);
    planner.later()?;
    let faults = faults::lines(&mut planner.choices, &ROTATED.map(str::to_owned), seconds * 1_000);
    let plan = Plan {
        seed: seed.to_owned(),
        webhooks: planner.webhooks.len() as u64,
        seconds,
        now: now.to_string(),
        planted: planted::PLANTED.map(str::to_owned).to_vec(),
    };
    let webhooks = planner.webhooks.into_iter().map(|webhook| Line::Webhook(Box::new(webhook)));
    Ok(std::iter::once(Line::Plan(plan)).chain(faults).chain(webhooks).collect())
}

/// Leaves out the cases that lack what their scheme signs, and those that tell of the moment at which they were signed.
fn keep_signable(
    templates: &mut Vec<Template>,
    endpoints: &[Endpoint],
    now: Timestamp,
) -> anyhow::Result<()> {
    for endpoint in endpoints.iter().filter(|endpoint| !UNSIGNABLE.contains(&endpoint.provider().as_str())) {
        let row = catalogue::find(endpoint.provider().as_str()).context("no such provider")?;
        // A scheme with a key pair signs whatever body, and making a pair takes seconds.
        if row.scheme.as_ref().is_some_and(|scheme| scheme.key.form == KeyForm::Pem) {
            continue;
        }
        let ring = endpoint.keys(endpoints::forgers_key(endpoint)?)?;
        templates.retain(|template| {
            let Some(filled) = template.fill(1, now).filter(|_| template.provider == row.normaliser()) else {
                return template.provider != row.normaliser();
            };
            let headers: Headers = filled.headers.iter().map(|(name, value)| (name, value)).collect();
            let (query, body) = (&filled.query, filled.body.as_bytes());
            let signed = endpoint.sign(ToSign { headers: &headers, query, body, url: None }, &ring, now);
            let is_told = |value: &str| filled.events.iter().any(|event| event.id.contains(value));
            let is_kept = |(name, value): (&str, &str)| !is_told(value) || signed_has(&signed, name, value);
            signed.is_ok() && headers.iter().all(is_kept)
        });
    }
    Ok(())
}

fn signed_has(signed: &Result<SignedWebhook, SignError>, name: &str, value: &str) -> bool {
    signed.as_ref().is_ok_and(|signed| signed.headers.get(name) == Some(value))
}

struct Planner<'a> {
    endpoints: &'a [Endpoint],
    templates: Vec<Template>,
    seed: &'a str,
    now: Timestamp,
    choices: Choices,
    apart: u64,
    webhooks: Vec<Webhook>,
    /// The places of those that can be repeated and contradicted.
    good: Vec<usize>,
}

impl<'a> Planner<'a> {
    /// The next webhook, or the next few that belong together. Of each thousand so many are what.
    fn next(&mut self) -> anyhow::Result<()> {
        match self.choices.below(1_000) {
            0..550 => self.case(),
            550..675 => self.sample(),
            675..690 => self.suspicious(),
            690..715 => self.told(),
            715..750 => self.copies(),
            750..780 => self.again(),
            780..800 => self.conflict(),
            800..830 => self.reordered(),
            830..840 => self.old(),
            840..880 => self.odd(),
            880..890 => self.large(),
            890..900 => self.given_up(),
            900..930 => self.on_the_wire(),
            930..980 => self.refused(),
            980..990 => self.in_order(),
            _ => self.replayed(),
        }
    }

    fn serial(&self) -> u64 {
        self.webhooks.len() as u64
    }

    /// An endpoint of those that `fits`.
    fn endpoint(&mut self, fits: impl Fn(&Endpoint) -> bool) -> anyhow::Result<&'a Endpoint> {
        let fitting: Vec<&'a Endpoint> = self.endpoints.iter().filter(|endpoint| fits(endpoint)).collect();
        self.choices.pick(&fitting).copied().context("no endpoint for such a webhook")
    }

    fn push(&mut self, class: &str, endpoint: &Endpoint, content: Content, right: Right) -> &mut Webhook {
        let n = self.serial();
        let name = endpoint.id().to_string();
        self.webhooks.push_mut(Webhook {
            n,
            phase: 0,
            at_ms: 0,
            endpoint: name.clone(),
            signer: name,
            class: class.to_owned(),
            content,
            signing: Signing::Good,
            wire: Wire::Patient,
            copies: 1,
            after: None,
            right,
        })
    }

    /// A steady rate. Those that tell one effect, or arrive in the wrong order, are next to each other.
    fn schedule(&mut self, millis: u64) {
        let count = (self.webhooks.len() as u64).max(1);
        for (index, webhook) in self.webhooks.iter_mut().enumerate() {
            webhook.at_ms = index as u64 * millis / count;
        }
    }

    /// Good ones come again minutes later, as they were, and a month later, signed anew.
    fn later(&mut self) -> anyhow::Result<()> {
        for phase in [1, 2] {
            let count = (self.good.len() as u64 / LATER_ONE_IN).max(20);
            for place in 0..count {
                let Some(of) =
                    self.choices.pick(&self.good).and_then(|index| self.webhooks.get(*index)).cloned()
                else {
                    bail!("no webhook to repeat");
                };
                let endpoint = self.endpoints.iter().find(|one| one.id().as_str() == of.signer);
                let endpoint = endpoint.context("a webhook of no endpoint")?;
                let is_dated = of.right.events.iter().all(|event| event.occurred_at.is_some());
                let right = match phase {
                    1 if signs_time(endpoint) => refused(),
                    1 => Right { statuses: vec![200, 409], ..of.right.clone() },
                    _ if is_dated => {
                        Right { fate: Fate::TooOld, statuses: vec![200], events: of.right.events.clone() }
                    }
                    // Without a time of its own it is a new event.
                    _ => continue,
                };
                let webhook = self.push(
                    if phase == 1 { "minutes later" } else { "a month later" },
                    endpoint,
                    of.content,
                    right,
                );
                (webhook.phase, webhook.at_ms, webhook.after) = (phase, place * 50, Some(of.n));
                if phase == 1 {
                    webhook.signing = Signing::Replay { of: of.n, headers: Vec::new() };
                }
            }
        }
        Ok(())
    }
}

/// Whether a webhook can be too old for its scheme, five minutes after it was signed.
fn signs_time(endpoint: &Endpoint) -> bool {
    let row = catalogue::find(endpoint.provider().as_str());
    row.and_then(|row| row.info().ok()).and_then(|info| info.window).is_some_and(|window| window <= 300)
}

fn effect(events: Vec<Event>) -> Right {
    Right { fate: Fate::Effect, statuses: vec![200], events }
}

fn refused() -> Right {
    Right { fate: Fate::Refused, statuses: vec![401], events: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::LazyLock};

    use tollgate_providers::Received;

    use super::*;

    static ENDPOINTS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("tollgate-prove-{}", std::process::id()));
        endpoints::write(&folder).unwrap();
        let endpoints = endpoints::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        endpoints
    });

    fn plan(seed: &str) -> Vec<Line> {
        assert!(ENDPOINTS.len() >= 40, "{}", ENDPOINTS.len());
        lines(&ENDPOINTS, seed, 2_000, 60, "2026-11-30T01:02:03Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_plan_is_a_function_of_its_seed() {
        let plan_7 = plan("7");
        assert_eq!(plan_7, plan("7"));
        assert_ne!(plan_7, plan("8"));
    }

    #[test]
    fn what_is_signed_for_a_good_webhook_verifies() {
        let now = "2026-11-30T01:02:03Z".parse().unwrap();
        let mut templates = templates::read().unwrap();
        keep_signable(&mut templates, &ENDPOINTS, now).unwrap();
        for endpoint in ENDPOINTS.iter().filter(|one| !UNSIGNABLE.contains(&one.provider().as_str())) {
            let row = catalogue::find(endpoint.provider().as_str()).unwrap();
            let ring = endpoint.keys(endpoints::forgers_key(endpoint).unwrap()).unwrap();
            for template in templates.iter().filter(|one| one.provider == row.normaliser()) {
                let filled = template.fill(1, now).unwrap();
                let headers: Headers = filled.headers.iter().map(|(name, value)| (name, value)).collect();
                let (query, body) = (&filled.query, filled.body.as_bytes());
                let signed =
                    endpoint.sign(ToSign { headers: &headers, query, body, url: None }, &ring, now).unwrap();
                let received =
                    Received { headers: &signed.headers, query: &signed.query, body: &signed.body };
                let verified = endpoint.verify(received, &ring, None, now);
                assert!(verified.is_ok(), "{}: {}: {:?}", template.provider, template.name, verified.err());
            }
        }
    }

    #[test]
    fn a_small_plan_has_something_of_each_class_and_of_every_endpoint() {
        let (mut classes, mut endpoints) = (BTreeMap::new(), BTreeMap::new());
        for line in plan("9") {
            let Line::Webhook(webhook) = line else { continue };
            *classes.entry(webhook.class.clone()).or_insert(0) += 1;
            *endpoints.entry(webhook.endpoint.clone()).or_insert(0) += 1;
            let text = serde_json::to_string(&Line::Webhook(webhook.clone())).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), Line::Webhook(webhook));
        }
        assert!(classes.len() >= 30, "{classes:?}");
        assert!(endpoints.len() >= 49, "{endpoints:?}");
    }
}
