//! What every implementation of a port must do, in memory and on AWS alike. Each suite panics where one does not.

mod endpoints;
mod queues;
mod samples;

use std::sync::Arc;

use tollgate_core::{
    Authenticity, Category, Currency, Customer, EffectId, EndpointId, EventId, EventType, LedgerKey, Money,
    PaymentEvent, Timestamp, WebhookId,
};
use tollgate_pipeline::{
    intake::Seal,
    ports::{
        ASIDE_SECONDS, Allowance, Allowances, Archive, Claim, Claims, Decisions, Document,
        EFFECT_LEASE_SECONDS, EFFECT_RENEWAL_SECONDS, EFFECT_RETENTION_SECONDS, EffectClaim, Effects,
        History, Known, LEDGER_RETENTION_SECONDS, Latest, Ledger, LedgerEntry, LedgerState, Link, MAX_SEALS,
        Mark, PayloadSource, PayloadStore, PortError, PortResult, Recent, Recorded, RejectedBudget, Sealing,
        State, Stored, Subject, Terms, Transactions,
    },
};
use tollgate_providers::Revision;
use tollgate_risk::{Decision, Reason, Verdict};

use self::samples::endpoint;

pub use self::{
    endpoints::{endpoints, endpoints_race},
    queues::{Seen, archive_queue, bus, intake, quarantine},
    samples::event,
};

/// Concurrent claims of one key.
const RACERS: u128 = 16;

/// A seal of its own for each number.
fn seal(number: u128) -> Seal {
    Seal::parse(&format!("{number:032x}")).unwrap()
}

fn entry(event_id: &str, number: u128, at: Timestamp) -> LedgerEntry {
    LedgerEntry {
        key: LedgerKey::new(&endpoint(), event_id),
        state: LedgerState::Received,
        webhook_id: WebhookId::new(at, number),
        fingerprint: format!("facts-{number}"),
        received_at: at,
        terms: Terms {
            seals: vec![seal(number)],
            occurred_at: number.is_multiple_of(2).then_some(at),
            authenticity: if number == 1 { Authenticity::Authenticated } else { Authenticity::Verified },
            revision: Revision::parse(&format!("{number:016x}")).unwrap(),
        },
    }
}

fn known(entry: &LedgerEntry) -> Known {
    let LedgerEntry { state, received_at, ref fingerprint, ref terms, .. } = *entry;
    Known {
        state,
        webhook_id: Some(entry.webhook_id),
        received_at,
        fingerprint: fingerprint.clone(),
        terms: Some(terms.clone()),
        is_aside: false,
    }
}

