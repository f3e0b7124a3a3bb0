//! What the fraud detector holds: made once, at start-up.

use std::convert::Infallible;

use tollgate_aws::{bus::EventBridgeBus, history::DynamoHistory};
use tollgate_lambda::{
    clock::{self, SYSTEM_CLOCK, SystemClock},
    metrics::Metrics,
};
use tollgate_pipeline::fraud::FraudCheck;

use crate::settings::Settings;

/// The use case on its AWS ports, and where metrics go.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) fraud: FraudCheck<DynamoHistory, DynamoHistory, EventBridgeBus, SystemClock>,
    pub(crate) metrics: Metrics,
}

impl Context {
    /// Makes the clients. It calls no service, so nothing can fail.
    pub(crate) async fn new(settings: Settings) -> Result<Self, Infallible> {
        let config = tollgate_aws::sdk_config().await;
        let history = DynamoHistory::new(aws_sdk_dynamodb::Client::new(&config), settings.transactions_table);
        Ok(Self {
            fraud: FraudCheck {
                decisions: history.clone(),
                history,
                bus: EventBridgeBus::new(aws_sdk_eventbridge::Client::new(&config), settings.event_bus_name),
                clock: SYSTEM_CLOCK,
                rules: settings.rules,
            },
            metrics: Metrics::start("fraud-detector", settings.environment, clock::now()),
        })
    }
}
