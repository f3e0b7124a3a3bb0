//! Making webhooks at providers, by stand-ins that answer as each provider documents.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests only"
)]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tollgate_core::EndpointConfig;
use tollgate_operate::{
    provider_api::{ApiKey, Client, Timing, WebhookKey},
    register::{self, Done, Plan, Step, Stored, Wanted},
};
use tollgate_providers::{Endpoint, Secret, normalise::EventTypes};
use tollgate_testkit::{
    provider_api::{StandIn, State},
    webhook::config,
};

const KEY: &str = "client:rk_test_that_may_write";
const PROVIDERS: [&str; 3] = ["stripe", "paypal", "square"];
const URL: &str = "https://api.example.com/v1/webhook/shop";

fn endpoint(provider: &str) -> Endpoint {
    let notification_url = (provider == "square").then(|| URL.to_owned());
    Endpoint::new(EndpointConfig { notification_url, ..config("shop", provider) }).unwrap()
}

fn wanted() -> Wanted {
    Wanted { url: URL.to_owned(), types: BTreeSet::new(), replace: false }
}

/// A provider, and what is kept here of its endpoint.
struct Setting {
    stand_in: StandIn,
    endpoint: Endpoint,
    client: Client,
    pauses: Arc<Mutex<Vec<Duration>>>,
    kept: Mutex<Option<(String, String)>>,
    runs: usize,
}

impl Setting {
    fn of(provider: &'static str, state: State) -> Self {
        let stand_in = StandIn::start(provider, KEY, state);
        let endpoint = endpoint(provider);
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&pauses);
        let pause = move |time| {
            told.lock().unwrap().push(time);
            Box::pin(std::future::ready(())) as futures_util::future::BoxFuture<'static, ()>
        };
        let timing = Timing { now: || "2026-01-31T12:00:00Z".parse().unwrap(), pause: Arc::new(pause) };
        let api = register::api_of(&endpoint).unwrap();
        let client =
            Client::new(api, ApiKey::new(KEY).unwrap(), Some(&stand_in.url()), false, timing).unwrap();
        Self { stand_in, endpoint, client, pauses, kept: Mutex::default(), runs: 0 }
    }

    async fn plan(&mut self, wanted: &Wanted) -> anyhow::Result<Plan> {
        let stored = match &*self.kept.lock().unwrap() {
            Some((webhook, key)) => {
                Stored { key: Some(Secret::new(key.clone())), webhook_id: Some(webhook.clone()) }
            }
            None => Stored::default(),
        };
        register::plan(&mut self.client, &self.endpoint, wanted, &stored).await
    }

    /// Does what is planned; `dies` has the process die before it keeps the key.
    async fn run(&mut self, wanted: &Wanted, dies: bool) -> (Plan, Done) {
        let plan = self.plan(wanted).await.unwrap();
        self.runs += 1;
        let kept = &self.kept;
        let store = async |webhook: &str, key: &WebhookKey| {
            anyhow::ensure!(!dies, "the process dies");
            *kept.lock().unwrap() = Some((webhook.to_owned(), key.text().to_owned()));
            Ok(())
        };
        let once = format!("run-{}", self.runs);
        let done = register::carry_out(&mut self.client, &self.endpoint, &plan, &once, store).await;
        (plan, done)
    }

    fn webhooks(&self) -> Vec<Value> {
        self.stand_in.with(|state| state.webhooks.clone())
    }

    /// The key of a webhook, as the provider knows it.
    fn key_of(&self, webhook: &str) -> String {
        let webhooks = self.webhooks();
        let one = webhooks.iter().find(|one| one["id"] == webhook).unwrap();
        let key = ["secret", "signature_key", "id"].into_iter().find_map(|name| one[name].as_str());
        key.unwrap().to_owned()
    }
}

