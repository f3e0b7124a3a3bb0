//! The closed list of the queues. `infra/monitoring.yaml` is written from it, and tests hold `infra/tollgate.yaml`
//! against it.

use crate::event_type::Category;

/// Who receives a queue's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The processor.
    Processor,
    /// The archival function.
    Archival,
    /// Consumers outside of Tollgate. The bus routes the events of this category to the queue.
    Consumer(Category),
}

macro_rules! queues {
    ($($(#[doc = $doc:literal])+ $name:ident = $stem:literal $ending:literal, $reader:expr;)*) => {
        /// The queues between provider and archive. Each has a dead-letter queue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Queue {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Queue {
            /// Every queue, in the order in which a webhook passes them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its logical name in `infra/tollgate.yaml`. Of its dead-letter queue: the same with `Dlq` behind it.
            pub fn logical(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Its name before the environment's suffix.
            pub fn stem(self) -> &'static str {
                match self { $(Self::$name => $stem,)* }
            }

            /// What its name has behind the environment's suffix: `.fifo` or nothing.
            pub fn ending(self) -> &'static str {
                match self { $(Self::$name => $ending,)* }
            }

            /// Who receives its messages.
            pub fn reader(self) -> Reader {
                match self { $(Self::$name => $reader,)* }
            }
        }
    };
}

queues! {
    /// Verified webhooks, in no order.
    Intake = "webhook-intake" "", Reader::Processor;
    /// Verified webhooks, in order for each payment.
    IntakeOrdered = "webhook-intake-ordered" ".fifo", Reader::Processor;
    /// Payment events for consumers.
    Payments = "payments-queue" "", Reader::Consumer(Category::Payment);
    /// Refund events for consumers.
    Refunds = "refunds-queue" "", Reader::Consumer(Category::Refund);
    /// Dispute events for consumers.
    Disputes = "disputes-queue" "", Reader::Consumer(Category::Dispute);
    /// Rows for the archive.
    Archive = "archive-queue" "", Reader::Archival;
}

impl Queue {
    /// The queue of a category's events; `None` where they are on the bus only.
    pub fn of(category: Category) -> Option<Self> {
        Self::ALL.iter().copied().find(|queue| queue.reader() == Reader::Consumer(category))
    }

    /// Whether its messages are for consumers outside of Tollgate.
    pub fn is_for_consumers(self) -> bool {
        matches!(self.reader(), Reader::Consumer(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_has_one_queue_at_most() {
        for queue in Queue::ALL {
            if let Reader::Consumer(category) = queue.reader() {
                assert_eq!(Queue::of(category), Some(*queue));
            }
        }
        assert_eq!(Queue::of(Category::Other), None);
    }
}
