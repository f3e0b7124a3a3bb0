//! The bound: parsers that read the same bytes and keep nothing, the outer event once and each inner body once.

use std::hint::black_box;

use serde::de::IgnoredAny;

/// What is walked over: the batch, and each body as its sender wrote it.
#[derive(Debug)]
pub struct Bytes {
    outer: String,
    bodies: Vec<String>,
}

impl Bytes {
    /// Of a batch.
    pub fn of(payload: &[u8]) -> Self {
        let event: serde_json::Value = serde_json::from_slice(payload).unwrap();
        let body = |record: &serde_json::Value| record["body"].as_str().unwrap().to_owned();
        Self {
            outer: String::from_utf8(payload.to_vec()).unwrap(),
            bodies: event["Records"].as_array().unwrap().iter().map(body).collect(),
        }
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.bodies.len()
    }

    fn each(&self, mut walk: impl FnMut(&str)) {
        walk(&self.outer);
        self.bodies.iter().for_each(|body| walk(body));
    }

    /// serde_json, every value ignored.
    pub fn serde_json(&self) {
        self.each(|text| {
            serde_json::from_str::<IgnoredAny>(text).unwrap();
        });
    }

    /// sonic-rs, every value ignored.
    pub fn sonic(&self) {
        self.each(|text| {
            sonic_rs::from_str::<IgnoredAny>(text).unwrap();
        });
    }

    /// sonic-rs, the whole text as one lazy value: its fastest way past a value.
    pub fn sonic_lazy(&self) {
        self.each(|text| {
            black_box(sonic_rs::from_str::<sonic_rs::LazyValue<'_>>(text).unwrap());
        });
    }
}

/// The same for simd-json, which writes into what it reads: `fill` puts the texts back, and is not part of the walk.
#[derive(Default)]
pub struct Simd {
    outer: Vec<u8>,
    bodies: Vec<Vec<u8>>,
    buffers: simd_json::Buffers,
}

impl Simd {
    /// Copies the texts.
    pub fn fill(&mut self, bytes: &Bytes) {
        self.outer.clear();
        self.outer.extend_from_slice(bytes.outer.as_bytes());
        self.bodies.resize_with(bytes.bodies.len(), Vec::new);
        for (to, from) in self.bodies.iter_mut().zip(&bytes.bodies) {
            to.clear();
            to.extend_from_slice(from.as_bytes());
        }
    }

    /// The tape of each text, which is all that simd-json can skip by.
    pub fn walk(&mut self) {
        black_box(simd_json::to_tape_with_buffers(&mut self.outer, &mut self.buffers).unwrap());
        for body in &mut self.bodies {
            black_box(simd_json::to_tape_with_buffers(body, &mut self.buffers).unwrap());
        }
    }
}
