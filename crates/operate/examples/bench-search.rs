//! `make bench-search`: what `tollgate search` takes in DuckDB over an archive of a million webhooks, made once by the product's
//! own encoder into a folder. The time of each search is that of DuckDB's process, start and answer included; the listing of objects and
//! the look-up in the tables are calls of AWS and are not in it.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench"
)]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::ToSpan;
use tollgate_archive::{Entry, encode};
use tollgate_core::{
    Authenticity, Currency, EndpointId, EventType, Facts, Money, PaymentEvent, ProviderId, Receipt, RiskTier,
    Timestamp, WebhookId, event::Arrival, id::hex_sha256,
};
use tollgate_operate::search::{Filters, Object, Objects, Page, duckdb::DuckDb};
use tollgate_pipeline::{
    archive::{Line, Outcome, Row},
    intake::{Encoding, RequestParts},
};

const DAYS: usize = 30;
/// Of the first day: as many objects as minutes, as where webhooks come slowly. Of the others the fewest that a batch of usual size makes.
const MINUTES: usize = 1_440;
const OBJECTS: usize = 34;
const ROWS: usize = 1_000_000;
const RUNS: usize = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(program), Some(folder)) = (arguments.next(), arguments.next()) else {
        panic!("bench-search DUCKDB FOLDER")
    };
    if !folder.join("made").exists() {
        make(&folder);
    }
    let (objects, bytes) = listed(&folder);
    println!(
        "{ROWS} webhooks of {DAYS} days in {} objects, {} MB",
        objects.readable.len(),
        bytes / 1_000_000
    );
    let duckdb = DuckDb { program, folder };
    let (day, slow_day) = ("2026-01-20", "2026-01-01");
    let known = Made::new(700_000);
    let one = |text: &str| vec![text.to_owned()];
    let on = |day: &str, filters: Filters| Filters {
        from: Some(day.to_owned()),
        to: Some(day.to_owned()),
        ..filters
    };
    let all = |filters: Filters| Filters {
        from: Some("2026-01-01".to_owned()),
        to: Some("2026-01-31".to_owned()),
        ..filters
    };
    let id = |id: &str| Filters { id: Some(id.to_owned()), ..Filters::default() };
    let filter = || Filters {
        kind: one("refund.succeeded"),
        amount: Some("400..".to_owned()),
        metadata: one("shop=3"),
        ..Filters::default()
    };
    let cases = [
        ("a webhook's id", id(known.webhook_id.as_str()), 1),
        ("a webhook's id, on a day of 1,440 objects", id(Made::new(500).webhook_id.as_str()), 1),
        ("a transaction's id, its day known (the tables say it)", on(&known.day, id(&known.transaction)), 1),
        ("type, amount and metadata, over a day", on(day, filter()), 50),
        ("the same, over a day of 1,440 objects", on(slow_day, filter()), 0),
        (
            "text in the body, over a day",
            on(day, Filters { text: one("order-640001"), ..Filters::default() }),
            1,
        ),
        ("everything of a day, the first page", on(day, Filters::default()), 50),
        ("type, amount and metadata, in all 30 days", all(filter()), 50),
        ("a transaction's id, in all 30 days", all(id(&known.transaction)), 1),
    ];
    for (what, filters, wanted) in cases {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..RUNS {
            let (time, rows) = search(&duckdb, &filters, &objects).await;
            times.push(time);
            found = rows;
        }
        assert!(wanted == 0 || found == wanted, "{what}: {found} found");
        times.sort();
        let middle = times.get(RUNS / 2).copied().unwrap_or_default();
        println!(
            "{what}: {} ms (of {RUNS}: {} to {}), {found} found",
            middle.as_millis(),
            times[0].as_millis(),
            times[RUNS - 1].as_millis()
        );
    }
}

async fn search(duckdb: &DuckDb, filters: &Filters, objects: &Objects) -> (Duration, usize) {
    let query = filters.query("2026-02-01T00:00:00Z".parse().unwrap()).unwrap();
    let days: Vec<String> = query.days().iter().map(|day| format!("webhooks/date={day}/")).collect();
    // As `Objects::of` lists them.
    let readable =
        objects.readable.iter().filter(|object| days.iter().any(|day| object.key.starts_with(day)));
    let objects = Objects { readable: readable.cloned().collect(), ..Objects::default() };
    let sql = query.page_sql(50, None).unwrap();
    let began = Instant::now();
    let rows = duckdb.rows(&query, &sql, &objects).await.unwrap();
    (began.elapsed(), Page::of(rows, 50).unwrap().found.len())
}

fn listed(folder: &Path) -> (Objects, u64) {
    let mut objects = Objects::default();
    for day in std::fs::read_dir(folder.join("webhooks")).unwrap() {
        for file in std::fs::read_dir(day.unwrap().path()).unwrap() {
            let file = file.unwrap();
            let path = file.path();
            let key = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            objects.readable.push(Object { key, bytes: file.metadata().unwrap().len() });
        }
    }
    objects.readable.sort_by(|one, other| one.key.cmp(&other.key));
    let bytes = objects.bytes();
    (objects, bytes)
}

