//! What is not signed makes no second event: neither a header nor the query gives one captured webhook another id.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::json;
use tollgate_core::{Authenticity, Category, EndpointConfig, Facts};
use tollgate_providers::{
    Endpoint, Headers, KeyRing, SignedWebhook, ToSign,
    catalogue::{self, Provider},
    normalise::Normaliser,
};

use crate::{
    cases::{self, Case},
    mutations::Random,
    providers::{NOW, at, config, key_text, now, received, ring},
};

/// The most cases of one provider in tests that change their bodies.
pub const CASES: usize = 12;

/// The most words that one header is given.
const WORDS: usize = 4;

/// A moment that no case has, in the forms in which headers and queries have one.
const MOMENTS: [&str; 4] =
    ["2026-01-02T07:08:09.101Z", "1767337689", "1767337689101", "Fri, 02 Jan 2026 07:08:09 GMT"];

/// A way to sign, and whose content it is.
pub struct Signer {
    name: String,
    scheme: serde_json::Value,
    pub normaliser: Normaliser,
    key: String,
}

impl Signer {
    pub fn of(row: &Provider) -> Self {
        let normaliser = Normaliser::named(row.normaliser()).unwrap();
        Self { name: row.name.clone(), scheme: json!(row.name), normaliser, key: key_text(row, 1) }
    }

    /// A scheme of an operator's own, which signs the body alone.
    fn custom(normaliser: Normaliser) -> Self {
        let scheme = json!({
            "name": "acme", "signature": { "header": "X-Acme" }, "signed": "{body}",
            "algorithm": "hmac-sha256", "encoding": "hex",
        });
        let name = format!("a custom scheme with the normaliser {}", normaliser.name());
        Self { name, scheme, normaliser, key: "a signing secret of ours".to_owned() }
    }

    fn endpoint(&self, case: &Case) -> Endpoint {
        let parameters = case.config.parameters.clone();
        let normaliser = Some(self.normaliser.name().to_owned()).filter(|_| !self.scheme.is_string());
        Endpoint::new(EndpointConfig { parameters, normaliser, ..config(self.scheme.clone()) }).unwrap()
    }
}

/// What an event says, and what is proved of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    pub id: String,
    pub kind: &'static str,
    pub transaction: Option<String>,
    pub movement: Option<String>,
    pub amount: Option<String>,
    pub time: Option<String>,
    pub is_verified: bool,
}

impl Told {
    /// Whether it says under a new id what one of `known` says, at whatever time.
    fn repeats(&self, known: &[Self]) -> bool {
        let says = |it: &Self| Self { id: String::new(), time: None, ..it.clone() };
        known.iter().all(|known| known.id != self.id) && known.iter().any(|known| says(known) == says(self))
    }
}

/// The events of a webhook that is genuine, `None` of one that is refused.
pub fn told(endpoint: &Endpoint, keys: &KeyRing, webhook: &SignedWebhook) -> Option<Vec<Told>> {
    let verified = endpoint.verify(received(webhook), keys, None, now()).ok()?;
    let is_verified = verified.authenticity() == Authenticity::Verified;
    let text = |value: &Option<Cow<'_, str>>| value.as_deref().map(str::to_owned);
    let told = |facts: Facts<'_>| {
        let of_a_payment =
            facts.transaction_id.clone().filter(|_| facts.kind.category() == Category::Payment);
        Told {
            id: facts.event_id.clone().into_owned(),
            kind: facts.kind.as_str(),
            transaction: text(&facts.transaction_id),
            movement: text(&facts.movement_id.clone().or(of_a_payment)),
            amount: facts.amount.map(|amount| amount.to_string()),
            time: facts.occurred_at.map(|at| at.to_string()),
            is_verified: is_verified && !facts.is_unsigned,
        }
    };
    Some(endpoint.normalise(verified.into()).unwrap_or_default().into_iter().map(told).collect())
}

