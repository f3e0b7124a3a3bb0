//! The event bus.

use crate::{
    ports::{Document, EventBus, ProcessPorts},
    process::{
        Process,
        answers::Answers,
        stride::{Section, Stride},
    },
};

impl<P: ProcessPorts> Process<P> {
    /// Publishes a section's events and returns how many were published.
    pub(in crate::process) async fn publish(&self, stride: &mut Stride<'_>, section: &Section) -> usize {
        let pending = stride.pending_in(section);
        let events = &mut stride.events;
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
