//! Scores a payment event for the workflow.

fn main() {}
