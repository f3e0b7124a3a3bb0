//! Functions die at any moment.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tollgate_core::LedgerKey;
use tollgate_testkit::webhook::Payment;

use tollgate_e2e::Platform;

const WEBHOOKS: usize = 200;
const AT_ONCE: usize = 8;
/// A killed batch comes back after the queue's visibility timeout, half a minute here; it may be killed again.
const BOUND: Duration = Duration::from_secs(200);
/// A function is killed each time that so many more webhooks were taken.
const BETWEEN_KILLS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_functions_loses_nothing_and_doubles_nothing() {
    let platform = Platform::alone().await;
    let endpoints = ["acme", "stripe-eu", "stripe-us"];
    let mut senders = BTreeMap::new();
    for endpoint in endpoints {
        senders.insert(endpoint, platform.sender(endpoint).await);
    }
    let (taken, mut watched) = watch::channel(0);
    let flow = stream::iter(0..WEBHOOKS)
        .map(|number| {
            let (platform, senders, taken) = (&platform, &senders, &taken);
            async move {
                let endpoint = endpoints[number % endpoints.len()];
                let sender = &senders[endpoint];
                let id = platform.unique(&format!("k{number}"));
                let payment = Payment::new(&id, &id, platform.now());
                let webhook = sender.payment(&payment, platform.now());
                // 409 is how the generic endpoint says that it has the event already.
                platform
                    .until("a webhook is taken", async || {
                        let answer = platform.send(Some(endpoint), &webhook).await;
                        (answer.is_success() || answer.status == 409).then_some(())
                    })
                    .await;
                taken.send_modify(|taken| *taken += 1);
                (endpoint, id, LedgerKey::new(sender.endpoint().id(), &payment.event_id))
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>();
    let kills = async {
        let functions = ["validator", "processor", "archival", "validator", "fraud-detector"].iter().cycle();
        let mut killed = 0;
        for (function, due) in functions.zip((BETWEEN_KILLS..WEBHOOKS).step_by(BETWEEN_KILLS)) {
            watched.wait_for(|taken| *taken >= due).await.unwrap();
            killed += usize::from(platform.kill(function).await);
        }
        killed
    };
    let (sent, killed) = tokio::join!(flow, kills);
    assert!(killed > 0, "nothing was killed");
    // While the queues are worked off, too.
    for function in ["processor", "archival", "processor"] {
        platform.kill(function).await;
    }
    let keys: Vec<LedgerKey> = sent.iter().map(|(_, _, key)| key.clone()).collect();
    platform
        .until_within(BOUND, "all are processed", async || {
            use tollgate_pipeline::ports::{Known, Ledger, LedgerState};
            let states = platform.ledger().known(&keys, platform.now()).await;
            states
                .iter()
                .all(|known| matches!(known, Ok(Some(Known { state: LedgerState::Processed, .. }))))
                .then_some(())
        })
        .await;
    for (endpoint, id, _) in &sent {
        assert_eq!(platform.history(endpoint, id).await.len(), 1, "{endpoint} {id}");
    }
    let published = platform.routed("PaymentsQueueUrl").await;
    for (_, id, key) in &sent {
        let mut copies = published.iter().filter(|event| event.transaction_id == *id).peekable();
        assert!(copies.peek().is_some(), "{id} is not on the bus");
        assert!(copies.all(|event| event.id == key.event_id()), "{id}");
    }
    let mut dead = platform.peek("IntakeDlqUrl").await;
    dead.extend(platform.peek("IntakeOrderedDlqUrl").await);
    assert!(dead.iter().all(|message| sent.iter().all(|(_, id, _)| !message.body.contains(id.as_str()))));
    // Every event is in the archive, by whichever delivery brought it.
    let ids: Vec<String> = published
        .iter()
        .filter(|event| sent.iter().any(|(_, id, _)| event.transaction_id == *id))
        .map(|event| event.provider_event_id.to_string())
        .collect();
    platform.until_archived_events(BOUND, &ids).await;
}