/// The webhook of a number.
struct Made {
    at: Timestamp,
    day: String,
    webhook_id: WebhookId,
    transaction: String,
}

impl Made {
    fn new(number: usize) -> Self {
        let first: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let micros = (number as i64) * (DAYS as i64 * 86_400_000_000) / (ROWS as i64);
        let at = first.checked_add(micros.microseconds()).unwrap();
        // Ids are as random as a digest.
        let digest = hex_sha256(&number.to_be_bytes());
        let random = u128::from_str_radix(digest.get(..20).unwrap(), 16).unwrap();
        Self {
            at,
            day: at.strftime("%Y-%m-%d").to_string(),
            webhook_id: WebhookId::new(at, random),
            transaction: format!("pi_{}", digest.get(20..44).unwrap()),
        }
    }
}

fn make(folder: &Path) {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for day in (0..DAYS).filter(|day| day % 2 == half) {
                    make_day(folder, day);
                }
            });
        }
    });
    std::fs::write(folder.join("made"), "").unwrap();
    println!("made in {} s", began.elapsed().as_secs());
}

fn make_day(folder: &Path, day: usize) {
    let (from, to) = (ROWS * day / DAYS, ROWS * (day + 1) / DAYS);
    let objects = if day == 0 { MINUTES } else { OBJECTS };
    let numbers: Vec<usize> = (from..to).collect();
    for part in numbers.chunks(numbers.len().div_ceil(objects)) {
        let entries: Vec<Entry> = part.iter().map(|number| entry(*number)).collect();
        let bytes = encode(&entries).unwrap();
        let first = Made::new(*part.first().unwrap());
        let mut digest = hex_sha256(&bytes);
        digest.truncate(32);
        let day = folder.join(format!("webhooks/date={}", first.day));
        std::fs::create_dir_all(&day).unwrap();
        std::fs::write(day.join(format!("{}-{digest}.parquet", first.at.strftime("%H%M%S"))), bytes).unwrap();
    }
}

fn entry(number: usize) -> Entry {
    let Made { at, webhook_id, transaction, .. } = Made::new(number);
    let endpoint = EndpointId::new(format!("shop-{}", number % 7).as_str()).unwrap();
    let provider = ProviderId::new("stripe").unwrap();
    let (kind, name) = match number % 10 {
        0 => (EventType::RefundSucceeded, "charge.refunded"),
        _ => (EventType::PaymentSucceeded, "payment_intent.succeeded"),
    };
    let currency = Currency::new(["EUR", "USD", "GBP"].get(number % 3).unwrap()).unwrap();
    let digest = hex_sha256(&(!number).to_be_bytes());
    let facts = Facts {
        transaction_id: Some(transaction.clone().into()),
        amount: Some(Money::from_minor((number % 100_000) as i128 + 1, currency).unwrap()),
        occurred_at: Some(at),
        metadata: vec![
            ("order".into(), format!("order-{number}").into()),
            ("shop".into(), (number % 7).to_string().into()),
        ],
        ..Facts::new(format!("evt_{}", digest.get(..24).unwrap()), name, kind)
    };
    let arrival = Arrival {
        webhook_id: &webhook_id,
        endpoint: &endpoint,
        provider: &provider,
        authenticity: Authenticity::Verified,
        received_at: at,
    };
    let event = PaymentEvent::new(facts, arrival, RiskTier::Low);
    let padding = digest.repeat(12);
    let body = format!(
        r#"{{"id":"evt_{digest}","object":"event","type":"{name}","data":{{"object":{{"id":"{transaction}","amount":{number},"metadata":{{"order":"order-{number}"}},"client_secret":"{padding}"}}}}}}"#
    );
    let receipt = Receipt {
        body_sha256: hex_sha256(body.as_bytes()),
        endpoint,
        provider,
        authenticity: Authenticity::Verified,
        key_id: "current".to_owned(),
        signed_at: Some(at),
        verified_at: at,
        taken_in_at: None,
    };
    let row = Row {
        webhook_id,
        received_at: at,
        source_ip: "192.0.2.1".to_owned(),
        request: RequestParts {
            headers: [("Stripe-Signature", format!("t={number},v1={digest}").as_str())].into_iter().collect(),
            query: String::new(),
        },
        encoding: Encoding::Text,
        body: String::new(),
        receipt,
        only_transaction: None,
        events: vec![event],
        outcome: Outcome::Processed,
        reason: None,
        part: 0,
        replayed_by: None,
        object: None,
    };
    Entry { line: Line::Webhook(Box::new(row)), body: body.into_bytes(), object: None }
}