/// A claim is given once and is absent after it has expired. Later claims of the same event get its facts and terms, and
/// may add their seals until it is processed.
pub async fn ledger<L: Claims + Ledger + Allowances>(ledger: L, unique: &str, now: Timestamp) {
    let first = entry(&format!("{unique}-a"), 1, now);
    let second = LedgerEntry { key: first.key.clone(), ..entry("", 2, now) };
    let look = async |key: &LedgerKey, at| {
        let mut known = ledger.known(std::slice::from_ref(key), at).await;
        // A set has no order.
        for terms in known.iter_mut().flatten().flatten().filter_map(|known| known.terms.as_mut()) {
            terms.seals.sort_unstable();
        }
        known
    };
    assert_eq!(look(&first.key, now).await, [Ok(None)]);
    assert_eq!(ledger.claim(&first, now).await, Ok(Claim::New));
    assert_eq!(ledger.claim(&first, now).await, Ok(Claim::New), "the same claim, whose answer was lost");
    let sealed_otherwise =
        LedgerEntry { terms: Terms { seals: vec![seal(9)], ..first.terms.clone() }, ..first.clone() };
    let otherwise = ledger.claim(&sealed_otherwise, now).await;
    assert_eq!(otherwise, Ok(Claim::Known(known(&first))), "the same delivery in another message");
    assert_eq!(ledger.claim(&second, now).await, Ok(Claim::Known(known(&first))));
    assert_eq!(look(&first.key, now).await, [Ok(Some(known(&first)))]);
    seals(&ledger, unique, now).await;
    allowances(&ledger, unique, now).await;
    asides(&ledger, unique, now).await;

    let others: Vec<LedgerEntry> =
        (0..60).map(|number| entry(&format!("{unique}-many-{number}"), number, now)).collect();
    for entry in &others {
        assert_eq!(ledger.claim(entry, now).await, Ok(Claim::New));
    }
    assert_eq!(ledger.seal(&first.key, seal(2), now).await, Ok(Sealing::Sealed));
    let marked_by = WebhookId::new(now, 99);
    let mark = |entry: &LedgerEntry| Mark { key: entry.key.clone(), webhook_id: marked_by };
    let absent = entry(&format!("{unique}-absent"), 0, now);
    let mut all: Vec<LedgerEntry> = std::iter::once(first.clone()).chain(others).collect();
    let marks: Vec<Mark> = all.iter().chain([&absent]).map(mark).collect();
    assert!(ledger.mark(&marks).await.iter().all(Result::is_ok), "more than one call takes");
    assert_eq!(look(&absent.key, now).await, [Ok(None)], "what is not claimed is not marked");
    let terms = Terms { seals: vec![seal(1), seal(2)], ..first.terms.clone() };
    let done = LedgerEntry { state: LedgerState::Processed, webhook_id: marked_by, terms, ..first.clone() };
    assert_eq!(look(&first.key, now).await, [Ok(Some(known(&done)))], "whatever else it says stays");
    assert_eq!(ledger.seal(&first.key, seal(3), now).await, Ok(Sealing::Processed));
    assert_eq!(look(&first.key, now).await, [Ok(Some(known(&done)))], "no seal is added then");

    all.insert(30, absent);
    let keys: Vec<LedgerKey> = all.iter().map(|entry| entry.key.clone()).collect();
    let known_now = ledger.known(&keys, now).await;
    let is_right = |(at, (entry, known)): (usize, (&LedgerEntry, &PortResult<Option<Known>>))| match known {
        Ok(None) => at == 30,
        Ok(Some(known)) => known.fingerprint == entry.fingerprint && known.state == LedgerState::Processed,
        Err(_) => false,
    };
    assert!(all.iter().zip(&known_now).enumerate().all(is_right), "answers stand in the order asked");
    assert!(ledger.mark(&[]).await.is_empty() && ledger.known(&[], now).await.is_empty());

    let expiry = Timestamp::from_second(now.as_second() + LEDGER_RETENTION_SECONDS).unwrap();
    let before = Timestamp::from_second(expiry.as_second() - 1).unwrap();
    assert_eq!(look(&first.key, before).await, [Ok(Some(known(&done)))]);
    assert_eq!(look(&first.key, expiry).await, [Ok(None)]);
    assert!(matches!(ledger.claim(&second, before).await, Ok(Claim::Known(_))));
    let gone = ledger.seal(&first.key, seal(4), expiry).await;
    assert!(matches!(gone, Err(PortError::Retryable { .. })), "{gone:?}");
    assert_eq!(ledger.claim(&second, expiry).await, Ok(Claim::New), "what has expired is absent");
    assert_eq!(
        look(&first.key, now).await,
        [Ok(Some(known(&second)))],
        "nothing of the claim before is left"
    );

    ledger.conflict(&first.key, &second.webhook_id, &second.fingerprint).await.unwrap();
    ledger.conflict(&first.key, &second.webhook_id, &second.fingerprint).await.unwrap();
}

