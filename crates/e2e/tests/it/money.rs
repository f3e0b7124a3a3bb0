//! Amounts, exact in the table, on the bus and in the archive.

use std::collections::BTreeMap;

use tollgate_testkit::webhook::Payment;

use tollgate_e2e::Platform;

#[tokio::test]
async fn every_amount_arrives_as_it_was_written() {
    let platform = Platform::open().await;
    // As sent; then exact decimal text and minor units.
    let generic = [
        ("1200", "JPY", "1200", "1200"),
        ("10.99", "USD", "10.99", "1099"),
        ("0.1", "EUR", "0.10", "10"),
        ("1.234", "KWD", "1.234", "1234"),
        ("0", "USD", "0.00", "0"),
        ("-12.50", "USD", "-12.50", "-1250"),
        ("9007199254740993", "JPY", "9007199254740993", "9007199254740993"),
        (
            "12345678901234567890123456.78",
            "USD",
            "12345678901234567890123456.78",
            "1234567890123456789012345678",
        ),
        (
            "1234567890123456789012345.678",
            "KWD",
            "1234567890123456789012345.678",
            "1234567890123456789012345678",
        ),
    ];
    let stripe = [
        ("1200", "JPY", "1200", "1200"),
        ("1099", "USD", "10.99", "1099"),
        ("1230", "KWD", "1.230", "1230"),
        ("500000", "UGX", "5000", "5000"),
    ];
    let mut deliveries = BTreeMap::new();
    let rows = generic.map(|row| ("acme", row)).into_iter().chain(stripe.map(|row| ("stripe-eu", row)));
    for (index, (endpoint, row)) in rows.enumerate() {
        let sender = platform.sender(endpoint).await;
        let id = platform.unique(&format!("m{index}"));
        let payment = Payment::new(&id, &id, platform.now()).of(row.0, row.1);
        let answer = platform.send(Some(endpoint), &sender.payment(&payment, platform.now())).await;
        assert_eq!(answer.status, 200, "{row:?}: {answer:?}");
        let webhook_id = answer.body["webhook_id"].as_str().unwrap().to_owned();
        deliveries.insert(webhook_id, (endpoint, id, row));
    }
    let archived = platform.archived(&deliveries.keys().cloned().collect::<Vec<_>>()).await;
    let routed = platform
        .until("all are routed", async || {
            let events = platform.routed("PaymentsQueueUrl").await;
            let has_all =
                deliveries.values().all(|(_, id, _)| events.iter().any(|e| e.transaction_id == *id));
            has_all.then_some(events)
        })
        .await;
    for (webhook_id, (endpoint, id, (sent, currency, decimal, minor))) in &deliveries {
        let case = format!("{sent} {currency} at {endpoint}");
        let recorded =
            platform.recorded(endpoint, id).await.pop().unwrap_or_else(|| panic!("{case}: no record"));
        let amount = recorded.amount.unwrap();
        assert_eq!(
            (amount.minor_units().to_string(), amount.currency().code()),
            ((*minor).to_owned(), *currency),
            "{case}"
        );
        let event = routed.iter().find(|event| event.transaction_id == *id).unwrap();
        let amount = event.amount.unwrap();
        assert_eq!(
            (amount.minor_units().to_string(), amount.to_decimal()),
            ((*minor).to_owned(), Some((*decimal).to_owned())),
            "{case}"
        );
        let archived = &archived[webhook_id]["events"][0]["amount"];
        assert_eq!(
            (&archived["value"], &archived["currency"]),
            (&(*decimal).into(), &(*currency).into()),
            "{case}"
        );
    }
}
