//! The local peer as AWS is: it refuses, and it does a part of a batch.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    http::{Request, Server, forward},
    left_out::{LeftOut, UNDONE, texts},
    rules::bad_entries,
};
use crate::failure::draw;

/// A server before the local peer. It refuses what AWS refuses, and of batch calls it leaves some entries undone, at
/// random, as AWS may at any time: each at most once, so that nobody has to try for ever.
#[derive(Debug)]
pub struct Strict(Server);

impl Strict {
    /// Stands before the peer at `url`; the same choices for the same `seed`.
    pub fn before(url: &str, mut seed: u64) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut undone_before = BTreeSet::new();
        Self(Server::listen(move |request: &Request| {
            let Request { operation, body, .. } = request;
            let mut left_out = bad_entries(operation, body);
            let bad: BTreeSet<usize> = left_out.iter().map(|(index, _)| *index).collect();
            for (index, entry) in texts(operation, body).into_iter().enumerate() {
                let is_undone = draw(&mut seed).is_multiple_of(4) && !bad.contains(&index);
                if is_undone && undone_before.insert(entry) {
                    left_out.push((index, UNDONE));
                }
            }
            let left_out = LeftOut::of(operation, body, left_out);
            let answer =
                if left_out.is_all() { json!({}) } else { forward(&address, request, &left_out.rest)? };
            Ok(left_out.merged(answer))
        }))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.0.url()
    }
}
