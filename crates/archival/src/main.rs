//! Writes archive batches to S3, one write-once object each.

fn main() {}