/// That a message is set aside is noted in a claim as long as it stands. A claim stands longer where the event is dated later.
async fn asides<L: Claims + Ledger>(ledger: &L, unique: &str, now: Timestamp) {
    const DAY: i64 = 24 * 60 * 60;
    let later = |seconds| Timestamp::from_second(now.as_second() + seconds).unwrap();
    let name = |name: &str| format!("{unique}-aside-{name}");
    let mut noted = entry(&name("noted"), 0, now);
    noted.terms.occurred_at = Some(later(10 * DAY));
    let (other, absent) = (entry(&name("other"), 1, now), entry(&name("absent"), 2, now));
    for entry in [&noted, &other] {
        assert_eq!(ledger.claim(entry, now).await, Ok(Claim::New));
    }
    let keys = [absent.key.clone(), noted.key.clone()];
    assert_eq!(ledger.put_aside(&keys, now).await, [Ok(()), Ok(())]);
    assert_eq!(ledger.put_aside(&keys[1..], later(DAY)).await, [Ok(())], "once more");
    assert!(ledger.put_aside(&[], now).await.is_empty());
    let found = Known { is_aside: true, ..known(&noted) };
    let asked = [noted.key.clone(), other.key.clone(), absent.key];
    let all = ledger.known(&asked, now).await;
    assert_eq!(all, [Ok(Some(found.clone())), Ok(Some(known(&other))), Ok(None)]);
    let again = LedgerEntry { webhook_id: WebhookId::new(now, 9), ..noted.clone() };
    let until = DAY + ASIDE_SECONDS;
    assert_eq!(ledger.known(&asked[..1], later(until - 1)).await, [Ok(Some(found))]);
    assert_eq!(ledger.known(&asked[..1], later(until)).await, [Ok(Some(known(&noted)))]);
    assert_eq!(ledger.claim(&again, later(40 * DAY - 1)).await, Ok(Claim::Known(known(&noted))));
    assert_eq!(ledger.claim(&again, later(40 * DAY)).await, Ok(Claim::New));
    assert_eq!(ledger.known(&asked[..1], now).await, [Ok(Some(known(&again)))], "nothing of it is left");
}

/// An allowance is for one seal, as long as a claim is remembered, and is no claim of any event.
async fn allowances<L: Ledger + Allowances>(ledger: &L, unique: &str, now: Timestamp) {
    let later = |seconds| Timestamp::from_second(now.as_second() + seconds).unwrap();
    let [one, other] = ["one", "other"].map(|name| {
        let digest = tollgate_core::id::hex_sha256(format!("{unique}-{name}").as_bytes());
        Seal::parse(&digest[..32]).unwrap()
    });
    assert_eq!(ledger.allowed(&[], now).await, []);
    assert_eq!(ledger.allowed(&[one, other], now).await, [Ok(false), Ok(false)]);
    let webhook_id = WebhookId::new(now, 1);
    let mut allowance = Allowance { seal: one, webhook_id, reason: "known good".to_owned(), allowed_at: now };
    for again in [0, 10] {
        allowance.allowed_at = later(again);
        assert_eq!(ledger.allow(&allowance).await, Ok(()));
        assert_eq!(ledger.allowed(&[other, one], later(again)).await, [Ok(false), Ok(true)]);
    }
    assert_eq!(ledger.allowed(&[one], later(LEDGER_RETENTION_SECONDS + 9)).await, [Ok(true)]);
    assert_eq!(ledger.allowed(&[one], later(LEDGER_RETENTION_SECONDS + 10)).await, [Ok(false)]);
}

/// A claim takes so many seals and no more: one of them gives way to the next. One that it has counts once.
async fn seals<L: Claims + Ledger>(ledger: &L, unique: &str, now: Timestamp) {
    let often = entry(&format!("{unique}-often"), 0, now);
    assert_eq!(ledger.claim(&often, now).await, Ok(Claim::New));
    for number in 1..u128::try_from(MAX_SEALS).unwrap() {
        assert_eq!(ledger.seal(&often.key, seal(number), now).await, Ok(Sealing::Sealed), "{number}");
    }
    assert_eq!(ledger.seal(&often.key, seal(1), now).await, Ok(Sealing::Sealed), "it has that one");
    let seals_of = async |key: &LedgerKey| {
        let known = ledger.known(std::slice::from_ref(key), now).await.remove(0).unwrap().unwrap();
        known.terms.unwrap().seals
    };
    let before = seals_of(&often.key).await;
    assert_eq!(before.len(), MAX_SEALS);
    assert_eq!(ledger.seal(&often.key, seal(9_999), now).await, Ok(Sealing::Sealed));
    let after = seals_of(&often.key).await;
    assert!(after.contains(&seal(9_999)) && after.len() == MAX_SEALS, "{after:?}");
    assert_eq!(before.iter().filter(|seal| !after.contains(seal)).count(), 1, "the others stay");
    let none = LedgerKey::new(&endpoint(), &format!("{unique}-none"));
    let gone = ledger.seal(&none, seal(1), now).await;
    assert!(matches!(gone, Err(PortError::Retryable { .. })), "a seal makes no claim: {gone:?}");
    assert_eq!(ledger.known(&[none], now).await, [Ok(None)]);
}

