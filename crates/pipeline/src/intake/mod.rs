//! The message between the validator and the processor: a webhook's exact bytes, and what is known of them.

mod body;
mod message;
mod queued;
mod seal;

pub use body::{ClaimCheck, Content, Encoding, IntakeError, decode, encode, is_sqs_character};
pub use message::{
    IntakeMessage, MAX_ACT_BYTES, MAX_CLAIMED_BYTES, MAX_MESSAGE_BYTES, Notes, RequestParts, attribute,
    is_taken_later,
};
pub use queued::{Dequeued, QueuedBody, QueuedMessage};
pub use seal::Seal;
