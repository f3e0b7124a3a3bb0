//! One contestant of `make race` in a process of its own, or the batch that all of them are given.
//!
//! ```text
//! race batch FILE [--records N] [--fifo] [--mix] [--poison PER_MILLE]
//! race requests FILE N         N requests for the validator, signed now, one a line
//! race endpoints               the endpoints that they are for, as JSON
//! race claims FILE BATCH...    the ledger's items of the batches' webhooks, by key, as JSON
//! race run CONTESTANT FILE     told what to do on stdin, one line each: `go N`, `make N`, `count`, `dump FILE`
//! ```
//!
//! A turn begins with the bytes of Lambda's event. `go N` answers with the nanoseconds of N turns as a JSON list,
//! freeing the outputs included; `make N` leaves that out, since in a function it is part of sending them. `count`
//! answers with the allocations of one turn; `dump` writes the outputs of one turn. `benches/drivers/race` is the other side.

use std::{hint::black_box, io::BufRead, time::Instant};

use jiff::Timestamp;
use tollgate_aws::ledger;
use tollgate_pipeline::ports::LedgerEntry;

use crate::{
    allocations,
    batch::{self, PROVIDERS, Plan},
    contestants::{tollgate::Tollgate, typed, value, walk},
    outputs::{self, Outputs},
};

/// Does what the program's arguments say.
pub fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["batch", file, options @ ..] => write_batch(file, options),
        ["requests", file, count] => {
            let requests = batch::requests(2, count.parse().expect("a number of requests"), Timestamp::now());
            std::fs::write(file, requests.join("\n")).expect("the requests are written");
        }
        ["endpoints"] => println!("{}", serde_json::to_string(&batch::endpoints(false)).expect("JSON")),
        ["claims", file, batches @ ..] => write_claims(file, batches),
        ["run", contestant, file] => run(contestant, &std::fs::read(file).expect("the batch")),
        other => panic!("what is {other:?}?"),
    }
}

fn write_claims(file: &str, batches: &[&str]) {
    let entries = batches.iter().flat_map(|batch| batch::claims(&std::fs::read(batch).expect("the batch")));
    let item = |entry: LedgerEntry| {
        let mut item = outputs::item(&ledger::item(&entry));
        // A batch is always of the same day, and the processor goes by the clock: these claims never expire.
        item["expires_at"] = serde_json::json!({"N": i64::MAX.to_string()});
        (entry.key.to_string(), item)
    };
    let items: serde_json::Map<String, serde_json::Value> = entries.map(item).collect();
    std::fs::write(file, serde_json::Value::Object(items).to_string()).expect("the claims are written");
}

fn write_batch(file: &str, mut options: &[&str]) {
    let mut plan = Plan::largest();
    loop {
        options = match options {
            ["--records", number, rest @ ..] => {
                plan.records = Some(number.parse().expect("a number of records"));
                rest
            }
            ["--poison", number, rest @ ..] => {
                plan.poison_per_mille = number.parse().expect("a number of a thousand");
                rest
            }
            ["--fifo", rest @ ..] => {
                plan.is_fifo = true;
                rest
            }
            ["--mix", rest @ ..] => {
                plan.providers = PROVIDERS.to_vec();
                rest
            }
            [] => break,
            [other, ..] => panic!("what is {other}?"),
        };
    }
    let (batch, records) = batch::generate(&plan);
    std::fs::write(file, &batch).expect("the batch is written");
    println!("{records} records, {} bytes", batch.len());
}

/// What a contestant does in one turn; walkers have no outputs.
trait Contestant {
    /// What is not timed.
    fn prepare(&mut self, _payload: &[u8]) {}
    /// What is.
    fn turn(&mut self, payload: &[u8]) -> Outputs;
}

impl<F: FnMut(&[u8]) -> Outputs> Contestant for F {
    fn turn(&mut self, payload: &[u8]) -> Outputs {
        self(payload)
    }
}

/// simd-json writes into what it reads, so that every turn needs another copy.
#[derive(Default)]
struct Simd(typed::Simd, Vec<u8>);

impl Contestant for Simd {
    fn prepare(&mut self, payload: &[u8]) {
        self.1.clear();
        self.1.extend_from_slice(payload);
    }

    fn turn(&mut self, _: &[u8]) -> Outputs {
        self.0.run(&mut self.1)
    }
}

struct SimdWalk(walk::Bytes, walk::Simd);

impl Contestant for SimdWalk {
    fn prepare(&mut self, _: &[u8]) {
        self.1.fill(&self.0);
    }

    fn turn(&mut self, _: &[u8]) -> Outputs {
        self.1.walk();
        Outputs::default()
    }
}

fn contestant(name: &str, payload: &[u8]) -> Box<dyn Contestant> {
    let tollgate = Tollgate::default();
    tollgate.accept(payload);
    let bytes = walk::Bytes::of(payload);
    let records = bytes.records();
    let walker = |walk: fn(&walk::Bytes)| {
        move |_: &[u8]| {
            walk(&bytes);
            Outputs::default()
        }
    };
    match name {
        "tollgate" => Box::new(move |payload: &[u8]| tollgate.full(payload)),
        "tollgate-decode" => Box::new(move |payload: &[u8]| {
            assert_eq!(tollgate.decode(payload), records);
            Outputs::default()
        }),
        "rust-value" => Box::new(value::run),
        "rust-serde_json" => Box::new(typed::serde_json),
        "rust-sonic-rs" => Box::new(typed::sonic),
        "rust-simd-json" => Box::new(Simd::default()),
        "walk-serde_json" => Box::new(walker(walk::Bytes::serde_json)),
        "walk-sonic-rs" => Box::new(walker(walk::Bytes::sonic)),
        "walk-sonic-rs-lazy" => Box::new(walker(walk::Bytes::sonic_lazy)),
        "walk-simd-json" => Box::new(SimdWalk(walk::Bytes::of(payload), walk::Simd::default())),
        other => panic!("no contestant is called {other}"),
    }
}

fn run(name: &str, payload: &[u8]) {
    let mut contestant = contestant(name, payload);
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [command @ ("go" | "make"), turns] => {
                let turns: usize = turns.parse().expect("a number of turns");
                let mut spent = Vec::with_capacity(turns);
                for _ in 0..turns {
                    contestant.prepare(payload);
                    let began = Instant::now();
                    let outputs = black_box(contestant.turn(black_box(payload)));
                    let made = began.elapsed();
                    drop(outputs);
                    spent.push(if *command == "go" { began.elapsed() } else { made }.as_nanos());
                }
                println!("{spent:?}");
            }
            ["count"] => {
                contestant.prepare(payload);
                println!("{}", allocations::during(|| drop(contestant.turn(payload))));
            }
            ["dump", file] => {
                contestant.prepare(payload);
                std::fs::write(file, contestant.turn(payload).to_json().to_string())
                    .expect("outputs are written");
                println!("true");
            }
            other => panic!("what is {other:?}?"),
        }
    }
}
