//! The processor from batch bytes to all outputs, its ports answering in memory: by batch size, provider, share of
//! failures and queue.

#![allow(missing_docs, reason = "criterion's macro makes undocumented items")]

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use tollgate_benches::{
    batch::{PROVIDERS, Plan, generate},
    contestants::tollgate::Tollgate,
};

fn full(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, plan: &Plan) {
    let tollgate = Tollgate::default();
    let (batch, records) = generate(plan);
    tollgate.accept(batch.as_bytes());
    let good = records - records * plan.poison_per_mille / 1_000;
    group.throughput(Throughput::Elements(records as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let outputs = tollgate.full(batch.as_bytes());
            assert_eq!((outputs.ledger.len(), outputs.failures.len()), (good, 0));
            outputs
        });
    });
}

fn sizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch size");
    for records in [10, 100, 1_000] {
        full(&mut group, &records.to_string(), &Plan::stripe(records));
    }
    full(&mut group, "largest", &Plan::largest());
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode alone");
    let tollgate = Tollgate::default();
    for records in [10, 100, 1_000] {
        let (batch, _) = generate(&Plan::stripe(records));
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(records.to_string(), |bencher| {
            bencher.iter(|| assert_eq!(tollgate.decode(batch.as_bytes()), records));
        });
    }
}

fn providers(c: &mut Criterion) {
    let mut group = c.benchmark_group("provider, 1,000 records");
    for provider in PROVIDERS {
        full(&mut group, provider, &Plan { providers: vec![provider], ..Plan::stripe(1_000) });
    }
    full(&mut group, "all five in turn", &Plan { providers: PROVIDERS.to_vec(), ..Plan::stripe(1_000) });
}

fn failures(c: &mut Criterion) {
    let mut group = c.benchmark_group("poison, 1,000 records");
    for (name, poison_per_mille) in [("0 %", 0), ("1 %", 10), ("50 %", 500)] {
        full(&mut group, name, &Plan { poison_per_mille, ..Plan::stripe(1_000) });
    }
}

fn fifo(c: &mut Criterion) {
    let mut group = c.benchmark_group("FIFO queue, grouped by payment");
    // Lambda delivers at most 10 records of a FIFO queue; the other sizes show what grouping costs.
    for records in [10, 100, 1_000] {
        full(&mut group, &records.to_string(), &Plan { is_fifo: true, ..Plan::stripe(records) });
    }
}

criterion_group!(benches, sizes, decode, providers, failures, fifo);
criterion_main!(benches);