fn mapped(provider: &str) -> BTreeSet<String> {
    EventTypes::of(provider).unwrap().mapped.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_webhook_is_made_for_the_types_that_are_read_and_its_key_is_kept() {
    for provider in PROVIDERS {
        let mut setting = Setting::of(provider, State::default());
        let looked_at = setting.plan(&wanted()).await.unwrap();
        assert_eq!(
            (looked_at.step, setting.webhooks().len()),
            (Step::Make, 0),
            "{provider}: looking makes nothing"
        );
        let (plan, done) = setting.run(&wanted(), false).await;
        assert_eq!(done.error, None, "{provider}");
        assert_eq!(plan.types.sent, mapped(provider), "{provider}");
        let (webhook, key) = setting.kept.lock().unwrap().clone().unwrap();
        assert_eq!(
            (done.made.as_ref(), done.stored.as_ref()),
            (Some(&webhook), Some(&webhook)),
            "{provider}"
        );
        assert_eq!(key, setting.key_of(&webhook), "{provider}");
        // Nothing that is printed or recorded has it, where it is a secret.
        let told = format!("{plan:?} {done:?} {}", json!({ "plan": plan, "done": done }));
        assert_eq!(told.contains(&key), provider == "paypal", "{provider}");

        let (again, nothing) = setting.run(&wanted(), false).await;
        assert_eq!((again.step, nothing), (Step::Nothing { webhook }, Done::default()), "{provider}");
        assert!(again.types.missed.is_empty() && again.types.unknown.is_empty(), "{provider}");
        assert_eq!(setting.webhooks().len(), 1, "{provider}");
    }
}

#[tokio::test]
async fn a_key_that_was_not_kept_is_read_again_where_the_provider_shows_it() {
    for provider in ["paypal", "square"] {
        let mut setting = Setting::of(provider, State::default());
        let (_, died) = setting.run(&wanted(), true).await;
        assert!(died.error.unwrap().contains("not stored"), "{provider}");
        let webhook = died.made.unwrap();
        // Another key is here meanwhile: one for tests, say.
        *setting.kept.lock().unwrap() = Some((webhook.clone(), "another".to_owned()));
        let (plan, done) = setting.run(&wanted(), false).await;
        assert_eq!(plan.step, Step::StoreKey { webhook: webhook.clone() }, "{provider}");
        assert_eq!((done.made, done.stored), (None, Some(webhook.clone())), "{provider}");
        assert_eq!(setting.kept.lock().unwrap().clone().unwrap().1, setting.key_of(&webhook), "{provider}");
        let replace = Wanted { replace: true, ..wanted() };
        assert!(
            setting.plan(&replace).await.unwrap_err().to_string().contains("nothing to replace"),
            "{provider}"
        );
    }
}

#[tokio::test]
async fn a_key_that_is_shown_once_is_lost_with_the_process_and_the_webhook_replaced() {
    let mut setting = Setting::of("stripe", State::default());
    let replace = Wanted { replace: true, ..wanted() };
    let (_, died) = setting.run(&wanted(), true).await;
    let first = died.made.unwrap();
    let plan = setting.plan(&wanted()).await.unwrap();
    assert_eq!(plan.step, Step::KeyLost { webhooks: vec![first.clone()], has_key: false });
    // A key that was made for tests says nothing of it.
    *setting.kept.lock().unwrap() = Some(("we_of_nobody".to_owned(), "whsec_of_a_test".to_owned()));
    let plan = setting.plan(&wanted()).await.unwrap();
    assert_eq!(plan.step, Step::KeyLost { webhooks: vec![first.clone()], has_key: true });
    // Whoever replaces it may die as well, before it is kept, and before the old one is removed.
    let (_, died) = setting.run(&replace, true).await;
    let second = died.made.unwrap();
    assert_eq!((died.removed.len(), setting.webhooks().len()), (0, 2));
    let (plan, done) = setting.run(&replace, false).await;
    assert_eq!(plan.step, Step::Replace { webhooks: vec![first.clone(), second] });
    // What was refused meanwhile is not sent again by a webhook that is gone.
    let is_told = |plan: &Plan, webhook: &str| {
        plan.notes.iter().any(|note| note.contains(webhook) && note.contains("reconcile shop --ingest"))
    };
    assert!(is_told(&plan, &first), "{plan:?}");
    let own = done.stored.unwrap();
    assert_eq!((done.removed.len(), done.error), (2, None));
    assert_eq!(setting.webhooks().len(), 1);
    assert_eq!(setting.kept.lock().unwrap().clone().unwrap(), (own.clone(), setting.key_of(&own)));

    // One that is left of a run that ended before it removed it.
    let left = json!({ "id": "we_left", "url": URL, "enabled_events": ["*"], "status": "enabled", "secret": "whsec_left" });
    setting.stand_in.with(|state| state.webhooks.insert(0, left));
    let plan = setting.plan(&wanted()).await.unwrap();
    assert_eq!(plan.step, Step::Nothing { webhook: own.clone() });
    assert!(plan.notes[0].contains("we_left") && !is_told(&plan, "we_left"), "{plan:?}");
    let (plan, done) = setting.run(&replace, false).await;
    assert!(is_told(&plan, "we_left"), "{plan:?}");
    assert_eq!(plan.step, Step::RemoveOthers { webhook: own.clone(), webhooks: vec!["we_left".to_owned()] });
    assert_eq!(
        (done.removed, setting.webhooks()[0]["id"].as_str()),
        (vec!["we_left".to_owned()], Some(own.as_str()))
    );
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_webhook() {
    for provider in PROVIDERS {
        let mut setting = Setting::of(provider, State { lost: 1, ..State::default() });
        let (_, done) = setting.run(&wanted(), false).await;
        assert_eq!(setting.webhooks().len(), 1, "{provider}");
        if provider == "paypal" {
            // It takes no text of the request's own: whether it was made is not known, and it is not asked twice.
            assert!(done.error.unwrap().contains("not known"), "{provider}");
            let (plan, done) = setting.run(&wanted(), false).await;
            assert!(matches!(plan.step, Step::StoreKey { .. }), "{plan:?}");
            assert_eq!(done.error, None);
        } else {
            assert_eq!(done.error, None, "{provider}");
        }
        let (webhook, key) = setting.kept.lock().unwrap().clone().unwrap();
        assert_eq!(key, setting.key_of(&webhook), "{provider}");
    }
    // Whether it was heard the first time is not known either where no answer ever comes.
    let mut setting = Setting::of("stripe", State { lost: 100, ..State::default() });
    let (_, done) = setting.run(&wanted(), false).await;
    assert!(done.error.unwrap().contains("not known"));
    assert_eq!(setting.webhooks().len(), 1);
}

#[tokio::test]
async fn limits_are_kept_and_refusals_are_told() {
    for provider in PROVIDERS {
        // The token, the list and the types are asked for first.
        let mut setting = Setting::of(provider, State::default());
        let plan = setting.plan(&wanted()).await.unwrap();
        setting.stand_in.with(|state| state.failures = vec![(429, Some(("Retry-After", "7".to_owned())))]);
        let store = async |_: &str, _: &WebhookKey| Ok(());
        let done = register::carry_out(&mut setting.client, &setting.endpoint, &plan, "a", store).await;
        assert_eq!((done.error, setting.webhooks().len()), (None, 1), "{provider}");
        assert!(setting.pauses.lock().unwrap().contains(&Duration::from_secs(7)), "{provider}");

        let mut setting = Setting::of(provider, State::default());
        let wrong = Wanted { types: BTreeSet::from(["no.such.type".to_owned()]), ..wanted() };
        let (plan, done) = setting.run(&wrong, false).await;
        assert_eq!(plan.types.unknown, wrong.types, "{provider}");
        let error = done.error.unwrap();
        assert!(error.contains("400: Invalid") && !error.contains(KEY), "{provider}: {error}");
        assert_eq!(setting.webhooks().len(), 0, "{provider}");

        setting.stand_in.with(|state| state.failures = vec![(403, None)]);
        let refused = setting.plan(&wanted()).await.unwrap_err();
        assert!(format!("{refused:#}").contains("refuses the key"), "{provider}: {refused:#}");
    }
}

#[tokio::test]
async fn what_a_webhook_is_sent_is_compared_with_what_is_read_here() {
    let webhook = |id: &str, url: &str, types: &[&str], status: &str| json!({ "id": id, "url": url, "enabled_events": types, "status": status, "secret": "whsec_1" });
    let few = ["charge.captured", "account.updated", "made.up"];
    let elsewhere = "https://green.example.com/webhook/shop";
    let webhooks =
        vec![webhook("we_1", URL, &few, "disabled"), webhook("we_2", elsewhere, &["*"], "enabled")];
    let mut setting = Setting::of("stripe", State { webhooks, ..State::default() });
    *setting.kept.lock().unwrap() = Some(("we_1".to_owned(), "whsec_1".to_owned()));
    let plan = setting.plan(&wanted()).await.unwrap();
    assert_eq!(plan.step, Step::Nothing { webhook: "we_1".to_owned() });
    let one = |name: &str| BTreeSet::from([name.to_owned()]);
    assert_eq!((plan.types.ignored, plan.types.unknown), (one("account.updated"), one("made.up")));
    let mut missed = mapped("stripe");
    missed.remove("charge.captured");
    assert_eq!(plan.types.missed, missed);
    assert!(plan.notes.iter().any(|note| note.contains(elsewhere)), "{:?}", plan.notes);
    assert!(plan.is_off && plan.notes.iter().any(|note| note.contains("switched off")), "{:?}", plan.notes);

    setting.stand_in.with(|state| state.webhooks[0]["enabled_events"] = json!(["*"]));
    let plan = setting.plan(&wanted()).await.unwrap();
    let types = &plan.types;
    assert!(types.is_all && types.missed.is_empty() && types.unknown.is_empty(), "{types:?}");
    // All its types help nothing while it is switched off.
    assert!(plan.is_off && plan.is_amiss(), "{plan:?}");
    let replaced = setting.plan(&Wanted { replace: true, ..wanted() }).await.unwrap();
    assert!(!replaced.is_off && !replaced.is_amiss(), "another one is made: {replaced:?}");
    setting.stand_in.with(|state| state.webhooks[0]["status"] = json!("enabled"));
    let plan = setting.plan(&wanted()).await.unwrap();
    assert!(!plan.is_off && !plan.is_amiss(), "{plan:?}");
    setting.stand_in.with(|state| state.webhooks[0]["enabled_events"] = json!(["charge.captured"]));
    assert!(setting.plan(&wanted()).await.unwrap().is_amiss());
}

#[test]
fn a_webhook_leads_to_its_endpoint() {
    let (stripe, square) = (endpoint("stripe"), endpoint("square"));
    assert_eq!(register::url(&stripe, Some(URL)).unwrap(), URL);
    assert_eq!(register::url(&square, None).unwrap(), URL, "what its scheme signs");
    for wrong in [
        "http://api.example.com/webhook/shop",
        "https://api.example.com/webhook/shop/",
        "https://api.example.com/webhook/other",
        "https://api.example.com/webhook/myshop",
        "https://api.example.com/webhook/shop?a=b",
        "https://user@api.example.com/webhook/shop",
        "https:///webhook/shop",
        "https://api.example.com/webhook /webhook/shop",
    ] {
        assert!(register::url(&stripe, Some(wrong)).is_err(), "{wrong}");
    }
    assert!(register::url(&stripe, None).is_err());
    assert!(register::url(&square, Some("https://other.example.com/webhook/shop")).is_err());
    let by_hand = register::api_of(&endpoint("adyen")).unwrap_err().to_string();
    assert!(by_hand.contains("adyen"), "{by_hand}");
}