/// One of many concurrent claims wins.
pub async fn claim_race<L: Claims + 'static>(ledger: L, unique: &str, now: Timestamp) {
    let ledger = Arc::new(ledger);
    let racers: Vec<_> = (0..RACERS)
        .map(|number| {
            let (ledger, entry) = (Arc::clone(&ledger), entry(unique, number, now));
            tokio::spawn(async move { ledger.claim(&entry, now).await.unwrap() })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        won += usize::from(racer.await.unwrap() == Claim::New);
    }
    assert_eq!(won, 1, "of {RACERS} claims");
}

/// A claim of the effect called `effect`, for the event called `event`, by the delivery `webhook_id`.
fn effect_claim(effect: &str, event: &str, webhook_id: WebhookId, at: Timestamp) -> EffectClaim {
    EffectClaim {
        subject: Subject::Effect(
            EffectId::new(&endpoint(), effect, EventType::PaymentSucceeded, ""),
            Authenticity::Verified,
        ),
        event_id: EventId::new(&endpoint(), event),
        webhook_id,
        claimed_at: at,
    }
}

/// The first claim of a subject stands, until it is forgotten, released, or so old that its delivery is gone.
pub async fn effects<E: Effects>(effects: E, unique: &str, now: Timestamp) {
    let later = |seconds| Timestamp::from_second(now.as_second() + seconds).unwrap();
    let name = |name: &str| format!("{unique}-{name}");
    let of = |effect: &str, event: &str, number, at| {
        effect_claim(&name(effect), &name(event), WebhookId::new(now, number), at)
    };
    let claim = async |claim: EffectClaim| effects.claim(&[claim]).await;
    assert!(effects.claim(&[]).await.is_empty() && effects.release(&[]).await.is_empty());
    let first = of("a", "first", 1, now);
    assert_eq!(claim(first).await, [Ok(first)]);
    assert_eq!(claim(of("a", "first", 1, later(1))).await, [Ok(first)], "its own again, after a crash");
    assert_eq!(claim(of("a", "other", 2, later(1))).await, [Ok(first)], "another event of the effect");
    assert_eq!(claim(of("a", "first", 3, later(1))).await, [Ok(first)], "another delivery of the event");
    let telling = EffectClaim { subject: Subject::Telling(first.event_id), ..of("a", "first", 4, now) };
    assert_eq!(claim(telling).await, [Ok(telling)], "another subject");

    let many: Vec<EffectClaim> =
        (0..60).map(|number| of(&format!("m{number}"), "first", number, now)).collect();
    let (known, new) = many.split_at(30);
    assert!(effects.claim(known).await.iter().zip(known).all(|(answer, asked)| *answer == Ok(*asked)));
    let others: Vec<EffectClaim> = many
        .iter()
        .map(|claim| EffectClaim { event_id: EventId::new(&endpoint(), &name("other")), ..*claim })
        .collect();
    let answers = effects.claim(&others).await;
    let expected = known.iter().chain(others.get(new.len()..).unwrap()).map(|claim| Ok(*claim));
    assert!(answers == expected.collect::<Vec<_>>(), "each its own answer, in the order asked");

    let nearly = later(EFFECT_LEASE_SECONDS - 1);
    assert_eq!(claim(of("a", "first", 3, nearly)).await, [Ok(first)], "before its lease is over");
    let renewed = of("b", "first", 1, later(EFFECT_RENEWAL_SECONDS));
    assert_eq!(claim(of("b", "first", 1, now)).await, [Ok(of("b", "first", 1, now))]);
    assert_eq!(claim(renewed).await, [Ok(renewed)], "its own delivery renews it");
    let over = later(EFFECT_LEASE_SECONDS);
    assert_eq!(claim(of("b", "first", 3, over)).await, [Ok(renewed)], "and keeps it so");
    assert_eq!(
        claim(of("a", "other", 2, over)).await,
        [Ok(first)],
        "a lease is among deliveries of one event"
    );
    let taken_over = of("a", "first", 3, over);
    assert_eq!(claim(taken_over).await, [Ok(taken_over)]);
    assert_eq!(claim(of("a", "first", 1, over)).await, [Ok(taken_over)], "the one before has lost it");

    let expiry = later(EFFECT_LEASE_SECONDS + EFFECT_RETENTION_SECONDS);
    let before = later(EFFECT_LEASE_SECONDS + EFFECT_RETENTION_SECONDS - 1);
    assert_eq!(claim(of("a", "other", 2, before)).await, [Ok(taken_over)]);
    let next = of("a", "other", 2, expiry);
    assert_eq!(claim(next).await, [Ok(next)], "what has expired is absent");

    let held = of("c", "first", 1, now);
    assert_eq!(claim(held).await, [Ok(held)]);
    let at_once = of("c", "first", 2, later(1));
    assert_eq!(effects.release(&[at_once]).await, [Ok(())], "it is not this delivery's");
    assert_eq!(claim(at_once).await, [Ok(held)]);
    assert_eq!(
        effects.release(&[of("c", "first", 1, later(1)), of("none", "first", 1, now)]).await,
        [Ok(()), Ok(())]
    );
    let standing = claim(of("c", "other", 3, later(1))).await;
    assert!(
        matches!(&standing[..], [Ok(claim)] if claim.event_id == held.event_id),
        "it is still told: {standing:?}"
    );
    assert_eq!(claim(at_once).await, [Ok(at_once)], "what is released is another delivery's at once");
}

