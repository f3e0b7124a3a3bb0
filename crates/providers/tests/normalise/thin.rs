//! What thin webhooks say once their objects are fetched.

use serde_json::{Value, json};
use tollgate_core::Facts;
use tollgate_providers::{Endpoint, EndpointConfig, Headers, NamedObject, Received, Trusted};

use crate::cases;

fn endpoint(provider: &str) -> Endpoint {
    let scheme = provider.into();
    Endpoint::new(EndpointConfig { scheme, enrich: true, ..cases::endpoint(provider) }).unwrap()
}

/// An event as Stripe's changelog of 2026-09-30 describes it.
fn stripe(kind: &str, related: Option<(&str, &str)>, more: Value) -> Value {
    let related = related.map(|(kind, id)| json!({ "id": id, "type": kind, "url": format!("/v1/any/{id}") }));
    let mut event = json!({ "id": "evt_1", "object": "v2.core.event", "type": kind, "livemode": true,
        "created": "2026-01-02T03:04:05.678Z", "context": null, "related_object": related });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn mercado_pago(payment: &str) -> Value {
    json!({ "action": "payment.updated", "type": "payment", "id": 1, "data": { "id": payment }, "live_mode": true })
}

struct Case<'a> {
    provider: &'a str,
    query: &'a str,
    body: Value,
}

impl Case<'_> {
    fn received<'r>(&'r self, body: &'r [u8], headers: &'r Headers) -> Received<'r> {
        Received { headers, query: self.query, body }
    }

    fn named(&self) -> Option<(String, String, Option<String>)> {
        let (body, headers) = (self.body.to_string(), Headers::new());
        let trusted = Trusted::for_inspection(self.received(body.as_bytes(), &headers));
        endpoint(self.provider).named_object(trusted).map(|NamedObject { kind, id, context }| {
            (kind.to_owned(), id.into_owned(), context.map(|context| context.into_owned()))
        })
    }

    /// The facts that matter, in one line.
    fn told(&self, object: &Value) -> Result<String, String> {
        let (body, headers, object) = (self.body.to_string(), Headers::new(), object.to_string());
        let trusted = Trusted::for_inspection(self.received(body.as_bytes(), &headers));
        let facts = endpoint(self.provider).enriched(trusted, object.as_bytes());
        facts.map(|facts| line(&facts)).map_err(|problem| problem.to_string())
    }
}

fn line(facts: &Facts<'_>) -> String {
    let amount = facts.amount.map_or("-".to_owned(), |amount| {
        format!("{} {}", amount.to_decimal().unwrap_or_default(), amount.currency())
    });
    let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or("-").to_owned();
    let occurrence = facts.occurrence.as_deref().map(|one| format!(" occurrence {one}")).unwrap_or_default();
    format!(
        "{} {} {amount} movement {}{occurrence}",
        facts.kind.as_str(),
        text(&facts.transaction_id),
        text(&facts.movement_id)
    )
}

fn thin(kind: &str, related: (&str, &str)) -> Case<'static> {
    Case { provider: "stripe", query: "", body: stripe(kind, Some(related), json!({})) }
}

fn payment(status: &str, detail: &str, more: Value) -> Value {
    let mut payment = json!({ "id": 123, "status": status, "status_detail": detail, "transaction_amount": 58.8,
        "currency_id": "BRL", "refunds": [] });
    payment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    payment
}

