//! Work on many items side by side.

use std::thread;

use rayon::prelude::*;
use tracing::warn;

use super::use_case::Process;
use crate::ports::ProcessPorts;

/// From this many records on, work on them is shared between threads. With fewer, waking the other thread costs what
/// it saves (benches/COMPARE.md).
pub const PARALLEL_FROM: usize = 200;

/// Shares of the work for each thread: several, so that a thread that begins late leaves some of its work to others.
pub(super) const SHARES: usize = 4;

/// Makes the calling thread one of the pool's threads. Otherwise it would wait while others work. Call it once, from
/// the only thread that runs batches.
pub fn init_thread_pool() {
    let threads = thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    if let Err(problem) = pool.build_global() {
        warn!(error = %problem, "the calling thread is not part of the thread pool");
    }
}

impl<P: ProcessPorts> Process<P> {
    /// Does `work` on all items at once or, where sharing pays, on `shares` slices for each thread. The results are in
    /// the order of the items.
    pub(super) fn shares<'i, I: Sync, O: Send>(
        &self,
        items: &'i [I],
        shares: usize,
        work: impl Fn(&'i [I]) -> O + Send + Sync,
    ) -> Vec<O> {
        if self.is_parallel && items.len() >= PARALLEL_FROM {
            let length = items.len().div_ceil(rayon::current_num_threads() * shares);
            items.par_chunks(length).map(work).collect()
        } else {
            vec![work(items)]
        }
    }
}
