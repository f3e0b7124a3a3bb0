//! What every function shares: [`settings`] read once from the environment, [`logging`] as JSON lines,
//! [`metrics`] in CloudWatch's embedded format, the [`sqs`] batch event, and [`start`].

pub mod clock;
pub mod logging;
pub mod metrics;
pub mod settings;
pub mod sqs;
pub mod start;

/// What the functions allocate with: the SDK makes some 800 allocations for a webhook, and with this one it takes a
/// tenth less processor time than with the C library's (benches/COMPARE.md). A binary names it as its
/// `#[global_allocator]`.
pub use mimalloc::MiMalloc as Allocator;
