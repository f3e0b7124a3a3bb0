//! Our readers beside `aws_lambda_events`: whatever it reads of an event of API Gateway, a function URL or SQS, ours read
//! the same.
//!
//! The input's first byte picks the event, the rest is the randomness of the generators that the property tests have too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proptest::{
    strategy::{Strategy, ValueTree},
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

fuzz_target!(|data: &[u8]| {
    let Some((pick, random)) = data.split_first() else { return };
    match pick % 4 {
        0 => http(Door::Rest, random),
        1 => http(Door::HttpApi, random),
        2 => http(Door::FunctionUrl, random),
        _ => {
            let Some(event) = generated(&sqs_oracle::event(0..4), random) else { return };
            if let Err(problem) = sqs_oracle::check(event.as_bytes(), false) {
                panic!("{problem}: {event}");
            }
        }
    }
});

fn http(door: Door, random: &[u8]) {
    let Some(event) = generated(&oracle::any_event(door), random) else { return };
    if let Err(problem) = oracle::check(door, &event) {
        panic!("{problem}: {event}");
    }
}

/// What the generator makes of the input, followed by bytes that follow from it: without any a generator that draws until
/// it likes what it has would draw for ever.
fn generated<S: Strategy>(strategy: &S, random: &[u8]) -> Option<S::Value> {
    let mut state = random.iter().fold(0_u64, |state, byte| state.rotate_left(8) ^ u64::from(*byte));
    let more = std::iter::repeat_with(|| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb).to_le_bytes()
    });
    let random: Vec<u8> = random.iter().copied().chain(more.take(16_384).flatten()).collect();
    let random = TestRng::from_seed(RngAlgorithm::PassThrough, &random);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    Some(strategy.new_tree(&mut runner).ok()?.current())
}