#[test]
fn every_thin_case_gives_the_facts_beside_it() {
    let money = |id: &str, more: Value| {
        let mut object = json!({ "id": id, "amount": 1099, "currency": "eur" });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let snapshot = json!({ "id": "evt_snap", "object": "event", "type": "charge.refunded", "api_version": "2022-08-01",
        "data": { "object": { "id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 700, "currency": "eur", "captured": true },
            "previous_attributes": { "amount_refunded": 200 } } });
    let of_snapshot = Case {
        provider: "stripe",
        query: "",
        body: stripe("v1.charge.refunded", Some(("charge", "ch_1")), json!({ "snapshot_event": "evt_snap" })),
    };
    let outbound = json!({ "id": "obp_test_1", "object": "v2.money_management.outbound_payment", "status": "posted",
        "amount": { "value": 1000, "currency": "usd" } });
    let stripes = [
        (
            thin("v1.payment_intent.succeeded", ("payment_intent", "pi_1")),
            money("pi_1", json!({ "amount_received": 1000, "status": "succeeded" })),
            "payment.succeeded pi_1 10.00 EUR movement -",
        ),
        (
            thin("v1.payment_intent.payment_failed", ("payment_intent", "pi_1")),
            money("pi_1", json!({ "latest_charge": "ch_9" })),
            "payment.failed pi_1 10.99 EUR movement - occurrence ch_9",
        ),
        (
            thin("v1.charge.succeeded", ("charge", "ch_1")),
            money("ch_1", json!({ "payment_intent": "pi_1", "captured": true })),
            "payment.succeeded pi_1 10.99 EUR movement -",
        ),
        (
            thin("v1.refund.created", ("refund", "re_1")),
            money("re_1", json!({ "payment_intent": "pi_1", "status": "succeeded" })),
            "refund.succeeded pi_1 10.99 EUR movement re_1",
        ),
        (
            thin("v1.charge.dispute.created", ("dispute", "dp_1")),
            money("dp_1", json!({ "payment_intent": "pi_1", "status": "needs_response" })),
            "dispute.opened pi_1 10.99 EUR movement dp_1",
        ),
        (
            thin("v1.payout.paid", ("payout", "po_1")),
            money("po_1", json!({})),
            "payout.succeeded po_1 10.99 EUR movement po_1",
        ),
        // A running sum says nothing of what was added, and the refund is an event of its own.
        (
            thin("v1.charge.refunded", ("charge", "ch_1")),
            money("ch_1", json!({ "payment_intent": "pi_1", "captured": true, "amount_refunded": 700 })),
            "refund.updated pi_1 - movement ch_1:refunded:700",
        ),
        (of_snapshot, snapshot, "refund.succeeded pi_1 5.00 EUR movement ch_1:refunded:700"),
        (
            thin(
                "v2.money_management.outbound_payment.posted",
                ("v2.money_management.outbound_payment", "obp_test_1"),
            ),
            outbound,
            "payout.succeeded obp_test_1 10.00 USD movement obp_test_1",
        ),
    ];
    let nothing = || json!({});
    let refund = json!({ "refunds": [{ "id": 9, "amount": 8.8, "status": "approved" }] });
    let refunds = json!({ "refunds": [{ "id": 9, "amount": 8.8 }, { "id": 10, "amount": 50 }] });
    let payments = [
        ("pending", "pending_waiting_payment", nothing(), "payment.pending 123 58.80 BRL movement 123"),
        ("authorized", "pending_capture", nothing(), "payment.authorized 123 58.80 BRL movement 123"),
        ("approved", "accredited", nothing(), "payment.succeeded 123 58.80 BRL movement 123"),
        ("approved", "partially_refunded", refund.clone(), "refund.succeeded 123 8.80 BRL movement 9"),
        ("refunded", "refunded", refund, "refund.succeeded 123 8.80 BRL movement 9"),
        ("refunded", "refunded", refunds, "refund.succeeded 123 - movement 123:refunds:2"),
        (
            "rejected",
            "cc_rejected_other_reason",
            nothing(),
            "payment.failed 123 58.80 BRL movement 123 occurrence ",
        ),
        ("cancelled", "expired", nothing(), "payment.expired 123 58.80 BRL movement 123"),
        ("cancelled", "by_collector", nothing(), "payment.canceled 123 58.80 BRL movement 123"),
        ("in_mediation", "pending", nothing(), "dispute.opened 123 - movement 123:mediation"),
        ("charged_back", "in_process", nothing(), "dispute.opened 123 - movement 123:chargeback"),
        ("charged_back", "settled", nothing(), "dispute.lost 123 - movement 123:chargeback"),
        ("charged_back", "reimbursed", nothing(), "dispute.won 123 - movement 123:chargeback"),
        ("new_state", "", nothing(), "payment.updated 123 - movement 123"),
    ];
    let payments = payments.map(|(status, detail, more, told)| {
        let case =
            Case { provider: "mercadopago", query: "data.id=123&type=payment", body: mercado_pago("123") };
        (case, payment(status, detail, more), told)
    });
    for (case, object, told) in stripes.into_iter().chain(payments) {
        assert!(case.named().is_some(), "{}", case.body);
        assert_eq!(case.told(&object).as_deref(), Ok(told), "{}", case.body);
    }
}

#[test]
fn what_is_named_is_signed_and_of_money() {
    let pi = Some(("payment_intent", "pi_1"));
    let named =
        |body: Value, query: &'static str, provider: &'static str| Case { provider, query, body }.named();
    let stripes = |body: Value| named(body, "", "stripe");
    let kind = "v1.payment_intent.succeeded";
    let found = |kind: &str, id: &str, context: Option<&str>| {
        Some((kind.to_owned(), id.to_owned(), context.map(str::to_owned)))
    };
    assert_eq!(stripes(stripe(kind, pi, json!({}))), found("payment_intent", "pi_1", None));
    let in_context = stripe(kind, pi, json!({ "context": "org_1/acct_1" }));
    assert_eq!(stripes(in_context), found("payment_intent", "pi_1", Some("org_1/acct_1")));
    let with_snapshot = stripe(kind, pi, json!({ "snapshot_event": "evt_0" }));
    assert_eq!(stripes(with_snapshot), found("event", "evt_0", None));
    for nothing in [
        // Of no money, of a type that is not understood, of an object that nobody asks for.
        stripe("v1.customer.created", Some(("customer", "cus_1")), json!({})),
        stripe("v1.payment_intent.turned_blue", pi, json!({})),
        stripe("v2.core.account.updated", Some(("v2.core.account", "acct_1")), json!({})),
        stripe(kind, Some(("balance", "pi_1")), json!({})),
        stripe(kind, None, json!({})),
        // No thin event.
        stripe(kind, pi, json!({ "object": "event" })),
        stripe(kind, pi, json!({ "context": "acct_1\r\nx: y" })),
        stripe(kind, pi, json!({ "snapshot_event": "evt_0/../../balance" })),
        json!([]),
    ] {
        assert_eq!(stripes(nothing.clone()), None, "{nothing}");
    }
    for (payment, query, is_named) in [
        ("123", "data.id=123", true),
        // What is signed is another one, or none, or no number.
        ("123", "data.id=124", false),
        ("123", "", false),
        ("12a", "data.id=12a", false),
        ("..", "data.id=..", false),
        ("1", "data.id=1&data.id=2", false),
    ] {
        let found = named(mercado_pago(payment), query, "mercadopago");
        assert_eq!(found.is_some(), is_named, "{payment} {query}");
    }
    let order = json!({ "action": "order.processed", "type": "order", "data": { "id": "1" } });
    assert_eq!(named(order, "data.id=1", "mercadopago"), None);
}

#[test]
fn another_object_tells_nothing() {
    let pi = thin("v1.payment_intent.succeeded", ("payment_intent", "pi_1"));
    let of_snapshot = Case {
        provider: "stripe",
        query: "",
        body: stripe(
            "v1.payment_intent.succeeded",
            Some(("payment_intent", "pi_1")),
            json!({ "snapshot_event": "evt_0" }),
        ),
    };
    let snapshot = |id: &str, kind: &str, object: &str| json!({ "id": id, "type": kind, "data": { "object": { "id": object, "amount": 1, "currency": "eur" } } });
    let good = snapshot("evt_0", "payment_intent.succeeded", "pi_1");
    assert!(of_snapshot.told(&good).is_ok());
    for (case, object) in [
        (&pi, json!({ "id": "pi_2", "amount": 1, "currency": "eur" })),
        (&pi, json!({})),
        (&pi, json!([{ "id": "pi_1" }])),
        (&of_snapshot, snapshot("evt_2", "payment_intent.succeeded", "pi_1")),
        (&of_snapshot, snapshot("evt_0", "payment_intent.created", "pi_1")),
        (&of_snapshot, snapshot("evt_0", "payment_intent.succeeded", "pi_2")),
    ] {
        assert!(case.told(&object).is_err(), "{object}");
    }
}

#[test]
fn a_card_number_in_an_id_of_an_object_is_no_id() {
    let case = thin("v1.refund.created", ("refund", "re_1"));
    let object =
        json!({ "id": "re_1", "payment_intent": "4242424242424242", "amount": 1, "currency": "eur" });
    assert_eq!(case.told(&object).as_deref(), Ok("payment.unrecognized - - movement -"));
}

#[test]
fn only_who_signs_for_the_provider_may_have_its_objects_fetched() {
    let wrong = |settings: Value| {
        let mistakes = Endpoint::read(settings).err().unwrap_or_default();
        mistakes.into_iter().map(|mistake| mistake.at).collect::<Vec<_>>()
    };
    let custom = json!({ "name": "shop", "signature": { "header": "X-Signature" }, "signed": "{body}",
        "algorithm": "hmac-sha256", "encoding": "hex" });
    for (scheme, normaliser, is_good) in [
        (json!("stripe"), Value::Null, true),
        (json!("mercadopago"), Value::Null, true),
        (json!("adyen"), Value::Null, false),
        (json!("generic"), Value::Null, false),
        (json!("generic"), json!("stripe"), false),
        (custom, json!("stripe"), false),
    ] {
        let settings = json!({ "id": "it", "scheme": scheme, "secret": "ssm:it", "normaliser": normaliser, "enrich": true });
        let expected: &[&str] = if is_good { &[] } else { &["enrich"] };
        assert_eq!(wrong(settings.clone()), expected, "{settings}");
    }
}
