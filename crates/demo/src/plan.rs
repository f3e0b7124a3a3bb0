//! What the demo sends, and what must become of each webhook. Everything is a function of the seed, the keys and the
//! moment.

use anyhow::Context;
use bytes::Bytes;
use tollgate_core::{EventId, LedgerKey, Money, RiskTier, Timestamp, id::hex_sha256};
use tollgate_providers::Endpoint;
use tollgate_samples::{Choices, Draft, Kind, Sample};

use tollgate_cli::{http::Parcel, signer::Signer};

/// The body limit of the deployment: `MaxBodyBytes` in `infra/tollgate.yaml`, in bytes.
const BODY_LIMIT: usize = 1_048_576;
/// Within the limit, and with its attributes beyond what an SQS message holds.
const CLAIM_CHECK_BYTES: usize = BODY_LIMIT - 100;
/// Past every scheme's window.
const EXPIRED_SECONDS: i64 = 100_000;

/// Amounts below the medium threshold, from it to the high one, and above that: the thresholds in
/// `infra/tollgate.yaml`, in minor units.
const CURRENCIES: [(&str, [(u64, u64); 3]); 6] = [
    ("USD", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
    ("EUR", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
    ("GBP", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
    ("JPY", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
    ("KWD", [(1_000, 299_999), (300_000, 3_000_000), (3_000_001, 9_000_000)]),
    ("CHF", [(100, 99_999), (100_000, 1_000_000), (1_000_001, 5_000_000)]),
];
const TIERS: [RiskTier; 3] = [RiskTier::Low, RiskTier::Medium, RiskTier::High];

/// Why a webhook is in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// As a provider sends it.
    Good,
    /// Likewise, of 100 to 300 KB.
    Large,
    /// Likewise, too large for a queue's message.
    ClaimCheck,
    /// A good signature over half a body.
    Unparseable,
    /// One of several that tell the same effect, sent at the same time.
    Told,
    /// The exact bytes of an earlier one.
    Repeat,
    /// A digit changed after signing.
    Tampered,
    /// Signed with an unknown key.
    Forged,
    /// Signed before the window.
    Expired,
    /// Over the limit.
    Oversized,
    /// To a name that is no endpoint's.
    Stray,
}

/// What must become of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fate {
    Accepted,
    Duplicate,
    /// With this HTTP status.
    Rejected(u16),
}

/// One event in a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) id: EventId,
    pub(crate) key: String,
    /// `None`: not understood, so that it is routed nowhere and rated nothing.
    pub(crate) kind: Option<Kind>,
    pub(crate) tier: RiskTier,
}

/// One webhook of the plan.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// Index into the signers.
    pub(crate) signer: usize,
    pub(crate) class: Class,
    pub(crate) fate: Fate,
    pub(crate) parcel: Parcel,
    pub(crate) body_sha256: String,
    pub(crate) events: Vec<Expected>,
    pub(crate) money: Money,
    /// The number of the effect that this one tells and others too.
    pub(crate) effect: Option<u64>,
    /// The webhook that this one repeats.
    pub(crate) repeats: Option<usize>,
}

/// Of so many webhooks, two or three tell one payment by an event each, at these places.
const TOLD_EVERY: u64 = 60;
const TOLD_AT: std::ops::Range<u64> = 41..44;

/// Whether the webhook tells a payment that others tell too: two pairs of payments, of a fast endpoint and an ordered one
/// each, in turn by three events and by two.
fn is_told(serial: u64) -> bool {
    let (effect, place) = (serial / TOLD_EVERY, serial % TOLD_EVERY);
    let is_by_two = effect / 2 % 2 == 1;
    TOLD_AT.contains(&place) && !(is_by_two && place + 1 == TOLD_AT.end)
}

/// How many of each hundred webhooks are what; the rest are good.
fn class_of(choices: &mut Choices, serial: u64) -> Class {
    // The rare and the big at fixed places, so that a demo of any size has each of them.
    match serial % 300 {
        7 => return Class::ClaimCheck,
        17 => return Class::Oversized,
        27 | 127 | 227 => return Class::Large,
        37 => return Class::Stray,
        _ => {}
    }
    if is_told(serial) {
        return Class::Told;
    }
    match choices.below(100) {
        0..10 => Class::Repeat,
        10..13 => Class::Tampered,
        13..15 => Class::Forged,
        15..18 => Class::Expired,
        18..21 => Class::Unparseable,
        _ => Class::Good,
    }
}

