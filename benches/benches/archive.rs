//! Archive messages to one Parquet object.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench; criterion's macro makes undocumented items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_archive::{Entry, encode};
use tollgate_benches::{
    batch::{Plan, generate},
    contestants::tollgate::Tollgate,
};
use tollgate_pipeline::archive::{Line, Row, unpack};

fn archive(c: &mut Criterion) {
    let mut group = c.benchmark_group("archive");
    for records in [10, 100, 1_000] {
        let (tollgate, (batch, _)) = (Tollgate::default(), generate(&Plan::stripe(records)));
        tollgate.accept(batch.as_bytes());
        let messages = tollgate.full(batch.as_bytes()).archive;
        let rows = || -> Vec<Row<'static>> {
            messages
                .iter()
                .flat_map(|message| unpack(message))
                .filter_map(|(_, line)| line.unwrap().into_row())
                .collect()
        };
        let entries: Vec<Entry> = rows()
            .into_iter()
            .map(|row| Entry {
                body: row.body.clone().into_bytes(),
                line: Line::Webhook(Box::new(row)),
                object: None,
            })
            .collect();
        assert_eq!(entries.len(), records);
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(format!("unpack {records}"), |bencher| {
            bencher.iter(|| {
                let rows = rows();
                assert_eq!(rows.len(), records);
                rows
            });
        });
        group.bench_function(format!("encode {records}"), |bencher| {
            bencher.iter(|| {
                let object = encode(&entries).unwrap();
                assert!(object.starts_with(b"PAR1"));
                object
            });
        });
    }
}

criterion_group!(benches, archive);
criterion_main!(benches);
