//! What the functions share: [`settings`] from the environment, [`logging`] as JSON lines, [`metrics`] in CloudWatch's
//! embedded format, the [`clock`], the [`sqs`] batch event, and [`start`].

pub mod clock;
pub mod logging;
pub mod metrics;
mod runtime_api;
pub mod settings;
pub mod sqs;
pub mod start;

/// The functions' allocator. The SDK makes some 800 allocations for a webhook; with this allocator it takes a tenth
/// less processor time than with the C library's (benches/COMPARE.md). Each binary names it as its
/// `#[global_allocator]`.
pub use mimalloc::MiMalloc as Allocator;