/// One of many concurrent claims wins, and every racer is told the same one: of a subject that is new, and of one
/// whose lease is over.
pub async fn effect_race<E: Effects + 'static>(effects: E, unique: &str, now: Timestamp) {
    let effects = Arc::new(effects);
    for seconds in [0, EFFECT_LEASE_SECONDS] {
        let at = Timestamp::from_second(now.as_second() + seconds).unwrap();
        let racers: Vec<_> = (0..RACERS)
            .map(|number| {
                let claim = effect_claim(unique, unique, WebhookId::new(at, number), at);
                let effects = Arc::clone(&effects);
                tokio::spawn(async move { (claim, effects.claim(&[claim]).await.remove(0)) })
            })
            .collect();
        let mut won = 0;
        let mut told = Vec::new();
        for racer in racers {
            let (claim, answer) = racer.await.unwrap();
            won += usize::from(answer == Ok(claim));
            // A racer that has lost a replacement need not know to whom.
            told.extend(answer.ok());
        }
        assert_eq!(won, 1, "of {RACERS} claims");
        told.dedup();
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

/// A transaction's latest time follows its events, and an event that is recorded several times is written once.
pub async fn transactions<T: Transactions>(transactions: T, unique: &str, now: Timestamp) {
    let money = Money::from_minor(1_099, Currency::new("USD").unwrap()).unwrap();
    let later = Timestamp::from_second(now.as_second() + 60).unwrap();
    let (a, b) = (format!("{unique}-a"), format!("{unique}-b"));
    let first = event(&format!("{unique}-1"), &a, now, money);
    let second = event(&format!("{unique}-2"), &a, later, money);
    let state =
        |event: &PaymentEvent<'_>, is_dated| State { position: event.position(is_dated), event_id: event.id };
    let at = |state| Latest { state: Some(state), ..Latest::default() };
    let nothing = || Ok(Latest::default());
    let ahead = at(state(&second, true));
    let (key_a, key_b) = (first.transaction_key(), event("x", &b, now, money).transaction_key());
    let keys = [key_b.as_str(), key_a.as_str()];
    assert_eq!(transactions.latest(&keys).await, [Ok(Latest::default()), Ok(Latest::default())]);
    let unknown = Latest::default();
    let written = transactions.record(&[recorded(&second, Some(&unknown))]).await;
    assert_eq!(written, [Ok(())]);
    assert_eq!(transactions.latest(&keys).await, [nothing(), Ok(ahead.clone())], "in the order asked");
    let texts = [&first, &second].map(|event| serde_json::to_string(event).unwrap());
    let rows = [(&first, &texts[0]), (&second, &texts[1])]
        .map(|(event, json)| Recorded { document: Document { event, json }, ..recorded(event, None) });
    assert_eq!(transactions.record(&rows).await, [Ok(()), Ok(())]);
    assert_eq!(
        transactions.latest(&keys).await,
        [nothing(), Ok(ahead.clone())],
        "an earlier event moves nothing"
    );
    let place = |transaction: &str, event: &PaymentEvent<'_>| (transaction.to_owned(), event.sort_key());
    let [of_first, of_second] = texts.map(|json| Ok(Some(json)));
    let asked = [place(&key_a, &second), place(&key_b, &first)];
    assert_eq!(transactions.recorded(&asked).await, [of_second, Ok(None)]);
    assert_eq!(transactions.recorded(&[place(&key_a, &first)]).await, [of_first]);
    let undated = event(&format!("{unique}-3"), &b, now, money);
    let row = Recorded { is_dated: false, ..recorded(&undated, Some(&unknown)) };
    assert_eq!(transactions.record(&[row]).await, [Ok(())]);
    let undated = at(state(&undated, false));
    let known = transactions.latest(&[&key_b]).await;
    assert_eq!(known, [Ok(undated.clone())], "an event without a time says so");

    // What a writer read may be old by the time it writes.
    let earlier = event(&format!("{unique}-0"), &a, now, money);
    let earlier_of_b =
        PaymentEvent { transaction_id: b.clone().into(), kind: EventType::PaymentCreated, ..earlier.clone() };
    let slow = [recorded(&earlier, Some(&unknown)), recorded(&earlier_of_b, Some(&unknown))];
    assert_eq!(transactions.record(&slow).await, [Ok(()), Ok(())]);
    let known = transactions.latest(&keys).await;
    assert_eq!(known, [Ok(undated.clone()), Ok(ahead.clone())], "what is known does not go back");
    let third = event(&format!("{unique}-4"), &a, later, money);
    let third = PaymentEvent { kind: EventType::RefundSucceeded, ..third };
    let old = at(state(&first, true));
    assert_eq!(transactions.record(&[recorded(&third, Some(&old))]).await, [Ok(())]);
    let ahead = at(state(&third, true));
    assert_eq!(transactions.latest(&[&key_a]).await, [Ok(ahead.clone())], "and goes on all the same");

    let link = |alias: &str, authenticity, is_known| Link {
        alias: alias.to_owned(),
        of: key_a.clone(),
        authenticity,
        is_known,
    };
    let alias = format!("{key_b}-x");
    for (authenticity, is_known) in [(Authenticity::Authenticated, false), (Authenticity::Verified, true)] {
        let links = [link(&alias, authenticity, is_known), link(&key_b, authenticity, !is_known)];
        assert_eq!(transactions.link(&links).await, [Ok(()), Ok(())]);
        assert_eq!(transactions.link(&links).await, [Ok(()), Ok(())], "the same again");
        let [known_alias, known_a, known_b] =
            <[_; 3]>::try_from(transactions.latest(&[&alias, &key_a, &key_b]).await).unwrap();
        assert_eq!(known_a, Ok(ahead.clone()));
        let verified = (authenticity == Authenticity::Verified).then(|| key_a.clone());
        let linked = |known: &Latest| Latest {
            alias_of: verified.clone(),
            authenticated_alias_of: Some(key_a.clone()),
            ..known.clone()
        };
        assert_eq!(known_alias, Ok(linked(&unknown)));
        assert_eq!(known_b, Ok(linked(&undated)), "a link loses no state");
    }
    let event_of_b = event(&format!("{unique}-5"), &b, later, money);
    assert_eq!(transactions.record(&[recorded(&event_of_b, Some(&unknown))]).await, [Ok(())]);
    let event_of_x = event(&format!("{unique}-6"), &format!("{b}-x"), later, money);
    assert_eq!(transactions.record(&[recorded(&event_of_x, Some(&unknown))]).await, [Ok(())]);
    let [known_b, known_x] =
        <[_; 2]>::try_from(transactions.latest(&[&key_b, &event_of_x.transaction_key()]).await).unwrap();
    let linked = |state| Latest {
        state: Some(state),
        alias_of: Some(key_a.clone()),
        authenticated_alias_of: Some(key_a.clone()),
    };
    assert_eq!(known_x, Ok(linked(state(&event_of_x, true))), "a state loses no link");
    let of_b = known_b.unwrap();
    assert_eq!((&of_b.alias_of, of_b.authenticated_alias_of.is_some()), (&Some(key_a.clone()), true));
    assert!(transactions.link(&[]).await.is_empty());
    let many: Vec<PaymentEvent<'_>> =
        (0..40).map(|n| event(&format!("{unique}-m{n}"), &format!("{unique}-t{n}"), now, money)).collect();
    let rows: Vec<Recorded<'_>> = many.iter().map(|event| recorded(event, Some(&unknown))).collect();
    let written = transactions.record(&rows).await;
    assert!(written.iter().all(Result::is_ok), "more than one call takes: {written:?}");
    let keys: Vec<String> = many.iter().map(PaymentEvent::transaction_key).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert!(transactions.latest(&keys).await.iter().all(
        |at| matches!(at, Ok(Latest { state: Some(state), alias_of: None, .. }) if state.position.at == now)
    ));
}

/// The bytes read are the bytes written, and an absent key is a permanent failure.
pub async fn payloads<P: PayloadStore + PayloadSource>(payloads: P, unique: &str) {
    let bytes: Vec<u8> = (0..=255).cycle().take(1_048_577).collect();
    let (key, empty) = (format!("contract/{unique}"), format!("contract/{unique}-empty"));
    payloads.put(&key, bytes.clone()).await.unwrap();
    payloads.put(&key, bytes.clone()).await.expect("the same again");
    assert!(payloads.get(&key).await.unwrap() == bytes);
    payloads.put(&empty, Vec::new()).await.unwrap();
    assert_eq!(payloads.get(&empty).await, Ok(Vec::new()));
    let missing = payloads.get(&format!("contract/{unique}-none")).await;
    assert!(matches!(missing, Err(PortError::Permanent { .. })), "{missing:?}");
}

/// A day's budget of an endpoint has so many parts, whoever takes them.
pub async fn rejected_budget<B: RejectedBudget>(budget: B, unique: &str, now: Timestamp) {
    let (one, other) = (EndpointId::new(unique).unwrap(), EndpointId::new(format!("{unique}-b")).unwrap());
    let tomorrow = Timestamp::from_second(now.as_second() + 86_400).unwrap();
    let take = async |endpoint, parts, at| budget.take_part(endpoint, parts, at).await;
    assert_eq!(take(&one, 2, now).await, Ok(true));
    assert_eq!(take(&one, 2, now).await, Ok(true));
    assert_eq!(take(&one, 2, now).await, Ok(false));
    assert_eq!(take(&one, 3, now).await, Ok(true), "the setting was changed");
    for (endpoint, at) in [(&other, now), (&one, tomorrow)] {
        assert_eq!(take(endpoint, 1, at).await, Ok(true));
        assert_eq!(take(endpoint, 1, at).await, Ok(false));
    }
}

/// A key is written once.
pub async fn archive<A: Archive>(archive: A, unique: &str) {
    let key = format!("contract/{unique}");
    assert_eq!(archive.put_new(&key, b"first".to_vec()).await, Ok(Stored::New));
    assert_eq!(archive.put_new(&key, b"second".to_vec()).await, Ok(Stored::Existed));
}

fn recorded<'e>(event: &'e PaymentEvent<'e>, ahead_of: Option<&'e Latest>) -> Recorded<'e> {
    // What the history keeps as the event's text is not what this contract is about.
    Recorded { document: Document { event, json: "{}" }, is_dated: true, ahead_of }
}

