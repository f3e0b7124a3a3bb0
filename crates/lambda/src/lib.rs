//! What every function shares: [`settings`] read once from the environment, [`logging`] as JSON lines,
//! [`metrics`] in CloudWatch's embedded format, the [`sqs`] batch event, and [`start`].

pub mod clock;
pub mod logging;
pub mod metrics;
pub mod settings;
pub mod sqs;
pub mod start;