/// The plan: `waves` of webhooks. A repeat is always in a later wave than what it repeats, so that "accepted"
/// and "duplicate" are not a race.
pub(crate) fn plan(
    signers: &[Signer],
    api: &str,
    seed: &str,
    total: u64,
    wave: u64,
    now: Timestamp,
) -> anyhow::Result<Vec<Vec<Planned>>> {
    let mut planner = Planner { signers, api, seed, now, choices: Choices::new(seed) };
    let mut done: Vec<Planned> = Vec::new();
    let mut waves = Vec::new();
    let mut serial = 0;
    while serial < total {
        let end = (serial + wave).min(total);
        let earlier = done.len();
        for serial in serial..end {
            let class = class_of(&mut planner.choices, serial);
            let planned = match class {
                Class::Repeat => match planner.repeat(&done, earlier) {
                    Some(repeat) => repeat,
                    None => planner.webhook(Class::Good, serial)?,
                },
                Class::Told => planner.telling(serial)?,
                class => planner.webhook(class, serial)?,
            };
            done.push(planned);
        }
        waves.push(done.get(earlier..).unwrap_or_default().to_vec());
        serial = end;
    }
    Ok(waves)
}

struct Planner<'a> {
    signers: &'a [Signer],
    api: &'a str,
    seed: &'a str,
    now: Timestamp,
    choices: Choices,
}

impl<'a> Planner<'a> {
    fn repeat(&mut self, done: &[Planned], earlier: usize) -> Option<Planned> {
        let accepted: Vec<usize> = done
            .iter()
            .take(earlier)
            .enumerate()
            .filter(|(_, planned)| planned.fate == Fate::Accepted)
            .map(|(index, _)| index)
            .collect();
        let index = *self.choices.pick(&accepted)?;
        let original = done.get(index)?;
        Some(Planned {
            class: Class::Repeat,
            fate: Fate::Duplicate,
            repeats: Some(index),
            ..original.clone()
        })
    }

    /// One of the webhooks that tell a payment by several events: at Stripe's endpoints in turn, fast and ordered.
    fn telling(&self, serial: u64) -> anyhow::Result<Planned> {
        let effect = serial / TOLD_EVERY;
        let is_stripe = |signer: &Signer| signer.endpoint.provider().as_str() == "stripe";
        let stripe: Vec<_> =
            self.signers.iter().enumerate().filter(|(_, signer)| is_stripe(signer)).collect();
        let turn = usize::try_from(effect)? % stripe.len().max(1);
        let (index, signer) = stripe.get(turn).copied().context("no endpoint of Stripe")?;
        let money = Money::from_minor(i128::from(1_000 + effect), tollgate_core::Currency::new("EUR")?)?;
        let id = tollgate_samples::id(self.seed, effect * TOLD_EVERY + TOLD_AT.start);
        let sample = Sample { kind: Kind::Payment, money, id, at: self.now, items: 1 };
        let tellings = sample.tellings(signer.endpoint.provider().as_str()).context("no body is built in")?;
        let number = usize::try_from(serial % TOLD_EVERY - TOLD_AT.start)? % tellings.len().max(1);
        let draft = tellings.get(number).context("no telling")?;
        let parcel = self.parcel(Class::Told, signer, draft)?;
        let one = |id: &String| expected(&signer.endpoint, id, Some(Kind::Payment), RiskTier::Low);
        Ok(Planned {
            signer: index,
            class: Class::Told,
            fate: Fate::Accepted,
            body_sha256: hex_sha256(&parcel.body),
            parcel,
            events: draft.event_ids.iter().map(one).collect(),
            money,
            effect: Some(effect),
            repeats: None,
        })
    }