/// The first decision on an event stands, whatever is written of the event after it, and is not counted as an event.
pub async fn decisions<T: Transactions, D: History + Decisions>(
    table: T,
    decisions: D,
    unique: &str,
    now: Timestamp,
) {
    let money = Money::from_minor(1_099, Currency::new("USD").unwrap()).unwrap();
    let customer = Customer { id: Some(unique.to_owned().into()), country: None };
    let event = PaymentEvent { customer, ..event(&format!("{unique}-1"), unique, now, money) };
    let decision =
        |score, verdict, reasons: &[Reason]| Decision { score, verdict, reasons: reasons.to_vec() };
    let first = decision(65, Verdict::Review, &[Reason::AmountHigh, Reason::CountryMismatch]);
    let other = decision(0, Verdict::Approve, &[]);
    assert_eq!(
        decisions.record(&event, &first, now).await,
        Ok(None),
        "an event that is not recorded has none"
    );
    let unknown = Latest::default();
    let written = [recorded(&event, Some(&unknown))];
    assert_eq!(table.record(&written).await, [Ok(())]);
    assert_eq!(decisions.record(&event, &first, now).await, Ok(Some(first.clone())));
    assert_eq!(decisions.record(&event, &other, now).await, Ok(Some(first.clone())));
    assert_eq!(table.record(&written).await, [Ok(())]);
    assert_eq!(
        decisions.record(&event, &other, now).await,
        Ok(Some(first)),
        "a repeat of the event erases nothing"
    );
    let customer_key = event.customer_key().unwrap();
    let recent = |except| Recent { customer_key: &customer_key, since: now, until: now, except, at_most: 9 };
    assert_eq!(decisions.recent(&recent("none")).await, Ok(1));
    assert_eq!(decisions.recent(&recent(&event.transaction_key())).await, Ok(0));
}

