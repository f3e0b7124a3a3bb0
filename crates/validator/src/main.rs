//! Takes a webhook in: verifies it, claims it, makes it durable, answers.

fn main() {}
