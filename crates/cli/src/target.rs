//! Which environment a command is for.

use std::path::PathBuf;

use tollgate_core::{EndpointId, WebhookId};
use tollgate_operate::aws::{Aws, Place, Platform};

/// Where the environment is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Target {
    /// Environment suffix of the resources' names [default: the platform file's, else dev]
    #[arg(long, env = "TOLLGATE_SUFFIX")]
    pub(crate) suffix: Option<String>,
    /// AWS endpoint instead of Amazon's (a local peer)
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// AWS region [default: the platform file's, else the environment's, else us-east-1]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The file that `scripts/local/platform up` writes; says all of the above
    #[arg(long, value_name = "FILE", env = "TOLLGATE_PLATFORM")]
    pub(crate) platform: Option<PathBuf>,
}

impl Target {
    /// Reads the platform file and the SDK's own configuration. No call is made yet.
    ///
    /// # Errors
    ///
    /// When the platform file does not read, or the suffix fits no resource's name.
    pub async fn connect(&self) -> anyhow::Result<Aws> {
        let place = Place {
            suffix: self.suffix.clone(),
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            platform: self.platform()?,
            profile: None,
        };
        place.connect().await
    }

    /// What the platform file says, where one is named.
    pub(crate) fn platform(&self) -> anyhow::Result<Option<Platform>> {
        self.platform.as_deref().map(Platform::read).transpose()
    }
}

/// A webhook's id, as it is typed.
pub(crate) fn webhook_id(text: &str) -> Result<WebhookId, String> {
    WebhookId::parse(text).ok_or_else(|| "a webhook's id is wanted: wh_ and 26 letters and digits".to_owned())
}

/// An endpoint's name, as it is typed.
pub(crate) fn endpoint_id(text: &str) -> Result<EndpointId, String> {
    EndpointId::new(text).map_err(|problem| problem.to_string())
}
