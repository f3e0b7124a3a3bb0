//! [`tollgate_benches::race`] with the allocator that Tollgate's functions have.

use tollgate_benches::{allocations::Counting, race};
use tollgate_lambda::Allocator;

#[global_allocator]
static ALLOCATOR: Counting<Allocator> = Counting(Allocator);

fn main() {
    race::main();
}
