//! What providers say they sent. How each is asked is data: `provider-apis.toml`.

mod client;
mod error;
mod page;
mod spec;

pub use client::{ApiKey, Client, Timing};
pub use error::ApiError;
pub use page::Item;
pub use spec::{Auth, List, NextPage, One, Pointers, ProviderApi, Resend, Subscriptions, all, of};