/// The same bytes with other headers and queries, and what is other about them.
pub fn others(signed: &SignedWebhook, signer: &Signer, seed: u64) -> Vec<(String, SignedWebhook)> {
    let mut random = Random::new(seed);
    let mut names: BTreeSet<String> =
        signed.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.extend(signer.normaliser.headers().iter().map(|name| (*name).to_owned()));
    let words = |name: &str| {
        let cases = cases::all().iter().filter(|case| case.provider == signer.normaliser.name());
        let said = cases.filter_map(|case| case.headers.get(name));
        said.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let with = |change: &dyn Fn(&mut Headers)| {
        let mut headers = signed.headers.clone();
        change(&mut headers);
        SignedWebhook { headers, ..signed.clone() }
    };
    let mut others = Vec::new();
    for name in &names {
        let mut values = words(name);
        random.shuffle(&mut values);
        values.truncate(WORDS);
        values.extend(["other-1"].iter().chain(&MOMENTS).map(|value| (*value).to_owned()));
        others.push((format!("without {name}"), with(&|headers| headers.remove(name))));
        for value in values {
            let set = with(&|headers| {
                headers.remove(name);
                headers.push(name.as_str(), value.as_str());
            });
            others.push((format!("{name}: {value}"), set));
            let first: Headers =
                [(name.as_str(), value.as_str())].into_iter().chain(signed.headers.iter()).collect();
            others.push((
                format!("{name}: {value} before"),
                SignedWebhook { headers: first, ..signed.clone() },
            ));
        }
    }
    let queries =
        ["", "id=other-1&type=payment&topic=payment", "data.id=other-1&data_id=other-1", "type=order"];
    let mut queries = queries.map(str::to_owned).to_vec();
    queries.push(format!("{}&data.id=other-1", signed.query));
    let fields = signer.normaliser.query().iter().chain(&["timestamp", "created_at"]);
    queries.extend(fields.flat_map(|name| MOMENTS.map(|moment| format!("{name}={moment}&{}", signed.query))));
    for query in queries {
        others.push((format!("?{query}"), SignedWebhook { query, ..signed.clone() }));
    }
    // A family of headers in place of another, or beside it.
    let all = with(&|headers| names.iter().for_each(|name| headers.push(name.as_str(), "other-2")));
    others.push(("all headers twice".to_owned(), all));
    let missing = |headers: &mut Headers| {
        for name in names.iter().filter(|name| signed.headers.get(name).is_none()) {
            headers.push(name.as_str(), "other-3");
        }
    };
    others.push(("all missing headers".to_owned(), with(&missing)));
    others
}

impl Signer {
    /// Its webhooks of the normaliser's cases, with what they tell: those that can be signed and say something.
    pub fn webhooks(&self) -> Vec<Webhook> {
        let cases = cases::all().iter().filter(|case| case.provider == self.normaliser.name());
        let webhook = |case: &'static Case| {
            let endpoint = self.endpoint(case);
            let keys = ring(&endpoint, &[("1", &self.key)]);
            // A scheme that wraps its content is given what it wraps.
            let body = if self.scheme.is_string() { case.content.as_bytes() } else { &case.body };
            let to_sign = ToSign { headers: &case.headers, query: &case.query, body, url: None };
            let signed = endpoint.sign(to_sign, &keys, at(NOW)).ok()?;
            let told = told(&endpoint, &keys, &signed).filter(|told| !told.is_empty())?;
            Some(Webhook { case, endpoint, keys, signed, told })
        };
        let webhooks: Vec<_> = cases.filter_map(webhook).collect();
        assert!(!webhooks.is_empty(), "{}: no case can be signed", self.name);
        webhooks
    }
}

/// A signed webhook and its events.
pub struct Webhook {
    pub case: &'static Case,
    pub endpoint: Endpoint,
    pub keys: KeyRing,
    pub signed: SignedWebhook,
    pub told: Vec<Told>,
}

/// The first event that other unsigned parts make: one that is verified and says anything else, the time included, which
/// decides whether an event is too old to take effect; or one that only repeats another under a new id, where the body is
/// signed.
fn second_event(signer: &Signer) -> Result<(), String> {
    let mut passed = 0;
    for (seed, Webhook { case, endpoint, keys, signed, told: events }) in (1..).zip(&signer.webhooks()) {
        for (what, other) in others(signed, signer, seed) {
            let Some(told) = told(endpoint, keys, &other) else { continue };
            passed += 1;
            let has_shared_key = catalogue::find(&signer.name).is_some_and(|row| row.shared_key.is_some());
            let binds = endpoint.authenticity() == Authenticity::Verified || has_shared_key;
            let is_second = |event: &&Told| {
                event.is_verified && !events.contains(event) || binds && event.repeats(events)
            };
            if let Some(second) = told.iter().find(is_second) {
                return Err(format!("{}, {case}, {what}:\n    {second:?}\n    {events:?}", signer.name));
            }
        }
    }
    assert!(passed >= 4, "{}: only {passed} others passed", signer.name);
    Ok(())
}

#[test]
fn what_is_not_signed_makes_no_second_event() {
    let rows = catalogue::providers().iter();
    // Nobody can sign for PayPal: what it proves is tested in its place.
    let rows = rows.filter(|row| row.name != "paypal").map(Signer::of);
    let failures: Vec<_> = rows.filter_map(|signer| second_event(&signer).err()).collect();
    assert!(failures.is_empty(), "{} schemes:\n{}", failures.len(), failures.join("\n"));
    let paypal = catalogue::find("paypal").unwrap().info().unwrap();
    assert_eq!(paypal.authenticity, Authenticity::Authenticated);
}

#[test]
fn a_custom_scheme_vouches_for_what_it_signs_alone() {
    let signers = Normaliser::all().map(Signer::custom);
    let failures: Vec<_> = signers.filter_map(|signer| second_event(&signer).err()).collect();
    assert!(failures.is_empty(), "{} normalisers:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_custom_scheme_that_signs_the_event_id_vouches_for_it() {
    let normaliser = Normaliser::named("standard_webhooks").unwrap();
    let case = cases::all().iter().find(|case| case.provider == "standard_webhooks").unwrap();
    for (signed, is_verified) in [("{header:webhook-id}.{body}", true), ("{body}", false)] {
        let mut signer = Signer::custom(normaliser);
        signer.scheme["signed"] = json!(signed);
        let endpoint = signer.endpoint(case);
        let keys = ring(&endpoint, &[("1", &signer.key)]);
        let to_sign = ToSign { headers: &case.headers, query: "", body: &case.body, url: None };
        let webhook = endpoint.sign(to_sign, &keys, at(NOW)).unwrap();
        let told = told(&endpoint, &keys, &webhook).unwrap();
        assert_eq!(told[0].is_verified, is_verified, "{signed}");
        assert_eq!(Some(told[0].id.as_str()) == case.headers.get("webhook-id"), is_verified, "{signed}");
    }
}
