//! The HTTPS client under every SDK client.

use std::sync::OnceLock;

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnectorSettings, SharedHttpConnector},
    runtime_components::RuntimeComponents,
};

/// One connector for all services, made when it is first used. The SDK's default makes a connector for each client, a
/// certificate store for each connector, and each of them twice: once to check that it can be made.
#[derive(Debug, Default)]
pub(crate) struct SharedHttps(OnceLock<SharedHttpConnector>);

impl HttpClient for SharedHttps {
    /// `settings` are the same for every client: they are the one configuration's.
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let connector = || {
            let builder = Connector::builder()
                .connector_settings(settings.clone())
                .proxy_config(ProxyConfig::from_env());
            SharedHttpConnector::new(builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build())
        };
        self.0.get_or_init(connector).clone()
    }
}
