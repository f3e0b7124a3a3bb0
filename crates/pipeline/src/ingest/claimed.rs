//! What claiming the events of one delivery has shown.

use tollgate_core::EventId;

#[derive(Debug, Default)]
pub(super) struct Claimed {
    /// At least one event was not known before.
    pub(super) any_new: bool,
    /// At least one event is not known to be processed: the delivery goes to the queue (again).
    pub(super) unfinished: bool,
    /// Known events that came with other payment facts. They are enqueued too, and the processor quarantines them.
    pub(super) conflicts: Vec<EventId>,
}
