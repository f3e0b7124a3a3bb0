//! The event bus.

use crate::{
    ports::{Document, EventBus, ProcessPorts},
    process::{Process, answers::Answers, stride::Events},
};

impl<P: ProcessPorts> Process<P> {
    /// Publishes events and returns how many were published.
    pub(in crate::process) async fn publish(&self, events: &mut Events<'_>) -> usize {
        let pending = events.pending();
        let documents: Vec<Document<'_>> = pending.iter().map(|&event| events[event].document()).collect();
        let answers = self.bus.publish(&documents).await;
        let mut published = 0;
        for (event, answer) in Answers::checked(pending, answers) {
            match answer {
                Ok(()) => published += 1,
                Err(problem) => events[event].fail(&problem, "bus_unavailable", "bus_refused"),
            }
        }
        published
    }
}
