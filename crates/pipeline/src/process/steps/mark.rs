//! The ledger's `processed`.

use crate::{
    ports::{Ledger, Mark, ProcessPorts},
    process::{
        Process,
        answers::Answers,
        record::retry,
        stride::{Part, Progress, Row, Section, Stride},
    },
};

impl<P: ProcessPorts> Process<P> {
    /// Marks the events of a section's archived messages as processed.
    pub(in crate::process) async fn mark_processed(&self, stride: &mut Stride<'_>, section: &Section) {
        let (mut marks, mut marked) = (Vec::new(), Vec::new());
        for (message, parts) in stride.section(section).filter(|(message, _)| message.row == Row::Queued) {
            for part in parts {
                let Part::Owns(ix) = part else { continue };
                let event = &stride.events[*ix];
                if !event.is_pending() {
                    continue;
                }
                let webhook_id = message.message.webhook_id;
                marks.push(Mark { key: event.payment.ledger_key(), webhook_id });
                marked.push(*ix);
            }
        }
        let answers = self.ledger.mark(&marks).await;
        for (event, answer) in Answers::checked(marked, answers) {
            stride.events[event].progress = match answer {
                Ok(()) => Progress::Done,
                Err(problem) => Progress::Failed(retry("ledger_unavailable", &problem)),
            };
        }
    }
}
