//! What providers say they sent. How each is asked is data: `provider-apis.toml`.

mod client;
mod error;
mod page;
mod spec;
mod webhooks;

pub use client::{ApiKey, Client, Timing};
pub use error::ApiError;
pub use page::Item;
pub use spec::{
    Auth, Available, List, NextPage, One, Pointers, ProviderApi, Register, Resend, Subscriptions, all, of,
};
pub use webhooks::{NewWebhook, Webhook, WebhookKey};
