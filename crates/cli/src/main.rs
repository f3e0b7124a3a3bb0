//! tollgate: the operator's tool.

fn main() {}