    fn webhook(&mut self, class: Class, serial: u64) -> anyhow::Result<Planned> {
        let (index, signer) = self.signer_for(class, serial)?;
        let (sample, tier) = self.sample(signer, serial)?;
        let provider = signer.endpoint.provider().as_str();
        let mut draft =
            sample.draft(provider).with_context(|| format!("no body is built in for {provider}"))?;
        match class {
            Class::Large => draft.pad_to(usize::try_from(100_000 + self.choices.below(200_000))?),
            Class::ClaimCheck => draft.pad_to(CLAIM_CHECK_BYTES),
            Class::Oversized => draft.pad_to(BODY_LIMIT + 1),
            Class::Unparseable => draft.break_off(),
            _ => {}
        }
        let parcel = self.parcel(class, signer, &draft)?;
        let fate = match class {
            Class::Tampered | Class::Forged | Class::Expired => Fate::Rejected(401),
            Class::Oversized => Fate::Rejected(413),
            Class::Stray => Fate::Rejected(404),
            Class::Unparseable if signer.endpoint.is_generic() => Fate::Rejected(400),
            _ => Fate::Accepted,
        };
        let body_sha256 = hex_sha256(&parcel.body);
        let events = match class {
            Class::Unparseable => {
                vec![expected(&signer.endpoint, &format!("sha256:{body_sha256}"), None, RiskTier::Unrated)]
            }
            _ => draft
                .event_ids
                .iter()
                .map(|id| expected(&signer.endpoint, id, Some(sample.kind), tier))
                .collect(),
        };
        let money = sample.money;
        Ok(Planned {
            signer: index,
            class,
            fate,
            parcel,
            body_sha256,
            events,
            money,
            effect: None,
            repeats: None,
        })
    }

    fn sample(&mut self, signer: &Signer, serial: u64) -> anyhow::Result<(Sample, RiskTier)> {
        let kind = match self.choices.below(10) {
            0..2 => Kind::Refund,
            2 => Kind::Dispute,
            _ => Kind::Payment,
        };
        let size = match self.choices.below(20) {
            0..3 => 1,
            3 => 2,
            _ => 0,
        };
        let (code, ranges) = self.choices.pick(&CURRENCIES).context("no currency")?;
        let (low, high) = *ranges.get(size).context("no range")?;
        let units = low + self.choices.below(high - low + 1);
        let money = Money::from_minor(i128::from(units), tollgate_core::Currency::new(code)?)?;
        let items = match signer.endpoint.provider().as_str() {
            "adyen" => usize::try_from(1 + self.choices.below(4))?,
            _ => 1,
        };
        let id = tollgate_samples::id(self.seed, serial);
        let tier = *TIERS.get(size).context("no tier")?;
        Ok((Sample { kind, money, id, at: self.now, items }, tier))
    }

    /// Endpoints in turn, of those that can have such a webhook.
    fn signer_for(&self, class: Class, serial: u64) -> anyhow::Result<(usize, &'a Signer)> {
        let probe = Draft { body: b"{\"a\":1}".to_vec(), headers: Default::default(), event_ids: Vec::new() };
        let fits = |signer: &Signer| match class {
            Class::Expired => signer.signs_time(&probe, self.now),
            // Adyen's signature is inside the body: a broken one is not signed.
            Class::Unparseable => signer.endpoint.provider().as_str() != "adyen",
            // One event only, whose body can be of any length.
            Class::Large | Class::ClaimCheck | Class::Stray => !signer.endpoint.is_generic(),
            _ => true,
        };
        let fitting: Vec<_> = self.signers.iter().enumerate().filter(|(_, signer)| fits(signer)).collect();
        let turn = usize::try_from(serial)? % fitting.len().max(1);
        fitting.get(turn).copied().with_context(|| format!("no endpoint for a webhook that is {class:?}"))
    }

    fn parcel(&self, class: Class, signer: &Signer, draft: &Draft) -> anyhow::Result<Parcel> {
        let at = match class {
            Class::Expired => self.now.checked_sub(jiff::SignedDuration::from_secs(EXPIRED_SECONDS))?,
            _ => self.now,
        };
        let mut signed = match class {
            Class::Forged => signer.forger()?.sign(draft, at)?,
            _ => signer.sign(draft, at)?,
        };
        if class == Class::Tampered {
            signer.tamper(&mut signed, self.now)?;
        }
        let mut parcel = Parcel::new(self.api, &signer.endpoint, signed)?;
        if class == Class::Stray {
            parcel.uri = format!("{}/webhook/nobody", self.api.trim_end_matches('/')).parse()?;
        }
        Ok(parcel)
    }
}

fn expected(endpoint: &Endpoint, provider_event_id: &str, kind: Option<Kind>, tier: RiskTier) -> Expected {
    let key = LedgerKey::new(endpoint.id(), provider_event_id);
    Expected { id: key.event_id(), key: key.as_str().to_owned(), kind, tier }
}

