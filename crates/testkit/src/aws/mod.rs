//! What AWS refuses, of the calls that our adapters make, and how it answers in part.
//!
//! The local peer takes more than AWS does and answers whole. [`refusal`] and [`bad_entries`] say what AWS would refuse;
//! [`Server`] plays AWS with both in front, and [`Strict`] stands before the local peer.

mod checked;
mod dynamodb;
mod http;
mod left_out;
mod queues;
mod rules;
mod strict;

pub use self::{
    checked::Refusal,
    http::Server,
    left_out::{LeftOut, UNDONE, entry_count},
    rules::{bad_entries, refusal},
    strict::Strict,
};
