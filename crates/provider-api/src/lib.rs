//! Providers' APIs: what a provider says it sent, its webhooks, and the objects that a webhook only names. How each is asked is
//! data: `provider-apis.toml`.

mod client;
mod error;
mod objects;
mod page;
mod spec;
mod transport;
mod webhooks;

use tollgate_core::EndpointConfig;

pub use client::{Client, Timing};
pub use error::ApiError;
pub use objects::HttpsObjects;
pub use page::Item;
pub use spec::{
    Auth, Available, List, NextPage, ObjectKind, ObjectsApi, One, Pointers, ProviderApi, Register, Resend,
    Subscriptions, all, objects_of, of, with_objects,
};
pub use tollgate_providers::ApiKey;
pub use transport::is_loopback;
pub use webhooks::{NewWebhook, Webhook, WebhookKey};

/// Whether the endpoint is of its provider's test environment, by its parameter `environment`.
pub fn is_sandbox(endpoint: &EndpointConfig) -> bool {
    endpoint.parameters.get("environment").is_some_and(|name| name == "sandbox")
}

#[cfg(test)]
mod tests {
    use tollgate_testkit::webhook::config;

    use super::*;

    #[test]
    fn an_endpoint_is_of_the_environment_that_its_parameter_names() {
        for (environment, is_it) in [(None, false), (Some("production"), false), (Some("sandbox"), true)] {
            let mut endpoint = config("paypal-eu", "paypal");
            let named = environment.map(|name| ("environment".to_owned(), name.to_owned()));
            endpoint.parameters.extend(named);
            assert_eq!(is_sandbox(&endpoint), is_it, "{environment:?}");
        }
    }
}
