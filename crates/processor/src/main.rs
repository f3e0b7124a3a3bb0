//! Turns intake batches into payment events, once each.

fn main() {}
