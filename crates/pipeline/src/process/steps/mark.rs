//! The ledger's `processed`.

use std::collections::HashSet;

use tollgate_core::LedgerKey;

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
        let (mut marks, mut marked, mut others) = (Vec::new(), Vec::new(), Vec::new());
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
                let claim = event.claimed_as.clone();
                others.extend(claim.map(|key| (Mark { key, webhook_id }, *ix)));
            }
        }
        // The claims that the validator made under other ids than ours. A call names a key once.
        if !others.is_empty() {
            let mut named: HashSet<LedgerKey> = marks.iter().map(|mark| mark.key.clone()).collect();
            for (mark, event) in others {
                if named.insert(mark.key.clone()) {
                    marks.push(mark);
                    marked.push(event);
                }
            }
        }
        let answers = self.ledger.mark(&marks).await;
        for (event, answer) in Answers::checked(marked, answers) {
            let progress = &mut stride.events[event].progress;
            match answer {
                // Of an event with two marks the other one may have failed.
                Ok(()) if *progress == Progress::Pending => *progress = Progress::Done,
                Ok(()) => {}
                Err(problem) => *progress = Progress::Failed(retry("ledger_unavailable", &problem)),
            }
        }
    }
}
