//! The console while it runs.

use std::{path::PathBuf, sync::Arc};

use tollgate_core::Timestamp;
use tollgate_operate::{
    aws::{Aws, is_loopback},
    search::Engine,
};

use crate::{acts::Acts, begun::All, guard::Guard, reconciling, redriving, replaying, tailing};

/// What the console is for.
pub struct Settings {
    /// The environment.
    pub aws: Aws,
    /// The time of day, as the tool's edge reads it.
    pub clock: fn() -> Timestamp,
    /// Whether something may be done beside looking.
    pub is_writing: bool,
    /// What runs a search.
    pub engine: Engine,
    /// Bytes of the archive that one page may read.
    pub most_bytes: u64,
    /// The user's saved searches.
    pub searches: PathBuf,
    /// Providers are asked here instead of at their own addresses.
    pub api_url: Option<String>,
    /// Where replays keep how far they have come.
    pub replays: PathBuf,
    /// Is told the address that opens the console: at once, and another one when that was used.
    pub tell: fn(&str),
}

/// The console while it runs.
pub(crate) struct Console {
    pub(crate) settings: Settings,
    pub(crate) guard: Guard,
    pub(crate) acts: Arc<Acts>,
    /// Held by a search.
    pub(crate) searching: tokio::sync::Mutex<()>,
    pub(crate) redrives: All<redriving::Redrive>,
    pub(crate) reconciliations: All<reconciling::Run>,
    pub(crate) replays: All<replaying::Replay>,
    pub(crate) tails: All<tailing::Tail>,
    /// What is above every page: the environment, and whose account.
    pub(crate) place: Place,
}

/// The environment, above every page.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) suffix: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) is_local: bool,
}

impl Place {
    pub(crate) async fn of(settings: &Settings) -> anyhow::Result<Self> {
        let aws = &settings.aws;
        Ok(Self {
            suffix: aws.names.suffix().to_owned(),
            account: aws.account().await?,
            region: aws.config.region().map(ToString::to_string).unwrap_or_default(),
            is_local: aws.config.endpoint_url().is_some_and(is_loopback),
        })
    }
}
