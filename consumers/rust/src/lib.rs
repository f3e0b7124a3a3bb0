#![doc = include_str!("../README.md")]

mod consumer;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod parse;
mod state;
#[rustfmt::skip]
mod states;
mod store;

#[cfg(feature = "dynamodb")]
pub use self::dynamodb::DynamoStore;
pub use self::{
    consumer::{Consumer, Ended, Failure, Outcome},
    parse::{Event, EventError, UnknownEvent, parse},
    state::{Decision, Row},
    states::{begins, rank, settled},
    store::{BoxError, MemoryStore, Store, Stored},
};
pub use tollgate_core::{self as core, EventType, Money, PaymentEvent};
