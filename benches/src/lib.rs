//! Benchmarks of the processor, and the rivals that it is raced against. See `COMPARE.md`.
