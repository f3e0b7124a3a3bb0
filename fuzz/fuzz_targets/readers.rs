//! Our readers beside `aws_lambda_events`: whatever it reads of an event of API Gateway, a function URL or SQS, ours read
//! the same.
//!
//! The input's first byte picks the event, and 32 bytes seed the generator that the property tests have too. What
//! follows changes one byte of an SQS event: its position and its value.

#![no_main]

use aws_lambda_events::sqs::SqsEvent;
use libfuzzer_sys::fuzz_target;
use proptest::{
    strategy::{BoxedStrategy, Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

#[allow(dead_code)]
#[path = "../../crates/validator/src/event.rs"]
mod event;
// The crate itself, with its runtime, need not be compiled for its reader.
extern crate self as tollgate_lambda;
#[allow(dead_code)]
#[path = "../../crates/lambda/src/sqs/mod.rs"]
mod sqs;
#[allow(dead_code)]
#[path = "../../crates/lambda/tests/sqs_oracle.rs"]
mod sqs_oracle;

use event::oracle::{self, Door};

const DOORS: [Door; 3] = [Door::Rest, Door::HttpApi, Door::FunctionUrl];

thread_local! {
    /// One for each door, and one for SQS. Making a generator takes longer than an event.
    static GENERATORS: Vec<BoxedStrategy<String>> = {
        let doors = DOORS.into_iter().map(oracle::any_event);
        doors.chain([sqs_oracle::event(0..4).boxed()]).collect()
    };
}

fuzz_target!(|data: &[u8]| {
    let Some((pick, rest)) = data.split_first() else { return };
    let mut seed = [0; 32];
    let (given, edit) = rest.split_at(rest.len().min(seed.len()));
    seed[..given.len()].copy_from_slice(given);
    let pick = usize::from(*pick) % (DOORS.len() + 1);
    let Some(event) = GENERATORS.with(|generators| generated(&generators[pick], &seed)) else { return };
    match DOORS.get(pick) {
        None => sqs_batch(event, edit),
        Some(door) => {
            if let Err(problem) = oracle::check(*door, &event) {
                panic!("{problem}: {event}");
            }
        }
    }
});

fn sqs_batch(event: String, edit: &[u8]) {
    let mut event = event.into_bytes();
    if let [high, low, byte @ b' '..=b'~', ..] = edit {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % event.len();
        event[at] = *byte;
    }
    if serde_json::from_slice::<SqsEvent>(&event).is_err() {
        return;
    }
    if let Err(problem) = sqs_oracle::check(&event, false) {
        panic!("{problem}: {}", String::from_utf8_lossy(&event));
    }
}

fn generated(strategy: &BoxedStrategy<String>, seed: &[u8; 32]) -> Option<String> {
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    Some(strategy.new_tree(&mut runner).ok()?.current())
}
