//! Runs the function binaries on one machine: the Lambda service's side of the Runtime API.

fn main() {}
