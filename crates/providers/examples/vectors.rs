//! Runs a file of signature vectors: `cargo run --example vectors FILE.jsonl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(text) = std::env::args().nth(1).and_then(|path| std::fs::read_to_string(path).ok()) else {
        eprintln!("usage: vectors FILE.jsonl");
        return ExitCode::from(2);
    };
    let report = tollgate_providers::scheme::vectors::run(&text);
    for mismatch in &report.failed {
        println!("{mismatch}");
    }
    println!("{} passed, {} failed", report.passed, report.failed.len());
    if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