/// A customer's payments of the time asked for, both ends included, count once each, up to so many. What restates another
/// event, what is no payment and the payment excepted do not count. An index of DynamoDB may lag behind its table; the
/// local peer's does not.
pub async fn history<T: Transactions, H: History>(table: T, history: H, unique: &str, now: Timestamp) {
    let money = Money::from_minor(1_099, Currency::new("USD").unwrap()).unwrap();
    let at = |seconds: i64| Timestamp::from_second(now.as_second() + seconds).unwrap();
    let of = |customer: &str, payment: &str, number: u32, seconds: i64| {
        let customer = Customer { id: Some(format!("{unique}-{customer}").into()), country: None };
        let (id, transaction) = (format!("{unique}-{payment}-{number}"), format!("{unique}-{payment}"));
        PaymentEvent { customer, ..event(&id, &transaction, at(seconds), money) }
    };
    let first = of("a", "first", 1, -60);
    let restates = Some(first.id);
    let events = [
        first,
        of("a", "last", 1, 0),
        of("a", "last", 2, -30),
        of("a", "before", 1, -61),
        of("a", "after", 1, 1),
        PaymentEvent { restates, ..of("a", "restating", 1, -30) },
        PaymentEvent {
            kind: EventType::RefundSucceeded,
            category: Category::Refund,
            ..of("a", "refund", 1, -30)
        },
        of("b", "another customer's", 1, -30),
    ];
    let rows: Vec<Recorded<'_>> = events.iter().map(|event| recorded(event, None)).collect();
    assert!(table.record(&rows).await.iter().all(Result::is_ok));
    let recent = async |customer: &str, except: &str, at_most| {
        let customer_key = of(customer, "x", 1, 0).customer_key().unwrap();
        let except = of("a", except, 1, 0).transaction_key();
        let asked =
            Recent { customer_key: &customer_key, since: at(-60), until: at(0), except: &except, at_most };
        history.recent(&asked).await
    };
    assert_eq!(recent("a", "none", 9).await, Ok(2), "first and last");
    assert_eq!(recent("a", "last", 9).await, Ok(1));
    assert_eq!(recent("a", "none", 1).await, Ok(1));
    assert_eq!(recent("b", "none", 9).await, Ok(1));
    assert_eq!(recent("c", "none", 9).await, Ok(0));
}
