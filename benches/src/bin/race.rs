//! [`tollgate_benches::race`] with the C library's allocator, as Rust programs have it that name no other.

use std::alloc::System;

use tollgate_benches::{allocations::Counting, race};

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting(System);

fn main() {
    race::main();
}