/// Bytes of a parcel, for the trace.
pub(crate) fn size(body: &Bytes) -> String {
    match body.len() {
        bytes @ 0..10_000 => format!("{bytes} bytes"),
        bytes => format!("{} KB", bytes / 1_000),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;
    use tollgate_core::EndpointConfig;
    use tollgate_providers::{KeyMaterial, Received, Secret, Trusted};

    use super::*;

    pub(crate) fn signers() -> Vec<Signer> {
        let endpoint = |id: &str, scheme: &str, key: &str| {
            let url = (scheme == "square").then_some("https://example.com/hook");
            let config =
                json!({"id": id, "scheme": scheme, "secret": "secretsmanager:x", "notification_url": url});
            let config: EndpointConfig = serde_json::from_value(config).unwrap();
            let key = KeyMaterial::new("current", Secret::new(key));
            Signer::new(Endpoint::new(config).unwrap(), vec![key]).unwrap()
        };
        vec![
            endpoint("acme", "generic", "0123456789abcdef0123456789abcdef"),
            endpoint("stripe-eu", "stripe", "whsec_0123456789abcdef0123456789abcdef"),
            endpoint("adyen", "adyen", &hex_sha256(b"a test key")),
            endpoint("square", "square", "0123456789abcdef0123456789abcdef"),
            endpoint("razorpay", "razorpay", "0123456789abcdef0123456789abcdef"),
            endpoint("standard", "standard_webhooks", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
        ]
    }

    pub(crate) fn small(total: u64) -> Vec<Planned> {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let waves = plan(&signers(), "http://127.0.0.1:1/v1", "seed", total, 50, now).unwrap();
        waves.into_iter().flatten().collect()
    }

    #[test]
    fn a_plan_holds_every_class_and_every_endpoint() {
        let planned = small(1_200);
        let mut classes: BTreeMap<Class, usize> = BTreeMap::new();
        for one in &planned {
            *classes.entry(one.class).or_default() += 1;
        }
        assert_eq!(classes.len(), 11, "{classes:?}");
        assert_eq!(planned.iter().map(|one| one.signer).collect::<BTreeSet<_>>().len(), 6);
        let currencies: BTreeSet<_> =
            planned.iter().map(|one| one.money.currency().code().to_owned()).collect();
        assert_eq!(currencies.len(), CURRENCIES.len());
        let tiers: BTreeSet<_> = planned.iter().flat_map(|one| &one.events).map(|event| event.tier).collect();
        assert_eq!(tiers.len(), 4);
        assert!(planned.iter().any(|one| one.events.len() > 1));
        let bodies: BTreeSet<_> =
            planned.iter().filter(|one| one.repeats.is_none()).map(|one| &one.body_sha256).collect();
        assert_eq!(bodies.len(), planned.iter().filter(|one| one.repeats.is_none()).count());
    }

    /// What the plan says of each webhook is what verifying and normalising say.
    #[test]
    fn the_plan_agrees_with_the_rules() {
        let signers = signers();
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        for one in small(600) {
            let signer = &signers[one.signer];
            let received = Received { headers: &one.parcel.headers, query: "", body: &one.parcel.body };
            let genuine = signer.verifies(received, now);
            match one.fate {
                Fate::Rejected(401) => assert!(!genuine, "{:?}", one.class),
                _ => assert!(genuine, "{:?} {}", one.class, signer.endpoint.id()),
            }
            if one.fate == Fate::Accepted && one.class != Class::Unparseable {
                let facts = signer.endpoint.normalise(Trusted::for_inspection(received)).unwrap();
                let ids: Vec<EventId> = facts
                    .iter()
                    .map(|facts| LedgerKey::new(signer.endpoint.id(), &facts.event_id).event_id())
                    .collect();
                assert_eq!(ids, one.events.iter().map(|event| event.id).collect::<Vec<_>>());
                assert!(facts.iter().all(|facts| facts.amount == Some(one.money)));
            }
            if one.class == Class::Unparseable {
                assert!(signer.endpoint.normalise(Trusted::for_inspection(received)).is_err());
            }
        }
    }

    #[test]
    fn repeats_come_a_wave_later() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let waves = plan(&signers(), "http://127.0.0.1:1", "seed", 400, 100, now).unwrap();
        assert_eq!(waves.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 100, 100]);
        for (number, wave) in waves.iter().enumerate() {
            assert!(wave.iter().filter_map(|one| one.repeats).all(|original| original < number * 100));
        }
        assert!(waves.iter().flatten().any(|one| one.repeats.is_some()));
    }
}
