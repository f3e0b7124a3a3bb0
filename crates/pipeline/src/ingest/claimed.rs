//! What claiming the events of one delivery has shown.

use std::collections::HashSet;

use tollgate_core::EventId;

#[derive(Debug, Default)]
pub(super) struct Claimed {
    /// At least one event was not known before.
    pub(super) any_new: bool,
    /// The events that are not known to be processed: they go to the queue (again).
    pub(super) unfinished: HashSet<EventId>,
    /// Known events that came with other payment facts. They are unfinished too, and the processor sets them aside.
    pub(super) conflicts: Vec<EventId>,
}
