//! Three parsers read every body that the repository has, with one decode (`decode.rs`): it keeps the values that the
//! provider's normaliser reads and passes over the rest.
//!
//! ```text
//! parsers check                      compares what the parsers keep, and says how many bodies hold a kept decimal, which
//!                                    simd-json does not hand out exactly
//! parsers work PARSER WHAT SIZE N    reads every body N times: to count instructions of; WHAT is decode or walk
//! parsers nested PARSER LEVELS       passes over that many lists in one another, on a thread with 2 MiB of stack
//! parsers time                       nanoseconds a body, by each body's fastest of many turns
//! ```
//!
//! A walk keeps nothing. `check` and `time` print a line of JSON for each size.

mod bodies;
mod decode;
mod names;

use std::{collections::BTreeMap, hint::black_box, path::Path, time::Instant};

use bodies::SIZES;
use decode::{Kept, Simd};
use names::Names;

const PARSERS: [&str; 3] = ["serde_json", "sonic-rs", "simd-json"];

/// A body, and the names of what is kept of it.
struct Subject {
    provider: String,
    body: Vec<u8>,
    names: &'static Names,
}

fn subjects(size: usize, is_walk: bool) -> Vec<Subject> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let of_file = |names| if is_walk { Names::default() } else { names };
    let names: BTreeMap<String, &'static Names> = names::all(&root)
        .into_iter()
        .map(|(file, names)| (file, &*Box::leak(Box::new(of_file(names)))))
        .collect();
    let subject = |webhook: bodies::Webhook| {
        let names = names.get(file(&webhook.provider));
        let names = names.unwrap_or_else(|| panic!("{} has no normaliser", webhook.provider));
        Subject { provider: webhook.provider, body: webhook.body, names }
    };
    bodies::all(&root, size).into_iter().map(subject).collect()
}

/// The file of the provider's normaliser.
fn file(provider: &str) -> &str {
    match provider {
        "flutterwave_v3" | "flutterwave_v4" => "flutterwave",
        "svix" => "standard_webhooks",
        other => other,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => check(),
        ["work", parser, what, size, times] => {
            let subjects = subjects(size.parse().unwrap(), what == "walk");
            let mut simd = Simd::default();
            (0..times.parse().unwrap()).for_each(|_: usize| turn(parser, &subjects, &mut simd));
        }
        ["nested", parser, levels] => nested(parser.to_owned(), levels.parse().unwrap()),
        ["time"] => time(),
        _ => panic!("check, work PARSER WHAT SIZE N, nested PARSER LEVELS, or time"),
    }
}

/// As an async runtime's threads have: what a body nests must not end the process.
const STACK: usize = 2 << 20;

fn nested(parser: String, levels: usize) {
    let body = format!(r#"{{"passed over":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let names = &*Box::leak(Box::new(Names::default()));
    let subjects = [Subject { provider: String::new(), body: body.into_bytes(), names }];
    let read = move || turn(&parser, &subjects, &mut Simd::default());
    std::thread::Builder::new().stack_size(STACK).spawn(read).unwrap().join().unwrap();
}

fn turn(parser: &str, subjects: &[Subject], simd: &mut Simd) {
    for Subject { body, names, .. } in subjects {
        match parser {
            "serde_json" => decode::serde_json(body, names, |kept| {
                black_box(kept);
            }),
            "sonic-rs" => decode::sonic(body, names, |kept| {
                black_box(kept);
            }),
            "simd-json" => simd.run(body, names, |kept| {
                black_box(kept);
            }),
            _ => panic!("no such parser: {parser}"),
        }
    }
}

fn json<'de, K: Kept<'de>>(kept: &[K]) -> Vec<String> {
    kept.iter().map(K::json).collect()
}

fn check() {
    for size in SIZES {
        let subjects = subjects(size, false);
        let mut simd = Simd::default();
        let (mut bytes, mut values, mut with_decimals) = (0, 0, 0);
        for Subject { provider, body, names } in &subjects {
            let mut found: [Vec<String>; 3] = Default::default();
            let [serde, sonic, simple] = &mut found;
            decode::serde_json(body, names, |kept| *serde = json(kept));
            decode::sonic(body, names, |kept| *sonic = json(kept));
            let mut is_lost = false;
            simd.run(body, names, |kept| {
                *simple = json(kept);
                is_lost = kept.iter().any(Kept::is_lost);
            });
            assert_eq!(serde, sonic, "{provider}");
            assert_eq!(serde.len(), simple.len(), "{provider}");
            for (exact, plain) in serde.iter().zip(simple.iter()) {
                assert!(exact == plain || plain == "lost", "{provider}: {exact} {plain}");
            }
            bytes += body.len();
            values += serde.len();
            with_decimals += usize::from(is_lost);
        }
        let bodies = subjects.len();
        println!(
            r#"{{"size":{size},"bodies":{bodies},"mean_bytes":{},"mean_values":{},"with_decimals":{with_decimals}}}"#,
            bytes / bodies,
            values / bodies,
        );
    }
}

fn time() {
    const TURNS: usize = 60;
    for size in SIZES {
        let subjects = subjects(size, false);
        let mut simd = Simd::default();
        // Small bodies several times, so that reading the clock does not count.
        let times = (4_096 / size.max(256)).max(1);
        let mut sums = [0; PARSERS.len()];
        // Each body by itself: its fastest turn is one in which nothing else had the processor.
        for subject in subjects.chunks(1) {
            let mut fastest = [u128::MAX; PARSERS.len()];
            for _ in 0..TURNS {
                for (parser, fastest) in PARSERS.iter().zip(&mut fastest) {
                    let begin = Instant::now();
                    (0..times).for_each(|_| turn(parser, subject, &mut simd));
                    *fastest = (*fastest).min(begin.elapsed().as_nanos());
                }
            }
            sums.iter_mut().zip(fastest).for_each(|(sum, fastest)| *sum += fastest);
        }
        let each = sums.map(|all| all / (times * subjects.len()) as u128);
        println!(r#"{{"size":{size},"ns":{each:?}}}"#);
    }
}
